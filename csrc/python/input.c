/* SPDX-License-Identifier: Apache-2.0 */
/* Python columns and row dicts to rows for the core.
 *
 *   array of the physical type  -> borrowed, zero-copy; input.held keeps it alive
 *   StringDType array           -> heap and offsets of the input
 *   list, tuple, object array   -> cell by cell, by the field's type
 *   list of dicts               -> the same, each cell looked up by name
 *
 * What cannot be read (cell.c) makes its row bad, with a reason; the caller raises for the
 * lowest one or sends them to quarantine. */
#include "cell.h"

#include <string.h>

/* ------------------------------------------------------------------ life */

int
pyla_input_init(la_input *input, const la_schema *schema, Py_ssize_t rows,
                const la_module *module)
{
    *input = (la_input){.schema = schema};
    if (rows < 0 || rows >= (Py_ssize_t)UINT32_MAX) {
        pyla_fail(module, LA_INVALID, "append in several calls",
                  "could not append %zd rows at once: the limit is %u", rows,
                  UINT32_MAX - 1);
        return -1;
    }
    uint32_t count = la_schema_count(schema);
    input->bad_first = UINT32_MAX;
    input->columns = PyMem_Calloc(count + 1u, sizeof *input->columns);
    input->held = PyList_New(0);
    input->reasons = PyDict_New();
    if (input->columns == NULL || input->held == NULL || input->reasons == NULL) {
        pyla_input_fini(input);
        PyErr_NoMemory();
        return -1;
    }
    input->chunk = (la_chunk){
        .schema = schema,
        .rows = (uint32_t)rows,
        .column_count = count,
        .columns = input->columns,
    };
    return 0;
}

void
pyla_input_fini(la_input *input)
{
    for (uint32_t i = 0; i < input->block_count; i++) {
        PyMem_Free(input->blocks[i]);
    }
    PyMem_Free(input->blocks);
    PyMem_Free(input->columns);
    Py_XDECREF(input->held);
    Py_XDECREF(input->reasons);
    *input = (la_input){0};
}

void *
pyla_input_alloc(la_input *input, size_t size)
{
    if (input->block_count == input->block_capacity) {
        uint32_t capacity = input->block_capacity * 2 + 16;
        void **blocks = PyMem_Realloc(input->blocks, capacity * sizeof *blocks);
        if (blocks == NULL) {
            return PyErr_NoMemory();
        }
        input->blocks = blocks;
        input->block_capacity = capacity;
    }
    void *block = PyMem_Calloc(1, size + 1);
    if (block == NULL) {
        return PyErr_NoMemory();
    }
    input->blocks[input->block_count++] = block;
    return block;
}

/* The block's last pointer after a realloc of it. */
static void
replace_block(la_input *input, void *from, void *to)
{
    for (uint32_t i = input->block_count; i-- > 0;) {
        if (input->blocks[i] == from) {
            input->blocks[i] = to;
            return;
        }
    }
}

int
pyla_input_bad(la_input *input, uint32_t row, la_status status, PyObject *reason)
{
    PyObject *key = PyLong_FromUnsignedLong(row);
    if (key == NULL) {
        return -1;
    }
    PyObject *known = PyDict_GetItemWithError(input->reasons, key); /* borrowed */
    int failed = PyErr_Occurred() != NULL;
    if (!failed && known != NULL && PyUnicode_READ_CHAR(known, 0) != 'f') {
        /* A reason about the whole row stands alone; those about fields are joined. */
    }
    else if (!failed && known != NULL) {
        PyObject *both = PyUnicode_FromFormat("%U; %U", known, reason);
        failed = both == NULL || PyDict_SetItem(input->reasons, key, both) < 0;
        Py_XDECREF(both);
    }
    else if (!failed) {
        failed = PyDict_SetItem(input->reasons, key, reason) < 0;
    }
    Py_DECREF(key);
    if (row < input->bad_first) {
        input->bad_first = row;
        input->bad_status = status;
    }
    return failed ? -1 : 0;
}

/* ------------------------------------------------------------ writing a column */

typedef struct writer {
    la_input *input;
    const la_field *field;
    la_column *column;
    uint8_t *data;
    uint32_t *offsets;
    uint8_t *valid;
    size_t heap_size, heap_capacity;
} writer;

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES || type == LA_T_CAT ||
           type == LA_T_JSON;
}

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
    default:
        return 8;
    }
}

