/* The weights of two stages multiplied into those of one, and the gradients of these taken apart; included by tile.h. */

/* The weights of two stages in one: each of its paths is one of the first and one of the second. A row is one of the
   first's, of all its groups; from the one numbered `begin` on. */
INLINE void merge_block(int64_t rows, int64_t c0, int64_t r1, int64_t c1, int64_t begin, const REAL *first,
                        const REAL *second, REAL *restrict both) {
    for (int64_t a = begin; a < rows; a++) {
        const REAL *w0 = first + a * c0, *w1 = second + a * r1 * c1;
        REAL *to = both + a * r1 * c0 * c1;
        UNROLL for (int64_t b = 0; b < r1; b++) UNROLL for (int64_t c = 0; c < c0; c++)
        UNROLL for (int64_t d = 0; d < c1; d++) *to++ = w1[b * c1 + d] * w0[d * rows * c0 + c];
    }
}

#if LANES == 16
/* The same for a second stage of radix 2, a vector at a time: how many rows are done so. */
INLINE int64_t merge_radix_2(int64_t rows, const int64_t c0, const REAL *w0, const REAL *w1, REAL *to) {
    const int64_t together = LANES / c0; /* whose weights are a vector of the first stage */
    const lanes b = IOTA / (INT)(2 * c0) % 2, c = IOTA / 2 % (INT)c0, d = IOTA % 2;
    int64_t begin = 0;
    for (; begin + together <= rows; begin += together, w0 += LANES) {
        vec low = load(w0), high = load(w0 + rows * c0);
        UNROLL for (int k = 0; k < 4; k++, to += LANES) {
            const int64_t before = k * together / 4, within = before % (LANES / 4);
            const lanes a = IOTA / (INT)(4 * c0);
            vec second = load(w1 + 4 * (before - within));
            store(to, shuffle(second, 4 * (a + (INT)within) + 2 * b + d) *
                          shuffle2(low, high, LANES * d + (a + (INT)before) * (INT)c0 + c));
        }
        w1 += 4 * together;
    }
    return begin;
}
#endif

/* From the gradient of the two in one, those of each, which begin as zero. */
INLINE void unmerge_block(int64_t rows, int64_t c0, int64_t r1, int64_t c1, const REAL *first, const REAL *second,
                          const REAL *from, REAL *grad_first, REAL *grad_second) {
    for (int64_t a = 0; a < rows; a++)
        UNROLL for (int64_t b = 0; b < r1; b++) UNROLL for (int64_t c = 0; c < c0; c++)
        UNROLL for (int64_t d = 0; d < c1; d++) {
            int64_t w1 = (a * r1 + b) * c1 + d, w0 = (d * rows + a) * c0 + c;
            grad_second[w1] += *from * first[w0];
            grad_first[w0] += *from++ * second[w1];
        }
}

/* Of two stages: the rows of the first, of all its groups, and the sizes of their blocks. */
typedef struct {
    int64_t rows, c0, r1, c1;
} stage_pair;

INLINE stage_pair stage_pair_of(const transform *p, int64_t i) {
    const stage_shape *of = &p->stage[i];
    return (stage_pair){(int64_t)of[1].rest * of[0].before * of[0].rows, of[0].columns, of[1].rows, of[1].columns};
}

/* The commonest pairs of stages, whose loops are unrolled. */
INLINE int is_radix_2_after_2(stage_pair p) { return p.r1 == 2 && p.c1 == 2 && p.c0 == 2; }
INLINE int is_radix_2_after_4(stage_pair p) { return p.r1 == 2 && p.c1 == 2 && p.c0 == 4; }

static void merge_stages(const transform *t, int64_t i, const void *first, const void *second, void *both) {
    stage_pair p = stage_pair_of(t, i);
    int64_t begin = 0;
#if LANES == 16
    if (is_radix_2_after_2(p)) begin = merge_radix_2(p.rows, 2, first, second, both);
    if (is_radix_2_after_4(p)) begin = merge_radix_2(p.rows, 4, first, second, both);
#endif
    if (is_radix_2_after_2(p))
        merge_block(p.rows, 2, 2, 2, begin, first, second, both);
    else if (is_radix_2_after_4(p))
        merge_block(p.rows, 4, 2, 2, begin, first, second, both);
    else
        merge_block(p.rows, p.c0, p.r1, p.c1, begin, first, second, both);
}

static void unmerge_gradients(const transform *t, int64_t i, const void *first, const void *second, const void *both,
                              void *grad_first, void *grad_second) {
    stage_pair p = stage_pair_of(t, i);
    if (is_radix_2_after_2(p))
        unmerge_block(p.rows, 2, 2, 2, first, second, both, grad_first, grad_second);
    else if (is_radix_2_after_4(p))
        unmerge_block(p.rows, 4, 2, 2, first, second, both, grad_first, grad_second);
    else
        unmerge_block(p.rows, p.c0, p.r1, p.c1, first, second, both, grad_first, grad_second);
}
