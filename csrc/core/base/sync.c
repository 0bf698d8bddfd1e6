/* SPDX-License-Identifier: Apache-2.0 */
/* Mutex, condition and thread over pthreads. A failing lock call is our mistake (a bad
 * or foreign object), so it stops the process in every build. */
#include "base/sync.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

static void
must(int os_errno, const char *what)
{
    if (os_errno != 0) {
        fprintf(stderr, "lambdaarch: %s failed with %d\n", what, os_errno);
        abort();
    }
}

void
la_mutex_init(la_mutex *mutex)
{
    must(pthread_mutex_init(&mutex->inner, NULL), "mutex init");
}

void
la_mutex_fini(la_mutex *mutex)
{
    must(pthread_mutex_destroy(&mutex->inner), "mutex destroy");
}

void
la_mutex_lock(la_mutex *mutex)
{
    must(pthread_mutex_lock(&mutex->inner), "mutex lock");
}

void
la_mutex_unlock(la_mutex *mutex)
{
    must(pthread_mutex_unlock(&mutex->inner), "mutex unlock");
}

void
la_cond_init(la_cond *cond)
{
    /* The monotonic clock, so that setting the wall clock stretches no wait. */
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes), "condattr init");
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), "condattr clock");
    must(pthread_cond_init(&cond->inner, &attributes), "cond init");
    must(pthread_condattr_destroy(&attributes), "condattr destroy");
}

void
la_cond_fini(la_cond *cond)
{
    must(pthread_cond_destroy(&cond->inner), "cond destroy");
}

void
la_cond_wait(la_cond *cond, la_mutex *mutex)
{
    must(pthread_cond_wait(&cond->inner, &mutex->inner), "cond wait");
}

bool
la_cond_wait_for(la_cond *cond, la_mutex *mutex, int64_t wait_ns)
{
    struct timespec until;
    must(clock_gettime(CLOCK_MONOTONIC, &until), "clock");
    wait_ns = wait_ns < 0 ? 0 : wait_ns;
    int64_t ns = (int64_t)until.tv_nsec + wait_ns % 1000000000;
    until.tv_sec += (time_t)(wait_ns / 1000000000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int rc = pthread_cond_timedwait(&cond->inner, &mutex->inner, &until);
    if (rc == ETIMEDOUT) {
        return false;
    }
    must(rc, "cond timedwait");
    return true;
}

void
la_cond_broadcast(la_cond *cond)
{
    must(pthread_cond_broadcast(&cond->inner), "cond broadcast");
}

la_status
la_thread_start(la_thread *thread, void *(*run)(void *), void *arg, la_error *err)
{
    /* Signals belong to the caller's threads: a worker must not see EINTR or take
     * Ctrl-C. */
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before), "sigmask");
    int rc = pthread_create(&thread->inner, NULL, run, arg);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL), "sigmask");
    if (rc != 0) {
        return la_fail_os(err, rc, NULL, "could not start a thread");
    }
    return LA_OK;
}

void
la_thread_join(la_thread *thread)
{
    must(pthread_join(thread->inner, NULL), "join");
}

uint32_t
la_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int count = CPU_COUNT(&set);
        return count < 1 ? 1u : (uint32_t)count;
    }
    long online =
        sysconf(_SC_NPROCESSORS_ONLN); /* more processors than cpu_set_t holds */
    return online < 1 ? 1u : (uint32_t)online;
}
