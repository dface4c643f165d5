/* A pass over a batch, as the code that is the same for all ISA targets (butterfly.c) hands it to that of one (tile.h). */

#ifndef BUTTERFLY_JOB_H
#define BUTTERFLY_JOB_H

#include "../system.h"
#include "../simd.h"
#include "../threads.h"
#include "../tuning.h"
#include "call.h"

enum { MAX_WORKERS = 256, MAX_LEVELS = 4 };

/* How results are stored: into the caches; by non-temporal stores, of rows that begin with cache lines; and by those, of
   rows that do not, a line put together at a time (tile_unaligned.h). */
enum { STORE_CACHED, STORE_STREAM, STORE_STREAM_UNALIGNED };

typedef struct {
    int rows, columns, before, rest, offset;
    int merged; /* whether it is two stages of the level below, multiplied */
    int second; /* rows of the second one where it is two stages of the level below that are done at once, else 0 */
} stage_shape;

/* The stages of a transform as they are given, or with neighbours of the level below merged (levels.h). What a worker
   reads of it are few cache lines: they come from another core. */
typedef struct {
    int64_t n_in, n_out, size, chunks, copies; /* of ButterflyPlan; chunks * size >= n_in, copies * size >= n_out */
    int64_t stages, weights;
    stage_shape stage[MAX_STAGES];
} transform;

/* Channels of a tile, of those that its stages make. */
INLINE int64_t widest_of(const transform *t) { return t->size * (t->chunks > t->copies ? t->chunks : t->copies); }

/* Where images and results lie, and how tiles are divided among workers. Each worker has a range of tiles and its own
   sums of grad_weight, which are added up in order: the result does not depend on timing. */
typedef struct butterfly_job {
    const struct tuning *tuning;
    const transform *levels, *t; /* the levels, and the last of them */
    void *const *given_weights;  /* of the first level */
    const void *x, *grad_y;
    void *y, *grad_x;
    char *grad_weight; /* of all workers, all stages of one after those of another; NULL in the forward pass */
    int64_t batch, pixels, element_bytes;
    int channels_last, bf16, packed;
    int from_memory;        /* whether the batch is too large for the L2 */
    int prefetch;           /* whether the next tile is prefetched */
    int prefetch_group;     /* whether rows of an image are brought from the L2 into the L1 a group ahead, too */
    int store_mode;         /* of results */
    int64_t l1_rows;        /* rows of scratch that stay in the L1 */
    int64_t row_stride;     /* elements from one row of scratch to the next */
    int64_t tiles, tiles_per_image, images_per_tile, workers;
    int64_t tile_alignment; /* vectors that tiles begin at multiples of */
    int64_t row_splits; /* of the first stage's rows, with all that follows from them: an image's, where there are few */
    const struct butterfly_code *code;
    _Alignas(CACHE_LINE) atomic_char taken[MAX_WORKERS]; /* shares; in lines that nobody reads anything else of */
    atomic_int failed;
} butterfly_job;

/* What tile.h makes for an element type and an ISA target. */
typedef struct butterfly_code {
    int64_t lanes;
    int streams; /* whether it has non-temporal stores */
    size_t (*scratch_bytes)(const butterfly_job *);
    void (*run_share)(const butterfly_job *, void *scratch, const void *const *weights, void *grad_weight, int64_t first,
                      int64_t end);
    void (*add_into)(void *to, const void *from, int64_t count);
    void (*merge_stages)(const transform *, int64_t stage, const void *first, const void *second, void *both);
    void (*unmerge_gradients)(const transform *, int64_t stage, const void *first, const void *second, const void *both,
                              void *grad_first, void *grad_second);
} butterfly_code;
#endif
