/* The loops of depthwise.c for one ISA target; each file of targets/ includes this. Vectors are no longer than the
   processor's: GCC keeps sums that are in memory from one round of a loop to the next. */

#include "../simd.h"
#include "../tuning.h"
#include "depthwise.h"

/* Pixels along an axis of y that meet all k weights: from where to where. */
INLINE void interior(const depthwise_call *c, int64_t count, int64_t out_count, const int64_t k, int64_t *low, int64_t *high) {
    const int64_t pad = k / 2, s = c->stride, end = count - k + pad < 0 ? 0 : (count - k + pad) / s + 1;
    *high = end < out_count ? end : out_count;
    *low = (pad + s - 1) / s < *high ? (pad + s - 1) / s : *high;
}

/* Add what the rows of y from `top` to `bottom` of some images give `rows` rows of weights from the i-th on, which they
   all meet. What the next row needs is prefetched where images come from memory: a line of each pixel, which the processor
   does not see in time. */
INLINE void add_rows(const depthwise_call *c, int64_t channel, int64_t first, int64_t end, int64_t top, int64_t bottom,
                           const int64_t k, int64_t i, const int64_t rows, float *out) {
    const int64_t pad = k / 2, step = c->channels, s = c->stride, row = c->width * step;
    const int64_t elements = c->batch * step * (c->height * c->width + c->out_height * c->out_width);
    const int from_memory = elements * (int64_t)sizeof(float) > tuned()->depthwise_prefetch_bytes;
    const int prefetch = LANES == BLOCK_CHANNELS && s == 1 && from_memory;
    int64_t left, right;
    vec sums[MAX_KERNEL][MAX_KERNEL][BLOCK_CHANNELS / LANES];
    interior(c, c->width, c->out_width, k, &left, &right);
    out += i * k * BLOCK_CHANNELS;
    UNROLL for (int64_t r = 0; r < rows; r++) UNROLL for (int64_t j = 0; j < k; j++)
        UNROLL for (int64_t v = 0; v < BLOCK_CHANNELS / LANES; v++) sums[r][j][v] = load(out + (r * k + j) * BLOCK_CHANNELS + v * LANES);
    for (int64_t n = first; n < end; n++)
        for (int64_t oy = top; oy < bottom; oy++) {
            const float *g = c->y + (n * c->out_height + oy) * c->out_width * step + channel;
            const float *x = c->x + (n * c->height + oy * s + i - pad) * row + channel;
            for (int64_t ox = 0; ox < c->out_width; ox++) {
                for (; ox >= left && ox < right; ox++) {
                    if (prefetch) {
                        __builtin_prefetch(g + (c->out_width + ox) * step);
                        __builtin_prefetch(x + rows * row + ox * step);
                    }
                    UNROLL for (int64_t r = 0; r < rows; r++) UNROLL for (int64_t j = 0; j < k; j++)
                        UNROLL for (int64_t v = 0; v < BLOCK_CHANNELS / LANES; v++)
                            sums[r][j][v] += load(g + ox * step + v * LANES) *
                                             load(x + r * row + (ox * s + j - pad) * step + v * LANES);
                }
                if (ox == c->out_width) break;
                UNROLL for (int64_t j = 0; j < k; j++) {
                    int64_t ix = ox * s + j - pad;
                    if (ix >= 0 && ix < c->width) UNROLL for (int64_t r = 0; r < rows; r++)
                        UNROLL for (int64_t v = 0; v < BLOCK_CHANNELS / LANES; v++)
                            sums[r][j][v] += load(g + ox * step + v * LANES) * load(x + r * row + ix * step + v * LANES);
                }
            }
        }
    UNROLL for (int64_t r = 0; r < rows; r++) UNROLL for (int64_t j = 0; j < k; j++)
        UNROLL for (int64_t v = 0; v < BLOCK_CHANNELS / LANES; v++) store(out + (r * k + j) * BLOCK_CHANNELS + v * LANES, sums[r][j][v]);
}

/* The same for one row of weights after the other, and those rows of y that meet it. */
INLINE void add_row_by_row(const depthwise_call *c, int64_t channel, int64_t first, int64_t end, int64_t top, int64_t bottom,
                             const int64_t k, float *out) {
    const int64_t pad = k / 2, s = c->stride;
    for (int64_t i = 0; i < k; i++) {
        const int64_t from = i < pad ? (pad - i + s - 1) / s : 0, to = (c->height - 1 - i + pad + s) / s;
        add_rows(c, channel, first, end, from > top ? from : top, to < bottom ? to : bottom, k, i, 1, out);
    }
}

