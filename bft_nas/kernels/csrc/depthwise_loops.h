/* The loops of depthwise.c for one length of the processor's vectors; it includes this once for each of its machines, with
   LANES, the numbers in a vector, and NAME(x). Vectors are no longer than the processor's: GCC keeps sums that are in
   memory from one round of a loop to the next. */

#define vector NAME(vector)
#define at NAME(at)
#define put NAME(put)

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vector at(const float *p) { return *(const vector *)p; }
INLINE void put(float *p, vector v) { *(vector *)p = v; }

/* Places along an axis of y that meet all k weights: from where to where. */
INLINE void NAME(inner)(const depthwise_call *c, long count, long of_count, const long k, long *low, long *high) {
    const long pad = k / 2, s = c->stride, end = count - k + pad < 0 ? 0 : (count - k + pad) / s + 1;
    *high = end < of_count ? end : of_count;
    *low = (pad + s - 1) / s < *high ? (pad + s - 1) / s : *high;
}

/* Add what the rows of y from `top` to `bottom` of some images give `rows` rows of weights from the i-th on, which they
   all meet. What the next row needs is fetched where images are far: a line of each place, which the processor does not
   see in time. */
INLINE void NAME(add_rows)(const depthwise_call *c, long channel, long first, long end, long top, long bottom,
                           const long k, long i, const long rows, float *out) {
    const long pad = k / 2, step = c->channels, s = c->stride, row = c->width * step;
    const long numbers = c->batch * step * (c->height * c->width + c->of_height * c->of_width);
    const int far = LANES == BLOCK && s == 1 && numbers * (long)sizeof(float) > BYTES_FAR;
    long left, right;
    vector sums[LARGEST_KERNEL][LARGEST_KERNEL][BLOCK / LANES];
    NAME(inner)(c, c->width, c->of_width, k, &left, &right);
    out += i * k * BLOCK;
    UNROLL for (long r = 0; r < rows; r++) UNROLL for (long j = 0; j < k; j++)
        UNROLL for (long v = 0; v < BLOCK / LANES; v++) sums[r][j][v] = at(out + (r * k + j) * BLOCK + v * LANES);
    for (long n = first; n < end; n++)
        for (long oy = top; oy < bottom; oy++) {
            const float *g = c->y + (n * c->of_height + oy) * c->of_width * step + channel;
            const float *x = c->x + (n * c->height + oy * s + i - pad) * row + channel;
            for (long ox = 0; ox < c->of_width; ox++) {
                for (; ox >= left && ox < right; ox++) {
                    if (far) {
                        __builtin_prefetch(g + (c->of_width + ox) * step);
                        __builtin_prefetch(x + rows * row + ox * step);
                    }
                    UNROLL for (long r = 0; r < rows; r++) UNROLL for (long j = 0; j < k; j++)
                        UNROLL for (long v = 0; v < BLOCK / LANES; v++)
                            sums[r][j][v] += at(g + ox * step + v * LANES) *
                                             at(x + r * row + (ox * s + j - pad) * step + v * LANES);
                }
                if (ox == c->of_width) break;
                UNROLL for (long j = 0; j < k; j++) {
                    long ix = ox * s + j - pad;
                    if (ix >= 0 && ix < c->width) UNROLL for (long r = 0; r < rows; r++)
                        UNROLL for (long v = 0; v < BLOCK / LANES; v++)
                            sums[r][j][v] += at(g + ox * step + v * LANES) * at(x + r * row + ix * step + v * LANES);
                }
            }
        }
    UNROLL for (long r = 0; r < rows; r++) UNROLL for (long j = 0; j < k; j++)
        UNROLL for (long v = 0; v < BLOCK / LANES; v++) put(out + (r * k + j) * BLOCK + v * LANES, sums[r][j][v]);
}

