/* The butterfly transform on the CPU: all stages on one tile of pixels that stays in cache (tile.h).

   Layouts and shapes are those of bft_nas/butterfly/transform.py: stage s is a tensor of (groups, rows, columns),
   contracts the leading digit of the channel index and appends the new one at the end.

   No header beyond those of the compiler, the C library and its threads is needed. Functions return 0, or 1 when memory
   ran out. */

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "call.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

enum { MAX_WORKERS = 256, MAX_LEVELS = 4 };

/* Chosen by measurement: products that are worth a thread; pixels of a tile (more where rows are written around the
   caches, and twice as many in a backward pass of few channels or of far memory, where the sums over a tile's pixels
   cost something of their own, and in a forward one of fewer channels with short vectors, for what a tile costs); bytes
   of a tile's rows in the second cache, which holds several such tiles (half of it where rows are packed); of the rows
   that go through all remaining stages in the nearest; of an image's row that threads do not divide. */
enum { WORK_OF_A_THREAD = 75000, TILE = 64, STREAMED_TILE = 112 };
enum { FEWEST_ROWS = 1 << 14, FEW_ROWS = 1 << 16, MOST_ROWS = 1 << 18, ROWS_NEAREST = 32 << 10, SHORT_ROW = 2 << 10 };

/* What a nearest cache of 48 KB has room for, measured on processors of AMD: more of those rows forward, and the tile
   that is fetched ahead, which others take into the second one. */
enum { LARGE_NEAREST = 48 << 10, ROWS_LARGE_NEAREST = 44 << 10 };

/* Bytes of a batch that is fetched a tile ahead, as the rows of a tile are too short for the hardware to see where they
   lead (in a backward pass only of one written so, as its gradient has just been written); the most channels of a
   channels_last image that is written around the caches where a vector is half a cache line; numbers of such an image
   that are fetched together; and the most channels of tiles that lie in memory in one piece and are fetched there, as
   the processor sees by itself where these lead, and two wide ones are too much for the second cache. */
enum { BYTES_FETCHED = 4 << 20, MOST_HALVES = 256, PIECE = 64, MOST_IN_ORDER = 256 };

/* Bytes of a batch whose results are written around the caches, which would read the old ones first: fewer forward
   where a second cache has two megabytes, as the third is one for all cores then and slower to write than memory. Results
   whose rows begin within cache lines go around smaller ones only (there: 0.98 to 1.35 of the time), and of images that
   are one tile only those of more channels. */
enum { BYTES_AROUND = 12 << 20, BYTES_AROUND_LARGE = 2 << 20, LARGE_SECOND = 2 << 20, MOST_IN_LINES = 512 };

/* Ways of results: into the caches; around them, of rows that begin with cache lines; and around them of those that do
   not, a line put together at a time (tile_lines.h). */
enum { IN_CACHES, AROUND, IN_LINES };

/* What waits to be put in lines, a vector of each channel: the first of its row; the last so far; the row's last numbers,
   some of which are in the one before, too. */
enum { HEAD, TAIL, END, EDGES };

typedef struct {
    int rows, columns, before, rest, offset;
    int merged; /* whether it is two stages of the level below, multiplied */
    int second; /* rows of the second one where it is two stages of the level below that are done at once, else 0 */
} stage_shape;

/* The stages of a transform as they are given, or with neighbours of the level below merged (levels.h). What a worker
   reads of it are few cache lines: they come from another core. */
typedef struct {
    long n_in, n_out, size, chunks, copies; /* of ButterflyPlan; chunks * size >= n_in, copies * size >= n_out */
    long stages, weights;
    stage_shape stage[MAX_STAGES];
} transform;

/* Channels of a tile, of those that its stages make. */
static long widest_of(const transform *t) { return t->size * (t->chunks > t->copies ? t->chunks : t->copies); }

/* One pass over a batch: where images and results lie, and how the tiles are shared out. Each worker has a range of
   tiles and its own sums of weight gradients, which are added up in order: the result does not depend on timing. */
