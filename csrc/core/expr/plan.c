/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: JSON in, checked and typed plan out, with its canonical form and fingerprint.
 *
 *   JSON -> members checked -> expressions typed -> canonical JSON -> SHA-256
 *
 * Canonical form and fingerprint: canonical.c.
 *
 * Invariants
 *  1. A finished plan never changes; any thread may read it. References are atomic.
 *  2. Everything it points to is in its arena, but for the two schemas that it retains.
 *  3. parse(canonical) has the same canonical form and fingerprint. */
#include <stdio.h>

#include "base/error.h"
#include "base/live.h"
#include "expr/agg.h"
#include "expr/typing.h"

typedef struct reader {
    la_plan *plan;
    la_scope scope;
    const la_json *root;
    la_place place;
    la_error *err;
} reader;

static la_status
nomem(reader *r, size_t size)
{
    return la_fail_nomem(r->err, size);
}

static la_status
expected(reader *r, const la_place *place, const char *what, const la_json *found)
{
    return la_place_fail(place, r->err, LA_INVALID, "expected %s, not %s", what,
                         la_json_kind_text(found));
}

/* A member that is there and not null; NULL stands for both. */
static const la_json *
given(const la_json *object, const char *name)
{
    const la_json *json = la_json_get(object, name);
    return json == NULL || json->kind == LA_J_NULL ? NULL : json;
}

/* ----------------------------------------------------------------- log, names */

static la_status
read_log(reader *r, const la_plan_source *source)
{
    const la_json *logs = la_json_get(r->root, "logs");
    la_place place = la_place_member(&r->place, "logs");
    if (logs == NULL || logs->kind != LA_J_ARRAY) {
        return expected(r, &place, "a list of log names", logs);
    }
    if (logs->list.count != 1) {
        return la_place_fail(&place, r->err, LA_INVALID,
                             "expected exactly one log, not %u: this version reads one",
                             logs->list.count);
    }
    const la_json *name = &logs->list.items[0];
    la_place item = la_place_item(&place, 0);
    if (name->kind != LA_J_TEXT || strlen(name->text.at) != name->text.size) {
        return expected(r, &item, "a log name", name);
    }
    la_plan *plan = r->plan;
    plan->log = la_arena_strndup(&plan->arena, name->text.at, name->text.size);
    if (plan->log == NULL) {
        return nomem(r, name->text.size + 1);
    }
    const la_schema *schema = NULL;
    la_error inner = {0};
    la_status status =
        source->find(source->ctx, plan->log, &schema, &plan->time_column, &inner);
    if (status != LA_OK) {
        inner.status = status;
        return la_place_wrap(&item, r->err, &inner);
    }
    plan->schema = la_schema_retain(schema);
    r->scope.schema = schema;
    r->scope.log = plan->log;
    size_t columns = la_schema_count(schema);
    plan->columns_used = la_arena_alloc(&plan->arena, columns + 1);
    if (plan->columns_used == NULL) {
        return nomem(r, columns + 1);
    }
    memset(plan->columns_used, 0, columns + 1);
    return LA_OK;
}

/* Names of result columns: what a schema takes, and distinct. */
static la_status
read_name(reader *r, const la_place *place, const la_json *json, char **out)
{
    if (json == NULL || json->kind != LA_J_TEXT) {
        return expected(r, place, "a name", json);
    }
    size_t size = json->text.size;
    if (size == 0 || size > LA_NAME_BYTES_MAX) {
        return la_place_fail(place, r->err, LA_INVALID,
                             "a name has 1 to %u bytes, this one %zu",
                             LA_NAME_BYTES_MAX, size);
    }
    for (size_t i = 0; i < size; i++) {
        if ((uint8_t)json->text.at[i] < 0x20 || json->text.at[i] == 0x7f) {
            return la_place_fail(place, r->err, LA_INVALID,
                                 "a name has no control characters");
        }
    }
    if (la_json_is(json, "window_start") || la_json_is(json, "window_end")) {
        return la_place_fail(place, r->err, LA_INVALID,
                             "the name \"%s\" is kept for windows", json->text.at);
    }
    const la_plan *plan = r->plan;
    for (uint32_t i = 0; i < plan->key_count + plan->agg_count; i++) {
        const char *other = i < plan->key_count ? plan->keys[i].name
                                                : plan->aggs[i - plan->key_count].name;
        if (la_json_is(json, other)) {
            return la_place_fail(place, r->err, LA_INVALID,
                                 "the name \"%s\" is there already", other);
        }
    }
    *out = la_arena_strndup(&r->plan->arena, json->text.at, size);
    return *out == NULL ? nomem(r, size + 1) : LA_OK;
}

/* --------------------------------------------------------- keys, window, where */

