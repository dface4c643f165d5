/* Tiles in and out of an image, of any type and layout; included by tile.h. */

#if HALVES
INLINE vec NAME(load_half)(const uint16_t *p) {
    typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
    return (vec)(__builtin_convertvector(*(const halves *)p, lanes) << 16);
}

INLINE void NAME(store_half)(uint16_t *p, vec v) {
    typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
    typedef halves anywhere __attribute__((aligned(2), may_alias));
    lanes bits = (lanes)v;
    lanes even = bits + 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    lanes is_nan = v != v;
    *(anywhere *)p = __builtin_convertvector(((even & ~is_nan) | ((bits | 0x400000) & is_nan)) >> 16, halves);
}

INLINE REAL NAME(get_half)(const uint16_t *p) {
    uint32_t bits = (uint32_t)*p << 16;
    REAL value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE void NAME(put_half)(uint16_t *p, REAL value) {
    vec v = {value};
    uint16_t out[LANES];
    NAME(store_half)(out, v);
    *p = out[0];
}
#define GET(p, i) (half ? NAME(get_half)((const uint16_t *)(p) + (i)) : ((const REAL *)(p))[i])
#define PUT(p, i, value)                                                                                           \
    do {                                                                                                           \
        if (half)                                                                                                  \
            NAME(put_half)((uint16_t *)(p) + (i), value);                                                          \
        else                                                                                                       \
            ((REAL *)(p))[i] = value;                                                                              \
    } while (0)
#define LOAD(p, i) (half ? NAME(load_half)((const uint16_t *)(p) + (i)) : load((const REAL *)(p) + (i)))
#define STORE(p, i, v)                                                                                             \
    do {                                                                                                           \
        if (half)                                                                                                  \
            NAME(store_half)((uint16_t *)(p) + (i), v);                                                            \
        else                                                                                                       \
            store((REAL *)(p) + (i), v);                                                                           \
    } while (0)
#else
#define GET(p, i) (((const REAL *)(p))[i])
#define PUT(p, i, value) (((REAL *)(p))[i] = (value))
#define LOAD(p, i) load((const REAL *)(p) + (i))
#define STORE(p, i, v) store((REAL *)(p) + (i), v)
#endif

INLINE void NAME(transpose)(vec a[LANES]) {
#define ROUND(K)                                                                                                   \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & K)) {                                                         \
        vec low, high;                                                                                             \
        PAIR(K, a[i], a[i + K], low, high)                                                                         \
        a[i] = low, a[i + K] = high;                                                                               \
    }
    ROUND(1)
    ROUND(2)
#if LANES > 4
    ROUND(4)
#endif
#if LANES > 8
    ROUND(8)
#endif
#undef ROUND
}

/* rows[c][p] = pixels[p * channels + c], and back. Blocks that would reach over an edge begin earlier. What is far away
   is written around the caches. */
INLINE void NAME(rows_from_pixels)(const void *pixels, long channels, long count, REAL *const *rows, int half) {
    if (channels < LANES || count < LANES) {
        for (long p = 0; p < count; p++)
            for (long c = 0; c < channels; c++) rows[c][p] = GET(pixels, p * channels + c);
        return;
    }
    for (long p = 0; p < count; p += LANES)
        for (long c = 0; c < channels; c += LANES) {
            long p0 = p + LANES <= count ? p : count - LANES, c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = LOAD(pixels, (p0 + i) * channels + c0);
            NAME(transpose)(block);
            UNROLL for (int i = 0; i < LANES; i++) store(rows[c0 + i] + p0, block[i]);
        }
}

INLINE void NAME(pixels_from_rows)(void *pixels, long channels, long count, REAL *const *rows, int half,
                                   int way) {
    if (channels < LANES || count < LANES) {
        for (long p = 0; p < count; p++)
            for (long c = 0; c < channels; c++) PUT(pixels, p * channels + c, rows[c][p]);
        return;
    }
    for (long p = 0; p < count; p += LANES) {
        long p0 = p + LANES <= count ? p : count - LANES;
        if (way == AROUND) { /* a line at a time: halves of lines would be written to memory as such */
            for (long c = 0; c < channels; c += LINE * LANES) {
                vec block[LINE][LANES];
                UNROLL for (int l = 0; l < LINE; l++) {
                    UNROLL for (int i = 0; i < LANES; i++) block[l][i] = load(rows[c + l * LANES + i] + p0);
                    NAME(transpose)(block[l]);
                }
                UNROLL for (int i = 0; i < LANES; i++) UNROLL for (int l = 0; l < LINE; l++)
                    NAME(stream)((REAL *)pixels + (p0 + i) * channels + c + l * LANES, block[l][i]);
            }
            continue;
        }
        for (long c = 0; c < channels; c += LANES) {
            long c0 = c + LANES <= channels ? c : channels - LANES;
            vec block[LANES];
            UNROLL for (int i = 0; i < LANES; i++) block[i] = load(rows[c0 + i] + p0);
            NAME(transpose)(block);
            UNROLL for (int i = 0; i < LANES; i++) STORE(pixels, (p0 + i) * channels + c0, block[i]);
        }
    }
}

