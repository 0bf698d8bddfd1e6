/* SPDX-License-Identifier: Apache-2.0 */
/* From merged rows to the answer's columns: where, order, limit, projection, parts. */
#ifndef LA_QUERY_RESULT_H
#define LA_QUERY_RESULT_H

#include "merge/merge.h"
#include "query/spec.h"

typedef struct la_exact_cell {
    uint32_t column, row;
    char text[64];
} la_exact_cell;

typedef struct la_result {
    const la_env *env;
    la_chunk *parts[3]; /* la_part; NULL where not asked */
    const la_schema *schema;
    const uint8_t *
        *overflow; /* one a column, NULL: all fit; bytes are kept by parts[0] */
    uint32_t overflow_count;
    la_exact_cell *exact; /* cells that do not fit, as integers */
    uint32_t exact_count, exact_capacity;
} la_result;

LA_MUST_CHECK la_status la_result_make(const la_env *env, const la_query_spec *spec,
                                       const la_merge *merge, la_result *out,
                                       la_error *err);
void la_result_fini(la_result *result);

#endif
