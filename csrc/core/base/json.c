/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for our own documents.
 *
 * Strict RFC 8259: UTF-8 is checked, numbers have their JSON form, nothing follows the
 * value. Integers without fraction or exponent are exact: LA_J_INT or LA_J_UINT, beyond
 * 64 bits they are refused rather than rounded. A float too large for a double is
 * refused too.
 *
 * Invariants
 *  1. Depth is at most LA_DEPTH_MAX, so recursion is bounded; text at most
 *     LA_JSON_BYTES_MAX.
 *  2. Members keep their given order; no two of one object have the same name.
 *  3. la_json_put(la_json_parse(la_json_put(x))) gives the same bytes: one value, one
 *     text.
 *  4. No function looks at the process's locale.
 *
 * While a list is parsed, its items wait on a stack shared by all levels and are copied
 * to the arena when the list ends:   stack: [outer items ...][inner items ...]
 */
#include "base/json.h"

#include <assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"

/* ------------------------------------------------------------------ parsing */

typedef struct parser {
    la_arena *arena;
    const char *start;
    const char *at;
    const char *end;
    la_buf stack; /* la_json nodes of open lists */
    unsigned depth;
    la_error *err;
} parser;

static la_status
bad(parser *p, const char *at, const char *what)
{
    unsigned long long byte = (unsigned long long)(at - p->start);
    la_status status =
        la_fail(p->err, LA_INVALID, "could not read JSON at byte %llu: %s", byte, what);
    if (p->err != NULL) {
        p->err->byte = byte;
    }
    return status;
}

static void
skip_space(parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) {
        p->at++;
    }
}

static bool
is_digit(const parser *p, const char *at)
{
    return at < p->end && *at >= '0' && *at <= '9';
}

/* strtod under the "C" locale, which glibc keeps without allocating. */
static double
text_to_double(const char *text)
{
    static locale_t c_locale;
    locale_t locale = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
    if (locale == (locale_t)0) {
        locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        assert(locale != (locale_t)0);
        __atomic_store_n(&c_locale, locale, __ATOMIC_RELEASE);
    }
    return strtod_l(text, NULL, locale);
}

static la_status
parse_float(parser *p, const char *start, la_json *out)
{
    /* strtod needs a NUL after the digits, which `text` need not have. */
    size_t size = (size_t)(p->at - start);
    char small[64];
    char *copy = size < sizeof small ? small : la_arena_strndup(p->arena, start, size);
    if (copy == NULL) {
        return la_fail_nomem(p->err, size + 1);
    }
    if (copy == small) {
        memcpy(small, start, size);
        small[size] = '\0';
    }
    out->kind = LA_J_FLOAT;
    out->f64 = text_to_double(copy);
    if (out->f64 - out->f64 != 0) { /* infinite; NaN has no JSON form */
        return bad(p, start, "a number too large for a double");
    }
    return LA_OK;
}

static la_status
parse_integer(parser *p, const char *start, la_json *out)
{
    bool negative = *start == '-';
    uint64_t value = 0;
    for (const char *c = start + negative; c < p->at; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return bad(p, start, "an integer beyond 64 bits");
        }
        value = value * 10 + digit;
    }
    if (negative) {
        if (value > (uint64_t)INT64_MAX + 1) {
            return bad(p, start, "an integer beyond 64 bits");
        }
        out->kind = LA_J_INT;
        out->i64 = value == 0 ? 0 : -(int64_t)(value - 1) - 1;
    }
    else if (value <= (uint64_t)INT64_MAX) {
        out->kind = LA_J_INT;
        out->i64 = (int64_t)value;
    }
    else {
        out->kind = LA_J_UINT;
        out->u64 = value;
    }
    return LA_OK;
}

