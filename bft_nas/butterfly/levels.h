/* Stages merged with their neighbours, level upon level, and the gradients of the merged weights taken apart again;
   included by kernel.c. */

static long weights_of(const transform *t, long s) {
    return t->before[s] * t->rest[s] * t->rows[s] * t->columns[s];
}

/* The stages of a transform, by their factors; sizes are set. */
static void describe(transform *t, const long *rows, const long *columns, long stages) {
    t->stages = stages;
    long before = 1, rest = t->size * t->chunks, offset = 0;
    for (long s = 0; s < stages; s++) {
        t->rows[s] = rows[s], t->columns[s] = columns[s];
        t->before[s] = before;
        t->rest[s] = rest /= columns[s];
        t->offset[s] = offset;
        offset += weights_of(t, s);
        before *= rows[s];
    }
    t->weights = offset;
}

/* Two small stages next to each other cost less as one: a row of the tile is written and read once less. */
static int worth_merging(const transform *t, long i) {
    long r0 = t->rows[i], c0 = t->columns[i], r1 = t->rows[i + 1], c1 = t->columns[i + 1];
    return r0 * r1 * c0 * c1 <= r0 * c1 * (c0 + r1 + 2);
}

/* The stages as they are given: the first level. */
static void give_level(level *l, const bft_shape *shape) {
    long rows[MAX_STAGES], columns[MAX_STAGES], stages = shape->stages;
    for (long s = 0; s < stages; s++) {
        rows[s] = shape->factors[s] * (s == 0 ? l->t.copies : 1);
        columns[s] = shape->factors[s] * (s == stages - 1 ? l->t.chunks : 1);
    }
    describe(&l->t, rows, columns, stages);
}

/* The next level: whether there is one, as two stages were worth merging. */
static int raise_level(const level *below, level *above) {
    const transform *t = &below->t;
    long rows[MAX_STAGES], columns[MAX_STAGES], count = 0;
    for (long s = 0; s < t->stages; s++, count++) {
        int merged = above->merged[count] = s + 1 < t->stages && worth_merging(t, s);
        rows[count] = t->rows[s], columns[count] = t->columns[s];
        if (merged) s++, rows[count] *= t->rows[s], columns[count] *= t->columns[s];
    }
    if (count == t->stages) return 0;
    above->t = *t;
    describe(&above->t, rows, columns, count);
    return 1;
}

/* Bytes of the weights of all levels above the first. */
static size_t merged_bytes(const job *j) {
    long count = 0;
    for (long k = 1; k <= j->last; k++) count += j->levels[k].t.weights;
    return (j->real * count + 63) / 64 * 64;
}

/* The weights of all levels, in memory of that size. */
static void merge_weights(const job *j, char *memory, const void *weights[MAX_LEVELS][MAX_STAGES]) {
    for (long s = 0; s < j->levels->t.stages; s++) weights[0][s] = j->given[s];
    for (long k = 1; k <= j->last; k++) {
        const level *above = &j->levels[k];
        const void *const *below = weights[k - 1];
        for (long i = 0, s = 0; i < above->t.stages; s += 1 + above->merged[i++]) {
            char *both = memory + j->real * above->t.offset[i];
            weights[k][i] = above->merged[i] ? both : below[s];
            if (above->merged[i]) j->code->merge(&j->levels[k - 1].t, s, below[s], below[s + 1], both);
        }
        memory += j->real * above->t.weights;
    }
}

/* From the gradients of a level's weights, those of the level below. */
static void part_level(const job *j, long k, const void *const *below, const char *sums, void *const *gradients) {
    const level *above = &j->levels[k];
    const transform *t = &j->levels[k - 1].t;
    for (long i = 0, s = 0; i < above->t.stages; s += 1 + above->merged[i++]) {
        const char *sum = sums + j->real * above->t.offset[i];
        if (above->merged[i]) {
            for (long g = s; g <= s + 1; g++) memset(gradients[g], 0, j->real * weights_of(t, g));
            j->code->part(t, s, below[s], below[s + 1], sum, gradients[s], gradients[s + 1]);
        } else
            memcpy(gradients[s], sum, j->real * weights_of(t, s));
    }
}

/* The gradients of the weights as they are given, from those of the last level. Returns 1 when memory ran out. */
static int part_levels(const job *j, void *const *gradients) {
    const void *weights[MAX_LEVELS][MAX_STAGES];
    size_t bytes = merged_bytes(j);
    /* The weights of the levels once more, and after them the gradients of each, too. */
    char *memory = malloc(2 * bytes + 1), *sums = j->gw;
    if (!memory) return 1;
    merge_weights(j, memory, weights);
    char *between = memory + bytes;
    for (long k = j->last; k > 1; k--) {
        const transform *t = &j->levels[k - 1].t;
        void *parts[MAX_STAGES];
        for (long s = 0; s < t->stages; s++) parts[s] = between + j->real * t->offset[s];
        part_level(j, k, weights[k - 1], sums, parts);
        sums = between;
        between += j->real * t->weights;
    }
    const transform *given = &j->levels->t;
    if (j->last)
        part_level(j, 1, weights[0], sums, gradients);
    else
        for (long s = 0; s < given->stages; s++)
            memcpy(gradients[s], sums + j->real * given->offset[s], j->real * weights_of(given, s));
    free(memory);
    return 0;
}
