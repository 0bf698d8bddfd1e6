/* SPDX-License-Identifier: Apache-2.0 */
/* An environment whose allocator fails on request and counts what is in use. Files,
 * clocks and randomness are those of the environment it wraps.
 *
 *     fault_env f;
 *     fault_env_init(&f, la_env_system());
 *     for (uint64_t n = 1;; n++) {
 *         fault_env_fail_at(&f, n, false);
 *         la_status status = work(&f.env);
 *         CHECK_EQ(fault_env_in_use(&f), 0);
 *         if (!fault_env_fired(&f)) { break; }     every allocation had its turn
 *     }
 *
 * Each block knows its size: giving back another size, or a block twice, stops the
 * test. Growing always moves, so that a pointer kept from before shows up under ASAN.
 */
#ifndef LA_TESTS_FAULT_ENV_H
#define LA_TESTS_FAULT_ENV_H

#include <stdatomic.h>

#include "lambdaarch.h"

typedef struct fault_env {
    la_env env; /* give this to the code under test */
    const la_env *inner;
    _Atomic uint64_t count;   /* allocations asked for since fail_at */
    _Atomic uint64_t fail_at; /* 0: none */
    _Atomic bool forever;
    _Atomic bool fired;
    _Atomic uint64_t in_use; /* bytes */
    _Atomic uint64_t peak;
} fault_env;

void fault_env_init(fault_env *f, const la_env *inner);
/* The n-th allocation or growth from now on fails, n >= 1; then also all later ones
 * when `forever`. n 0: none fails. */
void fault_env_fail_at(fault_env *f, uint64_t n, bool forever);
bool fault_env_fired(const fault_env *f); /* a failure happened since fail_at */
uint64_t fault_env_in_use(const fault_env *f);

#endif