static int
writer_init(writer *w, la_input *input, uint32_t column)
{
    *w = (writer){
        .input = input,
        .field = la_schema_field(input->schema, column),
        .column = &input->columns[column],
    };
    size_t rows = input->chunk.rows;
    bool text = is_text(w->field->type);
    if (text) {
        w->offsets = pyla_input_alloc(input, (rows + 1) * sizeof *w->offsets);
        w->heap_capacity = rows * 8 + 64;
    }
    w->data = pyla_input_alloc(input, text ? w->heap_capacity
                                           : rows * width_of(w->field->type));
    if (w->data == NULL || (text && w->offsets == NULL)) {
        return -1;
    }
    return 0;
}

static void
writer_done(writer *w)
{
    *w->column = (la_column){
        .type = w->field->type == LA_T_CAT ? LA_T_STR : w->field->type,
        .scale = w->field->scale,
        .data = w->data,
        .offsets = w->offsets,
        .valid = w->valid,
    };
}

static int
write_null(writer *w, uint32_t row)
{
    if (w->valid == NULL) {
        w->valid = pyla_input_alloc(w->input, w->input->chunk.rows);
        if (w->valid == NULL) {
            return -1;
        }
        memset(w->valid, 1, w->input->chunk.rows);
    }
    w->valid[row] = 0;
    if (w->offsets != NULL) {
        w->offsets[row + 1] = (uint32_t)w->heap_size;
    }
    return 0;
}

