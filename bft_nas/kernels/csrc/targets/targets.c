#include "targets.h"

#include <stddef.h>
#include <string.h>

/* The best one first. */
static const isa_target *const targets[] = {
#if defined(__x86_64__)
    &target_avx512,
    &target_avx2,
#endif
    &target_generic,
};

enum { TARGETS = sizeof targets / sizeof *targets };

static int is_supported(const isa_target *target) {
#if defined(__x86_64__)
    if (target == &target_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512cd");
    if (target == &target_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return target == &target_generic;
}

static const isa_target *chosen;

const isa_target *isa(void) {
    if (!chosen) {
        int best = 0;
        while (!is_supported(targets[best])) best++;
        chosen = targets[best]; /* the same for every thread that finds it out */
    }
    return chosen;
}

int kernels_use_isa(const char *name) {
    for (int i = 0; i < TARGETS; i++)
        if (!strcmp(targets[i]->name, name) && is_supported(targets[i])) {
            chosen = targets[i];
            return 0;
        }
    return 1;
}

const char *kernels_isa(void) { return isa()->name; }
