/* SPDX-License-Identifier: Apache-2.0 */
/* Types and schemas: their texts, their JSON form, and their rules.
 *
 * Invariants of a la_schema, checked by la_schema_new and true ever after:
 *  1. At most LA_COLUMNS_MAX fields; names are 1..LA_NAME_BYTES_MAX bytes of valid
 *     UTF-8 without control characters, no two alike.
 *  2. Types can be stored (not null, not json); `scale` is 0..18 for decimal, else 0.
 *  3. It never changes, so any thread may read it; the count of references is
 *     atomic. */
#include <stdatomic.h>
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/live.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

struct la_schema {
    const la_env *env;
    atomic_uint references;
    uint32_t count;
    la_field *fields;
};

#define TYPE_LIST                                                                      \
    "i64, u64, i32, f64, f32, bool, time[us], date, decimal(0..18), cat, str, bytes; " \
    "a trailing ? makes it nullable"

static const struct {
    const char *text;
    la_type type;
} type_texts[] = {
    {"null", LA_T_NULL}, {"bool", LA_T_BOOL},     {"i32", LA_T_I32},
    {"i64", LA_T_I64},   {"u64", LA_T_U64},       {"f32", LA_T_F32},
    {"f64", LA_T_F64},   {"time[us]", LA_T_TIME}, {"date", LA_T_DATE},
    {"cat", LA_T_CAT},   {"str", LA_T_STR},       {"bytes", LA_T_BYTES},
    {"json", LA_T_JSON},
};
#define TYPE_TEXT_COUNT (sizeof type_texts / sizeof type_texts[0])

size_t
la_type_size(la_type type)
{
    switch (type) {
    case LA_T_BOOL:
        return 1;
    case LA_T_I32:
    case LA_T_F32:
    case LA_T_DATE:
    case LA_T_CAT:
        return 4;
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_F64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        return 8;
    case LA_T_NULL:
    case LA_T_STR:
    case LA_T_BYTES:
    case LA_T_JSON:
    case LA_T_COUNT:
        break;
    }
    return 0;
}

void
la_type_text(la_type type, uint8_t scale, char *text, size_t size)
{
    if (type == LA_T_DECIMAL) {
        (void)snprintf(text, size, "decimal(%u)", scale);
        return;
    }
    for (size_t i = 0; i < TYPE_TEXT_COUNT; i++) {
        if (type_texts[i].type == type) {
            (void)snprintf(text, size, "%s", type_texts[i].text);
            return;
        }
    }
    (void)snprintf(text, size, "type %d", (int)type);
}

