/* What depthwise.c (the same for all ISA targets) and loops.h (one target) have in common. */

#ifndef DEPTHWISE_H
#define DEPTHWISE_H

#include <stdint.h>
#include "../simd.h"

/* Chosen by measurement. */
enum {
    MAX_KERNEL = 7,
    MAX_TASKS = 32,
    BLOCK_CHANNELS = 16,         /* channels of a block */
    ROW_CHANNELS = 64,           /* channels that one pass over a row is for */
    ROW_PIXELS = 3,              /* pixels side by side that one reading of the weights is for */
    PIXEL_VECTORS = 2,           /* vectors of each of those */
    PREFETCH_PIXELS = 8,         /* before it is written, a pixel's line is prefetched */
    GROUP_BLOCKS = 8,            /* grad_weight: blocks that read a band of rows one after the other */
    MAX_KERNEL_IN_REGISTERS = 5, /* grad_weight: the largest kernel with registers for all sums */
};

/* What depthwise.py packs, in this order: images, what the layer makes of them, its weights, or the gradients of these.
   x is (batch, height, width, channels), y is (batch, out_height, out_width, channels), w is (channels, kernel, kernel);
   padding is kernel / 2 on all sides; at least 16 channels, a kernel of 3, 5 or 7 on a side. */
typedef struct {
    int64_t threads, batch, channels, height, width, out_height, out_width, kernel, stride;
    float *x, *y, *w;
} depthwise_call;

/* Weights that a pixel of the result meets along an axis: how many, the first one, and the pixel that this is on. */
typedef struct {
    int64_t count, weight, from;
} taps;

/* Tasks are groups of blocks of channels by shares of the images, all groups of a share after those of the one before. */
typedef struct depthwise_job {
    const depthwise_call *call;
    int64_t groups, shares, blocks;
    float *sums; /* of weights, for each share and block: kernel * kernel blocks */
    /* Of images: from and to what, by weights of (kernel * kernel, channels), of which each `stride`-th meets the pixels
       that follow each other. */
    const float *from, *weights;
    float *to;
    int64_t from_height, from_width, to_height, to_width, stride;
    const taps *rows, *columns;
    int64_t low, high, tap_stride; /* columns that meet all columns of the weights, and how far apart what they meet is */
    const struct depthwise_code *code;
} depthwise_job;

/* What loops.h makes for an ISA target. */
typedef struct depthwise_code {
    void (*sums_of)(const depthwise_call *, const int64_t *channels, int64_t blocks, int64_t first, int64_t end, float *out);
    void (*images_of)(const depthwise_job *, int64_t share);
} depthwise_code;

/* The last block may share channels with the one before, and finds the same for them. */
INLINE int64_t channel_of(const depthwise_job *j, int64_t block) {
    return block == j->blocks - 1 ? j->call->channels - BLOCK_CHANNELS : block * BLOCK_CHANNELS;
}
INLINE int64_t first_of(const depthwise_job *j, int64_t share) { return share * j->call->batch / j->shares; }

/* A version, raised here and in depthwise.py with any change that the size does not show, then the size in 12 bits. */
int64_t depthwise_interface(void);

/* y from x and w, grad_x (as x) from grad_y (as y) and w, grad_weight (as w) from x and grad_y; 1 when memory ran out. */
int depthwise_forward(const depthwise_call *c);
int depthwise_grad_x(const depthwise_call *c);
int depthwise_grad_weight(const depthwise_call *c);
#endif
