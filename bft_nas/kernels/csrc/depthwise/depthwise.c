/* Depthwise convolutions and both of their gradients, images in channels_last.

   oneDNN, which torch has them from, takes up to five times as long for the small images that proxies of mobile networks
   are made of, and up to a hundred times for the gradient of the weights. Here images pass by once, some pixels of a row
   at a time for some channels, whose sums are in registers; and for the gradient of the weights, sixteen channels of some
   rows or small images at a time.

   Images are cut into tasks by their number alone, each result is of one task, and the sums of tasks are added up in
   order: nothing depends on the number of threads or on timing. */

#include "../system.h"
#include "../targets/targets.h"
#include "../threads.h"
#include "../tuning.h"
#include "depthwise.h"

int64_t depthwise_interface(void) { return (int64_t)2 << 12 | (int64_t)sizeof(depthwise_call); }

static void weights_task(const void *argument, int64_t number) {
    const depthwise_job *j = argument;
    const int64_t share = number / j->groups, first = number % j->groups * GROUP_BLOCKS;
    const int64_t count = j->blocks - first < GROUP_BLOCKS ? j->blocks - first : GROUP_BLOCKS;
    int64_t channels[GROUP_BLOCKS];
    for (int64_t block = 0; block < count; block++) channels[block] = channel_of(j, first + block);
    float *sums = j->sums + (share * j->blocks + first) * j->call->kernel * j->call->kernel * BLOCK_CHANNELS;
    j->code->sums_of(j->call, channels, count, first_of(j, share), first_of(j, share + 1), sums);
}

/* All channels are one group. */
static void images_task(const void *argument, int64_t share) {
    const depthwise_job *j = argument;
    j->code->images_of(j, share);
}

static depthwise_job job_of(const depthwise_call *c, int64_t groups) {
    depthwise_job j = {.call = c, .groups = groups, .shares = MAX_TASKS / groups, .code = isa()->depthwise};
    if (j.shares > c->batch) j.shares = c->batch;
    if (j.shares < 1) j.shares = 1;
    return j;
}

static void run_job(const depthwise_job *j, void (*task)(const void *argument, int64_t number)) {
    const depthwise_call *c = j->call;
    int worth = c->batch * c->height * c->width * c->channels >= tuned()->depthwise_thread_elements;
    run_tasks(task, j, j->groups * j->shares, worth ? c->threads : 1);
}

/* The gradient of the weights from x and that of y; 1 when memory ran out. */
int depthwise_grad_weight(const depthwise_call *c) {
    const int64_t taps = c->kernel * c->kernel, blocks = (c->channels + BLOCK_CHANNELS - 1) / BLOCK_CHANNELS, count = blocks * taps * BLOCK_CHANNELS;
    const int64_t most = c->batch * c->out_height * c->out_width / (taps * tuned()->depthwise_pixels_per_weight);
    depthwise_job j = job_of(c, (blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS);
    if (j.shares > most) j.shares = most > 1 ? most : 1;
    j.blocks = blocks;
    j.sums = aligned_alloc(64, j.shares * count * sizeof(float));
    if (!j.sums) return 1;
    run_job(&j, weights_task);
    for (int64_t share = 1; share < j.shares; share++)
        for (int64_t k = 0; k < count; k++) j.sums[k] += j.sums[share * count + k];
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t lane = 0; lane < BLOCK_CHANNELS; lane++)
            for (int64_t tap = 0; tap < taps; tap++)
                c->w[(channel_of(&j, block) + lane) * taps + tap] = j.sums[(block * taps + tap) * BLOCK_CHANNELS + lane];
    free(j.sums);
    return 0;
}

/* What each pixel of an axis meets; from y to x weights are transposed, so that pixels and weights ascend together. */
static void taps_of(taps *to, int64_t count, int64_t from_count, int64_t kernel, int64_t stride, int transposed) {
    const int64_t pad = kernel / 2;
    for (int64_t k = 0; k < count; k++) {
        int64_t first = transposed ? (k + pad - kernel + stride) / stride : k * stride - pad;
        int64_t end = transposed ? (k + pad) / stride + 1 : k * stride - pad + kernel;
        if (first < 0) first = 0;
        if (end > from_count) end = from_count;
        to[k].count = end > first ? end - first : 0;
        to[k].weight = transposed ? kernel - 1 - (k + pad - first * stride) : first - (k * stride - pad);
        to[k].from = first;
    }
}

static int run_images(const depthwise_call *c, int transposed) {
    const int64_t taps_of_all = c->kernel * c->kernel;
    depthwise_job j = job_of(c, 1);
    j.from = transposed ? c->y : c->x, j.to = transposed ? c->x : c->y;
    j.from_height = transposed ? c->out_height : c->height, j.from_width = transposed ? c->out_width : c->width;
    j.to_height = transposed ? c->height : c->out_height, j.to_width = transposed ? c->width : c->out_width;
    j.stride = transposed ? c->stride : 1;
    taps *rows = malloc((j.to_height + j.to_width) * sizeof *rows + taps_of_all * c->channels * sizeof(float));
    if (!rows) return 1;
    taps *columns = rows + j.to_height;
    float *weights = (float *)(columns + j.to_width);
    taps_of(rows, j.to_height, j.from_height, c->kernel, c->stride, transposed);
    taps_of(columns, j.to_width, j.from_width, c->kernel, c->stride, transposed);
    for (int64_t channel = 0; channel < c->channels; channel++)
        for (int64_t tap = 0; tap < taps_of_all; tap++)
            weights[(transposed ? taps_of_all - 1 - tap : tap) * c->channels + channel] = c->w[channel * taps_of_all + tap];
    j.tap_stride = transposed ? 1 : c->stride;
    for (j.high = j.to_width; j.high && columns[j.high - 1].count < c->kernel;) j.high--;
    while (j.low < j.high && columns[j.low].count < c->kernel) j.low++;
    j.rows = rows, j.columns = columns, j.weights = weights;
    run_job(&j, images_task);
    free(rows);
    return 0;
}

/* y from x and the weights; 1 when memory ran out. */
int depthwise_forward(const depthwise_call *c) { return run_images(c, 0); }

/* The gradient of x from that of y and the weights; 1 when memory ran out. */
int depthwise_grad_x(const depthwise_call *c) { return run_images(c, 1); }
