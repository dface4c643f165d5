/* The gradient of a depthwise convolution's weights, images in channels_last.

   oneDNN's takes as long as the other gradient for 3x3 weights and images of three by three pixels and more, and four to
   a hundred times as long for 5x5 weights or smaller images, which proxies of mobile networks are made of. Here the sums
   of sixteen channels and a row of weights stay in registers while the images pass by.

   Images are cut into tasks by their number alone, and the sums of the tasks are added up in order: the result depends
   neither on the number of threads nor on timing. */

#include "vectors.h"

enum { LARGEST_KERNEL = 7, TASKS_OF_A_CALL = 32, NEAREST_CACHE = 1 << 14 };

/* What Python asks for, packed in this order by depthwise.py. x is (batch, height, width, channels), gy is (batch,
   of_height, of_width, channels), gw is (channels, kernel, kernel); padding is kernel / 2 on all sides. */
typedef struct {
    long threads, batch, channels, height, width, of_height, of_width, kernel, stride;
    const float *x, *gy;
    float *gw;
} gradient_call;

typedef struct {
    const gradient_call *call;
    float *sums; /* of each task: kernel * kernel vectors */
    long blocks, shares;
    atomic_long next;
} job;

/* Say what runs workers side by side: GOMP_parallel of the OpenMP that the process has. */
void depthwise_use(parallel run) { in_parallel = run; }

/* Add what some images give the row of weights i. Two columns at a time where three sums would wait for each other. */
INLINE void row_sums(const gradient_call *c, long channel, long first, long end, long i, const long k, const long phases,
                     float *out) {
    const long pad = k / 2, step = c->channels, s = c->stride;
    /* Columns whose weights all lie within the image. */
    long low = (pad + s - 1) / s, high = c->width - k + pad < 0 ? 0 : (c->width - k + pad) / s + 1;
    if (high > c->of_width) high = c->of_width;
    if (low > high) low = high;
    vector sums[2][LARGEST_KERNEL] = {0};
    UNROLL for (long j = 0; j < k; j++) sums[0][j] = at(out + j * LANES);
    for (long n = first; n < end; n++)
        for (long oy = 0; oy < c->of_height; oy++) {
            long iy = oy * s + i - pad;
            if (iy < 0 || iy >= c->height) continue;
            const float *g = c->gy + (n * c->of_height + oy) * c->of_width * step + channel;
            const float *x = c->x + (n * c->height + iy) * c->width * step + channel;
            for (long ox = 0; ox < c->of_width; ox++) {
                if (ox == low) {
                    for (; ox + phases <= high; ox += phases)
                        UNROLL for (long phase = 0; phase < phases; phase++) {
                            vector of_y = at(g + (ox + phase) * step);
                            const float *from = x + ((ox + phase) * s - pad) * step;
                            UNROLL for (long j = 0; j < k; j++) sums[phase][j] += of_y * at(from + j * step);
                        }
                    if (ox == c->of_width) break;
                }
                vector of_y = at(g + ox * step);
                UNROLL for (long j = 0; j < k; j++) {
                    long ix = ox * s + j - pad;
                    if (ix >= 0 && ix < c->width) sums[0][j] += of_y * at(x + ix * step);
                }
            }
        }
    UNROLL for (long j = 0; j < k; j++)
        *(vector *)(out + j * LANES) = phases > 1 ? sums[0][j] + sums[1][j] : sums[0][j];
}

FOR_EACH_MACHINE static void sums_of(const gradient_call *c, long channel, long first, long end, float *out) {
    const long k = c->kernel, bytes = (c->height * c->width + c->of_height * c->of_width) * (long)sizeof(vector);
    const long together = bytes < NEAREST_CACHE ? NEAREST_CACHE / bytes : 1;
    memset(out, 0, k * k * sizeof(vector));
    for (long n = first, next; n < end; n = next) {
        next = n + together < end ? n + together : end;
        for (long i = 0; i < k; i++) {
            float *row = out + i * k * LANES;
            if (k == 3) row_sums(c, channel, n, next, i, 3, 2, row);
            else if (k == 5) row_sums(c, channel, n, next, i, 5, 1, row);
            else row_sums(c, channel, n, next, i, 7, 1, row);
        }
    }
}

static void work(void *argument) {
    job *j = argument;
    const gradient_call *c = j->call;
    for (long task; (task = atomic_fetch_add(&j->next, 1)) < j->blocks * j->shares;) {
        long block = task / j->shares, share = task % j->shares, channel = block * LANES;
        /* The last block may share channels with the one before, and finds the same for them. */
        if (channel > c->channels - LANES) channel = c->channels - LANES;
        long first = share * c->batch / j->shares, end = (share + 1) * c->batch / j->shares;
        sums_of(c, channel, first, end, j->sums + task * c->kernel * c->kernel * LANES);
    }
}

/* The gradient of the weights of at least 16 channels and a kernel of 3, 5 or 7 on a side; 1 when memory ran out. */
int depthwise_weight_gradient(const gradient_call *c) {
    long taps = c->kernel * c->kernel, blocks = (c->channels + LANES - 1) / LANES;
    job j = {.call = c, .blocks = blocks, .shares = TASKS_OF_A_CALL / blocks};
    if (j.shares > c->batch) j.shares = c->batch;
    if (j.shares < 1) j.shares = 1;
    j.sums = aligned_alloc(64, blocks * j.shares * taps * sizeof(vector));
    if (!j.sums) return 1;
    if (in_parallel && c->threads > 1)
        in_parallel(work, &j, (unsigned)c->threads, 0);
    else
        work(&j);
    for (long block = 0; block < blocks; block++) {
        float *sums = j.sums + block * j.shares * taps * LANES;
        for (long share = 1; share < j.shares; share++)
            for (long k = 0; k < taps * LANES; k++) sums[k] += sums[share * taps * LANES + k];
        long channel = block * LANES > c->channels - LANES ? c->channels - LANES : block * LANES;
        for (long lane = 0; lane < LANES; lane++)
            for (long tap = 0; tap < taps; tap++) c->gw[(channel + lane) * taps + tap] = sums[tap * LANES + lane];
    }
    free(j.sums);
    return 0;
}
