/* Codes that are chosen on the way, by distance, bits and drift (vqcodec/rate/choice.py). */

#ifndef CHOICE_H
#define CHOICE_H

#include "walk.h"

#define COLOURS 3
#define CHOSEN_TOGETHER 4 /* places whose costs are computed together */

/* A code k at a place with vector z costs 0.5 |e_k|^2 - <z + pull, e_k> - half_weight * weight * logit_k, where pull is the sum over the
   colours of charge * flatness * the drift that arrived * what vectors add to the colour. */
struct choice {
    int64_t dim;
    const float *codebook; /* [codes, dim] */
    const float *places;   /* of each place of each tile, in the order of codes, [dim + 2]: its vector, its weight and its flatness */
    const float *colours;  /* [COLOURS, dim], what vectors add to the mean colour; NULL where drift costs nothing */
    double half_weight, charge;
    double carried; /* share of the drift at a place that arrives to its right, and below it */
};

/* Numbers that a packed codebook takes, all of which are 0 at first; and packing it. */
int64_t choice_room(int64_t codes, int64_t dim);
void choice_pack(const struct choice *choice, int64_t codes, double *packed);

/* Chooses the codes of up to CHOSEN_TOGETHER rows of a tile's step, from `first` on, by their logits [CHOSEN_TOGETHER, code_room], and carries
   the drift on; `targets` is room for CHOSEN_TOGETHER vectors. */
void choose_codes(const struct walk *walk, struct tile *tile, int64_t step, int64_t first, int64_t count, const int32_t *logits,
                  double *targets);

#endif
