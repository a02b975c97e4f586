/* What a prior's step does between its products of matrices, in one pass over memory each, and the coder's frequencies.

   Every function gives the very numbers of its counterpart in torch (`vqcodec.nn.prior.backend`, `vqcodec.coding.frequencies`): all values
   are integers or multiples of a power of two that float and double hold exactly, up to limits beyond which they are clipped. Tensors are
   contiguous unless a stride is given; M is the number of rows. `fixed_point.py` has the number formats. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#define MAX_ACTIVATION 127.0f
#define MAX_LOGIT 1023.0f
#define HALF_GATE 64.0f
#define ACTIVATIONS_PER_STREAM 0x1p-3f
#define SCORE_PER_PRODUCT 0x1p-9f
#define TOTAL (1 << 24)

#define POWERS 128
#define FEW_QUERIES 4
#if defined(__AVX512F__)
#include <immintrin.h>
#define QUERIES 8
#define LANES 16
#else
#define QUERIES 4
#define LANES 8
#endif
#define BLOCK (2 * LANES)

/* What `vqcodec.nn.kernels` must agree with, and the sizes of what `attend` is given: queries weighed together, and what the number of places
   and the room of a value are multiples of, and how many powers are not 0. */
const int64_t version = 4, queries_together = QUERIES, block = BLOCK, powers_known = POWERS;

INLINE float clipped(float x, float least, float most) {
    x = x > least ? x : least;
    return x < most ? x : most;
}

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4)));

/* Scores -> powers[largest - score], of which the last, powers[POWERS], is 0 and stands for all beyond. */
INLINE void look_up(float *restrict scores, int64_t count, float largest, const float *powers) {
    int64_t k = 0;
#if defined(__AVX512F__)
    __m512 parts[POWERS / 16];
    for (int part = 0; part < POWERS / 16; part++) parts[part] = _mm512_loadu_ps(powers + 16 * part);
    for (; k + 16 <= count; k += 16) {
        const __m512i below = _mm512_cvttps_epi32(_mm512_sub_ps(_mm512_set1_ps(largest), _mm512_loadu_ps(scores + k)));
        const __mmask16 bit_5 = _mm512_test_epi32_mask(below, _mm512_set1_epi32(32));
        const __mmask16 bit_6 = _mm512_test_epi32_mask(below, _mm512_set1_epi32(64));
        __m512 quarters[4];
        for (int part = 0; part < 4; part++) quarters[part] = _mm512_permutex2var_ps(parts[2 * part], below, parts[2 * part + 1]);
        const __m512 low = _mm512_mask_mov_ps(quarters[0], bit_5, quarters[1]), high = _mm512_mask_mov_ps(quarters[2], bit_5, quarters[3]);
        const __mmask16 is_known = _mm512_cmplt_epi32_mask(below, _mm512_set1_epi32(POWERS));
        _mm512_storeu_ps(scores + k, _mm512_maskz_mov_ps(is_known, _mm512_mask_mov_ps(low, bit_6, high)));
    }
#endif
    for (; k < count; k++) scores[k] = powers[(int32_t)clipped(largest - scores[k], 0.0f, POWERS)];
}

/* The weights of a number of queries' keys, `places` of them a query, from keys [places / BLOCK, dim, BLOCK], of which `count` are in
   use. */
INLINE void weigh(const float *const *queries, const int number, const float *keys, int64_t count, const float *powers, int64_t dim,
                  int64_t places, float *restrict weights) {
    for (int64_t block = 0; block < count; block += BLOCK, keys += dim * BLOCK) {
        Lanes products[QUERIES][2] = {{{0}}};
        for (int64_t d = 0; d < dim; d++) {
            const Lanes *part = (const Lanes *)(keys + d * BLOCK);
            for (int q = 0; q < number; q++) {
                products[q][0] += queries[q][d] * part[0];
                products[q][1] += queries[q][d] * part[1];
            }
        }
        for (int q = 0; q < number; q++) memcpy(weights + q * places + block, products[q], sizeof(products[q]));
    }
    for (int q = 0; q < number; q++, weights += places) {
        float largest = -MAX_LOGIT;
        for (int64_t k = 0; k < count; k++) {
            weights[k] = clipped(floorf(weights[k] * SCORE_PER_PRODUCT + 0.5f), -MAX_LOGIT, MAX_LOGIT);
            largest = largest > weights[k] ? largest : weights[k];
        }
        look_up(weights, count, largest, powers);
    }
}

/* BLOCK sums of `count` values, `room` apart, by the weights of a number of queries; and the sums of these weights. */
INLINE void sum_values(const float *weights, const int number, const float *values, int64_t count, int64_t places, int64_t room,
                       Lanes sums[QUERIES][2], float totals[QUERIES]) {
    for (int q = 0; q < number; q++) sums[q][0] = sums[q][1] = (Lanes){0}, totals[q] = 0.0f;
    for (int64_t k = 0; k < count; k++, values += room) {
        const Lanes *part = (const Lanes *)values;
        for (int q = 0; q < number; q++) {
            const float weight = weights[q * places + k];
            sums[q][0] += weight * part[0];
            sums[q][1] += weight * part[1];
            totals[q] += weight;
        }
    }
}

#define OPERAND int8_t
#define PRODUCT int32_t
#define TYPED(name) name##_int8
#include "steps.h"
#undef OPERAND
#undef PRODUCT
#undef TYPED

#define OPERAND float
#define PRODUCT float
#define TYPED(name) name##_float32
#include "steps.h"

/* Logits [M, codes] -> frequencies less 1, [M, codes] of sum 2^24 - codes; what lies d below the largest weighs weights[min(d, last)]. */
void shares(const float *restrict logits, const int32_t *restrict weights, int64_t last, int64_t rows, int64_t codes,
            int32_t *restrict row_weights, float *restrict out) {
    const double spare = (double)(TOTAL - codes);
    for (int64_t m = 0; m < rows; m++, logits += codes, out += codes) {
        float largest = logits[0];
        for (int64_t k = 1; k < codes; k++) largest = largest > logits[k] ? largest : logits[k];
        int64_t total = 0;
        for (int64_t k = 0; k < codes; k++) {
            row_weights[k] = weights[(int32_t)clipped(largest - logits[k], 0.0f, (float)last)];
            total += row_weights[k];
        }
        int32_t shared = 0;
        for (int64_t k = 0; k < codes; k++) {
            int32_t share = (int32_t)((double)row_weights[k] * spare / (double)total);
            shared += share;
            out[k] = (float)share;
        }
        int64_t first = 0;
        while (first < codes - 1 && logits[first] != largest) first++;
        out[first] += (float)(spare - shared);
    }
}
