/* Batch norm and the activation that follows it, forward and back, images in channels_last.

   torch has a pass of its own over the images for the mean, the variance, the scaling, the activation, the activation's
   gradient, and two for the norm's; memory is what they wait for, and the gradient is not shared out among threads where
   images are small. Here the statistics are one pass, everything else of the forward one more, and the gradient two; what
   the activation got is computed again rather than kept.

   Pixels are cut into shares by their number alone, and the sums of the shares are added up in order: the result depends
   neither on the number of threads nor on timing. */

#include <math.h>
#include "loops.h"

#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_MACHINE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_MACHINE
#endif

/* Chosen by measurement: pixels whose numbers of 16 channels are added up in registers, how many numbers before they are
   written memory is asked for, numbers that are worth a share, and numbers that are worth a second thread. */
enum { LANES = 16, TOGETHER = 8, AHEAD = 512, SAMPLES = 16 };
enum { MOST_SHARES = 16, WORTH_A_SHARE = 1 << 13, WORTH_THREADS = 1 << 15 };

enum { IDENTITY, RELU, HARD_SWISH };

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int mask __attribute__((vector_size(4 * LANES), aligned(4)));
typedef unsigned bits __attribute__((vector_size(4 * LANES), aligned(4)));

/* What Python asks for, packed in this order by norm.py. x, y, gy and gx are (pixels, channels), all others (channels).
   `deviation` is the inverse of the standard deviation. */
typedef struct {
    long threads, pixels, channels, activation, training;
    double epsilon, momentum;
    const float *x, *weight, *bias;
    float *y, *mean, *deviation, *running_mean, *running_variance;
    const float *gy;
    float *gx, *of_weight, *of_bias;
} norm_call;

/* What norm.py expects of a call, see native.py: the version is raised there and here with any change that the size does
   not show. */
long norm_interface(void) { return 1L << 12 | (long)sizeof(norm_call); }

/* One pass over the pixels. Channels are in blocks of 16, of which the last may share channels with the one before, and
   finds the same for them. Numbers of channels are kept by block. */
typedef struct job {
    const norm_call *call;
    void (*share)(const struct job *, long first, long end, float *sums);
    long blocks, shares, threads;
    float *scale, *shift, *center, *factor, *offset; /* by block */
    float *sums;                                     /* of each share: two numbers for each of a block */
} job;

/* Say what runs workers side by side. */
void norm_use(parallel run, int (*number)(void)) { in_parallel = run, thread_number = number; }

INLINE long channel_of(const job *j, long block) {
    return block == j->blocks - 1 ? j->call->channels - LANES : block * LANES;
}
INLINE vector at(const float *p) { return *(const vector *)p; }
INLINE void put(float *p, vector v) { *(vector *)p = v; }
INLINE vector where(mask m, vector v) { return (vector)((mask)v & m); }
INLINE vector either(mask m, vector yes, vector no) { return (vector)(((mask)yes & m) | ((mask)no & ~m)); }

/* Where v > 0, or not a number: by the sign bits, since GCC compares vectors longer than the processor's one by one. */
INLINE mask above_zero(vector v) { return (mask)((0 - (bits)v) & ~(bits)v) >> 31; }

INLINE vector activated(vector v, long activation) {
    if (activation == RELU) return where(above_zero(v), v);
    if (activation == HARD_SWISH) {
        vector gate = v + 3;
        gate = where(above_zero(gate), gate);
        return v * either(above_zero(6 - gate), gate, (vector){0} + 6) * (1 / 6.0f);
    }
    return v;
}

/* The gradient of what the activation got, `v`. */
INLINE vector before_activation(vector v, vector gradient, long activation) {
    if (activation == RELU) return where(above_zero(v), gradient);
    if (activation == HARD_SWISH)
        return where(above_zero(v + 3), either(above_zero(3 - v), gradient * (v * (1 / 3.0f) + 0.5f), gradient));
    return gradient;
}

/* Sums of what pixels are off the center, and of its square: of a few pixels first, which rounds less. */
FOR_EACH_MACHINE static void sums_of_images(const job *j, long first, long end, float *sums) {
    const long step = j->call->channels;
    for (long p = first, next; p < end; p = next) {
        next = p + TOGETHER < end ? p + TOGETHER : end;
        for (long block = 0; block < j->blocks; block++) {
            const float *x = j->call->x + p * step + channel_of(j, block);
            float *to = sums + 2 * block * LANES;
            vector center = at(j->center + block * LANES), sum = {0}, square = {0};
            if (next - p == TOGETHER) {
                UNROLL for (long k = 0; k < TOGETHER; k++) {
                    vector off = at(x + k * step) - center;
                    sum += off, square += off * off;
                    __builtin_prefetch(x + (k + TOGETHER) * step);
                }
            } else
                for (long k = 0; k < next - p; k++) {
                    vector off = at(x + k * step) - center;
                    sum += off, square += off * off;
                }
            put(to, at(to) + sum), put(to + LANES, at(to + LANES) + square);
        }
    }
}