/* Add what the rows of y from `top` to `bottom` of some images give the weights of a block of channels: all that a row
   meets at once where there are registers for their sums. */
INLINE void band_sums(const depthwise_call *c, int64_t channel, int64_t first, int64_t end, int64_t top, int64_t bottom,
                            const int64_t k, float *out) {
    int64_t from, to;
    interior(c, c->height, c->out_height, k, &from, &to);
    if (from < top) from = top;
    if (to > bottom) to = bottom;
    if (LANES < BLOCK_CHANNELS || k > MAX_KERNEL_IN_REGISTERS || from >= to) {
        add_row_by_row(c, channel, first, end, top, bottom, k, out);
        return;
    }
    add_rows(c, channel, first, end, from, to, k, 0, k, out);
    if (k == 3) { /* a row above has no first row of weights, one below has no last one */
        if (top < from) add_rows(c, channel, first, end, top, from, k, 1, k - 1, out);
        if (to < bottom) add_rows(c, channel, first, end, to, bottom, k, 0, k - 1, out);
    } else {
        add_row_by_row(c, channel, first, end, top, from, k, out);
        add_row_by_row(c, channel, first, end, to, bottom, k, out);
    }
}

/* The gradient of the weights of some blocks of channels from some images: kernel * kernel blocks for each. A band of
   rows, or of small images, stays in the L2 until all blocks have read their channels of it. */
static void sums_of(const depthwise_call *c, const int64_t *channels, int64_t blocks, int64_t first, int64_t end,
                          float *out) {
    const int64_t k = c->kernel, pixels = c->height * c->width + c->out_height * c->out_width;
    const int64_t band_bytes = tuned()->depthwise_band_bytes;
    const int64_t bytes = pixels * blocks * BLOCK_CHANNELS * (int64_t)sizeof(float), images = bytes < band_bytes ? band_bytes / bytes : 1;
    const int64_t wanted = (bytes + band_bytes - 1) / band_bytes, bands = wanted < c->out_height ? wanted : c->out_height;
    memset(out, 0, blocks * k * k * BLOCK_CHANNELS * sizeof(float));
    for (int64_t n = first, next; n < end; n = next) {
        next = n + images < end ? n + images : end;
        for (int64_t band = 0; band < bands; band++)
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t top = band * c->out_height / bands, bottom = (band + 1) * c->out_height / bands;
                float *of_block = out + block * k * k * BLOCK_CHANNELS;
                if (k == 3) band_sums(c, channels[block], n, next, top, bottom, 3, of_block);
                else if (k == 5) band_sums(c, channels[block], n, next, top, bottom, 5, of_block);
                else band_sums(c, channels[block], n, next, top, bottom, 7, of_block);
            }
    }
}

/* `v` vectors of one pixel of the result, which meets `rows` by `columns` weights, each `stride`-th. */
INLINE void output_pixel(const float *from, int64_t row, const float *w, int64_t step, float *to, int64_t rows, int64_t columns,
                        const int64_t k, const int64_t stride, const int64_t v) {
    vec sums[ROW_CHANNELS / LANES] = {0};
    for (int64_t a = 0; a < rows; a++, from += row, w += stride * k * step)
        for (int64_t b = 0; b < columns; b++) UNROLL for (int64_t i = 0; i < v; i++)
            sums[i] += load(w + b * stride * step + i * LANES) * load(from + b * step + i * LANES);
    UNROLL for (int64_t i = 0; i < v; i++) store(to + i * LANES, sums[i]);
}

/* `v` vectors of each of `count` pixels side by side, which meet all columns of the weights: what they share is read once.
   What the row below needs is prefetched. */