static la_status
parse_number(parser *p, la_json *out)
{
    const char *start = p->at;
    bool whole = true;
    if (*p->at == '-') {
        p->at++;
    }
    if (!is_digit(p, p->at)) {
        return bad(p, p->at, "expected a digit");
    }
    if (*p->at == '0' && is_digit(p, p->at + 1)) {
        return bad(p, p->at, "a number with a leading zero");
    }
    while (is_digit(p, p->at)) {
        p->at++;
    }
    if (p->at < p->end && *p->at == '.') {
        whole = false;
        p->at++;
        if (!is_digit(p, p->at)) {
            return bad(p, p->at, "expected a digit after the point");
        }
        while (is_digit(p, p->at)) {
            p->at++;
        }
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        whole = false;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) {
            p->at++;
        }
        if (!is_digit(p, p->at)) {
            return bad(p, p->at, "expected a digit in the exponent");
        }
        while (is_digit(p, p->at)) {
            p->at++;
        }
    }
    return whole ? parse_integer(p, start, out) : parse_float(p, start, out);
}

/* Size of the UTF-8 character at `at`, 0 when it is none (RFC 3629: no surrogates,
 * shortest form, at most U+10FFFF). */
static size_t
utf8_size(const char *at, const char *end)
{
    uint8_t a = (uint8_t)at[0];
    size_t left = (size_t)(end - at);
    if (a < 0x80) {
        return 1;
    }
    size_t size = 0;
    if (a >= 0xC2 && a <= 0xF4) {
        size = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
    }
    if (size == 0 || left < size) {
        return 0;
    }
    uint8_t b = (uint8_t)at[1];
    uint8_t low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    uint8_t high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    if (b < low || b > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if (((uint8_t)at[i] & 0xC0u) != 0x80u) {
            return 0;
        }
    }
    return size;
}

/* The four digits of \uXXXX at `at`, or -1. */
static int32_t
unit_at(const parser *p, const char *at)
{
    uint8_t bytes[2];
    if (p->end - at < 4 || !la_unhex(at, 4, bytes, 2)) {
        return -1;
    }
    return (int32_t)((uint32_t)bytes[0] << 8 | bytes[1]);
}

static char *
put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    }
    else if (c < 0x800) {
        *to++ = (char)(0xC0u | c >> 6);
        *to++ = (char)(0x80u | (c & 0x3Fu));
    }
    else if (c < 0x10000) {
        *to++ = (char)(0xE0u | c >> 12);
        *to++ = (char)(0x80u | (c >> 6 & 0x3Fu));
        *to++ = (char)(0x80u | (c & 0x3Fu));
    }
    else {
        *to++ = (char)(0xF0u | c >> 18);
        *to++ = (char)(0x80u | (c >> 12 & 0x3Fu));
        *to++ = (char)(0x80u | (c >> 6 & 0x3Fu));
        *to++ = (char)(0x80u | (c & 0x3Fu));
    }
    return to;
}

