/* SPDX-License-Identifier: Apache-2.0 */
/* Builder: values one by one, column by column, into an owned chunk.
 *
 * A cat column is built as text (physical type str): codes belong to the log's
 * dictionary, and only the log can give them.
 *
 * Invariants
 *  1. Per column, `rows` values are complete; a failed call changes nothing.
 *  2. `valid` is allocated at the first null; without it all rows have values.
 *  3. Text is valid UTF-8 in str and cat columns, and all heap offsets fit 32 bits.
 *
 * Small chunks are copied out in one allocation and the buffers stay for the next, so
 * that event after event costs one malloc; large ones hand their buffers over. */
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/live.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

#define ROWS_FIRST 64u
#define HEAP_FIRST 1024u
#define COPY_BYTES_MAX (64u << 10)
#define DECIMAL_BOUND INT64_C(1000000000000000000)

typedef struct column {
    la_type type; /* physical */
    uint32_t width;
    uint32_t rows;
    uint32_t
        capacity;  /* rows that data, offsets and valid (when there) have room for */
    uint8_t *data; /* fixed size values, or NULL for text */
    uint32_t *offsets;
    uint8_t *valid;
    char *heap;
    size_t heap_size;
    size_t heap_capacity;
} column;

struct la_builder {
    const la_env *env;
    const la_schema *schema;
    uint32_t count;
    column *columns;
    la_chunk_shape *shapes; /* scratch for finish */
};

static const la_field *
field_of(const la_builder *builder, uint32_t index)
{
    return la_schema_field(builder->schema, index);
}

static la_status
no_column(const la_builder *builder, uint32_t index, la_error *err)
{
    return la_fail(err, LA_NOT_FOUND, "there is no column %u: the schema has %u", index,
                   builder->count);
}

static la_status
wrong_type(const la_builder *builder, uint32_t index, const char *value, la_error *err)
{
    const la_field *field = field_of(builder, index);
    char type[32];
    la_type_text(field->type, field->scale, type, sizeof type);
    return la_fail(err, LA_TYPE, "could not put %s into column \"%s\" of type %s",
                   value, field->name, type);
}

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES;
}

la_status
la_builder_new(const la_env *env, const la_schema *schema, la_builder **out,
               la_error *err)
{
    la_builder *builder = la_calloc(env, 1, sizeof *builder);
    if (builder == NULL) {
        return la_fail_nomem(err, sizeof *builder);
    }
    builder->env = env;
    builder->count = la_schema_count(schema);
    builder->columns = la_calloc(env, builder->count, sizeof(column));
    builder->shapes = la_calloc(env, builder->count, sizeof(la_chunk_shape));
    if (builder->columns == NULL || builder->shapes == NULL) {
        la_dealloc(env, builder->columns, builder->count * sizeof(column));
        la_dealloc(env, builder->shapes, builder->count * sizeof(la_chunk_shape));
        la_dealloc(env, builder, sizeof *builder);
        return la_fail_nomem(err, la_schema_count(schema) * sizeof(column));
    }
    builder->schema = la_schema_retain(schema);
    for (uint32_t c = 0; c < builder->count; c++) {
        la_type type = la_schema_field(schema, c)->type;
        builder->columns[c].type = type == LA_T_CAT ? LA_T_STR : type;
        builder->columns[c].width = (uint32_t)la_type_size(builder->columns[c].type);
    }
    la_live_add(LA_LIVE_BUILDER, 1);
    *out = builder;
    return LA_OK;
}

static void
column_fini(const la_env *env, column *col)
{
    la_dealloc(env, col->data, (size_t)col->capacity * col->width);
    la_dealloc(env, col->offsets, ((size_t)col->capacity + 1) * sizeof(uint32_t));
    la_dealloc(env, col->valid, col->capacity);
    la_dealloc(env, col->heap, col->heap_capacity);
}

void
la_builder_free(la_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    const la_env *env = builder->env;
    for (uint32_t c = 0; c < builder->count; c++) {
        column_fini(env, &builder->columns[c]);
    }
    la_dealloc(env, builder->columns, builder->count * sizeof(column));
    la_dealloc(env, builder->shapes, builder->count * sizeof(la_chunk_shape));
    la_schema_release(builder->schema);
    la_dealloc(env, builder, sizeof *builder);
    la_live_add(LA_LIVE_BUILDER, -1);
}

