/* The kernel over random shapes under the address and undefined-behaviour sanitizers; see test_kernel.py. */

#include <stdio.h>

#define VERSIONS
#include "kernel.c"

static unsigned state = 1;

static long below(long n) {
    state = state * 1103515245u + 12345u;
    return (long)(state >> 8) % n;
}

static long factorize(long n, long radix, long *factors) {
    long count = 0;
    if (n == 1) factors[count++] = 1;
    while (n > 1) {
        long factor = radix < n ? radix : n;
        while (factor > 1 && n % factor) factor--;
        if (factor == 1)
            for (factor = 2; n % factor; factor++) {}
        factors[count++] = factor;
        n /= factor;
    }
    return count;
}

/* Exactly as large as needed, so that one value too far is seen. */
static float *numbers(long count) {
    float *values = malloc(count ? sizeof(float) * count : 1);
    for (long i = 0; i < count; i++) values[i] = (float)(i % 7) - 3;
    return values;
}

int main(void) {
    for (int round = 0; round < 1000; round++) {
        long n_in = 1 + below(140), n_out = 1 + below(140), radix = 2 + below(16);
        long batch = below(4), pixels = below(90), channels_last = below(2), factors[MAX_STAGES];
        long stages = factorize(n_in < n_out ? n_in : n_out, radix, factors);
        const float *weights[MAX_STAGES] = {0};
        job shape = {0};
        describe(&shape, weights, factors, stages, n_in, n_out);
        for (long s = 0; s < stages; s++)
            weights[s] = numbers(shape.t.groups[s] * shape.t.rows[s] * shape.t.columns[s]);
        float *x = numbers(batch * n_in * pixels), *gx = numbers(batch * n_in * pixels);
        float *y = numbers(batch * n_out * pixels), *gw = numbers(shape.weights);
        int failed = bft_forward(x, y, weights, factors, stages, n_in, n_out, batch, pixels, channels_last, 1, NULL);
        failed |= bft_backward(x, y, gx, gw, weights, factors, stages, n_in, n_out, batch, pixels, channels_last, 1, NULL);
        if (failed) return 1;
        free(x), free(gx), free(y), free(gw);
        for (long s = 0; s < stages; s++) free((float *)weights[s]);
    }
    puts("clean");
    return 0;
}
