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
#define MOST_TABLED 2048    /* codes of codebooks whose products are kept in a table: 32 MiB */

typedef double doubles __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int64_t masks __attribute__((vector_size(8 * DOUBLES), aligned(4), may_alias));
typedef int32_t halves __attribute__((vector_size(4 * DOUBLES), aligned(4), may_alias));

/* Numbers of a packed codebook. */
static int64_t codebook_room(const struct choice *choice, int64_t codes) { return rounded_up(codes, FREQS_BLOCK) * (choice->dim + 1); }

int64_t choice_room(const struct choice *choice, int64_t codes) {
    const int64_t room = codebook_room(choice, codes), rows = codes <= MOST_TABLED ? codes : 0;
    return choice->next_codebook == NULL ? room : 2 * room + (1 + rows) * rounded_up(codes, FREQS_BLOCK);
}

int64_t choice_numbers(const struct choice *choice, int64_t codes) {
    const int64_t of_targets = CHOSEN_TOGETHER * choice->dim;
    return choice->next_codebook == NULL ? of_targets : of_targets + 3 * CHOSEN_TOGETHER * rounded_up(codes, FREQS_BLOCK);
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

/* The products of a code's vector with all those of the next map's packed codebook. */
static void find_products(const struct choice *choice, int64_t codes, const double *next, int64_t code, double *products) {
    const float *vector = choice->codebook + code * choice->dim;
    for (int64_t k = 0; k < rounded_up(codes, FREQS_BLOCK); k += PANEL) {
        doubles first = {0}, second = {0};
        next += PANEL;
        for (int64_t d = 0; d < choice->dim; d++, next += PANEL) {
            const double x = vector[d];
            first += *(const doubles *)next * x, second += *(const doubles *)(next + DOUBLES) * x;
        }
        *(doubles *)(products + k) = first, *(doubles *)(products + k + DOUBLES) = second;
    }
}

/* The codebook, that of the next map with its logits, and up to MOST_TABLED codes the products of both codebooks, [codes, room]. */
void choice_pack(const struct choice *choice, int64_t codes, double *packed) {
    const int64_t room = codebook_room(choice, codes), code_room = rounded_up(codes, FREQS_BLOCK);
    pack_codebook(choice->codebook, choice->dim, codes, packed);
    if (choice->next_codebook == NULL) return;
    pack_codebook(choice->next_codebook, choice->dim, codes, packed + room);
    memcpy(packed + 2 * room, choice->next_logits, (size_t)codes * sizeof(*choice->next_logits));
    double *products = packed + 2 * room + code_room;
    if (codes > MOST_TABLED) return;
    for (int64_t k = 0; k < codes; k++) find_products(choice, codes, packed + room, k, products + k * code_room);
}

static inline doubles all_of(double x) { return (doubles){0} + x; }
static inline doubles number_where(masks mask, doubles x, doubles y) { return (doubles)(((masks)x & mask) | ((masks)y & ~mask)); }

/* The cheapest codes for targets, the first of those that cost the same, and what they cost; the targets' logits are `stride` apart. The
   costs of all codes, [CHOSEN_TOGETHER, room], are written down unless `all_costs` is NULL. */
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

/* Whether one of the costs of a panel of codes is less than a limit. */
INLINE int has_less(const double *costs, double limit) {
    const masks is_less = (masks)(*(const doubles *)costs < limit) | (masks)(*(const doubles *)(costs + DOUBLES) < limit);
    int64_t found = 0;
    for (int n = 0; n < DOUBLES; n++) found |= is_less[n];
    return found != 0;
}

/* The CHOSEN_TOGETHER cheapest codes and their costs, the cheapest first; code 0 at 2 * NO_CODE where there are too few. */
static void find_candidates(const double *costs, int64_t codes, int64_t *candidates, double *least) {
    for (int m = 0; m < CHOSEN_TOGETHER; m++) candidates[m] = 0, least[m] = 2 * NO_CODE;
    for (int64_t first = 0; first < codes; first += PANEL) {
        if (!has_less(costs + first, least[CHOSEN_TOGETHER - 1])) continue;
        for (int64_t k = first; k < first + PANEL && k < codes; k++) {
            if (!(costs[k] < least[CHOSEN_TOGETHER - 1])) continue;
            int at = CHOSEN_TOGETHER - 1;
            for (; at > 0 && costs[k] < least[at - 1]; at--) least[at] = least[at - 1], candidates[at] = candidates[at - 1];
            least[at] = costs[k], candidates[at] = k;
        }
    }
}

/* The least sum of costs and of each of CHOSEN_TOGETHER rows of products. */
static void find_least_sums(const double *costs, const double *const *products, int64_t room, double *least) {
    for (int m = 0; m < CHOSEN_TOGETHER; m++) least[m] = 2 * NO_CODE;
    for (int64_t k = 0; k < room; k++)
        for (int m = 0; m < CHOSEN_TOGETHER; m++) {
            const double sum = costs[k] + products[m][k];
            least[m] = sum < least[m] ? sum : least[m];
        }
}

/* The code of a place that is cheapest together with a code of the next map, of the CHOSEN_TOGETHER ones that are cheapest by themselves.

   costs: what each code costs by itself.
   next_costs: what each code of the next map would cost for the place's own vector; its product with the code before it is added to that.
   numbers: room for the products of CHOSEN_TOGETHER codes, where there is no table of them.
   cheapest: the code that is cheapest by itself. */
static int64_t look_ahead(const struct walk *walk, const double *costs, const double *next_costs, double *numbers, int64_t cheapest) {
    const struct choice *choice = walk->choice;
    const int64_t codes = walk->prior->codes, room = walk->code_room, of_codebook = codebook_room(choice, codes);
    const double *next = walk->packed_codebooks + of_codebook, *table = next + of_codebook + room, *products[CHOSEN_TOGETHER];
    double least[CHOSEN_TOGETHER], of_next[CHOSEN_TOGETHER], total = 2 * NO_CODE;
    int64_t candidates[CHOSEN_TOGETHER];
    find_candidates(costs, codes, candidates, least);
    for (int m = 0; m < CHOSEN_TOGETHER; m++) {
        products[m] = codes > MOST_TABLED ? numbers + m * room : table + candidates[m] * room;
        if (codes > MOST_TABLED) find_products(choice, codes, next, candidates[m], numbers + m * room);
    }
    find_least_sums(next_costs, products, room, of_next);
    for (int m = 0; m < CHOSEN_TOGETHER; m++) {
        const double with_next = least[m] + choice->ahead * of_next[m];
        if (with_next < total) total = with_next, cheapest = candidates[m];
    }
    return cheapest;
}

void choose_codes(const struct walk *walk, struct tile *tile, int64_t step, int64_t first, int64_t count, const int32_t *logits,
                  double *numbers) {
    const struct choice *choice = walk->choice;
    const int64_t dim = choice->dim, room = walk->code_room, of_codebook = codebook_room(choice, walk->prior->codes);
    double *targets = numbers, *costs = targets + CHOSEN_TOGETHER * dim, *next_costs = costs + CHOSEN_TOGETHER * room;
    double prices[CHOSEN_TOGETHER], next_prices[CHOSEN_TOGETHER], least[CHOSEN_TOGETHER];
    int64_t places[CHOSEN_TOGETHER], cheapest[CHOSEN_TOGETHER], next_cheapest[CHOSEN_TOGETHER];
    for (int64_t m = 0; m < CHOSEN_TOGETHER; m++) {
        const int64_t row = tile->top + first + (m < count ? m : 0), column = step - walk->prior->slope * row;
        places[m] = row * tile->width + column;
        const float *of_place = tile->wanted + places[m] * (dim + 1);
        for (int64_t d = 0; d < dim; d++) targets[m * dim + d] = of_place[d];
        prices[m] = choice->half_weight * (double)of_place[dim], next_prices[m] = choice->next_half_weight * (double)of_place[dim];
    }
    const double *packed = walk->packed_codebooks, *next = packed + of_codebook;
    if (choice->next_codebook == NULL) {
        find_cheapest(packed, dim, room, targets, prices, logits, room, NULL, cheapest, least);
    } else {
        const int32_t *next_logits = (const int32_t *)(next + of_codebook);
        find_cheapest(packed, dim, room, targets, prices, logits, room, costs, cheapest, least);
        find_cheapest(next, dim, room, targets, next_prices, next_logits, 0, next_costs, next_cheapest, least);
        for (int64_t m = 0; m < count; m++)
            cheapest[m] = look_ahead(walk, costs + m * room, next_costs + m * room, next_costs + CHOSEN_TOGETHER * room, cheapest[m]);
    }
    for (int64_t m = 0; m < count; m++) {
        if (cheapest[m] >= walk->prior->codes) cheapest[m] = 0; /* where numbers are infinite or none, of a broken network */
        tile->codes[places[m]] = (int32_t)cheapest[m];
    }
}
