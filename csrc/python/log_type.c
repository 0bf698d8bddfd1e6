/* SPDX-License-Identifier: Apache-2.0 */
/* Log: append in its three forms (row dicts, columns, Arrow), positions, seal; and Scan, which
 * reads rows back.
 *
 * Every append converts all rows before the first one is written, so a bad row in it writes
 * nothing. */
#include <stdio.h>
#include <string.h>

#include "state.h"

typedef struct log_object {
    PyObject_HEAD la_store_object *store;
    la_log *log; /* the store's */
} log_object;

PyObject *
pyla_log_new(la_module *module, la_store_object *store, la_log *log)
{
    log_object *self = (log_object *)module->log_type->tp_alloc(module->log_type, 0);
    if (self != NULL) {
        self->store = (la_store_object *)Py_NewRef((PyObject *)store);
        self->log = log;
    }
    return (PyObject *)self;
}

static int
log_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((log_object *)op)->store);
    return 0;
}

static void
log_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(((log_object *)op)->store);
    type->tp_free(op);
    Py_DECREF(type);
}

/* -------------------------------------------------------------------- append */

static PyObject *
appended_tuple(const la_appended *done)
{
    return Py_BuildValue(
        "(KKKKKO)", (unsigned long long)done->first, (unsigned long long)done->rows,
        (unsigned long long)done->ok, (unsigned long long)done->duplicate,
        (unsigned long long)done->quarantined, done->durable ? Py_True : Py_False);
}

/* The core's call; the chunk and what it points to must stay as they are meanwhile. */
static PyObject *
append_chunk(log_object *self, const la_chunk *chunk, const uint8_t *bad,
             const la_column *raw, const la_column *reason,
             const la_append_options *options)
{
    la_error err;
    la_status status;
    la_appended done = {0};
    Py_BEGIN_ALLOW_THREADS status =
        la_log_append(self->log, chunk, bad, raw, reason, options, &done, &err);
    Py_END_ALLOW_THREADS if (status != LA_OK)
    {
        return pyla_raise(pyla_module((PyObject *)self), &err);
    }
    return appended_tuple(&done);
}

static PyObject *
raise_bad(log_object *self, la_input *input)
{
    PyObject *key = PyLong_FromUnsignedLong(input->bad_first);
    PyObject *reason =
        key == NULL ? NULL : PyDict_GetItemWithError(input->reasons, key);
    const char *text = reason == NULL ? NULL : PyUnicode_AsUTF8(reason);
    if (text != NULL) {
        pyla_fail(pyla_module((PyObject *)self), input->bad_status,
                  "on_bad=\"quarantine\" sets bad rows aside and appends the others",
                  "could not append to log \"%s\": row %u, %s", la_log_name(self->log),
                  (unsigned)input->bad_first, text);
    }
    Py_XDECREF(key);
    return NULL;
}

/* {row: raw text} of the bad rows, by the caller's function of a row number. */
static PyObject *
raw_texts(la_input *input, PyObject *raw_of)
{
    PyObject *texts = PyDict_New();
    PyObject *row, *reason;
    Py_ssize_t position = 0;
    while (texts != NULL && PyDict_Next(input->reasons, &position, &row, &reason)) {
        PyObject *text = PyObject_CallOneArg(raw_of, row);
        if (text == NULL || !PyUnicode_Check(text) ||
            PyDict_SetItem(texts, row, text) < 0) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_TypeError, "raw text of a bad row is a str");
            }
            Py_CLEAR(texts);
        }
        Py_XDECREF(text);
    }
    return texts;
}

static PyObject *
append_input(log_object *self, la_input *input, PyObject *raw_of,
             const la_append_options *options)
{
    if (PyDict_GET_SIZE(input->reasons) == 0) {
        return append_chunk(self, &input->chunk, NULL, NULL, NULL, options);
    }
    if (options->on_bad == LA_BAD_RAISE) {
        return raise_bad(self, input);
    }
    PyObject *texts = raw_texts(input, raw_of);
    uint8_t *bad = texts == NULL ? NULL : pyla_input_alloc(input, input->chunk.rows);
    la_column raw, reason;
    PyObject *out = NULL;
    if (bad != NULL && pyla_input_text(input, texts, &raw) == 0 &&
        pyla_input_text(input, input->reasons, &reason) == 0) {
        PyObject *row, *text;
        Py_ssize_t position = 0;
        while (PyDict_Next(input->reasons, &position, &row, &text)) {
            bad[PyLong_AsUnsignedLong(row)] = 1;
        }
        out = append_chunk(self, &input->chunk, bad, &raw, &reason, options);
    }
    Py_XDECREF(texts);
    return out;
}

