/* Stages of a tile, forward and back; included by tile.h. */

INLINE place NAME(place_of)(const job *j, const scratch *s, long i) {
    const transform *p = j->t;
    int ahead = j->ahead && (i == 0 || i == p->stages - 1);
    const stage_shape *of = &p->stage[i];
    return (place){s->weights[i], of->rows, of->columns, of->before, of->rest, of->rows * of->columns, ahead};
}

/* out[r] = start[r] + sum over c of w[r, c] * in[c], for R rows and V vectors; rows of `in` are in_step apart. */
#define BLOCK(R, V)                                                                                                \
    INLINE void NAME(block_##R##_##V)(REAL *const *in, long in_step, REAL *const *out, REAL *const *start,         \
                                      long step, const REAL *w, long wr, long wc, long columns, span at,           \
                                      int way) {                                                                   \
        vec sum[R][V], a[V];                                                                                       \
        UNROLL for (int v = 0; v < V; v++) a[v] = load(in[0] + (v == V - 1 ? at.in : at.first + v * LANES));       \
        UNROLL for (int r = 0; r < R; r++) {                                                                       \
            REAL k = w[r * wr];                                                                                    \
            UNROLL for (int v = 0; v < V; v++) sum[r][v] = k * a[v];                                               \
            if (start) {                                                                                           \
                const REAL *p = start[r * step];                                                                   \
                UNROLL for (int v = 0; v < V; v++)                                                                 \
                    sum[r][v] += load(p + (v == V - 1 ? at.start : at.first + v * LANES));                         \
            }                                                                                                      \
        }                                                                                                          \
        for (long c = 1; c < columns; c++) {                                                                       \
            const REAL *p = in[c * in_step];                                                                       \
            UNROLL for (int v = 0; v < V; v++) a[v] = load(p + (v == V - 1 ? at.in : at.first + v * LANES));       \
            UNROLL for (int r = 0; r < R; r++) {                                                                   \
                REAL k = w[r * wr + c * wc];                                                                       \
                UNROLL for (int v = 0; v < V; v++) sum[r][v] += k * a[v];                                          \
            }                                                                                                      \
        }                                                                                                          \
        UNROLL for (int r = 0; r < R; r++) {                                                                       \
            REAL *p = out[r * step];                                                                               \
            if (IS_LINE && way == IN_LINES) {                                                                      \
                NAME(put_in_lines)(out + r * step, sum[r], V, at);                                                 \
                continue;                                                                                          \
            }                                                                                                      \
            UNROLL for (int v = 0; v < V; v++) {                                                                   \
                REAL *to = p + (v == V - 1 ? at.out : at.first + v * LANES);                                       \
                if (way == AROUND)                                                                                 \
                    NAME(stream)(to, sum[r][v]);                                                                   \
                else                                                                                               \
                    store(to, sum[r][v]);                                                                          \
            }                                                                                                      \
        }                                                                                                          \
    }

