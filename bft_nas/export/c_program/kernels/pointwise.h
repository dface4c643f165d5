/* A 1x1 convolution in groups. */
static void pointwise(const float *weights, const float *bias, tensor x, float *y, int64_t y_step, tensor skip,
                      int inputs, int outputs, int groups, int pixels, int activation) {
    inputs /= groups, outputs /= groups;
    for (int g = 0; g < groups; g++) {
        block b = {weights, bias, x.at, x.plane, inputs, y, y_step, skip, activation};
        multiply_rows(b, outputs, pixels);
        weights += (int64_t)inputs * outputs, bias += outputs, x.plane += inputs, y += outputs * y_step;
        if (skip.at) skip.plane += outputs;
    }
}
