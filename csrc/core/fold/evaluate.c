/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and their classes, in this order (semantics 4): erased, quarantined, duplicate,
 * retracted, filtered, failed, counted; each row is added to the first that applies.
 *
 * A row fails only by expressions that reach it (plan.md, "Failing rows"): `where`
 * hides a row from the rest, a filter hides it from its argument. So up to three kinds
 * of programs run:
 *
 *   where     alone, when something behind it can fail
 *   main      keys, filters, arguments; and where, when nothing behind it can fail
 *   guarded   an argument that can fail behind a filter, over the rows the filter admits
 *
 * Invariants
 *  1. A plan without expressions that can fail is one program, one run a chunk.
 *  2. With on_error = stop all programs run before the lowest failing row is named. */
#include "fold/evaluate.h"

#include "base/error.h"
#include "fold/kernel.h"

#define NOWHERE UINT32_MAX

typedef struct argument {
    uint32_t arg;        /* place in vecs, NOWHERE: len */
    uint32_t filter;     /* place in vecs, NOWHERE: none */
    la_program *guarded; /* runs the argument apart; its vec is at `arg` all the same */
    la_column expanded;  /* a constant argument as a column */
    void *values;
    size_t values_size;
    la_dict *dict; /* a constant text is a category of one entry */
} argument;

struct la_evaluation {
    la_plan *plan;
    const la_env *env;
    la_program *where;
    la_program *main;
    uint32_t main_count;
    uint32_t where_at; /* place in vecs, NOWHERE: none */
    bool main_fails;   /* it can */
    la_vec *vecs;      /* keys, then the rest of main, then where and guarded ones */
    uint32_t vec_count;
    argument *args;
    uint32_t alive_count;
    bool all_alive;
    uint64_t lowest; /* failing position of this chunk */
    uint8_t lowest_reason;
    uint8_t alive[LA_CHUNK_ROWS];
    uint8_t failed[LA_CHUNK_ROWS];
    uint8_t admitted[LA_CHUNK_ROWS];
    uint32_t rows[LA_CHUNK_ROWS];
    uint32_t filtered_rows[LA_CHUNK_ROWS];
    int64_t times[LA_CHUNK_ROWS];
};

/* ---------------------------------------------------------------- programs */

static bool can_fail(const la_expr *expr);

static bool
op_can_fail(const la_expr *expr)
{
    switch (expr->op) {
    case LA_OP_COL:
    case LA_OP_LIT:
    case LA_OP_AND:
    case LA_OP_OR:
    case LA_OP_NOT:
    case LA_OP_IS_NULL:
    case LA_OP_IS_NOT_NULL:
    case LA_OP_IS_NAN:
        return false;
    case LA_OP_ADD:
    case LA_OP_SUB:
    case LA_OP_MUL:
    case LA_OP_DIV:
    case LA_OP_NEG:
    case LA_OP_ABS:
        /* Operands of another type are converted, which can fail too. */
        for (uint32_t i = 0; i < expr->arg_count; i++) {
            if (!la_type_is_float(expr->args[i]->type)) {
                return true;
            }
        }
        return false;
    case LA_OP_EQ:
    case LA_OP_NE:
    case LA_OP_LT:
    case LA_OP_LE:
    case LA_OP_GT:
    case LA_OP_GE:
    case LA_OP_FILL_NULL:
    case LA_OP_WHEN:
    case LA_OP_IS_IN: {
        uint32_t first = expr->op == LA_OP_WHEN ? 1 : 0;
        for (uint32_t i = first + 1; i < expr->arg_count; i++) {
            const la_expr *a = expr->args[first], *b = expr->args[i];
            if (a->type != b->type || a->scale != b->scale) {
                return true;
            }
        }
        return false;
    }
    default:
        return true;
    }
}

static bool
can_fail(const la_expr *expr)
{
    if (expr == NULL) {
        return false;
    }
    if (op_can_fail(expr)) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (can_fail(expr->args[i])) {
            return true;
        }
    }
    return false;
}

