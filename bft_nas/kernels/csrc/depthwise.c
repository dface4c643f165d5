/* Depthwise convolutions and both of their gradients, images in channels_last.

   oneDNN, which torch has them from, takes up to five times as long for the small images that proxies of mobile networks
   are made of, and up to a hundred times for the gradient of the weights. Here images pass by once, some places of a row
   at a time for some channels, whose sums are in registers; and for the gradient of the weights, sixteen channels of some
   rows or small images at a time.

   Images are cut into tasks by their number alone, each result is of one task, and the sums of tasks are added up in
   order: nothing depends on the number of threads or on timing. */

#include "loops.h"

/* Channels of a block, and of the blocks that one pass over a row is for; for the gradient of the weights, blocks that
   read a band of rows in turn, its bytes, and the largest weights of which there are registers for all sums; places side
   by side that one reading of the weights is for, and vectors of each; how many places before it is written memory is
   asked for. */
enum { BLOCK = 16, TOGETHER = 64, GROUP = 8, BAND = 1 << 17, MOST_AT_ONCE = 5, PLACES = 3, VECTORS = 2, AHEAD = 8 };
/* Bytes of x and y that no second cache keeps, so that the gradient of the weights has to fetch them ahead. */
enum { BYTES_FAR = 6 << 20 };
/* The largest weights; tasks; what is worth threads, and how many places for each of its weights a share has. */
enum { LARGEST_KERNEL = 7, TASKS_OF_A_CALL = 32, WORTH_THREADS = 1 << 16, WORTH_SUMS = 8 };

/* What Python asks for, packed in this order by depthwise.py: images, what the layer makes of them, its weights, or the
   gradients of these. x is (batch, height, width, channels), y is (batch, of_height, of_width, channels), w is (channels,
   kernel, kernel); padding is kernel / 2 on all sides; at least 16 channels, a kernel of 3, 5 or 7 on a side. */
typedef struct {
    long threads, batch, channels, height, width, of_height, of_width, kernel, stride;
    float *x, *y, *w;
} depthwise_call;

/* What depthwise.py expects of a call, see native.py: the version is raised there and here with any change that the size does
   not show. */
long depthwise_interface(void) { return 1L << 12 | (long)sizeof(depthwise_call); }

/* Weights that a place of the result meets along an axis: how many, the first one, and the place that this is on. */
typedef struct {
    long count, weight, from;
} taps;

/* Tasks are groups of blocks of channels by shares of the images, all groups of a share after those of the one before. */
typedef struct job {
    const depthwise_call *call;
    long groups, shares, blocks;
    float *sums; /* of weights, for each share and block: kernel * kernel blocks */
    /* Of images: from and to what, by weights of (kernel * kernel, channels), of which each `stride`-th meets the places
       that follow each other. */
    const float *from, *weights;
    float *to;
    long from_height, from_width, to_height, to_width, stride;
    const taps *rows, *columns;
    long low, high, apart; /* columns that meet all columns of the weights, and how far apart what they meet begins */
    const struct loops *loops;
} job;

/* What is compiled for each machine, see depthwise_loops.h. */
typedef struct loops {
    void (*sums_of)(const depthwise_call *, const long *channels, long blocks, long first, long end, float *out);
    void (*images_of)(const job *, long share);
} loops;

/* Say what runs workers side by side. */
void depthwise_use(parallel run, int (*number)(void)) { in_parallel = run, thread_number = number; }

/* The last block may share channels with the one before, and finds the same for them. */
INLINE long channel_of(const job *j, long block) {
    return block == j->blocks - 1 ? j->call->channels - BLOCK : block * BLOCK;
}
INLINE long first_of(const job *j, long share) { return share * j->call->batch / j->shares; }

#define LANES 4
#define NAME(x) x##_plain
#include "depthwise_loops.h"
static const loops plain = {sums_of_plain, images_of_plain};

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define LANES 8
#define NAME(x) x##_avx2
#include "depthwise_loops.h"
static const loops avx2 = {sums_of_avx2, images_of_avx2};
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define LANES 16
#define NAME(x) x##_avx512
#include "depthwise_loops.h"
static const loops avx512 = {sums_of_avx512, images_of_avx512};
#pragma GCC pop_options
#endif

static const loops *choose(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v4")) return &avx512;
    if (__builtin_cpu_supports("x86-64-v3")) return &avx2;
#endif
    return &plain;
}

static void weights_task(const void *of, long number) {
    const job *j = of;
    const long share = number / j->groups, first = number % j->groups * GROUP;
    const long count = j->blocks - first < GROUP ? j->blocks - first : GROUP;
    long channels[GROUP];
    for (long block = 0; block < count; block++) channels[block] = channel_of(j, first + block);
    float *sums = j->sums + (share * j->blocks + first) * j->call->kernel * j->call->kernel * BLOCK;
    j->loops->sums_of(j->call, channels, count, first_of(j, share), first_of(j, share + 1), sums);
}

