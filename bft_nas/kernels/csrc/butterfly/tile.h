/* One tile of pixels, for one type of numbers and one instruction set: kernel.c includes this file once for each, with

     REAL      float or double                 LANES    numbers in a vector: 4, 8 or 16
     INTEGER   of the same size                VECTORS  vectors of a row that are worked on together: as many as leave
     NAME(x)   x with a suffix of its own               4 * VECTORS sums in registers
     HALVES    whether bfloat16 is read and written     RADIX_8  whether there are registers for 16 sums
     STREAM    how a vector is written around the caches, where that is possible

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
#define fetches NAME(fetches)

#ifdef STREAM
#define LINE ((long)(64 / (LANES * sizeof(REAL)))) /* vectors of a cache line */
#else
#define LINE 1
#endif
#define IS_LINE (LANES * sizeof(REAL) == 64) /* whether a vector is one */
typedef REAL vec __attribute__((vector_size(LANES * sizeof(REAL))));
typedef vec loose __attribute__((aligned(2), may_alias)); /* in memory, anywhere */
typedef INTEGER lanes __attribute__((vector_size(LANES * sizeof(REAL))));

/* Rows, and where in each the last vector of the tile is; those before it follow each other; and how they are written. */
typedef struct {
    REAL **row;
    long last;
    int way;
} table;

/* Rows of the images of the next tile, `step` numbers apart. Some of them are fetched with each group of this tile: memory
   is busy all the time, and never asked for more than it can bring meanwhile. */
typedef struct {
    struct {
        const REAL *next;
        long step, left, width;
    } images[3];
    int image, end;         /* which is fetched; those that are not */
    long rows, groups, due; /* of all images; of a tile, since which rows are due */
} fetches;

typedef struct {
    long first, count, vectors; /* pixels: where in the image or batch, how many; and how many vectors */
    long image, images, part;   /* NCHW */
    vec once;                   /* 0 where a lane of the last vector repeats a pixel, else 1 */
} tile;

/* A stage. Rows are numbered by the digits of their channel, the outputs of earlier stages first and the inputs of
   later stages last: (e, digit, rest). The stage replaces its digit and leaves the others, so that it can work in
   place, and what follows is independent for each e. */
typedef struct {
    const REAL *w; /* of (rest, e), rows x columns each, or the first rows of a larger block */
    long rows, columns, before, rest, block;
    int ahead; /* whether it has rows of images that go into the nearest cache a group ahead */
} place;

/* Vectors of the rows that are worked on: the first's place, and the last's in the rows of each operand. */
typedef struct {
    long first, in, out, start;
    fetches *far;
    int way;
    REAL *edges, *const *rows; /* of results that are written as lines, and the rows of all channels */
    int begins, ends;          /* whether the first and the last vector are those of the image's row */
    int ahead;                 /* of the place */
} span;

/* What a worker has beside the images. Tables named `own_` are filled where no table of rows has the order wanted. */
typedef struct {
    const void *const *weights; /* of the stages */
    REAL *zeros, *nowhere, *pack_x, *pack_y, *pack_gx;
    REAL **own_in, **own_start, **own_gx;
    table x, y, gx, residual;                    /* by channel; in the backward pass y is the gradient of y */
    fetches far;                                 /* its rows are 0 where nothing is fetched */
    table kept[MAX_STAGES], gradient;            /* outputs of the stages; forward, all of them take the first */
    REAL **copy;
    REAL *edges;      /* of rows that begin within lines (tile_lines.h) */
    int begins, ends; /* whether the tile has the first and the last vectors of those */
    vec ended;        /* the end of the channel before */
} scratch;

INLINE vec NAME(load)(const REAL *p) { return *(const loose *)p; }
INLINE void NAME(store)(REAL *p, vec v) { *(loose *)p = v; }
#define load NAME(load)
#define store NAME(store)

INLINE void NAME(stream)(REAL *p, vec v) {
#ifdef STREAM
    STREAM(p, v);
#else
    store(p, v);
#endif
}

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
#else
#define IOTA ((lanes){0, 1, 2, 3})
#endif

#include "tile_images.h"
#include "tile_products.h"
#include "tile_lines.h"
#include "tile_stages.h"
#include "tile_pair.h"

/* ---- one tile ------------------------------------------------------------------------------------------------ */

