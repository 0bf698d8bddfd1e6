/* SPDX-License-Identifier: Apache-2.0 */
/* Reading query specs. Unknown members are refused: a mistyped filter must not widen an
 * answer. */
#include "query/spec.h"

#include <stdio.h>

#include "base/error.h"

/* `known` ends with NULL; `what` is "a query" or "$.rollup". */
static la_status
check_members(const la_json *object, const char *what, const char *const *known,
              la_error *err)
{
    if (object->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID, "%s must be a JSON object", what);
    }
    for (uint32_t i = 0; i < object->list.count; i++) {
        const la_json *name = &object->list.items[2 * i];
        const char *const *k = known;
        while (*k != NULL && !la_json_is(name, *k)) {
            k++;
        }
        if (*k == NULL) {
            return la_fail(err, LA_INVALID, "%s has no member \"%.64s\"", what,
                           name->text.at);
        }
    }
    return LA_OK;
}

static const char *const query_members[] = {"keys",  "since",   "until",  "where",
                                            "limit", "columns", "rollup", "order_by",
                                            "as_of", "version", "parts",  NULL};
static const char *const rollup_members[] = {"by", "window", NULL};

/* An optional member: `*node` is NULL when it is absent or null. */
static const la_json *
optional(const la_json *root, const char *name)
{
    const la_json *node = la_json_get(root, name);
    return node == NULL || node->kind == LA_J_NULL ? NULL : node;
}

static la_status
parse_orders(la_query_spec *spec, la_error *err)
{
    const la_json *orders = optional(spec->root, "order_by");
    if (orders == NULL) {
        return LA_OK;
    }
    if (orders->kind != LA_J_ARRAY) {
        return la_fail(err, LA_INVALID,
                       "$.order_by must be a list of [column, direction]");
    }
    spec->orders =
        la_arena_alloc(&spec->arena, (orders->list.count + 1) * sizeof *spec->orders);
    if (spec->orders == NULL) {
        return la_fail_nomem(err, orders->list.count * sizeof *spec->orders);
    }
    for (uint32_t i = 0; i < orders->list.count; i++) {
        const la_json *one = &orders->list.items[i];
        if (one->kind != LA_J_ARRAY || one->list.count != 2 ||
            one->list.items[0].kind != LA_J_TEXT ||
            !(la_json_is(&one->list.items[1], "asc") ||
              la_json_is(&one->list.items[1], "desc"))) {
            return la_fail(err, LA_INVALID,
                           "$.order_by[%u] must be [column, \"asc\" or \"desc\"]", i);
        }
        spec->orders[i].column = one->list.items[0].text.at;
        spec->orders[i].descending = la_json_is(&one->list.items[1], "desc");
    }
    spec->order_count = orders->list.count;
    return LA_OK;
}

static la_status
parse_columns(la_query_spec *spec, la_error *err)
{
    const la_json *columns = optional(spec->root, "columns");
    if (columns == NULL) {
        return LA_OK;
    }
    if (columns->kind != LA_J_ARRAY || columns->list.count == 0) {
        return la_fail(err, LA_INVALID, "$.columns must be a list of names, not empty");
    }
    spec->columns =
        la_arena_alloc(&spec->arena, columns->list.count * sizeof *spec->columns);
    if (spec->columns == NULL) {
        return la_fail_nomem(err, columns->list.count * sizeof *spec->columns);
    }
    for (uint32_t i = 0; i < columns->list.count; i++) {
        if (columns->list.items[i].kind != LA_J_TEXT) {
            return la_fail(err, LA_INVALID, "$.columns[%u] must be a name", i);
        }
        spec->columns[i] = columns->list.items[i].text.at;
    }
    spec->column_count = columns->list.count;
    return LA_OK;
}

static la_status
parse_numbers(la_query_spec *spec, la_error *err)
{
    la_status status = LA_OK;
    if (optional(spec->root, "version") != NULL) {
        status = la_json_u64(spec->root, "version", &spec->version, err);
    }
    if (status == LA_OK && optional(spec->root, "as_of") != NULL) {
        status = la_json_u64(spec->root, "as_of", &spec->as_of, err);
    }
    if (status == LA_OK && optional(spec->root, "since") != NULL) {
        status = la_json_i64(spec->root, "since", &spec->since, err);
    }
    if (status == LA_OK && optional(spec->root, "until") != NULL) {
        status = la_json_i64(spec->root, "until", &spec->until, err);
    }
    if (status == LA_OK && optional(spec->root, "limit") != NULL) {
        status = la_json_u64(spec->root, "limit", &spec->limit, err);
    }
    const la_json *parts = optional(spec->root, "parts");
    if (status == LA_OK && parts != NULL && parts->kind != LA_J_BOOL) {
        return la_fail(err, LA_INVALID, "$.parts must be true or false");
    }
    spec->parts = parts != NULL && parts->boolean;
    if (status == LA_OK && spec->version != 0 && spec->as_of != LA_NO_POSITION) {
        return la_fail(
            err, LA_INVALID,
            "version and as_of exclude each other: what was said then, or what "
            "the rows up to a position give");
    }
    return status;
}

