/* SPDX-License-Identifier: Apache-2.0 */
/* A view's plan: parsed, checked against its logs' schemas, canonical, immutable. The language
 * is docs/internals/plan.md. A plan holds descriptions only; expr/program.h runs its
 * expressions and fold/fold.h its aggregates. */
#ifndef LA_EXPR_PLAN_H
#define LA_EXPR_PLAN_H

#include "base/limits.h"
#include "chunk/calendar.h"
#include "chunk/chunk.h"
#include "chunk/value.h"

typedef enum la_op {
    LA_OP_COL,
    LA_OP_LIT,
    LA_OP_ADD,
    LA_OP_SUB,
    LA_OP_MUL,
    LA_OP_DIV,
    LA_OP_FLOORDIV,
    LA_OP_MOD,
    LA_OP_NEG,
    LA_OP_ABS,
    LA_OP_EQ,
    LA_OP_NE,
    LA_OP_LT,
    LA_OP_LE,
    LA_OP_GT,
    LA_OP_GE,
    LA_OP_AND,
    LA_OP_OR,
    LA_OP_NOT,
    LA_OP_IS_NULL,
    LA_OP_IS_NOT_NULL,
    LA_OP_IS_NAN,
    LA_OP_FILL_NULL,
    LA_OP_WHEN,
    LA_OP_CAST,
    LA_OP_IS_IN,
    LA_OP_TRUNCATE,
    LA_OP_OFFSET_BY,
    LA_OP_COUNT
} la_op;

/* Typed: conversions that plan.md implies stand in the tree as casts (typing.h). */
typedef struct la_expr {
    la_op op;
    la_type type; /* of the result */
    uint8_t scale;
    bool nullable;
    uint32_t arg_count;
    struct la_expr **args;
    uint32_t column;     /* COL: in the log's schema */
    la_value literal;    /* LIT */
    const la_value *set; /* IS_IN: sorted, distinct, no null */
    uint32_t set_count;
    la_unit unit;  /* TRUNCATE by calendar unit */
    int64_t every; /* TRUNCATE: microseconds, or count of `unit` when every_unit */
    bool every_unit;
} la_expr;

typedef enum la_window_kind {
    LA_WINDOW_NONE,
    LA_WINDOW_TUMBLING, /* fixed width from an origin */
    LA_WINDOW_CALENDAR  /* day, week, month, quarter, year in UTC */
    /* later: hopping, session, count, global (plan.md keeps their names) */
} la_window_kind;

typedef struct la_window {
    la_window_kind kind;
    int64_t size_us;   /* TUMBLING */
    int64_t origin_us; /* TUMBLING: 0 <= origin < size */
    la_unit unit;      /* CALENDAR */
    int64_t count;     /* CALENDAR: units together, >= 1 */
} la_window;

int64_t la_window_start(const la_window *window, int64_t us);
int64_t la_window_end(const la_window *window, int64_t start_us);
/* Every window of `inner` lies in exactly one of `outer`: roll-up is possible. */
bool la_window_nests(const la_window *inner, const la_window *outer);

struct la_agg_kind; /* expr/agg.h */

typedef struct la_plan_key {
    char *name;
    la_expr *expr;
} la_plan_key;

typedef struct la_plan_agg {
    char *name;
    const struct la_agg_kind *kind;
    la_expr *arg;    /* NULL for len */
    la_expr *filter; /* NULL: all rows */
    la_type result;  /* finished type */
    uint8_t result_scale;
} la_plan_agg;

typedef enum la_on_error {
    LA_ON_ERROR_SET_ASIDE,
    LA_ON_ERROR_NULL,
    LA_ON_ERROR_STOP
} la_on_error;

typedef struct la_plan {
    char *log; /* the one log that feeds it (several: later, the JSON has a list) */
    const la_schema *schema;
    int32_t time_column; /* event time, -1: the log has none */
    uint32_t key_count;
    la_plan_key *keys;
    la_window window;
    la_expr *where; /* NULL: all rows; others count as filtered */
    uint32_t agg_count;
    la_plan_agg *aggs;
    la_on_error on_error;
    bool order_free; /* semantics 2 */
    char *canonical; /* JSON */
    size_t canonical_size;
    uint8_t fingerprint[32]; /* of canonical + semantics versions (semantics 29) */
    /* Finished answer: keys, window_start, window_end (where windowed), aggregates. */
    const la_schema *result_schema;
    uint8_t *columns_used; /* one byte a schema column */
    la_arena arena;
    const la_env *env;
    uint32_t references;
} la_plan;

/* Finds a log's schema and its time column for the plan that names it. */
typedef struct la_plan_source {
    void *ctx;
    la_status (*find)(void *ctx, const char *log, const la_schema **schema,
                      int32_t *time_column, la_error *err);
} la_plan_source;

/* LA_INVALID/LA_TYPE/LA_NOT_FOUND name the place: "$.aggs[1].arg: no column \"amout\" in log
 * \"orders\" (columns: ...)". */
LA_MUST_CHECK la_status la_plan_parse(const la_env *env, const char *json, size_t size,
                                      const la_plan_source *source, la_plan **out,
                                      la_error *err);
la_plan *la_plan_retain(la_plan *plan);
void la_plan_release(la_plan *plan);

/* One expression on its own (a log's checks, a query's where), typed against `schema`. Lives
 * in `arena`. `place` opens its error texts, e.g. "$.where". */
LA_MUST_CHECK la_status la_expr_parse(const la_json *json, const la_schema *schema,
                                      const char *place, la_arena *arena, la_expr **out,
                                      la_error *err);
/* Writes columns read by `expr` as ones into `used` (one byte a schema column). */
void la_expr_columns(const la_expr *expr, uint8_t *used);
/* A window's JSON form, shared by plans and query roll-ups. `json` may be a null node. */
LA_MUST_CHECK la_status la_window_parse(const la_json *json, const char *place,
                                        la_window *out, la_error *err);
void la_window_put(la_buf *to, const la_window *window); /* its canonical JSON */

#endif