/* The input of the first stage, in its order of (channel within a chunk, chunk). */
INLINE table NAME(first_in)(const transform *p, scratch *s) {
    if (p->chunks == 1) return s->x;
    for (long c = 0; c < p->size; c++)
        for (long k = 0; k < p->chunks; k++) {
            long channel = k * p->size + c;
            s->own_in[c * p->chunks + k] = channel < p->n_in ? s->x.row[channel] : s->zeros;
        }
    return (table){s->own_in, s->x.last, IN_CACHES};
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

static void NAME(forward_from)(const job *j, scratch *s, long i, long first, long end, const table *in,
                               const table *start, const tile *t);

/* All that follows from the outputs of the i-th stage that have the e from `first` to `end`: all stages on a block of
   rows that stays in the nearest cache, as soon as there is one. */
INLINE void NAME(forward_after)(const job *j, scratch *s, long i, long first, long end, const table *start,
                                const tile *t) {
    long each = (end - first) * j->t->stage[i].rest <= j->near ? end - first : 1;
    for (long e = first; e < end; e += each)
        NAME(forward_from)(j, s, i + 1, e, e + each, &s->kept[0], start, t);
}

/* Stages from the i-th on, for the e from `first` to `end`. */
static void NAME(forward_from)(const job *j, scratch *s, long i, long first, long end, const table *in,
                               const table *start, const tile *t) {
    place p = NAME(place_of)(j, s, i);
    if (i < j->t->stages - 1) {
        NAME(stage)(s, &p, 0, in, &s->kept[0], NULL, first, end, t->vectors, i ? s->copy : NULL);
        NAME(forward_after)(j, s, i, first * p.rows, end * p.rows, start, t);
    } else {
        long second = j->t->stage[i].second;
        if (second)
            NAME(pair)(s, &p, s->weights[i + 1], second, in, start, first, end, t->vectors);
        else
            NAME(stage)(s, &p, 0, in, &s->y, start, first, end, t->vectors, NULL);
        if (IS_LINE && j->way == IN_LINES && s->ends) NAME(lines_ended)(j, s, t, first * p.rows, end * p.rows);
    }
}

/* The rows of the first stage that are a part of an image, and all that follows from them. */
static void NAME(forward_part)(const job *j, scratch *s, const table *in, const table *start, const tile *t) {
    place p = NAME(place_of)(j, s, 0);
    long first = t->part * p.rows / j->parts, end = (t->part + 1) * p.rows / j->parts;
    table out = s->kept[0];
    out.row += first * p.rest;
    p.w += first * p.columns;
    p.rows = end - first;
    NAME(stage)(s, &p, 0, in, &out, NULL, 0, 1, t->vectors, NULL);
    NAME(forward_after)(j, s, 0, first, end, start, t);
}

static void NAME(forward_tile)(const job *j, scratch *s, tile t) {
    const transform *p = j->t;
    NAME(rows_in)(j, t, j->x, p->n_in, &s->x, s->pack_x);
    NAME(reach)(j, t, j->y, p->n_out, &s->y, s->pack_y);
    table in = NAME(first_in)(p, s), start = NAME(residual)(p, s, &s->x, p->n_in, p->chunks, t.vectors);
    if (p->copies > 1) {
        for (long k = 0; k < p->copies * p->size; k++) s->own_start[k] = start.row[k % p->size];
        start.row = s->own_start;
    }
    s->kept[0].last = (t.vectors - 1) * LANES;
    s->begins = !t.first, s->ends = t.first + t.count == j->pixels;
    if (j->parts > 1)
        NAME(forward_part)(j, s, &in, &start, &t);
    else
        NAME(forward_from)(j, s, 0, 0, 1, &in, &start, &t);
    NAME(rows_done)(j, t, j->y, p->n_out, &s->y);
}

/* The same back: the stage forward, all after it back, then the stage back. */
static void NAME(backward_from)(const job *j, scratch *s, REAL *gw, long i, long first, long end, const table *in,
                                const table *gx, const table *start, tile t) {
    long last = j->t->stages - 1;
    place p = NAME(place_of)(j, s, i);
    const table *gout = i == last ? &s->y : &s->gradient;
    if (i < last) {
        NAME(stage)(s, &p, 0, in, &s->kept[i], NULL, first, end, t.vectors, NULL);
        long each = (end - first) * p.rows * p.rest <= j->near ? (end - first) * p.rows : 1;
        for (long e = first * p.rows; e < end * p.rows; e += each)
            NAME(backward_from)(j, s, gw, i + 1, e, e + each, &s->kept[i], &s->gradient, NULL, t);
    }
    NAME(products)(&p, gout, in, gw + j->t->stage[i].offset, first, end, t.vectors, t.once);
    NAME(stage)(s, &p, 1, gout, gx, start, first, end, t.vectors, i && i < last ? s->copy : NULL);
}

static void NAME(backward_tile)(const job *j, scratch *s, REAL *gw, tile t) {
    const transform *p = j->t;
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
    for (long first = 0; first < count; first += have)
        for (long k = 0; k < have; k++) row[first + k] = values + k * step;
    return values + have * step;
}

/* Bytes of scratch for one worker; and, given memory of that size, how it is divided. */
static size_t NAME(divide)(const job *j, void *memory, scratch *s) {
    const transform *p = j->t;
    long within = widest_of(p), backward = j->gw != NULL;
    long rows[MAX_STAGES] = {0}, kept = 0, block = within, largest = 1;
    long buffers = p->stages == 1 ? 0 : backward ? p->stages - 1 : 1;
    for (long i = 0; i < buffers; i++) {
        kept += rows[i] = block;
        if (block > j->near) block /= p->stage[i].rows;
    }
    for (long i = 1; i < p->stages - 1; i++) largest = p->stage[i].rows > largest ? p->stage[i].rows : largest;
    long sums = (backward ? p->copies : p->chunks) > 1 ? p->size : 0;
    long packs = j->packed ? (1 + backward) * p->n_in + p->n_out : 0;
    long values = j->row * (2 + sums + largest + kept + backward * within + packs);
    values += j->way == IN_LINES ? EDGES * LANES * within : 0;
    long pointers = ((6 + buffers + backward) * within + sums + largest + 7) / 8 * 8; /* ending with a cache line */
    if (!memory) return sizeof(REAL) * values + sizeof(REAL *) * pointers;
    REAL **row = memory, *v = (REAL *)(row + pointers);
    memset(s, 0, sizeof *s);
    s->zeros = v, v += j->row;
    s->nowhere = v, v += j->row;
    memset(s->zeros, 0, sizeof(REAL) * j->row);
    REAL ***tables[] = {&s->x.row, &s->y.row, &s->gx.row, &s->own_in, &s->own_start, &s->own_gx};
    for (long i = 0; i < 6; i++) *tables[i] = row, row += within;
    for (long k = p->n_out; k < within; k++) s->y.row[k] = backward ? s->zeros : s->nowhere;
    v = NAME(rows)(v, s->residual.row = row, sums, sums, j->row), row += sums;
    v = NAME(rows)(v, s->copy = row, largest, largest, j->row), row += largest;
    for (long i = 0; i < buffers; i++, row += within)
        v = NAME(rows)(v, s->kept[i].row = row, within, rows[i], j->row);
    if (backward) v = NAME(rows)(v, s->gradient.row = row, within, within, j->row);
    if (j->packed) {
        s->pack_x = v, v += p->n_in * j->row;
        s->pack_y = v, v += p->n_out * j->row;
        s->pack_gx = v;
    }
    if (j->way == IN_LINES) s->edges = v;
    return 0;
}

/* What is fetched while a tile is worked on that is much like this one, which follows it. */
INLINE fetches NAME(fetches_of)(const job *j, tile t) {
    const transform *p = j->t;
    int backward = j->gw != NULL;
    const void *images[] = {j->x, backward ? j->gy : j->y, j->gx};
    fetches f = {0};
    for (int k = 0; k < 2 + backward; k++) {
        int written = k == 1 + backward, at = f.end;
        long channels = k == 1 ? p->n_out : p->n_in;
        const REAL *image = (const REAL *)images[k] + t.image * channels * j->pixels;
        if (written && j->way) continue;
        if (j->channels_last) { /* one after the other, in pieces of some cache lines */
            f.images[at].next = image + t.first * channels;
            f.images[at].step = f.images[at].width = PIECE;
            f.images[at].left = (t.count * channels + PIECE - 1) / PIECE;
        } else {
            f.images[at].next = image + t.first;
            f.images[at].step = j->pixels, f.images[at].width = t.count;
            f.images[at].left = channels;
        }
        f.rows += f.images[at].left;
        f.end++;
    }
    for (long i = 0; i < p->stages; i++)
        f.groups += (backward && i < p->stages - 1 ? 2 : 1) * p->stage[i].before * p->stage[i].rest;
    f.groups *= (t.vectors + VECTORS - 1) / VECTORS;
    return f;
}

static void NAME(share)(const job *j, void *memory, const void *const *weights, void *gw, long first, long end) {
    scratch s;
    NAME(divide)(j, memory, &s);
    s.weights = weights;
    for (long i = first; i < end; i++) {
        tile t = NAME(tile_of)(j, i);
        s.far = (fetches){0};
        if (i + 1 < end && j->fetched) s.far = NAME(fetches_of)(j, NAME(tile_of)(j, i + 1));
        if (gw)
            NAME(backward_tile)(j, &s, gw, t);
        else
            NAME(forward_tile)(j, &s, t);
    }
#ifdef STREAM
    _mm_sfence(); /* before another thread is told that the result is there */
#endif
}

/* The weights of two stages in one: each of its paths is one of the first and one of the second. A row is one of the
   first's, of all its groups; from the one numbered `begin` on. */
INLINE void NAME(merge_of)(long rows, long c0, long r1, long c1, long begin, const REAL *first, const REAL *second,
                           REAL *restrict both) {
    for (long a = begin; a < rows; a++) {
        const REAL *w0 = first + a * c0, *w1 = second + a * r1 * c1;
        REAL *to = both + a * r1 * c0 * c1;
        UNROLL for (long b = 0; b < r1; b++) UNROLL for (long c = 0; c < c0; c++)
        UNROLL for (long d = 0; d < c1; d++) *to++ = w1[b * c1 + d] * w0[d * rows * c0 + c];
    }
}

#if LANES == 16
/* The same for a second stage of radix 2, a vector at a time: how many rows are done so. */
INLINE long NAME(merge_2)(long rows, const long c0, const REAL *w0, const REAL *w1, REAL *to) {
    const long together = LANES / c0; /* whose weights are a vector of the first stage */
    const lanes b = IOTA / (INTEGER)(2 * c0) % 2, c = IOTA / 2 % (INTEGER)c0, d = IOTA % 2;
    long begin = 0;
    for (; begin + together <= rows; begin += together, w0 += LANES) {
        vec low = load(w0), high = load(w0 + rows * c0);
        UNROLL for (int k = 0; k < 4; k++, to += LANES) {
            const long before = k * together / 4, within = before % (LANES / 4);
            const lanes a = IOTA / (INTEGER)(4 * c0);
            vec second = load(w1 + 4 * (before - within));
            store(to, __builtin_shuffle(second, 4 * (a + (INTEGER)within) + 2 * b + d) *
                          __builtin_shuffle(low, high, LANES * d + (a + (INTEGER)before) * (INTEGER)c0 + c));
        }
        w1 += 4 * together;
    }
    return begin;
}
#endif

/* From the gradient of the two in one, those of each, which begin as zero. */
INLINE void NAME(part_of)(long rows, long c0, long r1, long c1, const REAL *first, const REAL *second, const REAL *from,
                          REAL *of_first, REAL *of_second) {
    for (long a = 0; a < rows; a++)
        UNROLL for (long b = 0; b < r1; b++) UNROLL for (long c = 0; c < c0; c++)
        UNROLL for (long d = 0; d < c1; d++) {
            long w1 = (a * r1 + b) * c1 + d, w0 = (d * rows + a) * c0 + c;
            of_second[w1] += *from * first[w0];
            of_first[w0] += *from++ * second[w1];
        }
}

#define ROWS_OF_A_PAIR                                                                                             \
    const stage_shape *of = &p->stage[i];                                                                          \
    long rows = (long)of[1].rest * of[0].before * of[0].rows, c0 = of[0].columns, r1 = of[1].rows, c1 = of[1].columns;

/* The commonest pairs of stages with their loops unrolled. */
#define PAIR_OF_STAGES(FUNCTION, ...)                                                                              \
    if (r1 == 2 && c1 == 2 && c0 == 2)                                                                             \
        NAME(FUNCTION)(rows, 2, 2, 2, __VA_ARGS__);                                                                \
    else if (r1 == 2 && c1 == 2 && c0 == 4)                                                                        \
        NAME(FUNCTION)(rows, 4, 2, 2, __VA_ARGS__);                                                                \
    else                                                                                                           \
        NAME(FUNCTION)(rows, c0, r1, c1, __VA_ARGS__);

static void NAME(merge)(const transform *p, long i, const void *first, const void *second, void *both) {
    ROWS_OF_A_PAIR
    long begin = 0;
#if LANES == 16
    if (r1 == 2 && c1 == 2 && c0 == 2) begin = NAME(merge_2)(rows, 2, first, second, both);
    if (r1 == 2 && c1 == 2 && c0 == 4) begin = NAME(merge_2)(rows, 4, first, second, both);
#endif
    PAIR_OF_STAGES(merge_of, begin, first, second, both)
}

static void NAME(part)(const transform *p, long i, const void *first, const void *second, const void *both,
                       void *of_first, void *of_second) {
    ROWS_OF_A_PAIR
    PAIR_OF_STAGES(part_of, first, second, both, of_first, of_second)
}

static size_t NAME(bytes)(const job *j) { return NAME(divide)(j, NULL, NULL); }

static void NAME(add)(void *to, const void *from, long count) {
    for (long i = 0; i < count; i++) ((REAL *)to)[i] += ((const REAL *)from)[i];
}

#undef vec
#undef LINE
#undef IS_LINE
#undef loose
#undef lanes
#undef table
#undef scratch
#undef tile
#undef fetches
#undef span
#undef place
#undef load
#undef store
#undef BLOCK
#undef CALL
#undef GROUP
#undef PAIR
#undef PAIR_OF_STAGES
#undef ROWS_OF_A_PAIR
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
#undef RADIX_8
#undef STREAM
#undef SQUARE
#undef HALF_OF
#undef SQUARE_OF
#undef SQUARE_8
#undef SQUARES
#undef CHOOSE
#undef EIGHT
#undef EIGHT_SPANS
#undef KINDS
#undef NAME
