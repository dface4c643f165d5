#include "tuning.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "targets/targets.h"

static const struct tuning common = {
    .processors = "any",
    .macs_per_thread = 75000,
    .tile_pixels = 64,
    .stream_tile_pixels = 112,
    .l2_tile_bytes = 256 << 10,
    .wide_tile_bytes_forward = 16 << 10,
    .wide_tile_bytes_backward = 64 << 10,
    .l1_bytes_forward = 32 << 10,
    .l1_bytes_backward = 32 << 10,
    .short_row_bytes = 2 << 10,
    .prefetch_bytes = 4 << 20,
    .prefetch_to_l1 = 0,
    .prefetch_group = 1,
    .prefetch_piece = 64,
    .prefetch_channels = 256,
    .stream_bytes_forward = 12 << 20,
    .stream_bytes_backward = 12 << 20,
    .stream_half_line_channels = 256,
    .stream_unaligned = 1,
    .stream_unaligned_channels = 512,
    .depthwise_thread_elements = 1 << 16,
    .depthwise_band_bytes = 128 << 10,
    .depthwise_prefetch_bytes = 6 << 20,
    .depthwise_pixels_per_weight = 8,
    .norm_share_elements = 1 << 13,
    .norm_thread_elements = 1 << 15,
};

static struct tuning active;

/* AMD with an L1 of 48 KB (Zen 5): it has room for more rows forward and for the prefetched tile. */
static void tune_large_l1(struct tuning *row) {
    row->processors = "large L1";
    row->l1_bytes_forward = 44 << 10;
    row->prefetch_to_l1 = 1;
    row->prefetch_group = 0;
}

/* An L2 of 2 MB and AVX-512 (Xeon from Sapphire Rapids on): one L3 for all cores, slower to write than memory. */
static void tune_large_l2(struct tuning *row) {
    row->processors = "large L2";
    row->stream_bytes_forward = 2 << 20;
    row->prefetch_group = 0;
    row->stream_unaligned = 0;
}

static void choose_row(void) {
    active = common;
#if defined(__x86_64__) && defined(_SC_LEVEL2_CACHE_SIZE)
    if (__builtin_cpu_is("amd") && sysconf(_SC_LEVEL1_DCACHE_SIZE) >= 48 << 10) tune_large_l1(&active);
    if (sysconf(_SC_LEVEL2_CACHE_SIZE) >= 2 << 20 && isa()->cache_line_vectors) tune_large_l2(&active);
#endif
}

/* Found out once: asking takes longer than a small image. */
const struct tuning *tuned(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose_row);
    return &active;
}

#define FIELD(name) {#name, offsetof(struct tuning, name), 0}
#define SWITCH(name) {#name, offsetof(struct tuning, name), 1}
static const struct {
    const char *name;
    size_t offset;
    int is_switch;
} fields[] = {
    FIELD(macs_per_thread),
    FIELD(tile_pixels),
    FIELD(stream_tile_pixels),
    FIELD(l2_tile_bytes),
    FIELD(wide_tile_bytes_forward),
    FIELD(wide_tile_bytes_backward),
    FIELD(l1_bytes_forward),
    FIELD(l1_bytes_backward),
    FIELD(short_row_bytes),
    FIELD(prefetch_bytes),
    SWITCH(prefetch_to_l1),
    SWITCH(prefetch_group),
    FIELD(prefetch_piece),
    FIELD(prefetch_channels),
    FIELD(stream_bytes_forward),
    FIELD(stream_bytes_backward),
    FIELD(stream_half_line_channels),
    SWITCH(stream_unaligned),
    FIELD(stream_unaligned_channels),
    FIELD(depthwise_thread_elements),
    FIELD(depthwise_band_bytes),
    FIELD(depthwise_prefetch_bytes),
    FIELD(depthwise_pixels_per_weight),
    FIELD(norm_share_elements),
    FIELD(norm_thread_elements),
};

static int64_t *field(int64_t i) {
    tuned();
    return (int64_t *)((char *)&active + fields[i].offset);
}

const char *kernels_tuning(int64_t i, int64_t *value) {
    if (i < 0 || i >= (int64_t)(sizeof fields / sizeof *fields)) return NULL;
    *value = *field(i);
    return fields[i].name;
}

int kernels_tune(const char *name, int64_t value) {
    for (int64_t i = 0; i < (int64_t)(sizeof fields / sizeof *fields); i++)
        if (!strcmp(fields[i].name, name)) {
            if (fields[i].is_switch ? value < 0 || value > 1 : value < 1) return 1;
            *field(i) = value;
            return 0;
        }
    return 1;
}
