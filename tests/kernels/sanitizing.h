/* What the programs of sanitizing.py have in common: chance, and workers that come one after the other. */

#include <stdint.h>

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
