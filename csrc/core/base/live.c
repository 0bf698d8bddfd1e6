/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of live objects by kind. Relaxed order: read when threads are done. */
#include "base/live.h"

#include <stdatomic.h>

static _Atomic int64_t counts[LA_LIVE_COUNT];

static const char *const names[LA_LIVE_COUNT] = {
#define LA_X(name) #name,
    LA_LIVE_LIST(LA_X)
#undef LA_X
};

void
la_live_add(la_live kind, int64_t by)
{
    atomic_fetch_add_explicit(&counts[kind], by, memory_order_relaxed);
}

int64_t
la_live_count(la_live kind)
{
    unsigned index = (unsigned)kind;
    return index < LA_LIVE_COUNT ? atomic_load(&counts[index]) : 0;
}

const char *
la_live_name(la_live kind)
{
    unsigned index = (unsigned)kind;
    return index < LA_LIVE_COUNT ? names[index] : "?";
}