INLINE void output_pixels(const float *from, int64_t row, const float *w, int64_t step, float *to, int64_t rows, const int64_t k,
                         const int64_t tap_stride, const int64_t count, const int64_t v) {
    vec sums[ROW_PIXELS][PIXEL_VECTORS] = {0};
    for (int64_t a = 0; a < rows; a++, from += row, w += k * step)
        UNROLL for (int64_t b = 0; b < k; b++) UNROLL for (int64_t p = 0; p < count; p++) UNROLL for (int64_t i = 0; i < v; i++)
            sums[p][i] += load(w + b * step + i * LANES) * load(from + (p * tap_stride + b) * step + i * LANES);
    UNROLL for (int64_t p = 0; p < count; p++) {
        for (int64_t r = 0; r < tap_stride; r++) UNROLL for (int64_t q = 0; q < tap_stride; q++)
            __builtin_prefetch(from + r * row + (p * tap_stride + q + k / 2) * step);
        __builtin_prefetch(to + (p + PREFETCH_PIXELS) * step, 1);
        UNROLL for (int64_t i = 0; i < v; i++) store(to + p * step + i * LANES, sums[p][i]);
    }
}

/* One row of `v` vectors of a result: the pixels whose columns are all within the image, and those at its sides. */
INLINE void output_row(const depthwise_job *j, const float *from, float *to, const float *w, taps rows, const int64_t k,
                         const int64_t stride, const int64_t tap_stride, const int64_t v) {
    const int64_t step = j->call->channels, row = j->from_width * step, low = j->low, high = j->high;
    from += rows.from * row, w += rows.weight * k * step;
    for (int64_t i = 0; i < v; i += v < PIXEL_VECTORS ? v : PIXEL_VECTORS) {
        const int64_t c = i * LANES, u = v < PIXEL_VECTORS ? v : PIXEL_VECTORS;
        const float *first = from + c - k / 2 * step;
        int64_t x = low;
        for (; x + ROW_PIXELS <= high; x += ROW_PIXELS)
            output_pixels(first + x * tap_stride * step, row, w + c, step, to + x * step + c, rows.count, k, tap_stride, ROW_PIXELS, u);
        for (; x < high; x++)
            output_pixels(first + x * tap_stride * step, row, w + c, step, to + x * step + c, rows.count, k, tap_stride, 1, u);
    }
    for (int64_t x = 0; x < j->to_width; x++) {
        if (x == low) x = high;
        if (x == j->to_width) break;
        taps t = j->columns[x];
        output_pixel(from + t.from * step, row, w + t.weight * step, step, to + x * step, rows.count, t.count, k, stride, v);
    }
}

/* Rows in order, and in each as many channels at once as there are sums for: images pass through memory once. */
INLINE void images_of_kernel(const depthwise_job *j, int64_t share, const int64_t k, const int64_t stride, const int64_t tap_stride) {
    const int64_t step = j->call->channels;
    for (int64_t n = first_of(j, share); n < first_of(j, share + 1); n++)
        for (int64_t y = 0; y < j->to_height; y++) {
            const float *from = j->from + n * j->from_height * j->from_width * step, *w = j->weights;
            float *to = j->to + (n * j->to_height + y) * j->to_width * step;
            int64_t c = 0;
            for (; c + ROW_CHANNELS <= step; c += ROW_CHANNELS)
                output_row(j, from + c, to + c, w + c, j->rows[y], k, stride, tap_stride, ROW_CHANNELS / LANES);
            for (; c < step; c += BLOCK_CHANNELS) {
                if (c > step - BLOCK_CHANNELS) c = step - BLOCK_CHANNELS;
                output_row(j, from + c, to + c, w + c, j->rows[y], k, stride, tap_stride, BLOCK_CHANNELS / LANES);
            }
        }
}

/* Images of a share, from one side of the layer to the other. */
static void images_of(const depthwise_job *j, int64_t share) {
    const int64_t k = j->call->kernel, stride = j->stride, tap_stride = j->tap_stride;
    if (k == 3 && stride * tap_stride == 1) images_of_kernel(j, share, 3, 1, 1);
    else if (k == 3 && stride == 1 && tap_stride == 2) images_of_kernel(j, share, 3, 1, 2);
    else if (k == 3) images_of_kernel(j, share, 3, stride, tap_stride);
    else if (k == 5 && stride * tap_stride == 1) images_of_kernel(j, share, 5, 1, 1);
    else if (k == 5 && stride == 1 && tap_stride == 2) images_of_kernel(j, share, 5, 1, 2);
    else if (k == 5) images_of_kernel(j, share, 5, stride, tap_stride);
    else images_of_kernel(j, share, 7, stride, tap_stride);
}

const depthwise_code DEPTHWISE = {sums_of, images_of};