static la_status
read_key(reader *r, const la_json *json, const la_place *place, la_plan_key *key)
{
    if (json->kind != LA_J_ARRAY || json->list.count != 2) {
        return expected(r, place, "[name, expression]", json);
    }
    la_place name = la_place_item(place, 0);
    la_place expr = la_place_item(place, 1);
    la_status status = read_name(r, &name, &json->list.items[0], &key->name);
    if (status == LA_OK) {
        status = la_expr_parse_at(&r->scope, &json->list.items[1], &expr, &key->expr);
    }
    if (status == LA_OK) {
        la_expr_columns(key->expr, r->plan->columns_used);
    }
    return status;
}

static la_status
read_keys(reader *r)
{
    const la_json *by = la_json_get(r->root, "by");
    la_place place = la_place_member(&r->place, "by");
    if (by == NULL) {
        return LA_OK;
    }
    if (by->kind != LA_J_ARRAY) {
        return expected(r, &place, "a list of [name, expression]", by);
    }
    if (by->list.count > LA_KEYS_MAX) {
        return la_place_fail(&place, r->err, LA_INVALID,
                             "%u keys, at most %u are possible", by->list.count,
                             LA_KEYS_MAX);
    }
    la_plan *plan = r->plan;
    plan->keys =
        la_arena_alloc(&plan->arena, (by->list.count + 1) * sizeof *plan->keys);
    if (plan->keys == NULL) {
        return nomem(r, (by->list.count + 1) * sizeof *plan->keys);
    }
    for (uint32_t i = 0; i < by->list.count; i++) {
        la_place item = la_place_item(&place, i);
        la_status status = read_key(r, &by->list.items[i], &item, &plan->keys[i]);
        if (status != LA_OK) {
            return status;
        }
        plan->key_count++;
    }
    return LA_OK;
}

static la_status
read_window(reader *r)
{
    la_plan *plan = r->plan;
    la_place place = la_place_member(&r->place, "window");
    la_status status = la_window_parse_at(la_json_get(r->root, "window"), &place,
                                          &plan->window, r->err);
    if (status != LA_OK || plan->window.kind == LA_WINDOW_NONE) {
        return status;
    }
    if (plan->time_column < 0) {
        return la_place_fail(&place, r->err, LA_INVALID,
                             "log \"%.60s\" has no event time to take windows from",
                             plan->log);
    }
    plan->columns_used[plan->time_column] = 1;
    return LA_OK;
}

static la_status
read_where(reader *r)
{
    const la_json *where = given(r->root, "where");
    la_place place = la_place_member(&r->place, "where");
    if (where == NULL) {
        return LA_OK;
    }
    la_status status = la_expr_parse_bool(&r->scope, where, &place, &r->plan->where);
    if (status == LA_OK) {
        la_expr_columns(r->plan->where, r->plan->columns_used);
    }
    return status;
}

/* ----------------------------------------------------------------- aggregates */

static la_status
no_aggregate(reader *r, const la_place *place, const la_json *fn)
{
    char list[256];
    size_t at = 0;
    uint32_t count;
    const la_agg_kind *const *all = la_agg_all(&count);
    list[0] = '\0';
    for (uint32_t i = 0; i < count && at < sizeof list; i++) {
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i == 0 ? "" : ", ",
                               all[i]->name);
    }
    return la_place_fail(place, r->err, LA_INVALID,
                         "there is no aggregate \"%.60s\" (there are: %s)", fn->text.at,
                         list);
}

/* Function, argument and finished type. */
static la_status
read_function(reader *r, const la_json *json, const la_place *place, la_plan_agg *agg)
{
    const la_json *fn = la_json_get(json, "fn");
    const la_json *arg = given(json, "arg");
    la_place fn_place = la_place_member(place, "fn");
    la_place arg_place = la_place_member(place, "arg");
    if (fn == NULL || fn->kind != LA_J_TEXT) {
        return expected(r, &fn_place, "the name of an aggregate", fn);
    }
    agg->kind = la_agg_find(fn->text.at);
    if (agg->kind == NULL || !la_json_is(fn, agg->kind->name)) {
        return no_aggregate(r, &fn_place, fn);
    }
    if (agg->kind->takes_arg != (arg != NULL)) {
        return la_place_fail(&arg_place, r->err, LA_INVALID,
                             agg->kind->takes_arg ? "\"%s\" needs an argument"
                                                  : "\"%s\" takes no argument",
                             agg->kind->name);
    }
    if (arg != NULL) {
        la_status status = la_expr_parse_at(&r->scope, arg, &arg_place, &agg->arg);
        if (status != LA_OK) {
            return status;
        }
        la_expr_columns(agg->arg, r->plan->columns_used);
    }
    la_error inner = {0};
    la_status status = agg->kind->type(agg->arg == NULL ? LA_T_NULL : agg->arg->type,
                                       agg->arg == NULL ? 0 : agg->arg->scale,
                                       &agg->result, &agg->result_scale, &inner);
    if (status != LA_OK) {
        inner.status = status;
        return la_place_wrap(&arg_place, r->err, &inner);
    }
    agg->result = agg->result == LA_T_CAT ? LA_T_STR : agg->result;
    return LA_OK;
}

