/* Whole walks: threads that share the work of a batch of tiles, and the streams that the codes are read from or coded for.

   Groups of tiles that share a stream are joined to chains, which go from step to step on their own; the tiles of a chain are cut into
   parts. Whichever thread is free takes a part through its step, and the one that finishes the last part of a chain reads the codes of
   the step, or looks up what coding them takes. */

#include <pthread.h>

#include "choice.h"
#include "rans.h"
#include "rooms.h"

struct group {
    struct tile *tiles;
    int64_t num_tiles;
    struct stream stream;
    struct share *shares; /* of the codes in their order, where they are to be coded; NULL where the stream tells them, or nobody asks */
};

struct chain {
    struct group *groups;
    struct part *parts;
    int64_t num_groups, num_parts, num_steps, step, pending;
};

struct team {
    struct walk walk;
    int64_t num_tiles, num_groups, num_chains, num_parts, num_threads;
    struct tile *tiles;
    struct group *groups;
    struct chain *chains;
    struct part *parts;
    struct chain **chain_of_part; /* by the number of the part */
    struct scratch *scratches;    /* of each thread */
    pthread_mutex_t lock;
    pthread_cond_t has_news;
    int64_t *ready; /* numbers of parts that wait for a thread: a ring of num_parts */
    int64_t first_ready, num_ready, chains_left, lacks_memory, next_scratch;
};

/* The code of a step in a row of a tile's step. */
static int32_t *code_of(const struct team *team, const struct chain *chain, const struct tile *tile, int64_t n) {
    return tile->codes + (tile->top + n) * tile->width + chain->step - team->walk.prior->slope * (tile->top + n);
}

/* Asks for the codes of a step, part by part; returns whether the walk goes on. */
static int draw_step(const struct team *team, const struct chain *chain) {
    for (const struct part *part = chain->parts; part < chain->parts + chain->num_parts; part++) {
        const struct tile *last = part->tiles + part->num_tiles - 1;
        int32_t *drawn = part->freq_sums; /* which has room for one a row, and no other use here */
        const int64_t rows = last->at + last->rows;
        if (rows > 0 && !team->walk.draw(rows, team->walk.code_room, part->freqs, drawn)) return 0;
        for (const struct tile *tile = part->tiles; tile <= last; tile++)
            for (int64_t n = 0; n < tile->rows; n++) *code_of(team, chain, tile, n) = *drawn++;
    }
    return 1;
}

/* Reads the codes of a step from the streams, or notes what the known or chosen ones take; returns whether there is anything left to decode. */
static int finish_step(const struct team *team, struct chain *chain) {
    if (team->walk.draw != NULL) return draw_step(team, chain);
    if (!team->walk.needs_freqs) return 1;
    const int64_t room = team->walk.code_room;
    int is_left = 0;
    const struct part *part = chain->parts;
    for (struct group *group = chain->groups; group < chain->groups + chain->num_groups; group++) {
        for (struct tile *tile = group->tiles; tile < group->tiles + group->num_tiles; tile++) {
            while (tile >= part->tiles + part->num_tiles) part++;
            for (int64_t n = 0; n < tile->rows; n++) {
                const int32_t *freqs = part->freqs + (tile->at + n) * room, *sums = part->freq_sums + (tile->at + n) * room / FREQS_BLOCK;
                int32_t *code = code_of(team, chain, tile, n);
                if (group->shares != NULL)
                    *group->shares++ = share_of(freqs, sums, *code);
                else
                    *code = (int32_t)stream_next(&group->stream, freqs, sums);
            }
        }
        is_left |= group->shares != NULL || !stream_is_used_up(&group->stream);
    }
    return is_left;
}

/* Makes all parts of a chain wait for threads; the lock is held. */
static void make_ready(struct team *team, struct chain *chain) {
    chain->pending = chain->num_parts;
    for (int64_t n = 0; n < chain->num_parts; n++)
        team->ready[(team->first_ready + team->num_ready++) % team->num_parts] = chain->parts - team->parts + n;
    pthread_cond_broadcast(&team->has_news);
}

/* Takes a part through its chain's step. */
static void advance(struct team *team, struct part *part, const struct chain *chain, struct scratch *scratch) {
    int64_t lacks_memory = 0;
    if (chain->step == 0 && team->walk.prior->maps > 0)
        for (int64_t n = 0; n < part->num_tiles && !lacks_memory; n++)
            lacks_memory = !condition_of_tile(team->walk.prior, part->tiles + n, scratch);
    if (!lacks_memory) {
        step_of_part(&team->walk, part, chain->step, scratch);
        return;
    }
    for (int64_t n = 0; n < part->num_tiles; n++) part->tiles[n].rows = 0;
    pthread_mutex_lock(&team->lock);
    team->lacks_memory = 1;
    pthread_mutex_unlock(&team->lock);
}

