/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical form of plans, and their fingerprint.
 *
 * One meaning, one text: members in order of their names, defaults written out, floats as
 * floats, types by their one name. It is made from the JSON that was checked, not from the
 * typed expressions, because those hold conversions that nobody wrote. */
#include <math.h>

#include "base/error.h"
#include "base/hash.h"
#include "expr/agg.h"
#include "expr/typing.h"

const char *const la_on_error_names[3] = {"set_aside", "null", "stop"};

/* ---------------------------------------------------------------- expressions */

static la_json *
copy_node(la_arena *arena, const la_json *json, uint32_t item_count)
{
    la_json *copy = la_arena_alloc(arena, sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *json;
    if (item_count > 0) {
        copy->list.items = la_arena_alloc(arena, item_count * sizeof *copy);
    }
    return item_count > 0 && copy->list.items == NULL ? NULL : copy;
}

/* Floats become floats whatever number was given; what JSON cannot write becomes its name. */
static void
canonical_float(la_json *json, la_type type)
{
    double x;
    if (!la_literal_float(json, type, &x)) {
        return; /* null */
    }
    const char *name = x != x                      ? "nan"
                       : x - x != 0                ? (x > 0 ? "inf" : "-inf")
                       : x == 0 && signbit(x) != 0 ? "-0.0"
                                                   : NULL;
    if (name == NULL) {
        json->kind = LA_J_FLOAT;
        json->f64 = x;
        return;
    }
    json->kind = LA_J_TEXT;
    json->text.at = name;
    json->text.size = strlen(name);
}

static la_json *
canonical_every(la_arena *arena, const la_json *json)
{
    bool grows =
        la_json_get(json, "unit") != NULL && la_json_get(json, "count") == NULL;
    uint32_t count = json->list.count;
    la_json *copy = copy_node(arena, json, 2 * (count + 1));
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy->list.items, json->list.items, 2 * (size_t)count * sizeof *copy);
    if (grows) {
        la_json name = {.kind = LA_J_TEXT, .text = {"count", 5}};
        la_json one = {.kind = LA_J_INT, .i64 = 1};
        copy->list.items[2 * count] = name;
        copy->list.items[2 * count + 1] = one;
        copy->list.count++;
    }
    return copy;
}

/* One text a type: "decimal(02)" is "decimal(2)", and outside of columns cat is str. */
static bool
canonical_type(la_arena *arena, la_json *json)
{
    la_type type;
    uint8_t scale;
    bool nullable;
    char text[32];
    if (la_type_parse(json->text.at, json->text.size, &type, &scale, &nullable, NULL) !=
        LA_OK) {
        return true; /* "null" */
    }
    la_type_text(type == LA_T_CAT ? LA_T_STR : type, scale, text, sizeof text);
    json->text.size = strlen(text);
    json->text.at = la_arena_strndup(arena, text, json->text.size);
    return json->text.at != NULL;
}

static la_json *
canonical_expr(la_arena *arena, const la_json *json)
{
    if (json->kind == LA_J_OBJECT) {
        return canonical_every(arena, json); /* the only objects in expressions */
    }
    uint32_t count = json->kind == LA_J_ARRAY ? json->list.count : 0;
    la_json *copy = copy_node(arena, json, count);
    for (uint32_t i = 0; copy != NULL && i < count; i++) {
        la_json *item = canonical_expr(arena, &json->list.items[i]);
        if (item == NULL) {
            return NULL;
        }
        copy->list.items[i] = *item;
    }
    if (copy == NULL || count != 3) {
        return copy;
    }
    la_json *items = copy->list.items;
    bool literal = la_json_is(&items[0], "lit");
    if (literal && la_json_is(&items[1], "f32")) {
        canonical_float(&items[2], LA_T_F32);
    }
    else if (literal && la_json_is(&items[1], "f64")) {
        canonical_float(&items[2], LA_T_F64);
    }
    bool typed = literal || la_json_is(&items[0], "cast");
    if (typed && !canonical_type(arena, &items[literal ? 1 : 2])) {
        return NULL;
    }
    return copy;
}

/* ----------------------------------------------------------------------- plans */

static const la_json *
given(const la_json *object, const char *name)
{
    const la_json *json = la_json_get(object, name);
    return json == NULL || json->kind == LA_J_NULL ? NULL : json;
}

static void
put_expr(la_plan *plan, la_buf *to, const la_json *json)
{
    if (json == NULL) {
        la_buf_text(to, "null");
        return;
    }
    la_json *canonical = canonical_expr(&plan->arena, json);
    if (canonical == NULL) {
        to->failed = true;
        return;
    }
    la_json_put(to, canonical);
}

