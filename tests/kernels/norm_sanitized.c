/* The kernel over random shapes under the address and undefined-behaviour sanitizers; see test_sanitized.py. */

#include <stdio.h>

#include "sanitizing.h"
#include <stdlib.h>

#include "norm/norm.h"
#include "threads.h"

/* Exactly as large as needed, so that one value too far is seen. */
static float *elements(int64_t count) {
    float *values = malloc(count * sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = (float)(i % 7) + 1;
    return values;
}

int main(void) {
    kernels_use_threads(workers_in_turn, number_of_worker);
    for (int round = 0; round < 1000; round++) {
        use_isa_of(round);
        norm_call call = {.threads = 1 + below(4), .pixels = 2 + below(round % 20 ? 70 : 2000),
                          .channels = NORM_BLOCK + below(60), .activation = below(3), .training = below(3) > 0,
                          .epsilon = 1e-5, .momentum = 0.1};
        if (round % 4 == 0) call.channels = 1 << below(4), call.pixels = (1 + below(40)) * NORM_BLOCK / call.channels;
        float *images[4], *others[8];
        for (int k = 0; k < 4; k++) images[k] = elements(call.pixels * call.channels);
        for (int k = 0; k < 8; k++) others[k] = elements(call.channels);
        call.x = images[0], call.y = images[1], call.weight = others[0], call.bias = others[1];
        call.mean = others[2], call.deviation = others[3];
        call.running_mean = others[4], call.running_variance = others[5];
        if (norm_forward(&call)) return 1;
        call.training = 1;
        call.grad_y = images[2], call.grad_x = images[3], call.grad_weight = others[6], call.grad_bias = others[7];
        if (norm_backward(&call)) return 1;
        for (int k = 0; k < 4; k++) free(images[k]);
        for (int k = 0; k < 8; k++) free(others[k]);
    }
    puts("clean");
    return 0;
}
