/* x86-64-v4: AVX-512 with F, BW, VL, DQ and CD. */

#if defined(__x86_64__)
#include <immintrin.h>
#include "../system.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4")
#endif

#define REAL float
#define INT int32_t
#define LANES 16
#define VECTORS 4
#define STREAM(p, v) _mm512_stream_ps(p, (__m512)(v))
#define HAS_BF16 1
#define HAS_32_REGISTERS 1
#define BUTTERFLY butterfly_avx512
#define DEPTHWISE depthwise_avx512
#define NORM norm_avx512
#include "../butterfly/tile.h"
#include "../depthwise/loops.h"
#include "../norm/loops.h"
#include "targets.h"

const isa_target target_avx512 = {"avx512", 1, &butterfly_avx512, &depthwise_avx512, &norm_avx512};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
