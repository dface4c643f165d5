/* ---- convolutions as products of matrices ----------------------------------------------------------------------

   Rows of pixels that lie anywhere: row k begins at x + rows[k]. A block is up to 6 output channels:

   for pixels, 4 vectors at a time:                     (2 with 16 registers)
     for block:                                         its weights lie as (k, row of the block)
       for k:
         for row of the block: for vector: sum[row][vector] += w[k, row] * in[k][vector]
       bias first; at the end the skip and the activation */

enum { BLOCK_ROWS = 6, BLOCK_VECTORS = VECTORS_FOR(BLOCK_ROWS) };

typedef struct {
    const float *weights, *bias;
    const float *x;
    const int32_t *rows; /* of x */
    int inputs;
    float *y;
    int64_t y_step;
    tensor skip; /* what is added, or at NULL */
    int activation;
} block;

INLINE void multiply_block(const int R, const int V, const block *b) {
    vec sum[BLOCK_ROWS][4];
    float *to[BLOCK_ROWS];
    UNROLL for (int r = 0; r < R; r++) {
        to[r] = b->y + r * b->y_step;
        UNROLL for (int v = 0; v < V; v++) sum[r][v] = splat(b->bias[r]);
    }
    const float *w = b->weights;
    const int32_t *rows = b->rows;
    for (int k = 0; k < b->inputs; k++, w += R) {
        const float *x = b->x + rows[k];
        vec in[4];
        UNROLL for (int v = 0; v < V; v++) in[v] = load(x + v * LANES);
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++) sum[r][v] += w[r] * in[v];
    }
    if (b->skip.at)
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++)
            sum[r][v] += load(b->skip.at + b->skip.plane[r] + v * LANES);
    finish(R, V, sum, b->activation, to);
}

#define MULTIPLY(R, V) \
    static void multiply_##R##_##V(const block *b) { multiply_block(R, V, b); }
#define MULTIPLY_ROWS(V) MULTIPLY(1, V) MULTIPLY(2, V) MULTIPLY(3, V) MULTIPLY(4, V) MULTIPLY(5, V) MULTIPLY(6, V)
#define MULTIPLIED(V) {multiply_1_##V, multiply_2_##V, multiply_3_##V, multiply_4_##V, multiply_5_##V, multiply_6_##V}
MULTIPLY_ROWS(1)
MULTIPLY_ROWS(2)
#if REGISTERS == 32
MULTIPLY_ROWS(3)
MULTIPLY_ROWS(4)
static void (*const multiply[][BLOCK_ROWS])(const block *) = {MULTIPLIED(1), MULTIPLIED(2), MULTIPLIED(3), MULTIPLIED(4)};
#else
static void (*const multiply[][BLOCK_ROWS])(const block *) = {MULTIPLIED(1), MULTIPLIED(2)};
#endif

/* The size of the i-th of `parts` nearly equal parts of a whole. */
INLINE int part(int whole, int parts, int i) { return whole / parts + (i < whole % parts); }
INLINE int divided(int whole, int most) { return (whole + most - 1) / most; }

/* y = activation(w x + bias + skip) for a run of pixels, of so many output channels. */
static void multiply_rows(block b, int outputs, int pixels) {
    int vectors = divided(pixels, LANES), runs = divided(vectors, BLOCK_VECTORS), blocks = divided(outputs, BLOCK_ROWS);
    for (int i = 0; i < runs; i++) {
        int now = part(vectors, runs, i);
        block of = b;
        for (int j = 0; j < blocks; j++) {
            int rows = part(outputs, blocks, j);
            multiply[now - 1][rows - 1](&of);
            of.weights += (int64_t)rows * b.inputs, of.bias += rows, of.y += rows * b.y_step;
            if (of.skip.at) of.skip.plane += rows;
        }
        b.x += now * LANES, b.y += now * LANES;
        if (b.skip.at) b.skip.at += now * LANES;
    }
}
