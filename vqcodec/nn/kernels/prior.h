/* A prior, prepared for products: packed weights, and what makes streams, activations and logits of their sums (FORMAT.md, section 7). */

#ifndef PRIOR_H
#define PRIOR_H

#include <math.h>
#include <stdlib.h>

#include "products.h"

#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "floats must be rounded to floats: the x87 unit, which keeps more bits, would find other codes"
#endif

#define MAX_MAPS 16
#define FIRST_REACH 2   /* rows above and below a code that the first convolution sees */
#define FIRST_COLUMNS 3 /* columns before a code that it sees */
#define MOST_COLUMNS 16 /* of the kernels of gated blocks */
#define CHUNK 64        /* rows that go through a layer at a time */

#define MAX_ACTIVATION 127.0f
#define MAX_STREAM 32767.0f
#define MAX_LOGIT 1023.0f
#define HALF_GATE 64.0f

/* A linear map or a convolution. Arrays of outputs have `room` entries, a multiple of LANES. */
struct layer {
    weight *packed;
    int32_t *offsets;
    float *units, *biases; /* sum = bias + unit * product, half a unit up, so that floor rounds it */
    float scale;           /* the sum's units in a stream's */
    int64_t outputs, room, panel, segments, segment_words;
};

/* The order in which `prior_layer` numbers layers, before three of each gated block and the layers of the condition stack. */
enum { LAYER_FIRST, LAYER_HEAD, LAYER_QUERY_KEY_VALUE, LAYER_ATTENTION, LAYER_CONDITION_FIRST, LAYER_UP, FIXED_LAYERS };
enum { BLOCK_CONV, BLOCK_PROJECT, BLOCK_CONDITION, LAYERS_OF_BLOCK };

struct prior {
    int64_t codes, slope, channels, blocks, columns, embedding, heads, head_dim, maps, condition_channels, coarse, fine;
    int64_t tile_side; /* rows and columns that there are positions of */
    int64_t num_layers;
    struct layer *layers;
    operand *tables[MAX_MAPS]; /* embeddings [codes, words] of this map, and then of those before it */
    float *positions;          /* [2, tile_side, channels], or NULL */
};

/* A number of operands, rounded up to whole words, whatever the instructions. */
INLINE int64_t padded(int64_t channels) { return (channels + 3) / 4 * 4; }

INLINE int64_t rounded_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

/* The floor of numbers of less than 2^31; processors without an instruction for it convert to integers and back. */
INLINE float floored(float x) {
#if defined(__x86_64__) && !defined(__SSE4_1__)
    const float cut = (float)(int32_t)x;
    return cut > x ? cut - 1.0f : cut;
#else
    return floorf(x);
#endif
}

INLINE float clipped(float x, float least, float most) {
    x = x > least ? x : least;
    return x < most ? x : most;
}

INLINE int64_t layer_of_block(int64_t block, int64_t which) { return FIXED_LAYERS + LAYERS_OF_BLOCK * block + which; }

/* The layers of the stack's blocks, a convolution and a projection each, and of the maps after the first. */
INLINE int64_t layer_of_stack(const struct prior *prior, int64_t block, int64_t which) {
    return layer_of_block(prior->blocks, 0) + 2 * block + which;
}
INLINE int64_t layer_of_map(const struct prior *prior, int64_t map) { return layer_of_stack(prior, prior->coarse + prior->fine, 0) + map - 1; }

/* Streams [channels] -> activations as operands. */
INLINE void to_activations(const float *restrict streams, int64_t channels, operand *restrict out) {
    for (int64_t c = 0; c < channels; c++)
        out[c] = (operand)((int32_t)clipped(floored(streams[c] * 0.125f + 0.5f), -MAX_ACTIVATION, MAX_ACTIVATION) + ZERO);
}

/* Products of rows with a layer, each of whose segments begins at a distance in `segments`. */
static inline void layer_products(const struct layer *layer, const operand *const *places, int64_t count, const int64_t *segments,
                                  int32_t *out) {
    const struct rows rows = {places, count, segments, layer->segments, layer->segment_words};
    const struct matrix matrix = {layer->packed, layer->offsets, layer->room / LANES, layer->panel};
    products(&rows, &matrix, out, layer->room);
}

#endif
