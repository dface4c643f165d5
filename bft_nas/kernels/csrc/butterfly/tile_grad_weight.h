/* grad_weight over a tile: products of two rows, summed over pixels; included by tile.h. */

/* The sum of each of LANES vectors, in order. */
INLINE vec reduce_vectors(vec a[LANES]) {
    vec low, high;
    UNROLL for (int i = 0; i < LANES / 2; i++) { interleave(1, a[2 * i], a[2 * i + 1], &low, &high); a[i] = low + high; }
    UNROLL for (int i = 0; i < LANES / 4; i++) { interleave(2, a[2 * i], a[2 * i + 1], &low, &high); a[i] = low + high; }
#if LANES > 4
    UNROLL for (int i = 0; i < LANES / 8; i++) { interleave(4, a[2 * i], a[2 * i + 1], &low, &high); a[i] = low + high; }
#endif
#if LANES > 8
    interleave(8, a[0], a[1], &low, &high), a[0] = low + high;
#endif
    return a[0];
}

/* grad_weight[r * columns + c] += sum over pixels of grad_out[r] * in[c * step], for 4 rows and LANES / 4 columns. */
#define GRAD_COLUMNS (LANES / 4)
INLINE void grad_weight_block(REAL *const *grad_out, int64_t last_out, REAL *const *in, int64_t step, int64_t last_in,
                              REAL *grad_weight, int64_t columns, int64_t vectors, vec tail_mask) {
    vec sum[4 * GRAD_COLUMNS];
    UNROLL for (int k = 0; k < 4 * GRAD_COLUMNS; k++) sum[k] = (vec){0};
    for (int64_t v = 0; v < vectors - 1; v++) {
        vec a[GRAD_COLUMNS];
        UNROLL for (int c = 0; c < GRAD_COLUMNS; c++) a[c] = load(in[c * step] + v * LANES);
        UNROLL for (int r = 0; r < 4; r++) {
            vec o = load(grad_out[r * step] + v * LANES);
            UNROLL for (int c = 0; c < GRAD_COLUMNS; c++) sum[r * GRAD_COLUMNS + c] += o * a[c];
        }
    }
    vec a[GRAD_COLUMNS];
    UNROLL for (int c = 0; c < GRAD_COLUMNS; c++) a[c] = tail_mask * load(in[c * step] + last_in);
    UNROLL for (int r = 0; r < 4; r++) {
        vec o = load(grad_out[r * step] + last_out);
        UNROLL for (int c = 0; c < GRAD_COLUMNS; c++) sum[r * GRAD_COLUMNS + c] += o * a[c];
    }
    vec total = reduce_vectors(sum);
    if (columns == GRAD_COLUMNS)
        store(grad_weight, load(grad_weight) + total);
    else
        UNROLL for (int k = 0; k < 4 * GRAD_COLUMNS; k++)
            grad_weight[k / GRAD_COLUMNS * columns + k % GRAD_COLUMNS] += total[k];
}

/* Elements of grad_weight that are in no full block: their vectors are gathered and summed LANES at a time. */
typedef struct {
    vec sum[LANES];
    REAL *to[LANES];
    int64_t count;
} gathered;

INLINE void flush(gathered *k) {
    vec total = reduce_vectors(k->sum);
    for (int64_t i = 0; i < k->count; i++) *k->to[i] += total[i];
    k->count = 0;
}

static void add_grad_weight(const stage_args *p, const table *grad_out, const table *in, REAL *grad_weight,
                            int64_t first, int64_t end, int64_t vectors, vec tail_mask) {
    int64_t rows = p->rows, columns = p->columns, step = p->rest;
    int64_t full_rows = rows / 4 * 4, full_columns = columns / GRAD_COLUMNS * GRAD_COLUMNS;
    gathered others;
    others.count = 0;
    for (int64_t e = first; e < end; e++)
        for (int64_t rest = 0; rest < step; rest++) {
            REAL *const *o = grad_out->row + e * rows * step + rest, *const *a = in->row + e * columns * step + rest;
            REAL *to = grad_weight + (rest * p->before + e) * rows * columns;
            for (int64_t r = 0; r < full_rows; r += 4)
                for (int64_t c = 0; c < full_columns; c += GRAD_COLUMNS)
                    grad_weight_block(o + r * step, grad_out->last, a + c * step, step, in->last, to + r * columns + c,
                                      columns, vectors, tail_mask);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = r < full_rows ? full_columns : 0; c < columns; c++) {
                    vec sum = tail_mask * load(o[r * step] + grad_out->last) * load(a[c * step] + in->last);
                    for (int64_t v = 0; v < vectors - 1; v++)
                        sum += load(o[r * step] + v * LANES) * load(a[c * step] + v * LANES);
                    others.sum[others.count] = sum;
                    others.to[others.count++] = to + r * columns + c;
                    if (others.count == LANES) flush(&others);
                }
        }
    if (others.count) {
        for (int64_t k = others.count; k < LANES; k++) others.sum[k] = (vec){0};
        flush(&others);
    }
}
