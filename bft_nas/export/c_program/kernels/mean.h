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