static int
write_text(writer *w, uint32_t row, const char *text, size_t size)
{
    if (w->heap_size + size >= UINT32_MAX) {
        PyErr_Format(
            PyExc_ValueError,
            "could not append field \"%s\": its texts take 4 GiB or more; append "
            "in several calls",
            w->field->name);
        return -1;
    }
    if (w->heap_size + size > w->heap_capacity) {
        size_t capacity = (w->heap_size + size) * 2;
        uint8_t *data = PyMem_Realloc(w->data, capacity);
        if (data == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        replace_block(w->input, w->data, data);
        w->data = data;
        w->heap_capacity = capacity;
    }
    memcpy(w->data + w->heap_size, text, size);
    w->heap_size += size;
    w->offsets[row + 1] = (uint32_t)w->heap_size;
    return 0;
}

static int
write_bad(writer *w, uint32_t row, la_status status, const char *reason)
{
    PyObject *text = PyUnicode_FromFormat("field \"%s\": %s", w->field->name, reason);
    if (text == NULL) {
        return -1;
    }
    int failed = pyla_input_bad(w->input, row, status, text);
    Py_DECREF(text);
    if (failed == 0 && w->offsets != NULL) {
        w->offsets[row + 1] = (uint32_t)w->heap_size;
    }
    return failed;
}

static int
write_cell(writer *w, const la_module *module, uint32_t row, PyObject *value)
{
    la_cell c; /* `reason` is large: not cleared for every cell */
    c.held = NULL;
    la_outcome done = pyla_cell_read(module, w->field, value, &c);
    if (done == CELL_ERROR) {
        return -1;
    }
    if (done == CELL_NULL) {
        return write_null(w, row);
    }
    if (done == CELL_BAD) {
        return write_bad(w, row, c.status, c.reason);
    }
    switch (w->field->type) {
    case LA_T_BOOL:
        w->data[row] = (uint8_t)c.integer;
        return 0;
    case LA_T_I32:
    case LA_T_DATE:
        ((int32_t *)(void *)w->data)[row] = (int32_t)c.integer;
        return 0;
    case LA_T_F32:
        ((float *)(void *)w->data)[row] = (float)c.real;
        return 0;
    case LA_T_F64:
        ((double *)(void *)w->data)[row] = c.real;
        return 0;
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        ((int64_t *)(void *)w->data)[row] = c.integer;
        return 0;
    default: {
        int failed = write_text(w, row, c.text, (size_t)c.size);
        Py_XDECREF(c.held);
        return failed;
    }
    }
}

/* --------------------------------------------------------------- whole columns */

/* Masked rows: null, or bad where the field takes none. */
static int
mark_nulls(writer *w, const uint8_t *mask)
{
    for (uint32_t row = 0; row < w->input->chunk.rows; row++) {
        if (mask[row] == 0) {
            continue;
        }
        int failed =
            w->field->nullable
                ? write_null(w, row)
                : write_bad(w, row, LA_INVALID, "null, but the field is not nullable");
        if (failed) {
            return -1;
        }
    }
    return 0;
}

static bool
is_physical(const la_field *field, int type)
{
    switch (field->type) {
    case LA_T_BOOL:
        return type == NPY_BOOL;
    case LA_T_I32:
    case LA_T_DATE:
        return type == NPY_INT32;
    case LA_T_U64:
        return PyTypeNum_ISUNSIGNED(type) &&
               (type == NPY_UINT64 || (sizeof(long) == 8 && type == NPY_ULONG) ||
                type == NPY_ULONGLONG);
    case LA_T_F32:
        return type == NPY_FLOAT;
    case LA_T_F64:
        return type == NPY_DOUBLE;
    case LA_T_I64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        return type == NPY_INT64 || type == NPY_LONGLONG;
    default:
        return false;
    }
}

/* Borrow the array's memory where it is laid out as the core reads it, else a copy of it. */
static int
borrow_array(writer *w, PyObject *values)
{
    PyArrayObject *given = (PyArrayObject *)values;
    if (!is_physical(w->field, PyArray_TYPE(given))) {
        PyErr_Format(PyExc_TypeError, "field \"%s\": %R is not its physical type",
                     w->field->name, (PyObject *)PyArray_DESCR(given));
        return -1;
    }
    PyObject *array = PyArray_FromArray(
        given, NULL, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED);
    if (array == NULL) {
        return -1;
    }
    int failed = PyList_Append(w->input->held, array);
    w->data = PyArray_DATA((PyArrayObject *)array);
    Py_DECREF(array);
    return failed;
}

static int
write_string_array(writer *w, PyArrayObject *array, const uint8_t *mask)
{
    PyArray_StringDTypeObject *dtype =
        (PyArray_StringDTypeObject *)PyArray_DESCR(array);
    const char *at = PyArray_BYTES(array);
    npy_intp stride = PyArray_STRIDE(array, 0);
    int failed = 0;
    npy_string_allocator *allocator = NpyString_acquire_allocator(dtype);
    for (uint32_t row = 0; row < w->input->chunk.rows && !failed; row++, at += stride) {
        npy_static_string text = {0, NULL};
        int null = NpyString_load(
            allocator, (const npy_packed_static_string *)(const void *)at, &text);
        if (null < 0) {
            PyErr_NoMemory();
            failed = -1;
        }
        else if (null == 1 || (mask != NULL && mask[row])) {
            failed = w->field->nullable
                         ? write_null(w, row)
                         : write_bad(w, row, LA_INVALID,
                                     "null, but the field is not nullable");
        }
        else {
            failed = write_text(w, row, text.buf, text.size);
        }
    }
    NpyString_release_allocator(allocator);
    return failed;
}

static int
write_sequence(writer *w, const la_module *module, PyObject *values,
               const uint8_t *mask)
{
    PyObject *fast = PySequence_Fast(values, "a column is an array or a list");
    if (fast == NULL) {
        return -1;
    }
    int failed = 0;
    for (uint32_t row = 0; row < w->input->chunk.rows && !failed; row++) {
        if ((Py_ssize_t)row >= PySequence_Fast_GET_SIZE(fast)) {
            PyErr_SetString(PyExc_RuntimeError,
                            "a column changed its length while read");
            failed = -1;
            break;
        }
        bool null = mask != NULL && mask[row];
        PyObject *value =
            null ? Py_None : PySequence_Fast_GET_ITEM(fast, (Py_ssize_t)row);
        Py_INCREF(value);
        failed = write_cell(w, module, row, value);
        Py_DECREF(value);
    }
    Py_DECREF(fast);
    return failed;
}

static const uint8_t *
mask_bytes(la_input *input, PyObject *mask)
{
    PyObject *array = PyArray_FROMANY(mask, NPY_BOOL, 1, 1, NPY_ARRAY_IN_ARRAY);
    if (array == NULL) {
        return NULL;
    }
    if (PyArray_SIZE((PyArrayObject *)array) != (npy_intp)input->chunk.rows ||
        PyList_Append(input->held, array) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError,
                            "a mask has another length than its column");
        }
        Py_DECREF(array);
        return NULL;
    }
    const uint8_t *bytes = PyArray_DATA((PyArrayObject *)array);
    Py_DECREF(array); /* held keeps it */
    return bytes;
}

int
pyla_input_column(la_input *input, const la_module *module, uint32_t column,
                  PyObject *values, PyObject *mask, bool physical)
{
    const la_field *field = la_schema_field(input->schema, column);
    const uint8_t *null = NULL;
    if (mask != Py_None && (null = mask_bytes(input, mask)) == NULL) {
        return -1;
    }
    writer w;
    if (physical) { /* no buffer of our own */
        w = (writer){.input = input, .field = field, .column = &input->columns[column]};
        if (borrow_array(&w, values) < 0 ||
            (null != NULL && mark_nulls(&w, null) < 0)) {
            return -1;
        }
        writer_done(&w);
        return 0;
    }
    if (writer_init(&w, input, column) < 0) {
        return -1;
    }
    int failed = 0;
    if (values == Py_None) {
        for (uint32_t row = 0; row < input->chunk.rows && !failed; row++) {
            failed = write_cell(&w, module, row, Py_None);
        }
    }
    else if (PyArray_Check(values) &&
             PyArray_TYPE((PyArrayObject *)values) == NPY_VSTRING &&
             is_text(field->type) && field->type != LA_T_BYTES) {
        failed = write_string_array(&w, (PyArrayObject *)values, null);
    }
    else {
        failed = write_sequence(&w, module, values, null);
    }
    if (!failed) {
        writer_done(&w);
    }
    return failed;
}