/* The last arguments of every append: quarantine, sync interval in us (0: commit). */
static la_append_options
options_of(int quarantine, long long interval_us)
{
    return (la_append_options){
        .sync = interval_us > 0 ? LA_SYNC_INTERVAL : LA_SYNC_COMMIT,
        .interval_us = interval_us,
        .on_bad = quarantine ? LA_BAD_QUARANTINE : LA_BAD_RAISE,
    };
}

static PyObject *
log_append_rows(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    PyObject *rows, *raw_of;
    int quarantine;
    long long interval_us;
    if (!PyArg_ParseTuple(args, "O!OpL", &PyList_Type, &rows, &raw_of, &quarantine,
                          &interval_us)) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    /* The caller's list may change while values run Python code: take a copy. */
    PyObject *copy = PyList_GetSlice(rows, 0, PyList_GET_SIZE(rows));
    la_module *module = pyla_module(op);
    la_append_options options = options_of(quarantine, interval_us);
    la_input input;
    PyObject *out = NULL;
    if (copy != NULL && pyla_input_init(&input, la_log_schema(self->log),
                                        PyList_GET_SIZE(copy), module) == 0) {
        if (pyla_input_rows(&input, module, copy) == 0) {
            out = append_input(self, &input, raw_of, &options);
        }
        pyla_input_fini(&input);
    }
    Py_XDECREF(copy);
    pyla_leave(self->store);
    return out;
}

