/* SPDX-License-Identifier: Apache-2.0 */
/* The tail page: how far the open segment is written and durable, shared by the one
 * writer and its readers through mapped memory. It has its own checksum; frames
 * are verified before they are used. Bytes: docs/internals/format/log.md, "Tail page".
 * Private to log/. */
#ifndef LA_LOG_TAIL_H
#define LA_LOG_TAIL_H

#include "lambdaarch.h"

#define LA_TAIL_BYTES 4096u

typedef struct la_tail_values {
    uint64_t epoch;
    uint64_t segment;
    uint64_t published_len, published_end;
    uint64_t durable_len, durable_end;
} la_tail_values;

typedef struct la_tail {
    void *page; /* NULL: not mapped */
    bool writable;
} la_tail;

/* Maps folder/tail. Readers: page stays NULL where there is none yet. */
LA_MUST_CHECK la_status la_tail_open(const la_env *env, const char *folder,
                                     bool writable, la_tail *tail, la_error *err);
void la_tail_close(const la_env *env, la_tail *tail);
/* One writer at a time (its lock). */
void la_tail_store(la_tail *tail, const uint8_t uuid[16], const la_tail_values *values);
/* Odd: a writer changes the values, or died while it did. 0 without a page. */
uint64_t la_tail_sequence(const la_tail *tail);
/* false: no valid values of this log there. */
bool la_tail_load(const la_tail *tail, const uint8_t uuid[16], la_tail_values *values);

#endif
