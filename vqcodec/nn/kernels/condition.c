/* The condition of a tile: the network that sees all of the same tile of the maps before. */

#include "walk.h"

/* A feature map with an edge of one place around it, and its streams. */
struct map {
    int64_t height, width;
    operand *operands; /* [height + 2, width + 2, ...] */
    float *streams;    /* [height, width, channels] */
};

static void clear_edges(const struct map *map, int64_t channels) {
    operand *place = map->operands;
    for (int64_t row = -1; row <= map->height; row++)
        for (int64_t column = -1; column <= map->width; column++, place += channels)
            if (row < 0 || row == map->height || column < 0 || column == map->width)
                for (int64_t c = 0; c < channels; c++) place[c] = (operand)ZERO;
}

static operand *place_in(const struct map *map, int64_t number, int64_t channels) {
    return map->operands + ((number / map->width + 1) * (map->width + 2) + number % map->width + 1) * channels;
}

/* Products with a convolution of 3 x 3 taps of some places from `start` on. */
static void convolve(const struct layer *layer, const struct map *map, int64_t channels, int64_t start, int64_t count, struct scratch *scratch) {
    const int64_t row = (map->width + 2) * channels, segments[3] = {0, row, 2 * row};
    for (int64_t m = 0; m < count; m++) scratch->places[m] = place_in(map, start + m, channels) - row - channels;
    layer_products(layer, scratch->places, count, segments, scratch->sums);
}

/* Adds a convolution of the embeddings of codes to the streams, or puts it in their place. */
static void embed(const struct prior *prior, const struct layer *layer, int64_t number, const int32_t *codes, const struct map *map,
                  int is_added, struct scratch *scratch) {
    const int64_t room = padded(prior->embedding), places = map->height * map->width;
    clear_edges(map, room);
    for (int64_t n = 0; n < places; n++)
        memcpy(place_in(map, n, room), prior->tables[number + 1] + codes[n] * room, (size_t)room * sizeof(operand));
    for (int64_t n = 0; n < places; n += CHUNK) {
        const int64_t count = places - n < CHUNK ? places - n : CHUNK;
        convolve(layer, map, room, n, count, scratch);
        to_streams(layer, scratch->sums, count, map->streams + n * prior->condition_channels, is_added);
    }
}

/* A residual block: the streams and the projection of the convolution's positive activations. */
static void residual_block(const struct prior *prior, int64_t block, const struct map *map, struct scratch *scratch) {
    const struct layer *conv = prior->layers + layer_of_stack(prior, block, 0), *project = conv + 1;
    const int64_t channels = prior->condition_channels, room = padded(channels), places = map->height * map->width, zero = 0;
    clear_edges(map, room);
    for (int64_t n = 0; n < places; n++) to_activations(map->streams + n * channels, channels, place_in(map, n, room));
    for (int64_t n = 0; n < places; n += CHUNK) {
        const int64_t count = places - n < CHUNK ? places - n : CHUNK;
        convolve(conv, map, room, n, count, scratch);
        const int32_t *sums = scratch->sums;
        for (int64_t m = 0; m < count; m++, sums += conv->room) {
            operand *hidden = scratch->hidden + m * room;
            for (int64_t c = 0; c < channels; c++)
                hidden[c] = (operand)((int32_t)clipped(floored(conv->biases[c] + (float)sums[c] * conv->units[c]), 0.0f, MAX_ACTIVATION) + ZERO);
            scratch->places[m] = hidden;
        }
        layer_products(project, scratch->places, count, &zero, scratch->sums);
        to_streams(project, scratch->sums, count, map->streams + n * channels, 1);
    }
}

/* Takes the streams of the small map to those of one of twice its height and width. */
static void upsample(const struct prior *prior, const struct map *small, const struct map *large, struct scratch *scratch) {
    const struct layer *up = prior->layers + LAYER_UP;
    const int64_t channels = prior->condition_channels, room = padded(channels), places = small->height * small->width, zero = 0;
    for (int64_t n = 0; n < places; n += CHUNK) {
        const int64_t count = places - n < CHUNK ? places - n : CHUNK;
        for (int64_t m = 0; m < count; m++) {
            scratch->places[m] = scratch->hidden + m * room;
            to_activations(small->streams + (n + m) * channels, channels, scratch->hidden + m * room);
        }
        layer_products(up, scratch->places, count, &zero, scratch->sums);
        to_streams(up, scratch->sums, count, scratch->starts, 0);
        for (int64_t m = 0; m < count; m++)
            for (int64_t part = 0; part < 4; part++) {
                const int64_t row = 2 * ((n + m) / small->width) + part / 2, column = 2 * ((n + m) % small->width) + part % 2;
                memcpy(large->streams + (row * large->width + column) * channels, scratch->starts + (4 * m + part) * channels,
                       (size_t)channels * sizeof(float));
            }
    }
}

int64_t condition_of_tile(const struct prior *prior, struct tile *tile, struct scratch *scratch) {
    const int64_t channels = prior->condition_channels, room = padded(channels), places = tile->height * tile->width;
    const int64_t most = room > padded(prior->embedding) ? room : padded(prior->embedding);
    struct map large = {tile->height, tile->width, NULL, NULL}, small = {tile->height / 2, tile->width / 2, NULL, NULL};
    large.operands = small.operands = room_for((tile->height + 2) * (tile->width + 2) * most, sizeof(operand));
    large.streams = room_for(places * channels, sizeof(float));
    small.streams = room_for(small.height * small.width * channels, sizeof(float));
    const int64_t is_room = large.operands != NULL && large.streams != NULL && small.streams != NULL;
    if (is_room) {
        /* Operands that fill words up meet weights of 0, but are not to be read before they are written. */
        memset(large.operands, 0, (size_t)((tile->height + 2) * (tile->width + 2) * most) * sizeof(operand));
        const int32_t *codes = tile->earlier;
        embed(prior, prior->layers + LAYER_CONDITION_FIRST, 0, codes, &small, 0, scratch);
        for (int64_t n = 0; n < prior->coarse; n++) residual_block(prior, n, &small, scratch);
        upsample(prior, &small, &large, scratch);
        codes += small.height * small.width;
        for (int64_t map = 1; map < prior->maps; map++, codes += places)
            embed(prior, prior->layers + layer_of_map(prior, map), map, codes, &large, 1, scratch);
        for (int64_t n = 0; n < prior->fine; n++) residual_block(prior, prior->coarse + n, &large, scratch);
        for (int64_t n = 0; n < places; n++) to_activations(large.streams + n * channels, channels, tile->condition + n * room);
    }
    free(large.operands), free(large.streams), free(small.streams);
    return is_room;
}