typedef struct job {
    const transform *levels, *t; /* the levels, and the last of them */
    void *const *given; /* weights, of the first level */
    const void *x, *gy;
    void *y, *gx;
    char *gw; /* of all workers, all stages of one after those of another; NULL in the forward pass */
    long batch, pixels, real;
    int channels_last, half, packed;
    int far, fetched; /* in memory rather than the second cache; a tile ahead */
    int ahead;        /* whether rows of an image go into the nearest cache a group ahead, too */
    int way;          /* that results go */
    long near; /* rows of scratch that stay in the nearest cache */
    long row;  /* numbers from one row of scratch to the next */
    long tiles, tiles_per_image, images_per_tile, workers;
    long unit; /* vectors that tiles begin at multiples of */
    long parts; /* of the first stage's rows, with all that follows from them: an image's, where there are few images */
    const struct code *code;
    _Alignas(64) atomic_char taken[MAX_WORKERS]; /* a share by a worker; in lines that nobody reads anything else of */
    atomic_int failed;
} job;

/* What tile.h makes for a type of numbers and an instruction set. */
typedef struct code {
    long lanes;
    int streams; /* whether it writes around the caches */
    size_t (*bytes)(const job *);
    void (*share)(const job *, void *memory, const void *const *weights, void *gw, long first, long end);
    void (*add)(void *to, const void *from, long count);
    void (*merge)(const transform *, long stage, const void *first, const void *second, void *both);
    void (*part)(const transform *, long stage, const void *first, const void *second, const void *both,
                 void *of_first, void *of_second);
} code;

typedef void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

static parallel in_parallel;
static int (*thread_number)(void);
static int large_nearest, large_second; /* caches */

/* Say what runs workers side by side: GOMP_parallel and omp_get_thread_num of the OpenMP that the process has. */
void bft_use(parallel run, int (*number)(void)) { in_parallel = run, thread_number = number; }

/* Doubles are for checking gradients: a vector at a time, since more of them are the most of compiling this file. */
#define REAL double
#define INTEGER int64_t
#define LANES 4
#define VECTORS 1
#define HALVES 0
#define RADIX_8 0
#define NAME(x) x##_double
#include "tile.h"
static const code doubles = {4, 0, bytes_double, share_double, add_double, merge_double, part_double};

#define REAL float
#define INTEGER int32_t
#define LANES 4
#define VECTORS 2
#define HALVES 1
#define RADIX_8 0
#define NAME(x) x##_plain
#include "tile.h"
static const code plain = {4, 0, bytes_plain, share_plain, add_plain, merge_plain, part_plain};

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define REAL float
#define INTEGER int32_t
#define LANES 8
#define VECTORS 3
#define STREAM(p, v) _mm256_stream_ps(p, (__m256)(v))
#define HALVES 1
#define RADIX_8 0
#define NAME(x) x##_avx2
#include "tile.h"
static const code avx2 = {8, 1, bytes_avx2, share_avx2, add_avx2, merge_avx2, part_avx2};
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define REAL float
#define INTEGER int32_t
#define LANES 16
#define VECTORS 4
#define STREAM(p, v) _mm512_stream_ps(p, (__m512)(v))
#define HALVES 1
#define RADIX_8 1
#define NAME(x) x##_avx512
#include "tile.h"
static const code avx512 = {16, 1, bytes_avx512, share_avx512, add_avx512, merge_avx512, part_avx512};
#pragma GCC pop_options
#endif

static const code *choose(int type) {
    if (type == DOUBLE) return &doubles;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
        return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2;
#endif
    return &plain;
}

static pthread_key_t kept_memory;

/* Made and found out once: asking takes longer than a small image. */
static void begin(void) {
    pthread_key_create(&kept_memory, free);
#if defined(__x86_64__) && defined(_SC_LEVEL2_CACHE_SIZE)
    large_nearest = __builtin_cpu_is("amd") && sysconf(_SC_LEVEL1_DCACHE_SIZE) >= LARGE_NEAREST;
    large_second = sysconf(_SC_LEVEL2_CACHE_SIZE) >= LARGE_SECOND;
#endif
}

/* Memory that a thread keeps for its next call, since fresh pages cost as much as the work of a small one. Addresses
   after it stay unused (no page of them is ever touched): a processor that has seen the distance of the rows fetches
   from beyond the last, and would take from another thread what that is writing there. */
enum { UNUSED_BEYOND = 1 << 20 };
static void *reserve(size_t bytes) {
    char *block = pthread_getspecific(kept_memory);
    size_t have = 0, beyond = UNUSED_BEYOND;
    if (block) memcpy(&have, block, sizeof have);
#ifdef __SANITIZE_ADDRESS__
    have = beyond = 0; /* an access beyond what was asked for is to be seen */
#endif
    if (have < bytes || !block) {
        free(block);
        block = aligned_alloc(64, (64 + bytes + 63) / 64 * 64 + beyond);
        pthread_setspecific(kept_memory, block);
        if (!block) return NULL;
        memcpy(block, &bytes, sizeof bytes);
    }
    return block + 64;
}

