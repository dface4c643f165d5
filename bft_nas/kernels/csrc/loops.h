/* What the kernels of this folder are written with: loops that unfold, and threads. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

/* GOMP_parallel and omp_get_thread_num of the OpenMP that the process has. */
static parallel in_parallel;
static int (*thread_number)(void);

/* Tasks of one call, in the order of the images that they are for; each is done once. */
typedef struct {
    void (*task)(const void *of, long number);
    const void *of;
    long count, threads;
    atomic_char *taken;
} tasks;

/* A thread begins with the tasks of its number, whose images are in its caches when they were before, and goes on with
   what others have left. */
static void work(void *argument) {
    tasks *t = argument;
    long first = t->threads > 1 ? thread_number() * t->count / t->threads : 0;
    for (long k = 0; k < t->count; k++) {
        long number = (first + k) % t->count;
        if (!atomic_exchange(&t->taken[number], 1)) t->task(t->of, number);
    }
}

static void do_tasks(void (*task)(const void *of, long number), const void *of, long count, long threads) {
    atomic_char taken[count];
    memset(taken, 0, sizeof taken);
    tasks t = {task, of, count, threads < count ? threads : count, taken};
    if (in_parallel && t.threads > 1)
        in_parallel(work, &t, (unsigned)t.threads, 0);
    else
        work(&t);
}
