/* One tile of pixels, for one element type and one ISA target: each file of targets/ includes this once, and defines, beside
   what simd.h needs,

     VECTORS           vectors of a row that are worked on together: as many as leave 4 * VECTORS sums in registers
     HAS_BF16          whether bfloat16 is read and written
     HAS_32_REGISTERS  whether there are registers for 16 sums
     BUTTERFLY         the name of the table of functions that this makes

   A tile is a number of vectors of pixels of every channel, a row a channel. Rows are reached through tables of
   pointers: in NCHW the first stage reads the image and the last one writes the result in place, and a tile that does
   not end with a vector takes its last vector from LANES before its end, which computes some pixels twice, to the same
   result. Channels_last, bfloat16, and images of less than a vector go through packed rows. */

#include "../system.h"
#include "../simd.h"
#include "job.h"

/* Rows, and where in each the last vector of the tile is; those before it follow each other; and how they are stored. */
typedef struct {
    REAL **row;
    int64_t last;
    int store_mode;
} table;

/* Rows of the images of the next tile, `step` elements apart. Some of them are prefetched with each group of this tile:
   memory is busy all the time, and never asked for more than it can bring meanwhile. */
typedef struct {
    struct {
        const REAL *next;
        int64_t step, left, width;
    } images[3];
    int image, end;            /* which is prefetched; those that are not */
    int to_l1;                 /* or else to the L2 */
    int64_t rows, groups, due; /* of all images; of a tile, since which rows are due */
} prefetch_queue;

typedef struct {
    int64_t first, count, vectors;    /* pixels: where in the image or batch, how many; and how many vectors */
    int64_t image, images, row_split; /* NCHW */
    vec tail_mask;                    /* 0 where a lane of the last vector repeats a pixel, else 1 */
} tile;

/* A stage. Rows are numbered by the digits of their channel, the outputs of earlier stages first and the inputs of
   later stages last: (e, digit, rest). The stage replaces its digit and leaves the others, so that it can work in
   place, and what follows is independent for each e. */
typedef struct {
    const REAL *w; /* of (rest, e), rows x columns each, or the first rows of a larger block */
    int64_t rows, columns, before, rest, block;
    int prefetch_group; /* whether it has rows of images that go into the L1 a group ahead */
} stage_args;

/* Vectors of the rows that are worked on: where the first is, and where the last is in the rows of each operand. */
typedef struct {
    int64_t first, in, out, start;
    prefetch_queue *queue;
    int store_mode;
    REAL *edges, *const *rows; /* of results that are stored a line at a time, and the rows of all channels */
    int begins, ends;          /* whether the first and the last vector are those of the image's row */
    int prefetch_group;        /* of the stage */
} span;

/* What a worker has beside the images. Tables named `own_` are filled where no table of rows has the order wanted. */
typedef struct {
    const void *const *weights; /* of the stages */
    REAL *zeros, *sink, *pack_x, *pack_y, *pack_grad_x;
    REAL **own_in, **own_start, **own_grad_x;
    table x, y, grad_x, residual;            /* by channel; in the backward pass y is grad_y */
    prefetch_queue queue;                    /* its rows are 0 where nothing is prefetched */
    table stage_out[MAX_STAGES], stage_grad; /* outputs of the stages; forward, all of them take the first */
    REAL **copy;
    REAL *edges;      /* of rows that begin within lines (tile_unaligned.h) */
    int begins, ends; /* whether the tile has the first and the last vectors of those */
    vec ended;        /* the end of the channel before */
} scratch;

#include "tile_images.h"
#include "tile_grad_weight.h"
#include "tile_unaligned.h"
#include "tile_stage.h"
#include "tile_pair.h"
#include "tile_merge.h"

/* ---- one tile ------------------------------------------------------------------------------------------------ */

/* The input of the first stage, in its order of (channel within a chunk, chunk). */
INLINE table first_in(const transform *p, scratch *s) {
    if (p->chunks == 1) return s->x;
    for (int64_t c = 0; c < p->size; c++)
        for (int64_t k = 0; k < p->chunks; k++) {
            int64_t channel = k * p->size + c;
            s->own_in[c * p->chunks + k] = channel < p->n_in ? s->x.row[channel] : s->zeros;
        }
    return (table){s->own_in, s->x.last, STORE_CACHED};
}

