/* What the loops of all kernels are written with: GCC's vector extensions, which clang has too.

   Each file of targets/ defines an ISA target before it includes this:
     REAL, INT  float and int32_t, or double and int64_t
     LANES      elements of a vector: 4, 8 or 16
     STREAM     a non-temporal store of a vector, where there is one */

#ifndef SIMD_H
#define SIMD_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline, unused))
#define HIDDEN __attribute__((visibility("hidden")))
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* loops of a general size stay loops */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { CACHE_LINE = 64 };

#ifdef LANES
typedef REAL vec __attribute__((vector_size(LANES * sizeof(REAL))));
typedef vec vec_anywhere __attribute__((aligned(2), may_alias)); /* in memory, aligned or not */
typedef INT lanes __attribute__((vector_size(LANES * sizeof(REAL))));

#define VECTOR_IS_LINE (LANES * sizeof(REAL) == CACHE_LINE)
#ifdef STREAM
#define HAS_STREAM 1
#define VECTORS_OF_LINE ((int64_t)(CACHE_LINE / (LANES * sizeof(REAL))))
#else
#define HAS_STREAM 0
#define VECTORS_OF_LINE 1
#endif

#if LANES == 16
#define IOTA ((lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
#elif LANES == 8
#define IOTA ((lanes){0, 1, 2, 3, 4, 5, 6, 7})
#else
#define IOTA ((lanes){0, 1, 2, 3})
#endif

INLINE vec load(const REAL *p) { return *(const vec_anywhere *)p; }
INLINE void store(REAL *p, vec v) { *(vec_anywhere *)p = v; }

INLINE void stream(REAL *p, vec v) {
#ifdef STREAM
    STREAM(p, v);
#else
    store(p, v);
#endif
}

/* Non-temporal stores are seen by another thread after this. */
INLINE void stream_fence(void) {
#ifdef STREAM
    _mm_sfence();
#endif
}

/* Lane i is the index[i]-th element of a and b together. */
INLINE vec shuffle2(vec a, vec b, lanes index) {
#if !defined(__clang__)
    return __builtin_shuffle(a, b, index);
#elif LANES == 16
    return (vec)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
#else
    vec result; /* a constant index folds to one shuffle */
    UNROLL for (int i = 0; i < LANES; i++)
        result[i] = index[i] & LANES ? b[index[i] & (LANES - 1)] : a[index[i] & (LANES - 1)];
    return result;
#endif
}

INLINE vec shuffle(vec a, lanes index) { return shuffle2(a, a, index); }

/* A round of a transpose: of vectors i and i + k, bit k of a vector's number and of a lane's number change places. */
INLINE void interleave(const int k, vec a, vec b, vec *low, vec *high) {
    const lanes index = (IOTA & ~(INT)k) + (IOTA & k) * (LANES / k);
    *low = shuffle2(a, b, index), *high = shuffle2(a, b, index + k);
}
#endif
#endif