/* At the backslash. Moves p->at behind the escape and *to behind what it stands for. */
static la_status
parse_escape(parser *p, char **to)
{
    const char *start = p->at++;
    if (p->at == p->end) {
        return bad(p, start, "text without an end");
    }
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    char c = *p->at++;
    if (c != 'u') {
        const char *found = c == '\0' ? NULL : strchr(names, c);
        if (found == NULL) {
            return bad(p, start, "no such escape");
        }
        *(*to)++ = values[found - names];
        return LA_OK;
    }
    int32_t unit = unit_at(p, p->at);
    if (unit < 0) {
        return bad(p, start, "expected four hex digits");
    }
    p->at += 4;
    uint32_t point = (uint32_t)unit;
    if (point >= 0xDC00 && point <= 0xDFFF) {
        return bad(p, start, "half of a surrogate pair");
    }
    if (point >= 0xD800 && point <= 0xDBFF) {
        int32_t low = p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u'
                          ? unit_at(p, p->at + 2)
                          : -1;
        if (low < 0xDC00 || low > 0xDFFF) {
            return bad(p, start, "half of a surrogate pair");
        }
        p->at += 6;
        point = 0x10000 + ((point - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
    }
    *to = put_utf8(*to, point);
    return LA_OK;
}

static la_status
parse_text(parser *p, la_json *out)
{
    const char *start = p->at++;
    /* The closing quote first: the text is never longer than what stands between. */
    const char *close = p->at;
    while (close < p->end && *close != '"') {
        close += *close == '\\' && close + 1 < p->end ? 2 : 1;
    }
    if (close >= p->end) {
        return bad(p, start, "text without an end");
    }
    size_t room = (size_t)(close - p->at) + 1;
    char *text = la_arena_alloc(p->arena, room);
    if (text == NULL) {
        return la_fail_nomem(p->err, room);
    }
    char *to = text;
    while (p->at < close) {
        if (*p->at == '\\') {
            la_status status = parse_escape(p, &to);
            if (status != LA_OK) {
                return status;
            }
            continue;
        }
        if ((uint8_t)*p->at < 0x20) {
            return bad(p, p->at, "a control character in text");
        }
        size_t size = utf8_size(p->at, close);
        if (size == 0) {
            return bad(p, p->at, "text that is not UTF-8");
        }
        memcpy(to, p->at, size);
        to += size;
        p->at += size;
    }
    *to = '\0';
    p->at = close + 1;
    out->kind = LA_J_TEXT;
    out->text.at = text;
    out->text.size = (size_t)(to - text);
    return LA_OK;
}

static la_status parse_value(parser *p, la_json *out);

static la_status
push(parser *p, const la_json *node)
{
    la_buf_put(&p->stack, node, sizeof *node);
    return p->stack.failed ? la_fail_nomem(p->err, sizeof *node) : LA_OK;
}

static int
compare_text(const la_json *a, const la_json *b)
{
    size_t size = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = size == 0 ? 0 : memcmp(a->text.at, b->text.at, size);
    return order != 0 ? order
                      : (a->text.size > b->text.size) - (a->text.size < b->text.size);
}

/* Bytes of a text that an error shows: at most `most`, whole characters. */
static int
shown(const la_json *text, size_t most)
{
    size_t size = text->text.size;
    if (size > most) {
        size = most;
        while (size > 0 && ((uint8_t)text->text.at[size] & 0xC0u) == 0x80u) {
            size--;
        }
    }
    return (int)size;
}

static const la_json *
member_name(const la_json *items, uint32_t member)
{
    return &items[2 * (size_t)member];
}

static void
sift_down(const la_json *items, uint32_t *order, uint32_t at, uint32_t count)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count &&
            compare_text(member_name(items, order[child]),
                         member_name(items, order[child + 1])) < 0) {
            child++;
        }
        if (compare_text(member_name(items, order[at]),
                         member_name(items, order[child])) >= 0) {
            return;
        }
        uint32_t swap = order[at];
        order[at] = order[child];
        order[child] = swap;
        at = (uint32_t)child;
    }
}

/* Heap sort of member indices by name: bounded time on hostile input, and no allocation
 * behind la_env's back as qsort would do. */
static void
sort_members(const la_json *items, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(items, order, i - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        uint32_t last = order[end - 1];
        order[end - 1] = order[0];
        order[0] = last;
        sift_down(items, order, 0, end - 1);
    }
}

static la_status
check_names(parser *p, const la_json *items, uint32_t count, const char *start)
{
    uint32_t small[32];
    uint32_t *order = small;
    if (count > 32) {
        order = la_alloc(p->arena->env, count * sizeof *order);
        if (order == NULL) {
            return la_fail_nomem(p->err, count * sizeof *order);
        }
    }
    sort_members(items, order, count);
    la_status status = LA_OK;
    for (uint32_t i = 1; i < count && status == LA_OK; i++) {
        const la_json *name = member_name(items, order[i]);
        if (compare_text(member_name(items, order[i - 1]), name) == 0) {
            char what[160];
            snprintf(what, sizeof what, "two members named \"%.*s\" in this object",
                     shown(name, 100), name->text.at);
            status = bad(p, start, what);
        }
    }
    if (order != small) {
        la_dealloc(p->arena->env, order, count * sizeof *order);
    }
    return status;
}

static la_status
parse_member(parser *p)
{
    la_json node;
    if (p->at == p->end || *p->at != '"') {
        return bad(p, p->at, "expected a member name");
    }
    la_status status = parse_text(p, &node);
    if (status == LA_OK) {
        status = push(p, &node);
    }
    if (status != LA_OK) {
        return status;
    }
    skip_space(p);
    if (p->at == p->end || *p->at != ':') {
        return bad(p, p->at, "expected \":\"");
    }
    p->at++;
    skip_space(p);
    status = parse_value(p, &node);
    return status == LA_OK ? push(p, &node) : status;
}