/* Whether an expression behind `where` can fail. */
static bool
rest_can_fail(const la_plan *plan)
{
    for (uint32_t k = 0; k < plan->key_count; k++) {
        if (can_fail(plan->keys[k].expr)) {
            return true;
        }
    }
    for (uint32_t a = 0; a < plan->agg_count; a++) {
        if (can_fail(plan->aggs[a].arg) || can_fail(plan->aggs[a].filter)) {
            return true;
        }
    }
    return false;
}

/* Orders the expressions into main's list, then where and guarded arguments. */
static void
lay_out(la_evaluation *e, la_expr **exprs)
{
    const la_plan *plan = e->plan;
    bool behind = rest_can_fail(plan);
    uint32_t count = 0;

    for (uint32_t k = 0; k < plan->key_count; k++) {
        exprs[count++] = plan->keys[k].expr;
    }
    for (uint32_t a = 0; a < plan->agg_count; a++) {
        const la_plan_agg *agg = &plan->aggs[a];
        bool guarded = agg->filter != NULL && can_fail(agg->arg);
        e->args[a].arg = NOWHERE;
        e->args[a].filter = NOWHERE;
        if (agg->arg != NULL && !guarded) {
            e->args[a].arg = count;
            exprs[count++] = agg->arg;
        }
        if (agg->filter != NULL) {
            e->args[a].filter = count;
            exprs[count++] = agg->filter;
        }
    }
    e->where_at = NOWHERE;
    if (plan->where != NULL) {
        e->where_at = count;
        exprs[count] = plan->where;
    }
    e->main_fails = behind || can_fail(plan->where);
    e->main_count = count + (plan->where != NULL && !behind);
    e->vec_count = count + (plan->where != NULL);
    for (uint32_t a = 0; a < plan->agg_count; a++) {
        if (plan->aggs[a].arg != NULL && e->args[a].arg == NOWHERE) {
            e->args[a].arg = e->vec_count;
            exprs[e->vec_count++] = plan->aggs[a].arg;
        }
    }
}

static la_status
make_programs(la_evaluation *e, la_expr **exprs, la_error *err)
{
    const la_plan *plan = e->plan;
    la_status status =
        la_program_new(e->env, plan->schema, exprs, e->main_count, &e->main, err);

    if (status == LA_OK && e->where_at != NOWHERE && e->where_at >= e->main_count) {
        status = la_program_new(e->env, plan->schema, &exprs[e->where_at], 1, &e->where,
                                err);
    }
    for (uint32_t a = 0; a < plan->agg_count && status == LA_OK; a++) {
        if (e->args[a].arg != NOWHERE && e->args[a].arg >= e->main_count) {
            status = la_program_new(e->env, plan->schema, &exprs[e->args[a].arg], 1,
                                    &e->args[a].guarded, err);
        }
    }
    return status;
}

static size_t
expression_count_max(const la_plan *plan)
{
    return (size_t)plan->key_count + 2 * (size_t)plan->agg_count + 1;
}

la_status
la_evaluation_new(la_plan *plan, la_evaluation **out, la_error *err)
{
    const la_env *env = plan->env;
    size_t count = expression_count_max(plan);
    la_evaluation *e = la_calloc(env, 1, sizeof *e);
    la_expr **exprs = la_calloc(env, count, sizeof *exprs);
    la_status status;

    if (e != NULL) {
        e->plan = plan;
        e->env = env;
        e->vecs = la_calloc(env, count, sizeof *e->vecs);
        e->args = la_calloc(env, plan->agg_count, sizeof *e->args);
    }
    if (e == NULL || exprs == NULL || e->vecs == NULL || e->args == NULL) {
        status = la_fail_nomem(err, sizeof *e);
    }
    else {
        lay_out(e, exprs);
        status = make_programs(e, exprs, err);
    }
    la_dealloc(env, exprs, count * sizeof *exprs);
    if (status != LA_OK) {
        la_evaluation_free(e);
        return status;
    }
    *out = e;
    return LA_OK;
}

