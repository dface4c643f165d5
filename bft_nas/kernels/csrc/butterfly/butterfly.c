/* The butterfly transform on the CPU: all stages on one tile of pixels that stays in cache (tile.h).

   Layouts and shapes are those of bft_nas/butterfly/transform.py: stage s is a tensor of (groups, rows, columns),
   contracts the leading digit of the channel index and appends the new one at the end. ../../README.md has the loop nest.

   No header beyond those of the compiler, the C library and its threads is needed. Functions return 0, or 1 when memory
   ran out. */

#include <pthread.h>

#include "../targets/targets.h"
#include "job.h"
#include "levels.h"

static pthread_key_t scratch_key;

static void create_scratch_key(void) { pthread_key_create(&scratch_key, free); }

/* Scratch that a thread keeps for its next call, since fresh pages cost as much as the work of a small one. Addresses
   after it stay unused (no page of them is ever touched): a processor that has seen the distance of the rows prefetches
   from beyond the last, and would take from another thread what that is writing there. */
enum { UNUSED_BEYOND_SCRATCH = 1 << 20 };
static void *reserve_scratch(size_t bytes) {
    char *block = pthread_getspecific(scratch_key);
    size_t have = 0, beyond = UNUSED_BEYOND_SCRATCH;
    if (block) memcpy(&have, block, sizeof have);
#ifdef __SANITIZE_ADDRESS__
    have = beyond = 0; /* an access beyond what was asked for is to be seen */
#endif
    if (have < bytes || !block) {
        free(block);
        block = aligned_alloc(CACHE_LINE, (2 * CACHE_LINE - 1 + bytes) / CACHE_LINE * CACHE_LINE + beyond);
        pthread_setspecific(scratch_key, block);
        if (!block) return NULL;
        memcpy(block, &bytes, sizeof bytes);
    }
    return block + CACHE_LINE;
}

/* A worker's part of a job. Each merges the weights for itself: what another has just written would come more slowly. */
static void run_worker(void *argument) {
    butterfly_job *j = argument;
    const void *weights[MAX_LEVELS][MAX_STAGES];
    size_t merged = merged_bytes(j);
    char *memory = reserve_scratch(merged + j->code->scratch_bytes(j));
    if (!memory) {
        atomic_store(&j->failed, 1);
        return;
    }
    merge_weights(j, memory, weights);
    /* Should OpenMP have given fewer threads, there are shares left. */
    const task_queue shares = {j->workers, j->workers, j->taken};
    task_cursor cursor = first_task(&shares);
    for (int64_t share; (share = next_task(&shares, &cursor)) >= 0;) {
        int64_t unit = j->store_mode == STORE_STREAM_UNALIGNED ? j->tiles_per_image : 1, units = j->tiles / unit;
        int64_t first = share * units / j->workers * unit, end = (share + 1) * units / j->workers * unit;
        void *sums = j->grad_weight ? j->grad_weight + share * j->t->weights * j->element_bytes : NULL;
        j->code->run_share(j, memory + merged, weights[j->t - j->levels], sums, first, end);
    }
}

