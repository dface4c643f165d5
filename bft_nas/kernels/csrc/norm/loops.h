/* The loops of norm.c for one ISA target; each file of targets/ includes this. Vectors are of a block of 16 channels on all
   of them; the compiler cuts them into those of the processor. */

#include "../simd.h"
#include "norm.h"

typedef float vec16 __attribute__((vector_size(4 * NORM_BLOCK), aligned(4)));
typedef int lanes16 __attribute__((vector_size(4 * NORM_BLOCK), aligned(4)));
typedef unsigned bits16 __attribute__((vector_size(4 * NORM_BLOCK), aligned(4)));

INLINE vec16 load_block(const float *p) { return *(const vec16 *)p; }
INLINE void store_block(float *p, vec16 v) { *(vec16 *)p = v; }
INLINE vec16 mask_block(lanes16 m, vec16 v) { return (vec16)((lanes16)v & m); }
INLINE vec16 select_block(lanes16 m, vec16 yes, vec16 no) { return (vec16)(((lanes16)yes & m) | ((lanes16)no & ~m)); }

/* Where v > 0; either where it is not a number. By the sign bits, here and below, since GCC compares vectors longer than
   the processor's one by one. */
INLINE lanes16 above_zero(vec16 v) { return (lanes16)((0 - (bits16)v) & ~(bits16)v) >> 31; }

/* Where v is 0 with a positive sign, above it, or not a number of either sign: those that x86 makes are negative, and if
   they became 0, a network that diverged would look trained. */
INLINE lanes16 not_below_zero(vec16 v) {
    bits16 bits = (bits16)v;
    return (lanes16)(~bits | (0x7f800000 - (bits & 0x7fffffff))) >> 31;
}

INLINE vec16 activated(vec16 v, int64_t activation) {
    if (activation == RELU) return mask_block(not_below_zero(v), v);
    if (activation == HARD_SWISH) {
        vec16 gate = v + 3;
        gate = mask_block(above_zero(gate), gate);
        return v * select_block(above_zero(6 - gate), gate, (vec16){0} + 6) * (1 / 6.0f);
    }
    return v;
}

/* The gradient of what the activation got, `v`. */
INLINE vec16 before_activation(vec16 v, vec16 gradient, int64_t activation) {
    if (activation == RELU) return mask_block(above_zero(v), gradient);
    if (activation == HARD_SWISH)
        return mask_block(above_zero(v + 3), select_block(above_zero(3 - v), gradient * (v * (1 / 3.0f) + 0.5f), gradient));
    return gradient;
}

/* Sums of what pixels are off the center, and of its square: of a few pixels first, which rounds less. */
static void sums_of_images(const norm_job *j, int64_t first, int64_t end, float *sums) {
    const int64_t step = j->channels;
    for (int64_t p = first, next; p < end; p = next) {
        next = p + SUM_PIXELS < end ? p + SUM_PIXELS : end;
        for (int64_t b = 0; b < j->blocks; b++) {
            const float *x = j->call->x + p * step + block_channel(j, b);
            float *to = sums + 2 * b * NORM_BLOCK;
            vec16 center = load_block(j->center + b * NORM_BLOCK), sum = {0}, square = {0};
            if (next - p == SUM_PIXELS) {
                UNROLL for (int64_t k = 0; k < SUM_PIXELS; k++) {
                    vec16 off = load_block(x + k * step) - center;
                    sum += off, square += off * off;
                    __builtin_prefetch(x + (k + SUM_PIXELS) * step);
                }
            } else
                for (int64_t k = 0; k < next - p; k++) {
                    vec16 off = load_block(x + k * step) - center;
                    sum += off, square += off * off;
                }
            store_block(to, load_block(to) + sum), store_block(to + NORM_BLOCK, load_block(to + NORM_BLOCK) + square);
        }
    }
}

INLINE void apply_with(const norm_job *j, int64_t first, int64_t end, const int64_t activation) {
    const int64_t step = j->channels;
    for (int64_t p = first; p < end; p++) {
        const float *x = j->call->x + p * step;
        float *y = j->call->y + p * step;
        for (int64_t b = 0; b < j->blocks; b++) {
            int64_t c = block_channel(j, b);
            __builtin_prefetch(y + c + PREFETCH_ELEMENTS, 1);
            vec16 scale = load_block(j->scale + b * NORM_BLOCK), shift = load_block(j->shift + b * NORM_BLOCK);
            store_block(y + c, activated(load_block(x + c) * scale + shift, activation));
        }
    }
}

