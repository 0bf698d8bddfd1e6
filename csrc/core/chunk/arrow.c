/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow arrays as chunks: import through the C data interface (export: arrow_export.c).
 *
 *   column        from Arrow                                     borrowed when
 *   bool          bool                                         never: bits become bytes
 *   i32 i64 u64   any integer whose values fit                   same width and sign
 *   f64 f32       the same; narrower, or integers, where exact   same width
 *   time          timestamp of any unit and zone, where exact    microseconds
 *   date          date32; date64 of whole days                   date32
 *   decimal       decimal128, integers, where exact              never
 *   str cat       utf8, large_utf8, utf8_view, dictionary        utf8
 *   bytes         binary, large_binary, binary_view, and str's   binary, utf8
 *   any nullable  null
 *
 * Invariants
 *  1. Buffers are the producer's: their sizes cannot be known and are believed. What
 *     they hold is checked where it is used as an index: offsets, views, dictionary
 *     indices.
 *  2. A value is the same or refused; the message names column and row.
 *  3. Rows that are null are never looked at. */
#include "chunk/arrow.h"

#include "base/error.h"
#include "base/limits.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

#define DECIMAL_BOUND INT64_C(1000000000000000000)

typedef enum source_kind {
    SOURCE_NULL,
    SOURCE_BOOL,
    SOURCE_INT,
    SOURCE_FLOAT,
    SOURCE_DATE,
    SOURCE_TIME,
    SOURCE_DECIMAL,
    SOURCE_TEXT,
    SOURCE_VIEW,
    SOURCE_UNKNOWN
} source_kind;

typedef struct source {
    source_kind kind;
    uint8_t width;  /* bytes of a value, or of an offset */
    bool is_signed; /* integers */
    bool is_utf8;   /* text and views */
    int64_t unit;   /* time: per second; date: per day */
    int32_t scale;  /* decimal */
} source;

/* One column's import. */
typedef struct column_import {
    const la_field *field;
    const char *format;
    const struct ArrowArray *array;
    source from;
    int64_t start; /* first element in the buffers */
    uint32_t rows;
    const uint8_t *valid; /* NULL: no nulls */
    la_chunk *chunk;
    uint32_t column;
    la_error *err;
} column_import;

/* ------------------------------------------------------------------------ formats */

static source
parse_decimal(const char *format)
{
    source found = {.kind = SOURCE_UNKNOWN};
    long parts[3] = {0, 0, 128};
    uint32_t count = 0;
    const char *at = format + 2;
    while (count < 3) {
        bool negative = *at == '-';
        at += negative;
        if (*at < '0' || *at > '9') {
            return found;
        }
        long value = 0;
        for (; *at >= '0' && *at <= '9' && value < 100000; at++) {
            value = value * 10 + (*at - '0');
        }
        parts[count++] = negative ? -value : value;
        if (*at != ',') {
            break;
        }
        at++;
    }
    if (*at == '\0' && count >= 2 && parts[2] == 128 && parts[1] > -100 &&
        parts[1] < 100) {
        found.kind = SOURCE_DECIMAL;
        found.width = 16;
        found.scale = (int32_t)parts[1];
    }
    return found;
}

static source
parse_temporal(const char *format)
{
    source found = {.kind = SOURCE_UNKNOWN};
    if (strcmp(format, "tdD") == 0) {
        return (source){.kind = SOURCE_DATE, .width = 4, .unit = 1};
    }
    if (strcmp(format, "tdm") == 0) {
        return (source){.kind = SOURCE_DATE, .width = 8, .unit = 86400000};
    }
    if (strncmp(format, "ts", 2) == 0 && format[2] != '\0' && format[3] == ':') {
        static const struct {
            char unit;
            int64_t per_second;
        } units[] = {{'s', 1}, {'m', 1000}, {'u', 1000000}, {'n', 1000000000}};
        for (size_t i = 0; i < 4; i++) {
            if (format[2] == units[i].unit) {
                return (source){
                    .kind = SOURCE_TIME, .width = 8, .unit = units[i].per_second};
            }
        }
    }
    return found;
}

