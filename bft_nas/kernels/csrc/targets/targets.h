/* The ISA targets: the same loops compiled for several instruction sets, of which a process takes the best. */

#ifndef TARGETS_H
#define TARGETS_H

#include "../simd.h"

/* What one file of this folder makes. */
typedef struct isa_target {
    const char *name;
    int cache_line_vectors; /* whether a vector of floats is a cache line */
    const struct butterfly_code *butterfly;
    const struct depthwise_code *depthwise;
    const struct norm_code *norm;
} isa_target;

HIDDEN extern const isa_target target_generic, target_avx2, target_avx512;

/* Doubles are for checking gradients: of the generic target only. */
HIDDEN extern const struct butterfly_code butterfly_float64;

/* The target that this process uses. */
HIDDEN const isa_target *isa(void);

/* Use a target by its name, before anything else is called; 1 where this processor has none of this name. */
int kernels_use_isa(const char *name);

/* The name of the target that is used. */
const char *kernels_isa(void);
#endif
