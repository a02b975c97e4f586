/* Codes that are chosen on the way, by distance, bits and the next map (vqcodec/rate/choice.py). */

#ifndef CHOICE_H
#define CHOICE_H

#include "walk.h"

#define CHOSEN_TOGETHER 4 /* places, or codes of one place, whose costs are computed together */

/* A code k at a place with vector z costs 0.5 |e_k|^2 - <z, e_k> - half_weight * weight * logit_k.

   Where the next map quantises what is left, z - e_k, the CHOSEN_TOGETHER cheapest codes cost beside that, `ahead` times, what the cheapest
   code r of the next map does: 0.5 |e_r|^2 - <z - e_k, e_r> - next_half_weight * weight * logit_r, r's logits being the same everywhere. */
struct choice {
    int64_t dim;
    const float *codebook; /* [codes, dim] */
    const float *places;   /* of each place of each tile, in the order of codes, [dim + 1]: its vector and its weight */
    const float *next_codebook; /* [codes, dim], of the next map; NULL where none quantises what is left */
    const int32_t *next_logits; /* [codes] */
    double half_weight, next_half_weight, ahead;
};

/* Numbers that packed codebooks and a table of their products take, all of which are 0 at first; and packing them. */
int64_t choice_room(const struct choice *choice, int64_t codes);
void choice_pack(const struct choice *choice, int64_t codes, double *packed);

/* Numbers that a thread needs room for to choose codes. */
int64_t choice_numbers(const struct choice *choice, int64_t codes);

/* Chooses the codes of up to CHOSEN_TOGETHER rows of a tile's step, from `first` on, by their logits [CHOSEN_TOGETHER, code_room];
   `numbers` is room for those of `choice_numbers`. */
void choose_codes(const struct walk *walk, struct tile *tile, int64_t step, int64_t first, int64_t count, const int32_t *logits,
                  double *numbers);

#endif