const la_schema *
la_builder_schema(const la_builder *builder)
{
    return builder->schema;
}

uint32_t
la_builder_rows(const la_builder *builder, uint32_t column_index)
{
    return column_index < builder->count ? builder->columns[column_index].rows : 0;
}

/* Every array grows to `capacity` rows or all stay usable at the old one: an array that
 * did grow before another failed is only too large, which la_dealloc must know. So the
 * new arrays are made first, and swapped in together. */
static la_status
grow_rows(const la_env *env, column *col, la_error *err)
{
    if (col->capacity > UINT32_MAX / 4) {
        return la_fail(err, LA_BUDGET, "could not build more than %u rows", col->rows);
    }
    uint32_t capacity = col->capacity == 0 ? ROWS_FIRST : col->capacity * 2;
    bool text = is_text(col->type);
    size_t data_size = text ? ((size_t)capacity + 1) * sizeof(uint32_t)
                            : (size_t)capacity * col->width;
    size_t old_size = text ? ((size_t)col->rows + 1) * sizeof(uint32_t)
                           : (size_t)col->rows * col->width;
    void *data = la_alloc(env, data_size);
    uint8_t *valid = col->valid == NULL ? NULL : la_alloc(env, capacity);
    if (data == NULL || (col->valid != NULL && valid == NULL)) {
        la_dealloc(env, data, data_size);
        la_dealloc(env, valid, capacity);
        return la_fail_nomem(err, data_size);
    }
    if (text) {
        if (col->offsets == NULL) {
            ((uint32_t *)data)[0] = 0;
        }
        else {
            memcpy(data, col->offsets, old_size);
        }
        la_dealloc(env, col->offsets, ((size_t)col->capacity + 1) * sizeof(uint32_t));
        col->offsets = data;
    }
    else {
        if (col->data != NULL) {
            memcpy(data, col->data, old_size);
        }
        la_dealloc(env, col->data, (size_t)col->capacity * col->width);
        col->data = data;
    }
    if (valid != NULL) {
        memcpy(valid, col->valid, col->rows);
        la_dealloc(env, col->valid, col->capacity);
        col->valid = valid;
    }
    col->capacity = capacity;
    return LA_OK;
}

static la_status
make_room(la_builder *builder, uint32_t index, la_error *err)
{
    if (index >= builder->count) {
        return no_column(builder, index, err);
    }
    column *col = &builder->columns[index];
    return col->rows < col->capacity ? LA_OK : grow_rows(builder->env, col, err);
}

static void
commit(column *col)
{
    if (col->valid != NULL) {
        col->valid[col->rows] = 1;
    }
    col->rows++;
}

la_status
la_builder_null(la_builder *builder, uint32_t index, la_error *err)
{
    la_status status = make_room(builder, index, err);
    if (status != LA_OK) {
        return status;
    }
    if (!field_of(builder, index)->nullable) {
        return la_fail(err, LA_INVALID,
                       "could not put a null into column \"%s\": it is not nullable",
                       field_of(builder, index)->name);
    }
    column *col = &builder->columns[index];
    if (col->valid == NULL) {
        col->valid = la_alloc(builder->env, col->capacity);
        if (col->valid == NULL) {
            return la_fail_nomem(err, col->capacity);
        }
        memset(col->valid, 1, col->rows);
    }
    col->valid[col->rows] = 0;
    if (is_text(col->type)) {
        col->offsets[col->rows + 1] = col->offsets[col->rows];
    }
    else {
        memset(col->data + (size_t)col->rows * col->width, 0, col->width);
    }
    col->rows++;
    return LA_OK;
}

static la_status
out_of_range(const la_builder *builder, uint32_t index, int64_t value, la_error *err)
{
    char text[40];
    (void)snprintf(text, sizeof text, "the integer %lld", (long long)value);
    const la_field *field = field_of(builder, index);
    char type[32];
    la_type_text(field->type, field->scale, type, sizeof type);
    return la_fail(err, LA_INVALID,
                   "could not put %s into column \"%s\": it does not fit %s", text,
                   field->name, type);
}