#include "levels.h"

/* A worker's part of a job. Each merges the weights for itself: what another has just written would come more slowly. */
static void work(void *argument) {
    job *j = argument;
    const void *weights[MAX_LEVELS][MAX_STAGES];
    size_t merged = merged_bytes(j);
    char *memory = reserve(merged + j->code->bytes(j));
    if (memory)
        merge_weights(j, memory, weights);
    else
        atomic_store(&j->failed, 1);
    /* A thread begins with the share of its number, whose pixels are in its cache when they were before; should OpenMP
       have given fewer threads, there are shares left. */
    long own = j->workers > 1 ? thread_number() : 0;
    for (long k = 0; memory && k < j->workers; k++) {
        long worker = (own + k) % j->workers;
        if (atomic_load(&j->taken[worker]) || atomic_exchange(&j->taken[worker], 1)) continue;
        long together = j->way == IN_LINES ? j->tiles_per_image : 1, shared = j->tiles / together;
        long first = worker * shared / j->workers * together, end = (worker + 1) * shared / j->workers * together;
        void *sums = j->gw ? j->gw + worker * j->t->weights * j->real : NULL;
        j->code->share(j, memory + merged, weights[j->t - j->levels], sums, first, end);
    }
}

/* Say how images come from memory and results go there, and how many threads the work is worth. */
static long choose_ways(job *j, long threads) {
    if (j->pixels == 1) j->channels_last = 1;
    j->images_per_tile = !j->channels_last && j->pixels < j->code->lanes;
    j->packed = j->half || j->channels_last || j->images_per_tile;
    const transform *t = j->t;
    long products = j->batch * j->pixels * t->weights;
    if (!in_parallel || threads < 1 || products < 2 * WORK_OF_A_THREAD) threads = 1;
    if (threads > MAX_WORKERS) threads = MAX_WORKERS;
    long lanes = j->code->lanes, line = 64 / j->real, widest = widest_of(t);
    long bytes = j->batch * j->pixels * j->real * (t->n_in * (j->gx ? 2 : 1) + t->n_out);
    long written = j->gx ? t->n_in : t->n_out, together = j->channels_last ? written : j->pixels;
    long around = large_second && lanes == 16 && !j->gx ? BYTES_AROUND_LARGE : BYTES_AROUND;
    long least_far = j->gx || around < BYTES_FETCHED ? around : BYTES_FETCHED;
    j->far = bytes > least_far && !j->half && !j->images_per_tile;
    int goes_around = j->far && bytes > around && j->code->streams && !((uintptr_t)(j->gx ? j->gx : j->y) % 64);
    int whole_lines = goes_around && !(together % line) && (lanes == line || !j->channels_last || together <= MOST_HALVES);
    /* Each worker has whole images then. */
    int within_lines = goes_around && together % line && lanes == line && !j->packed && !j->gx && !large_second &&
                       (together > TILE || widest > MOST_IN_LINES) && !(t->n_out * together % line) &&
                       t->chunks == 1 && j->batch >= threads;
    j->way = whole_lines ? AROUND : within_lines ? IN_LINES : IN_CACHES;
    j->unit = j->way && !j->packed ? line / lanes : 1;
    return threads;
}

/* The most rows of two stages that are done at once. Where registers are for a vector of each only, they write less than a
   line at a time where lines are longer, meet every line twice where rows begin within lines, and gain nothing where an
   image is one tile. */
static long most_of_a_pair(const job *j) {
    int lines = j->code->lanes * j->real == 64;
    if (j->gx || (!j->packed && j->way == AROUND && !lines)) return 0;
    return lines && (j->packed || (j->pixels > TILE && (j->way == AROUND || !j->far))) ? 16 : 9;
}

/* The most vectors of a tile. */
static long most_vectors(const job *j) {
    long lanes = j->code->lanes, bytes_of_pixel = j->real * widest_of(j->t), wide = 2 * TILE * bytes_of_pixel;
    long limit = MOST_ROWS / (j->packed ? 2 : 1) / bytes_of_pixel;
    int forward_in_place = !j->gx && !j->packed, halves = lanes * j->real < 64;
    long most = forward_in_place && j->way ? STREAMED_TILE : TILE;
    if (j->gx && (wide <= FEW_ROWS || (j->far && !j->packed))) most = 2 * TILE;
    if (forward_in_place && most == TILE && halves && wide <= FEWEST_ROWS) most = 2 * TILE;
    if (most > limit) most = limit;
    return most < lanes * j->unit ? j->unit : most / lanes;
}

