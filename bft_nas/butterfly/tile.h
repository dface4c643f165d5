/* One tile of pixels, for one type of numbers and one instruction set: kernel.c includes this file once for each, with

     REAL      float or double                 LANES    numbers in a vector
     INTEGER   of the same size                VECTORS  vectors of a row that are worked on together: as many as leave
     NAME(x)   x with a suffix of its own               BLOCK_ROWS * VECTORS sums in registers

   A tile is a number of vectors of pixels of every channel, a row a channel. Rows are reached through tables of
   pointers: in NCHW the first stage reads the image and the last one writes the result in place, and a tile that does
   not end with a vector takes its last vector from LANES before its end, which computes some pixels twice, to the same
   result. Channels_last, bfloat16, and images of less than a vector go through packed rows. */

#define vec NAME(vec)
#define place NAME(place)
#define span NAME(span)
#define loose NAME(loose)
#define lanes NAME(lanes)
#define table NAME(table)
#define scratch NAME(scratch)
#define tile NAME(tile)

typedef REAL vec __attribute__((vector_size(LANES * sizeof(REAL))));
typedef vec loose __attribute__((aligned(2), may_alias)); /* in memory, anywhere */
typedef INTEGER lanes __attribute__((vector_size(LANES * sizeof(REAL))));

/* Rows, and where in each the last vector of the tile is; those before it follow each other. */
typedef struct {
    REAL **row;
    long last, ahead;
} table;

typedef struct {
    long first, count, vectors; /* pixels: where in the image or batch, how many; and how many vectors */
    long image, images;         /* NCHW */
    long ahead_image, ahead;
    vec once;                   /* 0 where a lane of the last vector repeats a pixel, else 1 */
} tile;

/* A stage. Rows are numbered by the digits of their channel, the outputs of earlier stages first and the inputs of later
   stages last: (e, digit, rest). The stage replaces its digit and leaves the others, so that it can work in place, and
   what follows is independent for each e. */
typedef struct {
    const REAL *w; /* of (rest, e), rows x columns each */
    long rows, columns, before, rest;
} place;

/* What a worker has beside the images. Tables named `own_` are filled where no table of rows has the order wanted. */
typedef struct {
    REAL *zeros, *nowhere, *pack_x, *pack_y, *pack_gx;
    REAL **own_in, **own_start, **own_gx;
    table x, y, gx, residual;                    /* by channel; in the backward pass y is the gradient of y */
    table kept[MAX_STAGES], gradient;            /* outputs of the stages; forward, all of them take the first */
    REAL **copy;
} scratch;

INLINE vec NAME(load)(const REAL *p) { return *(const loose *)p; }
INLINE void NAME(store)(REAL *p, vec v) { *(loose *)p = v; }
#define load NAME(load)
#define store NAME(store)

/* ---- stages ------------------------------------------------------------------------------------------------ */

/* Vectors of the rows that are worked on: the first's place, and the last's in the rows of each operand. */
typedef struct {
    long first, in, out, start;
} span;

INLINE place NAME(place_of)(const job *j, long i) {
    const transform *p = &j->t;
    return (place){j->weights[i], p->rows[i], p->columns[i], p->before[i], p->rest[i]};
}

/* out[r] = start[r] + sum over c of w[r, c] * in[c], for R rows and V vectors; rows of `in` are in_step apart. */
#define BLOCK(R, V)                                                                                                \
    INLINE void NAME(block_##R##_##V)(REAL *const *in, long in_step, REAL *const *out, REAL *const *start,         \
                                      long step, const REAL *w, long wr, long wc, long columns, span at) {         \
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
            UNROLL for (int v = 0; v < V; v++) store(p + (v == V - 1 ? at.out : at.first + v * LANES), sum[r][v]); \
        }                                                                                                          \
    }

