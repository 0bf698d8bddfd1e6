/* SPDX-License-Identifier: Apache-2.0 */
/* What a query asks for, read from its JSON (docs/internals/plan.md, "Query"). */
#ifndef LA_QUERY_SPEC_H
#define LA_QUERY_SPEC_H

#include "expr/plan.h"

/* Wanted values of one key, as ordered key bytes (chunk/value.h). */
typedef struct la_key_filter {
    uint32_t key; /* place in the plan */
    uint32_t value_count;
    struct {
        const uint8_t *bytes;
        size_t size;
    } * values;
} la_key_filter;

typedef struct la_order {
    const char *column;
    bool descending;
} la_order;

typedef struct la_query_spec {
    la_arena arena; /* owns everything below */
    const la_json *root;
    uint64_t version; /* 0: the current one and the live part */
    uint64_t as_of;   /* LA_NO_POSITION: now */
    bool parts;
    int64_t since, until; /* INT64_MIN, INT64_MAX: open */
    uint64_t limit;       /* UINT64_MAX: none */
    uint32_t order_count;
    la_order *orders;
    uint32_t column_count; /* 0: all */
    const char **columns;
    /* Known once the plan is (la_query_spec_bind). */
    uint32_t filter_count;
    la_key_filter *filters;
    bool rollup;
    uint8_t *keep_keys; /* rollup: one byte a key */
    la_window window;   /* of the answer */
} la_query_spec;

LA_MUST_CHECK la_status la_query_spec_parse(const la_env *env, const char *json,
                                            la_query_spec *out, la_error *err);
/* Reads what depends on the plan: key filters, roll-up. May be called again for another
 * plan. LA_NOT_FOUND names the key; LA_INVALID: a window that does not nest. */
LA_MUST_CHECK la_status la_query_spec_bind(la_query_spec *spec, const la_plan *plan,
                                           la_error *err);
void la_query_spec_fini(la_query_spec *spec);

#endif
