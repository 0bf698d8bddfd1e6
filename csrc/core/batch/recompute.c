/* SPDX-License-Identifier: Apache-2.0 */
/* Parallel fold: the log is cut into ranges, threads take them in turn, each into a fold of
 * its own; merging is in fold/. Which thread took which range cannot be seen in the result,
 * because states do not depend on order (law 2).
 *
 * States: running --(ranges used up, failure or stop)--> finished; threads are joined by
 * whoever looks next. `mutex` guards all fields below it.
 */
#include <assert.h>

#include "base/error.h"
#include "base/mem.h"
#include "batch/run.h"

/* Ranges a thread gets on average: enough for even ends, few enough to stay long. */
#define RANGES_PER_THREAD 16u
/* Below this a second thread costs more than it saves. */
#define ROWS_PER_THREAD_MIN 65536u
#define BOUNDS_MAX (RANGES_PER_THREAD * LA_THREADS_MAX + 1)

typedef struct worker {
    struct la_recompute *recompute;
    la_thread thread;
    bool started;
    la_fold *fold;
} worker;

struct la_recompute {
    const la_env *env;
    la_plan *plan;
    la_snapshot *snapshot;
    uint64_t memory_max; /* of all threads together, and of what they merge to */
    uint64_t share;      /* a thread's */
    uint32_t worker_count;
    worker *workers;
    uint64_t *bounds;
    uint32_t range_count;
    bool joined;
    uint64_t rows_done; /* atomic */
    bool stop;          /* atomic */
    la_mutex mutex;
    la_cond finished;
    uint32_t running;
    uint32_t next_range;
    la_status status;
    la_error error;
};

/* ------------------------------------------------------------------- threads */

/* The next range; false when there is none, or none that matters. Ranges are taken in order: a
 * row that fails at a lower position than one found can only be in a range taken already, and
 * those are gone through. */
static bool
take_range(la_recompute *r, uint64_t *from, uint64_t *to)
{
    la_mutex_lock(&r->mutex);
    bool taken = r->status == LA_OK && r->next_range < r->range_count;
    if (taken) {
        uint32_t i = r->next_range++;
        *from = r->bounds[i];
        *to = r->bounds[i + 1];
    }
    la_mutex_unlock(&r->mutex);
    return taken;
}

static void
record_failure(la_recompute *r, la_status status, const la_error *error)
{
    la_mutex_lock(&r->mutex);
    bool first = r->status == LA_OK;
    bool lower = r->status == LA_EVALUATION && status == LA_EVALUATION &&
                 error->position < r->error.position;
    bool worse = r->status == LA_EVALUATION && status != LA_EVALUATION;
    if (first || lower || worse) {
        r->status = status;
        r->error = *error;
    }
    la_mutex_unlock(&r->mutex);
}

static la_status
fold_range(la_recompute *r, la_fold *fold, uint64_t from, uint64_t to, la_error *err)
{
    la_reader *reader;
    la_status status =
        la_reader_open(r->snapshot, from, to, r->plan->columns_used, &reader, err);
    if (status != LA_OK) {
        return status;
    }
    while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
        const la_chunk *chunk;
        status = la_reader_next(reader, &chunk, err);
        if (status != LA_OK || chunk->rows == 0) {
            break;
        }
        status = la_fold_chunk(fold, chunk, err);
        if (status != LA_OK) {
            break;
        }
        __atomic_add_fetch(&r->rows_done, chunk->rows, __ATOMIC_RELAXED);
    }
    la_reader_close(reader);
    return status;
}

static void *
work(void *arg)
{
    worker *w = arg;
    la_recompute *r = w->recompute;
    uint64_t from, to;
    while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED) && take_range(r, &from, &to)) {
        la_error error = {0};
        la_status status =
            w->fold == NULL ? la_fold_new(r->plan, r->share, &w->fold, &error) : LA_OK;
        if (status == LA_OK) {
            status = fold_range(r, w->fold, from, to, &error);
        }
        if (status != LA_OK) {
            record_failure(r, status, &error);
            la_fold_free(w->fold); /* unusable after a failure */
            w->fold = NULL;
        }
    }
    la_mutex_lock(&r->mutex);
    r->running--;
    la_cond_broadcast(&r->finished);
    la_mutex_unlock(&r->mutex);
    return NULL;
}

static void
join_all(la_recompute *r)
{
    for (uint32_t i = 0; i < r->worker_count && !r->joined; i++) {
        if (r->workers[i].started) {
            la_thread_join(&r->workers[i].thread);
        }
    }
    r->joined = true;
}

/* ----------------------------------------------------------------- lifecycle */

