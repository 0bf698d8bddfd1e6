/* SPDX-License-Identifier: Apache-2.0 */
/* The answer's last steps. Rows come in key order; `where` and `order_by` look at finished
 * values, so a filter on an aggregate means what it says on the merged answer. */
#include "query/result.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/rational.h"
#include "expr/program.h"

/* --------------------------------------------------------------------- where */

static la_status
fail_where_row(const uint8_t *failed, uint32_t rows, la_error *err)
{
    for (uint32_t i = 0; i < rows; i++) {
        if (failed[i] != LA_REASON_NONE) {
            return la_fail(err, LA_EVALUATION,
                           "$.where fails on a row of the answer: %s",
                           la_reason_text((la_reason)failed[i]));
        }
    }
    return LA_OK;
}

static la_status
run_where(la_program *program, const la_chunk *chunk, la_column *columns, uint8_t *keep,
          la_error *err)
{
    uint8_t failed[LA_CHUNK_ROWS];
    for (uint32_t at = 0; at < chunk->rows; at += LA_CHUNK_ROWS) {
        uint32_t rows =
            chunk->rows - at < LA_CHUNK_ROWS ? chunk->rows - at : LA_CHUNK_ROWS;
        la_chunk slice;
        la_vec vec;
        memset(failed, 0, sizeof failed);
        la_chunk_slice(chunk, at, rows, columns, &slice);
        la_status status = la_program_run(program, &slice, NULL, failed, &vec, err);
        if (status == LA_OK) {
            status = fail_where_row(failed, rows, err);
        }
        if (status != LA_OK) {
            return status;
        }
        const uint8_t *values = vec.column.data, *valid = vec.column.valid;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t v = vec.constant ? 0 : i;
            keep[at + i] = values[v] != 0 && (valid == NULL || valid[v] != 0);
        }
    }
    return LA_OK;
}

/* keep[i] = row i passes. */
static la_status
apply_where(const la_env *env, const la_json *where, const la_chunk *chunk,
            uint8_t *keep, la_error *err)
{
    la_arena arena;
    la_arena_init(&arena, env);
    la_expr *expr;
    la_program *program = NULL;
    la_column *columns = la_alloc(env, (chunk->column_count + 1) * sizeof *columns);
    la_status status =
        columns == NULL
            ? la_fail_nomem(err, chunk->column_count * sizeof *columns)
            : la_expr_parse(where, chunk->schema, "$.where", &arena, &expr, err);
    if (status == LA_OK && expr->type != LA_T_BOOL) {
        status = la_fail(err, LA_TYPE, "$.where must be of type bool");
    }
    if (status == LA_OK) {
        status = la_program_new(env, chunk->schema, &expr, 1, &program, err);
    }
    if (status == LA_OK) {
        status = run_where(program, chunk, columns, keep, err);
    }
    la_program_free(program);
    la_dealloc(env, columns, (chunk->column_count + 1) * sizeof *columns);
    la_arena_fini(&arena);
    return status;
}

/* --------------------------------------------------------------------- order */

typedef struct sort_context {
    const la_chunk *chunk;
    uint32_t count;
    struct {
        uint32_t column;
        bool descending;
    } by[LA_AGGREGATES_MAX];
} sort_context;

static int
compare_rows(const void *a, const void *b, void *arg)
{
    const sort_context *sort = arg;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    for (uint32_t i = 0; i < sort->count; i++) {
        const la_column *column = &sort->chunk->columns[sort->by[i].column];
        la_value p = la_value_of(column, x), q = la_value_of(column, y);
        if (p.null || q.null) {
            if (p.null != q.null) {
                return p.null ? 1 : -1; /* nulls last, either way */
            }
            continue;
        }
        int c = la_value_compare(&p, &q);
        if (c != 0) {
            return sort->by[i].descending ? -c : c;
        }
    }
    return x < y ? -1 : x > y; /* key order */
}