void
la_evaluation_free(la_evaluation *e)
{
    if (e == NULL) {
        return;
    }
    for (uint32_t a = 0; e->args != NULL && a < e->plan->agg_count; a++) {
        la_program_free(e->args[a].guarded);
        la_dealloc(e->env, e->args[a].values, e->args[a].values_size);
        la_dict_release(e->args[a].dict);
    }
    la_program_free(e->where);
    la_program_free(e->main);
    la_dealloc(e->env, e->args, e->plan->agg_count * sizeof *e->args);
    la_dealloc(e->env, e->vecs, expression_count_max(e->plan) * sizeof *e->vecs);
    la_dealloc(e->env, e, sizeof *e);
}

size_t
la_evaluation_memory(const la_evaluation *e)
{
    return e == NULL ? 0 : sizeof *e;
}

/* ------------------------------------------------------------------ classes */

LA_INLINE bool
is_true(const la_vec *vec, uint32_t row)
{
    uint32_t at = vec->constant ? 0 : row;
    return ((const uint8_t *)vec->column.data)[at] != 0 &&
           (vec->column.valid == NULL || vec->column.valid[at] != 0);
}

static uint64_t *
class_of(la_counts *counts, uint8_t verdict)
{
    switch (verdict) {
    case LA_V_ERASED:
        return &counts->erased;
    case LA_V_DUPLICATE:
        return &counts->duplicate;
    case LA_V_NEGATIVE:
    case LA_V_PENDING:
    case LA_V_CANCELLED:
        return &counts->retracted;
    default: /* quarantined, hole */
        return &counts->quarantined;
    }
}

/* Writes `alive` on the first death of a chunk. */
static void
kill_row(la_evaluation *e, uint32_t rows, uint32_t row)
{
    if (e->all_alive) {
        memset(e->alive, 1, rows);
        e->all_alive = false;
    }
    e->alive[row] = 0;
    e->alive_count--;
}

static void
apply_verdicts(la_evaluation *e, const la_chunk *chunk, la_counts *counts)
{
    uint8_t any = 0;

    e->all_alive = true;
    e->alive_count = chunk->rows;
    if (chunk->verdicts == NULL) {
        return;
    }
    for (uint32_t i = 0; i < chunk->rows; i++) {
        any |= chunk->verdicts[i];
    }
    for (uint32_t i = 0; any != 0 && i < chunk->rows; i++) {
        if (chunk->verdicts[i] != LA_V_OK) {
            ++*class_of(counts, chunk->verdicts[i]);
            kill_row(e, chunk->rows, i);
        }
    }
}

static void
fail_row(la_evaluation *e, const la_chunk *chunk, uint32_t row, uint8_t reason,
         la_counts *counts)
{
    uint64_t position = chunk->position + row;
    if (position < e->lowest) {
        e->lowest = position;
        e->lowest_reason = reason;
    }
    counts->failed++;
    counts->failed_by[reason < LA_REASON_COUNT ? reason : LA_REASON_NONE]++;
    if (position < counts->failed_first) {
        counts->failed_first = position;
    }
    kill_row(e, chunk->rows, row);
}

/* Rows marked by the program that ran last. */
static void
apply_failures(la_evaluation *e, const la_chunk *chunk, la_counts *counts)
{
    uint8_t any = 0;

    if (e->plan->on_error == LA_ON_ERROR_NULL) {
        return; /* their values are null already */
    }
    for (uint32_t i = 0; i < chunk->rows; i++) {
        any |= e->failed[i];
    }
    for (uint32_t i = 0; any != 0 && i < chunk->rows; i++) {
        if (e->failed[i] != 0 && (e->all_alive || e->alive[i] != 0)) {
            fail_row(e, chunk, i, e->failed[i], counts);
        }
    }
}

