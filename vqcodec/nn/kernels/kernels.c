/* Frequencies of logits in floats, for what is coded or drawn in Python: the numbers of `vqcodec.coding.frequencies`. */

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define TOTAL (1 << 24)

/* What `vqcodec.nn.kernels` must agree with. */
const int64_t version = 7;

INLINE float clipped(float x, float least, float most) {
    x = x > least ? x : least;
    return x < most ? x : most;
}

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