/* One item of append_columns: (values, mask, physical), one a field of the schema. */
static int
add_columns(la_input *input, const la_module *module, PyObject *columns)
{
    if (PyTuple_GET_SIZE(columns) != (Py_ssize_t)input->chunk.column_count) {
        PyErr_SetString(PyExc_ValueError, "append_columns takes one item a field");
        return -1;
    }
    for (uint32_t i = 0; i < input->chunk.column_count; i++) {
        PyObject *values, *mask;
        int physical;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(columns, (Py_ssize_t)i), "OOp", &values,
                              &mask, &physical)) {
            return -1;
        }
        Py_ssize_t size =
            values == Py_None ? (Py_ssize_t)input->chunk.rows : PyObject_Length(values);
        if (size < 0) {
            return -1;
        }
        if (size != (Py_ssize_t)input->chunk.rows) {
            PyErr_SetString(PyExc_ValueError, "columns have different lengths");
            return -1;
        }
        if ((physical &&
             (!PyArray_Check(values) || PyArray_NDIM((PyArrayObject *)values) != 1)) ||
            (PyArray_Check(values) && PyArray_NDIM((PyArrayObject *)values) != 1)) {
            PyErr_SetString(PyExc_ValueError, "columns are one-dimensional arrays");
            return -1;
        }
        if (pyla_input_column(input, module, i, values, mask, physical != 0) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Rows that Python found bad: {row: (reason, is a type error)}. */
static int
add_bad(la_input *input, PyObject *bad)
{
    PyObject *row, *what;
    Py_ssize_t position = 0;
    while (PyDict_Next(bad, &position, &row, &what)) {
        PyObject *reason;
        int type;
        unsigned long at = PyLong_AsUnsignedLong(row);
        if (at == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
        if (at >= input->chunk.rows) {
            PyErr_SetString(PyExc_ValueError, "a bad row is out of range");
            return -1;
        }
        if (!PyArg_ParseTuple(what, "Up", &reason, &type) ||
            pyla_input_bad(input, (uint32_t)at, type ? LA_TYPE : LA_INVALID, reason) <
                0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *
log_append_columns(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    PyObject *columns, *bad, *raw_of;
    Py_ssize_t rows;
    int quarantine;
    long long interval_us;
    if (!PyArg_ParseTuple(args, "O!nO!OpL", &PyTuple_Type, &columns, &rows,
                          &PyDict_Type, &bad, &raw_of, &quarantine, &interval_us)) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_module *module = pyla_module(op);
    la_append_options options = options_of(quarantine, interval_us);
    la_input input;
    PyObject *out = NULL;
    if (pyla_input_init(&input, la_log_schema(self->log), rows, module) == 0) {
        if (add_bad(&input, bad) == 0 && add_columns(&input, module, columns) == 0) {
            out = append_input(self, &input, raw_of, &options);
        }
        pyla_input_fini(&input);
    }
    pyla_leave(self->store);
    return out;
}

static PyObject *
log_append_arrow(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    PyObject *capsule;
    int quarantine;
    long long interval_us;
    if (!PyArg_ParseTuple(args, "OpL", &capsule, &quarantine, &interval_us)) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_append_options options = options_of(quarantine, interval_us);
    la_arrow_rows rows;
    PyObject *out = NULL;
    if (pyla_arrow_import(pyla_module(op), la_log_schema(self->log), capsule, &rows) ==
        0) {
        if (rows.chunk == NULL) {
            Py_INCREF(Py_None);
            out = Py_None;
        }
        else {
            out = append_chunk(self, rows.chunk, NULL, NULL, NULL, &options);
        }
        Py_BEGIN_ALLOW_THREADS pyla_arrow_rows_fini(&rows);
        Py_END_ALLOW_THREADS
    }
    pyla_leave(self->store);
    return out;
}

/* --------------------------------------------------------------------- others */

static PyObject *
log_name(PyObject *op, PyObject *unused)
{
    (void)unused;
    log_object *self = (log_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    PyObject *out = PyUnicode_FromString(la_log_name(self->log));
    pyla_leave(self->store);
    return out;
}

static PyObject *
log_spec(PyObject *op, PyObject *unused)
{
    (void)unused;
    log_object *self = (log_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    PyObject *out = PyUnicode_FromString(la_log_spec(self->log));
    pyla_leave(self->store);
    return out;
}

static PyObject *
log_schema(PyObject *op, PyObject *unused)
{
    (void)unused;
    log_object *self = (log_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    PyObject *out = pyla_schema_list(la_log_schema(self->log));
    pyla_leave(self->store);
    return out;
}

static PyObject *
log_positions(PyObject *op, PyObject *unused)
{
    (void)unused;
    log_object *self = (log_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    uint64_t durable, published;
    la_error err;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status =
        la_log_positions(self->log, &durable, &published, &err);
    Py_END_ALLOW_THREADS pyla_leave(self->store);
    if (status != LA_OK) {
        return pyla_raise(pyla_module(op), &err);
    }
    return Py_BuildValue("(KK)", (unsigned long long)durable,
                         (unsigned long long)published);
}

static PyObject *
log_position_at(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    long long ingest_us;
    if (!PyArg_ParseTuple(args, "L", &ingest_us) || pyla_enter(self->store) == NULL) {
        return NULL;
    }
    uint64_t position;
    la_error err;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status =
        la_log_position_at(self->log, ingest_us, &position, &err);
    Py_END_ALLOW_THREADS pyla_leave(self->store);
    if (status != LA_OK) {
        return pyla_raise(pyla_module(op), &err);
    }
    return PyLong_FromUnsignedLongLong(position);
}

static PyObject *
simple_call(PyObject *op, la_status (*call)(la_log *log, la_error *err))
{
    log_object *self = (log_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status = call(self->log, &err);
    Py_END_ALLOW_THREADS pyla_leave(self->store);
    if (status != LA_OK) {
        return pyla_raise(pyla_module(op), &err);
    }
    Py_RETURN_NONE;
}

static PyObject *
log_sync(PyObject *op, PyObject *unused)
{
    (void)unused;
    return simple_call(op, la_log_sync);
}

static PyObject *
log_seal(PyObject *op, PyObject *unused)
{
    (void)unused;
    return simple_call(op, la_log_seal);
}

/* (positions, raw, reasons) whatever the order of the core's columns. */
static PyObject *
quarantine_tuple(la_module *module, la_table *table)
{
    const la_chunk *chunk = pyla_table_chunk(table);
    PyObject *capsule = pyla_table_capsule(table);
    PyObject *positions = NULL, *texts[2] = {NULL, NULL};
    unsigned text = 0;
    for (uint32_t i = 0; capsule != NULL && i < chunk->column_count; i++) {
        la_type type = chunk->columns[i].type;
        PyObject *values = pyla_column_values(module, table, i, capsule);
        if (values == NULL) {
            break;
        }
        if (type == LA_T_U64 && positions == NULL) {
            positions = values;
        }
        else if (type != LA_T_U64 && text < 2) {
            texts[text++] = values;
        }
        else {
            Py_DECREF(values);
        }
    }
    Py_XDECREF(capsule);
    if (positions != NULL && text == 2) {
        return Py_BuildValue("(NNN)", positions, texts[0], texts[1]);
    }
    Py_XDECREF(positions);
    Py_XDECREF(texts[0]);
    Py_XDECREF(texts[1]);
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_SystemError,
                        "quarantine has other columns than expected");
    }
    return NULL;
}

static PyObject *
log_quarantine(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    unsigned long long from, to;
    if (!PyArg_ParseTuple(args, "KK", &from, &to) || pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_module *module = pyla_module(op);
    la_chunk *chunk;
    la_error err;
    la_status status;
    la_table *table = NULL;
    bool copied = false;
    Py_BEGIN_ALLOW_THREADS status =
        la_log_quarantine(self->log, from, to, &chunk, &err);
    if (status == LA_OK) {
        table = pyla_table_new(chunk->schema);
        copied = table != NULL && pyla_table_add(table, chunk);
        la_chunk_free(chunk);
    }
    Py_END_ALLOW_THREADS pyla_leave(self->store);
    if (status != LA_OK) {
        return pyla_raise(module, &err);
    }
    PyObject *out = copied ? quarantine_tuple(module, table) : PyErr_NoMemory();
    pyla_table_release(table);
    return out;
}

static uint32_t *
column_numbers(PyObject *columns)
{
    Py_ssize_t count = PyTuple_GET_SIZE(columns);
    uint32_t *numbers = PyMem_Calloc((size_t)count + 1, sizeof *numbers);
    if (numbers == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(columns, i));
        if (PyErr_Occurred()) {
            PyMem_Free(numbers);
            return NULL;
        }
    }
    return numbers;
}

static PyObject *
log_scan(PyObject *op, PyObject *args)
{
    log_object *self = (log_object *)op;
    unsigned long long from, to;
    PyObject *columns;
    if (!PyArg_ParseTuple(args, "KKO!", &from, &to, &PyTuple_Type, &columns)) {
        return NULL;
    }
    uint32_t *numbers = column_numbers(columns);
    if (numbers == NULL) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        PyMem_Free(numbers);
        return NULL;
    }
    la_scan *scan;
    la_error err;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status = la_scan_open(
        self->log, from, to, numbers, (uint32_t)PyTuple_GET_SIZE(columns), &scan, &err);
    Py_END_ALLOW_THREADS PyMem_Free(numbers);
    la_module *module = pyla_module(op);
    PyObject *out = status == LA_OK ? pyla_scan_new(module, self->store, scan,
                                                    la_log_schema(self->log))
                                    : pyla_raise(module, &err);
    pyla_leave(self->store);
    return out;
}

static PyMethodDef log_methods[] = {
    {"name", log_name, METH_NOARGS, "The log's name."},
    {"spec", log_spec, METH_NOARGS, "What it was made with, JSON."},
    {"schema", log_schema, METH_NOARGS, "[(name, type, nullable), ...]"},
    {"append_rows", log_append_rows, METH_VARARGS,
     "append_rows(list of dicts, raw_of, quarantine, interval_us) -> (first, rows, ok, "
     "duplicate, quarantined, durable)."},
    {"append_columns", log_append_columns, METH_VARARGS,
     "append_columns(((values, mask, physical), ...), rows, bad, raw_of, quarantine, "
     "interval_us)."},
    {"append_arrow", log_append_arrow, METH_VARARGS,
     "append_arrow(arrow_array_stream capsule, quarantine, interval_us); None: no rows."},
    {"positions", log_positions, METH_NOARGS, "(durable, published)"},
    {"position_at", log_position_at, METH_VARARGS, "position_at(ingest_us)."},
    {"sync", log_sync, METH_NOARGS, "Makes all rows durable."},
    {"seal", log_seal, METH_NOARGS, "Seals the open segment."},
    {"quarantine", log_quarantine, METH_VARARGS,
     "quarantine(from, to) -> (positions, raw, reasons)."},
    {"scan", log_scan, METH_VARARGS, "scan(from, to, column numbers) -> Scan."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot log_slots[] = {
    {Py_tp_doc, "A log of an open store."},
    {Py_tp_dealloc, log_dealloc},
    {Py_tp_traverse, log_traverse},
    {Py_tp_methods, log_methods},
    {0, NULL},
};

PyType_Spec pyla_log_spec = {
    .name = "lambdaarch._core.Log",
    .basicsize = sizeof(log_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = log_slots,
};
