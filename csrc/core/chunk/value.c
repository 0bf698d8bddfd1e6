/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical bytes of single values, whose memcmp order is value order.
 *
 *   null   00
 *   value  01, then by type
 *            bool              1 byte, 0 or 1
 *            i32 date          4 bytes big-endian, sign bit flipped
 *            i64 time decimal  8 bytes big-endian, sign bit flipped
 *            u64               8 bytes big-endian
 *            f32 f64           8 bytes big-endian of the f64 bits: of negative numbers all
 *                              bits inverted, of others the sign bit; one NaN, last
 *            str cat bytes     each 00 as 00 FF, then 00 00
 *
 * Normative: docs/internals/format/columns.md, "Key bytes".
 *
 * Invariants
 *  1. Equal values have equal bytes: one NaN, no -0.0, so la_key_take refuses other
 *     forms.
 *  2. No key is a prefix of another of the same type, so parts can stand one after
 *     another. */
#include "chunk/value.h"

#include <stdio.h>
#include <stdlib.h>

#include "chunk/calendar.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

#define MARK_NULL 0u
#define MARK_VALUE 1u
#define SIGN_32 0x80000000u
#define SIGN_64 UINT64_C(0x8000000000000000)
#define DECIMAL_BOUND INT64_C(1000000000000000000)

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES || type == LA_T_CAT;
}

la_value
la_value_of(const la_column *column, uint32_t row)
{
    la_value value = {.type = column->type, .scale = column->scale};
    if (column->type == LA_T_NULL || column->type == LA_T_JSON ||
        la_column_is_null(column, row)) {
        value.null = true;
        return value;
    }
    switch (column->type) {
    case LA_T_BOOL:
        value.i64 = ((const uint8_t *)column->data)[row] != 0;
        break;
    case LA_T_I32:
    case LA_T_DATE:
        value.i64 = ((const int32_t *)column->data)[row];
        break;
    case LA_T_F32:
        value.f64 = (double)((const float *)column->data)[row];
        break;
    case LA_T_F64:
        value.f64 = ((const double *)column->data)[row];
        break;
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        value.text = la_column_text(column, row, &value.size);
        break;
    default:
        value.i64 = ((const int64_t *)column->data)[row];
        break;
    }
    return value;
}

/* ------------------------------------------------------------------- key bytes */

static uint64_t
ordered_from_f64(double x)
{
    double canonical = la_canonical_f64(x);
    uint64_t bits;
    memcpy(&bits, &canonical, sizeof bits);
    return (bits & SIGN_64) != 0 ? ~bits : bits | SIGN_64;
}

