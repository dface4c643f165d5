/* ---- butterfly transforms ---------------------------------------------------------------------------------------

   Channels are numbered by the digits of their index: (outputs of earlier stages, this stage's digit, inputs of later
   stages), as (e, digit, rest). A stage contracts its digit and leaves the others, so that it can work in place.

   for tile of pixels, whose rows of all channels stay in a near cache:
     for stage:                                      the first reads the image, the last one writes the result
       for e: for rest: for block of rows:           weights lie in this order, as (k, row of the block)
         for vectors, 4 at a time:
           for k in columns: for row: for vector: sum[row][vector] += w[k, row] * in[k][vector]
   At the end the last stage adds residual, bias and skip. */

typedef struct butterfly_layer butterfly_layer;

typedef struct butterfly_stage {
    void (*run)(const butterfly_layer *, const struct butterfly_stage *, const float *from, float *to, int first, int vectors);
    int32_t weights; /* where they begin */
    int32_t before, rest, blocks, columns;
    int32_t from, to; /* rows of the scratch */
} butterfly_stage;

struct butterfly_layer {
    const float *weights, *bias;
    const float *scale; /* of the residual, of each row of the last stage */
    tensor x;           /* in the order of the first stage's columns */
    tensor residual;    /* `summands` for each row of the last stage */
    int summands;
    float *y;
    int64_t y_step;
    tensor skip;
    float *scratch;
    int pixels, tile_pixels, activation;
};

/* R rows by V vectors of one group. In the FIRST stage `from` is the image, in the LAST one `to` is the result. */
INLINE void butterfly_group(const int R, const int C, const int V, const int FIRST, const int LAST,
                            const butterfly_layer *b, const float *w, int columns, const float *from,
                            const int32_t *plane, int64_t in_step, float *to, int64_t out_step, int row, int pixel) {
    vec sum[8][4], in[4];
    float *out[8];
    const int K = C ? C : columns;
    UNROLL for (int r = 0; r < R; r++) out[r] = to + r * out_step;
    if (LAST)
        UNROLL for (int r = 0; r < R; r++) {
            float scale = b->scale[row + r];
            UNROLL for (int v = 0; v < V; v++) sum[r][v] = splat(b->bias[row + r]);
            for (int i = 0; i < b->summands; i++) {
                const float *x = b->residual.at + b->residual.plane[(row + r) * b->summands + i] + pixel;
                UNROLL for (int v = 0; v < V; v++) sum[r][v] += scale * load(x + v * LANES);
            }
            if (b->skip.at)
                UNROLL for (int v = 0; v < V; v++) sum[r][v] += load(b->skip.at + b->skip.plane[row + r] + pixel + v * LANES);
        }
#define ADD_COLUMN(k)                                                                                                  \
    {                                                                                                                  \
        const float *x = FIRST ? from + plane[(k) * in_step] : from + (k) * in_step;                                   \
        UNROLL for (int v = 0; v < V; v++) in[v] = load(x + v * LANES);                                                \
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++)                                          \
            sum[r][v] = LAST || (k) ? sum[r][v] + w[(k) * R + r] * in[v] : w[(k) * R + r] * in[v];                     \
    }
    if (C)
        UNROLL for (int k = 0; k < C; k++) ADD_COLUMN(k)
    else {
        ADD_COLUMN(0) /* by itself, as compilers do not know that there is one */
        for (int k = 1; k < K; k++) ADD_COLUMN(k)
    }
    if (LAST)
        finish(R, V, sum, b->activation, out);
    else
        finish(R, V, sum, NO_ACTIVATION, out);
}

INLINE void run_butterfly_stage(const int R, const int C, const int FIRST, const int LAST, const butterfly_layer *b,
                                const butterfly_stage *s, const float *from, float *to, int first, int vectors) {
    const int V = VECTORS_FOR(R), columns = C ? C : s->columns;
    const float *w = b->weights + s->weights;
    const int64_t rest = s->rest, tile = b->tile_pixels, in_step = FIRST ? rest : rest * tile;
    const int64_t out_step = LAST ? b->y_step : rest * tile;
    from += FIRST ? first : 0, to += LAST ? first : 0;
    for (int e = 0; e < s->before; e++)
        for (int i = 0; i < s->rest; i++) {
            const int64_t in_row = (int64_t)e * columns * rest + i;
            for (int j = 0; j < s->blocks; j++, w += R * columns) {
                const int64_t row = ((int64_t)e * s->blocks + j) * R * rest + i;
                const float *in = FIRST ? from : from + in_row * tile;
                const int32_t *plane = FIRST ? b->x.plane + in_row : NULL;
                float *out = to + row * (LAST ? b->y_step : tile);
                int v = 0;
#define GROUP(V) butterfly_group(R, C, V, FIRST, LAST, b, w, columns, in + v * LANES, plane, in_step, out + v * LANES, out_step, (int)row, first + v * LANES)
                for (; v + V <= vectors; v += V) GROUP(V);
                switch (vectors - v) {
                case 3: GROUP(3); break;
                case 2: GROUP(2); break;
                case 1: GROUP(1); break;
                }
            }
        }
}

#define BUTTERFLY_STAGE(NAME, R, C, FIRST, LAST)                                                                       \
    static void NAME(const butterfly_layer *b, const butterfly_stage *s, const float *from, float *to, int first,      \
                     int vectors) {                                                                                    \
        run_butterfly_stage(R, C, FIRST, LAST, b, s, from, to, first, vectors);                                        \
    }

static void butterfly(const butterfly_layer *b, const butterfly_stage *stages, int count) {
    for (int first = 0; first < b->pixels; first += b->tile_pixels) {
        int now = b->pixels - first < b->tile_pixels ? b->pixels - first : b->tile_pixels;
        for (int i = 0; i < count; i++)
            {
            const butterfly_stage *s = &stages[i];
            const float *from = i ? b->scratch + (int64_t)s->from * b->tile_pixels : b->x.at;
            float *to = i < count - 1 ? b->scratch + (int64_t)s->to * b->tile_pixels : b->y;
            s->run(b, s, from, to, first, divided(now, LANES));
        }
    }
}