INLINE void apply_with(const job *j, long first, long end, const long activation) {
    const long step = j->call->channels;
    for (long p = first; p < end; p++) {
        const float *x = j->call->x + p * step;
        float *y = j->call->y + p * step;
        for (long block = 0; block < j->blocks; block++) {
            long c = channel_of(j, block);
            __builtin_prefetch(y + c + AHEAD, 1);
            put(y + c, activated(at(x + c) * at(j->scale + block * LANES) + at(j->shift + block * LANES), activation));
        }
    }
}

FOR_EACH_MACHINE static void apply(const job *j, long first, long end, float *sums) {
    (void)sums;
    if (j->call->activation == RELU) apply_with(j, first, end, RELU);
    else if (j->call->activation == HARD_SWISH) apply_with(j, first, end, HARD_SWISH);
    else apply_with(j, first, end, IDENTITY);
}

INLINE void add_gradient(const job *j, long c, vector center, vector scale, vector shift, const long activation,
                         vector *sum, vector *product) {
    vector x = at(j->call->x + c);
    vector g = before_activation(x * scale + shift, at(j->call->gy + c), activation);
    *sum += g, *product += g * (x - center);
    __builtin_prefetch(j->call->x + c + TOGETHER * j->call->channels);
    __builtin_prefetch(j->call->gy + c + TOGETHER * j->call->channels);
}

/* Sums of the gradient before the activation, and of its product with what pixels are off the mean; unrolled, as GCC
   keeps sums longer than the processor's vectors in memory from one round of a loop to the next. */
INLINE void sums_with(const job *j, long first, long end, float *sums, const long activation) {
    const long step = j->call->channels;
    for (long p = first, next; p < end; p = next) {
        next = p + TOGETHER < end ? p + TOGETHER : end;
        for (long block = 0; block < j->blocks; block++) {
            long c = p * step + channel_of(j, block);
            float *to = sums + 2 * block * LANES;
            vector center = at(j->center + block * LANES), sum = {0}, product = {0};
            vector scale = at(j->scale + block * LANES), shift = at(j->shift + block * LANES);
            if (next - p == TOGETHER) {
                UNROLL for (long k = 0; k < TOGETHER; k++, c += step)
                    add_gradient(j, c, center, scale, shift, activation, &sum, &product);
            } else
                for (long k = 0; k < next - p; k++, c += step)
                    add_gradient(j, c, center, scale, shift, activation, &sum, &product);
            put(to, at(to) + sum), put(to + LANES, at(to + LANES) + product);
        }
    }
}

FOR_EACH_MACHINE static void sums_of_gradients(const job *j, long first, long end, float *sums) {
    if (j->call->activation == RELU) sums_with(j, first, end, sums, RELU);
    else if (j->call->activation == HARD_SWISH) sums_with(j, first, end, sums, HARD_SWISH);
    else sums_with(j, first, end, sums, IDENTITY);
}

INLINE void gradients_with(const job *j, long first, long end, const long activation) {
    const long step = j->call->channels;
    for (long p = first; p < end; p++)
        for (long block = 0; block < j->blocks; block++) {
            long c = p * step + channel_of(j, block), b = block * LANES;
            vector x = at(j->call->x + c), scale = at(j->scale + b);
            vector g = before_activation(x * scale + at(j->shift + b), at(j->call->gy + c), activation);
            __builtin_prefetch(j->call->gx + c + AHEAD, 1);
            put(j->call->gx + c, scale * g + ((x - at(j->center + b)) * at(j->factor + b) + at(j->offset + b)));
        }
}

FOR_EACH_MACHINE static void gradients(const job *j, long first, long end, float *sums) {
    (void)sums;
    if (j->call->activation == RELU) gradients_with(j, first, end, RELU);
    else if (j->call->activation == HARD_SWISH) gradients_with(j, first, end, HARD_SWISH);
    else gradients_with(j, first, end, IDENTITY);
}

static void share_task(const void *of, long share) {
    const job *j = of;
    long from = share * j->call->pixels / j->shares, end = (share + 1) * j->call->pixels / j->shares;
    j->share(j, from, end, j->sums + 2 * share * j->blocks * LANES);
}

static void pass(job *j, void (*share)(const job *, long, long, float *)) {
    j->share = share;
    do_tasks(share_task, j, j->shares, j->threads);
}

/* Add up the sums of all shares, in order, in place of those of the first. */
static void add_up(job *j) {
    long count = 2 * j->blocks * LANES;
    for (long share = 1; share < j->shares; share++)
        for (long k = 0; k < count; k++) j->sums[k] += j->sums[share * count + k];
}

