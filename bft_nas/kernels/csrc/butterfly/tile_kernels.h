/* The kernels of tile_stage.h that are functions of their own, by name, so that a profile shows which runs; included by
   tile.h. A name ends with the vectors of a row that are worked on at once, of which there are VECTORS at most. */

#if VECTORS > 3
#define UP_TO_VECTORS(V1, V2, V3, V4) V1 V2 V3 V4
#elif VECTORS > 2
#define UP_TO_VECTORS(V1, V2, V3, V4) V1 V2 V3
#elif VECTORS > 1
#define UP_TO_VECTORS(V1, V2, V3, V4) V1 V2
#else
#define UP_TO_VECTORS(V1, V2, V3, V4) V1
#endif

/* Names, radix, and whether weights are transposed (back), there is a start (the last stage, and the first one back),
   and the tile comes from memory or goes there (streamed). */
#define SQUARE_KERNELS(DO)                                                                                             \
    DO(square_3_forward_1, square_3_forward_2, square_3_forward_3, square_3_forward_4, 3, 0, 0, 0)                     \
    DO(square_4_forward_1, square_4_forward_2, square_4_forward_3, square_4_forward_4, 4, 0, 0, 0)                     \
    DO(square_8_forward_1, square_8_forward_2, square_8_forward_3, square_8_forward_4, 8, 0, 0, 0)                     \
    DO(square_3_last_1, square_3_last_2, square_3_last_3, square_3_last_4, 3, 0, 1, 0)                                 \
    DO(square_4_last_1, square_4_last_2, square_4_last_3, square_4_last_4, 4, 0, 1, 0)                                 \
    DO(square_8_last_1, square_8_last_2, square_8_last_3, square_8_last_4, 8, 0, 1, 0)                                 \
    DO(square_3_back_1, square_3_back_2, square_3_back_3, square_3_back_4, 3, 1, 0, 0)                                 \
    DO(square_4_back_1, square_4_back_2, square_4_back_3, square_4_back_4, 4, 1, 0, 0)                                 \
    DO(square_8_back_1, square_8_back_2, square_8_back_3, square_8_back_4, 8, 1, 0, 0)                                 \
    DO(square_3_back_last_1, square_3_back_last_2, square_3_back_last_3, square_3_back_last_4, 3, 1, 1, 0)             \
    DO(square_4_back_last_1, square_4_back_last_2, square_4_back_last_3, square_4_back_last_4, 4, 1, 1, 0)             \
    DO(square_8_back_last_1, square_8_back_last_2, square_8_back_last_3, square_8_back_last_4, 8, 1, 1, 0)             \
    DO(square_3_forward_streamed_1, square_3_forward_streamed_2, square_3_forward_streamed_3,                          \
       square_3_forward_streamed_4, 3, 0, 0, 1)                                                                        \
    DO(square_4_forward_streamed_1, square_4_forward_streamed_2, square_4_forward_streamed_3,                          \
       square_4_forward_streamed_4, 4, 0, 0, 1)                                                                        \
    DO(square_8_forward_streamed_1, square_8_forward_streamed_2, square_8_forward_streamed_3,                          \
       square_8_forward_streamed_4, 8, 0, 0, 1)                                                                        \
    DO(square_3_last_streamed_1, square_3_last_streamed_2, square_3_last_streamed_3,                                   \
       square_3_last_streamed_4, 3, 0, 1, 1)                                                                           \
    DO(square_4_last_streamed_1, square_4_last_streamed_2, square_4_last_streamed_3,                                   \
       square_4_last_streamed_4, 4, 0, 1, 1)                                                                           \
    DO(square_8_last_streamed_1, square_8_last_streamed_2, square_8_last_streamed_3,                                   \
       square_8_last_streamed_4, 8, 0, 1, 1)                                                                           \
    DO(square_3_back_streamed_1, square_3_back_streamed_2, square_3_back_streamed_3,                                   \
       square_3_back_streamed_4, 3, 1, 0, 1)                                                                           \
    DO(square_4_back_streamed_1, square_4_back_streamed_2, square_4_back_streamed_3,                                   \
       square_4_back_streamed_4, 4, 1, 0, 1)                                                                           \
    DO(square_8_back_streamed_1, square_8_back_streamed_2, square_8_back_streamed_3,                                   \
       square_8_back_streamed_4, 8, 1, 0, 1)                                                                           \
    DO(square_3_back_last_streamed_1, square_3_back_last_streamed_2, square_3_back_last_streamed_3,                    \
       square_3_back_last_streamed_4, 3, 1, 1, 1)                                                                      \
    DO(square_4_back_last_streamed_1, square_4_back_last_streamed_2, square_4_back_last_streamed_3,                    \
       square_4_back_last_streamed_4, 4, 1, 1, 1)                                                                      \
    DO(square_8_back_last_streamed_1, square_8_back_last_streamed_2, square_8_back_last_streamed_3,                    \
       square_8_back_last_streamed_4, 8, 1, 1, 1)