static la_status
parse_items(parser *p, bool object)
{
    char close = object ? '}' : ']';
    skip_space(p);
    if (p->at < p->end && *p->at == close) {
        p->at++;
        return LA_OK;
    }
    for (;;) {
        la_status status;
        if (object) {
            status = parse_member(p);
        }
        else {
            la_json node;
            status = parse_value(p, &node);
            if (status == LA_OK) {
                status = push(p, &node);
            }
        }
        if (status != LA_OK) {
            return status;
        }
        skip_space(p);
        if (p->at == p->end || (*p->at != ',' && *p->at != close)) {
            return bad(p, p->at,
                       object ? "expected \",\" or \"}\"" : "expected \",\" or \"]\"");
        }
        if (*p->at++ == close) {
            return LA_OK;
        }
        skip_space(p);
    }
}

static la_status
parse_list(parser *p, la_json *out)
{
    const char *start = p->at;
    bool object = *p->at++ == '{';
    if (++p->depth > LA_DEPTH_MAX) {
        return bad(p, start, "nested too deeply");
    }
    size_t base = p->stack.size;
    la_status status = parse_items(p, object);
    if (status != LA_OK) {
        return status;
    }
    p->depth--;
    size_t bytes = p->stack.size - base;
    size_t nodes = bytes / sizeof(la_json);
    la_json *items = la_arena_alloc(p->arena, bytes);
    if (items == NULL) {
        return la_fail_nomem(p->err, bytes);
    }
    if (bytes > 0) {
        memcpy(items, p->stack.data + base, bytes);
    }
    p->stack.size = base;
    out->kind = object ? LA_J_OBJECT : LA_J_ARRAY;
    out->list.items = items;
    out->list.count = (uint32_t)(object ? nodes / 2 : nodes);
    return object ? check_names(p, items, out->list.count, start) : LA_OK;
}

static bool
take_word(parser *p, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(p->end - p->at) < size || memcmp(p->at, word, size) != 0) {
        return false;
    }
    p->at += size;
    return true;
}

static la_status
parse_value(parser *p, la_json *out)
{
    memset(out, 0, sizeof *out);
    if (p->at == p->end) {
        return bad(p, p->at, "expected a value");
    }
    switch (*p->at) {
    case '{':
    case '[':
        return parse_list(p, out);
    case '"':
        return parse_text(p, out);
    case 't':
    case 'f':
        out->kind = LA_J_BOOL;
        out->boolean = *p->at == 't';
        if (take_word(p, out->boolean ? "true" : "false")) {
            return LA_OK;
        }
        break;
    case 'n':
        if (take_word(p, "null")) {
            return LA_OK;
        }
        break;
    default:
        if (*p->at == '-' || is_digit(p, p->at)) {
            return parse_number(p, out);
        }
    }
    return bad(p, p->at, "expected a value");
}

la_status
la_json_parse(la_arena *arena, const char *text, size_t size, const la_json **out,
              la_error *err)
{
    if (size > LA_JSON_BYTES_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not read JSON of %zu bytes: the limit is %u bytes", size,
                       LA_JSON_BYTES_MAX);
    }
    parser p = {
        .arena = arena, .start = text, .at = text, .end = text + size, .err = err};
    la_buf_init(&p.stack, arena->env);
    la_json *root = la_arena_alloc(arena, sizeof *root);
    la_status status = LA_OK;
    if (root == NULL) {
        status = la_fail_nomem(err, sizeof *root);
    }
    if (status == LA_OK) {
        skip_space(&p);
        status = parse_value(&p, root);
    }
    if (status == LA_OK) {
        skip_space(&p);
        if (p.at != p.end) {
            status = bad(&p, p.at, "expected the end");
        }
    }
    la_buf_fini(&p.stack);
    if (status == LA_OK) {
        *out = root;
    }
    return status;
}

/* ------------------------------------------------------------------ access */

const la_json *
la_json_get(const la_json *object, const char *name)
{
    if (object == NULL || object->kind != LA_J_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < object->list.count; i++) {
        const la_json *items = object->list.items;
        if (la_json_is(member_name(items, i), name)) {
            return &items[2 * (size_t)i + 1];
        }
    }
    return NULL;
}