static void
put_aggregates(la_plan *plan, const la_json *root, la_buf *to)
{
    const la_json *aggs = la_json_get(root, "aggs");
    for (uint32_t i = 0; i < aggs->list.count; i++) {
        const la_json *agg = &aggs->list.items[i];
        const char *name = plan->aggs[i].name;
        la_buf_text(to, i == 0 ? "{\"arg\":" : ",{\"arg\":");
        put_expr(plan, to, given(agg, "arg"));
        la_buf_text(to, ",\"filter\":");
        put_expr(plan, to, given(agg, "filter"));
        la_buf_printf(to, ",\"fn\":\"%s\",\"name\":", plan->aggs[i].kind->name);
        la_json_put_text(to, name, strlen(name));
        la_buf_u8(to, '}');
    }
}

static void
put_keys(la_plan *plan, const la_json *root, la_buf *to)
{
    const la_json *by = la_json_get(root, "by");
    for (uint32_t i = 0; i < plan->key_count; i++) {
        const char *name = plan->keys[i].name;
        la_buf_text(to, i == 0 ? "[" : ",[");
        la_json_put_text(to, name, strlen(name));
        la_buf_u8(to, ',');
        put_expr(plan, to, &by->list.items[i].list.items[1]);
        la_buf_u8(to, ']');
    }
}

void
la_window_put(la_buf *to, const la_window *window)
{
    static const char *const units[] = {"day", "week", "month", "quarter", "year"};
    switch (window->kind) {
    case LA_WINDOW_NONE:
        la_buf_text(to, "null");
        break;
    case LA_WINDOW_TUMBLING:
        la_buf_printf(to, "{\"kind\":\"tumbling\",\"origin_us\":%lld,\"size_us\":%lld}",
                      (long long)window->origin_us, (long long)window->size_us);
        break;
    case LA_WINDOW_CALENDAR:
        la_buf_printf(
            to, "{\"count\":%lld,\"kind\":\"calendar\",\"tz\":\"UTC\",\"unit\":\"%s\"}",
            (long long)window->count, units[window->unit]);
        break;
    }
}

/* Members in order of their names: aggs by late logs on_error v where window. */
static la_status
write_canonical(la_plan *plan, const la_json *root, la_error *err)
{
    la_buf text;
    la_buf_init(&text, plan->env);
    la_buf_text(&text, "{\"aggs\":[");
    put_aggregates(plan, root, &text);
    la_buf_text(&text, "],\"by\":[");
    put_keys(plan, root, &text);
    la_buf_text(&text, "],\"late\":{\"then\":\"update\"},\"logs\":[");
    la_json_put_text(&text, plan->log, strlen(plan->log));
    la_buf_printf(&text, "],\"on_error\":\"%s\",\"v\":1,\"where\":",
                  la_on_error_names[plan->on_error]);
    put_expr(plan, &text, given(root, "where"));
    la_buf_text(&text, ",\"window\":");
    la_window_put(&text, &plan->window);
    la_buf_u8(&text, '}');
    if (!text.failed) {
        plan->canonical =
            la_arena_strndup(&plan->arena, (const char *)text.data, text.size);
        plan->canonical_size = text.size;
    }
    size_t size = text.size;
    la_buf_fini(&text);
    return plan->canonical == NULL ? la_fail_nomem(err, size + 1) : LA_OK;
}

/* canonical "\n" and, for each distinct aggregate by name, name "/" version "\n". */
static la_status
write_fingerprint(la_plan *plan, la_error *err)
{
    la_buf text;
    la_buf_init(&text, plan->env);
    la_buf_put(&text, plan->canonical, plan->canonical_size);
    la_buf_u8(&text, '\n');
    const char *last = "";
    for (;;) {
        const la_agg_kind *next = NULL;
        for (uint32_t i = 0; i < plan->agg_count; i++) {
            const la_agg_kind *kind = plan->aggs[i].kind;
            if (strcmp(kind->name, last) > 0 &&
                (next == NULL || strcmp(kind->name, next->name) < 0)) {
                next = kind;
            }
        }
        if (next == NULL) {
            break;
        }
        la_buf_printf(&text, "%s/%u\n", next->name, next->semantics);
        last = next->name;
    }
    bool failed = text.failed;
    if (!failed) {
        la_sha256(text.data, text.size, plan->fingerprint);
    }
    la_buf_fini(&text);
    return failed ? la_fail_nomem(err, plan->canonical_size) : LA_OK;
}

la_status
la_plan_canonicalise(la_plan *plan, const la_json *root, la_error *err)
{
    la_status status = write_canonical(plan, root, err);
    return status != LA_OK ? status : write_fingerprint(plan, err);
}