#define DEFINE_SQUARE(FUNCTION, N, V, TRANSPOSED, START, STREAMED)                                                     \
    NOINLINE void FUNCTION(const REAL *w, int64_t weight_step, REAL *const *in, REAL *const *out, REAL *const *start,  \
                           int64_t step, int64_t each, int64_t count, span at) {                                       \
        square_groups(N, V, TRANSPOSED, START, STREAMED, w, weight_step, in, out, start, step, each, count, at);       \
    }
#define DEFINE_SQUARES(F1, F2, F3, F4, N, TRANSPOSED, START, STREAMED)                                                 \
    UP_TO_VECTORS(DEFINE_SQUARE(F1, N, 1, TRANSPOSED, START, STREAMED),                                                \
                  DEFINE_SQUARE(F2, N, 2, TRANSPOSED, START, STREAMED),                                                \
                  DEFINE_SQUARE(F3, N, 3, TRANSPOSED, START, STREAMED),                                                \
                  DEFINE_SQUARE(F4, N, 4, TRANSPOSED, START, STREAMED))
SQUARE_KERNELS(DEFINE_SQUARES)

/* Calls are direct, not through a table: the compiler passes only what a kernel reads of a span then (a table took 1.02 to
   1.10 of the time). */
#define CALL_SQUARE(FUNCTION, N, NV, TRANSPOSED, START, STREAMED)                                                      \
    if (V == NV && n == N && transposed == TRANSPOSED && (start != NULL) == START && streamed == STREAMED)             \
        FUNCTION(w, weight_step, in, out, start, step, each, count, at);
#define CALL_SQUARES(F1, F2, F3, F4, N, TRANSPOSED, START, STREAMED)                                                   \
    UP_TO_VECTORS(CALL_SQUARE(F1, N, 1, TRANSPOSED, START, STREAMED), CALL_SQUARE(F2, N, 2, TRANSPOSED, START, STREAMED),\
                  CALL_SQUARE(F3, N, 3, TRANSPOSED, START, STREAMED), CALL_SQUARE(F4, N, 4, TRANSPOSED, START, STREAMED))
INLINE void run_square(const int V, int64_t n, const int transposed, int streamed, const REAL *w, int64_t weight_step,
                       REAL *const *in, REAL *const *out, REAL *const *start, int64_t step, int64_t each, int64_t count,
                       span at) {
    SQUARE_KERNELS(CALL_SQUARES)
}

#define DEFINE_HALF_GROUP(FUNCTION, ROWS, V)                                                                           \
    NOINLINE void FUNCTION(const REAL *w, int64_t weight_step, REAL *const *in, REAL *const *out, int64_t step, span at) {\
        half_groups(ROWS, V, w, weight_step, in, out, step, at);                                                       \
    }
UP_TO_VECTORS(DEFINE_HALF_GROUP(half_group_2_1, 2, 1), DEFINE_HALF_GROUP(half_group_2_2, 2, 2),
              DEFINE_HALF_GROUP(half_group_2_3, 2, 3), DEFINE_HALF_GROUP(half_group_2_4, 2, 4))
UP_TO_VECTORS(DEFINE_HALF_GROUP(half_group_4_1, 4, 1), DEFINE_HALF_GROUP(half_group_4_2, 4, 2),
              DEFINE_HALF_GROUP(half_group_4_3, 4, 3), DEFINE_HALF_GROUP(half_group_4_4, 4, 4))

#define CALL_HALF_GROUP(FUNCTION, ROWS, NV)                                                                            \
    if (V == NV && rows == ROWS) FUNCTION(w, weight_step, in, out, step, at);
INLINE void run_half_group(const int V, int64_t rows, const REAL *w, int64_t weight_step, REAL *const *in,
                           REAL *const *out, int64_t step, span at) {
    UP_TO_VECTORS(CALL_HALF_GROUP(half_group_2_1, 2, 1), CALL_HALF_GROUP(half_group_2_2, 2, 2),
                  CALL_HALF_GROUP(half_group_2_3, 2, 3), CALL_HALF_GROUP(half_group_2_4, 2, 4))
    UP_TO_VECTORS(CALL_HALF_GROUP(half_group_4_1, 4, 1), CALL_HALF_GROUP(half_group_4_2, 4, 2),
                  CALL_HALF_GROUP(half_group_4_3, 4, 3), CALL_HALF_GROUP(half_group_4_4, 4, 4))
}
