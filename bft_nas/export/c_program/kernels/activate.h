/* y = activation(x). */
static void activate(tensor x, float *y, int64_t y_step, int channels, int pixels, int activation) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES) store(y + c * y_step + i, activated(activation, load(x.at + x.plane[c] + i)));
}