/* ------------------------------------------------------------------ row dicts */

static int
unknown_field(la_input *input, const la_module *module, PyObject *row, uint32_t at)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(row, &position, &key, &value)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
        PyErr_Clear();
        if (name != NULL && la_schema_find(input->schema, name) >= 0) {
            continue;
        }
        PyObject *reason = PyUnicode_FromFormat("no field %R in the schema", key);
        int failed =
            reason == NULL ? -1 : pyla_input_bad(input, at, LA_NOT_FOUND, reason);
        Py_XDECREF(reason);
        return failed;
    }
    (void)module;
    return 0;
}

int
pyla_input_rows(la_input *input, const la_module *module, PyObject *rows)
{
    uint32_t count = input->chunk.column_count, total = input->chunk.rows;
    uint32_t *found = pyla_input_alloc(input, (size_t)total * sizeof *found);
    if (found == NULL) {
        return -1;
    }
    for (uint32_t column = 0; column < count; column++) {
        writer w;
        if (writer_init(&w, input, column) < 0) {
            return -1;
        }
        PyObject *name = PyUnicode_InternFromString(w.field->name);
        int failed = name == NULL ? -1 : 0;
        for (uint32_t row = 0; row < total && !failed; row++) {
            PyObject *dict = PyList_GET_ITEM(rows, (Py_ssize_t)row);
            if (!PyDict_Check(dict)) {
                PyErr_Format(PyExc_TypeError, "row %u is not a dict but %R",
                             (unsigned)row, (PyObject *)Py_TYPE(dict));
                failed = -1;
                break;
            }
            PyObject *value = PyDict_GetItemWithError(dict, name); /* borrowed */
            if (value != NULL) {
                found[row]++;
                Py_INCREF(value);
                failed = write_cell(&w, module, row, value);
                Py_DECREF(value);
            }
            else if (PyErr_Occurred()) {
                failed = -1;
            }
            else if (w.field->nullable) {
                failed = write_null(&w, row);
            }
            else {
                failed = write_bad(&w, row, LA_INVALID, "missing");
            }
        }
        Py_XDECREF(name);
        if (failed) {
            return -1;
        }
        writer_done(&w);
    }
    for (uint32_t row = 0; row < total; row++) {
        PyObject *dict = PyList_GET_ITEM(rows, (Py_ssize_t)row);
        if ((Py_ssize_t)found[row] != PyDict_GET_SIZE(dict) &&
            unknown_field(input, module, dict, row) < 0) {
            return -1;
        }
    }
    return 0;
}

/* --------------------------------------------------------- raw text, reasons */

int
pyla_input_text(la_input *input, PyObject *texts, la_column *out)
{
    uint32_t rows = input->chunk.rows;
    uint32_t *offsets = pyla_input_alloc(input, ((size_t)rows + 1) * sizeof *offsets);
    if (offsets == NULL) {
        return -1;
    }
    size_t size = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        char *heap = pass == 0 ? NULL : pyla_input_alloc(input, size);
        if (pass == 1 && heap == NULL) {
            return -1;
        }
        size = 0;
        for (uint32_t row = 0; row < rows; row++) {
            PyObject *key = PyLong_FromUnsignedLong(row);
            PyObject *text = key == NULL ? NULL : PyDict_GetItemWithError(texts, key);
            Py_XDECREF(key);
            Py_ssize_t bytes = 0;
            const char *at = NULL;
            if (text != NULL && (at = PyUnicode_AsUTF8AndSize(text, &bytes)) == NULL) {
                return -1;
            }
            if (text == NULL && PyErr_Occurred()) {
                return -1;
            }
            if (heap != NULL && bytes > 0) {
                memcpy(heap + size, at, (size_t)bytes);
            }
            size += (size_t)bytes;
            if (size >= UINT32_MAX) {
                PyErr_SetString(PyExc_ValueError, "bad rows take 4 GiB of text");
                return -1;
            }
            offsets[row + 1] = (uint32_t)size;
        }
        out->data = heap;
    }
    out->type = LA_T_STR;
    out->offsets = offsets;
    out->valid = NULL;
    return 0;
}