/* The rows c, c + size, c + 2 * size, ... of `from`, summed where there are several. */
INLINE table sum_residual(const transform *p, scratch *s, const table *from, int64_t count, int64_t summands, int64_t vectors) {
    if (summands == 1) return *from;
    s->residual.last = (vectors - 1) * LANES;
    for (int64_t c = 0; c < p->size; c++)
        for (int64_t v = 0; v < vectors; v++) {
            int64_t at = v == vectors - 1 ? from->last : v * LANES;
            vec sum = load(from->row[c] + at);
            for (int64_t k = c + p->size; k < count; k += p->size) sum += load(from->row[k] + at);
            store(s->residual.row[c] + v * LANES, sum);
        }
    return s->residual;
}

static void forward_from(const butterfly_job *j, scratch *s, int64_t i, int64_t first, int64_t end, const table *in,
                               const table *start, const tile *t);

/* All that follows from the outputs of the i-th stage that have the e from `first` to `end`: all stages on a block of
   rows that stays in the L1, as soon as there is one. */
INLINE void forward_after(const butterfly_job *j, scratch *s, int64_t i, int64_t first, int64_t end, const table *start,
                                const tile *t) {
    int64_t each = (end - first) * j->t->stage[i].rest <= j->l1_rows ? end - first : 1;
    for (int64_t e = first; e < end; e += each)
        forward_from(j, s, i + 1, e, e + each, &s->stage_out[0], start, t);
}

/* Stages from the i-th on, for the e from `first` to `end`. */
static void forward_from(const butterfly_job *j, scratch *s, int64_t i, int64_t first, int64_t end, const table *in,
                               const table *start, const tile *t) {
    stage_args p = stage_args_of(j, s, i);
    if (i < j->t->stages - 1) {
        run_stage(s, &p, 0, in, &s->stage_out[0], NULL, first, end, t->vectors, i ? s->copy : NULL);
        forward_after(j, s, i, first * p.rows, end * p.rows, start, t);
    } else {
        int64_t second = j->t->stage[i].second;
        if (second)
            run_pair(s, &p, s->weights[i + 1], second, in, start, first, end, t->vectors);
        else
            run_stage(s, &p, 0, in, &s->y, start, first, end, t->vectors, NULL);
        if (VECTOR_IS_LINE && j->store_mode == STORE_STREAM_UNALIGNED && s->ends) finish_unaligned_rows(j, s, t, first * p.rows, end * p.rows);
    }
}

/* The rows of the first stage that are a part of an image, and all that follows from them. */
static void forward_row_split(const butterfly_job *j, scratch *s, const table *in, const table *start, const tile *t) {
    stage_args p = stage_args_of(j, s, 0);
    int64_t first = t->row_split * p.rows / j->row_splits, end = (t->row_split + 1) * p.rows / j->row_splits;
    table out = s->stage_out[0];
    out.row += first * p.rest;
    p.w += first * p.columns;
    p.rows = end - first;
    run_stage(s, &p, 0, in, &out, NULL, 0, 1, t->vectors, NULL);
    forward_after(j, s, 0, first, end, start, t);
}

static void forward_tile(const butterfly_job *j, scratch *s, tile t) {
    const transform *p = j->t;
    load_tile(j, t, j->x, p->n_in, &s->x, s->pack_x);
    point_rows(j, t, j->y, p->n_out, &s->y, s->pack_y);
    table in = first_in(p, s), start = sum_residual(p, s, &s->x, p->n_in, p->chunks, t.vectors);
    if (p->copies > 1) {
        for (int64_t k = 0; k < p->copies * p->size; k++) s->own_start[k] = start.row[k % p->size];
        start.row = s->own_start;
    }
    s->stage_out[0].last = (t.vectors - 1) * LANES;
    s->begins = !t.first, s->ends = t.first + t.count == j->pixels;
    if (j->row_splits > 1)
        forward_row_split(j, s, &in, &start, &t);
    else
        forward_from(j, s, 0, 0, 1, &in, &start, &t);
    store_tile(j, t, j->y, p->n_out, &s->y);
}

