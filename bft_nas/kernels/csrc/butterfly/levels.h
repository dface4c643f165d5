/* Stages merged with their neighbours, level upon level, and the gradients of the merged weights taken apart again;
   included by butterfly.c. */

static int64_t weights_of(const transform *t, int64_t s) {
    const stage_shape *of = &t->stage[s];
    return (int64_t)of->before * of->rest * of->rows * of->columns;
}

/* What follows from the rows and columns of all stages; sizes are set. */
static void describe(transform *t) {
    int64_t before = 1, rest = t->size * t->chunks, offset = 0;
    for (int64_t s = 0; s < t->stages; s++) {
        stage_shape *of = &t->stage[s];
        of->before = (int)before, of->rest = (int)(rest /= of->columns), of->offset = (int)offset;
        offset += weights_of(t, s);
        before *= of->rows;
    }
    t->weights = offset;
}

/* Whether the i-th and the next one are the last of a forward pass and of those that tile_pair.h does at once: of `most`
   rows together at most. */
static int is_register_pair(const transform *t, int64_t i, int64_t most) {
    const stage_shape *of = &t->stage[i];
    return i == t->stages - 2 && of[0].rows == of[0].columns && of[1].rows == of[1].columns && of[0].rows >= 3 &&
           of[0].rows <= 4 && of[1].rows >= 2 && of[1].rows <= of[0].rows && of[0].rows * of[1].rows <= most;
}

/* Two small stages next to each other cost less as one: a row of the tile is written and read once less. As a pair, too,
   and with fewer MACs. */
static int worth_merging(const transform *t, int64_t i, int64_t most) {
    const stage_shape *of = &t->stage[i];
    int64_t r0 = of[0].rows, c0 = of[0].columns, r1 = of[1].rows, c1 = of[1].columns;
    return !is_register_pair(t, i, most) && r0 * r1 * c0 * c1 <= r0 * c1 * (c0 + r1 + 2);
}

/* The stages as they are given: the first level. */
static void init_level(transform *t, const butterfly_shape *shape) {
    t->n_in = shape->n_in, t->n_out = shape->n_out;
    t->size = t->n_in < t->n_out ? t->n_in : t->n_out;
    t->chunks = (t->n_in + t->size - 1) / t->size;
    t->copies = (t->n_out + t->size - 1) / t->size;
    t->stages = shape->stages;
    for (int64_t s = 0; s < t->stages; s++) {
        int64_t rows = shape->factors[s] * (s == 0 ? t->copies : 1);
        int64_t columns = shape->factors[s] * (s == t->stages - 1 ? t->chunks : 1);
        t->stage[s] = (stage_shape){.rows = (int)rows, .columns = (int)columns};
    }
    describe(t);
}

/* The next level: whether there is one, as two stages were worth merging. */
static int merge_neighbours(const transform *below, transform *above, int64_t most) {
    memcpy(above, below, offsetof(transform, stage));
    above->stages = 0;
    for (int64_t s = 0; s < below->stages; s++) {
        stage_shape *to = &above->stage[above->stages++];
        const stage_shape *of = &below->stage[s];
        *to = (stage_shape){.rows = of[0].rows, .columns = of[0].columns};
        to->merged = s + 1 < below->stages && worth_merging(below, s, most);
        if (to->merged) s++, to->rows *= of[1].rows, to->columns *= of[1].columns;
    }
    if (above->stages == below->stages) return 0;
    describe(above);
    return 1;
}

/* One stage of the last two, for a forward pass that does them at once; their weights stay as they are. */
static int pair_last_stages(const transform *below, transform *above, int64_t most) {
    if (below->stages < 2 || !is_register_pair(below, below->stages - 2, most)) return 0;
    memcpy(above, below, offsetof(transform, stage));
    above->stages--;
    for (int64_t s = 0; s < above->stages; s++)
        above->stage[s] = (stage_shape){.rows = below->stage[s].rows, .columns = below->stage[s].columns};
    stage_shape *to = &above->stage[above->stages - 1];
    to->second = below->stage[above->stages].rows;
    to->rows *= to->second, to->columns *= to->second;
    describe(above);
    above->weights = 0; /* of its own: nothing is multiplied */
    return 1;
}

/* All levels above the first: the last one is that which a pass works with. */
static const transform *build_levels(transform *levels, int64_t most) {
    transform *t = levels, *end = levels + MAX_LEVELS - 1;
    while (t + 1 < end && merge_neighbours(t, t + 1, most)) t++;
    return t + pair_last_stages(t, t + 1, most);
}

/* Bytes of the weights of all levels above the first. */
static size_t merged_bytes(const butterfly_job *j) {
    int64_t count = 0;
    for (const transform *t = j->levels; t < j->t; t++) count += t[1].weights;
    return (j->element_bytes * count + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

/* The weights of all levels, in memory of that size. */
static void merge_weights(const butterfly_job *j, char *memory, const void *weights[MAX_LEVELS][MAX_STAGES]) {
    for (int64_t s = 0; s < j->levels->stages; s++) weights[0][s] = j->given_weights[s];
    for (const transform *t = j->levels; t < j->t; t++, weights++, memory += j->element_bytes * t->weights) {
        const void **below = weights[0], **above = weights[1];
        for (int64_t i = 0, s = 0; i < t[1].stages; i++, s++) {
            const stage_shape *of = &t[1].stage[i];
            above[i] = below[s];
            if (of->second) above[i + 1] = below[s + 1];
            if (!of->merged) continue;
            char *both = memory + j->element_bytes * of->offset;
            j->code->merge_stages(t, s, below[s], below[s + 1], both);
            above[i] = both, s++;
        }
    }
}

/* From the gradients of the weights of the level above `t`, those of its own. */
static void unmerge_level(const butterfly_job *j, const transform *t, const void *const *weights, const char *sums,
                       void *const *gradients) {
    for (int64_t i = 0, s = 0; i < t[1].stages; i++, s++) {
        const stage_shape *of = &t[1].stage[i];
        const char *sum = sums + j->element_bytes * of->offset;
        if (of->merged) {
            for (int64_t k = s; k <= s + 1; k++) memset(gradients[k], 0, j->element_bytes * weights_of(t, k));
            j->code->unmerge_gradients(t, s, weights[s], weights[s + 1], sum, gradients[s], gradients[s + 1]);
            s++;
        } else
            memcpy(gradients[s], sum, j->element_bytes * weights_of(t, s));
    }
}

/* The gradients of the weights as they are given, from those of the last level. Returns 1 when memory ran out. */
static int unmerge_levels(const butterfly_job *j, void *const *gradients) {
    const transform *given = j->levels;
    if (j->t == given) {
        for (int64_t s = 0; s < given->stages; s++)
            memcpy(gradients[s], j->grad_weight + j->element_bytes * given->stage[s].offset, j->element_bytes * weights_of(given, s));
        return 0;
    }
    /* The weights of the levels once more, and after them their gradients. */
    const void *weights[MAX_LEVELS][MAX_STAGES];
    size_t bytes = merged_bytes(j);
    char *memory = malloc(2 * bytes), *sums = j->grad_weight, *between = memory + bytes;
    if (!memory) return 1;
    merge_weights(j, memory, weights);
    for (const transform *t = j->t - 1; t > given; t--) {
        void *parts[MAX_STAGES];
        for (int64_t s = 0; s < t->stages; s++) parts[s] = between + j->element_bytes * t->stage[s].offset;
        unmerge_level(j, t, weights[t - given], sums, parts);
        sums = between, between += j->element_bytes * t->weights;
    }
    unmerge_level(j, given, weights[0], sums, gradients);
    free(memory);
    return 0;
}