static source
parse_format(const char *format)
{
    static const struct {
        const char *format;
        source found;
    } plain[] = {
        {"n", {.kind = SOURCE_NULL}},
        {"b", {.kind = SOURCE_BOOL}},
        {"c", {.kind = SOURCE_INT, .width = 1, .is_signed = true}},
        {"C", {.kind = SOURCE_INT, .width = 1}},
        {"s", {.kind = SOURCE_INT, .width = 2, .is_signed = true}},
        {"S", {.kind = SOURCE_INT, .width = 2}},
        {"i", {.kind = SOURCE_INT, .width = 4, .is_signed = true}},
        {"I", {.kind = SOURCE_INT, .width = 4}},
        {"l", {.kind = SOURCE_INT, .width = 8, .is_signed = true}},
        {"L", {.kind = SOURCE_INT, .width = 8}},
        {"f", {.kind = SOURCE_FLOAT, .width = 4}},
        {"g", {.kind = SOURCE_FLOAT, .width = 8}},
        {"u", {.kind = SOURCE_TEXT, .width = 4, .is_utf8 = true}},
        {"U", {.kind = SOURCE_TEXT, .width = 8, .is_utf8 = true}},
        {"z", {.kind = SOURCE_TEXT, .width = 4}},
        {"Z", {.kind = SOURCE_TEXT, .width = 8}},
        {"vu", {.kind = SOURCE_VIEW, .is_utf8 = true}},
        {"vz", {.kind = SOURCE_VIEW}},
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(plain[i].format, format) == 0) {
            return plain[i].found;
        }
    }
    return strncmp(format, "d:", 2) == 0 ? parse_decimal(format)
                                         : parse_temporal(format);
}

static la_status
no_conversion(const column_import *in, bool dictionary)
{
    char type[32];
    la_type_text(in->field->type, in->field->scale, type, sizeof type);
    return la_fail(
        in->err, LA_TYPE,
        "could not take column \"%s\": Arrow type \"%.40s\"%s does not become %s",
        in->field->name, in->format, dictionary ? " (dictionary)" : "", type);
}

static la_status
bad_row(const column_import *in, uint32_t row, const char *why)
{
    char type[32];
    la_type_text(in->field->type, in->field->scale, type, sizeof type);
    return la_fail(in->err, LA_INVALID, "could not take column \"%s\" as %s: row %u %s",
                   in->field->name, type, row, why);
}

static la_status
bad_array(const column_import *in, const char *why)
{
    return la_fail(in->err, LA_INVALID, "could not take column \"%s\": %s",
                   in->field->name, why);
}

/* -------------------------------------------------------------- nulls, plain data */

static bool
bit_at(const uint8_t *bits, int64_t i)
{
    return (bits[i / 8] >> (i % 8) & 1) != 0;
}

static void
expand_bits(const uint8_t *bits, int64_t start, uint32_t rows, uint8_t *to)
{
    for (uint32_t i = 0; i < rows; i++) {
        to[i] = bit_at(bits, start + i);
    }
}

static const void *
buffer(const column_import *in, int64_t index)
{
    return index < in->array->n_buffers ? in->array->buffers[index] : NULL;
}

static bool
is_valid(const column_import *in, uint32_t row)
{
    return in->valid == NULL || in->valid[row] != 0;
}

static la_status
keep(const column_import *in, size_t size, void **out)
{
    return la_chunk_keep(in->chunk, size, out, in->err);
}

/* The mask as bytes, where there are nulls at all. */
static la_status
take_nulls(column_import *in)
{
    const uint8_t *bits = buffer(in, 0);
    if (in->array->null_count == 0 || bits == NULL || in->rows == 0) {
        return LA_OK;
    }
    void *mask;
    la_status status = keep(in, in->rows, &mask);
    if (status != LA_OK) {
        return status;
    }
    expand_bits(bits, in->start, in->rows, mask);
    const uint8_t *null = memchr(mask, 0, in->rows);
    if (null == NULL) {
        return LA_OK;
    }
    if (!in->field->nullable) {
        return bad_row(in, (uint32_t)(null - (uint8_t *)mask),
                       "is null, and the column is not nullable");
    }
    in->valid = mask;
    return LA_OK;
}

static la_column *
target(const column_import *in)
{
    return &in->chunk->columns[in->column];
}

static la_status
all_null(column_import *in)
{
    if (in->rows > 0 && !in->field->nullable) {
        return bad_row(in, 0, "is null, and the column is not nullable");
    }
    la_column *to = target(in);
    bool text = la_type_size(to->type) == 0;
    size_t size = text ? ((size_t)in->rows + 1) * sizeof(uint32_t)
                       : in->rows * la_type_size(to->type);
    void *zeros, *mask;
    la_status status = keep(in, size, &zeros);
    if (status == LA_OK) {
        status = keep(in, in->rows, &mask);
    }
    if (status != LA_OK) {
        return status;
    }
    memset(zeros, 0, size);
    memset(mask, 0, in->rows);
    to->data = text ? "" : zeros;
    to->offsets = text ? zeros : NULL;
    to->valid = mask;
    return LA_OK;
}

/* Borrows `width`-byte values where they stand aligned, else copies them. */
static la_status
borrow(column_import *in, uint32_t width)
{
    const uint8_t *at = buffer(in, 1);
    if (at == NULL) {
        return in->rows == 0 ? (target(in)->data = "", LA_OK)
                             : bad_array(in, "its data buffer is missing");
    }
    at += (size_t)in->start * width;
    if ((uintptr_t)at % width == 0) {
        target(in)->data = at;
        return LA_OK;
    }
    void *copy;
    la_status status = keep(in, (size_t)in->rows * width, &copy);
    if (status == LA_OK) {
        memcpy(copy, at, (size_t)in->rows * width);
        target(in)->data = copy;
    }
    return status;
}

