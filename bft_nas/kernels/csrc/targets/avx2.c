/* x86-64-v3: AVX2 and FMA. */

#if defined(__x86_64__)
#include <immintrin.h>
#include "../system.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif

#define REAL float
#define INT int32_t
#define LANES 8
#define VECTORS 3
#define STREAM(p, v) _mm256_stream_ps(p, (__m256)(v))
#define HAS_BF16 1
#define HAS_32_REGISTERS 0
#define BUTTERFLY butterfly_avx2
#define DEPTHWISE depthwise_avx2
#define NORM norm_avx2
#include "../butterfly/tile.h"
#include "../depthwise/loops.h"
#include "../norm/loops.h"
#include "targets.h"

const isa_target target_avx2 = {"avx2", 0, &butterfly_avx2, &depthwise_avx2, &norm_avx2};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
