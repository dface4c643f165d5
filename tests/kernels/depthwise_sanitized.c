/* The kernel over random shapes under the address and undefined-behaviour sanitizers; see test_sanitized.py. */

#include <stdio.h>

#include "sanitizing.h"
#include <stdlib.h>

#include "depthwise/depthwise.h"
#include "threads.h"

/* Exactly as large as needed, so that one value too far is seen. */
static float *elements(int64_t count) {
    float *values = malloc(count ? count * sizeof *values : 1);
    for (int64_t i = 0; i < count; i++) values[i] = (float)(i % 7) - 3;
    return values;
}

int main(void) {
    kernels_use_threads(workers_in_turn, number_of_worker);
    for (int round = 0; round < 1000; round++) {
        use_isa_of(round);
        int64_t most = round % 32 ? 11 : 40; /* some are larger than a band of rows */
        depthwise_call call = {.threads = 1 + below(3), .batch = below(5), .channels = BLOCK_CHANNELS + below(60),
                               .height = 1 + below(most), .width = 1 + below(most), .kernel = 3 + 2 * below(3),
                               .stride = 1 + below(3)};
        call.out_height = (call.height - 1) / call.stride + 1, call.out_width = (call.width - 1) / call.stride + 1;
        float *x = elements(call.batch * call.height * call.width * call.channels);
        float *y = elements(call.batch * call.out_height * call.out_width * call.channels);
        float *w = elements(call.channels * call.kernel * call.kernel);
        call.x = x, call.y = y, call.w = w;
        if (depthwise_forward(&call) || depthwise_grad_x(&call) || depthwise_grad_weight(&call)) return 1;
        free(x), free(y), free(w);
    }
    puts("clean");
    return 0;
}
