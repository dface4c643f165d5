/* Results whose rows begin within cache lines, written around the caches; included by tile.h.

   Rows of an image follow one another, so that a line may hold the end of one row and the beginning of the next, or of
   two tiles. Whole lines are put together from two vectors, as soon as the second is there: the last one of a block waits
   for the next block, and the first and the last of a row for those of its neighbours. */

/* Of two vectors that follow each other, the LANES numbers of which the first has `before`. */
INLINE vec NAME(between)(vec a, vec b, long before) {
    return __builtin_shuffle(a, b, IOTA + (INTEGER)(LANES - before));
}

/* Write V vectors of a row. */
INLINE void NAME(put_in_lines)(REAL *const *row, const vec *sum, const int V, span at) {
    REAL *edges = at.edges + (row - at.rows) * EDGES * LANES;
    long before = (long)((uintptr_t)*row / sizeof(REAL) % LANES);
    REAL *line = *row + at.first - before;
    vec last = at.begins ? sum[0] : load(edges + TAIL * LANES);
    UNROLL for (int v = 0; v < V; v++) {
        if (v == V - 1 && at.ends) {
            store(edges + END * LANES, sum[v]);
            break;
        }
        if (v == 0 && at.begins)
            store(edges + HEAD * LANES, sum[v]);
        else
            NAME(stream)(line + v * LANES, NAME(between)(last, sum[v], before));
        last = sum[v];
    }
    store(edges + TAIL * LANES, last);
}

/* Write what waits of channels `first` to `end`, with an image's last tile. Channels come in order. */
static void NAME(lines_ended)(const job *j, scratch *s, const tile *t, long first, long end) {
    long vectors = (j->pixels + LANES - 1) / LANES, rest = j->pixels - (vectors - 1) * LANES;
    for (long c = first; c < end && c < j->t->n_out; c++) {
        const REAL *edges = s->edges + c * EDGES * LANES;
        long at = (t->image * j->t->n_out + c) * j->pixels, before = at % LANES;
        REAL *line = (REAL *)j->y + at - before;
        NAME(stream)(line, NAME(between)(s->ended, load(edges + HEAD * LANES), before));
        s->ended = load(edges + END * LANES);
        long over = before + rest - LANES; /* numbers of a line that the next row completes */
        if (over < 0) continue;
        lanes of_last = IOTA < (INTEGER)over;
        lanes both = (of_last & (IOTA + (INTEGER)(LANES - before))) | (~of_last & (IOTA + (INTEGER)(LANES - over)));
        NAME(stream)(line + (vectors - 1) * LANES, __builtin_shuffle(load(edges + TAIL * LANES), s->ended, both));
    }
}
