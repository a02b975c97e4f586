/* The choice of codes by distance, bits and the next map (vqcodec/rate/choice.py), in doubles whose operations have one order for each
   code: they are not fused and not reordered, so that all sets of instructions choose the same codes. */

#include "choice.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define DOUBLES (LANES / 2) /* of a vector */
#define PANEL (2 * DOUBLES)
#define NO_CODE 1e300       /* what costs more than any code */

typedef double doubles __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int64_t masks __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int32_t halves __attribute__((vector_size(4 * DOUBLES), aligned(4), may_alias));

/* Numbers of a packed codebook. */
static int64_t codebook_room(const struct choice *choice, int64_t codes) { return rounded_up(codes, FREQS_BLOCK) * (choice->dim + 1); }

int64_t choice_room(const struct choice *choice, int64_t codes) {
    const int64_t room = codebook_room(choice, codes);
    return choice->next_codebook == NULL ? room : 2 * room + rounded_up(codes, FREQS_BLOCK);
}

int64_t choice_numbers(const struct choice *choice, int64_t codes) {
    const int64_t of_targets = CHOSEN_TOGETHER * choice->dim;
    return choice->next_codebook == NULL ? of_targets : 2 * of_targets + CHOSEN_TOGETHER * rounded_up(codes, FREQS_BLOCK);
}

/* Panel by panel, half the squares of its codes' vectors, and then each of their numbers. */
static void pack_codebook(const float *codebook, int64_t dim, int64_t codes, double *packed) {
    for (int64_t k = 0; k < rounded_up(codes, FREQS_BLOCK); k++) {
        double *of_code = packed + k / PANEL * PANEL * (dim + 1) + k % PANEL, square = 0.0;
        for (int64_t d = 0; d < dim && k < codes; d++) {
            const double x = codebook[k * dim + d];
            of_code[(d + 1) * PANEL] = x;
            square += x * x;
        }
        of_code[0] = k < codes ? 0.5 * square : NO_CODE;
    }
}

/* The codebook, and that of the next map with its logits. */
void choice_pack(const struct choice *choice, int64_t codes, double *packed) {
    const int64_t room = codebook_room(choice, codes);
    pack_codebook(choice->codebook, choice->dim, codes, packed);
    if (choice->next_codebook == NULL) return;
    pack_codebook(choice->next_codebook, choice->dim, codes, packed + room);
    memcpy(packed + 2 * room, choice->next_logits, (size_t)codes * sizeof(*choice->next_logits));
}

static inline doubles all_of(double x) { return (doubles){0} + x; }
static inline doubles number_where(masks mask, doubles x, doubles y) { return (doubles)(((masks)x & mask) | ((masks)y & ~mask)); }

/* The cheapest codes for targets, the first of those that cost the same, and what they cost; the targets' logits are `stride` apart. The costs
   of all codes, [CHOSEN_TOGETHER, room], are written down unless `all_costs` is NULL. */
INLINE void find_cheapest(const double *packed, int64_t dim, int64_t room, const double *targets, const double *prices,
                          const int32_t *logits, int64_t stride, double *all_costs, int64_t *cheapest, double *least_costs) {
    doubles least[CHOSEN_TOGETHER];
    masks best[CHOSEN_TOGETHER];
    for (int m = 0; m < CHOSEN_TOGETHER; m++) least[m] = all_of(2 * NO_CODE), best[m] = (masks){0};
    for (int64_t k = 0; k < room; k += PANEL) {
        doubles costs[CHOSEN_TOGETHER][2];
        for (int m = 0; m < CHOSEN_TOGETHER; m++)
            costs[m][0] = *(const doubles *)packed, costs[m][1] = *(const doubles *)(packed + DOUBLES);
        packed += PANEL;
        for (int64_t d = 0; d < dim; d++, packed += PANEL) {
            const doubles first = *(const doubles *)packed, second = *(const doubles *)(packed + DOUBLES);
            for (int m = 0; m < CHOSEN_TOGETHER; m++) {
                const double x = targets[m * dim + d];
                costs[m][0] -= first * x, costs[m][1] -= second * x;
            }
        }
        for (int m = 0; m < CHOSEN_TOGETHER; m++)
            for (int n = 0; n < 2; n++) {
                const halves of_codes = *(const halves *)(logits + m * stride + k + n * DOUBLES);
                const doubles cost = costs[m][n] - __builtin_convertvector(of_codes, doubles) * prices[m];
                if (all_costs != NULL) *(doubles *)(all_costs + m * room + k + n * DOUBLES) = cost;
                const masks is_less = (masks)(cost < least[m]);
                least[m] = number_where(is_less, cost, least[m]);
                best[m] = (is_less & (k + n * DOUBLES)) | (best[m] & ~is_less);
            }
    }
    for (int m = 0; m < CHOSEN_TOGETHER; m++) {
        int lane = 0;
        for (int n = 1; n < DOUBLES; n++)
            if (least[m][n] < least[m][lane] || (least[m][n] == least[m][lane] && best[m][n] + n < best[m][lane] + lane)) lane = n;
        cheapest[m] = best[m][lane] + lane, least_costs[m] = least[m][lane];
    }
}

