/* What the programs of test_sanitized.py have in common: chance, workers that come one after the other, ISA targets. */

#include <stdint.h>

#include "targets/targets.h"

static unsigned state = 1;

static int64_t below(int64_t n) {
    state = state * 1103515245u + 12345u;
    return (int64_t)(state >> 8) % n;
}

static unsigned worker;

static int number_of_worker(void) { return (int)worker; }

static void workers_in_turn(void (*work)(void *), void *job, unsigned threads, unsigned flags) {
    (void)flags;
    for (worker = 0; worker < threads; worker++) work(job);
}

/* The best ISA target in three rounds of five, each other one in one of them; one that is not supported changes nothing. */
static void use_isa_of(int round) {
    static const char *best;
    if (!best) best = kernels_isa();
    kernels_use_isa(best);
    if (round % 5 == 3) kernels_use_isa("avx2");
    if (round % 5 == 4) kernels_use_isa("generic");
}