static la_status
find_column(const la_schema *schema, const char *name, const char *what,
            uint32_t *column, la_error *err)
{
    int32_t found = la_schema_find(schema, name);
    if (found >= 0) {
        *column = (uint32_t)found;
        return LA_OK;
    }
    char known[300] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < la_schema_count(schema) && used < sizeof known - 1; i++) {
        int n = snprintf(known + used, sizeof known - used, "%s\"%s\"",
                         i == 0 ? "" : ", ", la_schema_field(schema, i)->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return la_fail(err, LA_NOT_FOUND,
                   "$.%s: the answer has no column \"%.128s\"; it has %s", what, name,
                   known);
}

static la_status
apply_order(const la_query_spec *spec, const la_chunk *chunk, uint32_t *rows,
            uint32_t count, la_error *err)
{
    if (spec->order_count == 0) {
        return LA_OK;
    }
    sort_context sort = {.chunk = chunk};
    if (spec->order_count > LA_AGGREGATES_MAX) {
        return la_fail(err, LA_INVALID,
                       "$.order_by names %u columns, at most %u can be",
                       spec->order_count, LA_AGGREGATES_MAX);
    }
    for (uint32_t i = 0; i < spec->order_count; i++) {
        la_status status = find_column(chunk->schema, spec->orders[i].column,
                                       "order_by", &sort.by[i].column, err);
        if (status != LA_OK) {
            return status;
        }
        sort.by[i].descending = spec->orders[i].descending;
    }
    sort.count = spec->order_count;
    qsort_r(rows, count, sizeof *rows, compare_rows, &sort);
    return LA_OK;
}

/* ---------------------------------------------------------------- projection */

/* `whole` seen through the columns asked for; `columns` and `picked` have room for them. */
static void
project(const la_query_spec *spec, const la_chunk *whole, const la_schema *schema,
        const uint32_t *picked, la_column *columns, la_chunk *out)
{
    *out = *whole;
    out->owner = NULL;
    out->schema = schema;
    out->column_count = spec->column_count;
    out->columns = columns;
    for (uint32_t i = 0; i < spec->column_count; i++) {
        columns[i] = whole->columns[picked[i]];
    }
}

static la_status
pick_columns(const la_env *env, const la_query_spec *spec, const la_schema *schema,
             uint32_t *picked, const la_schema **out, la_error *err)
{
    la_field *fields = la_calloc(env, spec->column_count, sizeof *fields);
    la_status status = fields == NULL
                           ? la_fail_nomem(err, spec->column_count * sizeof *fields)
                           : LA_OK;
    for (uint32_t i = 0; i < spec->column_count && status == LA_OK; i++) {
        status = find_column(schema, spec->columns[i], "columns", &picked[i], err);
        if (status == LA_OK) {
            fields[i] = *la_schema_field(schema, picked[i]);
        }
    }
    if (status == LA_OK) {
        status = la_schema_new(env, fields, spec->column_count, out, err);
    }
    la_dealloc(env, fields, spec->column_count * sizeof *fields);
    return status;
}

/* ------------------------------------------------------------------ assembly */

/* Scratch of one la_result_make. */
typedef struct making {
    const la_env *env;
    const la_query_spec *spec;
    const la_merge *merge;
    const la_merge_row *candidates;
    uint32_t candidate_count;
    uint32_t *rows; /* indices of candidates that stay, in answer order */
    uint32_t row_count;
    la_chunk *whole; /* all candidates, all columns */
    const uint8_t **overflow;
    uint32_t agg_count;
    uint32_t *picked; /* result column -> whole column */
    uint32_t column_count;
    la_column *columns;
} making;

static la_status
choose_rows(making *m, la_error *err)
{
    const la_json *where = la_json_get(m->spec->root, "where");
    bool filtered = where != NULL && where->kind != LA_J_NULL;
    uint8_t *keep = NULL;
    la_status status = LA_OK;
    if (filtered) {
        keep = la_alloc(m->env, m->candidate_count + 1u);
        status = keep == NULL ? la_fail_nomem(err, m->candidate_count)
                              : apply_where(m->env, where, m->whole, keep, err);
    }
    for (uint32_t i = 0; i < m->candidate_count && status == LA_OK; i++) {
        if (!filtered || keep[i]) {
            m->rows[m->row_count++] = i;
        }
    }
    la_dealloc(m->env, keep, m->candidate_count + 1u);
    if (status == LA_OK) {
        status = apply_order(m->spec, m->whole, m->rows, m->row_count, err);
    }
    if (m->row_count > m->spec->limit) {
        m->row_count = (uint32_t)m->spec->limit;
    }
    return status;
}

/* The rows and columns that stay, of `whole`, as an owned chunk. */
static la_status
take(making *m, const la_chunk *whole, const uint32_t *rows, const la_schema *schema,
     la_chunk **out, la_error *err)
{
    if (m->spec->column_count == 0) {
        return la_chunk_take(m->env, whole, rows, m->row_count, out, err);
    }
    la_chunk narrow;
    project(m->spec, whole, schema, m->picked, m->columns, &narrow);
    return la_chunk_take(m->env, &narrow, rows, m->row_count, out, err);
}

static la_status
take_part(making *m, la_part part, const la_schema *schema, la_chunk **out,
          la_error *err)
{
    const la_fold *fold = part == LA_PART_BATCH ? m->merge->batch : m->merge->speed;
    uint32_t *groups = la_alloc(m->env, (m->row_count + 1u) * sizeof *groups);
    uint32_t *order = la_alloc(m->env, (m->row_count + 1u) * sizeof *order);
    la_chunk *finished = NULL;
    la_status status = groups == NULL || order == NULL
                           ? la_fail_nomem(err, m->row_count * sizeof *groups)
                           : LA_OK;
    for (uint32_t i = 0; i < m->row_count && status == LA_OK; i++) {
        const la_merge_row *row = &m->candidates[m->rows[i]];
        groups[i] = part == LA_PART_BATCH ? row->batch : row->speed;
        order[i] = i;
    }
    if (status == LA_OK) {
        status = la_fold_finish(fold, groups, m->row_count, &finished, NULL, err);
    }
    if (status == LA_OK) {
        status = take(m, finished, order, schema, out, err);
    }
    la_chunk_free(finished);
    la_dealloc(m->env, groups, (m->row_count + 1u) * sizeof *groups);
    la_dealloc(m->env, order, (m->row_count + 1u) * sizeof *order);
    return status;
}

static la_status
add_exact(making *m, la_result *result, uint32_t column, uint32_t agg, uint32_t row,
          la_error *err)
{
    if (result->exact_count == result->exact_capacity) {
        uint32_t wider = result->exact_capacity < 16 ? 16 : result->exact_capacity * 2;
        la_exact_cell *grown =
            la_realloc(m->env, result->exact, result->exact_capacity * sizeof *grown,
                       wider * sizeof *grown);
        if (grown == NULL) {
            return la_fail_nomem(err, wider * sizeof *grown);
        }
        result->exact = grown;
        result->exact_capacity = wider;
    }
    uint32_t group;
    const la_fold *fold =
        la_merge_source(m->merge, &m->candidates[m->rows[row]], &group);
    __int128 value;
    uint8_t scale;
    if (la_fold_exact(fold, group, agg, &value, &scale)) {
        la_exact_cell *cell = &result->exact[result->exact_count++];
        char digits[48];
        la_i128_text(value, digits);
        cell->column = column;
        cell->row = row;
        snprintf(cell->text, sizeof cell->text, "%s", digits);
    }
    return LA_OK;
}

/* Overflow marks follow their rows; the integers that did not fit are kept as text. */
static la_status
take_overflow(making *m, la_result *result, la_error *err)
{
    uint32_t first_agg = m->whole->column_count - m->agg_count;
    for (uint32_t c = 0; c < m->column_count; c++) {
        uint32_t from = m->picked == NULL ? c : m->picked[c];
        const uint8_t *marks = from < first_agg ? NULL : m->overflow[from - first_agg];
        if (marks == NULL) {
            continue;
        }
        void *bytes;
        la_status status = la_chunk_keep(result->parts[LA_PART_MERGED],
                                         m->row_count + 1u, &bytes, err);
        for (uint32_t i = 0; i < m->row_count && status == LA_OK; i++) {
            ((uint8_t *)bytes)[i] = marks[m->rows[i]];
            if (marks[m->rows[i]]) {
                status = add_exact(m, result, c, from - first_agg, i, err);
            }
        }
        if (status != LA_OK) {
            return status;
        }
        result->overflow[c] = bytes;
    }
    return LA_OK;
}

static la_status
prepare(making *m, la_result *result, la_error *err)
{
    const la_schema *schema = la_fold_result_schema(m->merge->batch);
    const la_env *env = m->env;
    m->column_count =
        m->spec->column_count != 0 ? m->spec->column_count : la_schema_count(schema);
    m->agg_count = la_fold_plan(m->merge->batch)->agg_count;
    m->rows = la_alloc(env, (m->candidate_count + 1u) * sizeof *m->rows);
    m->overflow = la_calloc(env, m->agg_count, sizeof *m->overflow);
    result->overflow = la_calloc(env, m->column_count, sizeof *result->overflow);
    result->overflow_count = m->column_count;
    if (m->rows == NULL || m->overflow == NULL || result->overflow == NULL) {
        return la_fail_nomem(err, m->candidate_count * sizeof *m->rows);
    }
    if (m->spec->column_count == 0) {
        result->schema = la_schema_retain(schema);
        return LA_OK;
    }
    m->picked = la_alloc(env, m->column_count * sizeof *m->picked);
    m->columns = la_alloc(env, m->column_count * sizeof *m->columns);
    if (m->picked == NULL || m->columns == NULL) {
        return la_fail_nomem(err, m->column_count * sizeof *m->columns);
    }
    return pick_columns(env, m->spec, schema, m->picked, &result->schema, err);
}

static la_status
make_parts(making *m, la_result *result, la_error *err)
{
    la_status status = la_merge_finish(m->merge, m->candidates, m->candidate_count,
                                       &m->whole, m->overflow, err);
    if (status == LA_OK) {
        status = choose_rows(m, err);
    }
    if (status == LA_OK) {
        status = take(m, m->whole, m->rows, result->schema,
                      &result->parts[LA_PART_MERGED], err);
    }
    if (status == LA_OK) {
        status = take_overflow(m, result, err);
    }
    if (status == LA_OK && m->spec->parts) {
        status = take_part(m, LA_PART_BATCH, result->schema,
                           &result->parts[LA_PART_BATCH], err);
        if (status == LA_OK) {
            status = take_part(m, LA_PART_SPEED, result->schema,
                               &result->parts[LA_PART_SPEED], err);
        }
    }
    return status;
}

la_status
la_result_make(const la_env *env, const la_query_spec *spec, const la_merge *merge,
               la_result *out, la_error *err)
{
    la_result result = {.env = env};
    const la_json *where = la_json_get(spec->root, "where");
    bool all = spec->order_count > 0 || (where != NULL && where->kind != LA_J_NULL);
    making m = {.env = env,
                .spec = spec,
                .merge = merge,
                .candidates = merge->rows,
                .candidate_count = all || merge->count <= spec->limit
                                       ? merge->count
                                       : (uint32_t)spec->limit};
    la_status status = prepare(&m, &result, err);
    if (status == LA_OK) {
        status = make_parts(&m, &result, err);
    }
    la_chunk_free(m.whole);
    la_dealloc(env, m.rows, (m.candidate_count + 1u) * sizeof *m.rows);
    la_dealloc(env, m.overflow, m.agg_count * sizeof *m.overflow);
    la_dealloc(env, m.picked, m.column_count * sizeof *m.picked);
    la_dealloc(env, m.columns, m.column_count * sizeof *m.columns);
    if (status != LA_OK) {
        la_result_fini(&result);
        return status;
    }
    *out = result;
    return LA_OK;
}

void
la_result_fini(la_result *result)
{
    if (result->env == NULL) {
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        la_chunk_free(result->parts[i]);
    }
    la_dealloc(result->env, result->overflow,
               result->overflow_count * sizeof *result->overflow);
    la_dealloc(result->env, result->exact,
               result->exact_capacity * sizeof *result->exact);
    if (result->schema != NULL) {
        la_schema_release(result->schema);
    }
    memset(result, 0, sizeof *result);
}