/* The code of a place that is cheapest together with a code of the next map, of the CHOSEN_TOGETHER ones that are cheapest by themselves.

   costs: what each code costs by itself.
   targets: room for CHOSEN_TOGETHER vectors.
   cheapest: the code that is cheapest by itself. */
static int64_t look_ahead(const struct walk *walk, const float *of_place, const double *costs, double *targets, int64_t cheapest) {
    const struct choice *choice = walk->choice;
    const int64_t dim = choice->dim, codes = walk->prior->codes, room = codebook_room(choice, codes);
    const double *next = walk->packed_codebooks + room;
    double least[CHOSEN_TOGETHER], prices[CHOSEN_TOGETHER], of_next[CHOSEN_TOGETHER], total = 2 * NO_CODE;
    int64_t candidates[CHOSEN_TOGETHER], next_codes[CHOSEN_TOGETHER], count = 0;
    for (int64_t k = 0; k < codes; k++) {
        if (count == CHOSEN_TOGETHER && !(costs[k] < least[count - 1])) continue;
        int64_t at = count < CHOSEN_TOGETHER ? count++ : count - 1;
        for (; at > 0 && costs[k] < least[at - 1]; at--) least[at] = least[at - 1], candidates[at] = candidates[at - 1];
        least[at] = costs[k], candidates[at] = k;
    }
    for (int64_t m = 0; m < CHOSEN_TOGETHER; m++) {
        const float *vector = choice->codebook + candidates[m < count ? m : 0] * dim;
        for (int64_t d = 0; d < dim; d++) targets[m * dim + d] = (double)of_place[d] - (double)vector[d];
        prices[m] = choice->next_half_weight * (double)of_place[dim];
    }
    find_cheapest(next, dim, walk->code_room, targets, prices, (const int32_t *)(next + room), 0, NULL, next_codes, of_next);
    for (int64_t m = 0; m < count; m++) {
        const double with_next = least[m] + choice->ahead * of_next[m];
        if (with_next < total) total = with_next, cheapest = candidates[m];
    }
    return cheapest;
}

void choose_codes(const struct walk *walk, struct tile *tile, int64_t step, int64_t first, int64_t count, const int32_t *logits,
                  double *numbers) {
    const struct choice *choice = walk->choice;
    const int64_t dim = choice->dim;
    double *targets = numbers, *next_targets = targets + CHOSEN_TOGETHER * dim, *costs = next_targets + CHOSEN_TOGETHER * dim;
    double prices[CHOSEN_TOGETHER], least[CHOSEN_TOGETHER];
    int64_t places[CHOSEN_TOGETHER], cheapest[CHOSEN_TOGETHER];
    for (int64_t m = 0; m < CHOSEN_TOGETHER; m++) {
        const int64_t row = tile->top + first + (m < count ? m : 0), column = step - walk->prior->slope * row;
        places[m] = row * tile->width + column;
        const float *of_place = tile->wanted + places[m] * (dim + 1);
        for (int64_t d = 0; d < dim; d++) targets[m * dim + d] = of_place[d];
        prices[m] = choice->half_weight * (double)of_place[dim];
    }
    const int64_t room = walk->code_room;
    const double *packed = walk->packed_codebooks;
    if (choice->next_codebook == NULL) {
        find_cheapest(packed, dim, room, targets, prices, logits, room, NULL, cheapest, least);
    } else {
        find_cheapest(packed, dim, room, targets, prices, logits, room, costs, cheapest, least);
        for (int64_t m = 0; m < count; m++)
            cheapest[m] = look_ahead(walk, tile->wanted + places[m] * (dim + 1), costs + m * room, next_targets, cheapest[m]);
    }
    for (int64_t m = 0; m < count; m++) {
        if (cheapest[m] >= walk->prior->codes) cheapest[m] = 0; /* where numbers are infinite or none, of a broken network */
        tile->codes[places[m]] = (int32_t)cheapest[m];
    }
}
