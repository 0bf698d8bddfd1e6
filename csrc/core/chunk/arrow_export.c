/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks as Arrow arrays, through the C data interface. Everything is copied: what goes
 * out does not depend on the chunk, only on its la_env.
 *
 *   bool b | i32 i | i64 l | u64 L | f32 f | f64 g | time tsu:UTC | date tdD
 *   decimal d:18,S | cat dictionary<i, u> | str u | bytes z | unread columns n
 *
 * Invariants
 *  1. Each node of either tree is one allocation, its private_data, freed by its own
 *     release; a root's allocation also holds the structs of its children.
 *  2. A release first releases what was not moved away (release != NULL), then itself.
 *  3. On failure nothing is left allocated and the caller's structs have release
 *     NULL. */
#include "chunk/arrow.h"

#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "chunk/chunk.h"

#define ALIGN 64u /* what the specification recommends for buffers */

/* At the start of every node's allocation. */
typedef struct node {
    const la_env *env;
    size_t size;
    const void *buffers[3];
} node;

static size_t
align_up(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static node *
node_new(const la_env *env, size_t payload, uint8_t **at)
{
    size_t size = align_up(sizeof(node)) + payload + ALIGN;
    node *made = la_alloc(env, size);
    if (made == NULL) {
        return NULL;
    }
    memset(made, 0, align_up(sizeof(node)));
    made->env = env;
    made->size = size;
    *at = (uint8_t *)made + align_up(sizeof(node));
    return made;
}

static void
node_free(node *gone)
{
    la_dealloc(gone->env, gone, gone->size);
}

static void
release_schema(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release != NULL) {
            schema->children[i]->release(schema->children[i]);
        }
    }
    if (schema->dictionary != NULL && schema->dictionary->release != NULL) {
        schema->dictionary->release(schema->dictionary);
    }
    node *gone = schema->private_data;
    schema->release = NULL;
    node_free(gone);
}

static void
release_array(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release != NULL) {
            array->children[i]->release(array->children[i]);
        }
    }
    if (array->dictionary != NULL && array->dictionary->release != NULL) {
        array->dictionary->release(array->dictionary);
    }
    node *gone = array->private_data;
    array->release = NULL;
    node_free(gone);
}

/* ------------------------------------------------------------------------- schema */

static void
format_of(const la_column *column, char *text, size_t size)
{
    static const char *const formats[LA_T_COUNT] = {
        [LA_T_NULL] = "n", [LA_T_BOOL] = "b",       [LA_T_I32] = "i",
        [LA_T_I64] = "l",  [LA_T_U64] = "L",        [LA_T_F32] = "f",
        [LA_T_F64] = "g",  [LA_T_TIME] = "tsu:UTC", [LA_T_DATE] = "tdD",
        [LA_T_CAT] = "i",  [LA_T_STR] = "u",        [LA_T_BYTES] = "z",
        [LA_T_JSON] = "n",
    };
    if (column->type == LA_T_DECIMAL) {
        (void)snprintf(text, size, "d:18,%u", column->scale);
    }
    else {
        (void)snprintf(text, size, "%s", formats[column->type]);
    }
}

/* A leaf with room for `extra` structs (children, a dictionary) behind its texts. */
static la_status
schema_node(const la_env *env, const char *format, const char *name, int64_t flags,
            size_t extra, struct ArrowSchema *out, uint8_t **extra_at, la_error *err)
{
    uint8_t *at;
    size_t format_size = strlen(format) + 1;
    size_t name_size = strlen(name) + 1;
    node *made = node_new(env, align_up(format_size + name_size) + extra, &at);
    if (made == NULL) {
        return la_fail_nomem(err, extra);
    }
    memcpy(at, format, format_size);
    memcpy(at + format_size, name, name_size);
    memset(out, 0, sizeof *out);
    out->format = (const char *)at;
    out->name = (const char *)at + format_size;
    out->flags = flags;
    out->release = release_schema;
    out->private_data = made;
    *extra_at = at + align_up(format_size + name_size);
    memset(*extra_at, 0, extra);
    return LA_OK;
}