/* alive &= value; returns how many are left. */
LA_LOOP static uint32_t
keep_true(uint8_t *restrict alive, const uint8_t *restrict value, const uint8_t *valid,
          uint32_t rows)
{
    uint32_t left = 0;
    if (valid != NULL) {
        for (uint32_t i = 0; i < rows; i++) {
            alive[i] &= (uint8_t)((value[i] != 0) & valid[i]);
        }
    }
    else {
        for (uint32_t i = 0; i < rows; i++) {
            alive[i] &= (uint8_t)(value[i] != 0);
        }
    }
    for (uint32_t i = 0; i < rows; i++) {
        left += alive[i];
    }
    return left;
}

static void
apply_where(la_evaluation *e, const la_chunk *chunk, la_counts *counts)
{
    const la_vec *where = &e->vecs[e->where_at];
    uint32_t rows = chunk->rows, left = 0;

    if (where->constant) {
        if (is_true(where, 0)) {
            return;
        }
        memset(e->alive, 0, rows);
    }
    else if (e->all_alive) {
        memset(e->alive, 1, rows);
    }
    if (!where->constant) {
        left = keep_true(e->alive, where->column.data, where->column.valid, rows);
    }
    counts->filtered += e->alive_count - left;
    e->all_alive = left == rows;
    e->alive_count = left;
}

static la_status
run_program(la_evaluation *e, la_program *program, const la_chunk *chunk,
            const uint8_t *select, uint32_t at, la_counts *counts, la_error *err)
{
    memset(e->failed, 0, chunk->rows);
    la_status status =
        la_program_run(program, chunk, select, e->failed, &e->vecs[at], err);
    if (status == LA_OK) {
        apply_failures(e, chunk, counts);
    }
    return status;
}

static const uint8_t *
selection(const la_evaluation *e)
{
    return e->all_alive ? NULL : e->alive;
}

