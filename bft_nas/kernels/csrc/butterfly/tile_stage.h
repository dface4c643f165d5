/* Stages of a tile, forward and back; included by tile.h. */

INLINE stage_args stage_args_of(const butterfly_job *j, const scratch *s, int64_t i) {
    const transform *p = j->t;
    int prefetch_group = j->prefetch_group && (i == 0 || i == p->stages - 1);
    const stage_shape *of = &p->stage[i];
    return (stage_args){s->weights[i], of->rows, of->columns, of->before, of->rest, of->rows * of->columns, prefetch_group};
}

/* out[r] = start[r] + sum over c of w[r, c] * in[c], for R rows and V vectors; rows of `in` are in_step apart. */
INLINE void block(const int R, const int V, REAL *const *in, int64_t in_step, REAL *const *out, REAL *const *start,
                  int64_t step, const REAL *w, int64_t wr, int64_t wc, int64_t columns, span at, int store_mode) {
    vec sum[8][4], a[4];
    UNROLL for (int v = 0; v < V; v++) a[v] = load(in[0] + (v == V - 1 ? at.in : at.first + v * LANES));
    UNROLL for (int r = 0; r < R; r++) {
        REAL k = w[r * wr];
        UNROLL for (int v = 0; v < V; v++) sum[r][v] = k * a[v];
        if (start) {
            const REAL *p = start[r * step];
            UNROLL for (int v = 0; v < V; v++) sum[r][v] += load(p + (v == V - 1 ? at.start : at.first + v * LANES));
        }
    }
    for (int64_t c = 1; c < columns; c++) {
        const REAL *p = in[c * in_step];
        UNROLL for (int v = 0; v < V; v++) a[v] = load(p + (v == V - 1 ? at.in : at.first + v * LANES));
        UNROLL for (int r = 0; r < R; r++) {
            REAL k = w[r * wr + c * wc];
            UNROLL for (int v = 0; v < V; v++) sum[r][v] += k * a[v];
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        REAL *p = out[r * step];
        if (VECTOR_IS_LINE && store_mode == STORE_STREAM_UNALIGNED) {
            stream_unaligned(out + r * step, sum[r], V, at);
            continue;
        }
        UNROLL for (int v = 0; v < V; v++) {
            REAL *to = p + (v == V - 1 ? at.out : at.first + v * LANES);
            if (store_mode == STORE_STREAM)
                stream(to, sum[r][v]);
            else
                store(to, sum[r][v]);
        }
    }
}

/* Prefetch the next row of the images. */
NOINLINE void prefetch_next_row(prefetch_queue *f) {
    if (f->image == f->end) return;
    const REAL *p = f->images[f->image].next, *last = p + f->images[f->image].width - 1;
    f->images[f->image].next += f->images[f->image].step;
    if (f->to_l1) {
        for (; p < last; p += CACHE_LINE / sizeof(REAL)) __builtin_prefetch(p, 0, 3);
        __builtin_prefetch(last, 0, 3);
    } else {
        for (; p < last; p += CACHE_LINE / sizeof(REAL)) __builtin_prefetch(p, 0, 2);
        __builtin_prefetch(last, 0, 2);
    }
    if (!--f->images[f->image].left) f->image++;
}

/* Prefetch the rows that are due with one more group. */
INLINE void prefetch_due_rows(prefetch_queue *f) {
    for (f->due += f->rows; f->due > 0; f->due -= f->groups) prefetch_next_row(f);
}

/* Bring the rows of the images that the next group of radix N begins with from the L2 into the L1. */
INLINE void prefetch_group_l1(REAL *const *row, int64_t step, const int N, const int V, span at) {
    UNROLL for (int r = 0; r < N; r++) UNROLL for (int v = 0; v < V; v++)
        __builtin_prefetch(row[r * step] + at.first + v * LANES, 0, 3);
}

/* A group of radix 8 in place, all rows at once: by pairs of vectors where there are registers for 16 sums. */
INLINE void square_8_in_place(const int V, REAL *const *in, int64_t step, REAL *const *out, const REAL *w, int64_t wr,
                              int64_t wc, span at) {
    const int64_t second = at.first + LANES;
    if (HAS_32_REGISTERS) {
        span low = {.first = at.first, .in = second, .out = second}, high = at;
        high.first += 2 * LANES;
        if (V > 2) block(8, 2, in, step, out, NULL, step, w, wr, wc, 8, low, STORE_CACHED);
        if (V % 2)
            block(8, 1, in, step, out, NULL, step, w, wr, wc, 8, at, STORE_CACHED);
        else
            block(8, 2, in, step, out, NULL, step, w, wr, wc, 8, V > 2 ? high : at, STORE_CACHED);
        return;
    }
    span low = {.in = at.first, .out = at.first}, middle = {.in = second, .out = second};
    if (V > 1) block(8, 1, in, step, out, NULL, step, w, wr, wc, 8, low, STORE_CACHED);
    if (V > 2) block(8, 1, in, step, out, NULL, step, w, wr, wc, 8, middle, STORE_CACHED);
    block(8, 1, in, step, out, NULL, step, w, wr, wc, 8, at, STORE_CACHED);
}

/* The commonest groups, of N rows and columns, without anything else in registers: `count` of them, the tables `each`
   apart and the weights `weight_step`. Of radix 3 and 4 V vectors at once; of radix 8 all rows at once where they are in
   place, and else half of them twice. STREAMED: for tiles that come from memory or go there. */
INLINE void square_groups(const int N, const int V, const int TRANSPOSED, const int START, const int STREAMED,
                          const REAL *w, int64_t weight_step, REAL *const *in, REAL *const *out, REAL *const *start,
                          int64_t step, int64_t each, int64_t count, span at) {
    const int64_t wr = TRANSPOSED ? 1 : N, wc = TRANSPOSED ? N : 1;
    int store_mode = START && STREAMED ? at.store_mode : STORE_CACHED, in_place = N == 8 && !START && in == out;
    for (; count; count--, in += each, out += each, w += weight_step) {
        if (STREAMED && at.queue) prefetch_due_rows(at.queue);
        if (N < 8 && STREAMED && at.prefetch_group && count > 1)
            prefetch_group_l1(START ? start + each : in + each, step, N, V, at);
        if (N < 8)
            block(N, V, in, step, out, START ? start : NULL, step, w, wr, wc, N, at, store_mode);
        else if (in_place)
            square_8_in_place(V, in, step, out, w, wr, wc, at);
        else {
            block(4, V, in, step, out, START ? start : NULL, step, w, wr, wc, 8, at, store_mode);
            block(4, V, in, step, out + 4 * step, START ? start + 4 * step : NULL, step, w + 4 * wr, wr, wc, 8, at,
                  store_mode);
        }
        if (START) start += each;
    }
}

/* Half of the outputs of groups of radix 4 or 8, where two threads share an image. */
INLINE void half_groups(const int ROWS, const int V, const REAL *w, int64_t weight_step, REAL *const *in,
                        REAL *const *out, int64_t step, span at) {
    for (int64_t k = 0; k < step; k++, in++, out++, w += weight_step)
        block(ROWS, V, in, step, out, NULL, step, w, 2 * ROWS, 1, 2 * ROWS, at, STORE_CACHED);
}

#include "tile_kernels.h"

/* R rows of a group from the r-th on. */
INLINE void group_rows(const int R, const int V, int64_t r, const REAL *w, int64_t wr, int64_t wc, int64_t columns,
                       REAL *const *in, int64_t in_step, REAL *const *out, REAL *const *start, int64_t step, span at) {
    block(R, V, in, in_step, out + r * step, start ? start + r * step : NULL, step, w + r * wr, wr, wc, columns, at,
          at.store_mode);
}

/* One group of a stage from `in` to `out`. In place, more rows than a block has need a copy of their input. */
INLINE void run_group(const int V, const REAL *w, int64_t rows, int64_t columns, int transposed, REAL *const *in,
                      REAL *const *out, REAL *const *start, int64_t step, span at, REAL *const *copy) {
    int64_t wr = transposed ? 1 : columns, wc = transposed ? rows : 1, in_step = step;
    if (copy && rows > 4) {
        for (int64_t c = 0; c < columns; c++)
            UNROLL for (int v = 0; v < V; v++) {
                int64_t k = v == V - 1 ? at.in : at.first + v * LANES;
                store(copy[c] + k, load(in[c * step] + k));
            }
        in = copy, in_step = 1;
    }
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
        group_rows(4, V, r, w, wr, wc, columns, in, in_step, out, start, step, at);
    if (r + 3 == rows)
        group_rows(3, V, r, w, wr, wc, columns, in, in_step, out, start, step, at);
    else if (r + 2 == rows)
        group_rows(2, V, r, w, wr, wc, columns, in, in_step, out, start, step, at);
    else if (r + 1 == rows)
        group_rows(1, V, r, w, wr, wc, columns, in, in_step, out, start, step, at);
}

/* V vectors of a stage's groups of e from `first` to `end`. */
INLINE void run_groups(const int V, const stage_args *p, const int transposed, const table *in, const table *out,
                       const table *start, int64_t first, int64_t end, span at, REAL *const *copy) {
    int64_t rows = transposed ? p->columns : p->rows, columns = transposed ? p->rows : p->columns, step = p->rest;
    if (rows == columns && (rows == 3 || rows == 4 || rows == 8)) {
        int streamed = at.queue || at.store_mode;
        /* All e at once where there is one group of each. */
        int64_t each = step == 1 ? rows : 1, count = step == 1 ? end - first : step;
        int64_t weight_step = (step == 1 ? 1 : p->before) * p->block;
        for (int64_t e = first; e < end; e += step == 1 ? end - first : 1) {
            int64_t row = e * rows * step;
            run_square(V, rows, transposed, streamed, p->w + e * p->block, weight_step, in->row + row, out->row + row,
                       start ? start->row + row : NULL, step, each, count, at);
        }
        return;
    }
    if (!transposed && !start && !at.queue && columns == 2 * rows && p->block == columns * columns &&
        (rows == 2 || rows == 4)) {
        for (int64_t e = first; e < end; e++)
            run_half_group(V, rows, p->w + e * p->block, p->before * p->block, in->row + e * columns * step,
                           out->row + e * rows * step, step, at);
        return;
    }
    for (int64_t e = first; e < end; e++)
        for (int64_t rest = 0; rest < step; rest++) {
            const REAL *w = p->w + (rest * p->before + e) * p->block;
            REAL *const *from = in->row + e * columns * step + rest, *const *to = out->row + e * rows * step + rest;
            REAL *const *begin = start ? start->row + e * rows * step + rest : NULL;
            if (at.queue) prefetch_due_rows(at.queue);
            if (rows == 2 && columns == 2)
                run_group(V, w, 2, 2, transposed, from, to, begin, step, at, NULL);
            else
                run_group(V, w, rows, columns, transposed, from, to, begin, step, at, copy);
        }
}

/* `now` vectors from the v-th on of a tile of so many. */
INLINE span span_of(scratch *s, const table *in, const table *out, const table *start, int64_t v, int64_t now,
                    int64_t vectors) {
    int64_t last = (v + now - 1) * LANES;
    int begins = !v && s->begins, ends = v + now == vectors && s->ends;
    prefetch_queue *queue = s->queue.rows ? &s->queue : NULL;
    span at = {v * LANES, last, last, last, queue, out->store_mode, s->edges, out->row, begins, ends, 0};
    if (v + now == vectors) at.in = in->last, at.out = out->last, at.start = start ? start->last : 0;
    return at;
}

INLINE void run_stage_vectors(scratch *s, const stage_args *p, const int transposed, const table *in, const table *out,
                              const table *start, int64_t first, int64_t end, int64_t vectors, REAL *const *copy) {
    int64_t most = out->store_mode ? VECTORS / VECTORS_OF_LINE * VECTORS_OF_LINE : VECTORS;
    for (int64_t v = 0; v < vectors; v += most) {
        int64_t now = vectors - v < most ? vectors - v : most;
        span at = span_of(s, in, out, start, v, now, vectors);
        at.prefetch_group = p->prefetch_group;
        if (now == 1) run_groups(1, p, transposed, in, out, start, first, end, at, copy);
        if (VECTORS > 1 && now == 2) run_groups(2, p, transposed, in, out, start, first, end, at, copy);
        if (VECTORS > 2 && now == 3) run_groups(3, p, transposed, in, out, start, first, end, at, copy);
        if (VECTORS > 3 && now == 4) run_groups(4, p, transposed, in, out, start, first, end, at, copy);
    }
}

/* A stage for the groups of e from `first` to `end`; transposed, it takes the gradient of its output to that of its input.
   Each call is a version of its own. */
static void run_stage(scratch *s, const stage_args *p, int transposed, const table *in, const table *out,
                      const table *start, int64_t first, int64_t end, int64_t vectors, REAL *const *copy) {
    if (transposed && start)
        run_stage_vectors(s, p, 1, in, out, start, first, end, vectors, copy);
    else if (transposed)
        run_stage_vectors(s, p, 1, in, out, NULL, first, end, vectors, copy);
    else if (start)
        run_stage_vectors(s, p, 0, in, out, start, first, end, vectors, copy);
    else
        run_stage_vectors(s, p, 0, in, out, NULL, first, end, vectors, copy);
}
