/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions compiled to vector kernels over chunks of at most LA_CHUNK_ROWS rows. A program
 * owns its registers: allocate once, run often, one thread. Kernels allocate nothing. */
#ifndef LA_EXPR_PROGRAM_H
#define LA_EXPR_PROGRAM_H

#include "expr/plan.h"

/* One evaluated column. Borrowed from the chunk or the program until its next run. */
typedef struct la_vec {
    la_column column; /* type, data, valid (NULL: no nulls), offsets, dict */
    bool constant;    /* one value for all rows: data[0], valid[0] */
} la_vec;

typedef struct la_program la_program;
/* Common sub-expressions of the list are evaluated once. The expressions, with their arena,
 * must live as long as the program: it borrows their literals. */
LA_MUST_CHECK la_status la_program_new(const la_env *env, const la_schema *schema,
                                       la_expr *const *exprs, uint32_t count,
                                       la_program **out, la_error *err);
void la_program_free(la_program *program);

/* Evaluates all expressions over `chunk` for rows where `select` is 1 (NULL: all).
 * `failed` (rows bytes, zeroed by the caller) gets a reason code (la_reason) for rows where an
 * expression fails; such values are null. out[i] belongs to exprs[i]; constants are laid out
 * for every row, too. Of several failures in a row the first expression's counts. The columns
 * that expressions read must be there. `failed` may be NULL. LA_ON_ERROR is the caller's
 * business. LA_NOMEM, LA_BUDGET: texts computed for these rows do not fit. */
typedef enum la_reason {
    LA_REASON_NONE,
    LA_REASON_OVERFLOW,
    LA_REASON_DIVISION_BY_ZERO,
    LA_REASON_CAST,
    LA_REASON_COUNT
} la_reason;
const char *la_reason_text(la_reason reason);

LA_MUST_CHECK la_status la_program_run(la_program *program, const la_chunk *chunk,
                                       const uint8_t *select, uint8_t *failed,
                                       la_vec *out, la_error *err);

#endif
