/* y = d sigmoid(sharpness d) + slope x, where d = difference x: a smooth switch between two slopes of each channel. */
static void acon(const float *difference, const float *slope, const float *sharpness, tensor x, float *y, int64_t y_step,
                 int channels, int pixels) {
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < pixels; i += LANES) {
            vec in = load(x.at + x.plane[c] + i), d = difference[c] * in;
            vec out = d / (1.0f + exponential(-sharpness[c] * d)) + slope[c] * in;
            if (pixels == 1)
                y[c * y_step] = out[0];
            else
                store(y + c * y_step + i, out);
        }
}