#define CALL(R, V)                                                                                                 \
    NAME(block_##R##_##V)                                                                                          \
    (in, in_step, out + r * step, start ? start + r * step : NULL, step, w + r * wr, wr, wc, columns, at)

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
    INLINE void NAME(range_##V)(const place *p, int turned, const table *in, const table *out, const table *start, \
                                long first, long end, span at, REAL *const *copy) {                                \
        long rows = turned ? p->columns : p->rows, columns = turned ? p->rows : p->columns, step = p->rest;        \
        for (long e = first; e < end; e++)                                                                         \
            for (long rest = 0; rest < step; rest++) {                                                             \
                const REAL *w = p->w + (rest * p->before + e) * rows * columns;                                    \
                REAL *const *from = in->row + e * columns * step + rest;                                           \
                REAL *const *to = out->row + e * rows * step + rest;                                               \
                REAL *const *begin = start ? start->row + e * rows * step + rest : NULL;                           \
                if (in->ahead)                                                                                     \
                    for (long c = 0; c < columns; c++)                                                             \
                        UNROLL for (int v = 0; v < V; v++)                                                         \
                            __builtin_prefetch(from[c * step] + in->ahead + at.first + v * LANES, 0);           \
                if (out->ahead)                                                                                    \
                    for (long r = 0; r < rows; r++)                                                                \
                        UNROLL for (int v = 0; v < V; v++)                                                         \
                            __builtin_prefetch(to[r * step] + out->ahead + at.first + v * LANES, 1);            \
                if (rows == 4 && columns == 4)                                                                     \
                    NAME(group_##V)(w, 4, 4, turned, from, to, begin, step, at, NULL);                             \
                else if (rows == 2 && columns == 2)                                                                \
                    NAME(group_##V)(w, 2, 2, turned, from, to, begin, step, at, NULL);                             \
                else                                                                                               \
                    NAME(group_##V)(w, rows, columns, turned, from, to, begin, step, at, copy);                    \
            }                                                                                                      \
    }

GROUP(1)
#if VECTORS > 1
GROUP(2)
#endif
#if VECTORS > 2
GROUP(3)
GROUP(4)
#endif

INLINE void NAME(stage_of)(const place *p, int turned, const table *in, const table *out, const table *start, long first,
                      long end, long vectors, REAL *const *copy) {
    for (long v = 0; v < vectors; v += VECTORS) {
        long now = vectors - v < VECTORS ? vectors - v : VECTORS, last = (v + now - 1) * LANES;
        span at = {v * LANES, last, last, last};
        if (v + now == vectors) at.in = in->last, at.out = out->last, at.start = start ? start->last : 0;
        switch (now) {
        case 1: NAME(range_1)(p, turned, in, out, start, first, end, at, copy); break;
#if VECTORS > 1
        case 2: NAME(range_2)(p, turned, in, out, start, first, end, at, copy); break;
#endif
#if VECTORS > 2
        case 3: NAME(range_3)(p, turned, in, out, start, first, end, at, copy); break;
        case 4: NAME(range_4)(p, turned, in, out, start, first, end, at, copy); break;
#endif
        }
    }
}

/* A stage for the groups of e from `first` to `end`; turned, it takes the gradient of its output to that of its input.
   Each call is a version of its own. */
static void NAME(stage)(const place *p, int turned, const table *in, const table *out, const table *start, long first,
                        long end, long vectors, REAL *const *copy) {
    if (turned && start)
        NAME(stage_of)(p, 1, in, out, start, first, end, vectors, copy);
    else if (turned)
        NAME(stage_of)(p, 1, in, out, NULL, first, end, vectors, copy);
    else if (start)
        NAME(stage_of)(p, 0, in, out, start, first, end, vectors, copy);
    else
        NAME(stage_of)(p, 0, in, out, NULL, first, end, vectors, copy);
}

/* ---- gradients of weights -------------------------------------------------------------------------------------- */

/* In a round with K, a power of two, bit k of the number of a vector and of that of a lane change places. */
#define PAIR(K, a, b, low_half, high_half)                                                                         \
    {                                                                                                              \
        const lanes mask = (IOTA & ~(INTEGER)K) + (IOTA & K) * (LANES / K);                                        \
        low_half = __builtin_shuffle(a, b, mask);                                                                  \
        high_half = __builtin_shuffle(a, b, mask + K);                                                             \
    }
#if LANES == 16
#define IOTA ((lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#elif LANES == 8
#define IOTA ((lanes){0, 1, 2, 3, 4, 5, 6, 7})
#elif LANES == 4
#define IOTA ((lanes){0, 1, 2, 3})
#else
#define IOTA ((lanes){0, 1})
#endif

/* The sum of each of LANES vectors, in order. */
INLINE vec NAME(sums)(vec a[LANES]) {
    vec low, high;
    UNROLL for (int i = 0; i < LANES / 2; i++) { PAIR(1, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
#if LANES > 2
    UNROLL for (int i = 0; i < LANES / 4; i++) { PAIR(2, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
#endif
#if LANES > 4
    UNROLL for (int i = 0; i < LANES / 8; i++) { PAIR(4, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
#endif
#if LANES > 8
    { PAIR(8, a[0], a[1], low, high) a[0] = low + high; }
#endif
    return a[0];
}

/* gw[r * columns + c] += sum over pixels of gout[r] * in[c * step], for 4 rows and LANES / 4 columns. */
#define WIDE (LANES / 4)
INLINE void NAME(products_block)(REAL *const *gout, long last_out, REAL *const *in, long step, long last_in, REAL *gw,
                                 long columns, long vectors, vec once) {
    vec sum[4 * WIDE];
    UNROLL for (int k = 0; k < 4 * WIDE; k++) sum[k] = (vec){0};
    for (long v = 0; v < vectors - 1; v++) {
        vec a[WIDE];
        UNROLL for (int c = 0; c < WIDE; c++) a[c] = load(in[c * step] + v * LANES);
        UNROLL for (int r = 0; r < 4; r++) {
            vec o = load(gout[r * step] + v * LANES);
            UNROLL for (int c = 0; c < WIDE; c++) sum[r * WIDE + c] += o * a[c];
        }
    }
    vec a[WIDE];
    UNROLL for (int c = 0; c < WIDE; c++) a[c] = once * load(in[c * step] + last_in);
    UNROLL for (int r = 0; r < 4; r++) {
        vec o = load(gout[r * step] + last_out);
        UNROLL for (int c = 0; c < WIDE; c++) sum[r * WIDE + c] += o * a[c];
    }
    vec total = NAME(sums)(sum);
    if (columns == WIDE)
        store(gw, load(gw) + total);
    else
        UNROLL for (int r = 0; r < 4; r++) UNROLL for (int c = 0; c < WIDE; c++) gw[r * columns + c] += total[r * WIDE + c];
}

/* Products that are in no full block: their vectors are gathered and summed LANES at a time. */
typedef struct {
    vec sum[LANES];
    REAL *to[LANES];
    long count;
} NAME(gathered);

INLINE void NAME(flush)(NAME(gathered) *k) {
    vec total = NAME(sums)(k->sum);
    for (long i = 0; i < k->count; i++) *k->to[i] += total[i];
    k->count = 0;
}

static void NAME(products)(const place *p, const table *gout, const table *in, REAL *gw, long first, long end,
                           long vectors, vec once) {
    long rows = p->rows, columns = p->columns, step = p->rest;
    long full_rows = rows / 4 * 4, full_columns = columns / WIDE * WIDE;
    NAME(gathered) others;
    others.count = 0;
    for (long e = first; e < end; e++)
        for (long rest = 0; rest < step; rest++) {
            REAL *const *o = gout->row + e * rows * step + rest, *const *a = in->row + e * columns * step + rest;
            REAL *to = gw + (rest * p->before + e) * rows * columns;
            for (long r = 0; r < full_rows; r += 4)
                for (long c = 0; c < full_columns; c += WIDE)
                    NAME(products_block)(o + r * step, gout->last, a + c * step, step, in->last, to + r * columns + c,
                                         columns, vectors, once);
            for (long r = 0; r < rows; r++)
                for (long c = r < full_rows ? full_columns : 0; c < columns; c++) {
                    vec sum = once * load(o[r * step] + gout->last) * load(a[c * step] + in->last);
                    for (long v = 0; v < vectors - 1; v++)
                        sum += load(o[r * step] + v * LANES) * load(a[c * step] + v * LANES);
                    others.sum[others.count] = sum;
                    others.to[others.count++] = to + r * columns + c;
                    if (others.count == LANES) NAME(flush)(&others);
                }
        }
    if (others.count) {
        for (long k = others.count; k < LANES; k++) others.sum[k] = (vec){0};
        NAME(flush)(&others);
    }
}

/* ---- tiles in and out of an image ---------------------------------------------------------------------------- */

#if HALVES
INLINE vec NAME(load_half)(const uint16_t *p) {
    typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
    return (vec)(__builtin_convertvector(*(const halves *)p, lanes) << 16);
}

INLINE void NAME(store_half)(uint16_t *p, vec v) {
    typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
    typedef halves anywhere __attribute__((aligned(2), may_alias));
    lanes bits = (lanes)v;
    lanes even = bits + 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    lanes is_nan = v != v;
    *(anywhere *)p = __builtin_convertvector(((even & ~is_nan) | ((bits | 0x400000) & is_nan)) >> 16, halves);
}

INLINE REAL NAME(get_half)(const uint16_t *p) {
    uint32_t bits = (uint32_t)*p << 16;
    REAL value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE void NAME(put_half)(uint16_t *p, REAL value) {
    vec v = {value};
    uint16_t out[LANES];
    NAME(store_half)(out, v);
    *p = out[0];
}
#define GET(p, i) (half ? NAME(get_half)((const uint16_t *)(p) + (i)) : ((const REAL *)(p))[i])
#define PUT(p, i, value)                                                                                           \
    do {                                                                                                           \
        if (half)                                                                                                  \
            NAME(put_half)((uint16_t *)(p) + (i), value);                                                          \
        else                                                                                                       \
            ((REAL *)(p))[i] = value;                                                                              \
    } while (0)
#define LOAD(p, i) (half ? NAME(load_half)((const uint16_t *)(p) + (i)) : load((const REAL *)(p) + (i)))
#define STORE(p, i, v)                                                                                             \
    do {                                                                                                           \
        if (half)                                                                                                  \
            NAME(store_half)((uint16_t *)(p) + (i), v);                                                            \
        else                                                                                                       \
            store((REAL *)(p) + (i), v);                                                                           \
    } while (0)
#else
#define GET(p, i) (((const REAL *)(p))[i])
#define PUT(p, i, value) (((REAL *)(p))[i] = (value))
#define LOAD(p, i) load((const REAL *)(p) + (i))
#define STORE(p, i, v) store((REAL *)(p) + (i), v)
#endif

INLINE void NAME(transpose)(vec a[LANES]) {
#define ROUND(K)                                                                                                   \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & K)) {                                                         \
        vec low, high;                                                                                             \
        PAIR(K, a[i], a[i + K], low, high)                                                                         \
        a[i] = low, a[i + K] = high;                                                                               \
    }
    ROUND(1)
#if LANES > 2
    ROUND(2)
#endif
#if LANES > 4
    ROUND(4)
#endif
#if LANES > 8
    ROUND(8)
#endif
#undef ROUND
}

/* rows[c][p] = pixels[p * channels + c], and back. Blocks that would reach over an edge begin earlier. */
INLINE void NAME(rows_from_pixels)(const void *pixels, long channels, long count, REAL *const *rows, int half) {
    if (channels < LANES || count < LANES) {
        for (long p = 0; p < count; p++)
            for (long c = 0; c < channels; c++) rows[c][p] = GET(pixels, p * channels + c);
        return;
    }
    for (long p = 0; p < count; p += LANES)
        for (long c = 0; c < channels; c += LANES) {
            long p0 = p + LANES <= count ? p : count - LANES, c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = LOAD(pixels, (p0 + i) * channels + c0);
            NAME(transpose)(block);
            UNROLL for (int i = 0; i < LANES; i++) store(rows[c0 + i] + p0, block[i]);
        }
}

INLINE void NAME(pixels_from_rows)(void *pixels, long channels, long count, REAL *const *rows, int half) {
    if (channels < LANES || count < LANES) {
        for (long p = 0; p < count; p++)
            for (long c = 0; c < channels; c++) PUT(pixels, p * channels + c, rows[c][p]);
        return;
    }
    for (long p = 0; p < count; p += LANES)
        for (long c = 0; c < channels; c += LANES) {
            long p0 = p + LANES <= count ? p : count - LANES, c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = load(rows[c0 + i] + p0);
            NAME(transpose)(block);
            UNROLL for (int i = 0; i < LANES; i++) STORE(pixels, (p0 + i) * channels + c0, block[i]);
        }
}

INLINE void NAME(copy_in)(const void *from, long at, REAL *to, long count, int half) {
    long i = 0;
    for (; i + LANES <= count; i += LANES) store(to + i, LOAD(from, at + i));
    for (; i < count; i++) to[i] = GET(from, at + i);
}

INLINE void NAME(copy_out)(const REAL *from, void *to, long at, long count, int half) {
    long i = 0;
    for (; i + LANES <= count; i += LANES) STORE(to, at + i, load(from + i));
    for (; i < count; i++) PUT(to, at + i, from[i]);
}

INLINE tile NAME(tile_of)(const job *j, long index) {
    tile t = {0};
    if (j->images_per_tile) { /* several small images side by side */
        t.image = index * j->images_per_tile;
        t.images = j->batch - t.image < j->images_per_tile ? j->batch - t.image : j->images_per_tile;
        t.count = t.images * j->pixels;
        t.vectors = (t.count + LANES - 1) / LANES;
        t.once = (vec){0} + 1;
        return t;
    }
    long all = j->channels_last ? j->batch * j->pixels : j->pixels;
    long vectors = (all + LANES - 1) / LANES;
    t.image = index / j->tiles_per_image;
    t.images = 1;
    index %= j->tiles_per_image;
    long from = index * vectors / j->tiles_per_image, end = (index + 1) * vectors / j->tiles_per_image;
    t.first = from * LANES;
    t.vectors = end - from;
    t.count = (end * LANES < all ? end * LANES : all) - t.first;
    long repeated = j->packed ? 0 : t.vectors * LANES - t.count;
    lanes counted = IOTA >= (INTEGER)repeated;
    t.once = (vec)((lanes)((vec){0} + 1) & counted);
    if (!j->packed && t.count < LANES) t.first -= LANES - t.count, t.count = LANES;
    return t;
}

/* Bring `channels` channels of the tile within reach of `rows`: in place, or as packed rows. */
INLINE void NAME(reach)(const job *j, tile t, const void *image, long channels, table *rows, REAL *pack) {
    if (!j->packed) {
        REAL *first = (REAL *)image + t.image * channels * j->pixels + t.first;
        for (long c = 0; c < channels; c++) rows->row[c] = first + c * j->pixels;
        rows->last = t.count - LANES;
        rows->ahead = t.ahead_image * channels * j->pixels + t.ahead;
        return;
    }
    for (long c = 0; c < channels; c++) rows->row[c] = pack + c * j->row;
    rows->last = (t.vectors - 1) * LANES;
}

INLINE void NAME(rows_in)(const job *j, tile t, const void *image, long channels, table *rows, REAL *pack) {
    NAME(reach)(j, t, image, channels, rows, pack);
    if (!j->packed) return;
    int half = j->half;
    if (t.count % LANES)
        for (long c = 0; c < channels; c++) store(rows->row[c] + rows->last, (vec){0});
    if (j->channels_last) {
#if HALVES
        if (half) {
            NAME(rows_from_pixels)((const uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1);
            return;
        }
#endif
        NAME(rows_from_pixels)((const REAL *)image + t.first * channels, channels, t.count, rows->row, 0);
        return;
    }
    long each = j->images_per_tile ? j->pixels : t.count;
    for (long i = 0; i < t.images; i++)
        for (long c = 0; c < channels; c++)
            NAME(copy_in)(image, ((t.image + i) * channels + c) * j->pixels + t.first, rows->row[c] + i * each, each, half);
}

INLINE void NAME(rows_done)(const job *j, tile t, void *image, long channels, const table *rows) {
    if (!j->packed) return;
    int half = j->half;
    if (j->channels_last) {
#if HALVES
        if (half) {
            NAME(pixels_from_rows)((uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1);
            return;
        }
#endif
        NAME(pixels_from_rows)((REAL *)image + t.first * channels, channels, t.count, rows->row, 0);
        return;
    }
    long each = j->images_per_tile ? j->pixels : t.count;
    for (long i = 0; i < t.images; i++)
        for (long c = 0; c < channels; c++)
            NAME(copy_out)(rows->row[c] + i * each, image, ((t.image + i) * channels + c) * j->pixels + t.first, each, half);
}

/* ---- one tile ------------------------------------------------------------------------------------------------ */

/* to[c] = the sum of the rows c, c + size, c + 2 * size, ... of `from`, of which there are `count`. */
INLINE void NAME(fold)(const table *from, long count, long size, table *to, long vectors) {
    for (long c = 0; c < size; c++)
        for (long v = 0; v < vectors; v++) {
            long at = v == vectors - 1 ? from->last : v * LANES;
            vec sum = load(from->row[c] + at);
            for (long k = c + size; k < count; k += size) sum += load(from->row[k] + at);
            store(to->row[c] + v * LANES, sum);
        }
    to->last = (vectors - 1) * LANES;
}

/* The input of the first stage, in its order of (channel within a chunk, chunk). */
INLINE table NAME(first_in)(const transform *p, scratch *s) {
    if (p->chunks == 1) return s->x;
    for (long c = 0; c < p->size; c++)
        for (long k = 0; k < p->chunks; k++) {
            long channel = k * p->size + c;
            s->own_in[c * p->chunks + k] = channel < p->n_in ? s->x.row[channel] : s->zeros;
        }
    return (table){s->own_in, s->x.last, s->x.ahead};
}

/* The rows c, c + size, c + 2 * size, ... of `from`, summed where there are several. */
INLINE table NAME(residual)(const transform *p, scratch *s, const table *from, long count, long parts, long vectors) {
    if (parts == 1) return *from;
    s->residual.last = (vectors - 1) * LANES;
    for (long c = 0; c < p->size; c++)
        for (long v = 0; v < vectors; v++) {
            long at = v == vectors - 1 ? from->last : v * LANES;
            vec sum = load(from->row[c] + at);
            for (long k = c + p->size; k < count; k += p->size) sum += load(from->row[k] + at);
            store(s->residual.row[c] + v * LANES, sum);
        }
    return s->residual;
}

/* Stages from the i-th on, for the e from `first` to `end`: all of them on a block of rows that stays in the nearest
   cache, as soon as there is one. */
static void NAME(forward_from)(const job *j, scratch *s, long i, long first, long end, const table *in,
                               const table *start, long vectors) {
    long last = j->t.stages - 1;
    place p = NAME(place_of)(j, i);
    if (i == last) {
        NAME(stage)(&p, 0, in, &s->y, start, first, end, vectors, NULL);
        return;
    }
    NAME(stage)(&p, 0, in, &s->kept[0], NULL, first, end, vectors, i ? s->copy : NULL);
    long each = (end - first) * p.rows * p.rest <= j->near ? (end - first) * p.rows : 1;
    for (long e = first * p.rows; e < end * p.rows; e += each)
        NAME(forward_from)(j, s, i + 1, e, e + each, &s->kept[0], start, vectors);
}

static void NAME(forward_tile)(const job *j, scratch *s, tile t) {
    const transform *p = &j->t;
    NAME(rows_in)(j, t, j->x, p->n_in, &s->x, s->pack_x);
    NAME(reach)(j, t, j->y, p->n_out, &s->y, s->pack_y);
    table in = NAME(first_in)(p, s), start = NAME(residual)(p, s, &s->x, p->n_in, p->chunks, t.vectors);
    if (p->copies > 1) {
        for (long k = 0; k < p->copies * p->size; k++) s->own_start[k] = start.row[k % p->size];
        start.row = s->own_start;
    }
    s->kept[0].last = (t.vectors - 1) * LANES;
    NAME(forward_from)(j, s, 0, 0, 1, &in, &start, t.vectors);
    NAME(rows_done)(j, t, j->y, p->n_out, &s->y);
}

/* The same back: the stage forward, all after it back, then the stage back. */
static void NAME(backward_from)(const job *j, scratch *s, REAL *gw, long i, long first, long end, const table *in,
                                const table *gx, const table *start, tile t) {
    long last = j->t.stages - 1;
    place p = NAME(place_of)(j, i);
    const table *gout = i == last ? &s->y : &s->gradient;
    if (i < last) {
        NAME(stage)(&p, 0, in, &s->kept[i], NULL, first, end, t.vectors, NULL);
        long each = (end - first) * p.rows * p.rest <= j->near ? (end - first) * p.rows : 1;
        for (long e = first * p.rows; e < end * p.rows; e += each)
            NAME(backward_from)(j, s, gw, i + 1, e, e + each, &s->kept[i], &s->gradient, NULL, t);
    }
    NAME(products)(&p, gout, in, gw + j->t.offset[i], first, end, t.vectors, t.once);
    NAME(stage)(&p, 1, gout, gx, start, first, end, t.vectors, i && i < last ? s->copy : NULL);
}

static void NAME(backward_tile)(const job *j, scratch *s, REAL *gw, tile t) {
    const transform *p = &j->t;
    NAME(rows_in)(j, t, j->x, p->n_in, &s->x, s->pack_x);
    NAME(rows_in)(j, t, j->gy, p->n_out, &s->y, s->pack_y);
    NAME(reach)(j, t, j->gx, p->n_in, &s->gx, s->pack_gx);
    table in = NAME(first_in)(p, s), gx = s->gx;
    table start = NAME(residual)(p, s, &s->y, p->n_out, p->copies, t.vectors);
    if (p->chunks > 1) {
        for (long c = 0; c < p->size; c++)
            for (long k = 0; k < p->chunks; k++) {
                long channel = k * p->size + c;
                s->own_start[c * p->chunks + k] = start.row[c];
                s->own_gx[c * p->chunks + k] = channel < p->n_in ? s->gx.row[channel] : s->nowhere;
            }
        start.row = s->own_start, gx.row = s->own_gx;
    }
    for (long i = 0; i < p->stages; i++) s->kept[i].last = (t.vectors - 1) * LANES;
    s->gradient.last = (t.vectors - 1) * LANES;
    NAME(backward_from)(j, s, gw, 0, 0, 1, &in, &gx, &start, t);
    NAME(rows_done)(j, t, j->gx, p->n_in, &s->gx);
}

/* ---- a worker's share ---------------------------------------------------------------------------------------- */

/* A table of `count` rows in memory for `have`, used again and again. */
INLINE REAL *NAME(rows)(REAL *values, REAL **row, long count, long have, long step) {
    for (long k = 0; k < count; k++) row[k] = values + k % have * step;
    return values + have * step;
}

/* Bytes of scratch for one worker; and, given memory of that size, how it is divided. */
static size_t NAME(divide)(const job *j, void *memory, scratch *s) {
    const transform *p = &j->t;
    long within = p->size * (p->chunks > p->copies ? p->chunks : p->copies), backward = j->gw != NULL;
    long rows[MAX_STAGES] = {0}, kept = 0, block = within, largest = 1;
    long buffers = p->stages == 1 ? 0 : backward ? p->stages - 1 : 1;
    for (long i = 0; i < buffers; i++) {
        kept += rows[i] = block;
        if (block > j->near) block /= p->rows[i];
    }
    for (long i = 1; i < p->stages - 1; i++) largest = p->rows[i] > largest ? p->rows[i] : largest;
    long packs = j->packed ? (1 + backward) * p->n_in + p->n_out : 0;
    long values = j->row * (2 + p->size + largest + kept + backward * within + packs);
    long pointers = ((6 + buffers + backward) * within + p->size + largest + 7) / 8 * 8; /* ending with a cache line */
    if (!memory) return sizeof(REAL) * values + sizeof(REAL *) * pointers;
    REAL **row = memory, *v = (REAL *)(row + pointers);
    memset(s, 0, sizeof *s);
    s->zeros = v, v += j->row;
    s->nowhere = v, v += j->row;
    memset(s->zeros, 0, sizeof(REAL) * j->row);
    REAL ***tables[] = {&s->x.row, &s->y.row, &s->gx.row, &s->own_in, &s->own_start, &s->own_gx};
    for (long i = 0; i < 6; i++) *tables[i] = row, row += within;
    for (long k = 0; k < within; k++) s->y.row[k] = backward ? s->zeros : s->nowhere;
    v = NAME(rows)(v, s->residual.row = row, p->size, p->size, j->row), row += p->size;
    v = NAME(rows)(v, s->copy = row, largest, largest, j->row), row += largest;
    for (long i = 0; i < buffers; i++, row += within)
        v = NAME(rows)(v, s->kept[i].row = row, within, rows[i], j->row);
    if (backward) v = NAME(rows)(v, s->gradient.row = row, within, within, j->row);
    if (j->packed) {
        s->pack_x = v, v += p->n_in * j->row;
        s->pack_y = v, v += p->n_out * j->row;
        s->pack_gx = v;
    }
    return 0;
}

static void NAME(share)(const job *j, void *memory, void *gw, long first, long end) {
    scratch s;
    NAME(divide)(j, memory, &s);
    for (long i = first; i < end; i++) {
        tile t = NAME(tile_of)(j, i);
#ifndef NOAHEAD
        if (i + 1 < end && j->ahead) {
            tile next = NAME(tile_of)(j, i + 1);
            t.ahead_image = next.image - t.image, t.ahead = next.first - t.first;
        }
#endif
        if (gw)
            NAME(backward_tile)(j, &s, gw, t);
        else
            NAME(forward_tile)(j, &s, t);
    }
}

/* The weights of two stages in one: each of its paths is one of the first and one of the second. */
INLINE void NAME(merge_of)(long rest, long before, long r0, long c0, long r1, long c1, const REAL *first,
                           const REAL *w1, REAL *to) {
    for (long k = 0; k < rest; k++)
        for (long e = 0; e < before; e++)
            for (long a = 0; a < r0; a++, w1 += r1 * c1) {
                const REAL *w0 = first + ((k * before + e) * r0 + a) * c0;
                UNROLL for (long b = 0; b < r1; b++) UNROLL for (long c = 0; c < c0; c++) UNROLL for (long d = 0; d < c1; d++)
                    *to++ = w1[b * c1 + d] * w0[d * rest * before * r0 * c0 + c];
            }
}

static void NAME(merge)(const transform *p, long i, const void *first, const void *second, void *both) {
    long r0 = p->rows[i], c0 = p->columns[i], r1 = p->rows[i + 1], c1 = p->columns[i + 1];
    if (r0 == 2 && c0 == 2 && r1 == 2 && c1 == 2)
        NAME(merge_of)(p->rest[i + 1], p->before[i], 2, 2, 2, 2, first, second, both);
    else
        NAME(merge_of)(p->rest[i + 1], p->before[i], r0, c0, r1, c1, first, second, both);
}

/* From the gradient of the two in one, those of each, which begin as zero. */
INLINE void NAME(part_of)(long rest, long before, long r0, long c0, long r1, long c1, const REAL *first,
                          const REAL *second, const REAL *from, REAL *of_first, REAL *of_second) {
    long at = 0;
    for (long k = 0; k < rest; k++)
        for (long e = 0; e < before; e++)
            for (long a = 0; a < r0; a++, at += r1 * c1)
                UNROLL for (long b = 0; b < r1; b++) UNROLL for (long c = 0; c < c0; c++) UNROLL for (long d = 0; d < c1; d++) {
                    long w1 = at + b * c1 + d, w0 = (((d * rest + k) * before + e) * r0 + a) * c0 + c;
                    of_second[w1] += *from * first[w0];
                    of_first[w0] += *from++ * second[w1];
                }
}

static void NAME(part)(const transform *p, long i, const void *first, const void *second, const void *both,
                       void *of_first, void *of_second) {
    long r0 = p->rows[i], c0 = p->columns[i], r1 = p->rows[i + 1], c1 = p->columns[i + 1];
    if (r0 == 2 && c0 == 2 && r1 == 2 && c1 == 2)
        NAME(part_of)(p->rest[i + 1], p->before[i], 2, 2, 2, 2, first, second, both, of_first, of_second);
    else
        NAME(part_of)(p->rest[i + 1], p->before[i], r0, c0, r1, c1, first, second, both, of_first, of_second);
}

static size_t NAME(bytes)(const job *j) { return NAME(divide)(j, NULL, NULL); }

static void NAME(add)(void *to, const void *from, long count) {
    for (long i = 0; i < count; i++) ((REAL *)to)[i] += ((const REAL *)from)[i];
}

#undef vec
#undef loose
#undef lanes
#undef table
#undef scratch
#undef tile
#undef span
#undef place
#undef load
#undef store
#undef BLOCK
#undef CALL
#undef GROUP
#undef PAIR
#undef IOTA
#undef WIDE
#undef GET
#undef PUT
#undef LOAD
#undef STORE
#undef REAL
#undef INTEGER
#undef LANES
#undef VECTORS
#undef HALVES
#undef NAME
