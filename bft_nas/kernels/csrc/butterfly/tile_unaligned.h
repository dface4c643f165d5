/* Results whose rows begin within cache lines, stored non-temporally; included by tile.h.

   Rows of an image follow one another, so that a line may hold the end of one row and the beginning of the next, or of
   two tiles. Whole lines are put together from two vectors, as soon as the second is there: the last one of a block waits
   for the next block, and the first and the last of a row for those of its neighbours. */

/* What waits to be put in lines, a vector of each channel: the first of its row; the last so far; the row's last elements,
   some of which are in the one before, too. */
enum { EDGE_HEAD, EDGE_TAIL, EDGE_END, EDGES };

/* Of two vectors that follow each other, the LANES elements of which the first has `before`. */
INLINE vec join_vectors(vec a, vec b, int64_t before) {
    return shuffle2(a, b, IOTA + (INT)(LANES - before));
}

/* Write V vectors of a row. */
INLINE void stream_unaligned(REAL *const *row, const vec *sum, const int V, span at) {
    REAL *edges = at.edges + (row - at.rows) * EDGES * LANES;
    int64_t before = (int64_t)((uintptr_t)*row / sizeof(REAL) % LANES);
    REAL *line = *row + at.first - before;
    vec last = at.begins ? sum[0] : load(edges + EDGE_TAIL * LANES);
    UNROLL for (int v = 0; v < V; v++) {
        if (v == V - 1 && at.ends) {
            store(edges + EDGE_END * LANES, sum[v]);
            break;
        }
        if (v == 0 && at.begins)
            store(edges + EDGE_HEAD * LANES, sum[v]);
        else
            stream(line + v * LANES, join_vectors(last, sum[v], before));
        last = sum[v];
    }
    store(edges + EDGE_TAIL * LANES, last);
}

/* Write what waits of channels `first` to `end`, with an image's last tile. Channels come in order. */
static void finish_unaligned_rows(const butterfly_job *j, scratch *s, const tile *t, int64_t first, int64_t end) {
    int64_t vectors = (j->pixels + LANES - 1) / LANES, rest = j->pixels - (vectors - 1) * LANES;
    for (int64_t c = first; c < end && c < j->t->n_out; c++) {
        const REAL *edges = s->edges + c * EDGES * LANES;
        int64_t at = (t->image * j->t->n_out + c) * j->pixels, before = at % LANES;
        REAL *line = (REAL *)j->y + at - before;
        stream(line, join_vectors(s->ended, load(edges + EDGE_HEAD * LANES), before));
        s->ended = load(edges + EDGE_END * LANES);
        int64_t over = before + rest - LANES; /* elements of a line that the next row completes */
        if (over < 0) continue;
        lanes of_last = IOTA < (INT)over;
        lanes both = (of_last & (IOTA + (INT)(LANES - before))) | (~of_last & (IOTA + (INT)(LANES - over)));
        stream(line + (vectors - 1) * LANES, shuffle2(load(edges + EDGE_TAIL * LANES), s->ended, both));
    }
}
