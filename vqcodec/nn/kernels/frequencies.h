/* Logits to frequencies of sum 2^24 (FORMAT.md, section 7). */

#ifndef FREQUENCIES_H
#define FREQUENCIES_H

#include "walk.h"

#define SUMMED 1024 /* vectors of weights, at most 2^20 each, whose sums fit into 32 bits */

static const int32_t OCTAVES[16] = {1073741824, 1028218693, 984625594, 942880699, 902905651, 864625413, 827968132, 792865000,
                                    759250125,  727060411,  696235434, 666717336, 638450708, 611382493, 585461881, 560640218};

/* Frequencies of `codes` logits, of which there is room for a multiple of FREQS_BLOCK; and the sums of each block of them.

   Each code gets 1 and floor(T * spare / sum of T), T its weight. The quotient is computed as T * (spare / sum) + 1 / (2 * sum) in doubles,
   whose floor is the same: the quotient is a multiple of 1 / sum, T * spare < 2^44, and so three roundings err by less than 2^-7 / sum. */
static void frequencies(int32_t *restrict logits, int64_t codes, int32_t *restrict freqs, int32_t *restrict sums) {
    const int64_t room = (codes + FREQS_BLOCK - 1) / FREQS_BLOCK * FREQS_BLOCK;
    for (int64_t k = codes; k < room; k++) logits[k] = -(1 << 20); /* weighs nothing */
    vec largest = vec_load(logits);
    for (int64_t k = LANES; k < room; k += LANES) largest = vec_max(largest, vec_load(logits + k));
    const int32_t most = vec_largest(largest);
    double total = 0.0;
    for (int64_t start = 0; start < room; start += SUMMED * LANES) {
        const int64_t end = room - start < SUMMED * LANES ? room : start + SUMMED * LANES;
        vec sum = {0};
        for (int64_t k = start; k < end; k += LANES) {
            const vec below = most - vec_load(logits + k);
            const vec weights = look_up_16(OCTAVES, below & 15) >> vec_min(10 + (below >> 4), vec_all(31));
            vec_store(freqs + k, weights);
            sum += weights;
        }
        for (int lane = 0; lane < LANES; lane++) total += sum[lane];
    }
    const int32_t spare = (1 << TOTAL_BITS) - (int32_t)codes;
    const double share = spare / total, half = 0.5 / total;
    int32_t given = 0;
    for (int64_t k = 0; k < room; k += FREQS_BLOCK) {
        int32_t of_block = 0;
        for (int64_t i = k; i < k + FREQS_BLOCK; i++) {
            freqs[i] = 1 + (int32_t)((double)freqs[i] * share + half);
            of_block += freqs[i];
        }
        sums[k / FREQS_BLOCK] = of_block;
        given += of_block;
    }
    for (int64_t k = codes; k < room; k++) freqs[k] = 0;
    given -= (int32_t)(room - codes);
    sums[room / FREQS_BLOCK - 1] -= (int32_t)(room - codes);
    int64_t first = 0;
    while (!vec_has(vec_load(logits + first), most)) first += LANES;
    while (logits[first] != most) first++;
    freqs[first] += (1 << TOTAL_BITS) - given;
    sums[first / FREQS_BLOCK] += (1 << TOTAL_BITS) - given;
}

#endif