/* Cut the batch into tiles, and these among workers. */
static void share_out(job *j, long threads) {
    const transform *t = j->t;
    j->parts = 1;
    long all = j->channels_last ? j->batch * j->pixels : j->pixels, images = j->channels_last ? 1 : j->batch;
    long lanes = j->code->lanes, vectors = (all + lanes - 1) / lanes, most = most_vectors(j);
    if (j->images_per_tile) {
        long per = most * lanes / j->pixels;
        while (per > 1 && (images + per - 1) / per < threads) per--;
        j->images_per_tile = per < 1 ? 1 : per;
        j->tiles = (images + j->images_per_tile - 1) / j->images_per_tile;
        j->row = (j->images_per_tile * j->pixels + lanes - 1) / lanes * lanes + lanes;
    } else {
        if (most > vectors) most = vectors;
        /* Channels are shared out rather than pixels of short rows: two threads would write to the same lines, and their
           processors fetch what follows in a row, which the other one writes. */
        long whole = j->pixels * j->real <= SHORT_ROW ? images : images * ((vectors + most - 1) / most);
        if (whole < threads && !j->gx && !j->packed && t->stages > 1 && t->chunks == 1) {
            j->parts = (threads + whole - 1) / whole;
            if (j->parts > t->stage[0].rows) j->parts = t->stage[0].rows;
        }
        while (most > j->unit && images * j->parts * ((vectors + most - 1) / most) < threads) most--;
        j->tiles_per_image = (vectors + most - 1) / most;
        j->tiles = images * j->parts * j->tiles_per_image;
        j->row = most * lanes + lanes;
    }
    int in_order = j->channels_last || j->tiles_per_image == 1, vectors_are_lines = lanes * j->real == 64;
    j->fetched = j->far && (vectors_are_lines || !in_order || widest_of(t) <= MOST_IN_ORDER);
    j->ahead = j->fetched && !j->packed && !j->gx && vectors_are_lines && !large_nearest && !large_second;
    j->near = (large_nearest && !j->gx ? ROWS_LARGE_NEAREST : ROWS_NEAREST) / (j->row * j->real);
    j->workers = threads < j->tiles ? threads : j->tiles;
}

static int run(job *j) {
    if (j->workers > 1)
        in_parallel(work, j, (unsigned)j->workers, 0);
    else if (j->workers)
        work(j);
    for (long k = 1; j->gw && k < j->workers; k++)
        j->code->add(j->gw, j->gw + k * j->t->weights * j->real, j->t->weights);
    return atomic_load(&j->failed);
}

/* A pass over a batch: back where there are gradients of weights to fill. */
static int transform_batch(const bft_call *call, void *const *gradients) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
    transform levels[MAX_LEVELS];
    given_level(levels, call->shape);
    job j = {.levels = levels, .t = levels, .given = call->stages, .x = call->x, .y = call->y, .gy = call->gy,
             .gx = call->gx, .batch = call->batch, .pixels = call->pixels, .channels_last = (int)call->channels_last,
             .real = call->type == DOUBLE ? 8 : 4, .half = call->type == HALF, .code = choose((int)call->type)};
    if (j.batch && j.pixels) {
        long threads = choose_ways(&j, call->threads);
        j.t = raise_levels(levels, most_of_a_pair(&j));
        share_out(&j, threads);
    }
    if (gradients && !(j.gw = calloc(j.workers ? j.workers : 1, j.real * j.t->weights))) return 1;
    int failed = run(&j);
    if (gradients && !failed) failed = part_levels(&j, gradients);
    free(j.gw);
    return failed;
}

long bft_interface(void) { return (1L << 12 | (long)sizeof(bft_shape)) << 12 | (long)sizeof(bft_call); }

/* y = transform(x). */
int bft_forward(const bft_call *call) { return transform_batch(call, NULL); }

/* The gradients of x and of the weights from that of y. The stages' inputs are computed again. */
int bft_backward(const bft_call *call) { return transform_batch(call, call->stages + call->shape->stages); }
