/* Priors as they are prepared from the tensors of a weights file. The caller has checked shapes and ranges of all arrays. */

#include "prior.h"

/* What the outputs of products are rounded up to. */
const int64_t lanes = LANES;

void *room_for(int64_t count, int64_t size) {
    const size_t bytes = (size_t)rounded_up((count > 0 ? count : 1) * size, 64);
    return aligned_alloc(64, bytes);
}

/* config: [13], the sizes at the beginning of `struct prior` in their order. Returns NULL where there is no memory. */
struct prior *prior_new(const int64_t *config) {
    struct prior *prior = calloc(1, sizeof(*prior));
    if (prior == NULL) return NULL;
    memcpy(&prior->codes, config, 13 * sizeof(*config));
    prior->num_layers = layer_of_map(prior, prior->maps > 1 ? prior->maps : 1);
    prior->layers = calloc((size_t)prior->num_layers, sizeof(*prior->layers));
    if (prior->layers != NULL) return prior;
    free(prior);
    return NULL;
}

void prior_free(struct prior *prior) {
    if (prior == NULL) return;
    for (int64_t n = 0; n < prior->num_layers; n++) {
        struct layer *layer = prior->layers + n;
        free(layer->packed), free(layer->offsets), free(layer->units), free(layer->biases);
    }
    for (int64_t map = 0; map < MAX_MAPS; map++) free(prior->tables[map]);
    free(prior->positions), free(prior->layers), free(prior);
}

/* The place of a weight in a packed matrix: of output o, and of operand i in a row. */
static int64_t place_of(const struct layer *layer, int64_t o, int64_t i) {
    return o / LANES * layer->panel + i / WORD * LANES * WORD + o % LANES * WORD + i % WORD;
}

/* Sets a layer of weights [outputs, rows, columns, inputs]; returns 0 where there is no memory.

   by_columns: whether a segment of operands is a column of the kernel, or else a row.
   bits: fractional bits of each output's weights.
   bias: in units of 2^-bias_bits, of which `shift` are rounded off the sums.
   gates: whether the second half of the outputs are gates, whose sums begin half their range higher. */
int64_t prior_layer(struct prior *prior, int64_t number, const int8_t *weights, const int8_t *bits, const int16_t *bias, int64_t outputs,
                    int64_t rows, int64_t columns, int64_t inputs, int64_t by_columns, int64_t bias_bits, int64_t shift, int64_t gates) {
    if (number < 0 || number >= prior->num_layers || prior->layers[number].packed != NULL) return 0;
    struct layer *layer = prior->layers + number;
    const int64_t of_tap = padded(inputs), taps_of_segment = by_columns ? rows : columns;
    layer->outputs = outputs;
    layer->room = rounded_up(outputs, LANES);
    layer->segments = by_columns ? columns : rows;
    layer->segment_words = taps_of_segment * of_tap / WORD;
    layer->panel = layer->segments * layer->segment_words * LANES * WORD;
    layer->scale = ldexpf(1.0f, (int)-shift);
    layer->packed = room_for(layer->room / LANES * layer->panel, sizeof(weight));
    layer->offsets = room_for(layer->room, sizeof(int32_t));
    layer->units = room_for(layer->room, sizeof(float));
    layer->biases = room_for(layer->room, sizeof(float));
    if (layer->packed == NULL || layer->offsets == NULL || layer->units == NULL || layer->biases == NULL) return 0;
    memset(layer->packed, 0, (size_t)(layer->room / LANES * layer->panel) * sizeof(weight));
    for (int64_t o = 0; o < layer->room; o++) layer->offsets[o] = 0, layer->units[o] = layer->biases[o] = 0.0f;
    for (int64_t o = 0; o < outputs; o++) {
        layer->units[o] = ldexpf(1.0f, (int)(bias_bits - shift - 5 - bits[o]));
        layer->biases[o] = (float)bias[o] * layer->scale + 0.5f + (gates && o >= outputs / 2 ? HALF_GATE : 0.0f);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t column = 0; column < columns; column++)
                for (int64_t i = 0; i < inputs; i++) {
                    const int8_t value = *weights++;
                    const int64_t tap = by_columns ? column * rows + row : row * columns + column;
                    layer->packed[place_of(layer, o, tap * of_tap + i)] = value;
                    layer->offsets[o] -= ZERO * (int32_t)value;
                }
    }
    return 1;
}

/* Sets the embedding [codes, embedding] of a map: 0 for the prior's own, n for the n-th before it, from the first on. */
int64_t prior_table(struct prior *prior, int64_t map, const int8_t *values) {
    if (map < 0 || map >= MAX_MAPS || prior->tables[map] != NULL) return 0;
    const int64_t room = padded(prior->embedding);
    operand *table = prior->tables[map] = room_for(prior->codes * room, sizeof(operand));
    if (table == NULL) return 0;
    for (int64_t code = 0; code < prior->codes; code++)
        for (int64_t c = 0; c < room; c++) *table++ = (operand)((c < prior->embedding ? *values++ : 0) + ZERO);
    return 1;
}

/* Sets the streams [2, tile_side, channels] that tell where in a tile a code is. */
int64_t prior_positions(struct prior *prior, const int16_t *values) {
    const int64_t count = 2 * prior->tile_side * prior->channels;
    if (prior->positions != NULL || (prior->positions = room_for(count, sizeof(float))) == NULL) return 0;
    for (int64_t i = 0; i < count; i++) prior->positions[i] = (float)values[i];
    return 1;
}

/* Products [count, room] of operands [count, inputs], given as signed numbers, with a layer of one tap: for tests. */
int64_t prior_products(const struct prior *prior, int64_t number, const int8_t *values, int64_t count, int64_t inputs, int32_t *out) {
    const struct layer *layer = prior->layers + number;
    const int64_t room = padded(inputs), start = 0;
    operand *operands = room_for(count * room, sizeof(operand));
    const operand **places = room_for(count, sizeof(*places));
    const int64_t is_done = operands != NULL && places != NULL;
    for (int64_t m = 0; is_done && m < count; m++) {
        places[m] = operands + m * room;
        for (int64_t i = 0; i < room; i++) operands[m * room + i] = (operand)((i < inputs ? values[m * inputs + i] : 0) + ZERO);
    }
    if (is_done) layer_products(layer, places, count, &start, out);
    free(operands), free(places);
    return is_done;
}
