/* What the kernels of this folder are written with: loops that unfold, and threads. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

static parallel in_parallel; /* GOMP_parallel of the OpenMP that the process has */
