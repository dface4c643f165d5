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
