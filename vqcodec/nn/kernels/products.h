/* Products of rows of operands with a packed matrix of weights: exact sums of 32 bits.

   A matrix is packed in panels of LANES outputs: [panels, words, LANES, WORD]. Rows are given by the places of their first operands, and the
   operands of a row by segments: runs of words at the same distance from the first operand in all rows. */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "lanes.h"

struct rows {
    const operand *const *places;
    int64_t count;
    const int64_t *segments; /* distances from the first operand, in operands */
    int64_t num_segments, segment_words;
};

struct matrix {
    const weight *packed;
    const int32_t *offsets; /* what the sums of each output start from, [panels * LANES]: it makes up for ZERO */
    int64_t panels, panel;  /* number of panels; weights from one to the next */
};

INLINE void products_block(const int height, const int width, const struct rows *rows, const operand *const *places, const weight *packed,
                           int64_t panel, const int32_t *offsets, int32_t *out, int64_t stride) {
    vec sums[MOST_ROWS][MOST_VECTORS];
    for (int m = 0; m < height; m++)
        for (int n = 0; n < width; n++) sums[m][n] = vec_load(offsets + n * LANES);
    for (int64_t s = 0; s < rows->num_segments; s++) {
        const operand *own[MOST_ROWS];
        for (int m = 0; m < height; m++) own[m] = places[m] + rows->segments[s];
        for (int64_t k = 0; k < rows->segment_words; k++, packed += LANES * WORD) {
            vec weights[MOST_VECTORS];
            for (int n = 0; n < width; n++) weights[n] = vec_load(packed + n * panel);
            for (int m = 0; m < height; m++) {
                const vec word = word_at(own[m] + k * WORD);
                for (int n = 0; n < width; n++) sums[m][n] = dot(sums[m][n], word, weights[n]);
            }
        }
    }
    for (int m = 0; m < height; m++)
        for (int n = 0; n < width; n++) vec_store(out + m * stride + n * LANES, sums[m][n]);
}

/* A function for each width, which has its loops unrolled for each height. */
#define PRODUCTS_OF_WIDTH(width)                                                                                                             \
    static void products_##width(const struct rows *rows, const weight *packed, int64_t panel, const int32_t *offsets, int32_t *out,         \
                                 int64_t stride) {                                                                                           \
        for (int64_t m = 0; m < rows->count; m += MOST_ROWS, out += MOST_ROWS * stride) {                                                    \
            const operand *const *places = rows->places + m;                                                                                 \
            switch (rows->count - m) {                                                                                                       \
            case 1: products_block(1, width, rows, places, packed, panel, offsets, out, stride); break;                                      \
            case 2: products_block(2, width, rows, places, packed, panel, offsets, out, stride); break;                                      \
            PRODUCTS_OF_MORE_ROWS(width)                                                                                                     \
            default: products_block(MOST_ROWS, width, rows, places, packed, panel, offsets, out, stride);                                    \
            }                                                                                                                                \
        }                                                                                                                                    \
    }
#define PRODUCTS_CASE(height, width) \
    case height: products_block(height, width, rows, places, packed, panel, offsets, out, stride); break;
#if MOST_ROWS >= 5
#define PRODUCTS_OF_MORE_ROWS(width) PRODUCTS_CASE(3, width) PRODUCTS_CASE(4, width) PRODUCTS_CASE(5, width)
#else
#define PRODUCTS_OF_MORE_ROWS(width)
#endif
PRODUCTS_OF_WIDTH(1)
PRODUCTS_OF_WIDTH(2)
PRODUCTS_OF_WIDTH(4)

/* out [count, ...], whose rows are `stride` apart and have room for panels * LANES sums. */
static void products(const struct rows *rows, const struct matrix *matrix, int32_t *out, int64_t stride) {
    for (int64_t n = 0; n < matrix->panels;) {
        const int64_t left = matrix->panels - n, at = n * LANES;
        const weight *packed = matrix->packed + n * matrix->panel;
        if (left >= 4)
            products_4(rows, packed, matrix->panel, matrix->offsets + at, out + at, stride), n += 4;
        else if (left >= 2)
            products_2(rows, packed, matrix->panel, matrix->offsets + at, out + at, stride), n += 2;
        else
            products_1(rows, packed, matrix->panel, matrix->offsets + at, out + at, stride), n += 1;
    }
}

#endif