static la_status
run_guarded(la_evaluation *e, const la_chunk *chunk, la_counts *counts, la_error *err)
{
    for (uint32_t a = 0; a < e->plan->agg_count; a++) {
        argument *arg = &e->args[a];
        if (arg->guarded == NULL) {
            continue;
        }
        const la_vec *filter = &e->vecs[arg->filter];
        for (uint32_t i = 0; i < chunk->rows; i++) {
            e->admitted[i] = (e->all_alive || e->alive[i] != 0) && is_true(filter, i);
        }
        la_status status =
            run_program(e, arg->guarded, chunk, e->admitted, arg->arg, counts, err);
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

/* Event times: null ones become INT64_MIN; they have no window, so there they fail. */
static const int64_t *
load_times(la_evaluation *e, const la_chunk *chunk, la_counts *counts)
{
    if (e->plan->time_column < 0) {
        return NULL;
    }
    const la_column *column = &chunk->columns[e->plan->time_column];
    const int64_t *times = column->data;
    if (times == NULL || column->valid == NULL) {
        return times;
    }
    for (uint32_t i = 0; i < chunk->rows; i++) {
        e->times[i] = column->valid[i] != 0 ? times[i] : INT64_MIN;
        if (column->valid[i] == 0 && e->plan->window.kind != LA_WINDOW_NONE &&
            (e->all_alive || e->alive[i] != 0)) {
            fail_row(e, chunk, i, LA_REASON_CAST, counts);
        }
    }
    return e->times;
}

static la_status
stop(const la_evaluation *e, la_error *err)
{
    la_status status = la_fail(err, LA_EVALUATION, "could not fold row %llu: %s",
                               (unsigned long long)e->lowest,
                               la_reason_text((la_reason)e->lowest_reason));
    if (err != NULL) {
        err->position = e->lowest;
    }
    la_error_hint(err,
                  "with on_error=\"set_aside\" such rows are counted and left out");
    return status;
}

la_status
la_evaluation_run(la_evaluation *e, const la_chunk *chunk, la_counts *counts,
                  la_evaluated *out, la_error *err)
{
    la_status status = LA_OK;

    e->lowest = LA_NO_POSITION;
    apply_verdicts(e, chunk, counts);
    if (e->where != NULL) {
        status =
            run_program(e, e->where, chunk, selection(e), e->where_at, counts, err);
        if (status == LA_OK) {
            apply_where(e, chunk, counts);
        }
    }
    if (status == LA_OK && e->main_count > 0) {
        status = run_program(e, e->main, chunk, e->main_fails ? selection(e) : NULL, 0,
                             counts, err);
    }
    if (status == LA_OK && e->where == NULL && e->where_at != NOWHERE) {
        apply_where(e, chunk, counts);
    }
    if (status == LA_OK) {
        status = run_guarded(e, chunk, counts, err);
    }
    if (status != LA_OK) {
        return status;
    }
    out->times = load_times(e, chunk, counts);
    if (e->lowest != LA_NO_POSITION && e->plan->on_error == LA_ON_ERROR_STOP) {
        return stop(e, err);
    }
    out->keys = e->vecs;
    out->count = e->alive_count;
    out->rows = e->all_alive ? NULL : e->rows;
    for (uint32_t i = 0, found = 0; !e->all_alive && i < chunk->rows; i++) {
        e->rows[found] = i;
        found += e->alive[i] != 0;
    }
    counts->counted += e->alive_count;
    return LA_OK;
}

/* ---------------------------------------------------------------- arguments */

/* One value, LA_CHUNK_ROWS times. Texts become codes of a category with one entry. */
static la_status
expand(la_evaluation *e, argument *arg, const la_vec *vec, la_error *err)
{
    const la_column *from = &vec->column;
    bool text = la_type_is_text(from->type);
    size_t size = text ? sizeof(uint32_t) : la_type_size(from->type);
    bool null = from->type == LA_T_NULL || la_column_is_null(from, 0);

    if (arg->values == NULL) {
        arg->values_size = LA_CHUNK_ROWS * (sizeof(uint64_t) + 1);
        arg->values = la_calloc(e->env, 1, arg->values_size);
        if (arg->values == NULL) {
            return la_fail_nomem(err, arg->values_size);
        }
    }
    uint8_t *values = arg->values;
    uint8_t *valid = values + LA_CHUNK_ROWS * sizeof(uint64_t);
    arg->expanded =
        (la_column){.type = from->type, .scale = from->scale, .data = values};
    if (null) {
        arg->expanded.valid = valid; /* all 0 */
        return LA_OK;
    }
    if (!text) {
        for (uint32_t i = 0; i < LA_CHUNK_ROWS; i++) {
            memcpy(values + i * size, from->data, size);
        }
        return LA_OK;
    }
    la_dict_release(arg->dict);
    arg->dict = NULL;
    size_t text_size;
    uint32_t code;
    const char *at = la_load_text(from, 0, &text_size);
    la_status status = la_dict_new(e->env, &arg->dict, err);
    if (status == LA_OK) {
        status = la_dict_add(arg->dict, at, text_size, &code, err);
    }
    arg->expanded.type = LA_T_CAT;
    arg->expanded.dict = arg->dict;
    return status;
}

la_status
la_evaluation_argument(la_evaluation *e, uint32_t agg, const la_evaluated *evaluated,
                       const la_column **column, const uint32_t **rows, uint32_t *count,
                       la_error *err)
{
    argument *arg = &e->args[agg];

    *column = arg->arg == NOWHERE ? NULL : &e->vecs[arg->arg].column;
    *rows = evaluated->rows;
    *count = evaluated->count;
    if (arg->filter != NOWHERE) {
        const la_vec *filter = &e->vecs[arg->filter];
        uint32_t found = 0;
        for (uint32_t i = 0; i < evaluated->count; i++) {
            uint32_t row = evaluated->rows != NULL ? evaluated->rows[i] : i;
            e->filtered_rows[found] = row;
            found += is_true(filter, row);
        }
        if (found < evaluated->count) {
            *rows = e->filtered_rows;
            *count = found;
        }
    }
    if (*column != NULL && e->vecs[arg->arg].constant) {
        la_status status = expand(e, arg, &e->vecs[arg->arg], err);
        *column = &arg->expanded;
        return status;
    }
    return LA_OK;
}