static bool
parse_decimal_type(const char *text, size_t size, uint8_t *scale)
{
    const size_t prefix = sizeof "decimal(" - 1;
    if (size < prefix + 2 || size > prefix + 3 ||
        memcmp(text, "decimal(", prefix) != 0 || text[size - 1] != ')') {
        return false;
    }
    uint32_t value = 0;
    for (size_t i = prefix; i < size - 1; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *scale = (uint8_t)value;
    return value <= 18;
}

la_status
la_type_parse(const char *text, size_t size, la_type *type, uint8_t *scale,
              bool *nullable, la_error *err)
{
    size_t bare = size > 0 && text[size - 1] == '?' ? size - 1 : size;
    uint8_t parsed_scale = 0;
    la_type parsed = LA_T_COUNT;
    if (parse_decimal_type(text, bare, &parsed_scale)) {
        parsed = LA_T_DECIMAL;
    }
    for (size_t i = 0; parsed == LA_T_COUNT && i < TYPE_TEXT_COUNT; i++) {
        if (strlen(type_texts[i].text) == bare &&
            memcmp(type_texts[i].text, text, bare) == 0) {
            parsed = type_texts[i].type;
        }
    }
    if (parsed == LA_T_JSON) {
        la_status status =
            la_fail(err, LA_INVALID, "could not use type \"json\": it is reserved");
        la_error_hint(err, "store the text as \"str\"");
        return status;
    }
    if (parsed == LA_T_COUNT || parsed == LA_T_NULL) {
        char quoted[LA_QUOTE_BYTES];
        la_quote(quoted, text, size);
        la_status status = la_fail(err, LA_INVALID, "there is no type %s", quoted);
        la_error_hint(err, "types: %s", TYPE_LIST);
        return status;
    }
    *type = parsed;
    *scale = parsed_scale;
    *nullable = bare != size;
    return LA_OK;
}

static la_status
check_field(const la_field *fields, uint32_t i, la_error *err)
{
    const la_field *field = &fields[i];
    size_t size = field->name == NULL ? 0 : strlen(field->name);
    if (size == 0 || size > LA_NAME_BYTES_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema: the name of column %u has %zu bytes, "
                       "1 to %u are possible",
                       i, size, LA_NAME_BYTES_MAX);
    }
    bool clean = la_utf8_is_valid(field->name, size);
    for (size_t k = 0; k < size; k++) {
        clean = clean && (uint8_t)field->name[k] >= 0x20 && field->name[k] != 0x7f;
    }
    if (!clean) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema: the name of column %u is not UTF-8 "
                       "text without control characters",
                       i);
    }
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(fields[k].name, field->name) == 0) {
            return la_fail(err, LA_INVALID,
                           "could not make a schema: columns %u and %u are both named "
                           "\"%s\"",
                           k, i, field->name);
        }
    }
    if (field->type <= LA_T_NULL || field->type >= LA_T_JSON) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema: column \"%s\" has type %d, which "
                       "cannot be stored",
                       field->name, (int)field->type);
    }
    if (field->type == LA_T_DECIMAL ? field->scale > 18 : field->scale != 0) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema: column \"%s\" has scale %u: decimals "
                       "have 0 to 18, other types none",
                       field->name, field->scale);
    }
    return LA_OK;
}

static void
schema_delete(la_schema *schema)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        la_strfree(schema->env, schema->fields[i].name);
    }
    la_dealloc(schema->env, schema->fields, schema->count * sizeof(la_field));
    la_dealloc(schema->env, schema, sizeof *schema);
}

la_status
la_schema_new(const la_env *env, const la_field *fields, uint32_t count,
              const la_schema **out, la_error *err)
{
    if (count > LA_COLUMNS_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema of %u columns: at most %u are possible",
                       count, LA_COLUMNS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        la_status status = check_field(fields, i, err);
        if (status != LA_OK) {
            return status;
        }
    }
    la_schema *schema = la_calloc(env, 1, sizeof *schema);
    if (schema == NULL) {
        return la_fail_nomem(err, sizeof *schema);
    }
    schema->env = env;
    atomic_init(&schema->references, 1);
    schema->fields = la_calloc(env, count, sizeof(la_field));
    if (schema->fields == NULL) {
        la_dealloc(env, schema, sizeof *schema);
        return la_fail_nomem(err, count * sizeof(la_field));
    }
    schema->count = count;
    for (uint32_t i = 0; i < count; i++) {
        schema->fields[i] = fields[i];
        schema->fields[i].name = la_strdup(env, fields[i].name);
        if (schema->fields[i].name == NULL) {
            for (uint32_t k = i + 1; k < count; k++) {
                schema->fields[k].name = NULL;
            }
            schema_delete(schema);
            return la_fail_nomem(err, strlen(fields[i].name) + 1);
        }
    }
    la_live_add(LA_LIVE_SCHEMA, 1);
    *out = schema;
    return LA_OK;
}

const la_schema *
la_schema_retain(const la_schema *schema)
{
    /* The count is no part of a schema's value, hence the cast. */
    la_schema *own = (la_schema *)(uintptr_t)schema;
    atomic_fetch_add_explicit(&own->references, 1, memory_order_relaxed);
    return schema;
}

void
la_schema_release(const la_schema *schema)
{
    la_schema *own = (la_schema *)(uintptr_t)schema;
    if (own != NULL &&
        atomic_fetch_sub_explicit(&own->references, 1, memory_order_acq_rel) == 1) {
        la_live_add(LA_LIVE_SCHEMA, -1);
        schema_delete(own);
    }
}

