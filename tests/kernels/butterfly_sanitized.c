/* The kernel over random shapes under the address and undefined-behaviour sanitizers; see test_sanitized.py. */

#include <stdio.h>

#include "sanitizing.h"
#include "butterfly/job.h"
#include "butterfly/levels.h"

static int64_t factorize(int64_t n, int64_t radix, int64_t *factors) {
    int64_t count = 0;
    if (n == 1) factors[count++] = 1;
    while (n > 1) {
        int64_t factor = radix < n ? radix : n;
        while (factor > 1 && n % factor) factor--;
        if (factor == 1)
            for (factor = 2; n % factor; factor++) {}
        factors[count++] = factor;
        n /= factor;
    }
    return count;
}

/* Exactly as large as needed, so that one value too far is seen. */
static void *elements(int64_t count, int64_t type) {
    int64_t size = type == TYPE_FLOAT64 ? 8 : type == TYPE_BFLOAT16 ? 2 : 4;
    void *values = malloc(count ? size * count : 1);
    for (int64_t i = 0; i < count; i++) {
        float value = (float)(i % 7) - 3;
        if (type == TYPE_FLOAT64)
            ((double *)values)[i] = value;
        else if (type == TYPE_FLOAT32)
            ((float *)values)[i] = value;
        else
            memcpy((char *)values + 2 * i, (char *)&value + 2, 2);
    }
    return values;
}

int main(void) {
    kernels_use_threads(workers_in_turn, number_of_worker);
    for (int round = 0; round < 2500; round++) {
        use_isa_of(round);
        int64_t most = round % 30 ? 140 : 340; /* from about 256 on, threads share a small image */
        int64_t n_in = 1 + below(most), n_out = 1 + below(most), radix = 2 + below(16), type = below(3);
        butterfly_shape shape = {.n_in = n_in, .n_out = n_out};
        shape.stages = factorize(n_in < n_out ? n_in : n_out, radix, shape.factors);
        butterfly_call *call = malloc(sizeof *call + 2 * shape.stages * sizeof(void *));
        *call = (butterfly_call){.shape = &shape, .type = type, .threads = 1 + below(3), .channels_last = below(2),
                           .batch = below(4), .pixels = below(90)};
        int64_t pixels = call->batch * call->pixels;
        transform sizes;
        init_level(&sizes, &shape);
        for (int64_t s = 0; s < shape.stages; s++) {
            int64_t count = widest_of(&sizes) * shape.factors[s];
            call->stages[s] = elements(count, type == TYPE_FLOAT64 ? TYPE_FLOAT64 : TYPE_FLOAT32);
            call->stages[shape.stages + s] = elements(count, type == TYPE_FLOAT64 ? TYPE_FLOAT64 : TYPE_FLOAT32);
        }
        void *x = elements(n_in * pixels, type), *grad_x = elements(n_in * pixels, type), *y = elements(n_out * pixels, type);
        call->x = x, call->y = y, call->grad_y = y, call->grad_x = NULL;
        int failed = butterfly_forward(call);
        call->grad_x = grad_x;
        failed |= butterfly_backward(call);
        if (failed) return 1;
        free(x), free(grad_x), free(y);
        for (int64_t s = 0; s < 2 * shape.stages; s++) free(call->stages[s]);
        free(call);
    }
    puts("clean");
    return 0;
}