/* All channels are one group. */
static void images_task(const void *of, long share) {
    const job *j = of;
    j->loops->images_of(j, share);
}

static job job_of(const depthwise_call *c, long groups) {
    job j = {.call = c, .groups = groups, .shares = TASKS_OF_A_CALL / groups, .loops = choose()};
    if (j.shares > c->batch) j.shares = c->batch;
    if (j.shares < 1) j.shares = 1;
    return j;
}

static void run(const job *j, void (*task)(const void *of, long number)) {
    const depthwise_call *c = j->call;
    int worth = c->batch * c->height * c->width * c->channels >= WORTH_THREADS;
    do_tasks(task, j, j->groups * j->shares, worth ? c->threads : 1);
}

/* The gradient of the weights from x and that of y; 1 when memory ran out. */
int depthwise_weight_gradient(const depthwise_call *c) {
    const long taps = c->kernel * c->kernel, blocks = (c->channels + BLOCK - 1) / BLOCK, count = blocks * taps * BLOCK;
    const long most = c->batch * c->of_height * c->of_width / (taps * WORTH_SUMS);
    job j = job_of(c, (blocks + GROUP - 1) / GROUP);
    if (j.shares > most) j.shares = most > 1 ? most : 1;
    j.blocks = blocks;
    j.sums = aligned_alloc(64, j.shares * count * sizeof(float));
    if (!j.sums) return 1;
    run(&j, weights_task);
    for (long share = 1; share < j.shares; share++)
        for (long k = 0; k < count; k++) j.sums[k] += j.sums[share * count + k];
    for (long block = 0; block < blocks; block++)
        for (long lane = 0; lane < BLOCK; lane++)
            for (long tap = 0; tap < taps; tap++)
                c->w[(channel_of(&j, block) + lane) * taps + tap] = j.sums[(block * taps + tap) * BLOCK + lane];
    free(j.sums);
    return 0;
}

/* What each place of an axis meets; from y to x weights are turned around, so that places and weights ascend together. */
static void taps_of(taps *to, long count, long from_count, long kernel, long stride, int back) {
    const long pad = kernel / 2;
    for (long k = 0; k < count; k++) {
        long first = back ? (k + pad - kernel + stride) / stride : k * stride - pad;
        long end = back ? (k + pad) / stride + 1 : k * stride - pad + kernel;
        if (first < 0) first = 0;
        if (end > from_count) end = from_count;
        to[k].count = end > first ? end - first : 0;
        to[k].weight = back ? kernel - 1 - (k + pad - first * stride) : first - (k * stride - pad);
        to[k].from = first;
    }
}

static int images(const depthwise_call *c, int back) {
    const long taps_of_all = c->kernel * c->kernel;
    job j = job_of(c, 1);
    j.from = back ? c->y : c->x, j.to = back ? c->x : c->y;
    j.from_height = back ? c->of_height : c->height, j.from_width = back ? c->of_width : c->width;
    j.to_height = back ? c->height : c->of_height, j.to_width = back ? c->width : c->of_width;
    j.stride = back ? c->stride : 1;
    taps *rows = malloc((j.to_height + j.to_width) * sizeof *rows + taps_of_all * c->channels * sizeof(float));
    if (!rows) return 1;
    taps *columns = rows + j.to_height;
    float *weights = (float *)(columns + j.to_width);
    taps_of(rows, j.to_height, j.from_height, c->kernel, c->stride, back);
    taps_of(columns, j.to_width, j.from_width, c->kernel, c->stride, back);
    for (long channel = 0; channel < c->channels; channel++)
        for (long tap = 0; tap < taps_of_all; tap++)
            weights[(back ? taps_of_all - 1 - tap : tap) * c->channels + channel] = c->w[channel * taps_of_all + tap];
    j.apart = back ? 1 : c->stride;
    for (j.high = j.to_width; j.high && columns[j.high - 1].count < c->kernel;) j.high--;
    while (j.low < j.high && columns[j.low].count < c->kernel) j.low++;
    j.rows = rows, j.columns = columns, j.weights = weights;
    run(&j, images_task);
    free(rows);
    return 0;
}

/* y from x and the weights; 1 when memory ran out. */
int depthwise_forward(const depthwise_call *c) { return images(c, 0); }

/* The gradient of x from that of y and the weights; 1 when memory ran out. */
int depthwise_image_gradient(const depthwise_call *c) { return images(c, 1); }