la_status
la_builder_int(la_builder *builder, uint32_t index, int64_t value, la_error *err)
{
    la_status status = make_room(builder, index, err);
    if (status != LA_OK) {
        return status;
    }
    column *col = &builder->columns[index];
    bool fits = true;
    switch (col->type) {
    case LA_T_BOOL:
        fits = value == 0 || value == 1;
        col->data[col->rows] = (uint8_t)(value & 1);
        break;
    case LA_T_I32:
    case LA_T_DATE:
        fits = value >= INT32_MIN && value <= INT32_MAX;
        ((int32_t *)(void *)col->data)[col->rows] = (int32_t)value;
        break;
    case LA_T_DECIMAL:
        fits = value > -DECIMAL_BOUND && value < DECIMAL_BOUND;
        ((int64_t *)(void *)col->data)[col->rows] = value;
        break;
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_TIME:
        ((int64_t *)(void *)col->data)[col->rows] = value;
        break;
    case LA_T_F64: /* exact, or refused: callers have integers where they mean floats */
        fits = value >= -(INT64_C(1) << 53) && value <= (INT64_C(1) << 53);
        ((double *)(void *)col->data)[col->rows] = (double)value;
        break;
    case LA_T_F32:
        fits = value >= -(INT64_C(1) << 24) && value <= (INT64_C(1) << 24);
        ((float *)(void *)col->data)[col->rows] = (float)value;
        break;
    default:
        return wrong_type(builder, index, "an integer", err);
    }
    if (!fits) {
        return out_of_range(builder, index, value, err);
    }
    commit(col);
    return LA_OK;
}

la_status
la_builder_float(la_builder *builder, uint32_t index, double value, la_error *err)
{
    la_status status = make_room(builder, index, err);
    if (status != LA_OK) {
        return status;
    }
    column *col = &builder->columns[index];
    if (col->type == LA_T_F64) {
        ((double *)(void *)col->data)[col->rows] = value;
    }
    else if (col->type == LA_T_F32) {
        double limit = 0x1.ffffffp127; /* from here on rounding gives infinity */
        if (value - value == 0.0 && (value >= limit || value <= -limit)) {
            return la_fail(
                err, LA_INVALID,
                "could not put %.17g into column \"%s\": it does not fit f32", value,
                field_of(builder, index)->name);
        }
        ((float *)(void *)col->data)[col->rows] = (float)value;
    }
    else {
        char text[48];
        (void)snprintf(text, sizeof text, "the float %.17g", value);
        status = wrong_type(builder, index, text, err);
        if (col->type == LA_T_DECIMAL) {
            la_error_hint(err,
                          "give decimals as text or Decimal: a float is not exact");
        }
        return status;
    }
    commit(col);
    return LA_OK;
}

static la_status
heap_room(la_builder *builder, uint32_t index, size_t size, la_error *err)
{
    column *col = &builder->columns[index];
    if (size <= col->heap_capacity - col->heap_size) {
        return LA_OK;
    }
    if (col->heap_size + size > UINT32_MAX) {
        return la_fail(err, LA_BUDGET,
                       "could not build column \"%s\": its text is larger than 4 GiB",
                       field_of(builder, index)->name);
    }
    size_t capacity = col->heap_capacity == 0 ? HEAP_FIRST : col->heap_capacity;
    while (capacity - col->heap_size < size) {
        capacity *= 2;
    }
    char *heap = la_realloc(builder->env, col->heap, col->heap_capacity, capacity);
    if (heap == NULL) {
        return la_fail_nomem(err, capacity);
    }
    col->heap = heap;
    col->heap_capacity = capacity;
    return LA_OK;
}

