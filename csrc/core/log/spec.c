/* SPDX-License-Identifier: Apache-2.0 */
/* Log specs: parsed, checked and made canonical, so that two can be compared as text.
 *
 * Invariants
 *  1. The canonical form has all four members; parsing it gives the same canonical
 *     form.
 *  2. Checks are typed against the schema here, so an append meets no type error of
 *     theirs.
 */
#include "log/spec.h"

#include <stdio.h>

#include "base/error.h"

static la_status
read_schema(la_log_def *def, const la_json *root, la_error *err)
{
    static const char *const known[] = {"fields", "time", "dedupe", "check"};
    const la_json *fields;
    la_status status;

    if (root->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID, "could not read the log spec: it is no object");
    }
    for (uint32_t i = 0; i < root->list.count; i++) {
        const la_json *key = &root->list.items[2 * i];
        bool found = false;

        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            found = found || la_json_is(key, known[k]);
        }
        if (!found) {
            return la_fail(err, LA_INVALID,
                           "could not read the log spec: it has no member \"%.60s\" "
                           "(members: fields, time, dedupe, check)",
                           key->text.at);
        }
    }
    status = la_json_array(root, "fields", &fields, err);
    if (status != LA_OK) {
        return status;
    }
    return la_schema_from_json(def->env, fields, &def->schema, err);
}

static la_status
find_column(const la_log_def *def, const la_json *node, const char *what,
            int32_t *column, la_error *err)
{
    if (node->kind != LA_J_TEXT) {
        return la_fail(err, LA_INVALID,
                       "could not read the log spec: \"%s\" names no column", what);
    }
    *column = la_schema_find(def->schema, node->text.at);
    if (*column < 0 || strlen(node->text.at) != node->text.size) {
        return la_fail(
            err, LA_INVALID,
            "could not read the log spec: \"%s\" names column \"%.100s\", which "
            "is no field",
            what, node->text.at);
    }
    return LA_OK;
}

static la_status
read_time(la_log_def *def, const la_json *root, la_error *err)
{
    const la_json *node = la_json_get(root, "time");
    const la_field *field;
    la_status status;

    def->time_column = -1;
    if (node == NULL || node->kind == LA_J_NULL) {
        return LA_OK;
    }
    status = find_column(def, node, "time", &def->time_column, err);
    if (status != LA_OK) {
        return status;
    }
    field = la_schema_field(def->schema, (uint32_t)def->time_column);
    if (field->type != LA_T_TIME) {
        char type[64];
        la_type_text(field->type, field->scale, type, sizeof type);
        return la_fail(err, LA_TYPE,
                       "could not read the log spec: event time \"%.100s\" is %s, not "
                       "time[us]",
                       field->name, type);
    }
    return LA_OK;
}

static la_status
read_dedupe(la_log_def *def, const la_json *root, la_error *err)
{
    const la_json *node = la_json_get(root, "dedupe");

    if (node == NULL || node->kind == LA_J_NULL) {
        return LA_OK;
    }
    if (node->kind != LA_J_ARRAY || node->list.count == 0) {
        return la_fail(err, LA_INVALID,
                       "could not read the log spec: \"dedupe\" is no list of columns");
    }
    def->dedupe = la_arena_alloc(&def->arena, sizeof *def->dedupe * node->list.count);
    if (def->dedupe == NULL) {
        return la_fail_nomem(err, sizeof *def->dedupe * node->list.count);
    }
    for (uint32_t i = 0; i < node->list.count; i++) {
        int32_t column = -1;
        la_status status =
            find_column(def, &node->list.items[i], "dedupe", &column, err);

        if (status != LA_OK) {
            return status;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (def->dedupe[k] == (uint32_t)column) {
                return la_fail(err, LA_INVALID,
                               "could not read the log spec: \"dedupe\" names column "
                               "\"%.100s\" twice",
                               la_schema_field(def->schema, (uint32_t)column)->name);
            }
        }
        def->dedupe[i] = (uint32_t)column;
    }
    def->dedupe_count = node->list.count;
    return LA_OK;
}

static la_status
read_checks(la_log_def *def, const la_json *root, la_error *err)
{
    const la_json *node = la_json_get(root, "check");
    la_buf text;
    la_status status = LA_OK;

    if (node == NULL || node->kind == LA_J_NULL) {
        return LA_OK;
    }
    if (node->kind != LA_J_ARRAY) {
        return la_fail(
            err, LA_INVALID,
            "could not read the log spec: \"check\" is no list of expressions");
    }
    def->checks = la_arena_alloc(&def->arena, sizeof *def->checks * node->list.count);
    def->check_texts = la_arena_alloc(&def->arena, sizeof(char *) * node->list.count);
    if (def->checks == NULL || def->check_texts == NULL) {
        return la_fail_nomem(err, sizeof *def->checks * node->list.count);
    }
    la_buf_init(&text, def->env);
    for (uint32_t i = 0; i < node->list.count && status == LA_OK; i++) {
        char place[40];

        snprintf(place, sizeof place, "$.check[%u]", i);
        status = la_expr_parse(&node->list.items[i], def->schema, place, &def->arena,
                               &def->checks[i], err);
        if (status == LA_OK && def->checks[i]->type != LA_T_BOOL) {
            status = la_fail(err, LA_TYPE, "%s: a check must be true or false", place);
        }
        la_buf_clear(&text);
        la_json_put(&text, &node->list.items[i]);
        def->check_texts[i] =
            text.failed
                ? NULL
                : la_arena_strndup(&def->arena, (const char *)text.data, text.size);
        if (status == LA_OK && def->check_texts[i] == NULL) {
            status = la_fail_nomem(err, text.size);
        }
    }
    la_buf_fini(&text);
    def->check_count = node->list.count;
    return status;
}