/* Element `i` of an integer-like buffer; unsigned 64-bit values come as their bits. */
static int64_t
load_int(const uint8_t *data, const source *from, int64_t i)
{
    const uint8_t *at = data + i * from->width;
    int16_t s16;
    int32_t s32;
    int64_t s64;
    switch (from->width) {
    case 1:
        return from->is_signed ? (int64_t)(int8_t)*at : (int64_t)*at;
    case 2:
        memcpy(&s16, at, sizeof s16);
        return from->is_signed ? (int64_t)s16 : (int64_t)(uint16_t)s16;
    case 4:
        memcpy(&s32, at, sizeof s32);
        return from->is_signed ? (int64_t)s32 : (int64_t)(uint32_t)s32;
    default:
        memcpy(&s64, at, sizeof s64);
        return s64;
    }
}

/* ------------------------------------------------------------------------ numbers */

/* Target data of `width` bytes a row, zeroed, so that null rows hold something. */
static la_status
new_data(column_import *in, uint32_t width, void **data)
{
    la_status status = keep(in, (size_t)in->rows * width, data);
    if (status == LA_OK) {
        memset(*data, 0, (size_t)in->rows * width);
        target(in)->data = *data;
    }
    return status;
}

static bool
scale_up(int64_t value, uint8_t scale, int64_t *out)
{
    for (uint8_t k = 0; k < scale; k++) {
        if (__builtin_mul_overflow(value, INT64_C(10), &value)) {
            return false;
        }
    }
    *out = value;
    return value > -DECIMAL_BOUND && value < DECIMAL_BOUND;
}

/* One integer as the target type. false: it does not fit. */
static bool
put_int(const column_import *in, int64_t v, void *data, uint32_t row)
{
    bool huge =
        !in->from.is_signed && in->from.width == 8 && v < 0; /* above INT64_MAX */
    int64_t exact = INT64_C(1) << (in->field->type == LA_T_F64 ? 53 : 24);
    switch (in->field->type) {
    case LA_T_I32:
        ((int32_t *)data)[row] = (int32_t)v;
        return !huge && v >= INT32_MIN && v <= INT32_MAX;
    case LA_T_I64:
        ((int64_t *)data)[row] = v;
        return !huge;
    case LA_T_U64:
        ((int64_t *)data)[row] = v;
        return huge || v >= 0;
    case LA_T_F64:
        ((double *)data)[row] = (double)v;
        return !huge && v >= -exact && v <= exact;
    case LA_T_F32:
        ((float *)data)[row] = (float)v;
        return !huge && v >= -exact && v <= exact;
    default:
        return !huge && scale_up(v, in->field->scale, &((int64_t *)data)[row]);
    }
}

static la_status
take_ints(column_import *in)
{
    la_type type = in->field->type;
    if (type != LA_T_I32 && type != LA_T_I64 && type != LA_T_U64 && type != LA_T_F64 &&
        type != LA_T_F32 && type != LA_T_DECIMAL) {
        return no_conversion(in, false);
    }
    uint32_t width = (uint32_t)la_type_size(type);
    bool same = (type == LA_T_I32 || type == LA_T_I64) && in->from.is_signed;
    same = same || (type == LA_T_U64 && !in->from.is_signed);
    if (same && in->from.width == width) {
        return borrow(in, width);
    }
    const uint8_t *from = buffer(in, 1);
    void *data;
    if (from == NULL && in->rows > 0) {
        return bad_array(in, "its data buffer is missing");
    }
    la_status status = new_data(in, width, &data);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        if (is_valid(in, i) &&
            !put_int(in, load_int(from, &in->from, in->start + i), data, i)) {
            return bad_row(in, i, "holds an integer that does not fit");
        }
    }
    return LA_OK;
}

static la_status
take_floats(column_import *in)
{
    bool to_f64 = in->field->type == LA_T_F64;
    if (!to_f64 && in->field->type != LA_T_F32) {
        return no_conversion(in, false);
    }
    if (in->from.width == (to_f64 ? 8 : 4)) {
        return borrow(in, in->from.width);
    }
    const uint8_t *from = buffer(in, 1);
    void *data;
    if (from == NULL && in->rows > 0) {
        return bad_array(in, "its data buffer is missing");
    }
    la_status status = new_data(in, to_f64 ? 8 : 4, &data);
    for (uint32_t i = 0; status == LA_OK && i < in->rows; i++) {
        if (!is_valid(in, i)) {
            continue;
        }
        if (to_f64) {
            float x;
            memcpy(&x, from + (in->start + i) * 4, sizeof x);
            ((double *)data)[i] = (double)x;
        }
        else {
            double x;
            memcpy(&x, from + (in->start + i) * 8, sizeof x);
            float narrow = (float)x;
            ((float *)data)[i] = narrow;
            if (x == x && (double)narrow != x) {
                return bad_row(in, i, "is more precise than f32");
            }
        }
    }
    return status;
}