/* The same back: the stage forward, all after it back, then the stage back. */
static void backward_from(const butterfly_job *j, scratch *s, REAL *grad_weight, int64_t i, int64_t first, int64_t end, const table *in,
                                const table *grad_x, const table *start, tile t) {
    int64_t last = j->t->stages - 1;
    stage_args p = stage_args_of(j, s, i);
    const table *grad_out = i == last ? &s->y : &s->stage_grad;
    if (i < last) {
        run_stage(s, &p, 0, in, &s->stage_out[i], NULL, first, end, t.vectors, NULL);
        int64_t each = (end - first) * p.rows * p.rest <= j->l1_rows ? (end - first) * p.rows : 1;
        for (int64_t e = first * p.rows; e < end * p.rows; e += each)
            backward_from(j, s, grad_weight, i + 1, e, e + each, &s->stage_out[i], &s->stage_grad, NULL, t);
    }
    add_grad_weight(&p, grad_out, in, grad_weight + j->t->stage[i].offset, first, end, t.vectors, t.tail_mask);
    run_stage(s, &p, 1, grad_out, grad_x, start, first, end, t.vectors, i && i < last ? s->copy : NULL);
}

static void backward_tile(const butterfly_job *j, scratch *s, REAL *grad_weight, tile t) {
    const transform *p = j->t;
    load_tile(j, t, j->x, p->n_in, &s->x, s->pack_x);
    load_tile(j, t, j->grad_y, p->n_out, &s->y, s->pack_y);
    point_rows(j, t, j->grad_x, p->n_in, &s->grad_x, s->pack_grad_x);
    table in = first_in(p, s), grad_x = s->grad_x;
    table start = sum_residual(p, s, &s->y, p->n_out, p->copies, t.vectors);
    if (p->chunks > 1) {
        for (int64_t c = 0; c < p->size; c++)
            for (int64_t k = 0; k < p->chunks; k++) {
                int64_t channel = k * p->size + c;
                s->own_start[c * p->chunks + k] = start.row[c];
                s->own_grad_x[c * p->chunks + k] = channel < p->n_in ? s->grad_x.row[channel] : s->sink;
            }
        start.row = s->own_start, grad_x.row = s->own_grad_x;
    }
    for (int64_t i = 0; i < p->stages; i++) s->stage_out[i].last = (t.vectors - 1) * LANES;
    s->stage_grad.last = (t.vectors - 1) * LANES;
    backward_from(j, s, grad_weight, 0, 0, 1, &in, &grad_x, &start, t);
    store_tile(j, t, j->grad_x, p->n_in, &s->grad_x);
}

/* ---- a worker's share ---------------------------------------------------------------------------------------- */

/* A table of `count` rows in memory for `have`, used again and again. */
INLINE REAL *assign_rows(REAL *values, REAL **row, int64_t count, int64_t have, int64_t step) {
    for (int64_t first = 0; first < count; first += have)
        for (int64_t k = 0; k < have; k++) row[first + k] = values + k * step;
    return values + have * step;
}

