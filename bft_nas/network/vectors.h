/* What the kernels of this folder are written in: vectors of 16 numbers for whatever machine there is, and threads. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_MACHINE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_MACHINE
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { LANES = 16 };

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

INLINE vector at(const float *p) { return *(const vector *)p; }
INLINE void put(float *p, vector v) { *(vector *)p = v; }

typedef void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

static parallel in_parallel; /* GOMP_parallel of the OpenMP that the process has */
