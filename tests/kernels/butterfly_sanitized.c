/* The kernel over random shapes under the address and undefined-behaviour sanitizers; see test_butterfly_sanitized.py. */

#include <stdio.h>

#include "sanitizing.h"
#include "kernel.c"

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
static void *numbers(long count, long type) {
    long size = type == DOUBLE ? 8 : type == HALF ? 2 : 4;
    void *values = malloc(count ? size * count : 1);
    for (long i = 0; i < count; i++) {
        float value = (float)(i % 7) - 3;
        if (type == DOUBLE)
            ((double *)values)[i] = value;
        else if (type == FLOAT)
            ((float *)values)[i] = value;
        else
            memcpy((char *)values + 2 * i, (char *)&value + 2, 2);
    }
    return values;
}

int main(void) {
    bft_use(workers_in_turn, number_of_worker);
    for (int round = 0; round < 1500; round++) {
        long most = round % 30 ? 140 : 340; /* from about 256 on, threads share a small image */
        long n_in = 1 + below(most), n_out = 1 + below(most), radix = 2 + below(16), type = below(3);
        bft_shape shape = {.n_in = n_in, .n_out = n_out};
        shape.stages = factorize(n_in < n_out ? n_in : n_out, radix, shape.factors);
        bft_call *call = malloc(sizeof *call + 2 * shape.stages * sizeof(void *));
        *call = (bft_call){.shape = &shape, .type = type, .threads = 1 + below(3), .channels_last = below(2),
                           .batch = below(4), .pixels = below(90)};
        long pixels = call->batch * call->pixels;
        transform sizes;
        given_level(&sizes, &shape);
        for (long s = 0; s < shape.stages; s++) {
            long count = widest_of(&sizes) * shape.factors[s];
            call->stages[s] = numbers(count, type == DOUBLE ? DOUBLE : FLOAT);
            call->stages[shape.stages + s] = numbers(count, type == DOUBLE ? DOUBLE : FLOAT);
        }
        void *x = numbers(n_in * pixels, type), *gx = numbers(n_in * pixels, type), *y = numbers(n_out * pixels, type);
        call->x = x, call->y = y, call->gy = y, call->gx = NULL;
        int failed = bft_forward(call);
        call->gx = gx;
        failed |= bft_backward(call);
        if (failed) return 1;
        free(x), free(gx), free(y);
        for (long s = 0; s < 2 * shape.stages; s++) free(call->stages[s]);
        free(call);
    }
    puts("clean");
    return 0;
}
