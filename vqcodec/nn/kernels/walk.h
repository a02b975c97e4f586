/* The tiles of a walk, the parts of a group of them that threads take, and their steps (FORMAT.md, sections 4 and 7). */

#ifndef WALK_H
#define WALK_H

#include "prior.h"

#define TOTAL_BITS 24
#define FREQS_BLOCK 16 /* frequencies whose sum is kept, a multiple of LANES */

struct tile {
    int64_t height, width;
    const int32_t *earlier; /* the same tile of the maps before, one after the other; the first is half as high and wide */
    int32_t *codes;         /* [height, width] */
    operand *columns;       /* the last columns of the inputs of causal convolutions */
    operand *condition;     /* [height, width, padded(condition_channels)], or NULL */
    weight *keys, *values;  /* [heads, key_room] and [heads, value_room], packed as matrices; NULL without attention */
    int32_t *key_offsets;   /* [heads, places] */
    int64_t count;          /* codes whose keys and values are known */
    const float *wanted;    /* of each place what a choice wants there, or NULL */
    int64_t top, rows, at;  /* rows of codes of the current step, and the number of the first of them in the part */
};

/* Where in `columns` the input of a causal convolution is kept: `ring` columns of (height + 2 * reach) rows. */
struct columns {
    int64_t at, column, row, reach, ring;
};

/* What all tiles of a walk share. */
struct geometry {
    int64_t height, width;           /* of the largest tile */
    int64_t num_columns;             /* operands of a tile's `columns` */
    struct columns first, *blocks;
    int64_t places;                  /* codes of a tile, rounded up, that attention has room for */
    int64_t key_panel, value_panel;  /* weights from panel to panel */
    int64_t key_room, value_room;    /* weights of a head */
};

/* What a thread works with: room for CHUNK rows, for attention and for a choice. */
struct scratch {
    int32_t *sums, *more_sums;
    float *starts;
    operand *hidden, *inputs;
    const operand **places;
    int32_t *scores;
    operand *weights;
    double *numbers;
};

/* Tiles that one thread takes through a step. */
struct part {
    struct tile *tiles;
    int64_t num_tiles;
    float *streams;              /* [rows, channels] */
    int32_t *freqs, *freq_sums;  /* [rows, code_room] and [rows, code_room / FREQS_BLOCK] */
};

/* Chooses the codes [count] of some places by their logits, `room` a place; returns whether the walk goes on. */
typedef int64_t (*drawing)(int64_t count, int64_t room, const int32_t *logits, int32_t *codes);

struct walk {
    const struct prior *prior;
    struct geometry geometry;
    int64_t code_room;
    const struct choice *choice; /* NULL where codes are decoded or known */
    double *packed_codebooks;
    drawing draw;    /* NULL where codes are decoded, known or chosen; what draws gets logits in place of frequencies */
    int32_t sharpness; /* sixteenths by which logits are multiplied */
    int needs_freqs; /* whether frequencies are computed: not where codes are drawn, or chosen and not coded */
};

void *room_for(int64_t count, int64_t size);

/* Computes the condition of a tile; returns 0 where there is no memory. */
int64_t condition_of_tile(const struct prior *prior, struct tile *tile, struct scratch *scratch);

/* Computes the frequencies of the codes of a step of the tiles of a part, whose codes of earlier steps are known, and makes the choice. */
void step_of_part(const struct walk *walk, struct part *part, int64_t step, struct scratch *scratch);

/* Replaces the streams [count, channels] by sums, rounded, and adds them to what they were if `is_added`. */
INLINE void to_streams(const struct layer *layer, const int32_t *restrict sums, int64_t count, float *restrict streams, int is_added) {
    const float *restrict units = layer->units, *restrict biases = layer->biases;
    for (int64_t m = 0; m < count; m++, sums += layer->room, streams += layer->outputs)
        for (int64_t c = 0; c < layer->outputs; c++) {
            const float start = is_added ? biases[c] + streams[c] : biases[c];
            streams[c] = clipped(floored(start + (float)sums[c] * units[c]), -MAX_STREAM, MAX_STREAM);
        }
}

/* First row of a tile that has a code in a step, at most its height; and how many rows from there on have one. */
INLINE int64_t first_row(const struct tile *tile, int64_t slope, int64_t step) {
    const int64_t behind = step - tile->width + 1, top = behind > 0 ? (behind + slope - 1) / slope : 0;
    return top < tile->height ? top : tile->height;
}
INLINE int64_t num_rows(const struct tile *tile, int64_t slope, int64_t step) {
    if (step < 0) return 0;
    const int64_t end = step / slope + 1, rows = (end < tile->height ? end : tile->height) - first_row(tile, slope, step);
    return rows > 0 ? rows : 0;
}

#endif