static la_status
column_schema(const la_env *env, const la_chunk *chunk, uint32_t column,
              struct ArrowSchema *out, la_error *err)
{
    const la_field *field = la_schema_field(chunk->schema, column);
    const la_column *from = &chunk->columns[column];
    bool cat = from->type == LA_T_CAT;
    bool nullable = field->nullable || from->type == LA_T_NULL;
    char format[16];
    uint8_t *extra;
    format_of(from, format, sizeof format);
    la_status status =
        schema_node(env, format, field->name, nullable ? ARROW_FLAG_NULLABLE : 0,
                    cat ? sizeof(struct ArrowSchema) : 0, out, &extra, err);
    if (status != LA_OK || !cat) {
        return status;
    }
    uint8_t *none;
    out->dictionary = (struct ArrowSchema *)(void *)extra;
    status = schema_node(env, "u", "", 0, 0, out->dictionary, &none, err);
    if (status != LA_OK) {
        out->release(out);
    }
    return status;
}

static la_status
table_schema(const la_env *env, const la_chunk *chunk, struct ArrowSchema *out,
             la_error *err)
{
    uint32_t count = chunk->column_count;
    size_t pointers = align_up(count * sizeof(struct ArrowSchema *));
    uint8_t *extra;
    la_status status =
        schema_node(env, "+s", "", 0, pointers + count * sizeof(struct ArrowSchema),
                    out, &extra, err);
    if (status != LA_OK) {
        return status;
    }
    out->children = (struct ArrowSchema **)(void *)extra;
    struct ArrowSchema *children = (struct ArrowSchema *)(void *)(extra + pointers);
    for (uint32_t c = 0; status == LA_OK && c < count; c++) {
        out->children[c] = &children[c];
        out->n_children = c + 1;
        status = column_schema(env, chunk, c, &children[c], err);
        children[c].release = status == LA_OK ? children[c].release : NULL;
    }
    if (status != LA_OK) {
        out->release(out);
    }
    return status;
}

/* -------------------------------------------------------------------------- array */

static size_t
bits_size(uint32_t rows)
{
    return align_up(((size_t)rows + 7) / 8);
}

/* Packs bytes to bits; returns how many are 0. */
static int64_t
put_bits(const uint8_t *bytes, uint32_t rows, uint8_t *bits)
{
    int64_t zeros = 0;
    memset(bits, 0, bits_size(rows));
    for (uint32_t i = 0; i < rows; i++) {
        unsigned bit = bytes[i] != 0;
        bits[i / 8] = (uint8_t)(bits[i / 8] | bit << (i % 8));
        zeros += bit == 0;
    }
    return zeros;
}

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES;
}

static size_t
data_size(const la_column *column, uint32_t rows)
{
    switch (column->type) {
    case LA_T_BOOL:
        return bits_size(rows);
    case LA_T_DECIMAL:
        return (size_t)rows * 16;
    case LA_T_STR:
    case LA_T_BYTES:
        return column->offsets[rows] - column->offsets[0];
    default:
        return rows * la_type_size(column->type);
    }
}

static void
put_data(const la_column *column, uint32_t rows, uint8_t *to)
{
    switch (column->type) {
    case LA_T_BOOL:
        (void)put_bits(column->data, rows, to);
        break;
    case LA_T_DECIMAL:
        for (uint32_t i = 0; i < rows; i++) {
            __int128 wide = ((const int64_t *)column->data)[i];
            memcpy(to + (size_t)i * 16, &wide, sizeof wide);
        }
        break;
    case LA_T_STR:
    case LA_T_BYTES: {
        size_t size = data_size(column, rows);
        if (size > 0) {
            memcpy(to, (const uint8_t *)column->data + column->offsets[0], size);
        }
        break;
    }
    default:
        if (rows > 0) {
            memcpy(to, column->data, data_size(column, rows));
        }
        break;
    }
}

/* One leaf: validity, offsets for text, data, and room for a dictionary's struct. */
static la_status
leaf_array(const la_env *env, const la_column *column, uint32_t rows,
           struct ArrowArray *out, la_error *err)
{
    memset(out, 0, sizeof *out);
    bool text = is_text(column->type);
    bool nothing = column->type == LA_T_NULL;
    if (text && data_size(column, rows) > INT32_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not export %u rows: their text is larger than 2 GiB",
                       rows);
    }
    size_t mask = column->valid == NULL ? 0 : bits_size(rows);
    size_t ends = text ? align_up(((size_t)rows + 1) * sizeof(int32_t)) : 0;
    size_t data = nothing ? 0 : align_up(data_size(column, rows));
    uint8_t *at;
    node *made = node_new(env, mask + ends + data + sizeof(struct ArrowArray), &at);
    if (made == NULL) {
        return la_fail_nomem(err, data);
    }
    out->length = rows;
    out->null_count = nothing ? rows : 0;
    out->n_buffers = nothing ? 0 : text ? 3 : 2;
    out->buffers = made->buffers;
    out->release = release_array;
    out->private_data = made;
    if (nothing) {
        return LA_OK;
    }
    if (mask > 0) {
        out->null_count = put_bits(column->valid, rows, at);
        made->buffers[0] = at;
    }
    if (text) {
        int32_t *offsets = (int32_t *)(void *)(at + mask);
        for (uint32_t i = 0; i <= rows; i++) {
            offsets[i] = (int32_t)(column->offsets[i] - column->offsets[0]);
        }
        made->buffers[1] = offsets;
    }
    made->buffers[text ? 2 : 1] = at + mask + ends;
    put_data(column, rows, at + mask + ends);
    if (column->type == LA_T_CAT) {
        out->dictionary = (struct ArrowArray *)(void *)(at + mask + ends + data);
        memset(out->dictionary, 0, sizeof *out->dictionary);
    }
    return LA_OK;
}

