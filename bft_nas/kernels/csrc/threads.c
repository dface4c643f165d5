#include "threads.h"

#include <string.h>

static run_parallel parallel;
static int (*thread_number)(void);

void kernels_use_threads(run_parallel run, int (*number)(void)) { parallel = run, thread_number = number; }

int have_threads(void) { return parallel != NULL; }

void run_threads(void (*worker)(void *), void *argument, int64_t threads) {
    if (parallel && threads > 1)
        parallel(worker, argument, (unsigned)threads, 0);
    else
        worker(argument);
}

task_cursor first_task(const task_queue *queue) {
    return (task_cursor){parallel && queue->threads > 1 ? thread_number() * queue->count / queue->threads : 0, 0};
}

int64_t next_task(const task_queue *queue, task_cursor *cursor) {
    while (cursor->done < queue->count) {
        int64_t number = (cursor->first + cursor->done++) % queue->count;
        if (!atomic_load(&queue->taken[number]) && !atomic_exchange(&queue->taken[number], 1)) return number;
    }
    return -1;
}

typedef struct {
    task_queue queue;
    void (*task)(const void *job, int64_t number);
    const void *job;
} task_job;

static void run_task_worker(void *argument) {
    const task_job *t = argument;
    task_cursor cursor = first_task(&t->queue);
    for (int64_t number; (number = next_task(&t->queue, &cursor)) >= 0;) t->task(t->job, number);
}

void run_tasks(void (*task)(const void *job, int64_t number), const void *job, int64_t count, int64_t threads) {
    atomic_char taken[count];
    memset(taken, 0, sizeof taken);
    task_job t = {{count, threads < count ? threads : count, taken}, task, job};
    run_threads(run_task_worker, &t, t.queue.threads);
}
