/* One step of a walk: from the codes of earlier steps to the frequencies of this one's, or to its codes. */

#include "attention.h"
#include "choice.h"
#include "frequencies.h"

/* Places of the segments of a causal convolution's input: its columns from the oldest to that of time `newest`. */
static void find_columns(const struct columns *columns, int64_t newest, int64_t *segments) {
    for (int64_t n = 0; n < columns->ring; n++) {
        const int64_t time = newest - columns->ring + 1 + n;
        segments[n] = (time + columns->ring * 2) % columns->ring * columns->column;
    }
}

/* The column of a time, whose rows before the first that has a code are cleared of what an older column left. */
static operand *begin_column(const struct tile *tile, const struct columns *columns, int64_t slope, int64_t time) {
    operand *column = tile->columns + columns->at + time % columns->ring * columns->column + columns->reach * columns->row;
    const int64_t end = first_row(tile, slope, time) * columns->row;
    for (int64_t i = first_row(tile, slope, time - columns->ring) * columns->row; i < end; i++) column[i] = (operand)ZERO;
    return column;
}

/* Writes the embeddings of the codes of the step before. */
static void push_codes(const struct walk *walk, struct tile *tile, int64_t step) {
    const struct prior *prior = walk->prior;
    const struct columns *columns = &walk->geometry.first;
    const int64_t slope = prior->slope, time = step - 1;
    operand *column = begin_column(tile, columns, slope, time);
    const int64_t top = first_row(tile, slope, time), rows = num_rows(tile, slope, time);
    for (int64_t row = top; row < top + rows; row++) {
        const int64_t code = tile->codes[row * tile->width + time - slope * row];
        memcpy(column + row * columns->row, prior->tables[0] + code * columns->row, (size_t)columns->row * sizeof(operand));
    }
}

/* The streams of the step's codes before the first block. */
static void first_streams(const struct walk *walk, struct tile *tile, int64_t step, float *streams, struct scratch *scratch) {
    const struct prior *prior = walk->prior;
    const struct layer *layer = prior->layers + LAYER_FIRST;
    const struct columns *columns = &walk->geometry.first;
    int64_t segments[FIRST_COLUMNS];
    find_columns(columns, step - 1, segments);
    for (int64_t n = 0; n < tile->rows; n += CHUNK) {
        const int64_t count = tile->rows - n < CHUNK ? tile->rows - n : CHUNK;
        float *own = streams + n * prior->channels;
        for (int64_t m = 0; m < count; m++) {
            const int64_t row = tile->top + n + m, column = step - prior->slope * row;
            scratch->places[m] = tile->columns + columns->at + row * columns->row;
            if (prior->positions == NULL) continue;
            const float *of_row = prior->positions + row * prior->channels;
            const float *of_column = prior->positions + (prior->tile_side + column) * prior->channels;
            for (int64_t c = 0; c < prior->channels; c++) own[m * prior->channels + c] = of_row[c] + of_column[c];
        }
        layer_products(layer, scratch->places, count, segments, scratch->sums);
        to_streams(layer, scratch->sums, count, own, prior->positions != NULL);
    }
}

/* Adds attention to the streams of the step's codes of a tile, and remembers their keys and values. */
static void attention_of_tile(const struct walk *walk, struct tile *tile, float *streams, struct scratch *scratch) {
    const struct prior *prior = walk->prior;
    const struct geometry *geometry = &walk->geometry;
    const struct layer *layer = prior->layers + LAYER_QUERY_KEY_VALUE, *project = prior->layers + LAYER_ATTENTION;
    const int64_t channels = prior->channels, dim = prior->head_dim, of_head = padded(dim), width = prior->heads * dim, zero = 0;
    for (int64_t n = 0; n < tile->rows; n += CHUNK) {
        const int64_t count = tile->rows - n < CHUNK ? tile->rows - n : CHUNK, room = padded(channels), of_means = padded(width);
        for (int64_t m = 0; m < count; m++) {
            scratch->places[m] = scratch->hidden + m * room;
            to_activations(streams + (n + m) * channels, channels, scratch->hidden + m * room);
        }
        layer_products(layer, scratch->places, count, &zero, scratch->sums);
        for (int64_t m = 0; m < count; m++) {
            const int32_t *sums = scratch->sums + m * layer->room;
            operand *inputs = scratch->inputs + (n + m) * 3 * prior->heads * of_head;
            for (int64_t part = 0; part < 3 * prior->heads; part++)
                for (int64_t d = 0; d < dim; d++) {
                    const int64_t c = part * dim + d;
                    const float sum = layer->biases[c] + (float)sums[c] * layer->units[c];
                    inputs[part * of_head + d] = (operand)((int32_t)clipped(floored(sum), -MAX_ACTIVATION, MAX_ACTIVATION) + ZERO);
                }
        }
        for (int64_t head = 0; head < prior->heads; head++) {
            for (int64_t m = 0; m < count; m++) scratch->places[m] = scratch->inputs + ((n + m) * 3 * prior->heads + head) * of_head;
            attend(geometry, tile, head, dim, scratch->places, count, scratch->hidden + head * dim, of_means, scratch);
        }
        for (int64_t m = 0; m < count; m++) scratch->places[m] = scratch->hidden + m * of_means;
        layer_products(project, scratch->places, count, &zero, scratch->sums);
        to_streams(project, scratch->sums, count, streams + n * channels, 1);
    }
    for (int64_t row = 0; row < tile->rows; row++, tile->count++)
        for (int64_t head = 0; head < prior->heads; head++) {
            const operand *query = scratch->inputs + (row * 3 * prior->heads + head) * of_head;
            remember(geometry, tile, head, dim, query + prior->heads * of_head, query + 2 * prior->heads * of_head);
        }
}

