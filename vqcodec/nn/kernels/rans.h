/* rANS, which reads and writes codes by their frequencies (FORMAT.md, section 4). */

#ifndef RANS_H
#define RANS_H

#include "walk.h"

/* The frequency of a code, and the sum of those before it. */
struct share {
    uint32_t freq, before;
};

static struct share share_of(const int32_t *freqs, const int32_t *sums, int64_t code) {
    struct share share = {(uint32_t)freqs[code], 0};
    for (int64_t block = 0; block < code / FREQS_BLOCK; block++) share.before += (uint32_t)sums[block];
    for (int64_t k = code / FREQS_BLOCK * FREQS_BLOCK; k < code; k++) share.before += (uint32_t)freqs[k];
    return share;
}

/* A stream that is read from its last word on. */
struct stream {
    const uint32_t *words;
    int64_t left;
    uint64_t state;
};

static void stream_refill(struct stream *stream) {
    if (stream->left > 0 && stream->state >> 32 == 0) stream->state = stream->state << 32 | stream->words[--stream->left];
}

static struct stream stream_of(const uint32_t *words, int64_t count) {
    struct stream stream = {words, count, 0};
    while (stream.left > 0 && stream.state >> 32 == 0) stream_refill(&stream);
    return stream;
}

static int stream_is_used_up(const struct stream *stream) { return stream->left == 0 && stream->state == 0; }

/* The next code of a stream; frequencies sum to 2^24, so there always is one. */
static int64_t stream_next(struct stream *stream, const int32_t *freqs, const int32_t *sums) {
    const uint32_t slot = (uint32_t)stream->state & ((1 << TOTAL_BITS) - 1);
    uint32_t before = 0;
    int64_t code = 0;
    while (slot - before >= (uint32_t)sums[code / FREQS_BLOCK]) before += (uint32_t)sums[code / FREQS_BLOCK], code += FREQS_BLOCK;
    while (slot - before >= (uint32_t)freqs[code]) before += (uint32_t)freqs[code++];
    stream->state = (uint64_t)(uint32_t)freqs[code] * (stream->state >> TOTAL_BITS) + slot - before;
    stream_refill(stream);
    return code;
}

#endif
