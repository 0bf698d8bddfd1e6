/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions from JSON: the form of each operation is checked here, its types in typing.c.
 *
 *   ["add", ["col","price"], ["lit","i64",1]]  ->  la_expr tree, every node typed
 *
 * Invariants
 *  1. Depth is at most LA_EXPR_DEPTH_MAX, operations at most LA_EXPR_NODES_MAX, so later recursion
 *     and programs are bounded.
 *  2. No node of a finished expression has the type null, but for a bare null literal at the
 *     root, which callers type or refuse. */
#include <stdio.h>

#include "base/error.h"
#include "expr/typing.h"

typedef struct parser {
    la_scope *scope;
    uint32_t depth;
} parser;

typedef la_status (*op_parser)(parser *p, const la_json *json, const la_place *place,
                               la_op op, la_expr **out);

static la_status parse(parser *p, const la_json *json, const la_place *place,
                       la_expr **out);

/* Argument `i` (from 1, as it stands in the list). */
static la_status
parse_arg(parser *p, const la_json *json, const la_place *place, uint32_t i,
          la_expr **out)
{
    la_place at = la_place_item(place, i);
    return parse(p, &json->list.items[i], &at, out);
}

static la_status
parse_pair(parser *p, const la_json *json, const la_place *place, uint32_t first,
           la_expr **a, la_expr **b)
{
    la_status status = parse_arg(p, json, place, first, a);
    return status != LA_OK ? status : parse_arg(p, json, place, first + 1, b);
}

static la_status
expect_bool(parser *p, const la_place *place, la_expr **a)
{
    if ((*a)->type != LA_T_BOOL && (*a)->type != LA_T_NULL) {
        char text[32];
        la_type_text((*a)->type, (*a)->scale, text, sizeof text);
        return la_place_fail(place, p->scope->err, LA_TYPE, "expected a bool, not %s",
                             text);
    }
    return la_make_typed(p->scope, *a, LA_T_BOOL, 0, a);
}

static la_status
parse_bool_arg(parser *p, const la_json *json, const la_place *place, uint32_t i,
               la_expr **out)
{
    la_place at = la_place_item(place, i);
    la_status status = parse(p, &json->list.items[i], &at, out);
    return status != LA_OK ? status : expect_bool(p, &at, out);
}

static la_status
finish(la_expr *node, la_expr **out)
{
    if (node == NULL) {
        return LA_NOMEM;
    }
    *out = node;
    return LA_OK;
}

/* ----------------------------------------------------------- columns, literals */

static la_status
no_column(parser *p, const la_place *place, const la_json *name)
{
    const la_scope *scope = p->scope;
    char list[256];
    size_t at = 0;
    uint32_t count = la_schema_count(scope->schema);
    list[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        const char *text = la_schema_field(scope->schema, i)->name;
        if (at + strlen(text) + 8 > sizeof list) {
            (void)snprintf(list + at, sizeof list - at, ", ...");
            break;
        }
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ",
                               text);
    }
    if (scope->log == NULL) {
        return la_place_fail(
            place, scope->err, LA_NOT_FOUND, "no column \"%.*s\" (columns: %s)",
            (int)(name->text.size > 60 ? 60 : name->text.size), name->text.at, list);
    }
    return la_place_fail(place, scope->err, LA_NOT_FOUND,
                         "no column \"%.*s\" in log \"%.60s\" (columns: %s)",
                         (int)(name->text.size > 60 ? 60 : name->text.size),
                         name->text.at, scope->log, list);
}

static la_status
parse_column(parser *p, const la_json *json, const la_place *place, la_op op,
             la_expr **out)
{
    const la_json *name = &json->list.items[1];
    la_place at = la_place_item(place, 1);
    if (name->kind != LA_J_TEXT) {
        return la_place_fail(&at, p->scope->err, LA_INVALID,
                             "expected the name of a column, not %s",
                             la_json_kind_text(name));
    }
    bool whole = strlen(name->text.at) == name->text.size;
    int32_t column = whole ? la_schema_find(p->scope->schema, name->text.at) : -1;
    if (column < 0) {
        return no_column(p, place, name);
    }
    const la_field *field = la_schema_field(p->scope->schema, (uint32_t)column);
    la_expr *node =
        la_expr_node(p->scope, op, field->type, field->scale, 0, NULL, NULL, NULL);
    if (node != NULL) {
        node->column = (uint32_t)column;
        node->nullable = field->nullable;
    }
    return finish(node, out);
}