static la_status
take_bools(column_import *in)
{
    const uint8_t *bits = buffer(in, 1);
    void *data;
    if (in->field->type != LA_T_BOOL) {
        return no_conversion(in, false);
    }
    if (bits == NULL && in->rows > 0) {
        return bad_array(in, "its data buffer is missing");
    }
    la_status status = new_data(in, 1, &data);
    if (status == LA_OK && in->rows > 0) {
        expand_bits(bits, in->start, in->rows, data);
    }
    return status;
}

/* Timestamps of any unit to microseconds, and dates to days. */
static la_status
take_temporal(column_import *in)
{
    bool date = in->from.kind == SOURCE_DATE;
    if (in->field->type != (date ? LA_T_DATE : LA_T_TIME)) {
        return no_conversion(in, false);
    }
    int64_t wanted = date ? 1 : 1000000;
    if (in->from.unit == wanted) {
        return borrow(in, in->from.width);
    }
    const uint8_t *from = buffer(in, 1);
    void *data;
    if (from == NULL && in->rows > 0) {
        return bad_array(in, "its data buffer is missing");
    }
    la_status status = new_data(in, date ? 4 : 8, &data);
    for (uint32_t i = 0; status == LA_OK && i < in->rows; i++) {
        if (!is_valid(in, i)) {
            continue;
        }
        int64_t v = load_int(from, &in->from, in->start + i);
        int64_t divisor = in->from.unit > wanted ? in->from.unit / wanted : 1;
        int64_t factor = in->from.unit > wanted ? 1 : wanted / in->from.unit;
        if (v % divisor != 0) {
            return bad_row(
                in, i, date ? "is no whole day" : "is more precise than microseconds");
        }
        if (__builtin_mul_overflow(v / divisor, factor, &v) ||
            (date && (v < INT32_MIN || v > INT32_MAX))) {
            return bad_row(in, i, "is out of range");
        }
        if (date) {
            ((int32_t *)data)[i] = (int32_t)v;
        }
        else {
            ((int64_t *)data)[i] = v;
        }
    }
    return status;
}

static la_status
take_decimals(column_import *in)
{
    if (in->field->type != LA_T_DECIMAL) {
        return no_conversion(in, false);
    }
    const uint8_t *from = buffer(in, 1);
    void *data;
    if (from == NULL && in->rows > 0) {
        return bad_array(in, "its data buffer is missing");
    }
    la_status status = new_data(in, 8, &data);
    for (uint32_t i = 0; status == LA_OK && i < in->rows; i++) {
        if (!is_valid(in, i)) {
            continue;
        }
        __int128 v;
        memcpy(&v, from + (in->start + i) * 16, sizeof v);
        int32_t shift = in->field->scale - in->from.scale;
        for (; shift < 0 && v != 0; shift++) {
            if (v % 10 != 0) {
                return bad_row(in, i, "has more digits than the scale");
            }
            v /= 10;
        }
        for (; shift > 0 && v > -DECIMAL_BOUND && v < DECIMAL_BOUND && v != 0;
             shift--) {
            v *= 10;
        }
        if (v <= -DECIMAL_BOUND || v >= DECIMAL_BOUND) {
            return bad_row(in, i, "is out of range: 18 digits fit");
        }
        ((int64_t *)data)[i] = (int64_t)v;
    }
    return status;
}

/* --------------------------------------------------------------------------- text */

static bool
takes_text(const column_import *in, bool is_utf8)
{
    la_type type = in->field->type;
    return type == LA_T_BYTES || (is_utf8 && (type == LA_T_STR || type == LA_T_CAT));
}

/* The whole heap first: one pass over it, then only its cuts. Rows one by one where
 * that fails, since bytes between values, or of nulls, need not be text. */
static la_status
check_utf8(const column_import *in, const char *heap, const uint32_t *offsets)
{
    if (in->field->type == LA_T_BYTES || in->rows == 0) {
        return LA_OK;
    }
    uint32_t begin = offsets[0];
    uint32_t end = offsets[in->rows];
    bool whole = la_utf8_is_valid(heap + begin, end - begin);
    for (uint32_t i = 1; whole && i < in->rows; i++) {
        whole = offsets[i] == end || ((uint8_t)heap[offsets[i]] & 0xc0) != 0x80;
    }
    for (uint32_t i = 0; !whole && i < in->rows; i++) {
        if (is_valid(in, i) &&
            !la_utf8_is_valid(heap + offsets[i], offsets[i + 1] - offsets[i])) {
            return bad_row(in, i, "is not valid UTF-8");
        }
    }
    return LA_OK;
}

