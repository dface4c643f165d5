/* The last two stages of a transform at once, where they are small: what is between them stays in registers. Included by
   tile.h. */

/* Vectors of a row at once, by how many registers there are. */
INLINE int64_t pair_vectors(int64_t rows) { return HAS_32_REGISTERS && rows <= 9 ? 2 : 1; }

/* out[r, b] = start[r, b] + sum over d of second[r, b, d] * (sum over c of first[d, r, c] * in[c, d]), for V vectors of
   C * D rows; the blocks of `first` are `weight_step` apart. */
INLINE void pair_group(const int C, const int D, const int V, REAL *const *in, REAL *const *out, REAL *const *start,
                       const REAL *first, int64_t weight_step, const REAL *second, span at, int store_mode) {
    vec a[16][2];
    UNROLL for (int k = 0; k < C * D; k++) UNROLL for (int v = 0; v < V; v++)
        a[k][v] = load(in[k] + (v == V - 1 ? at.in : at.first + v * LANES));
    UNROLL for (int r = 0; r < C; r++) {
        vec between[4][2];
        UNROLL for (int d = 0; d < D; d++) {
            const REAL *w = first + d * weight_step + r * C;
            UNROLL for (int v = 0; v < V; v++) between[d][v] = w[0] * a[d][v];
            UNROLL for (int c = 1; c < C; c++) UNROLL for (int v = 0; v < V; v++) between[d][v] += w[c] * a[D * c + d][v];
        }
        UNROLL for (int b = 0; b < D; b++) {
            const REAL *w = second + (r * D + b) * D, *from = start[r * D + b];
            REAL *to = out[r * D + b];
            vec sum[2];
            UNROLL for (int v = 0; v < V; v++) {
                sum[v] = load(from + (v == V - 1 ? at.start : at.first + v * LANES));
                UNROLL for (int d = 0; d < D; d++) sum[v] += w[d] * between[d][v];
            }
            if (VECTOR_IS_LINE && store_mode == STORE_STREAM_UNALIGNED) {
                stream_unaligned(out + r * D + b, sum, V, at);
                continue;
            }
            UNROLL for (int v = 0; v < V; v++) {
                REAL *p = to + (v == V - 1 ? at.out : at.first + v * LANES);
                if (store_mode == STORE_STREAM)
                    stream(p, sum[v]);
                else
                    store(p, sum[v]);
            }
        }
    }
}

/* Groups of e, `count` of them, `together` vectors each. STREAMED: for tiles that come from memory or go there. */
INLINE void pair_groups(const int C, const int D, const int STREAMED, const REAL *first, const REAL *second,
                        int64_t weight_step, REAL *const *in, REAL *const *out, REAL *const *start, int64_t count, span at,
                        int64_t together) {
    int store_mode = STREAMED ? at.store_mode : STORE_CACHED;
    for (; count; count--) {
        if (STREAMED && at.queue) prefetch_due_rows(at.queue);
        if (pair_vectors(C * D) == 1 || together == 1)
            pair_group(C, D, 1, in, out, start, first, weight_step, second, at, store_mode);
        else
            pair_group(C, D, 2, in, out, start, first, weight_step, second, at, store_mode);
        first += C * C, second += C * D * D, in += C * D, out += C * D, start += C * D;
    }
}

/* Those of more than 9 rows only where there are registers for them; butterfly.c asks for no others. */
#if HAS_32_REGISTERS
#define PAIR_KERNELS(DO)               \
    DO(pair_3_2, 3, 2, 0)              \
    DO(pair_4_2, 4, 2, 0)              \
    DO(pair_3_3, 3, 3, 0)              \
    DO(pair_4_3, 4, 3, 0)              \
    DO(pair_4_4, 4, 4, 0)              \
    DO(pair_3_2_streamed, 3, 2, 1)     \
    DO(pair_4_2_streamed, 4, 2, 1)     \
    DO(pair_3_3_streamed, 3, 3, 1)     \
    DO(pair_4_3_streamed, 4, 3, 1)     \
    DO(pair_4_4_streamed, 4, 4, 1)
#else
#define PAIR_KERNELS(DO)               \
    DO(pair_3_2, 3, 2, 0)              \
    DO(pair_4_2, 4, 2, 0)              \
    DO(pair_3_3, 3, 3, 0)              \
    DO(pair_3_2_streamed, 3, 2, 1)     \
    DO(pair_4_2_streamed, 4, 2, 1)     \
    DO(pair_3_3_streamed, 3, 3, 1)
#endif

#define DEFINE_PAIR(FUNCTION, C, D, STREAMED)                                                                          \
    NOINLINE void FUNCTION(const REAL *first, const REAL *second, int64_t weight_step, REAL *const *in,                \
                           REAL *const *out, REAL *const *start, int64_t count, span at, int64_t together) {           \
        pair_groups(C, D, STREAMED, first, second, weight_step, in, out, start, count, at, together);                  \
    }
PAIR_KERNELS(DEFINE_PAIR)

/* The last stage, which is a pair, for the groups of e from `first` to `end`. */
static void run_pair(scratch *s, const stage_args *p, const REAL *second, int64_t d, const table *in, const table *start,
                     int64_t first, int64_t end, int64_t vectors) {
    int64_t c = p->rows / d, begin = first * p->rows, most = pair_vectors(c * d);
    for (int64_t v = 0; v < vectors; v += most) {
        int64_t now = vectors - v < most ? vectors - v : most;
        span at = span_of(s, in, &s->y, start, v, now, vectors);
        if (v % VECTORS) at.queue = NULL; /* rows are prefetched once for all vectors of a stage that go together */
        int streamed = at.queue || at.store_mode;
#define CALL_PAIR(FUNCTION, C, D, STREAMED)                                                                            \
        if (c == C && d == D && streamed == STREAMED)                                                                  \
            FUNCTION(p->w + first * C * C, second + first * C * D * D, p->before * C * C, in->row + begin,             \
                     s->y.row + begin, start->row + begin, end - first, at, now);
        PAIR_KERNELS(CALL_PAIR)
    }
}