/* The dictionary as an array of text. */
static la_status
dictionary_array(const la_env *env, const la_dict *dict, struct ArrowArray *out,
                 la_error *err)
{
    uint32_t count = dict == NULL ? 0 : la_dict_count(dict);
    size_t size, total = 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)la_dict_get(dict, i, &size);
        total += size;
    }
    if (total > INT32_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not export a dictionary of %zu bytes: at most 2 GiB are "
                       "possible",
                       total);
    }
    size_t ends = align_up(((size_t)count + 1) * sizeof(int32_t));
    uint8_t *at;
    node *made = node_new(env, ends + total, &at);
    if (made == NULL) {
        return la_fail_nomem(err, ends + total);
    }
    int32_t *offsets = (int32_t *)(void *)at;
    uint8_t *heap = at + ends;
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *text = la_dict_get(dict, i, &size);
        if (size > 0) {
            memcpy(heap + offsets[i], text, size);
        }
        offsets[i + 1] = offsets[i] + (int32_t)size;
    }
    made->buffers[1] = offsets;
    made->buffers[2] = heap;
    memset(out, 0, sizeof *out);
    out->length = count;
    out->n_buffers = 3;
    out->buffers = made->buffers;
    out->release = release_array;
    out->private_data = made;
    return LA_OK;
}

static la_status
column_array(const la_env *env, const la_column *column, uint32_t rows,
             struct ArrowArray *out, la_error *err)
{
    la_status status = leaf_array(env, column, rows, out, err);
    if (status == LA_OK && out->dictionary != NULL) {
        status = dictionary_array(env, column->dict, out->dictionary, err);
        if (status != LA_OK) {
            out->release(out);
        }
    }
    return status;
}

static la_status
table_array(const la_env *env, const la_chunk *chunk, struct ArrowArray *out,
            la_error *err)
{
    uint32_t count = chunk->column_count;
    size_t pointers = align_up(count * sizeof(struct ArrowArray *));
    size_t payload = pointers + count * sizeof(struct ArrowArray);
    uint8_t *at;
    node *made = node_new(env, payload, &at);
    if (made == NULL) {
        return la_fail_nomem(err, payload);
    }
    memset(out, 0, sizeof *out);
    memset(at, 0, payload);
    out->length = chunk->rows;
    out->n_buffers = 1;
    out->buffers = made->buffers;
    out->release = release_array;
    out->private_data = made;
    out->children = (struct ArrowArray **)(void *)at;
    struct ArrowArray *children = (struct ArrowArray *)(void *)(at + pointers);
    la_status status = LA_OK;
    for (uint32_t c = 0; status == LA_OK && c < count; c++) {
        out->children[c] = &children[c];
        out->n_children = c + 1;
        status = column_array(env, &chunk->columns[c], chunk->rows, &children[c], err);
        children[c].release = status == LA_OK ? children[c].release : NULL;
    }
    if (status != LA_OK) {
        out->release(out);
    }
    return status;
}

la_status
la_chunk_to_arrow(const la_env *env, const la_chunk *chunk,
                  struct ArrowSchema *arrow_schema, struct ArrowArray *array,
                  la_error *err)
{
    struct ArrowSchema schema;
    struct ArrowArray data;
    arrow_schema->release = NULL;
    array->release = NULL;
    la_status status = table_schema(env, chunk, &schema, err);
    if (status != LA_OK) {
        return status;
    }
    status = table_array(env, chunk, &data, err);
    if (status != LA_OK) {
        schema.release(&schema);
        return status;
    }
    *arrow_schema = schema;
    *array = data;
    return LA_OK;
}