static int64_t
offset_at(const uint8_t *offsets, uint8_t width, int64_t i)
{
    int32_t narrow;
    int64_t wide;
    if (width == 8) {
        memcpy(&wide, offsets + i * 8, sizeof wide);
        return wide;
    }
    memcpy(&narrow, offsets + i * 4, sizeof narrow);
    return narrow;
}

static la_status
check_offsets(const column_import *in, const uint8_t *offsets)
{
    int64_t last = offset_at(offsets, in->from.width, in->start);
    if (last < 0) {
        return bad_row(in, 0, "has a negative offset");
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        int64_t next = offset_at(offsets, in->from.width, in->start + i + 1);
        if (next < last) {
            return bad_row(in, i, "ends before it begins");
        }
        if (next - last > (int64_t)LA_VALUE_BYTES_MAX) {
            return bad_row(in, i, "is longer than 16 MiB");
        }
        last = next;
    }
    return LA_OK;
}

static la_status
empty_text(column_import *in)
{
    void *offsets;
    la_status status = keep(in, ((size_t)in->rows + 1) * sizeof(uint32_t), &offsets);
    if (status == LA_OK) {
        memset(offsets, 0, ((size_t)in->rows + 1) * sizeof(uint32_t));
        target(in)->offsets = offsets;
        target(in)->data = "";
    }
    return status;
}

static la_status
take_text(column_import *in)
{
    const uint8_t *from = buffer(in, 1);
    const char *heap = buffer(in, 2);
    if (!takes_text(in, in->from.is_utf8)) {
        return no_conversion(in, false);
    }
    if (in->rows == 0) {
        return empty_text(in);
    }
    if (from == NULL) {
        return bad_array(in, "its offsets are missing");
    }
    la_status status = check_offsets(in, from);
    if (status != LA_OK) {
        return status;
    }
    int64_t first = offset_at(from, in->from.width, in->start);
    int64_t total = offset_at(from, in->from.width, in->start + in->rows) - first;
    if (heap == NULL && total > 0) {
        return bad_array(in, "its text is missing");
    }
    if (total == 0) {
        return empty_text(in);
    }
    if (total > (int64_t)UINT32_MAX) {
        return bad_array(in, "its text is larger than 4 GiB");
    }
    const uint8_t *at = from + in->start * in->from.width;
    if (in->from.width == 4 && (uintptr_t)at % sizeof(uint32_t) == 0) {
        target(in)->offsets = (const uint32_t *)(const void *)at;
        target(in)->data = heap;
        return check_utf8(in, heap, target(in)->offsets);
    }
    void *offsets;
    status = keep(in, ((size_t)in->rows + 1) * sizeof(uint32_t), &offsets);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i <= in->rows; i++) {
        ((uint32_t *)offsets)[i] =
            (uint32_t)(offset_at(from, in->from.width, in->start + i) - first);
    }
    target(in)->offsets = offsets;
    target(in)->data = heap + first;
    return check_utf8(in, heap + first, offsets);
}

/* A view: length, then 12 bytes of text, or 4 of it, buffer and offset. */
static bool
view_at(const column_import *in, uint32_t row, const char **text, uint32_t *size)
{
    const uint8_t *view = (const uint8_t *)buffer(in, 1) + (in->start + row) * 16;
    int32_t parts[4];
    memcpy(parts, view, sizeof parts);
    if (parts[0] < 0 || parts[0] > (int32_t)LA_VALUE_BYTES_MAX) {
        return false;
    }
    *size = (uint32_t)parts[0];
    if (parts[0] <= 12) {
        *text = (const char *)view + 4;
        return true;
    }
    int64_t data_count = in->array->n_buffers - 3; /* validity, views ... sizes */
    if (data_count <= 0 || parts[2] < 0 || parts[2] >= data_count || parts[3] < 0) {
        return false;
    }
    const uint8_t *sizes = buffer(in, in->array->n_buffers - 1);
    const char *data = buffer(in, 2 + parts[2]);
    if (sizes == NULL || data == NULL ||
        (int64_t)parts[3] + parts[0] > offset_at(sizes, 8, parts[2])) {
        return false;
    }
    *text = data + parts[3];
    return true;
}

