/* The part of kernels.c that is made for each type of products: OPERAND, PRODUCT, TYPED(name). */

/* Streams [M, channels] -> activations. */
void TYPED(activations)(const float *restrict streams, int64_t count, OPERAND *restrict out) {
    for (int64_t i = 0; i < count; i++)
        out[i] = (OPERAND)clipped(floorf(streams[i] * ACTIVATIONS_PER_STREAM + 0.5f), -MAX_ACTIVATION, MAX_ACTIVATION);
}

/* The inputs [tiles * rows, taps * width] of a convolution whose newest column, of `channels`, begins at `column` in the first of its rows.
   It sees `reach` rows above and below, and `width` values of each, up to the end of the newest column. */
void TYPED(taps)(const OPERAND *restrict column, int64_t tiles, int64_t rows, int64_t channels, int64_t plane, int64_t length,
                 int64_t reach, int64_t width, OPERAND *restrict out) {
    for (int64_t tile = 0; tile < tiles; tile++)
        for (int64_t row = 0; row < rows; row++)
            for (int64_t above = -reach; above <= reach; above++, out += width)
                memcpy(out, column + tile * plane + (row + above) * length + channels - width, width * sizeof(OPERAND));
}

/* Writes streams [tiles * rows, channels] into the newest column as activations, zeros where not `valid` (unless that is NULL), and gives
   the taps there. */
void TYPED(push)(const float *restrict streams, const uint8_t *restrict valid, OPERAND *restrict column, int64_t tiles, int64_t rows,
                 int64_t channels, int64_t plane, int64_t length, int64_t reach, int64_t width, OPERAND *restrict out) {
    for (int64_t tile = 0; tile < tiles; tile++)
        for (int64_t row = 0; row < rows; row++, streams += channels) {
            OPERAND *place = column + tile * plane + row * length;
            float kept = valid == NULL || valid[tile * rows + row] ? 1.0f : 0.0f;
            for (int64_t c = 0; c < channels; c++)
                place[c] = (OPERAND)(kept * clipped(floorf(streams[c] * ACTIVATIONS_PER_STREAM + 0.5f), -MAX_ACTIVATION, MAX_ACTIVATION));
        }
    TYPED(taps)(column, tiles, rows, channels, plane, length, reach, width, out);
}

/* Sums [M, channels], half a unit up, rounded to integers within a limit: products * unit + bias, and scale * added [M, channels] unless
   that is NULL. */
void TYPED(sums)(const PRODUCT *restrict products, const float *restrict unit, const float *restrict bias, const float *restrict added,
                 float scale, float limit, int64_t rows, int64_t channels, float *restrict out) {
    for (int64_t m = 0; m < rows; m++, products += channels, out += channels)
        for (int64_t c = 0; c < channels; c++) {
            float start = added == NULL ? bias[c] : bias[c] + scale * added[m * channels + c];
            out[c] = clipped(floorf(start + (float)products[c] * unit[c]), -limit, limit);
        }
}

/* Sums [M, 2 * channels], their start [M, ...] with a stride from row to row, -> activations [M, channels] of a gated unit. */
void TYPED(gated)(const PRODUCT *restrict products, const float *restrict unit, const float *restrict start, int64_t stride,
                  int64_t rows, int64_t channels, OPERAND *restrict out) {
    for (int64_t m = 0; m < rows; m++, products += 2 * channels, start += stride, out += channels)
        for (int64_t c = 0; c < channels; c++) {
            int64_t g = channels + c;
            float value = clipped(floorf(start[c] + (float)products[c] * unit[c]), -MAX_ACTIVATION, MAX_ACTIVATION);
            float gate = clipped(floorf(start[g] + (float)products[g] * unit[g]), 0.0f, 2.0f * HALF_GATE);
            out[c] = (OPERAND)floorf(value * gate * (0.5f / HALF_GATE) + 0.5f);
        }
}

