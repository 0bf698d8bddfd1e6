/* SPDX-License-Identifier: Apache-2.0 */
/* Rows copied out of the core into buffers of our own, so that arrays over them need neither
 * the query nor the store. No Python in here: safe without the GIL.
 *
 * Invariants
 *  1. Until the table is shared it has one owner, who adds; afterwards nothing changes.
 *  2. All columns hold chunk.rows rows; a column that was never read has type LA_T_NULL.
 *  3. `valid` is NULL or has a byte for every row. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

typedef struct buffers {
    uint8_t *data;
    uint32_t *offsets;
    uint8_t *valid;
    size_t heap_size, heap_capacity; /* text only: bytes in data */
} buffers;

struct la_table {
    atomic_uint references;
    la_chunk chunk;
    la_column *columns;
    buffers *buffers;
    uint8_t *verdicts;
    uint32_t capacity; /* rows every buffer has room for */
};

static size_t
width_of(la_type type)
{
    switch (type) {
    case LA_T_BOOL:
        return 1;
    case LA_T_I32:
    case LA_T_F32:
    case LA_T_DATE:
        return 4;
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_F64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        return 8;
    default:
        return 0;
    }
}

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES || type == LA_T_JSON;
}

la_table *
pyla_table_new(const la_schema *schema)
{
    uint32_t count = la_schema_count(schema);
    la_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        return NULL;
    }
    atomic_init(&table->references, 1);
    table->columns = calloc(count + 1u, sizeof *table->columns);
    table->buffers = calloc(count + 1u, sizeof *table->buffers);
    table->chunk.schema = la_schema_retain(schema);
    table->chunk.column_count = count;
    table->chunk.columns = table->columns;
    if (table->columns == NULL || table->buffers == NULL) {
        pyla_table_release(table);
        return NULL;
    }
    return table;
}

la_table *
pyla_table_retain(la_table *table)
{
    atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
    return table;
}

void
pyla_table_release(la_table *table)
{
    if (table == NULL ||
        atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; table->buffers != NULL && i < table->chunk.column_count; i++) {
        free(table->buffers[i].data);
        free(table->buffers[i].offsets);
        free(table->buffers[i].valid);
    }
    free(table->buffers);
    free(table->columns);
    free(table->verdicts);
    la_schema_release(table->chunk.schema);
    free(table);
}

const la_chunk *
pyla_table_chunk(const la_table *table)
{
    return &table->chunk;
}

static bool
grow(void **buffer, size_t count, size_t width)
{
    void *larger = realloc(*buffer, count * width + 1);
    if (larger == NULL) {
        return false;
    }
    *buffer = larger;
    return true;
}

static bool
reserve_rows(la_table *table, uint64_t rows)
{
    if (rows <= table->capacity) {
        return true;
    }
    if (rows >= UINT32_MAX) {
        return false;
    }
    uint64_t capacity = table->capacity == 0 ? rows : rows + rows / 2;
    capacity = capacity >= UINT32_MAX ? UINT32_MAX - 1 : capacity;
    for (uint32_t i = 0; i < table->chunk.column_count; i++) {
        buffers *b = &table->buffers[i];
        la_type type = table->columns[i].type;
        if (type == LA_T_NULL) {
            continue;
        }
        if (is_text(type)
                ? !grow((void **)&b->offsets, capacity + 1, sizeof *b->offsets)
                : !grow((void **)&b->data, capacity, width_of(type))) {
            return false;
        }
        if (b->valid != NULL && !grow((void **)&b->valid, capacity, 1)) {
            return false;
        }
    }
    if (table->verdicts != NULL && !grow((void **)&table->verdicts, capacity, 1)) {
        return false;
    }
    table->capacity = (uint32_t)capacity;
    return true;
}

static bool
put_text(buffers *b, uint32_t row, const char *text, size_t size)
{
    if (b->heap_size + size >= UINT32_MAX) {
        return false;
    }
    if (b->heap_size + size > b->heap_capacity || b->data == NULL) {
        size_t capacity = (b->heap_size + size) * 2 + 64;
        if (!grow((void **)&b->data, capacity, 1)) {
            return false;
        }
        b->heap_capacity = capacity;
    }
    if (size > 0) {
        memcpy(b->data + b->heap_size, text, size);
    }
    b->heap_size += size;
    b->offsets[row + 1] = (uint32_t)b->heap_size;
    return true;
}

