/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow C streams, through capsules named "arrow_array_stream" (the Arrow PyCapsule
 * interface): how DuckDB, Polars, pandas and pyarrow hand rows over without a library.
 *
 * Out: a stream of one record array over a table that it keeps alive; it touches no Python
 * object, so consumers may read and release it in any thread.
 * In: one record array is borrowed as it is; several are joined into a table, since an append
 * is one call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arrow_abi.h"
#include "state.h"

#define STREAM_CAPSULE "arrow_array_stream"

/* ----------------------------------------------------------------------- out */

typedef struct exported {
    la_table *table;
    bool given;
    la_error err;
} exported;

static void
drop_schema(struct ArrowSchema *schema)
{
    if (schema->release != NULL) {
        schema->release(schema);
    }
}

static void
drop_array(struct ArrowArray *array)
{
    if (array->release != NULL) {
        array->release(array);
    }
}

static int
failed_as(const la_error *err)
{
    return err->status == LA_NOMEM ? ENOMEM : EIO;
}

static int
stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    exported *self = stream->private_data;
    la_chunk none = *pyla_table_chunk(self->table);
    none.rows = 0;
    struct ArrowArray array = {0};
    if (la_chunk_to_arrow(la_env_system(), &none, out, &array, &self->err) != LA_OK) {
        return failed_as(&self->err);
    }
    drop_array(&array);
    return 0;
}

static int
stream_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    exported *self = stream->private_data;
    memset(out, 0, sizeof *out);
    if (self->given) {
        return 0; /* released array: the end */
    }
    struct ArrowSchema schema = {0};
    if (la_chunk_to_arrow(la_env_system(), pyla_table_chunk(self->table), &schema, out,
                          &self->err) != LA_OK) {
        return failed_as(&self->err);
    }
    drop_schema(&schema);
    self->given = true;
    return 0;
}

static const char *
stream_error(struct ArrowArrayStream *stream)
{
    exported *self = stream->private_data;
    return self->err.message[0] == '\0' ? NULL : self->err.message;
}

static void
stream_release(struct ArrowArrayStream *stream)
{
    exported *self = stream->private_data;
    pyla_table_release(self->table);
    free(self);
    stream->release = NULL;
}

static void
capsule_free(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM_CAPSULE);
    if (stream->release != NULL) {
        stream->release(stream);
    }
    free(stream);
}

PyObject *
pyla_arrow_export(const la_module *module, la_table *table)
{
    (void)module;
    exported *self = calloc(1, sizeof *self);
    struct ArrowArrayStream *stream = calloc(1, sizeof *stream);
    if (self == NULL || stream == NULL) {
        free(self);
        free(stream);
        return PyErr_NoMemory();
    }
    self->table = pyla_table_retain(table);
    *stream = (struct ArrowArrayStream){
        .get_schema = stream_schema,
        .get_next = stream_next,
        .get_last_error = stream_error,
        .release = stream_release,
        .private_data = self,
    };
    PyObject *capsule = PyCapsule_New(stream, STREAM_CAPSULE, capsule_free);
    if (capsule == NULL) {
        stream->release(stream);
        free(stream);
    }
    return capsule;
}

/* ------------------------------------------------------------------------ in */

static PyObject *
stream_failed(const la_module *module, struct ArrowArrayStream *stream, int code)
{
    const char *text = stream->get_last_error(stream);
    return pyla_fail(module, LA_INVALID, NULL,
                     "could not read the Arrow stream: %.300s",
                     text == NULL ? strerror(code) : text);
}