static la_status
read_aggregate(reader *r, const la_json *json, const la_place *place, la_plan_agg *agg)
{
    static const char *const members[] = {"arg", "filter", "fn", "name", NULL};
    if (json->kind != LA_J_OBJECT) {
        return expected(r, place, "an object", json);
    }
    la_plan *plan = r->plan;
    la_place name = la_place_member(place, "name");
    la_place filter = la_place_member(place, "filter");
    la_status status = la_place_members(place, json, members, r->err);
    if (status == LA_OK) {
        status = read_name(r, &name, la_json_get(json, "name"), &agg->name);
    }
    if (status == LA_OK) {
        status = read_function(r, json, place, agg);
    }
    if (status == LA_OK && given(json, "filter") != NULL) {
        status =
            la_expr_parse_bool(&r->scope, given(json, "filter"), &filter, &agg->filter);
    }
    if (status != LA_OK) {
        return status;
    }
    if (agg->filter != NULL) {
        la_expr_columns(agg->filter, plan->columns_used);
    }
    /* The least and greatest of (event time, log, position) need the event time. */
    bool timed =
        strcmp(agg->kind->name, "first") == 0 || strcmp(agg->kind->name, "last") == 0;
    if (timed && plan->time_column >= 0) {
        plan->columns_used[plan->time_column] = 1;
    }
    plan->order_free = plan->order_free && agg->kind->order_free;
    return LA_OK;
}

static la_status
read_aggregates(reader *r)
{
    const la_json *aggs = la_json_get(r->root, "aggs");
    la_place place = la_place_member(&r->place, "aggs");
    if (aggs == NULL || aggs->kind != LA_J_ARRAY) {
        return expected(r, &place, "a list of aggregates", aggs);
    }
    uint32_t count = aggs->list.count;
    if (count == 0 || count > LA_AGGREGATES_MAX) {
        return la_place_fail(&place, r->err, LA_INVALID,
                             "%u aggregates, 1 to %u are possible", count,
                             LA_AGGREGATES_MAX);
    }
    la_plan *plan = r->plan;
    plan->order_free = true;
    plan->aggs = la_arena_alloc(&plan->arena, count * sizeof *plan->aggs);
    if (plan->aggs == NULL) {
        return nomem(r, count * sizeof *plan->aggs);
    }
    memset(plan->aggs, 0, count * sizeof *plan->aggs);
    for (uint32_t i = 0; i < count; i++) {
        la_place item = la_place_item(&place, i);
        la_status status =
            read_aggregate(r, &aggs->list.items[i], &item, &plan->aggs[i]);
        if (status != LA_OK) {
            return status;
        }
        plan->agg_count++;
    }
    return LA_OK;
}

/* --------------------------------------------------------------------- policy */

static la_status
read_policy(reader *r)
{
    const la_json *on_error = la_json_get(r->root, "on_error");
    la_place place = la_place_member(&r->place, "on_error");
    if (on_error != NULL) {
        uint32_t i = 0;
        while (i < 3 && !la_json_is(on_error, la_on_error_names[i])) {
            i++;
        }
        if (i == 3) {
            return la_place_fail(&place, r->err, LA_INVALID,
                                 "expected \"set_aside\", \"null\" or \"stop\"");
        }
        r->plan->on_error = (la_on_error)i;
    }
    const la_json *late = given(r->root, "late");
    la_place late_place = la_place_member(&r->place, "late");
    static const char *const members[] = {"then", NULL};
    if (late == NULL) {
        return LA_OK;
    }
    if (late->kind != LA_J_OBJECT) {
        return expected(r, &late_place, "an object", late);
    }
    if (la_json_get(late, "after") != NULL ||
        !la_json_is(la_json_get(late, "then"), "update")) {
        return la_place_fail(&late_place, r->err, LA_INVALID,
                             "expected {\"then\":\"update\"}: others are reserved");
    }
    return la_place_members(&late_place, late, members, r->err);
}