/* The same for one row of weights after the other, and those rows of y that meet it. */
INLINE void NAME(add_by_row)(const depthwise_call *c, long channel, long first, long end, long top, long bottom,
                             const long k, float *out) {
    const long pad = k / 2, s = c->stride;
    for (long i = 0; i < k; i++) {
        const long from = i < pad ? (pad - i + s - 1) / s : 0, to = (c->height - 1 - i + pad + s) / s;
        NAME(add_rows)(c, channel, first, end, from > top ? from : top, to < bottom ? to : bottom, k, i, 1, out);
    }
}

/* Add what the rows of y from `top` to `bottom` of some images give the weights of a block of channels: all that a row
   meets at once where there are registers for their sums. */
INLINE void NAME(band_sums)(const depthwise_call *c, long channel, long first, long end, long top, long bottom,
                            const long k, float *out) {
    long from, to;
    NAME(inner)(c, c->height, c->of_height, k, &from, &to);
    if (from < top) from = top;
    if (to > bottom) to = bottom;
    if (LANES < BLOCK || k > MOST_AT_ONCE || from >= to) {
        NAME(add_by_row)(c, channel, first, end, top, bottom, k, out);
        return;
    }
    NAME(add_rows)(c, channel, first, end, from, to, k, 0, k, out);
    if (k == 3) { /* a row above has no first row of weights, one below has no last one */
        if (top < from) NAME(add_rows)(c, channel, first, end, top, from, k, 1, k - 1, out);
        if (to < bottom) NAME(add_rows)(c, channel, first, end, to, bottom, k, 0, k - 1, out);
    } else {
        NAME(add_by_row)(c, channel, first, end, top, from, k, out);
        NAME(add_by_row)(c, channel, first, end, to, bottom, k, out);
    }
}

/* The gradient of the weights of some blocks of channels from some images: kernel * kernel blocks for each. A band of
   rows, or of small images, stays in the second cache until all blocks have read their channels of it. */
static void NAME(sums_of)(const depthwise_call *c, const long *channels, long blocks, long first, long end,
                          float *out) {
    const long k = c->kernel, places = c->height * c->width + c->of_height * c->of_width;
    const long bytes = places * blocks * BLOCK * (long)sizeof(float), images = bytes < BAND ? BAND / bytes : 1;
    const long wanted = (bytes + BAND - 1) / BAND, bands = wanted < c->of_height ? wanted : c->of_height;
    memset(out, 0, blocks * k * k * BLOCK * sizeof(float));
    for (long n = first, next; n < end; n = next) {
        next = n + images < end ? n + images : end;
        for (long band = 0; band < bands; band++)
            for (long block = 0; block < blocks; block++) {
                const long top = band * c->of_height / bands, bottom = (band + 1) * c->of_height / bands;
                float *of_block = out + block * k * k * BLOCK;
                if (k == 3) NAME(band_sums)(c, channels[block], n, next, top, bottom, 3, of_block);
                else if (k == 5) NAME(band_sums)(c, channels[block], n, next, top, bottom, 5, of_block);
                else NAME(band_sums)(c, channels[block], n, next, top, bottom, 7, of_block);
            }
    }
}

/* `v` vectors of one place of the result, which meets `rows` by `columns` weights, each `stride`-th. */
INLINE void NAME(place)(const float *from, long row, const float *w, long step, float *to, long rows, long columns,
                        const long k, const long stride, const long v) {
    vector sums[TOGETHER / LANES] = {0};
    for (long a = 0; a < rows; a++, from += row, w += stride * k * step)
        for (long b = 0; b < columns; b++) UNROLL for (long i = 0; i < v; i++)
            sums[i] += at(w + b * stride * step + i * LANES) * at(from + b * step + i * LANES);
    UNROLL for (long i = 0; i < v; i++) put(to + i * LANES, sums[i]);
}

/* `v` vectors of each of `count` places side by side, which meet all columns of the weights: what they share is read once.
   What the row below needs is fetched. */
