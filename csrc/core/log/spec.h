/* SPDX-License-Identifier: Apache-2.0 */
/* A log's definition: its fields, event time, dedupe columns and checks. JSON form:
 * docs/ internals/format/log.md, "Manifest". Private to log/. */
#ifndef LA_LOG_SPEC_H
#define LA_LOG_SPEC_H

#include "chunk/schema.h"
#include "expr/plan.h"

typedef struct la_log_def {
    const la_env *env;
    la_arena arena; /* expressions, dedupe */
    const la_schema *schema;
    int32_t time_column; /* -1: none */
    uint32_t *dedupe;    /* columns */
    uint32_t dedupe_count;
    la_expr **checks;
    char **check_texts; /* canonical JSON of each check */
    uint32_t check_count;
    char *canonical;
} la_log_def;

LA_MUST_CHECK la_status la_log_def_parse(const la_env *env, const char *spec,
                                         la_log_def *out, la_error *err);
void la_log_def_fini(la_log_def *def); /* accepts zeroed */
/* LA_CONFLICT with the first difference of two canonical specs of log `name`. */
LA_MUST_CHECK la_status la_log_def_same(const la_env *env, const char *name,
                                        const char *stored, const char *given,
                                        la_error *err);

#endif