INLINE void NAME(copy_in)(const void *from, long at, REAL *to, long count, int half) {
    long i = 0;
    for (; i + LANES <= count; i += LANES) store(to + i, LOAD(from, at + i));
    for (; i < count; i++) to[i] = GET(from, at + i);
}

INLINE void NAME(copy_out)(const REAL *from, void *to, long at, long count, int half) {
    long i = 0;
    for (; i + LANES <= count; i += LANES) STORE(to, at + i, load(from + i));
    for (; i < count; i++) PUT(to, at + i, from[i]);
}

INLINE tile NAME(tile_of)(const job *j, long index) {
    tile t = {0};
    if (j->images_per_tile) { /* several small images side by side */
        t.image = index * j->images_per_tile;
        t.images = j->batch - t.image < j->images_per_tile ? j->batch - t.image : j->images_per_tile;
        t.count = t.images * j->pixels;
        t.vectors = (t.count + LANES - 1) / LANES;
        t.once = (vec){0} + 1;
        return t;
    }
    long all = j->channels_last ? j->batch * j->pixels : j->pixels;
    long vectors = (all + LANES - 1) / LANES;
    t.image = index / (j->parts * j->tiles_per_image);
    t.images = 1;
    t.part = index / j->tiles_per_image % j->parts;
    index %= j->tiles_per_image;
    long units = vectors / j->unit, from = index * units / j->tiles_per_image * j->unit;
    long end = index + 1 == j->tiles_per_image ? vectors : (index + 1) * units / j->tiles_per_image * j->unit;
    t.first = from * LANES;
    t.vectors = end - from;
    t.count = (end * LANES < all ? end * LANES : all) - t.first;
    long repeated = j->packed ? 0 : t.vectors * LANES - t.count;
    lanes counted = IOTA >= (INTEGER)repeated;
    t.once = (vec)((lanes)((vec){0} + 1) & counted);
    if (!j->packed && t.count < LANES) t.first -= LANES - t.count, t.count = LANES;
    return t;
}

/* Bring `channels` channels of the tile within reach of `rows`: in place, or as packed rows. */
INLINE void NAME(reach)(const job *j, tile t, const void *image, long channels, table *rows, REAL *pack) {
    if (!j->packed) {
        REAL *first = (REAL *)image + t.image * channels * j->pixels + t.first;
        for (long c = 0; c < channels; c++) rows->row[c] = first + c * j->pixels;
        rows->last = t.count - LANES;
        rows->way = j->way;
        return;
    }
    for (long c = 0; c < channels; c++) rows->row[c] = pack + c * j->row;
    rows->last = (t.vectors - 1) * LANES;
}

INLINE void NAME(rows_in)(const job *j, tile t, const void *image, long channels, table *rows, REAL *pack) {
    NAME(reach)(j, t, image, channels, rows, pack);
    if (!j->packed) return;
    int half = j->half;
    if (t.count % LANES)
        for (long c = 0; c < channels; c++) store(rows->row[c] + rows->last, (vec){0});
    if (j->channels_last) {
#if HALVES
        if (half) {
            NAME(rows_from_pixels)((const uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1);
            return;
        }
#endif
        NAME(rows_from_pixels)((const REAL *)image + t.first * channels, channels, t.count, rows->row, 0);
        return;
    }
    long each = j->images_per_tile ? j->pixels : t.count;
    for (long i = 0; i < t.images; i++)
        for (long c = 0; c < channels; c++) {
            long at = ((t.image + i) * channels + c) * j->pixels + t.first;
            NAME(copy_in)(image, at, rows->row[c] + i * each, each, half);
        }
}

INLINE void NAME(rows_done)(const job *j, tile t, void *image, long channels, const table *rows) {
    if (!j->packed) return;
    int half = j->half;
    if (j->channels_last) {
#if HALVES
        if (half) {
            NAME(pixels_from_rows)((uint16_t *)image + t.first * channels, channels, t.count, rows->row, 1, IN_CACHES);
            return;
        }
#endif
        NAME(pixels_from_rows)((REAL *)image + t.first * channels, channels, t.count, rows->row, 0,
                               j->way);
        return;
    }
    long each = j->images_per_tile ? j->pixels : t.count;
    for (long i = 0; i < t.images; i++)
        for (long c = 0; c < channels; c++) {
            long at = ((t.image + i) * channels + c) * j->pixels + t.first;
            NAME(copy_out)(rows->row[c] + i * each, image, at, each, half);
        }
}