static la_status
start_threads(la_recompute *r, la_error *err)
{
    for (uint32_t i = 0; i < r->worker_count; i++) {
        worker *w = &r->workers[i];
        w->recompute = r;
        la_mutex_lock(&r->mutex);
        r->running++;
        la_mutex_unlock(&r->mutex);
        la_status status = la_thread_start(&w->thread, work, w, err);
        if (status != LA_OK) {
            la_mutex_lock(&r->mutex);
            r->running--;
            la_mutex_unlock(&r->mutex);
            if (i > 0) {
                return LA_OK; /* fewer threads give the same answer */
            }
            return status;
        }
        w->started = true;
    }
    return LA_OK;
}

/* Threads that are worth their start, at least one. */
static uint32_t
useful_threads(uint32_t wanted, uint64_t rows)
{
    uint32_t threads = wanted == 0 ? la_cpu_count() : wanted;
    uint64_t useful = rows / ROWS_PER_THREAD_MIN + 1;
    threads = threads > LA_THREADS_MAX ? LA_THREADS_MAX : threads;
    return threads > useful ? (uint32_t)useful : threads;
}

la_status
la_recompute_start(la_plan *plan, la_snapshot *snapshot, uint64_t from, uint64_t to,
                   uint32_t threads, uint64_t memory_max, la_recompute **out,
                   la_error *err)
{
    const la_env *env = plan->env;
    la_recompute *r = la_calloc(env, 1, sizeof *r);
    if (r == NULL) {
        return la_fail_nomem(err, sizeof *r);
    }
    threads = useful_threads(threads, to - from);
    r->env = env;
    r->plan = la_plan_retain(plan);
    r->snapshot = la_snapshot_retain(snapshot);
    r->memory_max = memory_max;
    r->share = memory_max / threads;
    r->worker_count = threads;
    la_mutex_init(&r->mutex);
    la_cond_init(&r->finished);
    r->workers = la_calloc(env, threads, sizeof *r->workers);
    r->bounds = la_calloc(env, BOUNDS_MAX, sizeof *r->bounds);
    la_status status = r->workers == NULL || r->bounds == NULL
                           ? la_fail_nomem(err, threads * sizeof *r->workers)
                           : LA_OK;
    if (status == LA_OK && from < to) {
        uint32_t parts = threads == 1 ? 1 : threads * RANGES_PER_THREAD;
        la_snapshot_split(snapshot, from, to, parts, r->bounds, &r->range_count);
    }
    if (status == LA_OK) {
        status = start_threads(r, err);
    }
    if (status != LA_OK) {
        la_recompute_free(r);
        return status;
    }
    *out = r;
    return LA_OK;
}

la_status
la_recompute_wait(la_recompute *r, int64_t wait_ns, uint64_t *rows_done, la_error *err)
{
    la_mutex_lock(&r->mutex);
    if (r->running > 0) {
        (void)la_cond_wait_for(&r->finished, &r->mutex, wait_ns);
    }
    bool more = r->running > 0;
    la_mutex_unlock(&r->mutex);
    *rows_done = __atomic_load_n(&r->rows_done, __ATOMIC_RELAXED);
    if (more) {
        return LA_MORE;
    }
    join_all(r);
    if (r->status != LA_OK && err != NULL) {
        *err = r->error;
    }
    return r->status;
}

uint32_t
la_recompute_threads(const la_recompute *r)
{
    return r->worker_count;
}

la_status
la_recompute_take(la_recompute *r, la_fold **out, la_error *err)
{
    assert(r->joined && r->status == LA_OK);
    la_fold *all = r->worker_count == 1 ? r->workers[0].fold : NULL;
    la_status status = LA_OK;
    if (all != NULL) { /* its share was everything */
        r->workers[0].fold = NULL;
    }
    else { /* a thread's fold has a thread's budget: the sum needs one of its own */
        status = la_fold_new(r->plan, r->memory_max, &all, err);
    }
    for (uint32_t i = 0; i < r->worker_count && status == LA_OK; i++) {
        la_fold *one = r->workers[i].fold;
        r->workers[i].fold = NULL;
        if (one != NULL) {
            status = la_fold_merge(all, one, err);
            la_fold_free(one);
        }
    }
    if (status != LA_OK) {
        la_fold_free(all);
        return status;
    }
    *out = all;
    return LA_OK;
}

void
la_recompute_free(la_recompute *r)
{
    if (r == NULL) {
        return;
    }
    __atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
    if (r->workers != NULL) {
        join_all(r);
        for (uint32_t i = 0; i < r->worker_count; i++) {
            la_fold_free(r->workers[i].fold);
        }
    }
    const la_env *env = r->env;
    la_dealloc(env, r->workers, r->worker_count * sizeof *r->workers);
    la_dealloc(env, r->bounds, BOUNDS_MAX * sizeof *r->bounds);
    la_cond_fini(&r->finished);
    la_mutex_fini(&r->mutex);
    la_snapshot_release(r->snapshot);
    la_plan_release(r->plan);
    la_dealloc(env, r, sizeof *r);
}