static la_status
parse_literal(parser *p, const la_json *json, const la_place *place, la_op op,
              la_expr **out)
{
    (void)op;
    return la_literal_parse(p->scope, place, &json->list.items[1], &json->list.items[2],
                            out);
}

/* ---------------------------------------------------------------- operations */

static la_status
parse_arithmetic(parser *p, const la_json *json, const la_place *place, la_op op,
                 la_expr **out)
{
    la_expr *a, *b;
    la_status status = parse_pair(p, json, place, 1, &a, &b);
    return status != LA_OK ? status
                           : la_make_arithmetic(p->scope, place, op, a, b, out);
}

static la_status
parse_sign(parser *p, const la_json *json, const la_place *place, la_op op,
           la_expr **out)
{
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    return status != LA_OK ? status : la_make_sign(p->scope, place, op, a, out);
}

static la_status
parse_comparison(parser *p, const la_json *json, const la_place *place, la_op op,
                 la_expr **out)
{
    la_expr *a, *b;
    la_status status = parse_pair(p, json, place, 1, &a, &b);
    return status != LA_OK ? status
                           : la_make_comparison(p->scope, place, op, a, b, out);
}

static la_status
parse_logic(parser *p, const la_json *json, const la_place *place, la_op op,
            la_expr **out)
{
    la_expr *a, *b = NULL;
    la_status status = parse_bool_arg(p, json, place, 1, &a);
    if (status == LA_OK && op != LA_OP_NOT) {
        status = parse_bool_arg(p, json, place, 2, &b);
    }
    if (status != LA_OK) {
        return status;
    }
    uint32_t count = op == LA_OP_NOT ? 1 : 2;
    return finish(la_expr_node(p->scope, op, LA_T_BOOL, 0, count, a, b, NULL), out);
}

static la_status
parse_test(parser *p, const la_json *json, const la_place *place, la_op op,
           la_expr **out)
{
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    if (status != LA_OK) {
        return status;
    }
    bool nan = op == LA_OP_IS_NAN;
    if (a->type == LA_T_NULL || (nan && !la_type_is_float(a->type))) {
        char text[32];
        la_type_text(a->type, a->scale, text, sizeof text);
        return la_place_fail(place, p->scope->err, LA_TYPE, "\"%s\" takes %s, not %s",
                             la_op_name(op), nan ? "a float" : "a value with a type",
                             text);
    }
    if (nan) {
        status = la_make_cast(p->scope, place, a, LA_T_F64, 0, &a);
    }
    la_expr *node = status != LA_OK
                        ? NULL
                        : la_expr_node(p->scope, op, LA_T_BOOL, 0, 1, a, NULL, NULL);
    if (node != NULL) {
        node->nullable = nan && a->nullable;
    }
    return status != LA_OK ? status : finish(node, out);
}

static la_status
parse_fill(parser *p, const la_json *json, const la_place *place, la_op op,
           la_expr **out)
{
    (void)op;
    la_expr *a, *b;
    la_status status = parse_pair(p, json, place, 1, &a, &b);
    return status != LA_OK ? status : la_make_choice(p->scope, place, NULL, a, b, out);
}

static la_status
parse_when(parser *p, const la_json *json, const la_place *place, la_op op,
           la_expr **out)
{
    (void)op;
    la_expr *c, *a, *b;
    la_status status = parse_bool_arg(p, json, place, 1, &c);
    if (status == LA_OK) {
        status = parse_pair(p, json, place, 2, &a, &b);
    }
    return status != LA_OK ? status : la_make_choice(p->scope, place, c, a, b, out);
}

static la_status
parse_cast(parser *p, const la_json *json, const la_place *place, la_op op,
           la_expr **out)
{
    (void)op;
    const la_json *text = &json->list.items[2];
    la_place at = la_place_item(place, 2);
    if (text->kind != LA_J_TEXT) {
        return la_place_fail(&at, p->scope->err, LA_INVALID, "expected a type, not %s",
                             la_json_kind_text(text));
    }
    la_type type;
    uint8_t scale;
    bool nullable;
    la_error inner = {0};
    if (la_type_parse(text->text.at, text->text.size, &type, &scale, &nullable,
                      &inner) != LA_OK) {
        return la_place_wrap(&at, p->scope->err, &inner);
    }
    if (nullable) {
        return la_place_fail(&at, p->scope->err, LA_INVALID,
                             "a cast has no \"?\": nulls stay nulls");
    }
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    return status != LA_OK ? status
                           : la_make_cast(p->scope, place, a, type, scale, out);
}