/* Where the sums of a block's convolution start: its bias, and the condition's streams where there are some. */
static int64_t find_starts(const struct prior *prior, const struct tile *tile, int64_t block, int64_t step, int64_t first, int64_t count,
                           struct scratch *scratch) {
    const struct layer *conv = prior->layers + layer_of_block(block, BLOCK_CONV), *layer = prior->layers + layer_of_block(block, BLOCK_CONDITION);
    if (prior->maps == 0) {
        memcpy(scratch->starts, conv->biases, (size_t)conv->outputs * sizeof(float));
        return 0;
    }
    const int64_t room = padded(prior->condition_channels), zero = 0;
    for (int64_t m = 0; m < count; m++) {
        const int64_t row = tile->top + first + m;
        scratch->places[m] = tile->condition + (row * tile->width + step - prior->slope * row) * room;
    }
    layer_products(layer, scratch->places, count, &zero, scratch->more_sums);
    for (int64_t m = 0; m < count; m++) {
        const int32_t *restrict sums = scratch->more_sums + m * layer->room;
        float *restrict starts = scratch->starts + m * conv->outputs;
        for (int64_t c = 0; c < conv->outputs; c++) {
            const float stream = clipped(floored(layer->biases[c] + (float)sums[c] * layer->units[c]), -MAX_STREAM, MAX_STREAM);
            starts[c] = conv->biases[c] + conv->scale * stream;
        }
    }
    return conv->outputs;
}

/* The activations of gated units [count, channels] of the sums of a convolution and their starts, which are `stride` apart. */
static void gate(const struct layer *conv, const int32_t *restrict sums, const float *restrict starts, int64_t stride, int64_t count,
                 operand *restrict out, int64_t room) {
    const int64_t channels = conv->outputs / 2;
    const float *restrict units = conv->units;
    for (int64_t m = 0; m < count; m++, sums += conv->room, starts += stride, out += room)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t g = channels + c;
            const float value = clipped(floored(starts[c] + (float)sums[c] * units[c]), -MAX_ACTIVATION, MAX_ACTIVATION);
            const float open = clipped(floored(starts[g] + (float)sums[g] * units[g]), 0.0f, 2.0f * HALF_GATE);
            out[c] = (operand)((int32_t)floored(value * open * (0.5f / HALF_GATE) + 0.5f) + ZERO);
        }
}

static void gated_block(const struct walk *walk, struct tile *tile, int64_t block, int64_t step, float *streams, struct scratch *scratch) {
    const struct prior *prior = walk->prior;
    const struct layer *conv = prior->layers + layer_of_block(block, BLOCK_CONV), *project = prior->layers + layer_of_block(block, BLOCK_PROJECT);
    const struct columns *columns = walk->geometry.blocks + block;
    const int64_t channels = prior->channels, room = padded(channels), zero = 0;
    int64_t segments[MOST_COLUMNS];
    operand *column = begin_column(tile, columns, prior->slope, step);
    for (int64_t m = 0; m < tile->rows; m++) to_activations(streams + m * channels, channels, column + (tile->top + m) * columns->row);
    find_columns(columns, step, segments);
    for (int64_t n = 0; n < tile->rows; n += CHUNK) {
        const int64_t count = tile->rows - n < CHUNK ? tile->rows - n : CHUNK;
        const int64_t stride = find_starts(prior, tile, block, step, n, count, scratch);
        for (int64_t m = 0; m < count; m++) scratch->places[m] = tile->columns + columns->at + (tile->top + n + m) * columns->row;
        layer_products(conv, scratch->places, count, segments, scratch->sums);
        gate(conv, scratch->sums, scratch->starts, stride, count, scratch->hidden, room);
        for (int64_t m = 0; m < count; m++) scratch->places[m] = scratch->hidden + m * room;
        layer_products(project, scratch->places, count, &zero, scratch->sums);
        to_streams(project, scratch->sums, count, streams + n * channels, 1);
    }
}

