/* ---- depthwise convolutions and max pooling --------------------------------------------------------------------

   for channel:
     for vector of columns of y, the last one first:
       for 4 rows of y:
         for row of x that these see, if there is one:
           for kx: in = what that tap sees, 0 beside the image; sum[row] += w[ky, kx] * in for each row of y that sees it

   A vector at the end of a row reaches into the next one: what it writes there is overwritten later. */

enum { WINDOW_ROWS = 4 };

/* What tap `offset` (0: the pixel itself) of a row sees of columns of y from `column` on; `inside` tells lanes of the image. */
INLINE vec tap(const int S, const float *row, int column, const int offset, lanes inside, vec beside) {
    const float *p = row + column * S;
    const int odd = offset & 1, shift = (offset - odd) / 2;
    vec v;
    if (S == 1)
        v = load(p + offset);
    else if (shift < -1 || shift > 1)
        v = odd ? load_odd(p + offset - 1) : load_even(p + offset);
    else { /* the same two loads for all taps, moved by a lane */
        v = odd ? load_odd(p) : load_even(p);
        if (shift < 0) v = moved_up(v, p[odd - 2]);
        if (shift > 0) v = moved_down(v, p[2 * LANES + odd]);
    }
    return offset == 0 ? v : (vec)(((lanes)v & inside) | ((lanes)beside & ~inside));
}

INLINE lanes inside_row(const int S, int column, int offset, int width) {
    lanes at = ((lanes){COUNT_UP} + column) * S + offset;
    return (at >= 0) & (at < width);
}

/* R rows of one vector of y. MAX: the largest value a window sees, else the sum of the weighted ones. */
INLINE void window_rows(const int K, const int S, const int R, const int MAX, const float *x, int height, int width,
                        int oy, int column, const lanes *inside, const float *w, float bias, float *y, int columns,
                        int activation) {
    const vec beside = splat(MAX ? -INFINITY : 0.0f);
    vec sum[WINDOW_ROWS];
    UNROLL for (int r = 0; r < R; r++) sum[r] = MAX ? beside : splat(bias);
    UNROLL for (int i = 0; i < (R - 1) * S + K; i++) {
        int iy = oy * S + i - K / 2;
        if (iy < 0 || iy >= height) continue;
        const float *row = x + (int64_t)iy * width;
        UNROLL for (int kx = 0; kx < K; kx++) {
            vec in = tap(S, row, column, kx - K / 2, inside[kx], beside);
            UNROLL for (int r = 0; r < R; r++) {
                int ky = i - r * S;
                if (ky >= 0 && ky < K) sum[r] = MAX ? larger(sum[r], in) : sum[r] + w[ky * K + kx] * in;
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++) store(y + (int64_t)(oy + r) * columns + column, activated(activation, sum[r]));
}

INLINE void window(const int K, const int S, const int MAX, const float *weights, const float *bias, tensor x, float *y,
                   int64_t y_step, int channels, int height, int width, int activation) {
    int rows = (height - 1) / S + 1, columns = (width - 1) / S + 1;
    for (int c = 0; c < channels; c++, y += y_step, weights += MAX ? 0 : K * K) {
        const float *plane = x.at + x.plane[c];
        float b = MAX ? 0.0f : bias[c];
        for (int column = (columns - 1) / LANES * LANES; column >= 0; column -= LANES) {
            lanes inside[7];
            UNROLL for (int kx = 0; kx < K; kx++) inside[kx] = inside_row(S, column, kx - K / 2, width);
            int oy = 0;
#define WINDOW_ROWS_OF(R, ACTIVATION) window_rows(K, S, R, MAX, plane, height, width, oy, column, inside, weights, b, y, columns, ACTIVATION)
            for (; oy + WINDOW_ROWS <= rows; oy += WINDOW_ROWS) WINDOW_ROWS_OF(WINDOW_ROWS, activation);
            switch (rows - oy) {
            case 3: WINDOW_ROWS_OF(3, activation); break;
            case 2: WINDOW_ROWS_OF(2, activation); break;
            case 1: WINDOW_ROWS_OF(1, activation); break;
            }
        }
    }
}

#define DEPTHWISE(NAME, K, S, ACTIVATION)                                                                               \
    static void NAME(const float *weights, const float *bias, tensor x, float *y, int64_t y_step, int channels,         \
                     int height, int width) {                                                                           \
        window(K, S, 0, weights, bias, x, y, y_step, channels, height, width, ACTIVATION);                              \
    }
#define MAX_POOL(NAME, K, S)                                                                                            \
    static void NAME(tensor x, float *y, int64_t y_step, int channels, int height, int width) {                         \
        window(K, S, 1, NULL, NULL, x, y, y_step, channels, height, width, NO_ACTIVATION);                              \
    }
