/* What norm.c (the same for all ISA targets) and loops.h (one target) have in common. */

#ifndef NORM_H
#define NORM_H

#include <stdint.h>
#include "../simd.h"

/* Chosen by measurement. */
enum {
    NORM_BLOCK = 16,         /* channels of a block */
    SUM_PIXELS = 8,          /* whose elements of a block are added up in registers */
    PREFETCH_ELEMENTS = 512, /* before it is written, an element's line is prefetched */
    SAMPLES = 16,            /* pixels that give the center of the sums */
    MAX_SHARES = 16,
};

enum { IDENTITY, RELU, HARD_SWISH };

/* What norm.py packs, in this order. x, y, grad_y and grad_x are (pixels, channels), all others (channels). `deviation` is
   the inverse of the standard deviation. */
typedef struct {
    int64_t threads, pixels, channels, activation, training;
    double epsilon, momentum;
    const float *x, *weight, *bias;
    float *y, *mean, *deviation, *running_mean, *running_variance;
    const float *grad_y;
    float *grad_x, *grad_weight, *grad_bias;
} norm_call;

/* One pass over the pixels. Channels are in blocks of 16, of which the last may share channels with the one before, and
   finds the same for them. Of fewer channels several pixels are taken for one of 16. What is known of channels is kept by
   block. */
typedef struct norm_job {
    const norm_call *call;
    void (*share)(const struct norm_job *, int64_t first, int64_t end, float *sums);
    int64_t pixels, channels; /* as they are taken */
    int64_t blocks, shares, threads;
    float *scale, *shift, *center, *factor, *offset; /* by block */
    float *sums;                                     /* of each share: two for each channel of a block */
} norm_job;

/* What loops.h makes for an ISA target: passes over the pixels of a share. */
typedef struct norm_code {
    void (*sums_of_images)(const norm_job *, int64_t first, int64_t end, float *sums);
    void (*apply)(const norm_job *, int64_t first, int64_t end, float *sums);
    void (*sums_of_gradients)(const norm_job *, int64_t first, int64_t end, float *sums);
    void (*gradients)(const norm_job *, int64_t first, int64_t end, float *sums);
} norm_code;

INLINE int64_t block_channel(const norm_job *j, int64_t block) {
    return block == j->blocks - 1 ? j->channels - NORM_BLOCK : block * NORM_BLOCK;
}

/* A version, raised here and in norm.py with any change that the size does not show, then the size in 12 bits. */
int64_t norm_interface(void);

/* y = (x - mean) * deviation * weight + bias, activated; of the batch's statistics in training, which are kept and move
   the running ones, else of the running ones. At least 16 channels, or a divisor of 16 and as many pixels as fill whole
   blocks; in training at least two pixels. Returns 0, or 1 when memory ran out. */
int norm_forward(const norm_call *c);

/* grad_x, grad_weight and grad_bias from grad_y, in training. */
int norm_backward(const norm_call *c);
#endif