/* Say how images come from memory and results go there, and how many threads the work is worth. */
static int64_t choose_memory_path(butterfly_job *j, int64_t threads) {
    const struct tuning *tuning = j->tuning;
    if (j->pixels == 1) j->channels_last = 1;
    j->images_per_tile = !j->channels_last && j->pixels < j->code->lanes;
    j->packed = j->bf16 || j->channels_last || j->images_per_tile;
    const transform *t = j->t;
    int64_t macs = j->batch * j->pixels * t->weights;
    if (!have_threads() || threads < 1 || macs < 2 * tuning->macs_per_thread) threads = 1;
    if (threads > MAX_WORKERS) threads = MAX_WORKERS;
    int64_t lanes = j->code->lanes, line = CACHE_LINE / j->element_bytes;
    int64_t bytes = j->batch * j->pixels * j->element_bytes * (t->n_in * (j->grad_x ? 2 : 1) + t->n_out);
    int64_t written = j->grad_x ? t->n_in : t->n_out, row = j->channels_last ? written : j->pixels;
    int64_t stream_bytes = j->grad_x ? tuning->stream_bytes_backward : tuning->stream_bytes_forward;
    /* A backward pass prefetches only a batch that is streamed, too, as its gradient has just been written. */
    int64_t memory_bytes = j->grad_x || stream_bytes < tuning->prefetch_bytes ? stream_bytes : tuning->prefetch_bytes;
    j->from_memory = bytes > memory_bytes && !j->bf16 && !j->images_per_tile;
    int starts_line = !((uintptr_t)(j->grad_x ? j->grad_x : j->y) % CACHE_LINE);
    int stream = j->from_memory && bytes > stream_bytes && j->code->streams && starts_line;
    int whole_lines = lanes == line || !j->channels_last || row <= tuning->stream_half_line_channels;
    /* Each worker has whole images then. */
    int unaligned = tuning->stream_unaligned && lanes == line && !j->packed && !j->grad_x && t->chunks == 1 &&
                    (row > tuning->tile_pixels || widest_of(t) > tuning->stream_unaligned_channels) &&
                    !(t->n_out * row % line) && j->batch >= threads;
    j->store_mode = STORE_CACHED;
    if (stream && !(row % line) && whole_lines) j->store_mode = STORE_STREAM;
    if (stream && row % line && unaligned) j->store_mode = STORE_STREAM_UNALIGNED;
    j->tile_alignment = j->store_mode && !j->packed ? line / lanes : 1;
    return threads;
}

/* The most rows of two stages that are done at once. Where registers are for a vector of each only, they write less than a
   line at a time where lines are longer, meet every line twice where rows begin within lines, and gain nothing where an
   image is one tile. */
static int64_t max_pair_rows(const butterfly_job *j) {
    int vector_is_line = j->code->lanes * j->element_bytes == CACHE_LINE;
    if (j->grad_x || (!j->packed && j->store_mode == STORE_STREAM && !vector_is_line)) return 0;
    int several_tiles = j->pixels > j->tuning->tile_pixels && (j->store_mode == STORE_STREAM || !j->from_memory);
    return vector_is_line && (j->packed || several_tiles) ? 16 : 9;
}

/* The most vectors of a tile. It has twice the pixels in a backward pass of few channels or from memory, where the sums
   over a tile's pixels cost something of their own, and in a forward one of fewer channels with short vectors, for what
   a tile costs. */
static int64_t max_tile_vectors(const butterfly_job *j) {
    const struct tuning *tuning = j->tuning;
    int64_t lanes = j->code->lanes, pixel_bytes = j->element_bytes * widest_of(j->t);
    int64_t wide = 2 * tuning->tile_pixels, limit = tuning->l2_tile_bytes / (j->packed ? 2 : 1) / pixel_bytes;
    int forward_in_place = !j->grad_x && !j->packed, half_line_vectors = lanes * j->element_bytes < CACHE_LINE;
    int64_t most = tuning->tile_pixels;
    if (forward_in_place && j->store_mode) most = tuning->stream_tile_pixels;
    else if (forward_in_place && half_line_vectors && wide * pixel_bytes <= tuning->wide_tile_bytes_forward) most = wide;
    if (j->grad_x && (wide * pixel_bytes <= tuning->wide_tile_bytes_backward || (j->from_memory && !j->packed)))
        most = wide;
    if (most > limit) most = limit;
    return most < lanes * j->tile_alignment ? j->tile_alignment : most / lanes;
}