bool
la_json_is(const la_json *node, const char *text)
{
    return node != NULL && node->kind == LA_J_TEXT && node->text.size == strlen(text) &&
           memcmp(node->text.at, text, node->text.size) == 0;
}

static const char *
kind_text(const la_json *node)
{
    if (node == NULL) {
        return "nothing";
    }
    switch (node->kind) {
    case LA_J_NULL:
        return "null";
    case LA_J_BOOL:
        return "true or false";
    case LA_J_INT:
    case LA_J_UINT:
        return "an integer";
    case LA_J_FLOAT:
        return "a number";
    case LA_J_TEXT:
        return "text";
    case LA_J_ARRAY:
        return "an array";
    case LA_J_OBJECT:
        return "an object";
    }
    return "nothing";
}

static la_status
wrong_kind(const char *name, const char *expected, const la_json *found, la_error *err)
{
    return la_fail(err, LA_INVALID,
                   "could not read member \"%s\": expected %s, found %s", name,
                   expected, kind_text(found));
}

la_status
la_json_u64(const la_json *object, const char *name, uint64_t *out, la_error *err)
{
    const la_json *node = la_json_get(object, name);
    if (node != NULL && node->kind == LA_J_UINT) {
        *out = node->u64;
        return LA_OK;
    }
    if (node != NULL && node->kind == LA_J_INT && node->i64 >= 0) {
        *out = (uint64_t)node->i64;
        return LA_OK;
    }
    if (node != NULL && node->kind == LA_J_INT) {
        return la_fail(
            err, LA_INVALID,
            "could not read member \"%s\": expected an integer from 0, found %lld",
            name, (long long)node->i64);
    }
    return wrong_kind(name, "an integer from 0", node, err);
}

la_status
la_json_i64(const la_json *object, const char *name, int64_t *out, la_error *err)
{
    const la_json *node = la_json_get(object, name);
    if (node != NULL && node->kind == LA_J_UINT) {
        return la_fail(
            err, LA_INVALID,
            "could not read member \"%s\": %llu does not fit a signed 64-bit "
            "integer",
            name, (unsigned long long)node->u64);
    }
    if (node == NULL || node->kind != LA_J_INT) {
        return wrong_kind(name, "an integer", node, err);
    }
    *out = node->i64;
    return LA_OK;
}

la_status
la_json_text(const la_json *object, const char *name, const char **out, size_t *size,
             la_error *err)
{
    const la_json *node = la_json_get(object, name);
    if (node == NULL || node->kind != LA_J_TEXT) {
        return wrong_kind(name, "text", node, err);
    }
    *out = node->text.at;
    if (size != NULL) {
        *size = node->text.size;
    }
    return LA_OK;
}

la_status
la_json_array(const la_json *object, const char *name, const la_json **out,
              la_error *err)
{
    const la_json *node = la_json_get(object, name);
    if (node == NULL || node->kind != LA_J_ARRAY) {
        return wrong_kind(name, "an array", node, err);
    }
    *out = node;
    return LA_OK;
}

la_status
la_json_hex(const la_json *object, const char *name, void *out, size_t size,
            la_error *err)
{
    const la_json *node = la_json_get(object, name);
    if (node == NULL || node->kind != LA_J_TEXT) {
        return wrong_kind(name, "text in hex digits", node, err);
    }
    if (!la_unhex(node->text.at, node->text.size, out, size)) {
        return la_fail(err, LA_INVALID,
                       "could not read member \"%s\": expected %zu hex digits, found "
                       "\"%.*s\"",
                       name, 2 * size, shown(node, 80), node->text.at);
    }
    return LA_OK;
}

/* ------------------------------------------------------------------ writing */

void
la_json_put_text(la_buf *buf, const char *text, size_t size)
{
    la_buf_u8(buf, '"');
    size_t plain = 0; /* start of what needs no escape */
    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        la_buf_put(buf, text + plain, i - plain);
        plain = i + 1;
        const char *letter = c == '\0' ? NULL : strchr("\"\"\\\\\bb\ff\nn\rr\tt", c);
        if (letter != NULL) {
            la_buf_u8(buf, '\\');
            la_buf_u8(buf, (uint8_t)letter[1]);
        }
        else {
            la_buf_printf(buf, "\\u%04x", c);
        }
    }
    la_buf_put(buf, text + plain, size - plain);
    la_buf_u8(buf, '"');
}