/* The means [number, ...] that attention gives the first `left` of a number of queries: `inputs` and `out` are those of the first. */
INLINE void TYPED(attend_together)(const float *inputs, const int number, int64_t left, const float *keys, const float *values,
                                   int64_t count, const float *powers, int64_t width, int64_t dim, int64_t places, int64_t room,
                                   float *weights, OPERAND *out) {
    const float *queries[QUERIES];
    for (int q = 0; q < number; q++) queries[q] = inputs + (q < left ? q : 0) * 3 * width;
    weigh(queries, number, keys, count, powers, dim, places, weights);
    for (int64_t first = 0; first < dim; first += BLOCK) {
        Lanes sums[QUERIES][2];
        float totals[QUERIES];
        sum_values(weights, number, values + first, count, places, room, sums, totals);
        for (int q = 0; q < number && q < left; q++)
            for (int64_t i = 0; i < BLOCK && first + i < dim; i++)
                out[q * width + first + i] = (OPERAND)floorf(((const float *)sums[q])[i] / (totals[q] > 1.0f ? totals[q] : 1.0f) + 0.5f);
    }
}

/* Attention of a step's queries to what is remembered of earlier steps, which it then remembers too.

   inputs: activations [tiles * rows, 3, heads, dim], queries, keys and values.
   valid: [tiles * rows], or NULL; only where it is true is a key remembered.
   keys, values: [tiles, heads, places / BLOCK, dim, BLOCK] and [tiles, heads, places, room]; `room` is the next multiple of BLOCK from
   `dim` on, and what is not used yet is 0.
   counts: [tiles], how many places are in use.
   powers: [POWERS + 1], what keys weigh whose score lies 0, 1, ... below the largest; the last is 0, and all that lies lower weighs that.
   weights: room for QUERIES * places of them.
   out: activations [tiles * rows, heads * dim], means of values. */
void TYPED(attend)(const float *restrict inputs, const uint8_t *restrict valid, float *restrict keys, float *restrict values,
                   int64_t *restrict counts, const float *restrict powers, int64_t tiles, int64_t rows, int64_t heads, int64_t dim,
                   int64_t places, float *restrict weights, OPERAND *restrict out) {
    const int64_t width = heads * dim, room = (dim + BLOCK - 1) / BLOCK * BLOCK;
    for (int64_t tile = 0; tile < tiles; tile++, inputs += 3 * rows * width, out += rows * width) {
        const int64_t count = counts[tile];
        for (int64_t head = 0; head < heads; head++) {
            const float *own_keys = keys + (tile * heads + head) * dim * places;
            const float *own_values = values + (tile * heads + head) * room * places;
            for (int64_t row = 0, left = rows; left > 0;) {
                const float *own_inputs = inputs + 3 * row * width + head * dim;
                OPERAND *own_out = out + row * width + head * dim;
                const int number = left > FEW_QUERIES ? QUERIES : FEW_QUERIES;
                if (number == QUERIES)  /* each with a constant number, so that loops over queries are unrolled */
                    TYPED(attend_together)(own_inputs, QUERIES, left, own_keys, own_values, count, powers, width, dim, places, room,
                                           weights, own_out);
                else
                    TYPED(attend_together)(own_inputs, FEW_QUERIES, left, own_keys, own_values, count, powers, width, dim, places, room,
                                           weights, own_out);
                row += number, left -= number;
            }
        }
        for (int64_t row = 0; row < rows; row++) {
            if (valid != NULL && !valid[tile * rows + row]) continue;
            const int64_t place = counts[tile]++;
            for (int64_t head = 0; head < heads; head++) {
                const float *key = inputs + 3 * row * width + width + head * dim, *value = key + width;
                float *own_keys = keys + (tile * heads + head) * dim * places + place / BLOCK * BLOCK * dim + place % BLOCK;
                for (int64_t d = 0; d < dim; d++) own_keys[d * BLOCK] = key[d];
                memcpy(values + ((tile * heads + head) * places + place) * room, value, dim * sizeof(float));
            }
        }
    }
}
