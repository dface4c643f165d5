/* Every `step`-th pixel of every `step`-th row. */
static void subsample(tensor x, float *y, int64_t y_step, int channels, int height, int width, int step) {
    for (int c = 0; c < channels; c++) {
        float *to = y + c * y_step;
        for (int iy = 0; iy < height; iy += step)
            for (int ix = 0; ix < width; ix += step) *to++ = x.at[x.plane[c] + (int64_t)iy * width + ix];
    }
}