/* 17 digits give every double back; ".0" keeps a whole one a float. */
static void
put_float(la_buf *buf, double v)
{
    assert(v - v == 0); /* NaN and infinities have no JSON form: our mistake */
    char text[40];
    snprintf(text, sizeof text - 3, "%.17g", v);
    bool whole = true;
    for (char *c = text; *c != '\0'; c++) {
        bool digit = (*c >= '0' && *c <= '9') || *c == '-' || *c == '+';
        if (!digit) {
            whole = false;
            if (*c != 'e') {
                *c = '.'; /* whatever the locale has for a point */
            }
        }
    }
    la_buf_text(buf, text);
    if (whole) {
        la_buf_text(buf, ".0");
    }
}

static void
put_object(la_buf *buf, const la_json *node)
{
    uint32_t count = node->list.count;
    uint32_t small[32];
    uint32_t *order = small;
    if (count > 32) {
        order = la_alloc(buf->env, count * sizeof *order);
        if (order == NULL) {
            buf->failed = true;
            return;
        }
    }
    sort_members(node->list.items, order, count);
    la_buf_u8(buf, '{');
    for (uint32_t i = 0; i < count; i++) {
        const la_json *name = member_name(node->list.items, order[i]);
        if (i > 0) {
            la_buf_u8(buf, ',');
        }
        la_json_put_text(buf, name->text.at, name->text.size);
        la_buf_u8(buf, ':');
        la_json_put(buf, name + 1);
    }
    la_buf_u8(buf, '}');
    if (order != small) {
        la_dealloc(buf->env, order, count * sizeof *order);
    }
}

void
la_json_put(la_buf *buf, const la_json *node)
{
    switch (node->kind) {
    case LA_J_NULL:
        la_buf_text(buf, "null");
        break;
    case LA_J_BOOL:
        la_buf_text(buf, node->boolean ? "true" : "false");
        break;
    case LA_J_INT:
        la_buf_printf(buf, "%lld", (long long)node->i64);
        break;
    case LA_J_UINT:
        la_buf_printf(buf, "%llu", (unsigned long long)node->u64);
        break;
    case LA_J_FLOAT:
        put_float(buf, node->f64);
        break;
    case LA_J_TEXT:
        la_json_put_text(buf, node->text.at, node->text.size);
        break;
    case LA_J_ARRAY:
        la_buf_u8(buf, '[');
        for (uint32_t i = 0; i < node->list.count; i++) {
            if (i > 0) {
                la_buf_u8(buf, ',');
            }
            la_json_put(buf, &node->list.items[i]);
        }
        la_buf_u8(buf, ']');
        break;
    case LA_J_OBJECT:
        put_object(buf, node);
        break;
    }
}

/* --------------------------------------------------------------- difference */

/* Fixed memory: an error is being described, so nothing may fail here. */
typedef struct difference {
    char path[256];
    size_t path_size;
    char *text;
    size_t text_size;
} difference;

static size_t
path_grew(difference *d, int by)
{
    size_t before = d->path_size;
    size_t room = sizeof d->path - before;
    d->path_size =
        by > 0 && (size_t)by < room ? before + (size_t)by : sizeof d->path - 1;
    return before;
}

static size_t
push_name(difference *d, const la_json *name)
{
    size_t room = sizeof d->path - d->path_size;
    return path_grew(d, snprintf(d->path + d->path_size, room, ".%.*s", shown(name, 60),
                                 name->text.at));
}

static size_t
push_index(difference *d, uint32_t index)
{
    size_t room = sizeof d->path - d->path_size;
    return path_grew(d, snprintf(d->path + d->path_size, room, "[%u]", index));
}

static void
path_pop(difference *d, size_t before)
{
    d->path_size = before;
    d->path[before] = '\0';
}