static bool
add_text(buffers *b, const la_column *from, uint32_t at, uint32_t rows)
{
    if (at == 0) {
        b->offsets[0] = 0;
    }
    for (uint32_t i = 0; i < rows; i++) {
        const char *text = NULL;
        size_t size = 0;
        if (from->valid != NULL && from->valid[i] == 0) {
            /* null: the empty text */
        }
        else if (from->type == LA_T_CAT) {
            text = la_dict_get(from->dict, ((const uint32_t *)from->data)[i], &size);
        }
        else {
            text = (const char *)from->data + from->offsets[i];
            size = from->offsets[i + 1] - from->offsets[i];
        }
        if (!put_text(b, at + i, text, size)) {
            return false;
        }
    }
    return true;
}

static bool
add_valid(la_table *table, buffers *b, const la_column *from, uint32_t rows)
{
    uint32_t at = table->chunk.rows;
    if (from->valid != NULL && b->valid == NULL) {
        b->valid = malloc((size_t)table->capacity + 1);
        if (b->valid == NULL) {
            return false;
        }
        memset(b->valid, 1, at);
    }
    if (b->valid != NULL && from->valid != NULL) {
        memcpy(b->valid + at, from->valid, rows);
    }
    else if (b->valid != NULL) {
        memset(b->valid + at, 1, rows);
    }
    return true;
}

static bool
add_verdicts(la_table *table, const la_chunk *chunk)
{
    uint32_t at = table->chunk.rows;
    if (chunk->verdicts != NULL && table->verdicts == NULL) {
        table->verdicts = malloc((size_t)table->capacity + 1);
        if (table->verdicts == NULL) {
            return false;
        }
        memset(table->verdicts, LA_V_OK, at);
    }
    if (table->verdicts != NULL && chunk->verdicts != NULL) {
        memcpy(table->verdicts + at, chunk->verdicts, chunk->rows);
    }
    else if (table->verdicts != NULL) {
        memset(table->verdicts + at, LA_V_OK, chunk->rows);
    }
    return true;
}

bool
pyla_table_add(la_table *table, const la_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->column_count && table->capacity == 0; i++) {
        la_type type = chunk->columns[i].type;
        table->columns[i].type = type == LA_T_CAT ? LA_T_STR : type;
        table->columns[i].scale = chunk->columns[i].scale;
    }
    if (!reserve_rows(table, (uint64_t)table->chunk.rows + chunk->rows)) {
        return false;
    }
    if (table->chunk.rows == 0) {
        table->chunk.position = chunk->position;
        table->chunk.ingest_us = chunk->ingest_us;
    }
    for (uint32_t i = 0; i < chunk->column_count; i++) {
        const la_column *from = &chunk->columns[i];
        buffers *b = &table->buffers[i];
        la_type type = table->columns[i].type;
        if (type == LA_T_NULL || chunk->rows == 0) {
            continue;
        }
        size_t width = width_of(type);
        if (is_text(type)) {
            if (!add_text(b, from, table->chunk.rows, chunk->rows)) {
                return false;
            }
        }
        else {
            memcpy(b->data + table->chunk.rows * width, from->data,
                   chunk->rows * width);
        }
        if (!add_valid(table, b, from, chunk->rows)) {
            return false;
        }
    }
    if (!add_verdicts(table, chunk)) {
        return false;
    }
    table->chunk.rows += chunk->rows;
    table->chunk.verdicts = table->verdicts;
    for (uint32_t i = 0; i < chunk->column_count; i++) {
        static const uint32_t none[1] = {0};
        buffers *b = &table->buffers[i];
        bool text = is_text(table->columns[i].type);
        table->columns[i].data =
            b->data != NULL ? (const void *)b->data : (const void *)"";
        table->columns[i].offsets =
            text && table->chunk.rows > 0 ? b->offsets : (text ? none : NULL);
        table->columns[i].valid = b->valid;
    }
    return true;
}

void
pyla_table_blank(la_table *table)
{
    for (uint32_t i = 0; i < table->chunk.column_count; i++) {
        buffers *b = &table->buffers[i];
        la_type type = table->columns[i].type;
        for (uint32_t row = 0; b->valid != NULL && row < table->chunk.rows; row++) {
            if (b->valid[row] != 0) {
                continue;
            }
            switch (type) {
            case LA_T_F64:
                ((double *)(void *)b->data)[row] = (double)NAN;
                break;
            case LA_T_F32:
                ((float *)(void *)b->data)[row] = NAN;
                break;
            case LA_T_TIME:
                ((int64_t *)(void *)b->data)[row] = INT64_MIN; /* NumPy's NaT */
                break;
            case LA_T_DATE:
                ((int32_t *)(void *)b->data)[row] = INT32_MIN;
                break;
            default:
                if (!is_text(type)) {
                    memset(b->data + row * width_of(type), 0, width_of(type));
                }
            }
        }
    }
}