uint32_t
la_schema_count(const la_schema *schema)
{
    return schema->count;
}

const la_field *
la_schema_field(const la_schema *schema, uint32_t column)
{
    return column < schema->count ? &schema->fields[column] : NULL;
}

int32_t
la_schema_find(const la_schema *schema, const char *name)
{
    for (uint32_t i = 0; i < schema->count; i++) {
        if (strcmp(schema->fields[i].name, name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

bool
la_schema_equal(const la_schema *a, const la_schema *b)
{
    if (a == b) {
        return true;
    }
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        const la_field *x = &a->fields[i];
        const la_field *y = &b->fields[i];
        if (x->type != y->type || x->scale != y->scale || x->nullable != y->nullable ||
            strcmp(x->name, y->name) != 0) {
            return false;
        }
    }
    return true;
}

/* One member list of the JSON form; unknown members are refused, so that a misspelt
 * "nulable" is not silently dropped. */
static la_status
field_from_json(const la_json *json, uint32_t place, la_field *field, la_error *err)
{
    if (json->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID, "could not read field %u: it is no JSON object",
                       place);
    }
    for (uint32_t i = 0; i < json->list.count; i++) {
        const la_json *key = &json->list.items[2 * i];
        if (!la_json_is(key, "name") && !la_json_is(key, "type") &&
            !la_json_is(key, "nullable")) {
            return la_fail(err, LA_INVALID,
                           "could not read field %u: unknown member \"%.60s\"", place,
                           key->text.at);
        }
    }
    const char *name, *type;
    size_t name_size, type_size;
    la_status status = la_json_text(json, "name", &name, &name_size, err);
    if (status == LA_OK) {
        status = la_json_text(json, "type", &type, &type_size, err);
    }
    if (status == LA_OK) {
        status = la_type_parse(type, type_size, &field->type, &field->scale,
                               &field->nullable, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (strlen(name) != name_size) {
        return la_fail(err, LA_INVALID, "could not read field %u: its name has a NUL",
                       place);
    }
    const la_json *nullable = la_json_get(json, "nullable");
    if (nullable != NULL) {
        if (nullable->kind != LA_J_BOOL) {
            return la_fail(
                err, LA_INVALID,
                "could not read field \"%.60s\": \"nullable\" is not true or "
                "false",
                name);
        }
        field->nullable = field->nullable || nullable->boolean;
    }
    field->name = (char *)(uintptr_t)name; /* borrowed until la_schema_new copies it */
    return LA_OK;
}

la_status
la_schema_from_json(const la_env *env, const la_json *fields, const la_schema **out,
                    la_error *err)
{
    if (fields == NULL || fields->kind != LA_J_ARRAY) {
        return la_fail(err, LA_INVALID, "could not read a schema: it is no JSON array");
    }
    uint32_t count = fields->list.count;
    if (count > LA_COLUMNS_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not make a schema of %u columns: at most %u are possible",
                       count, LA_COLUMNS_MAX);
    }
    la_field *list = la_calloc(env, count, sizeof *list);
    if (list == NULL) {
        return la_fail_nomem(err, count * sizeof *list);
    }
    la_status status = LA_OK;
    for (uint32_t i = 0; status == LA_OK && i < count; i++) {
        status = field_from_json(&fields->list.items[i], i, &list[i], err);
    }
    if (status == LA_OK) {
        status = la_schema_new(env, list, count, out, err);
    }
    la_dealloc(env, list, count * sizeof *list);
    return status;
}

void
la_schema_to_json(const la_schema *schema, la_buf *to)
{
    la_buf_u8(to, '[');
    for (uint32_t i = 0; i < schema->count; i++) {
        const la_field *field = &schema->fields[i];
        char type[32];
        la_type_text(field->type, field->scale, type, sizeof type);
        la_buf_text(to, i == 0 ? "{\"name\":" : ",{\"name\":");
        la_json_put_text(to, field->name, strlen(field->name));
        la_buf_printf(to, ",\"type\":\"%s%s\"}", type, field->nullable ? "?" : "");
    }
    la_buf_u8(to, ']');
}