static void apply(const norm_job *j, int64_t first, int64_t end, float *sums) {
    (void)sums;
    if (j->call->activation == RELU) apply_with(j, first, end, RELU);
    else if (j->call->activation == HARD_SWISH) apply_with(j, first, end, HARD_SWISH);
    else apply_with(j, first, end, IDENTITY);
}

INLINE void add_gradient(const norm_job *j, int64_t c, vec16 center, vec16 scale, vec16 shift, const int64_t activation,
                         vec16 *sum, vec16 *product) {
    vec16 x = load_block(j->call->x + c);
    vec16 g = before_activation(x * scale + shift, load_block(j->call->grad_y + c), activation);
    *sum += g, *product += g * (x - center);
    __builtin_prefetch(j->call->x + c + SUM_PIXELS * j->channels);
    __builtin_prefetch(j->call->grad_y + c + SUM_PIXELS * j->channels);
}

/* Sums of the gradient before the activation, and of its product with what pixels are off the mean; unrolled, as GCC
   keeps sums longer than the processor's vectors in memory from one round of a loop to the next. */
INLINE void sums_with(const norm_job *j, int64_t first, int64_t end, float *sums, const int64_t activation) {
    const int64_t step = j->channels;
    for (int64_t p = first, next; p < end; p = next) {
        next = p + SUM_PIXELS < end ? p + SUM_PIXELS : end;
        for (int64_t b = 0; b < j->blocks; b++) {
            int64_t c = p * step + block_channel(j, b);
            float *to = sums + 2 * b * NORM_BLOCK;
            vec16 center = load_block(j->center + b * NORM_BLOCK), sum = {0}, product = {0};
            vec16 scale = load_block(j->scale + b * NORM_BLOCK), shift = load_block(j->shift + b * NORM_BLOCK);
            if (next - p == SUM_PIXELS) {
                UNROLL for (int64_t k = 0; k < SUM_PIXELS; k++, c += step)
                    add_gradient(j, c, center, scale, shift, activation, &sum, &product);
            } else
                for (int64_t k = 0; k < next - p; k++, c += step)
                    add_gradient(j, c, center, scale, shift, activation, &sum, &product);
            store_block(to, load_block(to) + sum), store_block(to + NORM_BLOCK, load_block(to + NORM_BLOCK) + product);
        }
    }
}

static void sums_of_gradients(const norm_job *j, int64_t first, int64_t end, float *sums) {
    if (j->call->activation == RELU) sums_with(j, first, end, sums, RELU);
    else if (j->call->activation == HARD_SWISH) sums_with(j, first, end, sums, HARD_SWISH);
    else sums_with(j, first, end, sums, IDENTITY);
}

INLINE void gradients_with(const norm_job *j, int64_t first, int64_t end, const int64_t activation) {
    const int64_t step = j->channels;
    for (int64_t p = first; p < end; p++)
        for (int64_t block = 0; block < j->blocks; block++) {
            int64_t c = p * step + block_channel(j, block), b = block * NORM_BLOCK;
            vec16 x = load_block(j->call->x + c), scale = load_block(j->scale + b);
            vec16 grad_y = load_block(j->call->grad_y + c);
            vec16 g = before_activation(x * scale + load_block(j->shift + b), grad_y, activation);
            vec16 off = x - load_block(j->center + b);
            __builtin_prefetch(j->call->grad_x + c + PREFETCH_ELEMENTS, 1);
            store_block(j->call->grad_x + c,
                        scale * g + (off * load_block(j->factor + b) + load_block(j->offset + b)));
        }
}

static void gradients(const norm_job *j, int64_t first, int64_t end, float *sums) {
    (void)sums;
    if (j->call->activation == RELU) gradients_with(j, first, end, RELU);
    else if (j->call->activation == HARD_SWISH) gradients_with(j, first, end, HARD_SWISH);
    else gradients_with(j, first, end, IDENTITY);
}

const norm_code NORM = {sums_of_images, apply, sums_of_gradients, gradients};