la_status
la_query_spec_parse(const la_env *env, const char *json, la_query_spec *out,
                    la_error *err)
{
    la_query_spec spec = {.as_of = LA_NO_POSITION,
                          .since = INT64_MIN,
                          .until = INT64_MAX,
                          .limit = UINT64_MAX};
    la_arena_init(&spec.arena, env);
    la_status status = la_json_parse(&spec.arena, json, strlen(json), &spec.root, err);
    if (status == LA_OK) {
        status = check_members(spec.root, "a query", query_members, err);
    }
    if (status == LA_OK) {
        status = parse_numbers(&spec, err);
    }
    if (status == LA_OK) {
        status = parse_orders(&spec, err);
    }
    if (status == LA_OK) {
        status = parse_columns(&spec, err);
    }
    if (status != LA_OK) {
        la_arena_fini(&spec.arena);
        return status;
    }
    *out = spec;
    return LA_OK;
}

void
la_query_spec_fini(la_query_spec *spec)
{
    if (spec->arena.env != NULL) {
        la_arena_fini(&spec->arena);
    }
}

/* ------------------------------------------------------------------- binding */

static int32_t
find_key(const la_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->key_count; i++) {
        if (strcmp(plan->keys[i].name, name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static la_status
fail_unknown_key(const la_plan *plan, const char *name, la_error *err)
{
    char known[300] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < plan->key_count && used < sizeof known - 1; i++) {
        int n = snprintf(known + used, sizeof known - used, "%s\"%s\"",
                         i == 0 ? "" : ", ", plan->keys[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return la_fail(err, LA_NOT_FOUND, "the view has no key \"%.128s\"; its keys: %s",
                   name, plan->key_count == 0 ? "none" : known);
}

static bool
float_value(const la_json *json, la_type type, double *out)
{
    static const struct {
        const char *text;
        double value;
    } named[] = {{"nan", __builtin_nan("")},
                 {"inf", __builtin_inf()},
                 {"-inf", -__builtin_inf()},
                 {"-0.0", -0.0}};
    double value = json->kind == LA_J_FLOAT  ? json->f64
                   : json->kind == LA_J_INT  ? (double)json->i64
                   : json->kind == LA_J_UINT ? (double)json->u64
                                             : 0;
    bool fits =
        json->kind == LA_J_FLOAT || json->kind == LA_J_INT || json->kind == LA_J_UINT;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (la_json_is(json, named[i].text)) {
            value = named[i].value;
            fits = true;
        }
    }
    *out = la_canonical_f64(type == LA_T_F32 ? (double)(float)value : value);
    return fits;
}

static bool
integer_value(const la_json *json, la_type type, int64_t *out)
{
    bool is_int = json->kind == LA_J_INT, is_uint = json->kind == LA_J_UINT;
    *out = is_int ? json->i64 : is_uint ? (int64_t)json->u64 : 0;
    switch (type) {
    case LA_T_U64:
        return is_uint || (is_int && json->i64 >= 0);
    case LA_T_I32:
    case LA_T_DATE:
        return is_int && json->i64 >= INT32_MIN && json->i64 <= INT32_MAX;
    default:
        return is_int;
    }
}

/* `json` as a value of the key's own type; false: it is none. */
static bool
literal_value(const la_json *json, la_value *value)
{
    if (json->kind == LA_J_NULL) {
        value->null = true;
        return true;
    }
    switch (value->type) {
    case LA_T_STR:
    case LA_T_CAT:
    case LA_T_BYTES:
        value->text = json->kind == LA_J_TEXT ? json->text.at : NULL;
        value->size = json->kind == LA_J_TEXT ? json->text.size : 0;
        return json->kind == LA_J_TEXT;
    case LA_T_F32:
    case LA_T_F64:
        return float_value(json, value->type, &value->f64);
    case LA_T_BOOL:
        value->i64 = json->kind == LA_J_BOOL && json->boolean;
        return json->kind == LA_J_BOOL;
    default:
        return integer_value(json, value->type, &value->i64);
    }
}

/* One wanted value as key bytes. */
static la_status
key_value(la_query_spec *spec, const la_plan *plan, uint32_t key, const la_json *json,
          const uint8_t **bytes, size_t *size, la_error *err)
{
    const la_expr *expr = plan->keys[key].expr;
    la_value value = {.type = expr->type, .scale = expr->scale};
    if (!literal_value(json, &value)) {
        char type[64];
        la_type_text(expr->type, expr->scale, type, sizeof type);
        return la_fail(err, LA_TYPE, "key \"%s\" is of type %s; the value given is not",
                       plan->keys[key].name, type);
    }
    la_buf out;
    la_buf_init(&out, spec->arena.env);
    la_key_put(&out, &value);
    *size = out.size;
    *bytes = out.failed ? NULL
                        : (const uint8_t *)la_arena_strndup(
                              &spec->arena, (const char *)out.data, out.size);
    la_buf_fini(&out);
    return *bytes != NULL ? LA_OK : la_fail_nomem(err, *size);
}

static la_status
bind_filter(la_query_spec *spec, const la_plan *plan, uint32_t key,
            const la_json *values, la_error *err)
{
    bool many = values->kind == LA_J_ARRAY;
    la_key_filter *filter = &spec->filters[spec->filter_count++];
    filter->key = key;
    filter->value_count = many ? values->list.count : 1;
    filter->values = la_arena_alloc(&spec->arena, ((size_t)filter->value_count + 1) *
                                                      sizeof *filter->values);
    if (filter->values == NULL) {
        return la_fail_nomem(err, filter->value_count * sizeof *filter->values);
    }
    la_status status = LA_OK;
    for (uint32_t v = 0; v < filter->value_count && status == LA_OK; v++) {
        status = key_value(spec, plan, key, many ? &values->list.items[v] : values,
                           &filter->values[v].bytes, &filter->values[v].size, err);
    }
    return status;
}

static la_status
bind_filters(la_query_spec *spec, const la_plan *plan, la_error *err)
{
    const la_json *keys = la_json_get(spec->root, "keys");
    spec->filter_count = 0;
    if (keys == NULL || keys->kind == LA_J_NULL) {
        return LA_OK;
    }
    if (keys->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID,
                       "$.keys must be an object {key: value or values}");
    }
    spec->filters =
        la_arena_alloc(&spec->arena, (keys->list.count + 1) * sizeof *spec->filters);
    if (spec->filters == NULL) {
        return la_fail_nomem(err, keys->list.count * sizeof *spec->filters);
    }
    for (uint32_t i = 0; i < keys->list.count; i++) {
        const la_json *name = &keys->list.items[2 * i];
        int32_t key = find_key(plan, name->text.at);
        if (key < 0) {
            return fail_unknown_key(plan, name->text.at, err);
        }
        la_status status =
            bind_filter(spec, plan, (uint32_t)key, &keys->list.items[2 * i + 1], err);
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

static la_status
bind_rollup_keys(la_query_spec *spec, const la_plan *plan, const la_json *by,
                 la_error *err)
{
    if (by->kind != LA_J_ARRAY) {
        return la_fail(err, LA_INVALID, "$.rollup.by must be a list of key names");
    }
    memset(spec->keep_keys, 0, plan->key_count);
    for (uint32_t i = 0; i < by->list.count; i++) {
        if (by->list.items[i].kind != LA_J_TEXT) {
            return la_fail(err, LA_INVALID, "$.rollup.by[%u] must be a key name", i);
        }
        int32_t key = find_key(plan, by->list.items[i].text.at);
        if (key < 0) {
            return fail_unknown_key(plan, by->list.items[i].text.at, err);
        }
        spec->keep_keys[key] = 1;
    }
    return LA_OK;
}

static la_status
bind_rollup(la_query_spec *spec, const la_plan *plan, la_error *err)
{
    spec->window = plan->window;
    const la_json *rollup = optional(spec->root, "rollup");
    spec->rollup = rollup != NULL;
    if (rollup == NULL) {
        return LA_OK;
    }
    la_status status = check_members(rollup, "$.rollup", rollup_members, err);
    if (status != LA_OK) {
        return status;
    }
    spec->keep_keys = la_arena_alloc(&spec->arena, plan->key_count + 1);
    if (spec->keep_keys == NULL) {
        return la_fail_nomem(err, plan->key_count);
    }
    memset(spec->keep_keys, 1, plan->key_count);
    const la_json *by = optional(rollup, "by");
    status = by == NULL ? LA_OK : bind_rollup_keys(spec, plan, by, err);
    const la_json *window = la_json_get(rollup, "window");
    if (status == LA_OK && window != NULL) {
        status = la_window_parse(window, "$.rollup.window", &spec->window, err);
    }
    if (status == LA_OK && plan->window.kind == LA_WINDOW_NONE &&
        spec->window.kind != LA_WINDOW_NONE) {
        return la_fail(err, LA_INVALID,
                       "could not roll up to windows: the view has none");
    }
    if (status == LA_OK && spec->window.kind != LA_WINDOW_NONE &&
        !la_window_nests(&plan->window, &spec->window)) {
        status =
            la_fail(err, LA_INVALID,
                    "could not roll up: the view's windows do not nest in the windows "
                    "asked for");
        la_error_hint(err,
                      "each window of the view must lie in exactly one of the answer: "
                      "days nest in weeks and months, weeks do not nest in months");
    }
    return status;
}

la_status
la_query_spec_bind(la_query_spec *spec, const la_plan *plan, la_error *err)
{
    la_status status = bind_filters(spec, plan, err);
    if (status == LA_OK && plan->window.kind == LA_WINDOW_NONE &&
        (spec->since != INT64_MIN || spec->until != INT64_MAX)) {
        return la_fail(err, LA_INVALID,
                       "since and until select windows, and the view has none");
    }
    return status == LA_OK ? bind_rollup(spec, plan, err) : status;
}