static void *work(void *argument) {
    struct team *team = argument;
    pthread_mutex_lock(&team->lock);
    struct scratch *scratch = team->scratches + team->next_scratch++;
    while (team->chains_left > 0) {
        if (team->num_ready == 0) {
            pthread_cond_wait(&team->has_news, &team->lock);
            continue;
        }
        const int64_t number = team->ready[team->first_ready];
        team->first_ready = (team->first_ready + 1) % team->num_parts, team->num_ready--;
        struct chain *chain = team->chain_of_part[number];
        pthread_mutex_unlock(&team->lock);
        advance(team, team->parts + number, chain, scratch);
        pthread_mutex_lock(&team->lock);
        if (--chain->pending > 0) continue;
        int goes_on = !team->lacks_memory;
        pthread_mutex_unlock(&team->lock);
        goes_on = goes_on && finish_step(team, chain) && ++chain->step < chain->num_steps;
        pthread_mutex_lock(&team->lock);
        if (goes_on)
            make_ready(team, chain);
        else if (--team->chains_left == 0)
            pthread_cond_broadcast(&team->has_news);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

/* Works with as many threads as there are to be, or as the system gives. */
static void work_together(struct team *team) {
    pthread_t *threads = calloc((size_t)team->num_threads, sizeof(*threads));
    int64_t started = 0;
    while (threads != NULL && started < team->num_threads - 1 && pthread_create(threads + started, NULL, work, team) == 0) started++;
    work(team);
    for (int64_t n = 0; n < started; n++) pthread_join(threads[n], NULL);
    free(threads);
}

/* Cuts tiles into groups, groups into up to one chain a thread, and the tiles of each chain into up to one part a thread. There is one chain
   in all where codes are drawn, which has an order. */
static int set_chains(struct team *team, const int64_t *group_ends, struct memory *memory) {
    team->groups = taken(memory, team->num_groups, sizeof(*team->groups));
    team->chains = taken(memory, team->num_groups, sizeof(*team->chains));
    team->parts = taken(memory, team->num_tiles, sizeof(*team->parts));
    team->chain_of_part = taken(memory, team->num_tiles, sizeof(*team->chain_of_part));
    team->ready = taken(memory, team->num_tiles, sizeof(*team->ready));
    if (team->groups == NULL || team->chains == NULL || team->parts == NULL || team->chain_of_part == NULL || team->ready == NULL) return 0;
    const int64_t target = team->walk.draw != NULL ? team->num_tiles : (team->num_tiles + team->num_threads - 1) / team->num_threads;
    int64_t tile = 0;
    for (int64_t n = 0; n < team->num_groups;) {
        struct chain *chain = team->chains + team->num_chains++;
        const int64_t first = tile;
        chain->groups = team->groups + n;
        chain->parts = team->parts + team->num_parts;
        for (; n < team->num_groups && tile - first < target; tile = group_ends[n], n++, chain->num_groups++)
            team->groups[n] = (struct group){team->tiles + tile, group_ends[n] - tile, {0}, NULL};
        const int64_t count = tile - first;
        chain->num_parts = count < team->num_threads ? count : team->num_threads;
        for (int64_t part = 0; part < chain->num_parts; part++, team->num_parts++) {
            const int64_t begin = count * part / chain->num_parts, end = count * (part + 1) / chain->num_parts;
            team->parts[team->num_parts] = (struct part){team->tiles + first + begin, end - begin, NULL, NULL, NULL};
            team->chain_of_part[team->num_parts] = chain;
        }
        for (int64_t other = first; other < tile; other++) {
            const struct tile *own = team->tiles + other;
            chain->num_steps = most(chain->num_steps, own->width + team->walk.prior->slope * (own->height - 1));
        }
    }
    if (team->num_threads > team->num_parts) team->num_threads = team->num_parts;
    return 1;
}

static int set_all(struct team *team, const int64_t *group_ends, struct memory *memory) {
    if (!set_geometry(&team->walk, team->tiles, team->num_tiles, memory) || !set_chains(team, group_ends, memory)) return 0;
    if (team->walk.choice != NULL) {
        const struct choice *choice = team->walk.choice;
        const int64_t codes = team->walk.prior->codes;
        if ((team->walk.packed_codebooks = taken(memory, choice_room(choice, codes), sizeof(double))) == NULL) return 0;
        choice_pack(choice, codes, team->walk.packed_codebooks);
    }
    if ((team->scratches = taken(memory, team->num_threads, sizeof(*team->scratches))) == NULL) return 0;
    for (int64_t n = 0; n < team->num_tiles; n++)
        if (!set_tile(&team->walk, team->tiles + n, memory)) return 0;
    for (int64_t n = 0; n < team->num_parts; n++)
        if (!set_part(&team->walk, team->parts + n, memory)) return 0;
    for (int64_t n = 0; n < team->num_threads; n++)
        if (!set_scratch(&team->walk, team->scratches + n, memory)) return 0;
    return 1;
}

static int are_codes(const int32_t *codes, int64_t count, int64_t codebook_size) {
    for (int64_t n = 0; n < count; n++)
        if (codes[n] < 0 || codes[n] >= codebook_size) return 0;
    return 1;
}

/* Walks through a batch of tiles and decodes their codes, or finds what coding them takes, or chooses or draws them.

   sharpness: sixteenths by which logits are multiplied.
   sizes: height and width of each tile, at least 1.
   group_ends: for each group of tiles with a stream of their own, the number of the tile after its last.
   earlier: the codes of each tile of the maps before, tile by tile and map by map; the first map has half the height and width.
   codes: those of each tile, row by row; read where `shares` is given without a choice; else written, and expected to be zeros.
   words, word_ends: words of the groups' streams, and the number of the word after the last of each.
   choice: how codes are chosen, or NULL.
   draw: what draws the codes of one step after the other, or NULL; without choice and shares.
   shares: room for frequency and sum of those before of every code, in the order of coding, group by group, where codes are known, or
   chosen and coded; else NULL.
   left: set to whether something is left of each group's stream.

   Returns 0 where all is well, 1 where there is no memory, 2 where a code is out of range. */
int64_t walk_run(const struct prior *prior, int64_t sharpness, int64_t num_threads, int64_t num_tiles, const int64_t *sizes,
                 int64_t num_groups, const int64_t *group_ends, const int32_t *earlier, int32_t *codes, const uint32_t *words,
                 const int64_t *word_ends, const struct choice *choice, drawing draw, struct share *shares, int64_t *left) {
    const int needs_freqs = shares != NULL || (choice == NULL && draw == NULL);
    struct team team = {.walk = {.prior = prior, .choice = choice, .draw = draw, .sharpness = (int32_t)sharpness, .needs_freqs = needs_freqs},
                        .num_tiles = num_tiles, .num_groups = num_groups, .num_threads = num_threads,
                        .lock = PTHREAD_MUTEX_INITIALIZER, .has_news = PTHREAD_COND_INITIALIZER};
    struct memory memory = {0};
    const float *wanted = choice != NULL ? choice->places : NULL;
    int64_t result = 0;
    if ((team.tiles = taken(&memory, num_tiles, sizeof(*team.tiles))) == NULL) result = 1;
    for (int64_t n = 0; n < num_tiles && result == 0; n++) {
        struct tile *tile = team.tiles + n;
        tile->height = sizes[2 * n], tile->width = sizes[2 * n + 1];
        tile->earlier = earlier, tile->codes = codes;
        const int64_t count = tile->height * tile->width, before = prior->maps > 0 ? count / 4 + (prior->maps - 1) * count : 0;
        if (!are_codes(codes, count, prior->codes) || !are_codes(earlier, before, prior->codes)) result = 2;
        codes += count, earlier += before;
        if (choice != NULL) tile->wanted = wanted, wanted += count * (choice->dim + 1);
    }
    if (result == 0 && !set_all(&team, group_ends, &memory)) result = 1;
    if (result == 0) {
        for (int64_t n = 0; n < num_groups; n++) {
            struct group *group = team.groups + n;
            const int64_t begin = n > 0 ? word_ends[n - 1] : 0;
            group->stream = stream_of(words + begin, word_ends[n] - begin);
            if (shares == NULL) continue;
            group->shares = shares;
            for (int64_t tile = 0; tile < group->num_tiles; tile++) shares += group->tiles[tile].height * group->tiles[tile].width;
        }
        for (int64_t n = 0; n < team.num_chains; n++) {
            struct chain *chain = team.chains + n;
            int is_left = choice != NULL || draw != NULL;
            for (int64_t m = 0; m < chain->num_groups; m++)
                is_left |= chain->groups[m].shares != NULL || !stream_is_used_up(&chain->groups[m].stream);
            if (!is_left) continue;
            team.chains_left++;
            make_ready(&team, chain);
        }
        work_together(&team);
        for (int64_t n = 0; n < num_groups; n++) left[n] = !stream_is_used_up(&team.groups[n].stream);
        result = team.lacks_memory;
    }
    give_back(&memory);
    return result;
}

/* Codes by their shares [count], and returns the number of words written, of which there is room for count + 2. */
int64_t rans_encode(const struct share *shares, int64_t count, uint32_t *words) {
    uint64_t state = 0;
    int64_t written = 0;
    for (const struct share *share = shares + count; share-- > shares;) {
        if (state >> (64 - TOTAL_BITS) >= share->freq) words[written++] = (uint32_t)state, state >>= 32;
        state = (state / share->freq << TOTAL_BITS) + share->before + state % share->freq;
    }
    for (; state > 0; state >>= 32) words[written++] = (uint32_t)state;
    return written;
}
