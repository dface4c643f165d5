/* Results whose rows begin within cache lines, written around the caches; included by tile.h.

   Rows of an image follow one another, so that a line may hold the end of one row and the beginning of the next, or of
   two tiles. Whole lines are put together from two vectors: the first vector of a row waits for the last tile of the row
   before, the last one of a tile for the next tile. */

/* Of two vectors that follow each other, the LANES numbers of which the first has `before`. */
INLINE vec NAME(between)(vec a, vec b, long before) {
    return __builtin_shuffle(a, b, IOTA + (INTEGER)(LANES - before));
}

/* Write channels `first` to `end` of a tile, whose rows are in `rows`. Tiles of an image come in order, channels too. */
static void NAME(lines_done)(const job *j, scratch *s, const tile *t, const table *rows, long first, long end) {
    long vectors = (j->pixels + LANES - 1) / LANES, rest = j->pixels - (vectors - 1) * LANES;
    int ends = t->first + t->count == j->pixels;
    long from = ends ? vectors - t->vectors : t->first / LANES, whole = t->vectors - ends;
    for (long c = first; c < end && c < j->t.n_out; c++) {
        const REAL *row = rows->row[c];
        long at = (t->image * j->t.n_out + c) * j->pixels, before = at % LANES, v = 0;
        REAL *line = (REAL *)j->y + at - before, *head = s->heads + c * LANES, *tail = s->tails + c * LANES;
        vec last;
        if (from)
            last = load(tail);
        else {
            last = load(row + v++ * LANES);
            if (before)
                store(head, last);
            else
                NAME(stream)(line, last);
        }
        for (; v < whole; v++) {
            vec next = load(row + v * LANES);
            NAME(stream)(line + (from + v) * LANES, NAME(between)(last, next, before));
            last = next;
        }
        if (!ends) {
            store(tail, last);
            continue;
        }
        if (before) NAME(stream)(line, NAME(between)(s->ended, load(head), before));
        s->ended = load(row + whole * LANES); /* the last LANES of the row, some of which are in `last` too */
        long over = before + rest - LANES;    /* numbers of a line that the next row completes */
        if (over < 0) continue;
        lanes of_last = IOTA < (INTEGER)over;
        lanes both = (of_last & (IOTA + (INTEGER)(LANES - before))) | (~of_last & (IOTA + (INTEGER)(LANES - over)));
        NAME(stream)(line + (from + whole) * LANES, __builtin_shuffle(last, s->ended, both));
    }
}