la_status
la_builder_text(la_builder *builder, uint32_t index, const char *text, size_t size,
                la_error *err)
{
    la_status status = make_room(builder, index, err);
    if (status != LA_OK) {
        return status;
    }
    column *col = &builder->columns[index];
    if (!is_text(col->type)) {
        char quoted[LA_QUOTE_BYTES];
        la_quote(quoted, text, size);
        return wrong_type(builder, index, quoted, err);
    }
    if (size > LA_VALUE_BYTES_MAX) {
        return la_fail(
            err, LA_INVALID,
            "could not put a text of %zu bytes into column \"%s\": at most %u "
            "are possible",
            size, field_of(builder, index)->name, LA_VALUE_BYTES_MAX);
    }
    if (col->type == LA_T_STR && !la_utf8_is_valid(text, size)) {
        char quoted[LA_QUOTE_BYTES];
        la_quote(quoted, text, size);
        return la_fail(err, LA_INVALID,
                       "could not put %s into column \"%s\": it is not valid UTF-8",
                       quoted, field_of(builder, index)->name);
    }
    status = heap_room(builder, index, size, err);
    if (status != LA_OK) {
        return status;
    }
    if (size > 0) {
        memcpy(col->heap + col->heap_size, text, size);
    }
    col->heap_size += size;
    col->offsets[col->rows + 1] = (uint32_t)col->heap_size;
    commit(col);
    return LA_OK;
}

/* ---------------------------------------------------------------------- finish */

static la_status
check_rows(const la_builder *builder, la_error *err)
{
    for (uint32_t c = 1; c < builder->count; c++) {
        if (builder->columns[c].rows != builder->columns[0].rows) {
            return la_fail(
                err, LA_INVALID,
                "could not finish a chunk: column \"%s\" has %u rows, column "
                "\"%s\" %u",
                field_of(builder, c)->name, builder->columns[c].rows,
                field_of(builder, 0)->name, builder->columns[0].rows);
        }
    }
    return LA_OK;
}

static void
copy_column(const column *col, la_chunk *chunk, uint32_t index)
{
    if (col->rows == 0) {
        return;
    }
    if (is_text(col->type)) {
        memcpy(la_chunk_offsets(chunk, index), col->offsets,
               ((size_t)col->rows + 1) * sizeof(uint32_t));
        if (col->heap_size > 0) {
            memcpy(la_chunk_data(chunk, index), col->heap, col->heap_size);
        }
    }
    else {
        memcpy(la_chunk_data(chunk, index), col->data, (size_t)col->rows * col->width);
    }
    if (col->valid != NULL) {
        memcpy(la_chunk_valid(chunk, index), col->valid, col->rows);
    }
}

static void
hand_over(column *col, la_chunk *chunk, uint32_t index)
{
    la_column *to = &chunk->columns[index];
    if (is_text(col->type)) {
        to->data = col->heap == NULL ? "" : col->heap;
        to->offsets = col->offsets;
        la_chunk_own(chunk, col->heap, col->heap_capacity);
        la_chunk_own(chunk, col->offsets,
                     ((size_t)col->capacity + 1) * sizeof(uint32_t));
    }
    else {
        to->data = col->data;
        la_chunk_own(chunk, col->data, (size_t)col->capacity * col->width);
    }
    to->valid = col->valid;
    la_chunk_own(chunk, col->valid, col->capacity);
    la_type type = col->type;
    uint32_t width = col->width;
    *col = (column){.type = type, .width = width};
}

la_status
la_builder_finish(la_builder *builder, la_chunk **out, la_error *err)
{
    la_status status = check_rows(builder, err);
    if (status != LA_OK) {
        return status;
    }
    uint32_t rows = builder->count == 0 ? 0 : builder->columns[0].rows;
    size_t total = 0;
    for (uint32_t c = 0; c < builder->count; c++) {
        const column *col = &builder->columns[c];
        total += (size_t)rows * (is_text(col->type) ? 4 : col->width) + col->heap_size;
    }
    bool copy = total <= COPY_BYTES_MAX || rows == 0;
    for (uint32_t c = 0; c < builder->count; c++) {
        const column *col = &builder->columns[c];
        builder->shapes[c] =
            (la_chunk_shape){col->type, col->valid != NULL, !copy, col->heap_size};
    }
    la_chunk *chunk;
    status = la_chunk_new_shaped(builder->env, builder->schema, rows, builder->shapes,
                                 &chunk, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t c = 0; c < builder->count; c++) {
        column *col = &builder->columns[c];
        if (!copy) {
            hand_over(col, chunk, c);
            continue;
        }
        copy_column(col, chunk, c);
        col->rows = 0;
        col->heap_size = 0;
        la_dealloc(builder->env, col->valid, col->capacity);
        col->valid = NULL;
    }
    *out = chunk;
    return LA_OK;
}