static void
describe(const la_json *node, char *text, size_t size)
{
    if (node == NULL) {
        snprintf(text, size, "nothing");
        return;
    }
    switch (node->kind) {
    case LA_J_NULL:
        snprintf(text, size, "null");
        break;
    case LA_J_BOOL:
        snprintf(text, size, "%s", node->boolean ? "true" : "false");
        break;
    case LA_J_INT:
        snprintf(text, size, "%lld", (long long)node->i64);
        break;
    case LA_J_UINT:
        snprintf(text, size, "%llu", (unsigned long long)node->u64);
        break;
    case LA_J_FLOAT:
        snprintf(text, size, "%.17g", node->f64);
        break;
    case LA_J_TEXT:
        snprintf(text, size, "\"%.*s\"%s", shown(node, 60), node->text.at,
                 node->text.size > 60 ? "..." : "");
        break;
    case LA_J_ARRAY:
        snprintf(text, size, "an array of %u", node->list.count);
        break;
    case LA_J_OBJECT:
        snprintf(text, size, "an object of %u", node->list.count);
        break;
    }
}

static bool
report(difference *d, const la_json *a, const la_json *b)
{
    char left[80], right[80];
    describe(a, left, sizeof left);
    describe(b, right, sizeof right);
    if (d->text_size > 0) {
        snprintf(d->text, d->text_size, "%s: %s != %s", d->path, left, right);
    }
    return true;
}

static bool differ(difference *d, const la_json *a, const la_json *b);

static bool
arrays_differ(difference *d, const la_json *a, const la_json *b)
{
    uint32_t count = a->list.count > b->list.count ? a->list.count : b->list.count;
    for (uint32_t i = 0; i < count; i++) {
        size_t before = push_index(d, i);
        const la_json *left = i < a->list.count ? &a->list.items[i] : NULL;
        const la_json *right = i < b->list.count ? &b->list.items[i] : NULL;
        if (left == NULL || right == NULL ? report(d, left, right)
                                          : differ(d, left, right)) {
            return true;
        }
        path_pop(d, before);
    }
    return false;
}

static const la_json *
find_member(const la_json *object, const la_json *name)
{
    for (uint32_t i = 0; i < object->list.count; i++) {
        if (compare_text(member_name(object->list.items, i), name) == 0) {
            return member_name(object->list.items, i) + 1;
        }
    }
    return NULL;
}

static bool
objects_differ(difference *d, const la_json *a, const la_json *b)
{
    for (uint32_t i = 0; i < a->list.count; i++) {
        const la_json *name = member_name(a->list.items, i);
        const la_json *right = find_member(b, name);
        size_t before = push_name(d, name);
        if (right == NULL ? report(d, name + 1, NULL) : differ(d, name + 1, right)) {
            return true;
        }
        path_pop(d, before);
    }
    for (uint32_t i = 0; i < b->list.count; i++) {
        const la_json *name = member_name(b->list.items, i);
        if (find_member(a, name) == NULL) {
            push_name(d, name);
            return report(d, NULL, name + 1);
        }
    }
    return false;
}

static bool
differ(difference *d, const la_json *a, const la_json *b)
{
    if (a->kind != b->kind) {
        return report(d, a, b);
    }
    bool equal = true;
    switch (a->kind) {
    case LA_J_NULL:
        break;
    case LA_J_BOOL:
        equal = a->boolean == b->boolean;
        break;
    case LA_J_INT:
        equal = a->i64 == b->i64;
        break;
    case LA_J_UINT:
        equal = a->u64 == b->u64;
        break;
    case LA_J_FLOAT:
        equal = memcmp(&a->f64, &b->f64, sizeof a->f64) ==
                0; /* as texts: -0.0 is not 0.0 */
        break;
    case LA_J_TEXT:
        equal = compare_text(a, b) == 0;
        break;
    case LA_J_ARRAY:
        return arrays_differ(d, a, b);
    case LA_J_OBJECT:
        return objects_differ(d, a, b);
    }
    return equal ? false : report(d, a, b);
}

bool
la_json_difference(const la_json *a, const la_json *b, char *text, size_t size)
{
    difference d = {.path = "$", .path_size = 1, .text = text, .text_size = size};
    return differ(&d, a, b);
}
