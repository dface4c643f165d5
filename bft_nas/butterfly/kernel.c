/* The butterfly transform on the CPU: all stages on one tile of pixels that stays in cache.

   A tile holds `width` pixels (a multiple of LANES) of every channel, one row a channel, so that each stage is a loop
   over groups of rows, vectorised over pixels. Rows are reached through tables of pointers: in NCHW the first stage
   reads the image and the last one writes the result in place; channels_last, and the pixels that fill no vector, go
   through a packed copy. Layouts and shapes are those of bft_nas/butterfly/transform.py: stage s is a tensor of
   (groups, rows, columns), contracts the leading digit of the channel index and appends the new one at the end.

   No header beyond those of the C library and its threads is needed. Functions return 0, or 1 when memory ran out. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef vec loose __attribute__((aligned(4), may_alias)); /* in memory, anywhere */
typedef int32_t lanes __attribute__((vector_size(4 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(VERSIONS)
#define VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif !defined(VERSIONS)
#define VERSIONS
#endif

enum { MAX_STAGES = 32, LARGEST_TILE = 64 };

typedef struct {
    long n_in, n_out, size, chunks, copies; /* of ButterflyPlan; chunks * size >= n_in, copies * size >= n_out */
    long stages;
    long groups[MAX_STAGES], rows[MAX_STAGES], columns[MAX_STAGES];
    const float *weights[MAX_STAGES];
} transform;

/* One pass over a batch: where images and results lie, and how the tiles are shared out. Each worker has a range of
   tiles and its own sums of weight gradients, which are added up in order: the result does not depend on timing. */
typedef struct {
    transform t;
    const float *x, *gy;
    float *y, *gx;
    float *gw; /* of all workers, all stages of one after those of another; NULL in the forward pass */
    long batch, pixels, channels_last, width, tiles, weights, workers;
    atomic_long next;
    atomic_int failed;
} job;

typedef void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

/* ---- stages ------------------------------------------------------------------------------------------------ */

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }

/* out[g * rows + i] = start[g * rows + i] + sum over j of w[g][i][j] * in[j * groups + g], with C columns. */
#define STAGE(C)                                                                                                   \
    INLINE void stage_##C(const float *const *in, float *const *out, const float *const *start, const float *w,    \
                          long groups, long rows, long width) {                                                    \
        for (long g = 0; g < groups; g++) {                                                                        \
            const float *wg = w + g * rows * C;                                                                    \
            const float *p[C];                                                                                     \
            for (int j = 0; j < C; j++) p[j] = in[j * groups + g];                                                 \
            for (long t = 0; t < width; t += LANES) {                                                              \
                vec a[C];                                                                                          \
                for (int j = 0; j < C; j++) a[j] = load(p[j] + t);                                                 \
                for (long i = 0; i < rows; i++) {                                                                  \
                    float *o = out[g * rows + i];                                                                  \
                    if (!o) continue;                                                                              \
                    vec sum = {0};                                                                                 \
                    if (start) sum = load(start[g * rows + i] + t);                                                \
                    for (int j = 0; j < C; j++) sum += wg[i * C + j] * a[j];                                       \
                    store(o + t, sum);                                                                             \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
    }

STAGE(1) STAGE(2) STAGE(3) STAGE(4) STAGE(5) STAGE(6) STAGE(8) STAGE(16)

INLINE void stage_any(const float *const *in, float *const *out, const float *const *start, const float *w, long groups,
                      long rows, long columns, long width) {
    for (long g = 0; g < groups; g++)
        for (long i = 0; i < rows; i++) {
            float *o = out[g * rows + i];
            const float *wi = w + (g * rows + i) * columns;
            if (!o) continue;
            for (long t = 0; t < width; t += LANES) {
                vec sum = {0};
                if (start) sum = load(start[g * rows + i] + t);
                for (long j = 0; j < columns; j++) sum += wi[j] * load(in[j * groups + g] + t);
                store(o + t, sum);
            }
        }
}

INLINE void stage(const float *const *in, float *const *out, const float *const *start, const float *w, long groups,
                  long rows, long columns, long width) {
    switch (columns) {
    case 1: stage_1(in, out, start, w, groups, rows, width); break;
    case 2: stage_2(in, out, start, w, groups, rows, width); break;
    case 3: stage_3(in, out, start, w, groups, rows, width); break;
    case 4: stage_4(in, out, start, w, groups, rows, width); break;
    case 5: stage_5(in, out, start, w, groups, rows, width); break;
    case 6: stage_6(in, out, start, w, groups, rows, width); break;
    case 8: stage_8(in, out, start, w, groups, rows, width); break;
    case 16: stage_16(in, out, start, w, groups, rows, width); break;
    default: stage_any(in, out, start, w, groups, rows, columns, width);
    }
}

/* ---- tiles in and out of an image ---------------------------------------------------------------------------- */

/* Turn LANES rows of LANES values into columns: in round k, bit k of the row and of the lane change places. */
INLINE void transpose(vec r[LANES]) {
#define ROUND(K, ...)                                                                                              \
    for (int i = 0; i < LANES; i++)                                                                                \
        if (!(i & K)) {                                                                                            \
            const lanes low = {__VA_ARGS__};                                                                       \
            vec a = r[i], b = r[i + K];                                                                            \
            r[i] = __builtin_shuffle(a, b, low);                                                                   \
            r[i + K] = __builtin_shuffle(a, b, low + K);                                                           \
        }
    ROUND(1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
    ROUND(2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
    ROUND(4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
    ROUND(8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#undef ROUND
}

/* Copy a block of `height` rows to columns: to[c * to_step + r] = from[r * from_step + c]. */
INLINE void turn(const float *from, long from_step, float *to, long to_step, long height, long length) {
    for (long r = 0; r < height; r += LANES)
        for (long c = 0; c < length; c += LANES) {
            if (r + LANES <= height && c + LANES <= length) {
                vec block[LANES];
                for (int i = 0; i < LANES; i++) block[i] = load(from + (r + i) * from_step + c);
                transpose(block);
                for (int i = 0; i < LANES; i++) store(to + (c + i) * to_step + r, block[i]);
            } else {
                for (long i = r; i < r + LANES && i < height; i++)
                    for (long j = c; j < c + LANES && j < length; j++) to[j * to_step + i] = from[i * from_step + j];
            }
        }
}

typedef struct {
    long first, count, width; /* pixels: where in the image or batch, how many, rounded up to vectors */
    long offset;              /* of the image, NCHW */
} tile;

INLINE tile tile_of(const job *j, long index) {
    tile t = {0};
    long all = j->channels_last ? j->batch * j->pixels : j->pixels;
    long each = (all + j->width - 1) / j->width;
    t.offset = index / each;
    t.first = index % each * j->width;
    t.count = all - t.first < j->width ? all - t.first : j->width;
    t.width = (t.count + LANES - 1) / LANES * LANES;
    return t;
}

/* Rows of `channels` channels of the tile: in place where that is possible, else packed into `pack`. */
INLINE void rows_in(const job *j, tile t, const float *image, long channels, float *pack, const float **rows) {
    if (j->channels_last) {
        if (t.count < t.width) memset(pack, 0, sizeof(float) * channels * t.width);
        turn(image + t.first * channels, channels, pack, t.width, t.count, channels);
        for (long c = 0; c < channels; c++) rows[c] = pack + c * t.width;
        return;
    }
    for (long c = 0; c < channels; c++) {
        const float *row = image + (t.offset * channels + c) * j->pixels + t.first;
        if (t.count < t.width) {
            float *copy = pack + c * t.width;
            memcpy(copy, row, sizeof(float) * t.count);
            memset(copy + t.count, 0, sizeof(float) * (t.width - t.count));
            row = copy;
        }
        rows[c] = row;
    }
}

/* The same for what is written; `rows_done` brings packed rows to the image. */
INLINE void rows_out(const job *j, tile t, float *image, long channels, float *pack, float **rows) {
    int direct = !j->channels_last && t.count == t.width;
    for (long c = 0; c < channels; c++)
        rows[c] = direct ? image + (t.offset * channels + c) * j->pixels + t.first : pack + c * t.width;
}

INLINE void rows_done(const job *j, tile t, float *image, long channels, const float *pack) {
    if (j->channels_last)
        turn(pack, t.width, image + t.first * channels, channels, channels, t.count);
    else if (t.count < t.width)
        for (long c = 0; c < channels; c++)
            memcpy(image + (t.offset * channels + c) * j->pixels + t.first, pack + c * t.width,
                   sizeof(float) * t.count);
}

/* ---- one tile ------------------------------------------------------------------------------------------------ */

/* What a worker needs beside the images; the tables hold one pointer a row. */
typedef struct {
    float *zeros, *residual, *pack_x, *pack_y, *pack_gx;
    float *activation[MAX_STAGES]; /* the output of each stage but the last; two that take turns in the forward pass */
    float *gradient[2];
    const float **x, **gy, **start, **in[MAX_STAGES + 1], **turned;
    float **y, **gx, **out, **turned_out;
} scratch;

INLINE long into(const transform *t, long s) { return t->groups[s] * t->columns[s]; }
INLINE long from(const transform *t, long s) { return t->groups[s] * t->rows[s]; }

/* The input of the first stage, in its layout of (channel within a chunk, chunk), and the residual of each output. */
INLINE void begin(const transform *t, const scratch *s, long width) {
    for (long c = 0; c < t->size; c++)
        for (long k = 0; k < t->chunks; k++) {
            long channel = k * t->size + c;
            s->in[0][c * t->chunks + k] = channel < t->n_in ? s->x[channel] : s->zeros;
        }
    for (long c = 0; c < t->size; c++) {
        const float *sum = s->x[c];
        if (t->chunks > 1) {
            float *row = s->residual + c * width;
            memcpy(row, sum, sizeof(float) * width);
            for (long channel = t->size + c; channel < t->n_in; channel += t->size)
                for (long p = 0; p < width; p += LANES) store(row + p, load(row + p) + load(s->x[channel] + p));
            sum = row;
        }
        for (long k = 0; k < t->copies; k++) s->start[k * t->size + c] = sum;
    }
}

INLINE void forward_tile(const job *j, const scratch *s, long index) {
    const transform *t = &j->t;
    tile at = tile_of(j, index);
    rows_in(j, at, j->x, t->n_in, s->pack_x, s->x);
    rows_out(j, at, j->y, t->n_out, s->pack_y, s->y);
    begin(t, s, at.width);
    for (long i = 0; i < t->stages; i++) {
        long last = i == t->stages - 1, count = from(t, i);
        for (long k = 0; k < count; k++) {
            if (last)
                s->out[k] = k < t->n_out ? s->y[k] : NULL;
            else
                s->in[i + 1][k] = s->out[k] = s->activation[i] + k * at.width;
        }
        stage(s->in[i], s->out, last ? s->start : NULL, t->weights[i], t->groups[i], t->rows[i], t->columns[i],
              at.width);
    }
    rows_done(j, at, j->y, t->n_out, s->pack_y);
}

INLINE float total(vec v) {
    v += __builtin_shuffle(v, (lanes){8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
    v += __builtin_shuffle(v, (lanes){4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3});
    v += __builtin_shuffle(v, (lanes){2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1});
    return v[0] + v[1];
}

/* gw[g][i][j] += sum over pixels of gout[g * rows + i] * in[j * groups + g]. */
#define PRODUCTS(C)                                                                                                \
    INLINE void products_##C(const float *const *gout, const float *const *in, float *gw, long groups, long rows,  \
                             long width) {                                                                         \
        for (long g = 0; g < groups; g++)                                                                          \
            for (long i = 0; i < rows; i++) {                                                                      \
                const float *o = gout[g * rows + i];                                                               \
                vec sum[C];                                                                                        \
                for (int j = 0; j < C; j++) sum[j] = load(o) * load(in[j * groups + g]);                           \
                for (long t = LANES; t < width; t += LANES)                                                        \
                    for (int j = 0; j < C; j++) sum[j] += load(o + t) * load(in[j * groups + g] + t);              \
                for (int j = 0; j < C; j++) gw[(g * rows + i) * C + j] += total(sum[j]);                           \
            }                                                                                                      \
    }

PRODUCTS(2) PRODUCTS(3) PRODUCTS(4) PRODUCTS(8) PRODUCTS(16)

INLINE void products(const float *const *gout, const float *const *in, float *gw, long groups, long rows, long columns,
                     long width) {
    switch (columns) {
    case 2: products_2(gout, in, gw, groups, rows, width); return;
    case 3: products_3(gout, in, gw, groups, rows, width); return;
    case 4: products_4(gout, in, gw, groups, rows, width); return;
    case 8: products_8(gout, in, gw, groups, rows, width); return;
    case 16: products_16(gout, in, gw, groups, rows, width); return;
    }
    for (long g = 0; g < groups; g++)
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < columns; j++) {
                vec sum = {0};
                for (long t = 0; t < width; t += LANES)
                    sum += load(gout[g * rows + i] + t) * load(in[j * groups + g] + t);
                gw[(g * rows + i) * columns + j] += total(sum);
            }
}

/* Forward up to the last stage, whose inputs are kept; then back. The data's gradient of a stage is a stage with the
   transposed weights, whose tables are those of the stage turned round. */
INLINE void backward_tile(const job *j, const scratch *s, float *gw, float *const *transposed, long index) {
    const transform *t = &j->t;
    tile at = tile_of(j, index);
    rows_in(j, at, j->x, t->n_in, s->pack_x, s->x);
    rows_in(j, at, j->gy, t->n_out, s->pack_y, s->gy);
    rows_out(j, at, j->gx, t->n_in, s->pack_gx, s->gx);
    begin(t, s, at.width);
    for (long i = 0; i < t->stages - 1; i++) {
        for (long k = 0; k < from(t, i); k++) s->in[i + 1][k] = s->out[k] = s->activation[i] + k * at.width;
        stage(s->in[i], s->out, NULL, t->weights[i], t->groups[i], t->rows[i], t->columns[i], at.width);
    }
    const float **gout = s->in[t->stages];
    for (long k = 0; k < t->copies * t->size; k++) gout[k] = k < t->n_out ? s->gy[k] : s->zeros;
    for (long c = 0; c < t->size; c++) {
        const float *sum = gout[c];
        if (t->copies > 1) {
            float *row = s->residual + c * at.width;
            memcpy(row, sum, sizeof(float) * at.width);
            for (long k = t->size + c; k < t->n_out; k += t->size)
                for (long p = 0; p < at.width; p += LANES) store(row + p, load(row + p) + load(gout[k] + p));
            sum = row;
        }
        for (long k = 0; k < t->chunks; k++) s->start[c * t->chunks + k] = sum;
    }
    long offset = j->weights;
    for (long i = t->stages - 1; i >= 0; i--) {
        long groups = t->groups[i], rows = t->rows[i], columns = t->columns[i];
        offset -= groups * rows * columns;
        products(gout, s->in[i], gw + offset, groups, rows, columns, at.width);
        float *buffer = s->gradient[i & 1];
        const float *const *start = NULL;
        for (long g = 0; g < groups; g++)
            for (long r = 0; r < rows; r++) s->turned[r * groups + g] = gout[g * rows + r];
        for (long g = 0; g < groups; g++)
            for (long c = 0; c < columns; c++) {
                long k = c * groups + g;
                float *row = buffer + k * at.width;
                if (i == 0) {
                    long channel = k % t->chunks * t->size + k / t->chunks;
                    row = channel < t->n_in ? s->gx[channel] : NULL;
                }
                s->turned_out[g * columns + c] = row;
            }
        if (i == 0) {
            /* in[0] is not needed any more: it takes the residual in the order of turned_out. */
            for (long g = 0; g < groups; g++)
                for (long c = 0; c < columns; c++) s->in[0][g * columns + c] = s->start[c * groups + g];
            start = s->in[0];
        }
        stage(s->turned, s->turned_out, start, transposed[i], groups, columns, rows, at.width);
        if (i > 0)
            for (long k = 0; k < groups * columns; k++) gout[k] = buffer + k * at.width;
    }
    rows_done(j, at, j->gx, t->n_in, s->pack_gx);
}

/* ---- workers ------------------------------------------------------------------------------------------------- */

/* Memory that a thread keeps for its next call, since fresh pages cost as much as the work of a small one. */
static pthread_key_t kept_memory;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void) { pthread_key_create(&kept_memory, free); }

static void *reserve(size_t bytes) {
    pthread_once(&once, make_key);
    size_t *block = pthread_getspecific(kept_memory);
#ifdef __SANITIZE_ADDRESS__
    int large_enough = 0; /* an access beyond what was asked for is to be seen */
#else
    int large_enough = block && *block >= bytes;
#endif
    if (!large_enough) {
        free(block);
        block = malloc(sizeof *block + bytes);
        pthread_setspecific(kept_memory, block);
        if (!block) return NULL;
        *block = bytes;
    }
    return block + 1;
}

/* Memory for one worker, all of it in one piece; 0 when there is none. */
static int make_scratch(const job *j, scratch *s) {
    const transform *t = &j->t;
    int backward = j->gw != NULL;
    long widest = t->size * (t->chunks > t->copies ? t->chunks : t->copies);
    if (widest < t->n_in) widest = t->n_in;
    if (widest < t->n_out) widest = t->n_out;
    long row = j->width, block = widest * row;
    long kept = backward ? t->stages : 2;
    long values = row + block * (4 + kept + 2);
    long tables = (t->stages + 1 + 8) * widest;
    char *memory = reserve(64 + sizeof(float) * values + sizeof(void *) * tables);
    if (!memory) return 0;
    float *f = (float *)(((uintptr_t)memory + 63) / 64 * 64);
    s->zeros = f, f += row;
    memset(s->zeros, 0, sizeof(float) * row);
    s->residual = f, f += block;
    s->pack_x = f, f += block;
    s->pack_y = f, f += block;
    s->pack_gx = f, f += block;
    for (long i = 0; i < t->stages; i++) s->activation[i] = f + (backward ? i : i & 1) * block;
    f += kept * block;
    for (long i = 0; i < 2; i++) s->gradient[i] = f, f += block;
    const float **p = (const float **)f;
    for (long i = 0; i <= t->stages; i++) s->in[i] = p, p += widest;
    s->x = p, p += widest;
    s->gy = p, p += widest;
    s->start = p, p += widest;
    s->turned = p, p += widest;
    s->y = (float **)p, p += widest;
    s->gx = (float **)p, p += widest;
    s->out = (float **)p, p += widest;
    s->turned_out = (float **)p;
    return 1;
}

VERSIONS static void forward_range(const job *j, const scratch *s, long begin_tile, long end) {
    for (long i = begin_tile; i < end; i++) forward_tile(j, s, i);
}

VERSIONS static void backward_range(const job *j, const scratch *s, float *gw, float *const *transposed,
                                    long begin_tile, long end) {
    for (long i = begin_tile; i < end; i++) backward_tile(j, s, gw, transposed, i);
}

static void work(void *argument) {
    job *j = argument;
    const transform *t = &j->t;
    scratch s;
    int ready = make_scratch(j, &s);
    float *transposed[MAX_STAGES] = {0}, *copies = NULL;
    if (ready && j->gw) {
        copies = malloc(sizeof(float) * j->weights);
        float *to = copies;
        for (long i = 0; copies && i < t->stages; i++) {
            transposed[i] = to;
            for (long g = 0; g < t->groups[i]; g++)
                for (long c = 0; c < t->columns[i]; c++)
                    for (long r = 0; r < t->rows[i]; r++)
                        *to++ = t->weights[i][(g * t->rows[i] + r) * t->columns[i] + c];
        }
    }
    if (!ready || (j->gw && !copies)) atomic_store(&j->failed, 1);
    long worker;
    while ((worker = atomic_fetch_add(&j->next, 1)) < j->workers && !atomic_load(&j->failed)) {
        long first = worker * j->tiles / j->workers, end = (worker + 1) * j->tiles / j->workers;
        if (j->gw)
            backward_range(j, &s, j->gw + worker * j->weights, transposed, first, end);
        else
            forward_range(j, &s, first, end);
    }
    free(copies);
}

static int run(job *j, long threads, parallel in_parallel) {
    long all = j->channels_last ? j->batch * j->pixels : j->pixels;
    long widest = j->t.size * (j->t.chunks > j->t.copies ? j->t.chunks : j->t.copies);
    j->width = widest <= 192 ? LARGEST_TILE : widest <= 512 ? 32 : LANES;
    while (j->width > LANES && j->width / 2 >= all) j->width /= 2;
    j->tiles = (all + j->width - 1) / j->width * (j->channels_last ? 1 : j->batch);
    if (all == 0 || j->batch == 0) j->tiles = 0;
    if (!in_parallel || threads < 1) threads = 1;
    j->workers = threads < j->tiles ? threads : j->tiles;
    if (j->gw) {
        float *sums = j->gw;
        j->gw = calloc(j->weights * (j->workers ? j->workers : 1), sizeof(float));
        if (!j->gw) return 1;
        if (j->workers > 1)
            in_parallel(work, j, (unsigned)j->workers, 0);
        else if (j->workers)
            work(j);
        memset(sums, 0, sizeof(float) * j->weights);
        for (long k = 0; k < j->workers; k++)
            for (long i = 0; i < j->weights; i++) sums[i] += j->gw[k * j->weights + i];
        free(j->gw);
    } else if (j->workers > 1)
        in_parallel(work, j, (unsigned)j->workers, 0);
    else if (j->workers)
        work(j);
    return atomic_load(&j->failed);
}

static void describe(job *j, const float *const *weights, const long *factors, long stages, long n_in, long n_out) {
    transform *t = &j->t;
    t->n_in = n_in, t->n_out = n_out, t->stages = stages;
    t->size = n_in < n_out ? n_in : n_out;
    t->chunks = (n_in + t->size - 1) / t->size;
    t->copies = (n_out + t->size - 1) / t->size;
    long parallel_transforms = t->chunks > t->copies ? t->chunks : t->copies;
    for (long s = 0; s < stages; s++) {
        t->rows[s] = factors[s] * (s == 0 ? t->copies : 1);
        t->columns[s] = factors[s] * (s == stages - 1 ? t->chunks : 1);
        t->groups[s] = parallel_transforms * t->size * factors[s] / (t->rows[s] * t->columns[s]);
        t->weights[s] = weights[s];
        j->weights += t->groups[s] * t->rows[s] * t->columns[s];
    }
}

/* y = transform(x): x is (batch, n_in, pixels), or (batch, pixels, n_in) in channels_last; `weights` holds a
   pointer for each stage; `in_parallel` is GOMP_parallel of the OpenMP that the process has, or NULL. */
int bft_forward(const float *x, float *y, const float *const *weights, const long *factors, long stages, long n_in, long n_out,
                long batch, long pixels, long channels_last, long threads, parallel in_parallel) {
    job j = {.x = x, .y = y, .batch = batch, .pixels = pixels, .channels_last = channels_last};
    describe(&j, weights, factors, stages, n_in, n_out);
    return run(&j, threads, in_parallel);
}

/* The gradients gx of x and gw of the weights, one stage after the other, from gy, that of y. The stages' inputs are
   computed again. */
int bft_backward(const float *x, const float *gy, float *gx, float *gw, const float *const *weights,
                 const long *factors, long stages, long n_in, long n_out, long batch, long pixels, long channels_last, long threads,
                 parallel in_parallel) {
    job j = {.x = x, .gy = gy, .gx = gx, .gw = gw, .batch = batch, .pixels = pixels, .channels_last = channels_last};
    describe(&j, weights, factors, stages, n_in, n_out);
    return run(&j, threads, in_parallel);
}
