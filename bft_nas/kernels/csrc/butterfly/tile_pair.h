/* The last two stages of a transform at once, where they are small: what is between them stays in registers. Included by
   tile.h. */

/* Vectors of a row at once, by how many registers there are. */
#define TOGETHER(ROWS) (RADIX_8 && (ROWS) <= 9 ? 2 : 1)

/* out[r, b] = start[r, b] + sum over d of second[r, b, d] * (sum over c of first[d, r, c] * in[c, d]), for V vectors of
   C * D rows; the blocks of `first` are `away` apart. */
INLINE void NAME(pair_of)(const int C, const int D, const int V, REAL *const *in, REAL *const *out, REAL *const *start,
                          const REAL *first, long away, const REAL *second, span at, int way) {
    vec a[16][2];
    UNROLL for (int k = 0; k < C * D; k++) UNROLL for (int v = 0; v < V; v++)
        a[k][v] = load(in[k] + (v == V - 1 ? at.in : at.first + v * LANES));
    UNROLL for (int r = 0; r < C; r++) {
        vec between[4][2];
        UNROLL for (int d = 0; d < D; d++) {
            const REAL *w = first + d * away + r * C;
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
            if (IS_LINE && way == IN_LINES) {
                NAME(put_in_lines)(out + r * D + b, sum, V, at);
                continue;
            }
            UNROLL for (int v = 0; v < V; v++) {
                REAL *place = to + (v == V - 1 ? at.out : at.first + v * LANES);
                if (way == AROUND)
                    NAME(stream)(place, sum[v]);
                else
                    store(place, sum[v]);
            }
        }
    }
}

/* Groups of e, `count` of them. */
#define PAIRS(C, D, KIND, FAR)                                                                                     \
    static __attribute__((noinline)) void NAME(pairs_##KIND##C##_##D)(                                             \
        const REAL *first, const REAL *second, long away, REAL *const *in, REAL *const *out, REAL *const *start,   \
        long count, span at, long together) {                                                                      \
        int way = FAR ? at.way : IN_CACHES;                                                                        \
        for (; count; count--) {                                                                                   \
            if (FAR && at.far) NAME(fetch)(at.far);                                                                \
            if (TOGETHER(C * D) == 1 || together == 1)                                                             \
                NAME(pair_of)(C, D, 1, in, out, start, first, away, second, at, way);                              \
            else                                                                                                   \
                NAME(pair_of)(C, D, 2, in, out, start, first, away, second, at, way);                              \
            first += C * C, second += C * D * D, in += C * D, out += C * D, start += C * D;                        \
        }                                                                                                          \
    }
#define EITHER(C, D) PAIRS(C, D, , 0) PAIRS(C, D, far_, 1)

/* Those of more than 9 rows only where there are registers for them; kernel.c asks for no others. */
#if RADIX_8
#define EACH_PAIR(DO) DO(3, 2) DO(4, 2) DO(3, 3) DO(4, 3) DO(4, 4)
#else
#define EACH_PAIR(DO) DO(3, 2) DO(4, 2) DO(3, 3)
#endif
EACH_PAIR(EITHER)
#undef PAIRS
#undef EITHER

/* The last stage, which is a pair, for the groups of e from `first` to `end`. */
static void NAME(pair)(scratch *s, const place *p, const REAL *second, long d, const table *in, const table *start,
                       long first, long end, long vectors) {
    long c = p->rows / d, begin = first * p->rows, most = TOGETHER(c * d);
    for (long v = 0; v < vectors; v += most) {
        long now = vectors - v < most ? vectors - v : most;
        span at = NAME(span_of)(s, in, &s->y, start, v, now, vectors);
        if (v % VECTORS) at.far = NULL; /* rows are fetched once for all vectors of a stage that go together */
#define OF(KIND, C, D)                                                                                             \
    NAME(pairs_##KIND##C##_##D)(p->w + first * C * C, second + first * C * D * D, p->before * C * C,               \
                                in->row + begin, s->y.row + begin, start->row + begin, end - first, at, now)
#define CASE(C, D)                                                                                                 \
    if (c == C && d == D) {                                                                                        \
        if (at.far || at.way)                                                                                      \
            OF(far_, C, D);                                                                                        \
        else                                                                                                       \
            OF(, C, D);                                                                                            \
    }
        EACH_PAIR(CASE)
#undef OF
#undef CASE
    }
}
#undef EACH_PAIR
#undef TOGETHER