static la_status
parse_is_in(parser *p, const la_json *json, const la_place *place, la_op op,
            la_expr **out)
{
    (void)op;
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    if (status != LA_OK) {
        return status;
    }
    const la_json *list = &json->list.items[2];
    la_place list_place = la_place_item(place, 2);
    if (list->kind != LA_J_ARRAY) {
        return la_place_fail(&list_place, p->scope->err, LA_INVALID,
                             "expected a list of literals, not %s",
                             la_json_kind_text(list));
    }
    la_expr **items =
        la_arena_alloc(p->scope->arena, (list->list.count + 1) * sizeof *items);
    if (items == NULL) {
        return la_fail_nomem(p->scope->err, (list->list.count + 1) * sizeof *items);
    }
    for (uint32_t i = 0; i < list->list.count; i++) {
        const la_json *item = &list->list.items[i];
        la_place at = la_place_item(&list_place, i);
        bool literal = item->kind == LA_J_ARRAY && item->list.count == 3 &&
                       la_json_is(&item->list.items[0], "lit");
        if (!literal) {
            return la_place_fail(&at, p->scope->err, LA_INVALID,
                                 "expected a literal, [\"lit\", TYPE, value]");
        }
        status = parse_literal(p, item, &at, LA_OP_LIT, &items[i]);
        if (status != LA_OK) {
            return status;
        }
        if (items[i]->literal.null) {
            return la_place_fail(&at, p->scope->err, LA_INVALID,
                                 "a null equals nothing: use \"is_null\"");
        }
    }
    return la_make_is_in(p->scope, place, a, items, list->list.count, out);
}

/* --------------------------------------------------------------------- times */

/* {"us":N}: with `signs` any integer, else from 1. */
static la_status
parse_us(parser *p, const la_json *json, const la_place *place, bool signs, int64_t *us)
{
    static const char *const members[] = {"us", NULL};
    if (json->kind != LA_J_OBJECT) {
        return la_place_fail(place, p->scope->err, LA_INVALID,
                             "expected an object such as {\"us\":N}, not %s",
                             la_json_kind_text(json));
    }
    la_status status = la_place_members(place, json, members, p->scope->err);
    if (status != LA_OK) {
        return status;
    }
    const la_json *given = la_json_get(json, "us");
    if (given == NULL || given->kind != LA_J_INT || (!signs && given->i64 < 1)) {
        la_place at = la_place_member(place, "us");
        return la_place_fail(&at, p->scope->err, LA_INVALID,
                             "expected microseconds, an integer%s",
                             signs ? "" : " from 1");
    }
    *us = given->i64;
    return LA_OK;
}

static la_status
parse_truncate(parser *p, const la_json *json, const la_place *place, la_op op,
               la_expr **out)
{
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    if (status != LA_OK) {
        return status;
    }
    if (a->type != LA_T_TIME && a->type != LA_T_DATE) {
        char text[32];
        la_type_text(a->type, a->scale, text, sizeof text);
        return la_place_fail(place, p->scope->err, LA_TYPE,
                             "\"truncate\" takes a time or date, not %s", text);
    }
    const la_json *every = &json->list.items[2];
    la_place at = la_place_item(place, 2);
    la_expr *node = la_expr_node(p->scope, op, a->type, 0, 1, a, NULL, NULL);
    if (node == NULL) {
        return LA_NOMEM;
    }
    if (every->kind == LA_J_OBJECT && la_json_get(every, "us") == NULL) {
        static const char *const members[] = {"count", "unit", "us", NULL};
        node->every_unit = true;
        status = la_place_members(&at, every, members, p->scope->err);
        if (status == LA_OK) {
            status = la_unit_count_parse(every, &at, &node->unit, &node->every,
                                         p->scope->err);
        }
    }
    else {
        status = parse_us(p, every, &at, false, &node->every);
    }
    if (status != LA_OK) {
        return status;
    }
    if (a->type == LA_T_DATE && !node->every_unit && node->every % LA_US_PER_DAY != 0) {
        return la_place_fail(&at, p->scope->err, LA_INVALID,
                             "a date is truncated to whole days, not %lld microseconds",
                             (long long)node->every);
    }
    return finish(node, out);
}