/* Cut the batch into tiles, and these among workers. */
static void split_into_tiles(butterfly_job *j, int64_t threads) {
    const struct tuning *tuning = j->tuning;
    const transform *t = j->t;
    j->row_splits = 1;
    int64_t all = j->channels_last ? j->batch * j->pixels : j->pixels, images = j->channels_last ? 1 : j->batch;
    int64_t lanes = j->code->lanes, vectors = (all + lanes - 1) / lanes, most = max_tile_vectors(j);
    if (j->images_per_tile) {
        int64_t per_tile = most * lanes / j->pixels;
        while (per_tile > 1 && (images + per_tile - 1) / per_tile < threads) per_tile--;
        j->images_per_tile = per_tile < 1 ? 1 : per_tile;
        j->tiles = (images + j->images_per_tile - 1) / j->images_per_tile;
        j->row_stride = (j->images_per_tile * j->pixels + lanes - 1) / lanes * lanes + lanes;
    } else {
        if (most > vectors) most = vectors;
        /* Channels are divided rather than pixels of short rows: two threads would write to the same lines, and their
           processors prefetch what follows in a row, which the other one writes. */
        int short_rows = j->pixels * j->element_bytes <= tuning->short_row_bytes;
        int64_t tiles = short_rows ? images : images * ((vectors + most - 1) / most);
        if (tiles < threads && !j->grad_x && !j->packed && t->stages > 1 && t->chunks == 1) {
            j->row_splits = (threads + tiles - 1) / tiles;
            if (j->row_splits > t->stage[0].rows) j->row_splits = t->stage[0].rows;
        }
        while (most > j->tile_alignment && images * j->row_splits * ((vectors + most - 1) / most) < threads) most--;
        j->tiles_per_image = (vectors + most - 1) / most;
        j->tiles = images * j->row_splits * j->tiles_per_image;
        j->row_stride = most * lanes + lanes;
    }
    /* The processor sees by itself where tiles in one piece lead, and two wide ones are too much for the L2. */
    int one_piece = j->channels_last || j->tiles_per_image == 1, vector_is_line = lanes * j->element_bytes == CACHE_LINE;
    j->prefetch = j->from_memory && (vector_is_line || !one_piece || widest_of(t) <= tuning->prefetch_channels);
    j->prefetch_group = j->prefetch && !j->packed && !j->grad_x && vector_is_line && tuning->prefetch_group;
    j->l1_rows = (j->grad_x ? tuning->l1_bytes_backward : tuning->l1_bytes_forward) / (j->row_stride * j->element_bytes);
    j->workers = threads < j->tiles ? threads : j->tiles;
}

static int run_job(butterfly_job *j) {
    if (j->workers) run_threads(run_worker, j, j->workers);
    for (int64_t k = 1; j->grad_weight && k < j->workers; k++)
        j->code->add_into(j->grad_weight, j->grad_weight + k * j->t->weights * j->element_bytes, j->t->weights);
    return atomic_load(&j->failed);
}

/* A pass over a batch: back where there are gradients of weights to fill. */
static int transform_batch(const butterfly_call *call, void *const *gradients) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, create_scratch_key);
    transform levels[MAX_LEVELS];
    init_level(levels, call->shape);
    int is_float64 = call->type == TYPE_FLOAT64;
    butterfly_job j = {
        .tuning = tuned(),
        .levels = levels,
        .t = levels,
        .given_weights = call->stages,
        .x = call->x,
        .y = call->y,
        .grad_y = call->grad_y,
        .grad_x = call->grad_x,
        .batch = call->batch,
        .pixels = call->pixels,
        .channels_last = (int)call->channels_last,
        .element_bytes = is_float64 ? 8 : 4,
        .bf16 = call->type == TYPE_BFLOAT16,
        .code = is_float64 ? &butterfly_float64 : isa()->butterfly,
    };
    if (j.batch && j.pixels) {
        int64_t threads = choose_memory_path(&j, call->threads);
        j.t = build_levels(levels, max_pair_rows(&j));
        split_into_tiles(&j, threads);
    }
    if (gradients && !(j.grad_weight = calloc(j.workers ? j.workers : 1, j.element_bytes * j.t->weights))) return 1;
    int failed = run_job(&j);
    if (gradients && !failed) failed = unmerge_levels(&j, gradients);
    free(j.grad_weight);
    return failed;
}

int64_t butterfly_interface(void) {
    return ((int64_t)2 << 12 | (int64_t)sizeof(butterfly_shape)) << 12 | (int64_t)sizeof(butterfly_call);
}

int butterfly_forward(const butterfly_call *call) { return transform_batch(call, NULL); }

int butterfly_backward(const butterfly_call *call) {
    return transform_batch(call, call->stages + call->shape->stages);
}
