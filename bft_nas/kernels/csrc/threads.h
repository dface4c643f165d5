/* A team of threads, and tasks that they take from one another. */

#ifndef THREADS_H
#define THREADS_H

#include <stdatomic.h>
#include <stdint.h>
#include "simd.h"

typedef void (*run_parallel)(void (*worker)(void *), void *argument, unsigned threads, unsigned flags);

/* Use GOMP_parallel and omp_get_thread_num of the OpenMP that the process has; without them one thread does all. */
void kernels_use_threads(run_parallel run, int (*thread_number)(void));

HIDDEN int have_threads(void);
HIDDEN void run_threads(void (*worker)(void *), void *argument, int64_t threads);

/* Tasks of one call, in the order of the images that they are for; each is done once. */
typedef struct {
    int64_t count, threads;
    atomic_char *taken; /* of each task, 0 at first */
} task_queue;

/* Where a thread is in the queue. It begins with the tasks of its number, whose images are in its caches when they were
   before, and continues with what others have left. */
typedef struct {
    int64_t first, done;
} task_cursor;

HIDDEN task_cursor first_task(const task_queue *queue);

/* The number of a task that this thread has taken; -1 when none is left. */
HIDDEN int64_t next_task(const task_queue *queue, task_cursor *cursor);

HIDDEN void run_tasks(void (*task)(const void *job, int64_t number), const void *job, int64_t count, int64_t threads);
#endif
