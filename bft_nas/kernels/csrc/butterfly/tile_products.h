/* Gradients of weights over a tile: products of two rows, summed over pixels; included by tile.h. */

/* The sum of each of LANES vectors, in order. */
INLINE vec NAME(sums)(vec a[LANES]) {
    vec low, high;
    UNROLL for (int i = 0; i < LANES / 2; i++) { PAIR(1, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
    UNROLL for (int i = 0; i < LANES / 4; i++) { PAIR(2, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
#if LANES > 4
    UNROLL for (int i = 0; i < LANES / 8; i++) { PAIR(4, a[2 * i], a[2 * i + 1], low, high) a[i] = low + high; }
#endif
#if LANES > 8
    { PAIR(8, a[0], a[1], low, high) a[0] = low + high; }
#endif
    return a[0];
}

/* gw[r * columns + c] += sum over pixels of gout[r] * in[c * step], for 4 rows and LANES / 4 columns. */
#define WIDE (LANES / 4)
INLINE void NAME(products_block)(REAL *const *gout, long last_out, REAL *const *in, long step, long last_in, REAL *gw,
                                 long columns, long vectors, vec once) {
    vec sum[4 * WIDE];
    UNROLL for (int k = 0; k < 4 * WIDE; k++) sum[k] = (vec){0};
    for (long v = 0; v < vectors - 1; v++) {
        vec a[WIDE];
        UNROLL for (int c = 0; c < WIDE; c++) a[c] = load(in[c * step] + v * LANES);
        UNROLL for (int r = 0; r < 4; r++) {
            vec o = load(gout[r * step] + v * LANES);
            UNROLL for (int c = 0; c < WIDE; c++) sum[r * WIDE + c] += o * a[c];
        }
    }
    vec a[WIDE];
    UNROLL for (int c = 0; c < WIDE; c++) a[c] = once * load(in[c * step] + last_in);
    UNROLL for (int r = 0; r < 4; r++) {
        vec o = load(gout[r * step] + last_out);
        UNROLL for (int c = 0; c < WIDE; c++) sum[r * WIDE + c] += o * a[c];
    }
    vec total = NAME(sums)(sum);
    if (columns == WIDE)
        store(gw, load(gw) + total);
    else
        UNROLL for (int k = 0; k < 4 * WIDE; k++) gw[k / WIDE * columns + k % WIDE] += total[k];
}

/* Products that are in no full block: their vectors are gathered and summed LANES at a time. */
typedef struct {
    vec sum[LANES];
    REAL *to[LANES];
    long count;
} NAME(gathered);

INLINE void NAME(flush)(NAME(gathered) *k) {
    vec total = NAME(sums)(k->sum);
    for (long i = 0; i < k->count; i++) *k->to[i] += total[i];
    k->count = 0;
}

static void NAME(products)(const place *p, const table *gout, const table *in, REAL *gw, long first, long end,
                           long vectors, vec once) {
    long rows = p->rows, columns = p->columns, step = p->rest;
    long full_rows = rows / 4 * 4, full_columns = columns / WIDE * WIDE;
    NAME(gathered) others;
    others.count = 0;
    for (long e = first; e < end; e++)
        for (long rest = 0; rest < step; rest++) {
            REAL *const *o = gout->row + e * rows * step + rest, *const *a = in->row + e * columns * step + rest;
            REAL *to = gw + (rest * p->before + e) * rows * columns;
            for (long r = 0; r < full_rows; r += 4)
                for (long c = 0; c < full_columns; c += WIDE)
                    NAME(products_block)(o + r * step, gout->last, a + c * step, step, in->last, to + r * columns + c,
                                         columns, vectors, once);
            for (long r = 0; r < rows; r++)
                for (long c = r < full_rows ? full_columns : 0; c < columns; c++) {
                    vec sum = once * load(o[r * step] + gout->last) * load(a[c * step] + in->last);
                    for (long v = 0; v < vectors - 1; v++)
                        sum += load(o[r * step] + v * LANES) * load(a[c * step] + v * LANES);
                    others.sum[others.count] = sum;
                    others.to[others.count++] = to + r * columns + c;
                    if (others.count == LANES) NAME(flush)(&others);
                }
        }
    if (others.count) {
        for (long k = others.count; k < LANES; k++) others.sum[k] = (vec){0};
        NAME(flush)(&others);
    }
}