#define CALL(R, V)                                                                                                 \
    NAME(block_##R##_##V)                                                                                          \
    (in, in_step, out + r * step, start ? start + r * step : NULL, step, w + r * wr, wr, wc, columns, at, at.way)

/* Fetch the next row of the images, into the nearest cache where that is large, or else the second. */
static __attribute__((noinline)) void NAME(fetch_next)(fetches *f) {
    if (f->image == f->end) return;
    const REAL *p = f->images[f->image].next, *last = p + f->images[f->image].width - 1;
    f->images[f->image].next += f->images[f->image].step;
    if (large_nearest) {
        for (; p < last; p += 64 / sizeof(REAL)) __builtin_prefetch(p, 0, 3);
        __builtin_prefetch(last, 0, 3);
    } else {
        for (; p < last; p += 64 / sizeof(REAL)) __builtin_prefetch(p, 0, 2);
        __builtin_prefetch(last, 0, 2);
    }
    if (!--f->images[f->image].left) f->image++;
}

/* Fetch the rows that are due with one more group. */
INLINE void NAME(fetch)(fetches *f) {
    for (f->due += f->rows; f->due > 0; f->due -= f->groups) NAME(fetch_next)(f);
}

/* Bring the rows of the images that the next group of radix N begins with from the second cache into the nearest. */
INLINE void NAME(fetch_group)(REAL *const *row, long step, const int N, const int V, span at) {
    UNROLL for (int r = 0; r < N; r++) UNROLL for (int v = 0; v < V; v++)
        __builtin_prefetch(row[r * step] + at.first + v * LANES, 0, 3);
}

/* The commonest groups, without anything else in registers: `count` of them, the tables `each` apart. Of radix 3 and
   4 V vectors at once; of radix 8 all rows at once where they are in place, and else half of them twice. */
#define SQUARE_OF(N, V, KIND, TURNED, START, FAR)                                                                  \
    static __attribute__((noinline)) void NAME(square_##N##_##KIND##_##V)(                                         \
        const REAL *w, long away, REAL *const *in, REAL *const *out, REAL *const *start, long step, long each,     \
        long count, span at) {                                                                                     \
        int way = START && FAR ? at.way : IN_CACHES;                                                               \
        for (; count; count--, in += each, out += each, w += away) {                                               \
            if (FAR && at.far) NAME(fetch)(at.far);                                                                \
            if (FAR && at.ahead && count > 1) NAME(fetch_group)(START ? start + each : in + each, step, N, V, at); \
            NAME(block_##N##_##V)(in, step, out, START ? start : NULL, step, w, TURNED ? 1 : N, TURNED ? N : 1, N, \
                                  at, way);                                                                        \
            if (START) start += each;                                                                              \
        }                                                                                                          \
    }

/* ROWS outputs, half of a group of radix 4 or 8, where two threads share an image. */
#define HALF_OF(ROWS, V)                                                                                           \
    static __attribute__((noinline)) void NAME(half_##ROWS##_##V)(const REAL *w, long away, REAL *const *in,       \
                                                                  REAL *const *out, long step, span at) {          \
        for (long k = 0; k < step; k++, in++, out++, w += away)                                                    \
            NAME(block_##ROWS##_##V)(in, step, out, NULL, step, w, 2 * ROWS, 1, 2 * ROWS, at, IN_CACHES);          \
    }

/* A group of radix 8 in place, all rows at once: by pairs of vectors where there are registers for 16 sums. */
#if RADIX_8
#define EIGHT_SPANS                                                                                                \
    long second = at.first + LANES;                                                                                \
    span low = {.first = at.first, .in = second, .out = second}, high = at;                                        \
    high.first += 2 * LANES;
#define EIGHT(V)                                                                                                   \
    if (V > 2) NAME(block_8_2)(in, step, out, NULL, step, w, wr, wc, 8, low, IN_CACHES);                           \
    if (V % 2)                                                                                                     \
        NAME(block_8_1)(in, step, out, NULL, step, w, wr, wc, 8, at, IN_CACHES);                                   \
    else                                                                                                           \
        NAME(block_8_2)(in, step, out, NULL, step, w, wr, wc, 8, V > 2 ? high : at, IN_CACHES);
#else
#define EIGHT_SPANS                                                                                                \
    long second = at.first + LANES;                                                                                \
    span low = {.in = at.first, .out = at.first}, middle = {.in = second, .out = second};
#define EIGHT(V)                                                                                                   \
    if (V > 1) NAME(block_8_1)(in, step, out, NULL, step, w, wr, wc, 8, low, IN_CACHES);                           \
    if (V > 2) NAME(block_8_1)(in, step, out, NULL, step, w, wr, wc, 8, middle, IN_CACHES);                        \
    NAME(block_8_1)(in, step, out, NULL, step, w, wr, wc, 8, at, IN_CACHES);
#endif
#define SQUARE_8(V, KIND, TURNED, START, FAR)                                                                      \
    static __attribute__((noinline)) void NAME(square_8_##KIND##_##V)(                                             \
        const REAL *w, long away, REAL *const *in, REAL *const *out, REAL *const *start, long step, long each,     \
        long count, span at) {                                                                                     \
        EIGHT_SPANS                                                                                                \
        int way = START && FAR ? at.way : IN_CACHES, in_place = !START && in == out;                               \
        for (; count; count--, in += each, out += each, w += away) {                                               \
            long wr = TURNED ? 1 : 8, wc = TURNED ? 8 : 1;                                                         \
            if (FAR && at.far) NAME(fetch)(at.far);                                                                \
            if (in_place) {                                                                                        \
                EIGHT(V)                                                                                           \
                continue;                                                                                          \
            }                                                                                                      \
            NAME(block_4_##V)(in, step, out, START ? start : NULL, step, w, wr, wc, 8, at, way);                   \
            NAME(block_4_##V)(in, step, out + 4 * step, START ? start + 4 * step : NULL, step, w + 4 * wr, wr, wc, 8,\
                              at, way);                                                                            \
            if (START) start += each;                                                                              \
        }                                                                                                          \
    }
#define KINDS(KIND, V)                                                                                             \
    if (rows == 3)                                                                                                 \
        NAME(square_3_##KIND##_##V)(w, away, from, to, begin, step, each, count, at);                              \
    else if (rows == 4)                                                                                            \
        NAME(square_4_##KIND##_##V)(w, away, from, to, begin, step, each, count, at);                              \
    else                                                                                                           \
        NAME(square_8_##KIND##_##V)(w, away, from, to, begin, step, each, count, at);
#define SQUARES(V, KIND, TURNED, START, FAR)                                                                       \
    SQUARE_OF(3, V, KIND, TURNED, START, FAR) SQUARE_OF(4, V, KIND, TURNED, START, FAR)                            \
    SQUARE_8(V, KIND, TURNED, START, FAR)
#define SQUARE(V, KIND, TURNED, START) SQUARES(V, KIND, TURNED, START, 0) SQUARES(V, far_##KIND, TURNED, START, 1)
#define CHOOSE(KIND, V)                                                                                            \
    if (at.far || at.way)                                                                                          \
        { KINDS(far_##KIND, V) }                                                                                   \
    else                                                                                                           \
        { KINDS(KIND, V) }

/* One group of a stage from `in` to `out`. In place, more rows than a block has need a copy of their input. */
#define GROUP(V)                                                                                                   \
    BLOCK(1, V) BLOCK(2, V) BLOCK(3, V) BLOCK(4, V)                                                                \
    INLINE void NAME(group_##V)(const REAL *w, long rows, long columns, int turned, REAL *const *in,               \
                                REAL *const *out, REAL *const *start, long step, span at, REAL *const *copy) {     \
        long wr = turned ? 1 : columns, wc = turned ? rows : 1, in_step = step;                                    \
        if (copy && rows > 4) {                                                                                    \
            for (long c = 0; c < columns; c++)                                                                     \
                UNROLL for (int v = 0; v < V; v++) {                                                               \
                    long k = v == V - 1 ? at.in : at.first + v * LANES;                                            \
                    store(copy[c] + k, load(in[c * step] + k));                                                    \
                }                                                                                                  \
            in = copy, in_step = 1;                                                                                \
        }                                                                                                          \
        long r = 0;                                                                                                \
        for (; r + 4 <= rows; r += 4) CALL(4, V);                                                                  \
        if (r + 3 == rows)                                                                                         \
            CALL(3, V);                                                                                            \
        else if (r + 2 == rows)                                                                                    \
            CALL(2, V);                                                                                            \
        else if (r + 1 == rows)                                                                                    \
            CALL(1, V);                                                                                            \
    }                                                                                                              \
    HALF_OF(2, V) HALF_OF(4, V)                                                                                    \
    SQUARE(V, forward, 0, 0) SQUARE(V, forward_start, 0, 1) SQUARE(V, back, 1, 0) SQUARE(V, back_start, 1, 1)      \
    INLINE void NAME(range_##V)(const place *p, int turned, const table *in, const table *out, const table *start, \
                                long first, long end, span at, REAL *const *copy) {                                \
        long rows = turned ? p->columns : p->rows, columns = turned ? p->rows : p->columns, step = p->rest;        \
        if (rows == columns && (rows == 3 || rows == 4 || rows == 8)) {                                            \
            /* All e at once where there is one group of each. */                                                  \
            long each = step == 1 ? rows : 1, count = step == 1 ? end - first : step;                              \
            long away = (step == 1 ? 1 : p->before) * p->block;                                                    \
            for (long e = first; e < end; e += step == 1 ? end - first : 1) {                                      \
                const REAL *w = p->w + e * p->block;                                                               \
                REAL *const *from = in->row + e * rows * step, *const *to = out->row + e * rows * step;            \
                REAL *const *begin = start ? start->row + e * rows * step : NULL;                                  \
                if (turned && start)                                                                               \
                    { CHOOSE(back_start, V) }                                                                      \
                else if (turned)                                                                                   \
                    { CHOOSE(back, V) }                                                                            \
                else if (start)                                                                                    \
                    { CHOOSE(forward_start, V) }                                                                   \
                else                                                                                               \
                    { CHOOSE(forward, V) }                                                                         \
            }                                                                                                      \
            return;                                                                                                \
        }                                                                                                          \
        if (!turned && !start && !at.far && columns == 2 * rows && p->block == columns * columns &&                \
            (rows == 2 || rows == 4)) {                                                                            \
            for (long e = first; e < end; e++) {                                                                   \
                const REAL *w = p->w + e * p->block;                                                               \
                REAL *const *from = in->row + e * columns * step, *const *to = out->row + e * rows * step;         \
                if (rows == 2)                                                                                     \
                    NAME(half_2_##V)(w, p->before * p->block, from, to, step, at);                                 \
                else                                                                                               \
                    NAME(half_4_##V)(w, p->before * p->block, from, to, step, at);                                 \
            }                                                                                                      \
            return;                                                                                                \
        }                                                                                                          \
        for (long e = first; e < end; e++)                                                                         \
            for (long rest = 0; rest < step; rest++) {                                                             \
                const REAL *w = p->w + (rest * p->before + e) * p->block;                                          \
                REAL *const *from = in->row + e * columns * step + rest;                                           \
                REAL *const *to = out->row + e * rows * step + rest;                                               \
                REAL *const *begin = start ? start->row + e * rows * step + rest : NULL;                           \
                if (at.far) NAME(fetch)(at.far);                                                                   \
                if (rows == 2 && columns == 2)                                                                     \
                    NAME(group_##V)(w, 2, 2, turned, from, to, begin, step, at, NULL);                             \
                else                                                                                               \
                    NAME(group_##V)(w, rows, columns, turned, from, to, begin, step, at, copy);                    \
            }                                                                                                      \
    }

BLOCK(8, 1)
#if VECTORS > 1
BLOCK(8, 2)
#endif
GROUP(1)
#if VECTORS > 1
GROUP(2)
#endif
#if VECTORS > 2
GROUP(3)
#endif
#if VECTORS > 3
GROUP(4)
#endif

/* `now` vectors from the v-th on of a tile of so many. */
INLINE span NAME(span_of)(scratch *s, const table *in, const table *out, const table *start, long v, long now,
                          long vectors) {
    long last = (v + now - 1) * LANES;
    int begins = !v && s->begins, ends = v + now == vectors && s->ends;
    fetches *far = s->far.rows ? &s->far : NULL;
    span at = {v * LANES, last, last, last, far, out->way, s->edges, out->row, begins, ends, 0};
    if (v + now == vectors) at.in = in->last, at.out = out->last, at.start = start ? start->last : 0;
    return at;
}

INLINE void NAME(stage_of)(scratch *s, const place *p, int turned, const table *in, const table *out, const table *start,
                           long first, long end, long vectors, REAL *const *copy) {
    long most = out->way ? VECTORS / LINE * LINE : VECTORS;
    for (long v = 0; v < vectors; v += most) {
        long now = vectors - v < most ? vectors - v : most;
        span at = NAME(span_of)(s, in, out, start, v, now, vectors);
        at.ahead = p->ahead;
        switch (now) {
        case 1: NAME(range_1)(p, turned, in, out, start, first, end, at, copy); break;
#if VECTORS > 1
        case 2: NAME(range_2)(p, turned, in, out, start, first, end, at, copy); break;
#endif
#if VECTORS > 2
        case 3: NAME(range_3)(p, turned, in, out, start, first, end, at, copy); break;
#endif
#if VECTORS > 3
        case 4: NAME(range_4)(p, turned, in, out, start, first, end, at, copy); break;
#endif
        }
    }
}

/* A stage for the groups of e from `first` to `end`; turned, it takes the gradient of its output to that of its input.
   Each call is a version of its own. */
static void NAME(stage)(scratch *s, const place *p, int turned, const table *in, const table *out, const table *start,
                        long first, long end, long vectors, REAL *const *copy) {
    if (turned && start)
        NAME(stage_of)(s, p, 1, in, out, start, first, end, vectors, copy);
    else if (turned)
        NAME(stage_of)(s, p, 1, in, out, NULL, first, end, vectors, copy);
    else if (start)
        NAME(stage_of)(s, p, 0, in, out, start, first, end, vectors, copy);
    else
        NAME(stage_of)(s, p, 0, in, out, NULL, first, end, vectors, copy);
}