static int begin(job *j, const norm_call *c) {
    j->call = c;
    j->blocks = (c->channels + LANES - 1) / LANES;
    long numbers = c->pixels * c->channels;
    j->shares = numbers / WORTH_A_SHARE < MOST_SHARES ? numbers / WORTH_A_SHARE : MOST_SHARES;
    if (j->shares > c->pixels / TOGETHER) j->shares = c->pixels / TOGETHER;
    if (j->shares < 1) j->shares = 1;
    j->threads = numbers >= WORTH_THREADS ? c->threads : 1;
    long each = j->blocks * LANES, all = (5 + 2 * j->shares) * each;
    float *memory = aligned_alloc(64, all * sizeof(float));
    if (!memory) return 1;
    memset(memory, 0, all * sizeof(float));
    j->scale = memory, j->shift = memory + each, j->center = memory + 2 * each;
    j->factor = memory + 3 * each, j->offset = memory + 4 * each, j->sums = memory + 5 * each;
    return 0;
}

/* What takes x to what the activation gets: of the batch's statistics in training, else of the running ones. */
static void scale_and_shift(job *j) {
    const norm_call *c = j->call;
    for (long b = 0; b < j->blocks; b++)
        for (long l = 0; l < LANES; l++) {
            long channel = channel_of(j, b) + l, k = b * LANES + l;
            double mean = c->training ? c->mean[channel] : c->running_mean[channel];
            double deviation = c->training ? c->deviation[channel] : 1 / sqrt(c->running_variance[channel] + c->epsilon);
            j->scale[k] = (float)(c->weight[channel] * deviation);
            j->shift[k] = (float)(c->bias[channel] - mean * deviation * c->weight[channel]);
        }
}

/* y = (x - mean) * deviation * weight + bias, activated; of the batch's statistics in training, which are kept and move
   the running ones, else of the running ones. At least 16 channels; in training at least two pixels. Returns 0, or 1 when
   memory ran out. */
int norm_forward(const norm_call *c) {
    job j;
    if (begin(&j, c)) return 1;
    const double pixels = (double)c->pixels;
    if (c->training) {
        /* Deviations are from the mean of some pixels, not from zero, from which squares would all but cancel. */
        for (long k = 0; k < SAMPLES; k++)
            for (long b = 0; b < j.blocks; b++)
                for (long l = 0; l < LANES; l++)
                    j.center[b * LANES + l] +=
                        c->x[k * c->pixels / SAMPLES * c->channels + channel_of(&j, b) + l] / SAMPLES;
        pass(&j, sums_of_images);
        add_up(&j);
    }
    for (long b = 0; b < j.blocks; b++)
        for (long l = 0; l < LANES && c->training; l++) {
            long channel = channel_of(&j, b) + l;
            double off = j.sums[2 * b * LANES + l] / pixels;
            double variance = j.sums[(2 * b + 1) * LANES + l] / pixels - off * off;
            if (variance < 0) variance = 0;
            c->mean[channel] = (float)(j.center[b * LANES + l] + off);
            c->deviation[channel] = (float)(1 / sqrt(variance + c->epsilon));
            if (channel / LANES != b) continue; /* moved with the block before */
            float *mean = c->running_mean + channel, *spread = c->running_variance + channel;
            *mean = (float)((1 - c->momentum) * *mean + c->momentum * c->mean[channel]);
            *spread = (float)((1 - c->momentum) * *spread + c->momentum * variance * pixels / (pixels - 1));
        }
    scale_and_shift(&j);
    pass(&j, apply);
    free(j.scale);
    return 0;
}

/* The gradients of x, weight and bias from that of y, in training. */
int norm_backward(const norm_call *c) {
    job j;
    if (begin(&j, c)) return 1;
    scale_and_shift(&j);
    for (long b = 0; b < j.blocks; b++) memcpy(j.center + b * LANES, c->mean + channel_of(&j, b), sizeof(vector));
    pass(&j, sums_of_gradients);
    add_up(&j);
    for (long b = 0; b < j.blocks; b++)
        for (long l = 0; l < LANES; l++) {
            long channel = channel_of(&j, b) + l, k = b * LANES + l;
            float sum = j.sums[2 * b * LANES + l], product = j.sums[(2 * b + 1) * LANES + l] * c->deviation[channel];
            c->of_bias[channel] = sum, c->of_weight[channel] = product;
            j.factor[k] = -j.scale[k] * c->deviation[channel] * product / (float)c->pixels;
            j.offset[k] = -j.scale[k] * sum / (float)c->pixels;
        }
    pass(&j, gradients);
    free(j.scale);
    return 0;
}
