/* Attention of a step's codes to all codes of earlier steps in their tile.

   Keys and values are packed as matrices, to which each step adds: keys as one whose outputs are the codes, values as one whose operands are
   the codes. So scores and means both are products. */

#ifndef ATTENTION_H
#define ATTENTION_H

#include "walk.h"

#define SCORE_BITS 9     /* that are rounded off a product of query and key */
#define MOST_SCORE 1023
#define POWER_BITS 16

/* 127 * 2^(-i / 16) in units of 2^-16, cut: enough to round 127 * 2^-(b / 16) right for all b in 0..255, as thresholds are such units. */
static const int32_t POWERS[16] = {8323072, 7970201, 7632290, 7308706, 6998841, 6702113, 6417965, 6145865,
                                   5885300, 5635783, 5396844, 5168035, 4948928, 4739109, 4538187, 4345782};

typedef operand narrow __attribute__((vector_size(LANES * sizeof(operand))));

/* What keys weigh by their products with a query, as operands that are not raised by ZERO; returns the sum of these weights. */
INLINE int64_t weigh(int32_t *restrict products, int64_t count, operand *restrict weights) {
    const int64_t room = rounded_up(count, LANES);
    vec largest = vec_all(-MOST_SCORE), sum = {0};
    for (int64_t k = 0; k < room; k += LANES) {
        const vec score = (vec_load(products + k) + (1 << (SCORE_BITS - 1))) >> SCORE_BITS;
        vec_store(products + k, vec_max(vec_min(score, vec_all(MOST_SCORE)), vec_all(-MOST_SCORE)));
    }
    for (int64_t k = count; k < room; k++) products[k] = -(1 << 20); /* weighs nothing */
    for (int64_t k = 0; k < room; k += LANES) largest = vec_max(largest, vec_load(products + k));
    const int32_t most = vec_largest(largest);
    for (int64_t k = 0; k < room; k += LANES) {
        const vec below = vec_min(most - vec_load(products + k), vec_all(255)), halvings = below >> 4;
        const vec power = (look_up_16(POWERS, below & 15) + (vec_all(1 << (POWER_BITS - 1)) << halvings)) >> (POWER_BITS + halvings);
        sum += power;
        const narrow as_operands = __builtin_convertvector(power, narrow);
        memcpy(weights + k, &as_operands, sizeof(as_operands));
    }
    int64_t total = 0;
    for (int lane = 0; lane < LANES; lane++) total += sum[lane];
    return total;
}

/* Adds a code's key and value of a head, activations, to the caches of its tile. */
INLINE void remember(const struct geometry *geometry, struct tile *tile, int64_t head, int64_t dim, const operand *key, const operand *value) {
    const int64_t n = tile->count, lane = n % LANES;
    weight *keys = tile->keys + head * geometry->key_room + n / LANES * geometry->key_panel + lane * WORD;
    weight *values = tile->values + head * geometry->value_room + n / WORD * LANES * WORD + n % WORD;
    int32_t sum = 0;
    for (int64_t d = 0; d < dim; d++) {
        const weight k = (weight)(key[d] - ZERO);
        keys[d / WORD * LANES * WORD + d % WORD] = k;
        values[d / LANES * geometry->value_panel + d % LANES * WORD] = (weight)(value[d] - ZERO);
        sum += k;
    }
    tile->key_offsets[head * geometry->places + n] = -ZERO * sum;
}

/* The means, operands [count, heads * dim], that one head gives the queries at `places`, the first operands of rows. */
static void attend(const struct geometry *geometry, const struct tile *tile, int64_t head, int64_t dim, const operand *const *places,
                   int64_t count, operand *means, int64_t stride, struct scratch *scratch) {
    static const int32_t no_offsets[MOST_VECTORS * LANES] = {0};
    const int64_t known = tile->count, start = 0, room = geometry->places;
    const struct rows queries = {places, count, &start, 1, padded(dim) / WORD};
    const struct matrix keys = {tile->keys + head * geometry->key_room, tile->key_offsets + head * room, (known + LANES - 1) / LANES,
                                geometry->key_panel};
    products(&queries, &keys, scratch->scores, room);
    int64_t totals[CHUNK];
    const operand *weights[CHUNK];
    for (int64_t m = 0; m < count; m++) {
        weights[m] = scratch->weights + m * room;
        totals[m] = weigh(scratch->scores + m * room, known, scratch->weights + m * room);
    }
    const struct rows of_codes = {weights, count, &start, 1, rounded_up(known, WORD) / WORD};
    for (int64_t first = 0; first < dim; first += MOST_VECTORS * LANES) {
        const int64_t left = (dim - first + LANES - 1) / LANES, panels = left < MOST_VECTORS ? left : MOST_VECTORS;
        const struct matrix values = {tile->values + head * geometry->value_room + first / LANES * geometry->value_panel, no_offsets, panels,
                                      geometry->value_panel};
        products(&of_codes, &values, scratch->sums, MOST_VECTORS * LANES);
        for (int64_t m = 0; m < count; m++)
            for (int64_t d = 0; d < MOST_VECTORS * LANES && first + d < dim; d++) {
                const float mean = (float)scratch->sums[m * MOST_VECTORS * LANES + d] / (float)(totals[m] > 1 ? totals[m] : 1);
                means[m * stride + first + d] = (operand)((int32_t)floorf(mean + 0.5f) + ZERO);
            }
    }
}

#endif
