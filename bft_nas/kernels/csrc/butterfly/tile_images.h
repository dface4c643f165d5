/* Tiles in and out of an image, of any type and layout; included by tile.h. */

#if HAS_BF16
INLINE vec load_bf16(const uint16_t *p) {
    typedef uint16_t bf16_vec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
    return (vec)(__builtin_convertvector(*(const bf16_vec *)p, lanes) << 16);
}

INLINE void store_bf16(uint16_t *p, vec v) {
    typedef uint16_t bf16_vec __attribute__((vector_size(2 * LANES)));
    typedef bf16_vec anywhere __attribute__((aligned(2), may_alias));
    lanes bits = (lanes)v;
    lanes even = bits + 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    lanes is_nan = v != v;
    *(anywhere *)p = __builtin_convertvector(((even & ~is_nan) | ((bits | 0x400000) & is_nan)) >> 16, bf16_vec);
}

INLINE REAL get_bf16(const uint16_t *p) {
    uint32_t bits = (uint32_t)*p << 16;
    REAL value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE void put_bf16(uint16_t *p, REAL value) {
    vec v = {value};
    uint16_t out[LANES];
    store_bf16(out, v);
    *p = out[0];
}
#else
INLINE vec load_bf16(const uint16_t *p) { return (vec){p[0]}; }
INLINE void store_bf16(uint16_t *p, vec v) { p[0] = (uint16_t)v[0]; }
INLINE REAL get_bf16(const uint16_t *p) { return p[0]; }
INLINE void put_bf16(uint16_t *p, REAL value) { p[0] = (uint16_t)value; }
#endif

/* Elements of an image, which are bfloat16 or of the type of the sums. */
INLINE REAL get_element(const void *p, int64_t i, int bf16) {
    return HAS_BF16 && bf16 ? get_bf16((const uint16_t *)p + i) : ((const REAL *)p)[i];
}
INLINE void put_element(void *p, int64_t i, REAL value, int bf16) {
    if (HAS_BF16 && bf16)
        put_bf16((uint16_t *)p + i, value);
    else
        ((REAL *)p)[i] = value;
}
INLINE vec load_elements(const void *p, int64_t i, int bf16) {
    return HAS_BF16 && bf16 ? load_bf16((const uint16_t *)p + i) : load((const REAL *)p + i);
}
INLINE void store_elements(void *p, int64_t i, vec v, int bf16) {
    if (HAS_BF16 && bf16)
        store_bf16((uint16_t *)p + i, v);
    else
        store((REAL *)p + i, v);
}

/* A round of the transpose of LANES vectors: those whose numbers differ in bit k. */
INLINE void transpose_round(vec a[LANES], const int k) {
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & k)) interleave(k, a[i], a[i + k], &a[i], &a[i + k]);
}

INLINE void transpose_block(vec a[LANES]) {
    transpose_round(a, 1);
    transpose_round(a, 2);
    if (LANES > 4) transpose_round(a, 4);
    if (LANES > 8) transpose_round(a, 8);
}

/* rows[c][p] = pixels[p * channels + c], and back. Blocks that would reach over an edge begin earlier. A tile that
   goes to memory is stored non-temporally. */
INLINE void transpose_in(const void *pixels, int64_t channels, int64_t count, REAL *const *rows, int bf16) {
    if (channels < LANES || count < LANES) {
        for (int64_t p = 0; p < count; p++)
            for (int64_t c = 0; c < channels; c++) rows[c][p] = get_element(pixels, p * channels + c, bf16);
        return;
    }
    for (int64_t p = 0; p < count; p += LANES)
        for (int64_t c = 0; c < channels; c += LANES) {
            int64_t p0 = p + LANES <= count ? p : count - LANES, c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = load_elements(pixels, (p0 + i) * channels + c0, bf16);
            transpose_block(block);
            UNROLL for (int i = 0; i < LANES; i++) store(rows[c0 + i] + p0, block[i]);
        }
}

INLINE void transpose_out(void *pixels, int64_t channels, int64_t count, REAL *const *rows, int bf16, int store_mode) {
    if (channels < LANES || count < LANES) {
        for (int64_t p = 0; p < count; p++)
            for (int64_t c = 0; c < channels; c++) put_element(pixels, p * channels + c, rows[c][p], bf16);
        return;
    }
    for (int64_t p = 0; p < count; p += LANES) {
        int64_t p0 = p + LANES <= count ? p : count - LANES;
        if (store_mode == STORE_STREAM) { /* a line at a time: halves of lines would be written to memory as such */
            for (int64_t c = 0; c < channels; c += VECTORS_OF_LINE * LANES) {
                vec block[VECTORS_OF_LINE][LANES];
                UNROLL for (int l = 0; l < VECTORS_OF_LINE; l++) {
                    UNROLL for (int i = 0; i < LANES; i++) block[l][i] = load(rows[c + l * LANES + i] + p0);
                    transpose_block(block[l]);
                }
                UNROLL for (int i = 0; i < LANES; i++) UNROLL for (int l = 0; l < VECTORS_OF_LINE; l++)
                    stream((REAL *)pixels + (p0 + i) * channels + c + l * LANES, block[l][i]);
            }
            continue;
        }
        for (int64_t c = 0; c < channels; c += LANES) {
            int64_t c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = load(rows[c0 + i] + p0);
            transpose_block(block);
            UNROLL for (int i = 0; i < LANES; i++) store_elements(pixels, (p0 + i) * channels + c0, block[i], bf16);
        }
    }
}

