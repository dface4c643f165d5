/* ---- vectors: GCC's extensions, which clang has too ----------------------------------------------------------- */

#if !defined(LANES) && defined(__AVX512VL__)
#define LANES 16
#elif !defined(LANES) && defined(__AVX__)
#define LANES 8
#elif !defined(LANES)
#define LANES 4
#endif
#if defined(__AVX512VL__) || defined(__aarch64__)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#if defined(__AVX__) || defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
typedef vec vec_anywhere __attribute__((aligned(4), may_alias)); /* in memory, aligned or not */

INLINE vec load(const float *p) { return *(const vec_anywhere *)p; }
INLINE void store(float *p, vec v) { *(vec_anywhere *)p = v; }
INLINE vec splat(float x) { return x - (vec){0}; }

/* Where either is not a number: b on x86, so that a NaN that is to stay one stands there. */
INLINE vec larger(vec a, vec b) {
#if defined(__AVX512F__) && LANES == 16
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && LANES == 8
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE__) && LANES == 4
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON) && LANES == 4
    return (vec)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    lanes first = a > b;
    return (vec)(((lanes)a & first) | ((lanes)b & ~first));
#endif
}

/* See `larger`. */
INLINE vec smaller(vec a, vec b) {
#if defined(__AVX512F__) && LANES == 16
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && LANES == 8
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE__) && LANES == 4
    return (vec)_mm_min_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON) && LANES == 4
    return (vec)vminq_f32((float32x4_t)a, (float32x4_t)b);
#else
    lanes first = a < b;
    return (vec)(((lanes)a & first) | ((lanes)b & ~first));
#endif
}

/* Elements 0, 2, 4, ... of what begins at p, or 1, 3, 5, ...: a row of an image at every second pixel. */
#if LANES == 16
#define EVERY_SECOND(I) I, 2 + I, 4 + I, 6 + I, 8 + I, 10 + I, 12 + I, 14 + I, 16 + I, 18 + I, 20 + I, 22 + I, 24 + I, 26 + I, 28 + I, 30 + I
#define FIRST_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
#define LAST_LANES 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif LANES == 8
#define EVERY_SECOND(I) I, 2 + I, 4 + I, 6 + I, 8 + I, 10 + I, 12 + I, 14 + I
#define FIRST_LANES 0, 1, 2, 3, 4, 5, 6
#define LAST_LANES 1, 2, 3, 4, 5, 6, 7
#else
#define EVERY_SECOND(I) I, 2 + I, 4 + I, 6 + I
#define FIRST_LANES 0, 1, 2
#define LAST_LANES 1, 2, 3
#endif
#define COUNT_UP 0, LAST_LANES
#if defined(__clang__)
#define SHUFFLE(A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define SHUFFLE(A, B, ...) __builtin_shuffle(A, B, (lanes){__VA_ARGS__})
#endif
INLINE vec load_even(const float *p) { return SHUFFLE(load(p), load(p + LANES), EVERY_SECOND(0)); }
INLINE vec load_odd(const float *p) { return SHUFFLE(load(p), load(p + LANES), EVERY_SECOND(1)); }

/* Each lane to the next one, or to the one before, and x to the one that is free. */
INLINE vec moved_up(vec v, float x) { return SHUFFLE(v, splat(x), LANES, FIRST_LANES); }
INLINE vec moved_down(vec v, float x) { return SHUFFLE(v, splat(x), LAST_LANES, LANES); }

/* Vectors that are worked on at once beside `rows` sums each: as many as leave all sums in registers. */
#define VECTORS_FOR(ROWS) (REGISTERS == 32 ? ((ROWS) <= 6 ? 4 : 3) : (ROWS) <= 3 ? 3 : (ROWS) <= 6 ? 2 : 1)

/* ---- activations ------------------------------------------------------------------------------------------------ */

/* Channels of an image, each a plane of its own, and where each begins. */
typedef struct {
    const float *at;
    const int32_t *plane;
} tensor;

enum { NO_ACTIVATION, RELU, HARD_SWISH, HARD_SIGMOID, SILU };

/* e^x to about 1e-7 of it, by 2^n times a polynomial (the coefficients are those of Cephes' expf). */
INLINE vec exponential(vec x) {
    x = smaller(larger(x, splat(-87.0f)), splat(88.0f));
    const vec shift = splat(12582912.0f); /* 1.5 * 2^23: a float this large has no fraction */
    vec biased = x * 1.44269504f + shift, n = biased - shift;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (vec)(((lanes)biased - (lanes)shift + 127) << 23);
}

INLINE vec activated(int activation, vec v) {
    const vec zero = {0};
    switch (activation) {
    case RELU: return larger(zero, v);
    case HARD_SWISH: return v * smaller(splat(6.0f), larger(zero, v + 3.0f)) * (1.0f / 6.0f);
    case HARD_SIGMOID: return smaller(splat(6.0f), larger(zero, v + 3.0f)) * (1.0f / 6.0f);
    case SILU: return v / (1.0f + exponential(-v));
    default: return v;
    }
}

/* Sums to memory, R rows by V vectors; a program has the activations that it uses. */
INLINE void finish(const int R, const int V, vec sum[][4], int activation, float *const *to) {
#define FINISH(ACTIVATION) \
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++) store(to[r] + v * LANES, activated(ACTIVATION, sum[r][v]));
    switch (activation) {
    case RELU: FINISH(RELU) break;
#ifdef USES_HARD_SWISH
    case HARD_SWISH: FINISH(HARD_SWISH) break;
#endif
#ifdef USES_HARD_SIGMOID
    case HARD_SIGMOID: FINISH(HARD_SIGMOID) break;
#endif
#ifdef USES_SILU
    case SILU: FINISH(SILU) break;
#endif
    default: FINISH(NO_ACTIVATION)
    }
}