static double
f64_from_ordered(uint64_t ordered)
{
    uint64_t bits = (ordered & SIGN_64) != 0 ? ordered & ~SIGN_64 : ~ordered;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void
put_be32(la_buf *to, uint32_t v)
{
    la_buf_u32(to, __builtin_bswap32(v));
}

static void
put_be64(la_buf *to, uint64_t v)
{
    la_buf_u64(to, __builtin_bswap64(v));
}

static void
put_text(la_buf *to, const char *text, size_t size)
{
    static const uint8_t escaped_zero[2] = {0x00, 0xff};
    while (size > 0) {
        const char *zero = memchr(text, 0, size);
        size_t run = zero == NULL ? size : (size_t)(zero - text);
        la_buf_put(to, text, run);
        if (zero == NULL) {
            break;
        }
        la_buf_put(to, escaped_zero, sizeof escaped_zero);
        text += run + 1;
        size -= run + 1;
    }
    la_buf_u16(to, 0);
}

void
la_key_put(la_buf *to, const la_value *value)
{
    if (value->null) {
        la_buf_u8(to, MARK_NULL);
        return;
    }
    la_buf_u8(to, MARK_VALUE);
    switch (value->type) {
    case LA_T_BOOL:
        la_buf_u8(to, value->i64 != 0);
        break;
    case LA_T_I32:
    case LA_T_DATE:
        put_be32(to, (uint32_t)value->i64 ^ SIGN_32);
        break;
    case LA_T_U64:
        put_be64(to, (uint64_t)value->i64);
        break;
    case LA_T_F32:
    case LA_T_F64:
        put_be64(to, ordered_from_f64(value->f64));
        break;
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        put_text(to, value->text, value->size);
        break;
    default:
        put_be64(to, (uint64_t)value->i64 ^ SIGN_64);
        break;
    }
}

static uint32_t
take_be32(la_bytes *from)
{
    return __builtin_bswap32(la_bytes_u32(from));
}

static uint64_t
take_be64(la_bytes *from)
{
    return __builtin_bswap64(la_bytes_u64(from));
}

/* Finds the end first, so the arena gives exactly what is needed. */
static bool
take_text(la_bytes *from, la_arena *arena, la_value *value)
{
    const uint8_t *at = from->at;
    size_t zeros = 0;
    for (;;) {
        const uint8_t *zero = memchr(at, 0, (size_t)(from->end - at));
        if (zero == NULL || from->end - zero < 2 ||
            (zero[1] != 0x00 && zero[1] != 0xff)) {
            from->bad = true;
            return false;
        }
        at = zero + 2;
        if (zero[1] == 0x00) {
            break;
        }
        zeros++;
    }
    size_t escaped = (size_t)(at - from->at) - 2;
    size_t size = escaped - zeros;
    char *text = la_arena_alloc(arena, size + 1);
    if (text == NULL) {
        return false;
    }
    if (zeros == 0) {
        memcpy(text, from->at, size);
    }
    else {
        size_t k = 0;
        for (size_t i = 0; i < escaped; i++) {
            text[k++] = (char)from->at[i];
            i += from->at[i] == 0;
        }
    }
    text[size] = '\0';
    from->at = at;
    value->text = text;
    value->size = size;
    return value->type == LA_T_BYTES || la_utf8_is_valid(text, size);
}

static bool
take_f64(la_bytes *from, la_value *value)
{
    uint64_t ordered = take_be64(from);
    value->f64 = f64_from_ordered(ordered);
    if (from->bad || ordered_from_f64(value->f64) != ordered) {
        return false;
    }
    return value->type == LA_T_F64 || value->f64 != value->f64 ||
           (double)(float)value->f64 == value->f64;
}

static bool
take_value(la_bytes *from, la_arena *arena, la_value *value)
{
    switch (value->type) {
    case LA_T_BOOL:
        value->i64 = la_bytes_u8(from);
        return !from->bad && value->i64 <= 1;
    case LA_T_I32:
    case LA_T_DATE:
        value->i64 = (int32_t)(take_be32(from) ^ SIGN_32);
        return !from->bad;
    case LA_T_I64:
    case LA_T_TIME:
        value->i64 = (int64_t)(take_be64(from) ^ SIGN_64);
        return !from->bad;
    case LA_T_DECIMAL:
        value->i64 = (int64_t)(take_be64(from) ^ SIGN_64);
        return !from->bad && value->i64 > -DECIMAL_BOUND && value->i64 < DECIMAL_BOUND;
    case LA_T_U64:
        value->i64 = (int64_t)take_be64(from);
        return !from->bad;
    case LA_T_F32:
    case LA_T_F64:
        return take_f64(from, value);
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        return take_text(from, arena, value);
    case LA_T_NULL:
    case LA_T_JSON:
    case LA_T_COUNT:
        break;
    }
    return false;
}

bool
la_key_take(la_bytes *from, la_type type, uint8_t scale, la_arena *arena,
            la_value *value)
{
    la_value taken = {.type = type, .scale = scale};
    uint8_t mark = la_bytes_u8(from);
    if (from->bad || mark > MARK_VALUE) {
        return false;
    }
    taken.null = mark == MARK_NULL;
    if (!taken.null && !take_value(from, arena, &taken)) {
        return false;
    }
    *value = taken;
    return true;
}

static int
compare_text(const la_value *a, const la_value *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common == 0 ? 0 : memcmp(a->text, b->text, common);
    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return (a->size > b->size) - (a->size < b->size);
}

int
la_value_compare(const la_value *a, const la_value *b)
{
    if (a->null || b->null) {
        return (int)b->null - (int)a->null;
    }
    if (is_text(a->type)) {
        return compare_text(a, b);
    }
    if (a->type == LA_T_F32 || a->type == LA_T_F64) {
        uint64_t x = ordered_from_f64(a->f64);
        uint64_t y = ordered_from_f64(b->f64);
        return (x > y) - (x < y);
    }
    if (a->type == LA_T_U64) {
        return ((uint64_t)a->i64 > (uint64_t)b->i64) -
               ((uint64_t)a->i64 < (uint64_t)b->i64);
    }
    return (a->i64 > b->i64) - (a->i64 < b->i64);
}

/* ------------------------------------------------------------------------ text */

/* The shortest of %.15g, %.16g, %.17g that reads back. Both directions use the
 * process's locale; only its decimal point shows in the text, and is replaced. */
static void
put_f64(la_buf *to, double x, bool is_f32)
{
    char text[48];
    if (x != x) {
        la_buf_text(to, "nan");
        return;
    }
    if (x - x != 0.0) {
        la_buf_text(to, x > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = is_f32 ? 6 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, x);
        double back = strtod(text, NULL);
        if (is_f32 ? (float)back == (float)x : back == x) {
            break;
        }
    }
    for (char *c = text; *c != '\0'; c++) {
        bool plain = (*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || *c == 'e';
        *c = plain ? *c : '.';
    }
    la_buf_text(to, text);
}

static void
put_decimal(la_buf *to, int64_t value, uint8_t scale)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char text[24];
    (void)snprintf(text, sizeof text, "%020llu", (unsigned long long)magnitude);
    uint32_t point = 20u - (scale > 18 ? 18u : scale); /* digits before it */
    uint32_t first = 0;
    while (first + 1 < point && text[first] == '0') {
        first++;
    }
    if (value < 0) {
        la_buf_u8(to, '-');
    }
    la_buf_put(to, text + first, point - first);
    if (scale > 0) {
        la_buf_u8(to, '.');
        la_buf_text(to, text + point);
    }
}

static void
put_date(la_buf *to, int64_t days)
{
    int64_t year;
    int32_t month, day;
    la_civil_from_days(days, &year, &month, &day);
    const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
    long long shown = (long long)(year < 0 ? -year : year);
    la_buf_printf(to, "%s%04lld-%02d-%02d", sign, shown, month, day);
}

static void
put_time(la_buf *to, int64_t us)
{
    int64_t days = la_floor_div(us, LA_US_PER_DAY);
    int64_t rest = us % LA_US_PER_DAY;
    rest += rest < 0 ? LA_US_PER_DAY : 0;
    int64_t seconds = rest / LA_US_PER_SECOND;
    int fraction = (int)(rest % LA_US_PER_SECOND);
    put_date(to, days);
    la_buf_printf(to, "T%02d:%02d:%02d", (int)(seconds / 3600),
                  (int)(seconds / 60 % 60), (int)(seconds % 60));
    if (fraction % 1000 != 0) {
        la_buf_printf(to, ".%06d", fraction);
    }
    else if (fraction != 0) {
        la_buf_printf(to, ".%03d", fraction / 1000);
    }
    la_buf_u8(to, 'Z');
}

static void
put_hex(la_buf *to, const char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    la_buf_text(to, "0x");
    for (size_t i = 0; i < size; i++) {
        la_buf_u8(to, (uint8_t)hex[(uint8_t)text[i] >> 4]);
        la_buf_u8(to, (uint8_t)hex[(uint8_t)text[i] & 15]);
    }
}

void
la_value_text(la_buf *to, const la_value *value)
{
    if (value->null) {
        la_buf_text(to, "null");
        return;
    }
    switch (value->type) {
    case LA_T_BOOL:
        la_buf_text(to, value->i64 != 0 ? "true" : "false");
        break;
    case LA_T_F32:
    case LA_T_F64:
        put_f64(to, value->f64, value->type == LA_T_F32);
        break;
    case LA_T_TIME:
        put_time(to, value->i64);
        break;
    case LA_T_DATE:
        put_date(to, value->i64);
        break;
    case LA_T_DECIMAL:
        put_decimal(to, value->i64, value->scale);
        break;
    case LA_T_U64:
        la_buf_printf(to, "%llu", (unsigned long long)value->i64);
        break;
    case LA_T_CAT:
    case LA_T_STR:
        la_buf_put(to, value->text, value->size);
        break;
    case LA_T_BYTES:
        put_hex(to, value->text, value->size);
        break;
    default:
        la_buf_printf(to, "%lld", (long long)value->i64);
        break;
    }
}