static la_status
take_views(column_import *in)
{
    const char *text;
    uint32_t size;
    uint64_t total = 0;
    if (!takes_text(in, in->from.is_utf8)) {
        return no_conversion(in, false);
    }
    if (in->rows > 0 && buffer(in, 1) == NULL) {
        return bad_array(in, "its views are missing");
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        if (is_valid(in, i)) {
            if (!view_at(in, i, &text, &size)) {
                return bad_row(in, i, "is no valid string view");
            }
            total += size;
        }
    }
    if (total > UINT32_MAX) {
        return bad_array(in, "its text is larger than 4 GiB");
    }
    void *heap, *offsets;
    la_status status = keep(in, total, &heap);
    if (status == LA_OK) {
        status = keep(in, ((size_t)in->rows + 1) * sizeof(uint32_t), &offsets);
    }
    if (status != LA_OK) {
        return status;
    }
    uint32_t at = 0;
    ((uint32_t *)offsets)[0] = 0;
    for (uint32_t i = 0; i < in->rows; i++) {
        if (is_valid(in, i) && view_at(in, i, &text, &size)) {
            memcpy((char *)heap + at, text, size);
            at += size;
        }
        ((uint32_t *)offsets)[i + 1] = at;
    }
    target(in)->offsets = offsets;
    target(in)->data = heap;
    return check_utf8(in, heap, offsets);
}

/* --------------------------------------------------------------------- dictionary */

/* The dictionary's values as a chunk of one column, by the same code as any
 * column's. */
static la_status import_values(const la_env *env, const column_import *in,
                               const struct ArrowSchema *schema, la_chunk **out);

static la_status
index_at(const column_import *in, const la_column *values, uint32_t value_count,
         uint32_t row, uint32_t *index, bool *null)
{
    int64_t i = load_int(buffer(in, 1), &in->from, in->start + row);
    if (i < 0 || i >= (int64_t)value_count) {
        return bad_row(in, row, "has an index outside its dictionary");
    }
    *index = (uint32_t)i;
    *null = la_column_is_null(values, *index);
    if (*null && !in->field->nullable) {
        return bad_row(in, row, "is null, and the column is not nullable");
    }
    return LA_OK;
}

/* A mask of its own, for a null may also come from the dictionary. */
static la_status
own_mask(column_import *in, uint8_t **mask)
{
    void *bytes;
    la_status status = keep(in, in->rows, &bytes);
    if (status == LA_OK) {
        if (in->valid == NULL) {
            memset(bytes, 1, in->rows);
        }
        else {
            memcpy(bytes, in->valid, in->rows);
        }
        *mask = bytes;
    }
    return status;
}

static la_status
dict_to_codes(column_import *in, const la_env *env, const la_column *values,
              uint32_t value_count, uint8_t *mask)
{
    void *data, *map;
    la_dict *dict;
    la_status status = keep(in, (size_t)value_count * sizeof(uint32_t), &map);
    if (status == LA_OK) {
        status = new_data(in, sizeof(uint32_t), &data);
    }
    if (status == LA_OK) {
        status = la_dict_new(env, &dict, in->err);
    }
    if (status != LA_OK) {
        return status;
    }
    uint32_t *codes = map;
    for (uint32_t i = 0; status == LA_OK && i < value_count; i++) {
        size_t size;
        const char *text = la_column_text(values, i, &size);
        codes[i] = 0;
        status =
            text == NULL ? LA_OK : la_dict_add(dict, text, size, &codes[i], in->err);
    }
    for (uint32_t i = 0; status == LA_OK && i < in->rows; i++) {
        uint32_t index;
        bool null;
        if (mask[i] != 0) {
            status = index_at(in, values, value_count, i, &index, &null);
            if (status == LA_OK) {
                mask[i] = !null;
                ((uint32_t *)data)[i] = codes[index];
            }
        }
    }
    if (status == LA_OK) {
        target(in)->type = LA_T_CAT;
        la_chunk_set_dict(in->chunk, in->column, dict);
    }
    la_dict_release(dict);
    return status;
}

static la_status
dict_to_text(column_import *in, const la_column *values, uint32_t value_count,
             uint8_t *mask)
{
    uint64_t total = 0;
    uint32_t index;
    bool null;
    size_t size;
    for (uint32_t i = 0; i < in->rows; i++) {
        if (mask[i] != 0) {
            la_status status = index_at(in, values, value_count, i, &index, &null);
            if (status != LA_OK) {
                return status;
            }
            mask[i] = !null;
            (void)la_column_text(values, index, &size);
            total += size;
        }
    }
    if (total > UINT32_MAX) {
        return bad_array(in, "its text is larger than 4 GiB");
    }
    void *heap, *offsets;
    la_status status = keep(in, total, &heap);
    if (status == LA_OK) {
        status = keep(in, ((size_t)in->rows + 1) * sizeof(uint32_t), &offsets);
    }
    if (status != LA_OK) {
        return status;
    }
    size_t at = 0;
    ((uint32_t *)offsets)[0] = 0;
    for (uint32_t i = 0; i < in->rows; i++) {
        if (mask[i] != 0) {
            index = (uint32_t)load_int(buffer(in, 1), &in->from, in->start + i);
            const char *text = la_column_text(values, index, &size);
            memcpy((char *)heap + at, text, size);
            at += size;
        }
        ((uint32_t *)offsets)[i + 1] = (uint32_t)at;
    }
    target(in)->offsets = offsets;
    target(in)->data = heap;
    return LA_OK;
}

