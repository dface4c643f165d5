/* Batch norm and the activation that follows it, forward and back, images in channels_last.

   torch has a pass of its own over the images for the mean, the variance, the scaling, the activation, the activation's
   gradient, and two for the norm's; memory is what they wait for, and the gradient is not shared out among threads where
   images are small. Here the statistics are one pass, everything else of the forward one more, and the gradient two; what
   the activation got is computed again rather than kept.

   Pixels are cut into shares by their number alone, and the sums of the shares are added up in order: the result depends
   neither on the number of threads nor on timing. */

#include <math.h>

#include "../system.h"
#include "../targets/targets.h"
#include "../threads.h"
#include "../tuning.h"
#include "norm.h"

int64_t norm_interface(void) { return (int64_t)3 << 12 | (int64_t)sizeof(norm_call); }

static void share_task(const void *argument, int64_t share) {
    const norm_job *j = argument;
    int64_t from = share * j->pixels / j->shares, end = (share + 1) * j->pixels / j->shares;
    j->share(j, from, end, j->sums + 2 * share * j->blocks * NORM_BLOCK);
}

static void pass(norm_job *j, void (*share)(const norm_job *, int64_t, int64_t, float *)) {
    j->share = share;
    run_tasks(share_task, j, j->shares, j->threads);
}

/* Add up the sums of all shares, in order, in place of those of the first; and those of pixels that were taken for one. */
static void add_up(norm_job *j) {
    int64_t count = 2 * j->blocks * NORM_BLOCK, own = j->call->channels;
    for (int64_t share = 1; share < j->shares; share++)
        for (int64_t k = 0; k < count; k++) j->sums[k] += j->sums[share * count + k];
    if (own >= NORM_BLOCK) return;
    for (int64_t k = 0; k < 2 * NORM_BLOCK; k += NORM_BLOCK) {
        for (int64_t l = own; l < NORM_BLOCK; l++) j->sums[k + l % own] += j->sums[k + l];
        for (int64_t l = own; l < NORM_BLOCK; l++) j->sums[k + l] = j->sums[k + l % own];
    }
}

/* The channel that a lane of a block is of. */
static int64_t channel_of(const norm_job *j, int64_t block, int64_t lane) {
    return (block_channel(j, block) + lane) % j->call->channels;
}

/* Whether a lane is of a channel that no lane before is of. */
static int is_first(const norm_job *j, int64_t block, int64_t lane) {
    int64_t channel = block_channel(j, block) + lane;
    return channel / NORM_BLOCK == block && channel < j->call->channels;
}

static int begin(norm_job *j, const norm_call *c) {
    j->call = c;
    int64_t taken = c->channels < NORM_BLOCK ? NORM_BLOCK / c->channels : 1;
    j->pixels = c->pixels / taken, j->channels = c->channels * taken;
    j->blocks = (j->channels + NORM_BLOCK - 1) / NORM_BLOCK;
    int64_t elements = c->pixels * c->channels, worth = elements / tuned()->norm_share_elements;
    j->shares = worth < MAX_SHARES ? worth : MAX_SHARES;
    if (j->shares > j->pixels / SUM_PIXELS) j->shares = j->pixels / SUM_PIXELS;
    if (j->shares < 1) j->shares = 1;
    j->threads = elements >= tuned()->norm_thread_elements ? c->threads : 1;
    int64_t each = j->blocks * NORM_BLOCK, all = (5 + 2 * j->shares) * each;
    float *memory = aligned_alloc(CACHE_LINE, all * sizeof(float));
    if (!memory) return 1;
    memset(memory, 0, all * sizeof(float));
    j->scale = memory, j->shift = memory + each, j->center = memory + 2 * each;
    j->factor = memory + 3 * each, j->offset = memory + 4 * each, j->sums = memory + 5 * each;
    return 0;
}

/* What takes x to what the activation gets: of the batch's statistics in training, else of the running ones. */
static void scale_and_shift(norm_job *j) {
    const norm_call *c = j->call;
    for (int64_t b = 0; b < j->blocks; b++)
        for (int64_t l = 0; l < NORM_BLOCK; l++) {
            int64_t channel = channel_of(j, b, l), k = b * NORM_BLOCK + l;
            double mean = c->training ? c->mean[channel] : c->running_mean[channel];
            double deviation = c->training ? c->deviation[channel] : 1 / sqrt(c->running_variance[channel] + c->epsilon);
            j->scale[k] = (float)(c->weight[channel] * deviation);
            j->shift[k] = (float)(c->bias[channel] - mean * deviation * c->weight[channel]);
        }
}

int norm_forward(const norm_call *c) {
    norm_job j;
    if (begin(&j, c)) return 1;
    const double pixels = (double)c->pixels;
    if (c->training) {
        /* Deviations are from the mean of some pixels, not from zero, from which squares would all but cancel. */
        for (int64_t k = 0; k < SAMPLES; k++)
            for (int64_t b = 0; b < j.blocks; b++)
                for (int64_t l = 0; l < NORM_BLOCK; l++)
                    j.center[b * NORM_BLOCK + l] +=
                        c->x[k * c->pixels / SAMPLES * c->channels + channel_of(&j, b, l)] / SAMPLES;
        pass(&j, isa()->norm->sums_of_images);
        add_up(&j);
    }
    for (int64_t b = 0; b < j.blocks; b++)
        for (int64_t l = 0; l < NORM_BLOCK && c->training; l++) {
            int64_t channel = channel_of(&j, b, l);
            double off = j.sums[2 * b * NORM_BLOCK + l] / pixels;
            double variance = j.sums[(2 * b + 1) * NORM_BLOCK + l] / pixels - off * off;
            if (variance < 0) variance = 0;
            c->mean[channel] = (float)(j.center[b * NORM_BLOCK + l] + off);
            c->deviation[channel] = (float)(1 / sqrt(variance + c->epsilon));
            if (!is_first(&j, b, l)) continue; /* moved already */
            float *mean = c->running_mean + channel, *spread = c->running_variance + channel;
            *mean = (float)((1 - c->momentum) * *mean + c->momentum * c->mean[channel]);
            *spread = (float)((1 - c->momentum) * *spread + c->momentum * variance * pixels / (pixels - 1));
        }
    scale_and_shift(&j);
    pass(&j, isa()->norm->apply);
    free(j.scale);
    return 0;
}

int norm_backward(const norm_call *c) {
    norm_job j;
    if (begin(&j, c)) return 1;
    scale_and_shift(&j);
    for (int64_t b = 0; b < j.blocks; b++)
        for (int64_t l = 0; l < NORM_BLOCK; l++) j.center[b * NORM_BLOCK + l] = c->mean[channel_of(&j, b, l)];
    pass(&j, isa()->norm->sums_of_gradients);
    add_up(&j);
    for (int64_t b = 0; b < j.blocks; b++)
        for (int64_t l = 0; l < NORM_BLOCK; l++) {
            int64_t channel = channel_of(&j, b, l), k = b * NORM_BLOCK + l;
            float sum = j.sums[2 * b * NORM_BLOCK + l], product = j.sums[(2 * b + 1) * NORM_BLOCK + l] * c->deviation[channel];
            c->grad_bias[channel] = sum, c->grad_weight[channel] = product;
            j.factor[k] = -j.scale[k] * c->deviation[channel] * product / (float)c->pixels;
            j.offset[k] = -j.scale[k] * sum / (float)c->pixels;
        }
    pass(&j, isa()->norm->gradients);
    free(j.scale);
    return 0;
}
