/* SPDX-License-Identifier: Apache-2.0 */
/* Mutex, condition and thread, thin over pthreads; errors here are our mistakes:
 * asserted. */
#ifndef LA_BASE_SYNC_H
#define LA_BASE_SYNC_H

#include <pthread.h>

#include "lambdaarch.h"

typedef struct la_mutex {
    pthread_mutex_t inner;
} la_mutex;
typedef struct la_cond {
    pthread_cond_t inner;
} la_cond;
typedef struct la_thread {
    pthread_t inner;
} la_thread;

void la_mutex_init(la_mutex *mutex);
void la_mutex_fini(la_mutex *mutex);
void la_mutex_lock(la_mutex *mutex);
void la_mutex_unlock(la_mutex *mutex);
void la_cond_init(la_cond *cond);
void la_cond_fini(la_cond *cond);
void la_cond_wait(la_cond *cond, la_mutex *mutex);
/* false when `wait_ns` passed without a signal. */
bool la_cond_wait_for(la_cond *cond, la_mutex *mutex, int64_t wait_ns);
void la_cond_broadcast(la_cond *cond);
LA_MUST_CHECK la_status la_thread_start(la_thread *thread, void *(*run)(void *),
                                        void *arg, la_error *err);
void la_thread_join(la_thread *thread);
uint32_t la_cpu_count(void); /* that this process may use */

#endif
