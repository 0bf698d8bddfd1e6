/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share: an allocator that bounds and counts, a file system of one file, the
 * envelope of documents. A target is
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *     {
 *         fuzz_begin();
 *         ... decode; FUZZ_CHECK what must hold of anything that was accepted ...
 *         return fuzz_end();
 *     }
 *
 * and is linked with driver.c, or with clang's -fsanitize=fuzzer. */
#ifndef LA_FUZZ_FUZZ_H
#define LA_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/document.h"
#include "chunk/chunk.h"
#include "expr/plan.h"

#define FUZZ_INPUT_MAX 65536u
/* What one input may make a decoder hold; beyond, the allocator gives NULL. */
#define FUZZ_MEMORY_MAX (64u << 20)

#define FUZZ_CHECK(condition)                                                          \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void fuzz_begin(void);
int fuzz_end(void); /* nothing that was made since fuzz_begin is alive; 0 */

const la_env *fuzz_env(void); /* counted memory; files and clocks of the system */
/* Counted memory, and a file system where every path is a file with these bytes (borrowed
 * until the next call). Reading only. */
const la_env *fuzz_file_env(const void *data, size_t size);
/* The same memory with the files of `io`. */
la_env fuzz_env_with(const la_env *io);

extern const uint8_t fuzz_uuid[16];
/* A whole, valid document around `body`, appended; `id` may be NULL. */
void fuzz_put_document(la_buf *to, la_doc_kind kind, uint64_t number, const void *body,
                       size_t size, la_doc_id *id);

/* A log "orders" with a column of every type, event time "ts"; made once. */
extern const char *const fuzz_spec;
const la_schema *fuzz_schema(void);
const la_plan_source *fuzz_source(void);
/* A few rows of hard values, with nulls and verdicts; made once. */
const la_chunk *fuzz_chunk(void);
la_plan *fuzz_plan(const char *json); /* must be right */
/* A plan for every aggregate over every type that it takes, by column "i"; made once. */
la_plan *const *fuzz_state_plans(uint32_t *count);

#endif