static la_status
take_dictionary(column_import *in, const la_env *env, const struct ArrowSchema *schema)
{
    const struct ArrowSchema *value_schema = schema->dictionary;
    source values_from = parse_format(value_schema->format);
    bool text = values_from.kind == SOURCE_TEXT || values_from.kind == SOURCE_VIEW;
    if (in->from.kind != SOURCE_INT || !text || !takes_text(in, values_from.is_utf8)) {
        return no_conversion(in, true);
    }
    if (in->array->dictionary == NULL || (in->rows > 0 && buffer(in, 1) == NULL)) {
        return bad_array(in, "its dictionary or indices are missing");
    }
    la_chunk *values = NULL;
    la_status status = import_values(env, in, value_schema, &values);
    if (status != LA_OK) {
        return status;
    }
    uint8_t *mask;
    status = own_mask(in, &mask);
    if (status == LA_OK) {
        status = in->field->type == LA_T_CAT
                     ? dict_to_codes(in, env, &values->columns[0], values->rows, mask)
                     : dict_to_text(in, &values->columns[0], values->rows, mask);
    }
    if (status == LA_OK && in->rows > 0 && memchr(mask, 0, in->rows) != NULL) {
        in->valid = mask;
    }
    la_chunk_free(values);
    return status;
}

/* ------------------------------------------------------------------------ columns */

static la_status
import_column(column_import *in, const la_env *env, const struct ArrowSchema *schema)
{
    in->format = schema->format;
    in->from = parse_format(schema->format);
    la_column *to = target(in);
    to->type = in->field->type == LA_T_CAT ? LA_T_STR : in->field->type;
    if (in->from.kind == SOURCE_UNKNOWN && schema->dictionary == NULL) {
        return no_conversion(in, false);
    }
    if (in->from.kind == SOURCE_NULL) {
        return all_null(in);
    }
    la_status status = take_nulls(in);
    if (status != LA_OK) {
        return status;
    }
    if (schema->dictionary != NULL) {
        status = take_dictionary(in, env, schema);
        to->valid = in->valid;
        return status;
    }
    to->valid = in->valid;
    switch (in->from.kind) {
    case SOURCE_BOOL:
        return take_bools(in);
    case SOURCE_INT:
        return take_ints(in);
    case SOURCE_FLOAT:
        return take_floats(in);
    case SOURCE_DATE:
    case SOURCE_TIME:
        return take_temporal(in);
    case SOURCE_DECIMAL:
        return take_decimals(in);
    case SOURCE_TEXT:
        return take_text(in);
    case SOURCE_VIEW:
        return take_views(in);
    case SOURCE_NULL:
    case SOURCE_UNKNOWN:
        break;
    }
    return no_conversion(in, false);
}

static bool
span_is_sound(const struct ArrowArray *array, int64_t skip, int64_t rows)
{
    return array != NULL && array->release != NULL && array->length >= 0 &&
           array->offset >= 0 && array->offset < INT64_MAX / 32 &&
           array->length < INT64_MAX / 32 && array->length - rows >= skip;
}

static la_status
new_chunk(const la_env *env, const la_schema *schema, uint32_t rows, la_chunk **out,
          la_error *err)
{
    uint32_t count = la_schema_count(schema);
    la_chunk_shape *shapes = la_calloc(env, count, sizeof *shapes);
    if (shapes == NULL) {
        return la_fail_nomem(err, count * sizeof *shapes);
    }
    for (uint32_t c = 0; c < count; c++) {
        shapes[c] = (la_chunk_shape){la_schema_field(schema, c)->type, false, true, 0};
    }
    la_status status = la_chunk_new_shaped(env, schema, rows, shapes, out, err);
    la_dealloc(env, shapes, count * sizeof *shapes);
    return status;
}

static la_status
import_values(const la_env *env, const column_import *in,
              const struct ArrowSchema *schema, la_chunk **out)
{
    const struct ArrowArray *array = in->array->dictionary;
    char name[] = "dictionary";
    la_field field = {name, in->field->type == LA_T_BYTES ? LA_T_BYTES : LA_T_STR, 0,
                      true};
    const la_schema *value_schema;
    la_chunk *chunk;
    if (!span_is_sound(array, 0, 0) || array->length > (int64_t)UINT32_MAX / 2) {
        return bad_array(in, "its dictionary has an impossible length");
    }
    la_status status = la_schema_new(env, &field, 1, &value_schema, in->err);
    if (status != LA_OK) {
        return status;
    }
    status = new_chunk(env, value_schema, (uint32_t)array->length, &chunk, in->err);
    if (status == LA_OK) {
        column_import values = {.field = la_schema_field(value_schema, 0),
                                .array = array,
                                .start = array->offset,
                                .rows = chunk->rows,
                                .chunk = chunk,
                                .err = in->err};
        status = import_column(&values, env, schema);
        if (status == LA_OK) {
            *out = chunk;
        }
        else {
            la_chunk_free(chunk);
        }
    }
    la_schema_release(value_schema);
    return status;
}