static void
put_name(la_buf *to, const la_schema *schema, uint32_t column)
{
    const char *name = la_schema_field(schema, column)->name;
    la_json_put_text(to, name, strlen(name));
}

static la_status
put_canonical(la_log_def *def, la_error *err)
{
    la_buf to, fields;
    la_arena arena;
    const la_json *node;
    la_status status;

    la_buf_init(&to, def->env);
    la_buf_init(&fields, def->env);
    la_arena_init(&arena, def->env);
    la_buf_text(&to, "{\"check\":[");
    for (uint32_t i = 0; i < def->check_count; i++) {
        la_buf_text(&to, i == 0 ? "" : ",");
        la_buf_text(&to, def->check_texts[i]);
    }
    la_buf_text(&to, "],\"dedupe\":");
    for (uint32_t i = 0; i < def->dedupe_count; i++) {
        la_buf_text(&to, i == 0 ? "[" : ",");
        put_name(&to, def->schema, def->dedupe[i]);
    }
    la_buf_text(&to, def->dedupe_count == 0 ? "null" : "]");
    la_buf_text(&to, ",\"fields\":");
    la_schema_to_json(def->schema, &to);
    la_buf_text(&to, ",\"time\":");
    if (def->time_column < 0) {
        la_buf_text(&to, "null");
    }
    else {
        put_name(&to, def->schema, (uint32_t)def->time_column);
    }
    la_buf_text(&to, "}");
    if (to.failed) {
        status = la_fail_nomem(err, to.capacity);
        goto done;
    }
    /* Once through the parser: whatever the parts looked like, the whole is
     * canonical. */
    status = la_json_parse(&arena, (const char *)to.data, to.size, &node, err);
    if (status == LA_OK) {
        la_json_put(&fields, node);
        def->canonical = fields.failed ? NULL
                                       : la_strndup(def->env, (const char *)fields.data,
                                                    fields.size);
        status = def->canonical == NULL ? la_fail_nomem(err, to.size) : LA_OK;
    }
done:
    la_arena_fini(&arena);
    la_buf_fini(&fields);
    la_buf_fini(&to);
    return status;
}

la_status
la_log_def_parse(const la_env *env, const char *spec, la_log_def *out, la_error *err)
{
    la_log_def def = {.env = env};
    const la_json *root;
    la_status status;

    la_arena_init(&def.arena, env);
    status = la_json_parse(&def.arena, spec, strlen(spec), &root, err);
    if (status == LA_OK) {
        status = read_schema(&def, root, err);
    }
    if (status == LA_OK) {
        status = read_time(&def, root, err);
    }
    if (status == LA_OK) {
        status = read_dedupe(&def, root, err);
    }
    if (status == LA_OK) {
        status = read_checks(&def, root, err);
    }
    if (status == LA_OK) {
        status = put_canonical(&def, err);
    }
    if (status != LA_OK) {
        la_log_def_fini(&def);
        return status;
    }
    *out = def;
    return LA_OK;
}

void
la_log_def_fini(la_log_def *def)
{
    if (def->env == NULL) {
        return;
    }
    la_strfree(def->env, def->canonical);
    if (def->schema != NULL) {
        la_schema_release(def->schema);
    }
    la_arena_fini(&def->arena);
    memset(def, 0, sizeof *def);
}

la_status
la_log_def_same(const la_env *env, const char *name, const char *stored,
                const char *given, la_error *err)
{
    char where[200] = "";
    const la_json *a, *b;
    la_arena arena;
    la_status status;

    if (strcmp(stored, given) == 0) {
        return LA_OK;
    }
    la_arena_init(&arena, env);
    status = la_json_parse(&arena, stored, strlen(stored), &a, err);
    if (status == LA_OK) {
        status = la_json_parse(&arena, given, strlen(given), &b, err);
    }
    if (status == LA_OK) {
        (void)la_json_difference(a, b, where, sizeof where);
        status =
            la_fail(err, LA_CONFLICT,
                    "could not open log \"%s\" with this spec: it exists with another "
                    "one: %s",
                    name, where);
        la_error_hint(err, "open it without a spec, or under another name");
    }
    la_arena_fini(&arena);
    return status;
}
