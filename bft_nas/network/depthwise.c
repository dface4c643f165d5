/* Depthwise convolutions and both of their gradients, images in channels_last.

   oneDNN, which torch has them from, takes up to five times as long for the small images that proxies of mobile networks
   are made of, and up to a hundred times for the gradient of the weights. Here images pass by once, with sums for as many
   channels as there are registers for; and for the gradient of the weights, sixteen channels of some images at a time.

   Images are cut into tasks by their number alone, each result is of one task, and the sums of tasks are added up in
   order: nothing depends on the number of threads or on timing. */

#include "vectors.h"

enum { LARGEST_KERNEL = 7, TASKS_OF_A_CALL = 32, WORTH_THREADS = 1 << 16, NEAREST_CACHE = 1 << 14 };

/* What Python asks for, packed in this order by depthwise.py: images, what the layer makes of them, its weights, or the
   gradients of these. x is (batch, height, width, channels), y is (batch, of_height, of_width, channels), w is (channels,
   kernel, kernel); padding is kernel / 2 on all sides; at least 16 channels, a kernel of 3, 5 or 7 on a side. */
typedef struct {
    long threads, batch, channels, height, width, of_height, of_width, kernel, stride;
    float *x, *y, *w;
} depthwise_call;

/* Weights that a place of the result meets along an axis: how many, the first one, and the place that this is on. */
typedef struct {
    long count, weight, from;
} taps;

/* Tasks are blocks of channels by shares of the images. */
typedef struct job {
    const depthwise_call *call;
    void (*task)(const struct job *, long block, long share);
    long blocks, shares;
    atomic_long next;
    float *sums; /* of weights, for each task: kernel * kernel vectors */
    /* Of images: from and to what, by weights of (kernel * kernel, channels), of which each `stride`-th meets the places
       that follow each other. */
    const float *from, *weights;
    float *to;
    long from_height, from_width, to_height, to_width, stride;
    const taps *rows, *columns;
} job;

/* Say what runs workers side by side: GOMP_parallel of the OpenMP that the process has. */
void depthwise_use(parallel run) { in_parallel = run; }