static la_status
parse_offset(parser *p, const la_json *json, const la_place *place, la_op op,
             la_expr **out)
{
    la_expr *a;
    la_status status = parse_arg(p, json, place, 1, &a);
    if (status != LA_OK) {
        return status;
    }
    if (a->type != LA_T_TIME) {
        char text[32];
        la_type_text(a->type, a->scale, text, sizeof text);
        return la_place_fail(place, p->scope->err, LA_TYPE,
                             "\"offset_by\" takes a time, not %s", text);
    }
    la_place at = la_place_item(place, 2);
    la_expr *node = la_expr_node(p->scope, op, LA_T_TIME, 0, 1, a, NULL, NULL);
    if (node == NULL) {
        return LA_NOMEM;
    }
    status = parse_us(p, &json->list.items[2], &at, true, &node->every);
    return status != LA_OK ? status : finish(node, out);
}

/* ------------------------------------------------------------------- dispatch */

static const struct {
    const char *name;
    uint32_t args; /* items after the name */
    op_parser parse;
    const char *form;
} ops[LA_OP_COUNT] = {
    [LA_OP_COL] = {"col", 1, parse_column, "[\"col\", name]"},
    [LA_OP_LIT] = {"lit", 2, parse_literal, "[\"lit\", TYPE, value]"},
    [LA_OP_ADD] = {"add", 2, parse_arithmetic, "[\"add\", a, b]"},
    [LA_OP_SUB] = {"sub", 2, parse_arithmetic, "[\"sub\", a, b]"},
    [LA_OP_MUL] = {"mul", 2, parse_arithmetic, "[\"mul\", a, b]"},
    [LA_OP_DIV] = {"div", 2, parse_arithmetic, "[\"div\", a, b]"},
    [LA_OP_FLOORDIV] = {"floordiv", 2, parse_arithmetic, "[\"floordiv\", a, b]"},
    [LA_OP_MOD] = {"mod", 2, parse_arithmetic, "[\"mod\", a, b]"},
    [LA_OP_NEG] = {"neg", 1, parse_sign, "[\"neg\", a]"},
    [LA_OP_ABS] = {"abs", 1, parse_sign, "[\"abs\", a]"},
    [LA_OP_EQ] = {"eq", 2, parse_comparison, "[\"eq\", a, b]"},
    [LA_OP_NE] = {"ne", 2, parse_comparison, "[\"ne\", a, b]"},
    [LA_OP_LT] = {"lt", 2, parse_comparison, "[\"lt\", a, b]"},
    [LA_OP_LE] = {"le", 2, parse_comparison, "[\"le\", a, b]"},
    [LA_OP_GT] = {"gt", 2, parse_comparison, "[\"gt\", a, b]"},
    [LA_OP_GE] = {"ge", 2, parse_comparison, "[\"ge\", a, b]"},
    [LA_OP_AND] = {"and", 2, parse_logic, "[\"and\", a, b]"},
    [LA_OP_OR] = {"or", 2, parse_logic, "[\"or\", a, b]"},
    [LA_OP_NOT] = {"not", 1, parse_logic, "[\"not\", a]"},
    [LA_OP_IS_NULL] = {"is_null", 1, parse_test, "[\"is_null\", a]"},
    [LA_OP_IS_NOT_NULL] = {"is_not_null", 1, parse_test, "[\"is_not_null\", a]"},
    [LA_OP_IS_NAN] = {"is_nan", 1, parse_test, "[\"is_nan\", a]"},
    [LA_OP_FILL_NULL] = {"fill_null", 2, parse_fill, "[\"fill_null\", a, b]"},
    [LA_OP_WHEN] = {"when", 3, parse_when, "[\"when\", c, a, b]"},
    [LA_OP_CAST] = {"cast", 2, parse_cast, "[\"cast\", a, TYPE]"},
    [LA_OP_IS_IN] = {"is_in", 2, parse_is_in, "[\"is_in\", a, [literal, ...]]"},
    [LA_OP_TRUNCATE] = {"truncate", 2, parse_truncate, "[\"truncate\", a, EVERY]"},
    [LA_OP_OFFSET_BY] = {"offset_by", 2, parse_offset,
                         "[\"offset_by\", a, {\"us\":N}]"},
};

