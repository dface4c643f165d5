/* What the kernel is asked, by fused.py through ctypes and by entry.c. */

enum { MAX_STAGES = 32 };
enum { FLOAT, DOUBLE, HALF };

/* A transform, a batch, and pointers to its numbers, to the weights of each stage, and in the backward pass to their
   gradients; packed in this order by fused.py. Images are (batch, channels, pixels), or (batch, pixels, channels) in
   channels_last, of a type above; weights are of that type too, but float for HALF. */
typedef struct {
    long n_in, n_out, stages, factors[MAX_STAGES];
} bft_shape;

typedef struct {
    const bft_shape *shape;
    long type, threads, channels_last, batch, pixels;
    const void *x;
    void *y;
    const void *gy;
    void *gx;
    void *stages[]; /* the weights, then their gradients */
} bft_call;

/* What fused.py expects of a call, see native.py: a version, raised there and here with any change that sizes do not show,
   and sizes. */
long bft_interface(void);

/* y = transform(x). Returns 0, or 1 when memory ran out. */
int bft_forward(const bft_call *call);