INLINE void NAME(places)(const float *from, long row, const float *w, long step, float *to, long rows, const long k,
                         const long apart, const long count, const long v) {
    vector sums[PLACES][VECTORS] = {0};
    for (long a = 0; a < rows; a++, from += row, w += k * step)
        UNROLL for (long b = 0; b < k; b++) UNROLL for (long p = 0; p < count; p++) UNROLL for (long i = 0; i < v; i++)
            sums[p][i] += at(w + b * step + i * LANES) * at(from + (p * apart + b) * step + i * LANES);
    UNROLL for (long p = 0; p < count; p++) {
        for (long r = 0; r < apart; r++) UNROLL for (long q = 0; q < apart; q++)
            __builtin_prefetch(from + r * row + (p * apart + q + k / 2) * step);
        __builtin_prefetch(to + (p + AHEAD) * step, 1);
        UNROLL for (long i = 0; i < v; i++) put(to + p * step + i * LANES, sums[p][i]);
    }
}

/* One row of `v` vectors of a result: the places whose columns are all within the image, and those at its sides. */
INLINE void NAME(row_of)(const job *j, const float *from, float *to, const float *w, taps rows, const long k,
                         const long stride, const long apart, const long v) {
    const long step = j->call->channels, row = j->from_width * step, low = j->low, high = j->high;
    from += rows.from * row, w += rows.weight * k * step;
    for (long i = 0; i < v; i += v < VECTORS ? v : VECTORS) {
        const long c = i * LANES, u = v < VECTORS ? v : VECTORS;
        const float *first = from + c - k / 2 * step;
        long x = low;
        for (; x + PLACES <= high; x += PLACES)
            NAME(places)(first + x * apart * step, row, w + c, step, to + x * step + c, rows.count, k, apart, PLACES, u);
        for (; x < high; x++)
            NAME(places)(first + x * apart * step, row, w + c, step, to + x * step + c, rows.count, k, apart, 1, u);
    }
    for (long x = 0; x < j->to_width; x++) {
        if (x == low) x = high;
        if (x == j->to_width) break;
        taps t = j->columns[x];
        NAME(place)(from + t.from * step, row, w + t.weight * step, step, to + x * step, rows.count, t.count, k, stride, v);
    }
}

/* Rows in order, and in each as many channels at once as there are sums for: images pass through memory once. */
INLINE void NAME(images_with)(const job *j, long share, const long k, const long stride, const long apart) {
    const long step = j->call->channels;
    for (long n = first_of(j, share); n < first_of(j, share + 1); n++)
        for (long y = 0; y < j->to_height; y++) {
            const float *from = j->from + n * j->from_height * j->from_width * step, *w = j->weights;
            float *to = j->to + (n * j->to_height + y) * j->to_width * step;
            long c = 0;
            for (; c + TOGETHER <= step; c += TOGETHER)
                NAME(row_of)(j, from + c, to + c, w + c, j->rows[y], k, stride, apart, TOGETHER / LANES);
            for (; c < step; c += BLOCK) {
                if (c > step - BLOCK) c = step - BLOCK;
                NAME(row_of)(j, from + c, to + c, w + c, j->rows[y], k, stride, apart, BLOCK / LANES);
            }
        }
}

/* Images of a share, from one side of the layer to the other. */
static void NAME(images_of)(const job *j, long share) {
    const long k = j->call->kernel, stride = j->stride, apart = j->apart;
    if (k == 3 && stride * apart == 1) NAME(images_with)(j, share, 3, 1, 1);
    else if (k == 3 && stride == 1 && apart == 2) NAME(images_with)(j, share, 3, 1, 2);
    else if (k == 3) NAME(images_with)(j, share, 3, stride, apart);
    else if (k == 5 && stride * apart == 1) NAME(images_with)(j, share, 5, 1, 1);
    else if (k == 5 && stride == 1 && apart == 2) NAME(images_with)(j, share, 5, 1, 2);
    else if (k == 5) NAME(images_with)(j, share, 5, stride, apart);
    else NAME(images_with)(j, share, 7, stride, apart);
}

#undef vector
#undef at
#undef put
#undef LANES
#undef NAME
