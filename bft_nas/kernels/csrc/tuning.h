/* What was chosen by measurement and may be swept without compiling: see README.md, "Tuning". */

#ifndef TUNING_H
#define TUNING_H

#include <stdint.h>
#include "simd.h"

/* A row of constants for a class of processors. */
struct tuning {
    const char *processors;
    /* butterfly: threads and tiles */
    int64_t macs_per_thread;    /* that are worth a thread */
    int64_t tile_pixels;        /* of a tile at most */
    int64_t stream_tile_pixels; /* of one that is written by non-temporal stores */
    int64_t l2_tile_bytes;      /* of a tile's rows in the L2, which holds several tiles; half of it for packed rows */
    int64_t wide_tile_bytes_forward, wide_tile_bytes_backward; /* below, tiles have twice the pixels */
    int64_t l1_bytes_forward, l1_bytes_backward; /* of rows that go through all remaining stages in the L1 */
    int64_t short_row_bytes;    /* of an image's row that threads do not divide */
    /* butterfly: prefetch */
    int64_t prefetch_bytes;     /* of a batch from which the next tile is prefetched */
    int64_t prefetch_to_l1;     /* 1: into the L1, 0: into the L2 */
    int64_t prefetch_group;     /* 1: the next group of rows from the L2 into the L1, too */
    int64_t prefetch_piece;     /* elements of a channels_last image that are prefetched together */
    int64_t prefetch_channels;  /* at most, of tiles that lie in memory in one piece, with short vectors */
    /* butterfly: non-temporal stores */
    int64_t stream_bytes_forward, stream_bytes_backward; /* of a batch from which results bypass the caches */
    int64_t stream_half_line_channels; /* of channels_last at most, where a vector is half a cache line */
    int64_t stream_unaligned;   /* 1: rows that begin within cache lines bypass the caches, too */
    int64_t stream_unaligned_channels; /* of images that are one tile, from which they do */
    /* depthwise */
    int64_t depthwise_thread_elements;   /* of the images, that are worth threads */
    int64_t depthwise_band_bytes;        /* of x and y that stay in the L2 for all blocks of channels */
    int64_t depthwise_prefetch_bytes;    /* of x and y from which grad_weight prefetches */
    int64_t depthwise_pixels_per_weight; /* that are worth a share of their own for grad_weight */
    /* norm */
    int64_t norm_share_elements;  /* that are worth a share */
    int64_t norm_thread_elements; /* that are worth a second thread */
};

/* The row of this processor, as changed by `kernels_tune`. */
HIDDEN const struct tuning *tuned(void);

/* Set a constant by its name; 1 where there is none of this name, or the value is not positive (of a switch: 0 or 1). */
int kernels_tune(const char *name, int64_t value);

/* The i-th constant's name, or NULL, and its value. */
const char *kernels_tuning(int64_t i, int64_t *value);
#endif
