/* ---- layers of single pixels, and what is done element by element ---------------------------------------------- */

/* The mean of each channel. */
static void mean(tensor x, float *y, int channels, int pixels) {
    for (int c = 0; c < channels; c++) {
        const float *p = x.at + x.plane[c];
        vec sums = {0};
        int i = 0;
        for (; i + LANES <= pixels; i += LANES) sums += load(p + i);
        float sum = 0.0f;
        for (; i < pixels; i++) sum += p[i];
        UNROLL for (int j = 0; j < LANES; j++) sum += sums[j];
        y[c] = sum / (float)pixels;
    }
}

/* y = activation(w x + bias); weights lie as (16 outputs, inputs, output of these), filled with zeros, and stream by. */
static void linear(const float *weights, const float *bias, const float *x, float *y, int inputs, int outputs, int activation) {
    enum { VECTORS = 16 / LANES, TOGETHER = 4 };
    for (int o = 0; o < outputs; o += 16) {
        vec sum[TOGETHER][VECTORS];
        UNROLL for (int j = 0; j < TOGETHER; j++) UNROLL for (int v = 0; v < VECTORS; v++)
            sum[j][v] = j ? (vec){0} : load(bias + o + v * LANES);
        int i = 0;
        for (; i + TOGETHER <= inputs; i += TOGETHER, weights += 16 * TOGETHER)
            UNROLL for (int j = 0; j < TOGETHER; j++) UNROLL for (int v = 0; v < VECTORS; v++)
                sum[j][v] += x[i + j] * load(weights + 16 * j + v * LANES);
        for (; i < inputs; i++, weights += 16)
            UNROLL for (int v = 0; v < VECTORS; v++) sum[0][v] += x[i] * load(weights + v * LANES);
        float last[16];
        UNROLL for (int v = 0; v < VECTORS; v++) {
            UNROLL for (int j = 1; j < TOGETHER; j++) sum[0][v] += sum[j][v];
            store(last + v * LANES, activated(activation, sum[0][v]));
        }
        memcpy(y + o, last, sizeof(float) * (size_t)(outputs - o < 16 ? outputs - o : 16));
    }
}

/* y = activation(x + other). */
static void add(tensor x, tensor other, float *y, int64_t y_step, int channels, int pixels, int activation) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES)
            store(y + c * y_step + i, activated(activation, load(x.at + x.plane[c] + i) + load(other.at + other.plane[c] + i)));
}

/* y = activation(x). */
static void activate(tensor x, float *y, int64_t y_step, int channels, int pixels, int activation) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES) store(y + c * y_step + i, activated(activation, load(x.at + x.plane[c] + i)));
}

/* y = x times a number for each channel. */
static void scale(tensor x, const float *by, float *y, int64_t y_step, int channels, int pixels) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES) store(y + c * y_step + i, by[c] * load(x.at + x.plane[c] + i));
}

/* Every `step`-th pixel of every `step`-th row. */
static void subsample(tensor x, float *y, int64_t y_step, int channels, int height, int width, int step) {
    for (int c = 0; c < channels; c++) {
        float *to = y + c * y_step;
        for (int iy = 0; iy < height; iy += step)
            for (int ix = 0; ix < width; ix += step) *to++ = x.at[x.plane[c] + (int64_t)iy * width + ix];
    }
}