static la_status
read_head(reader *r)
{
    static const char *const members[] = {"aggs", "by",    "late",   "logs", "on_error",
                                          "v",    "where", "window", NULL};
    if (r->root->kind != LA_J_OBJECT) {
        return expected(r, &r->place, "an object", r->root);
    }
    const la_json *v = la_json_get(r->root, "v");
    la_place place = la_place_member(&r->place, "v");
    if (v == NULL || v->kind != LA_J_INT) {
        return expected(r, &place, "the plan's version, 1", v);
    }
    if (v->i64 != 1) {
        return la_place_fail(&place, r->err, v->i64 > 1 ? LA_NEWER : LA_INVALID,
                             "plans of version %lld cannot be read, only 1",
                             (long long)v->i64);
    }
    return la_place_members(&r->place, r->root, members, r->err);
}

/* -------------------------------------------------------------- result schema */

static bool
aggregate_is_nullable(const la_plan_agg *agg)
{
    static const char *const counting[] = {"len", "count", "null_count", "n_unique"};
    for (uint32_t i = 0; i < 4; i++) {
        if (strcmp(agg->kind->name, counting[i]) == 0) {
            return false;
        }
    }
    return true;
}

static la_status
make_result_schema(reader *r)
{
    la_plan *plan = r->plan;
    bool windowed = plan->window.kind != LA_WINDOW_NONE;
    bool nulls_failures = plan->on_error == LA_ON_ERROR_NULL;
    size_t room = (plan->key_count + plan->agg_count + 2) * sizeof(la_field);
    la_field *fields = la_arena_alloc(&plan->arena, room);
    if (fields == NULL) {
        return nomem(r, room);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->key_count; i++) {
        const la_expr *expr = plan->keys[i].expr;
        bool nullable = expr->nullable || (nulls_failures && la_expr_can_fail(expr));
        la_type type = expr->type == LA_T_CAT ? LA_T_STR : expr->type;
        fields[count++] = (la_field){plan->keys[i].name, type, expr->scale, nullable};
    }
    static char window_start[] = "window_start", window_end[] = "window_end";
    if (windowed) {
        fields[count++] = (la_field){window_start, LA_T_TIME, 0, false};
        fields[count++] = (la_field){window_end, LA_T_TIME, 0, false};
    }
    for (uint32_t i = 0; i < plan->agg_count; i++) {
        const la_plan_agg *agg = &plan->aggs[i];
        fields[count++] = (la_field){agg->name, agg->result, agg->result_scale,
                                     aggregate_is_nullable(agg)};
    }
    return la_schema_new(plan->env, fields, count, &plan->result_schema, r->err);
}

/* ------------------------------------------------------------------- lifetime */

static la_status
read_plan(reader *r, const char *json, size_t size, const la_plan_source *source)
{
    la_error inner = {0};
    la_status status = la_json_parse(&r->plan->arena, json, size, &r->root, &inner);
    if (status != LA_OK) {
        inner.status = status;
        return la_place_wrap(&r->place, r->err, &inner);
    }
    la_status (*const steps[])(reader *) = {
        read_keys,       read_window, read_where,
        read_aggregates, read_policy, make_result_schema,
    };
    status = read_head(r);
    if (status == LA_OK) {
        status = read_log(r, source);
    }
    for (size_t i = 0; status == LA_OK && i < sizeof steps / sizeof steps[0]; i++) {
        status = steps[i](r);
    }
    return status != LA_OK ? status : la_plan_canonicalise(r->plan, r->root, r->err);
}

static void
plan_delete(la_plan *plan)
{
    const la_env *env = plan->env;
    la_schema_release(plan->schema);
    la_schema_release(plan->result_schema);
    la_arena_fini(&plan->arena);
    la_dealloc(env, plan, sizeof *plan);
}

la_status
la_plan_parse(const la_env *env, const char *json, size_t size,
              const la_plan_source *source, la_plan **out, la_error *err)
{
    la_plan *plan = la_calloc(env, 1, sizeof *plan);
    if (plan == NULL) {
        return la_fail_nomem(err, sizeof *plan);
    }
    plan->env = env;
    plan->references = 1;
    plan->time_column = -1;
    la_arena_init(&plan->arena, env);
    reader r = {.plan = plan, .place = la_place_root("$"), .err = err};
    r.scope.arena = &plan->arena;
    r.scope.err = err;
    la_status status = read_plan(&r, json, size, source);
    if (status != LA_OK) {
        plan_delete(plan);
        return status;
    }
    la_live_add(LA_LIVE_PLAN, 1);
    *out = plan;
    return LA_OK;
}

la_plan *
la_plan_retain(la_plan *plan)
{
    (void)__atomic_fetch_add(&plan->references, 1, __ATOMIC_RELAXED);
    return plan;
}

void
la_plan_release(la_plan *plan)
{
    if (plan != NULL &&
        __atomic_fetch_sub(&plan->references, 1, __ATOMIC_ACQ_REL) == 1) {
        la_live_add(LA_LIVE_PLAN, -1);
        plan_delete(plan);
    }
}