INLINE void copy_in(const void *from, int64_t at, REAL *to, int64_t count, int bf16) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store(to + i, load_elements(from, at + i, bf16));
    for (; i < count; i++) to[i] = get_element(from, at + i, bf16);
}

INLINE void copy_out(const REAL *from, void *to, int64_t at, int64_t count, int bf16) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store_elements(to, at + i, load(from + i), bf16);
    for (; i < count; i++) put_element(to, at + i, from[i], bf16);
}

INLINE tile tile_of(const butterfly_job *j, int64_t index) {
    tile t = {0};
    if (j->images_per_tile) { /* several small images side by side */
        t.image = index * j->images_per_tile;
        t.images = j->batch - t.image < j->images_per_tile ? j->batch - t.image : j->images_per_tile;
        t.count = t.images * j->pixels;
        t.vectors = (t.count + LANES - 1) / LANES;
        t.tail_mask = (vec){0} + 1;
        return t;
    }
    int64_t all = j->channels_last ? j->batch * j->pixels : j->pixels;
    int64_t vectors = (all + LANES - 1) / LANES;
    t.image = index / (j->row_splits * j->tiles_per_image);
    t.images = 1;
    t.row_split = index / j->tiles_per_image % j->row_splits;
    index %= j->tiles_per_image;
    int64_t units = vectors / j->tile_alignment, from = index * units / j->tiles_per_image * j->tile_alignment;
    int64_t end = index + 1 == j->tiles_per_image ? vectors : (index + 1) * units / j->tiles_per_image * j->tile_alignment;
    t.first = from * LANES;
    t.vectors = end - from;
    t.count = (end * LANES < all ? end * LANES : all) - t.first;
    int64_t repeated = j->packed ? 0 : t.vectors * LANES - t.count;
    lanes counted = IOTA >= (INT)repeated;
    t.tail_mask = (vec)((lanes)((vec){0} + 1) & counted);
    if (!j->packed && t.count < LANES) t.first -= LANES - t.count, t.count = LANES;
    return t;
}

/* Bring `channels` channels of the tile within reach of `rows`: in place, or as packed rows. */
INLINE void point_rows(const butterfly_job *j, tile t, const void *image, int64_t channels, table *rows, REAL *pack) {
    if (!j->packed) {
        REAL *first = (REAL *)image + t.image * channels * j->pixels + t.first;
        for (int64_t c = 0; c < channels; c++) rows->row[c] = first + c * j->pixels;
        rows->last = t.count - LANES;
        rows->store_mode = j->store_mode;
        return;
    }
    for (int64_t c = 0; c < channels; c++) rows->row[c] = pack + c * j->row_stride;
    rows->last = (t.vectors - 1) * LANES;
}

INLINE void load_tile(const butterfly_job *j, tile t, const void *image, int64_t channels, table *rows, REAL *pack) {
    point_rows(j, t, image, channels, rows, pack);
    if (!j->packed) return;
    int bf16 = j->bf16;
    if (t.count % LANES)
        for (int64_t c = 0; c < channels; c++) store(rows->row[c] + rows->last, (vec){0});
    if (j->channels_last) {
        if (HAS_BF16 && bf16) {
            transpose_in((const uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1);
            return;
        }
        transpose_in((const REAL *)image + t.first * channels, channels, t.count, rows->row, 0);
        return;
    }
    int64_t each = j->images_per_tile ? j->pixels : t.count;
    for (int64_t i = 0; i < t.images; i++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t at = ((t.image + i) * channels + c) * j->pixels + t.first;
            copy_in(image, at, rows->row[c] + i * each, each, bf16);
        }
}

INLINE void store_tile(const butterfly_job *j, tile t, void *image, int64_t channels, const table *rows) {
    if (!j->packed) return;
    int bf16 = j->bf16;
    if (j->channels_last) {
        if (HAS_BF16 && bf16) {
            transpose_out((uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1, STORE_CACHED);
            return;
        }
        transpose_out((REAL *)image + t.first * channels, channels, t.count, rows->row, 0, j->store_mode);
        return;
    }
    int64_t each = j->images_per_tile ? j->pixels : t.count;
    for (int64_t i = 0; i < t.images; i++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t at = ((t.image + i) * channels + c) * j->pixels + t.first;
            copy_out(rows->row[c] + i * each, image, at, each, bf16);
        }
}
