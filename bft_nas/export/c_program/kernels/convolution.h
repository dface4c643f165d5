/* ---- convolutions of any kernel and stride ---------------------------------------------------------------------

   for row of y:
     window = the rows of x that it sees, padded; pixels 0, s, 2s, ... of a row, then 1, s + 1, ...: so that what a tap sees
              of a row is a run
     for group: multiply_rows, where taps[(channel, ky, kx)] is where in the window a tap begins */

/* A row for a window: columns from -padding on, divided by the stride. */
static void split_row(const float *x, int width, int stride, int padding, float *to, int64_t phase_step) {
    if (stride == 1) {
        memcpy(to + padding, x, sizeof(float) * (size_t)width);
        return;
    }
    int i = 0;
    if (stride == 2 && padding % 2 == 1)
        for (; i + 2 * LANES <= width; i += 2 * LANES) {
            store(to + phase_step + (i + padding) / 2, load_even(x + i));
            store(to + (i + 1 + padding) / 2, load_odd(x + i));
        }
    for (; i < width; i++) to[(i + padding) % stride * phase_step + (i + padding) / stride] = x[i];
}

static void convolution(const float *weights, const float *bias, tensor x, float *y, int64_t y_step, tensor skip,
                        int inputs, int outputs, int groups, int height, int width, const int kernel[2],
                        const int stride[2], const int padding[2], int activation, const int32_t *taps, float *window, int64_t phase_step) {
    int rows = (height + 2 * padding[0] - kernel[0]) / stride[0] + 1;
    int columns = (width + 2 * padding[1] - kernel[1]) / stride[1] + 1;
    int64_t row_step = stride[1] * phase_step;
    memset(window, 0, sizeof(float) * (size_t)(inputs * kernel[0] * row_step));
    inputs /= groups, outputs /= groups;
    for (int oy = 0; oy < rows; oy++) {
        float *to = window;
        for (int c = 0; c < inputs * groups; c++)
            for (int ky = 0; ky < kernel[0]; ky++, to += row_step) {
                int iy = oy * stride[0] + ky - padding[0];
                if (iy >= 0 && iy < height)
                    split_row(x.at + x.plane[c] + (int64_t)iy * width, width, stride[1], padding[1], to, phase_step);
                else
                    memset(to, 0, sizeof(float) * (size_t)row_step);
            }
        block b = {weights, bias, window, taps, inputs * kernel[0] * kernel[1], y + (int64_t)oy * columns, y_step, skip, activation};
        if (skip.at) b.skip.at += (int64_t)oy * columns;
        for (int g = 0; g < groups; g++) {
            multiply_rows(b, outputs, columns);
            b.weights += (int64_t)b.inputs * outputs, b.bias += outputs, b.x += inputs * kernel[0] * row_step;
            b.y += outputs * y_step;
            if (skip.at) b.skip.plane += outputs;
        }
    }
}