/* Every column is a field, and every field that must be there is. */
static int
check_names(const la_module *module, const la_schema *schema,
            const struct ArrowSchema *arrow)
{
    if (strcmp(arrow->format, "+s") != 0) {
        pyla_fail(
            module, LA_TYPE, NULL,
            "could not append an Arrow stream of format \"%.40s\": rows are structs",
            arrow->format);
        return -1;
    }
    uint32_t count = la_schema_count(schema);
    bool *found = PyMem_Calloc(count + 1u, sizeof *found);
    if (found == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int failed = 0;
    for (int64_t i = 0; i < arrow->n_children && !failed; i++) {
        const char *name = arrow->children[i]->name;
        int32_t column = la_schema_find(schema, name == NULL ? "" : name);
        if (column < 0) {
            pyla_fail(module, LA_NOT_FOUND,
                      "drop or rename the column, or add the field to the schema",
                      "could not append column \"%.128s\": no such field in the schema",
                      name == NULL ? "" : name);
            failed = -1;
        }
        else if (found[column]) {
            pyla_fail(module, LA_INVALID, NULL,
                      "could not append column \"%.128s\": it is there twice", name);
            failed = -1;
        }
        else {
            found[column] = true;
        }
    }
    for (uint32_t i = 0; i < count && !failed; i++) {
        const la_field *field = la_schema_field(schema, i);
        if (!found[i] && !field->nullable) {
            pyla_fail(module, LA_INVALID, NULL,
                      "could not append: field \"%s\" is missing and not nullable",
                      field->name);
            failed = -1;
        }
    }
    PyMem_Free(found);
    return failed;
}

void
pyla_arrow_rows_fini(la_arrow_rows *rows)
{
    la_chunk_free(rows->borrowed);
    pyla_table_release(rows->joined);
    if (rows->array != NULL) {
        drop_array(rows->array);
        free(rows->array);
    }
    *rows = (la_arrow_rows){0};
}

/* Takes `array` as the next piece of `out`. */
static int
take_array(const la_module *module, const la_schema *schema,
           const struct ArrowSchema *arrow, struct ArrowArray *array,
           la_arrow_rows *out)
{
    la_error err;
    la_chunk *chunk;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status =
        la_chunk_from_arrow(la_env_system(), schema, arrow, array, &chunk, &err);
    Py_END_ALLOW_THREADS if (status != LA_OK)
    {
        drop_array(array);
        free(array);
        pyla_raise(module, &err);
        return -1;
    }
    if (out->borrowed == NULL && out->joined == NULL) {
        out->borrowed = chunk;
        out->array = array;
        out->chunk = chunk;
        return 0;
    }
    bool added = true;
    Py_BEGIN_ALLOW_THREADS if (out->joined == NULL)
    {
        out->joined = pyla_table_new(schema);
        added = out->joined != NULL && pyla_table_add(out->joined, out->borrowed);
        la_chunk_free(out->borrowed);
        drop_array(out->array);
        free(out->array);
        out->borrowed = NULL;
        out->array = NULL;
    }
    added = added && pyla_table_add(out->joined, chunk);
    la_chunk_free(chunk);
    drop_array(array);
    free(array);
    Py_END_ALLOW_THREADS if (!added)
    {
        PyErr_NoMemory();
        return -1;
    }
    out->chunk = pyla_table_chunk(out->joined);
    return 0;
}

static int
next_array(const la_module *module, struct ArrowArrayStream *stream,
           struct ArrowArray **out)
{
    struct ArrowArray *array = calloc(1, sizeof *array);
    if (array == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    /* The producer may need the GIL (a Python generator): it takes it itself. */
    int code;
    Py_BEGIN_ALLOW_THREADS code = stream->get_next(stream, array);
    Py_END_ALLOW_THREADS if (code != 0)
    {
        free(array);
        stream_failed(module, stream, code);
        return -1;
    }
    if (array->release == NULL) {
        free(array);
        array = NULL;
    }
    *out = array;
    return 0;
}

int
pyla_arrow_import(const la_module *module, const la_schema *schema, PyObject *capsule,
                  la_arrow_rows *out)
{
    *out = (la_arrow_rows){0};
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, STREAM_CAPSULE);
    if (stream == NULL) {
        return -1;
    }
    if (stream->release == NULL) {
        PyErr_SetString(PyExc_ValueError, "the Arrow stream was read before");
        return -1;
    }
    struct ArrowSchema arrow = {0};
    int code;
    Py_BEGIN_ALLOW_THREADS code = stream->get_schema(stream, &arrow);
    Py_END_ALLOW_THREADS if (code != 0)
    {
        stream_failed(module, stream, code);
        return -1;
    }
    int failed = check_names(module, schema, &arrow);
    while (!failed) {
        struct ArrowArray *array = NULL;
        failed = next_array(module, stream, &array);
        if (failed || array == NULL) {
            break;
        }
        if (array->length == 0) {
            drop_array(array);
            free(array);
            continue;
        }
        failed = take_array(module, schema, &arrow, array, out);
        if (!failed && PyErr_CheckSignals() < 0) {
            failed = -1;
        }
    }
    drop_schema(&arrow);
    if (failed) {
        pyla_arrow_rows_fini(out);
    }
    return failed;
}