/* ------------------------------------------------------------------------- tables */

static la_status
check_table(const struct ArrowSchema *schema, const struct ArrowArray *array,
            la_error *err)
{
    if (schema == NULL || array == NULL || schema->release == NULL ||
        array->release == NULL) {
        return la_fail(err, LA_INVALID,
                       "could not take an Arrow table: it was released");
    }
    if (schema->format == NULL || strcmp(schema->format, "+s") != 0) {
        return la_fail(err, LA_TYPE,
                       "could not take an Arrow array of type \"%.40s\": a table is a "
                       "struct array (\"+s\")",
                       schema->format == NULL ? "" : schema->format);
    }
    if (schema->n_children != array->n_children || schema->n_children < 0 ||
        !span_is_sound(array, 0, 0) || array->length > (int64_t)UINT32_MAX - 1024) {
        return la_fail(err, LA_INVALID,
                       "could not take an Arrow table of %lld rows, %lld columns",
                       (long long)array->length, (long long)array->n_children);
    }
    const uint8_t *bits = array->n_buffers > 0 ? array->buffers[0] : NULL;
    for (int64_t i = 0; array->null_count != 0 && bits != NULL && i < array->length;
         i++) {
        if (!bit_at(bits, array->offset + i)) {
            return la_fail(err, LA_INVALID,
                           "could not take an Arrow table: row %lld is null as a whole",
                           (long long)i);
        }
    }
    return LA_OK;
}

/* Place of the child of that name, -1: none. */
static int64_t
find_child(const struct ArrowSchema *schema, const char *name, int64_t from)
{
    for (int64_t i = from; i < schema->n_children; i++) {
        const char *child = schema->children[i]->name;
        if (child != NULL && strcmp(child, name) == 0) {
            return i;
        }
    }
    return -1;
}

static la_status
check_names(const la_schema *schema, const struct ArrowSchema *arrow, la_error *err)
{
    for (int64_t i = 0; i < arrow->n_children; i++) {
        const char *name = arrow->children[i]->name;
        char quoted[LA_QUOTE_BYTES];
        la_quote(quoted, name == NULL ? "" : name, name == NULL ? 0 : strlen(name));
        if (name == NULL || la_schema_find(schema, name) < 0) {
            return la_fail(err, LA_INVALID,
                           "could not take an Arrow table: there is no column %s",
                           quoted);
        }
        if (find_child(arrow, name, i + 1) >= 0) {
            return la_fail(err, LA_INVALID,
                           "could not take an Arrow table: it has two columns %s",
                           quoted);
        }
    }
    return LA_OK;
}

static la_status
import_field(const la_env *env, la_chunk *chunk, uint32_t column,
             const struct ArrowSchema *schema, const struct ArrowArray *array,
             la_error *err)
{
    column_import in = {.field = la_schema_field(chunk->schema, column),
                        .format = "n",
                        .rows = chunk->rows,
                        .chunk = chunk,
                        .column = column,
                        .err = err};
    int64_t child = find_child(schema, in.field->name, 0);
    if (child < 0) {
        if (!in.field->nullable) {
            return la_fail(
                err, LA_INVALID,
                "could not take an Arrow table: column \"%s\" is missing, and "
                "not nullable",
                in.field->name);
        }
        target(&in)->type = in.field->type == LA_T_CAT ? LA_T_STR : in.field->type;
        return all_null(&in);
    }
    in.array = array->children[child];
    if (!span_is_sound(in.array, array->offset, array->length) ||
        schema->children[child]->format == NULL) {
        return bad_array(&in, "it is shorter than its table");
    }
    in.start = array->offset + in.array->offset;
    return import_column(&in, env, schema->children[child]);
}

la_status
la_chunk_from_arrow(const la_env *env, const la_schema *schema,
                    const struct ArrowSchema *arrow_schema,
                    const struct ArrowArray *array, la_chunk **out, la_error *err)
{
    la_status status = check_table(arrow_schema, array, err);
    if (status == LA_OK) {
        status = check_names(schema, arrow_schema, err);
    }
    la_chunk *chunk = NULL;
    if (status == LA_OK) {
        status = new_chunk(env, schema, (uint32_t)array->length, &chunk, err);
    }
    for (uint32_t c = 0; status == LA_OK && c < la_schema_count(schema); c++) {
        status = import_field(env, chunk, c, arrow_schema, array, err);
    }
    if (status != LA_OK) {
        la_chunk_free(chunk);
        return status;
    }
    *out = chunk;
    return LA_OK;
}
