/* y = x times a number for each channel. */
static void scale(tensor x, const float *by, float *y, int64_t y_step, int channels, int pixels) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES) store(y + c * y_step + i, by[c] * load(x.at + x.plane[c] + i));
}