static void find_logits(const struct layer *head, const int32_t *restrict sums, int32_t sharpness, int32_t *restrict logits) {
    for (int64_t k = 0; k < head->outputs; k++) {
        const int32_t logit = (int32_t)clipped(floored(head->biases[k] + (float)sums[k] * head->units[k]), -MAX_LOGIT, MAX_LOGIT);
        logits[k] = logit * sharpness >> 4;
    }
}

/* The frequencies of the codes of a tile's step, which are chosen first where there is a choice. */
static void head_of_tile(const struct walk *walk, const struct part *part, struct tile *tile, int64_t step, struct scratch *scratch) {
    const struct prior *prior = walk->prior;
    const struct layer *head = prior->layers + LAYER_HEAD;
    const int64_t channels = prior->channels, room = padded(channels), zero = 0;
    for (int64_t n = 0; n < tile->rows; n += CHUNK) {
        const int64_t count = tile->rows - n < CHUNK ? tile->rows - n : CHUNK;
        for (int64_t m = 0; m < count; m++) {
            scratch->places[m] = scratch->hidden + m * room;
            to_activations(part->streams + (tile->at + n + m) * channels, channels, scratch->hidden + m * room);
        }
        layer_products(head, scratch->places, count, &zero, scratch->sums);
        for (int64_t m = 0; m < count; m += CHOSEN_TOGETHER) {
            const int64_t few = count - m < CHOSEN_TOGETHER ? count - m : CHOSEN_TOGETHER;
            for (int64_t i = 0; i < few; i++)
                find_logits(head, scratch->sums + (m + i) * head->room, walk->sharpness, scratch->more_sums + i * walk->code_room);
            if (walk->choice != NULL) choose_codes(walk, tile, step, n + m, few, scratch->more_sums, scratch->numbers);
            for (int64_t i = 0; i < few; i++) {
                const int64_t at = tile->at + n + m + i;
                int32_t *logits = scratch->more_sums + i * walk->code_room, *out = part->freqs + at * walk->code_room;
                if (walk->draw != NULL) memcpy(out, logits, (size_t)walk->code_room * sizeof(*out));
                if (walk->needs_freqs) frequencies(logits, prior->codes, out, part->freq_sums + at * walk->code_room / FREQS_BLOCK);
            }
        }
    }
}

static float *streams_of(const struct walk *walk, const struct part *part, int64_t tile) {
    return part->streams + part->tiles[tile].at * walk->prior->channels;
}

void step_of_part(const struct walk *walk, struct part *part, int64_t step, struct scratch *scratch) {
    const struct prior *prior = walk->prior;
    int64_t rows = 0;
    for (int64_t n = 0; n < part->num_tiles; n++) {
        struct tile *tile = part->tiles + n;
        tile->top = first_row(tile, prior->slope, step);
        tile->rows = num_rows(tile, prior->slope, step);
        tile->at = rows;
        rows += tile->rows;
    }
    /* Layer by layer through all tiles, so that a layer's weights stay in the cache. */
    for (int64_t n = 0; n < part->num_tiles; n++) {
        if (step > 0) push_codes(walk, part->tiles + n, step);
        first_streams(walk, part->tiles + n, step, streams_of(walk, part, n), scratch);
    }
    for (int64_t block = 0; block < prior->blocks; block++)
        for (int64_t n = 0; n < part->num_tiles; n++) {
            struct tile *tile = part->tiles + n;
            if (prior->heads > 0 && block == prior->blocks / 2) attention_of_tile(walk, tile, streams_of(walk, part, n), scratch);
            gated_block(walk, tile, block, step, streams_of(walk, part, n), scratch);
        }
    for (int64_t n = 0; n < part->num_tiles; n++) head_of_tile(walk, part, part->tiles + n, step, scratch);
}