/* Add what some images give the row of weights i. Two columns at a time where three sums would wait for each other. */
INLINE void row_sums(const depthwise_call *c, long channel, long first, long end, long i, const long k, const long phases,
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
            const float *g = c->y + (n * c->of_height + oy) * c->of_width * step + channel;
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

FOR_EACH_MACHINE static void sums_of(const depthwise_call *c, long channel, long first, long end, float *out) {
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

/* The last block may share channels with the one before, and finds the same for them. */
INLINE long channel_of(const job *j, long block) {
    return block == j->blocks - 1 ? j->call->channels - LANES : block * LANES;
}
INLINE long first_of(const job *j, long share) { return share * j->call->batch / j->shares; }

static void weights_task(const job *j, long block, long share) {
    float *sums = j->sums + (block * j->shares + share) * j->call->kernel * j->call->kernel * LANES;
    sums_of(j->call, channel_of(j, block), first_of(j, share), first_of(j, share + 1), sums);
}

/* One row of `v` vectors of channels of a result. */
INLINE void row_of(const job *j, const float *from, float *to, const float *w, taps rows, const long k, const long stride,
                   const long v) {
    const long step = j->call->channels, row = j->from_width * step;
    from += rows.from * row, w += rows.weight * k * step;
    for (long x = 0; x < j->to_width; x++, to += step) {
        taps t = j->columns[x];
        const float *p = from + t.from * step;
        vector sums[4] = {0};
        if (rows.count == k && t.count == k) {
            UNROLL for (long a = 0; a < k; a++) UNROLL for (long b = 0; b < k; b++) UNROLL for (long i = 0; i < v; i++)
                sums[i] += at(w + (a * k + b) * step + i * LANES) * at(p + a * row + b * step + i * LANES);
        } else {
            const float *first = w + t.weight * step;
            for (long a = 0; a < rows.count; a++, p += row, first += stride * k * step)
                for (long b = 0; b < t.count; b++) UNROLL for (long i = 0; i < v; i++)
                    sums[i] += at(first + b * stride * step + i * LANES) * at(p + b * step + i * LANES);
        }
        UNROLL for (long i = 0; i < v; i++) put(to + i * LANES, sums[i]);
    }
}

/* Rows in order, and in each as many channels at once as there are sums for: images pass through memory once. */
INLINE void images_with(const job *j, long share, const long k, const long stride) {
    const long step = j->call->channels;
    for (long n = first_of(j, share); n < first_of(j, share + 1); n++)
        for (long y = 0; y < j->to_height; y++) {
            const float *from = j->from + n * j->from_height * j->from_width * step;
            float *to = j->to + (n * j->to_height + y) * j->to_width * step;
            long c = 0;
            for (; c + 4 * LANES <= step; c += 4 * LANES)
                row_of(j, from + c, to + c, j->weights + c, j->rows[y], k, stride, 4);
            for (; c + 2 * LANES <= step; c += 2 * LANES)
                row_of(j, from + c, to + c, j->weights + c, j->rows[y], k, stride, 2);
            for (; c < step; c += LANES) {
                if (c > step - LANES) c = step - LANES;
                row_of(j, from + c, to + c, j->weights + c, j->rows[y], k, stride, 1);
            }
        }
}

FOR_EACH_MACHINE static void images_task(const job *j, long block, long share) {
    (void)block; /* all channels are one */
    const long k = j->call->kernel, stride = j->stride;
    if (k == 3 && stride == 1) images_with(j, share, 3, 1);
    else if (k == 3) images_with(j, share, 3, stride);
    else if (k == 5) images_with(j, share, 5, stride);
    else images_with(j, share, 7, stride);
}

static void work(void *argument) {
    job *j = argument;
    for (long next; (next = atomic_fetch_add(&j->next, 1)) < j->blocks * j->shares;)
        j->task(j, next / j->shares, next % j->shares);
}

static job job_of(const depthwise_call *c, long blocks, void (*task)(const job *, long, long)) {
    job j = {.call = c, .task = task, .blocks = blocks, .shares = TASKS_OF_A_CALL / blocks};
    if (j.shares > c->batch) j.shares = c->batch;
    if (j.shares < 1) j.shares = 1;
    return j;
}

static void run(job *j) {
    const depthwise_call *c = j->call;
    if (in_parallel && c->threads > 1 && c->batch * c->height * c->width * c->channels >= WORTH_THREADS)
        in_parallel(work, j, (unsigned)c->threads, 0);
    else
        work(j);
}

/* The gradient of the weights from x and that of y; 1 when memory ran out. */
int depthwise_weight_gradient(const depthwise_call *c) {
    long taps = c->kernel * c->kernel, blocks = (c->channels + LANES - 1) / LANES;
    job j = job_of(c, blocks, weights_task);
    j.sums = aligned_alloc(64, blocks * j.shares * taps * sizeof(vector));
    if (!j.sums) return 1;
    run(&j);
    for (long block = 0; block < blocks; block++) {
        float *sums = j.sums + block * j.shares * taps * LANES;
        for (long share = 1; share < j.shares; share++)
            for (long k = 0; k < taps * LANES; k++) sums[k] += sums[share * taps * LANES + k];
        for (long lane = 0; lane < LANES; lane++)
            for (long tap = 0; tap < taps; tap++)
                c->w[(channel_of(&j, block) + lane) * taps + tap] = sums[tap * LANES + lane];
    }
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
    job j = job_of(c, 1, images_task);
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
    j.rows = rows, j.columns = columns, j.weights = weights;
    run(&j);
    free(rows);
    return 0;
}

/* y from x and the weights; 1 when memory ran out. */
int depthwise_forward(const depthwise_call *c) { return images(c, 0); }

/* The gradient of x from that of y and the weights; 1 when memory ran out. */
int depthwise_image_gradient(const depthwise_call *c) { return images(c, 1); }
