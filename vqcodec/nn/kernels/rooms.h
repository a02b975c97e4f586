/* The memory of a walk: its geometry, and room for each of its tiles, parts and threads. A function that finds no memory returns 0. */

#ifndef ROOMS_H
#define ROOMS_H

#include "choice.h"

/* Blocks of memory of a walk, which are freed together. */
struct memory {
    void **blocks;
    int64_t count, room;
};

/* Room for some items, all bytes 0; NULL where there is no memory. */
static void *taken(struct memory *memory, int64_t count, size_t size) {
    if (memory->count == memory->room) {
        void **more = realloc(memory->blocks, (size_t)(2 * memory->room + 64) * sizeof(*more));
        if (more == NULL) return NULL;
        memory->blocks = more, memory->room = 2 * memory->room + 64;
    }
    void *block = room_for(count, (int64_t)size);
    if (block != NULL) memset(block, 0, (size_t)count * size), memory->blocks[memory->count++] = block;
    return block;
}

static void give_back(struct memory *memory) {
    for (int64_t n = 0; n < memory->count; n++) free(memory->blocks[n]);
    free(memory->blocks);
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int set_geometry(struct walk *walk, const struct tile *tiles, int64_t num_tiles, struct memory *memory) {
    const struct prior *prior = walk->prior;
    struct geometry *geometry = &walk->geometry;
    for (int64_t n = 0; n < num_tiles; n++) {
        geometry->height = most(geometry->height, tiles[n].height);
        geometry->width = most(geometry->width, tiles[n].width);
    }
    walk->code_room = rounded_up(prior->codes, FREQS_BLOCK);
    if ((geometry->blocks = taken(memory, prior->blocks, sizeof(*geometry->blocks))) == NULL) return 0;
    for (int64_t n = -1; n < prior->blocks; n++) {
        struct columns *columns = n < 0 ? &geometry->first : geometry->blocks + n;
        columns->at = geometry->num_columns;
        columns->reach = n < 0 ? FIRST_REACH : 1;
        columns->ring = n < 0 ? FIRST_COLUMNS : prior->columns;
        columns->row = padded(n < 0 ? prior->embedding : prior->channels);
        columns->column = (geometry->height + 2 * columns->reach) * columns->row;
        geometry->num_columns += columns->ring * columns->column;
    }
    geometry->places = rounded_up(geometry->height * geometry->width, 16);
    geometry->key_panel = padded(prior->head_dim) * LANES;
    geometry->key_room = geometry->places * padded(prior->head_dim);
    geometry->value_panel = geometry->places * LANES;
    geometry->value_room = geometry->places * rounded_up(prior->head_dim, LANES);
    return 1;
}

static int set_tile(const struct walk *walk, struct tile *tile, struct memory *memory) {
    const struct prior *prior = walk->prior;
    const struct geometry *geometry = &walk->geometry;
    if ((tile->columns = taken(memory, geometry->num_columns, sizeof(operand))) == NULL) return 0;
    for (int64_t i = 0; ZERO != 0 && i < geometry->num_columns; i++) tile->columns[i] = (operand)ZERO;
    if (prior->maps > 0)
        return (tile->condition = taken(memory, tile->height * tile->width * padded(prior->condition_channels), sizeof(operand))) != NULL;
    if (prior->heads == 0) return 1;
    tile->keys = taken(memory, prior->heads * geometry->key_room, sizeof(weight));
    tile->values = taken(memory, prior->heads * geometry->value_room, sizeof(weight));
    tile->key_offsets = taken(memory, prior->heads * geometry->places, sizeof(int32_t));
    return tile->keys != NULL && tile->values != NULL && tile->key_offsets != NULL;
}

static int set_part(const struct walk *walk, struct part *part, struct memory *memory) {
    int64_t rows = 0;
    for (int64_t n = 0; n < part->num_tiles; n++) rows += part->tiles[n].height;
    part->streams = taken(memory, rows * walk->prior->channels, sizeof(float));
    part->freqs = taken(memory, rows * walk->code_room, sizeof(int32_t));
    part->freq_sums = taken(memory, rows * walk->code_room / FREQS_BLOCK, sizeof(int32_t));
    return part->streams != NULL && part->freqs != NULL && part->freq_sums != NULL;
}

static int set_scratch(const struct walk *walk, struct scratch *scratch, struct memory *memory) {
    const struct prior *prior = walk->prior;
    const int64_t rows = walk->geometry.height, places = prior->heads > 0 ? walk->geometry.places : 0;
    int64_t outputs = most(MOST_VECTORS * LANES, walk->code_room);
    for (int64_t n = 0; n < prior->num_layers; n++) outputs = most(outputs, prior->layers[n].room);
    const int64_t operands = most(most(prior->channels, prior->condition_channels), prior->heads * prior->head_dim);
    scratch->sums = taken(memory, CHUNK * outputs, sizeof(int32_t));
    scratch->more_sums = taken(memory, CHUNK * outputs, sizeof(int32_t));
    scratch->starts = taken(memory, CHUNK * outputs, sizeof(float));
    scratch->hidden = taken(memory, CHUNK * padded(operands), sizeof(operand));
    scratch->inputs = taken(memory, rows * 3 * prior->heads * padded(prior->head_dim), sizeof(operand));
    scratch->places = taken(memory, CHUNK, sizeof(*scratch->places));
    scratch->scores = taken(memory, CHUNK * places, sizeof(int32_t));
    scratch->weights = taken(memory, CHUNK * places, sizeof(operand));
    scratch->numbers = taken(memory, walk->choice != NULL ? choice_numbers(walk->choice, prior->codes) : 0, sizeof(double));
    return scratch->sums != NULL && scratch->more_sums != NULL && scratch->starts != NULL && scratch->hidden != NULL &&
           scratch->inputs != NULL && scratch->places != NULL && scratch->scores != NULL && scratch->weights != NULL &&
           scratch->numbers != NULL;
}

#endif