const char *
la_op_name(la_op op)
{
    return op < LA_OP_COUNT ? ops[op].name : "?";
}

static la_status
no_operation(parser *p, const la_place *place, const la_json *name)
{
    la_place at = la_place_item(place, 0);
    la_status status = la_place_fail(&at, p->scope->err, LA_INVALID,
                                     "there is no operation \"%.60s\"", name->text.at);
    char list[256];
    size_t size = 0;
    for (uint32_t i = 0; i < LA_OP_COUNT && size < sizeof list; i++) {
        size += (size_t)snprintf(list + size, sizeof list - size, "%s%s",
                                 i == 0 ? "" : " ", ops[i].name);
    }
    la_error_hint(p->scope->err, "%s", list);
    return status;
}

static la_status
parse_form(parser *p, const la_json *json, const la_place *place, la_expr **out)
{
    if (json->kind != LA_J_ARRAY || json->list.count == 0 ||
        json->list.items[0].kind != LA_J_TEXT) {
        return la_place_fail(place, p->scope->err, LA_INVALID,
                             "expected an expression, [operation, ...], not %s",
                             json->kind == LA_J_ARRAY ? "a list without an operation"
                                                      : la_json_kind_text(json));
    }
    const la_json *name = &json->list.items[0];
    uint32_t op = 0;
    while (op < LA_OP_COUNT && !la_json_is(name, ops[op].name)) {
        op++;
    }
    if (op == LA_OP_COUNT) {
        return no_operation(p, place, name);
    }
    if (json->list.count - 1 != ops[op].args) {
        return la_place_fail(place, p->scope->err, LA_INVALID,
                             "expected %s, found %u items after the operation",
                             ops[op].form, json->list.count - 1);
    }
    if (p->scope->nodes++ >= LA_EXPR_NODES_MAX) {
        return la_place_fail(place, p->scope->err, LA_INVALID,
                             "more than %u operations", LA_EXPR_NODES_MAX);
    }
    return ops[op].parse(p, json, place, (la_op)op, out);
}

static la_status
parse(parser *p, const la_json *json, const la_place *place, la_expr **out)
{
    if (p->depth == LA_EXPR_DEPTH_MAX) {
        return la_place_fail(place, p->scope->err, LA_INVALID,
                             "more than %u operations within each other",
                             LA_EXPR_DEPTH_MAX);
    }
    p->depth++;
    la_status status = parse_form(p, json, place, out);
    p->depth--;
    return status;
}

/* ------------------------------------------------------------------ interface */

la_status
la_expr_parse_at(la_scope *scope, const la_json *json, const la_place *place,
                 la_expr **out)
{
    parser p = {.scope = scope};
    la_expr *expr;
    la_status status = parse(&p, json, place, &expr);
    if (status == LA_OK && expr->type == LA_T_NULL) {
        status = la_place_fail(place, scope->err, LA_TYPE,
                               "a null without a type; write [\"lit\", TYPE, null]");
    }
    if (status == LA_OK) {
        *out = expr;
    }
    return status;
}

la_status
la_expr_parse_bool(la_scope *scope, const la_json *json, const la_place *place,
                   la_expr **out)
{
    parser p = {.scope = scope};
    la_expr *expr;
    la_status status = parse(&p, json, place, &expr);
    if (status == LA_OK) {
        status = expect_bool(&p, place, &expr);
    }
    if (status == LA_OK) {
        *out = expr;
    }
    return status;
}

la_status
la_expr_parse(const la_json *json, const la_schema *schema, const char *place,
              la_arena *arena, la_expr **out, la_error *err)
{
    la_scope scope = {.schema = schema, .arena = arena, .err = err};
    la_place root = la_place_root(place);
    return la_expr_parse_at(&scope, json, &root, out);
}

void
la_expr_columns(const la_expr *expr, uint8_t *used)
{
    if (expr->op == LA_OP_COL) {
        used[expr->column] = 1;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        la_expr_columns(expr->args[i], used);
    }
}
