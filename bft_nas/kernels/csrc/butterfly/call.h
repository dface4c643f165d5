/* What the butterfly kernel is called with, by butterfly.py. */

#ifndef BUTTERFLY_CALL_H
#define BUTTERFLY_CALL_H

#include <stdint.h>

enum { MAX_STAGES = 32 };
enum { TYPE_FLOAT32, TYPE_FLOAT64, TYPE_BFLOAT16 };

typedef struct {
    int64_t n_in, n_out, stages, factors[MAX_STAGES];
} butterfly_shape;

/* A transform, a batch, and pointers to its elements, to the weights of each stage, and in the backward pass to their
   gradients; packed in this order by butterfly.py. Images are (batch, channels, pixels), or (batch, pixels, channels) in
   channels_last, of a type above; weights are of that type too, but float32 for bfloat16. */
typedef struct {
    const butterfly_shape *shape;
    int64_t type, threads, channels_last, batch, pixels;
    const void *x;
    void *y;
    const void *grad_y;
    void *grad_x;
    void *stages[]; /* the weights, then their gradients */
} butterfly_call;

/* A version, raised here and in butterfly.py with any change that sizes do not show, then sizes, 12 bits each. */
int64_t butterfly_interface(void);

/* y = transform(x). Returns 0, or 1 when memory ran out. */
int butterfly_forward(const butterfly_call *call);

/* grad_x and grad_weight of each stage from grad_y; the stages' inputs are computed again. The same results. */
int butterfly_backward(const butterfly_call *call);
#endif
