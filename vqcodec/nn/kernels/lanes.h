/* Vectors of 32-bit integers, and the products of operands with weights, for each set of instructions.

   A product instruction takes a word of WORD operands, the same for all lanes, and a word of weights a lane, and adds their dot product to each
   lane: exactly, whatever the values. Operands are stored ZERO higher than they are, where an instruction takes unsigned ones only. */

#ifndef LANES_H
#define LANES_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
typedef uint8_t operand;
typedef int8_t weight;
#define WORD 4
#define ZERO 128
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int8_t operand;
typedef int8_t weight;
#define WORD 4
#define ZERO 0
#else
typedef int16_t operand;
typedef int16_t weight;
#define WORD 2
#define ZERO 0
#endif

/* LANES of a vector; and how many rows by how many vectors of sums fit into the registers. */
#if defined(__AVX512BW__)
#include <immintrin.h>
#define LANES 16
#define MOST_ROWS 6
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#define MOST_ROWS 3
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define LANES 4
#define MOST_ROWS 5
#else
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#define LANES 4
#define MOST_ROWS 2
#endif
#define MOST_VECTORS 4

typedef int32_t vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec vec_load(const void *place) { return *(const vec *)place; }
INLINE void vec_store(void *place, vec x) { *(vec *)place = x; }
INLINE vec vec_all(int32_t x) { return (vec){0} + x; }
INLINE vec vec_choose(vec mask, vec x, vec y) { return (x & mask) | (y & ~mask); }

INLINE vec vec_max(vec x, vec y) {
#if defined(__AVX512BW__)
    return (vec)_mm512_max_epi32((__m512i)x, (__m512i)y);
#elif defined(__AVX2__)
    return (vec)_mm256_max_epi32((__m256i)x, (__m256i)y);
#else
    return vec_choose(x > y, x, y);
#endif
}

INLINE vec vec_min(vec x, vec y) { return ~vec_max(~x, ~y); }

/* Whether one of the numbers is y. */
INLINE int vec_has(vec x, int32_t y) {
#if defined(__AVX512BW__)
    return _mm512_cmpeq_epi32_mask((__m512i)x, _mm512_set1_epi32(y)) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32((__m256i)x, _mm256_set1_epi32(y))) != 0;
#else
    int has = 0;
    for (int lane = 0; lane < LANES; lane++) has |= x[lane] == y;
    return has;
#endif
}

INLINE int32_t vec_largest(vec x) {
    int32_t largest = x[0];
    for (int lane = 1; lane < LANES; lane++) largest = largest > x[lane] ? largest : x[lane];
    return largest;
}

/* The word of operands at a place, in all lanes. */
INLINE vec word_at(const operand *place) {
    int32_t word;
    memcpy(&word, place, sizeof(word));
    return vec_all(word);
}

/* sums + the dot products of words of operands and of weights. */
INLINE vec dot(vec sums, vec operands, vec weights) {
#if defined(__AVX512VNNI__)
    return (vec)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)operands, (__m512i)weights);
#elif defined(__AVXVNNI__)
    return (vec)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)operands, (__m256i)weights);
#elif defined(__AVX512BW__)
    return sums + (vec)_mm512_madd_epi16((__m512i)operands, (__m512i)weights);
#elif defined(__AVX2__)
    return sums + (vec)_mm256_madd_epi16((__m256i)operands, (__m256i)weights);
#elif defined(__SSE2__)
    return sums + (vec)_mm_madd_epi16((__m128i)operands, (__m128i)weights);
#elif defined(__ARM_FEATURE_DOTPROD)
    return (vec)vdotq_s32((int32x4_t)sums, (int8x16_t)operands, (int8x16_t)weights);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    const int16x8_t x = (int16x8_t)operands, y = (int16x8_t)weights;
    return sums + (vec)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
#else  /* the low and the high half of each word as signed numbers */
    return sums + ((operands << 16) >> 16) * ((weights << 16) >> 16) + (operands >> 16) * (weights >> 16);
#endif
}

/* table[index] of 16 entries, index in 0..15. */
INLINE vec look_up_16(const int32_t table[16], vec index) {
#if defined(__AVX512BW__)
    return (vec)_mm512_permutexvar_epi32((__m512i)index, _mm512_loadu_si512(table));
#elif defined(__AVX2__)
    const __m256i low = _mm256_loadu_si256((const __m256i *)table), high = _mm256_loadu_si256((const __m256i *)(table + 8));
    return vec_choose(index > 7, (vec)_mm256_permutevar8x32_epi32(high, (__m256i)index), (vec)_mm256_permutevar8x32_epi32(low, (__m256i)index));
#else
    vec found;
    for (int lane = 0; lane < LANES; lane++) found[lane] = table[index[lane]];
    return found;
#endif
}

#endif
