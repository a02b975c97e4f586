/* The choice of codes by distance, bits and drift (vqcodec/rate/choice.py), in doubles whose operations have one order for each code: they
   are not fused and not reordered, so that all sets of instructions choose the same codes. */

#include "choice.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define DOUBLES (LANES / 2) /* of a vector */
#define PANEL (2 * DOUBLES)
#define NO_CODE 1e300       /* what costs more than any code */

typedef double numbers __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int64_t masks __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int32_t halves __attribute__((vector_size(4 * DOUBLES), aligned(4), may_alias));

int64_t choice_room(int64_t codes, int64_t dim) { return rounded_up(codes, FREQS_BLOCK) * (dim + 1); }

/* Panel by panel, half the squares of its codes' vectors, and then each of their numbers. */
void choice_pack(const struct choice *choice, int64_t codes, double *packed) {
    for (int64_t k = 0; k < rounded_up(codes, FREQS_BLOCK); k++) {
        double *of_code = packed + k / PANEL * PANEL * (choice->dim + 1) + k % PANEL, square = 0.0;
        for (int64_t d = 0; d < choice->dim && k < codes; d++) {
            const double x = choice->codebook[k * choice->dim + d];
            of_code[(d + 1) * PANEL] = x;
            square += x * x;
        }
        of_code[0] = k < codes ? 0.5 * square : NO_CODE;
    }
}

/* The drift that arrived at a place of a tile, from the left and from above. */
static void find_arrived(const struct tile *tile, int64_t row, int64_t column, double arrived[COLOURS]) {
    const double *own = tile->drift + (row * tile->width + column) * COLOURS;
    for (int64_t c = 0; c < COLOURS; c++) {
        arrived[c] = column > 0 ? own[c - COLOURS] : 0.0;
        if (row > 0) arrived[c] += own[c - tile->width * COLOURS];
    }
}

/* What to come close to: the vector of a place, and against the drift that arrived there. */
static void find_target(const struct choice *choice, const float *of_place, const double arrived[COLOURS], double *target) {
    const int64_t dim = choice->dim;
    for (int64_t d = 0; d < dim; d++) target[d] = of_place[d];
    if (choice->colours == NULL) return;
    const double charge = choice->charge * (double)of_place[dim + 1];
    for (int64_t c = 0; c < COLOURS; c++) {
        const double pull = charge * arrived[c];
        for (int64_t d = 0; d < dim; d++) target[d] += pull * (double)choice->colours[c * dim + d];
    }
}

static void carry_on(const struct choice *choice, const float *of_place, const double arrived[COLOURS], int64_t code, double *drift) {
    const int64_t dim = choice->dim;
    for (int64_t c = 0; c < COLOURS; c++) {
        double own = arrived[c];
        for (int64_t d = 0; d < dim; d++)
            own += (double)choice->colours[c * dim + d] * ((double)of_place[d] - (double)choice->codebook[code * dim + d]);
        drift[c] = choice->carried * own;
    }
}

static inline numbers all_of(double x) { return (numbers){0} + x; }
static inline numbers number_where(masks mask, numbers x, numbers y) { return (numbers)(((masks)x & mask) | ((masks)y & ~mask)); }

/* The cheapest codes of places, the first of those that cost the same; the places' logits are `room` apart. */
static void find_cheapest(const double *packed, int64_t dim, int64_t room, const double *targets, const double *prices,
                          const int32_t *logits, int64_t *cheapest) {
    numbers least[CHOSEN_TOGETHER];
    masks best[CHOSEN_TOGETHER];
    for (int m = 0; m < CHOSEN_TOGETHER; m++) least[m] = all_of(2 * NO_CODE), best[m] = (masks){0};
    for (int64_t k = 0; k < room; k += PANEL) {
        numbers costs[CHOSEN_TOGETHER][2];
        for (int m = 0; m < CHOSEN_TOGETHER; m++)
            costs[m][0] = *(const numbers *)packed, costs[m][1] = *(const numbers *)(packed + DOUBLES);
        packed += PANEL;
        for (int64_t d = 0; d < dim; d++, packed += PANEL) {
            const numbers first = *(const numbers *)packed, second = *(const numbers *)(packed + DOUBLES);
            for (int m = 0; m < CHOSEN_TOGETHER; m++) {
                const double x = targets[m * dim + d];
                costs[m][0] -= first * x, costs[m][1] -= second * x;
            }
        }
        for (int m = 0; m < CHOSEN_TOGETHER; m++)
            for (int n = 0; n < 2; n++) {
                const halves of_codes = *(const halves *)(logits + m * room + k + n * DOUBLES);
                const numbers cost = costs[m][n] - __builtin_convertvector(of_codes, numbers) * prices[m];
                const masks is_less = (masks)(cost < least[m]);
                least[m] = number_where(is_less, cost, least[m]);
                best[m] = (is_less & (k + n * DOUBLES)) | (best[m] & ~is_less);
            }
    }
    for (int m = 0; m < CHOSEN_TOGETHER; m++) {
        int lane = 0;
        for (int n = 1; n < DOUBLES; n++)
            if (least[m][n] < least[m][lane] || (least[m][n] == least[m][lane] && best[m][n] + n < best[m][lane] + lane)) lane = n;
        cheapest[m] = best[m][lane] + lane;
    }
}

void choose_codes(const struct walk *walk, struct tile *tile, int64_t step, int64_t first, int64_t count, const int32_t *logits,
                  double *targets) {
    const struct choice *choice = walk->choice;
    const int64_t dim = choice->dim;
    double prices[CHOSEN_TOGETHER], arrived[CHOSEN_TOGETHER][COLOURS];
    int64_t places[CHOSEN_TOGETHER], cheapest[CHOSEN_TOGETHER];
    for (int64_t m = 0; m < CHOSEN_TOGETHER; m++) {
        const int64_t row = tile->top + first + (m < count ? m : 0), column = step - walk->prior->slope * row;
        places[m] = row * tile->width + column;
        const float *of_place = tile->wanted + places[m] * (dim + 2);
        if (choice->colours != NULL) find_arrived(tile, row, column, arrived[m]);
        find_target(choice, of_place, arrived[m], targets + m * dim);
        prices[m] = choice->half_weight * (double)of_place[dim];
    }
    find_cheapest(walk->packed_codebook, dim, walk->code_room, targets, prices, logits, cheapest);
    for (int64_t m = 0; m < count; m++) {
        if (cheapest[m] >= walk->prior->codes) cheapest[m] = 0; /* where numbers are infinite or none, of a broken network */
        tile->codes[places[m]] = (int32_t)cheapest[m];
        if (choice->colours == NULL) continue;
        carry_on(choice, tile->wanted + places[m] * (dim + 2), arrived[m], cheapest[m], tile->drift + places[m] * COLOURS);
    }
}
