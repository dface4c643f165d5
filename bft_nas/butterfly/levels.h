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

/* The stages of a transform as they are given, or with neighbours of the level below merged. */
typedef struct {
    transform t;
    const void *weights[MAX_STAGES];
    int merged[MAX_STAGES]; /* whether a stage is two of the level below */
    char *memory;           /* of the weights of those */
} level;

static void given_level(level *l, const bft_shape *shape, void *const *weights) {
    long rows[MAX_STAGES], columns[MAX_STAGES], stages = shape->stages;
    for (long s = 0; s < stages; s++) {
        rows[s] = shape->factors[s] * (s == 0 ? l->t.copies : 1);
        columns[s] = shape->factors[s] * (s == stages - 1 ? l->t.chunks : 1);
        l->weights[s] = weights[s];
    }
    describe(&l->t, rows, columns, stages);
}

/* The next level: 1 where two stages were worth merging, 0 where there is none, -1 when memory ran out. */
static int merge_level(const job *j, const level *below, level *above) {
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
    above->memory = malloc(j->real * above->t.weights);
    if (!above->memory) return -1;
    for (long i = 0, s = 0; i < count; s += 1 + above->merged[i++]) {
        char *both = above->memory + j->real * above->t.offset[i];
        above->weights[i] = above->merged[i] ? both : below->weights[s];
        if (above->merged[i]) j->code->merge(t, s, below->weights[s], below->weights[s + 1], both);
    }
    return 1;
}

/* From the gradients of a level's weights, those of the level below. */
static void part_level(const job *j, const level *above, const level *below, const char *sums, void *const *gradients) {
    const transform *t = &below->t;
    for (long i = 0, s = 0; i < above->t.stages; s += 1 + above->merged[i++]) {
        const char *sum = sums + j->real * above->t.offset[i];
        if (above->merged[i]) {
            for (long k = s; k <= s + 1; k++) memset(gradients[k], 0, j->real * weights_of(t, k));
            j->code->part(t, s, below->weights[s], below->weights[s + 1], sum, gradients[s], gradients[s + 1]);
        } else
            memcpy(gradients[s], sum, j->real * weights_of(t, s));
    }
}

/* The gradients of the weights as they are given, from those of the last level. Returns 1 when memory ran out. */
static int part_levels(const job *j, const level *levels, long last, void *const *gradients) {
    const transform *given = &levels->t;
    char *sums = j->gw, *between = NULL;
    for (; last > 1; last--) {
        const transform *t = &levels[last - 1].t;
        void *parts[MAX_STAGES];
        char *next = malloc(j->real * t->weights);
        if (!next) break;
        for (long s = 0; s < t->stages; s++) parts[s] = next + j->real * t->offset[s];
        part_level(j, &levels[last], &levels[last - 1], sums, parts);
        free(between);
        sums = between = next;
    }
    if (last == 1) part_level(j, &levels[1], &levels[0], sums, gradients);
    for (long s = 0; last == 0 && s < given->stages; s++)
        memcpy(gradients[s], sums + j->real * given->offset[s], j->real * weights_of(given, s));
    free(between);
    return last > 1;
}