/* Bytes of scratch for one worker; and, given memory of that size, how it is divided. */
static size_t divide_scratch(const butterfly_job *j, void *memory, scratch *s) {
    const transform *p = j->t;
    int64_t within = widest_of(p), backward = j->grad_weight != NULL;
    int64_t rows[MAX_STAGES] = {0}, total = 0, block = within, largest = 1;
    int64_t buffers = p->stages == 1 ? 0 : backward ? p->stages - 1 : 1;
    for (int64_t i = 0; i < buffers; i++) {
        total += rows[i] = block;
        if (block > j->l1_rows) block /= p->stage[i].rows;
    }
    for (int64_t i = 1; i < p->stages - 1; i++) largest = p->stage[i].rows > largest ? p->stage[i].rows : largest;
    int64_t sums = (backward ? p->copies : p->chunks) > 1 ? p->size : 0;
    int64_t packs = j->packed ? (1 + backward) * p->n_in + p->n_out : 0;
    int64_t values = j->row_stride * (2 + sums + largest + total + backward * within + packs);
    values += j->store_mode == STORE_STREAM_UNALIGNED ? EDGES * LANES * within : 0;
    int64_t pointers = ((6 + buffers + backward) * within + sums + largest + 7) / 8 * 8; /* ending with a cache line */
    if (!memory) return sizeof(REAL) * values + sizeof(REAL *) * pointers;
    REAL **row = memory, *v = (REAL *)(row + pointers);
    memset(s, 0, sizeof *s);
    s->zeros = v, v += j->row_stride;
    s->sink = v, v += j->row_stride;
    memset(s->zeros, 0, sizeof(REAL) * j->row_stride);
    REAL ***tables[] = {&s->x.row, &s->y.row, &s->grad_x.row, &s->own_in, &s->own_start, &s->own_grad_x};
    for (int64_t i = 0; i < 6; i++) *tables[i] = row, row += within;
    for (int64_t k = p->n_out; k < within; k++) s->y.row[k] = backward ? s->zeros : s->sink;
    v = assign_rows(v, s->residual.row = row, sums, sums, j->row_stride), row += sums;
    v = assign_rows(v, s->copy = row, largest, largest, j->row_stride), row += largest;
    for (int64_t i = 0; i < buffers; i++, row += within)
        v = assign_rows(v, s->stage_out[i].row = row, within, rows[i], j->row_stride);
    if (backward) v = assign_rows(v, s->stage_grad.row = row, within, within, j->row_stride);
    if (j->packed) {
        s->pack_x = v, v += p->n_in * j->row_stride;
        s->pack_y = v, v += p->n_out * j->row_stride;
        s->pack_grad_x = v;
    }
    if (j->store_mode == STORE_STREAM_UNALIGNED) s->edges = v;
    return 0;
}

/* What is prefetched while a tile is worked on that is much like this one, which follows it. */
INLINE prefetch_queue prefetch_queue_of(const butterfly_job *j, tile t) {
    const transform *p = j->t;
    int backward = j->grad_weight != NULL;
    const void *images[] = {j->x, backward ? j->grad_y : j->y, j->grad_x};
    prefetch_queue f = {.to_l1 = (int)j->tuning->prefetch_to_l1};
    const int64_t piece = j->tuning->prefetch_piece;
    for (int k = 0; k < 2 + backward; k++) {
        int written = k == 1 + backward, at = f.end;
        int64_t channels = k == 1 ? p->n_out : p->n_in;
        const REAL *image = (const REAL *)images[k] + t.image * channels * j->pixels;
        if (written && j->store_mode) continue;
        if (j->channels_last) { /* one after the other, in pieces of some cache lines */
            f.images[at].next = image + t.first * channels;
            f.images[at].step = f.images[at].width = piece;
            f.images[at].left = (t.count * channels + piece - 1) / piece;
        } else {
            f.images[at].next = image + t.first;
            f.images[at].step = j->pixels, f.images[at].width = t.count;
            f.images[at].left = channels;
        }
        f.rows += f.images[at].left;
        f.end++;
    }
    for (int64_t i = 0; i < p->stages; i++)
        f.groups += (backward && i < p->stages - 1 ? 2 : 1) * p->stage[i].before * p->stage[i].rest;
    f.groups *= (t.vectors + VECTORS - 1) / VECTORS;
    return f;
}

static void run_share(const butterfly_job *j, void *memory, const void *const *weights, void *grad_weight, int64_t first, int64_t end) {
    scratch s;
    divide_scratch(j, memory, &s);
    s.weights = weights;
    for (int64_t i = first; i < end; i++) {
        tile t = tile_of(j, i);
        s.queue = (prefetch_queue){0};
        if (i + 1 < end && j->prefetch) s.queue = prefetch_queue_of(j, tile_of(j, i + 1));
        if (grad_weight)
            backward_tile(j, &s, grad_weight, t);
        else
            forward_tile(j, &s, t);
    }
    stream_fence(); /* before another thread is told that the result is there */
}

static size_t scratch_bytes(const butterfly_job *j) { return divide_scratch(j, NULL, NULL); }

static void add_into(void *to, const void *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) ((REAL *)to)[i] += ((const REAL *)from)[i];
}

const butterfly_code BUTTERFLY = {LANES, HAS_STREAM, scratch_bytes, run_share, add_into, merge_stages, unmerge_gradients};
