/* The loops of depthwise.c for one length of the processor's vectors; it includes this once for each of its machines, with
   LANES, the numbers in a vector, and NAME(x). Vectors are no longer than the processor's: GCC keeps sums that are in
   memory from one round of a loop to the next. */

#define vector NAME(vector)
#define at NAME(at)
#define put NAME(put)

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vector at(const float *p) { return *(const vector *)p; }
INLINE void put(float *p, vector v) { *(vector *)p = v; }

/* Add what some images give the row of weights i; in `phases` sums by turns where one would wait for itself. */
INLINE void NAME(row_sums)(const depthwise_call *c, long channel, long first, long end, long i, const long k,
                           const long phases, float *out) {
    const long pad = k / 2, step = c->channels, s = c->stride;
    /* Columns whose weights all lie within the image. */
    long low = (pad + s - 1) / s, high = c->width - k + pad < 0 ? 0 : (c->width - k + pad) / s + 1;
    if (high > c->of_width) high = c->of_width;
    if (low > high) low = high;
    vector sums[2][LARGEST_KERNEL][BLOCK / LANES] = {0};
    UNROLL for (long j = 0; j < k; j++) UNROLL for (long v = 0; v < BLOCK / LANES; v++)
        sums[0][j][v] = at(out + j * BLOCK + v * LANES);
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
                            const float *of_y = g + (ox + phase) * step, *from = x + ((ox + phase) * s - pad) * step;
                            if (i == 0) __builtin_prefetch(of_y + c->of_width * step);
                            if (i == k - 1) __builtin_prefetch(from + (c->width + pad) * step);
                            UNROLL for (long j = 0; j < k; j++) UNROLL for (long v = 0; v < BLOCK / LANES; v++)
                                sums[phase][j][v] += at(of_y + v * LANES) * at(from + j * step + v * LANES);
                        }
                    if (ox == c->of_width) break;
                }
                UNROLL for (long j = 0; j < k; j++) {
                    long ix = ox * s + j - pad;
                    if (ix >= 0 && ix < c->width) UNROLL for (long v = 0; v < BLOCK / LANES; v++)
                        sums[0][j][v] += at(g + ox * step + v * LANES) * at(x + ix * step + v * LANES);
                }
            }
        }
    UNROLL for (long j = 0; j < k; j++) UNROLL for (long v = 0; v < BLOCK / LANES; v++)
        put(out + j * BLOCK + v * LANES, phases > 1 ? sums[0][j][v] + sums[1][j][v] : sums[0][j][v]);
}

/* The gradient of the weights of a block of channels from some images: kernel * kernel blocks. */
static void NAME(sums_of)(const depthwise_call *c, long channel, long first, long end, float *out) {
    const long k = c->kernel, bytes = (c->height * c->width + c->of_height * c->of_width) * BLOCK * (long)sizeof(float);
    const long together = bytes < NEAREST_CACHE ? NEAREST_CACHE / bytes : 1;
    memset(out, 0, k * k * BLOCK * sizeof(float));
    for (long n = first, next; n < end; n = next) {
        next = n + together < end ? n + together : end;
        for (long i = 0; i < k; i++) {
            float *row = out + i * k * BLOCK;
            if (k == 3) NAME(row_sums)(c, channel, n, next, i, 3, LANES == BLOCK ? 2 : 1, row);
            else if (k == 5) NAME(row_sums)(c, channel, n, next, i, 5, 1, row);
            else NAME(row_sums)(c, channel, n, next, i, 7, 1, row);
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
