/* SPDX-License-Identifier: Apache-2.0 */
/* Scan: rows of a log in order, many at a time, as arrays that outlive the scan. */
#include "state.h"

typedef struct scan_object {
    PyObject_HEAD la_child child;
    la_store_object *store;
    la_scan *scan; /* NULL: closed */
    const la_schema *schema;
    bool reading; /* a thread is in la_scan_next */
} scan_object;

static void
scan_end(la_child *child)
{
    scan_object *self =
        (scan_object *)(void *)((char *)child - offsetof(scan_object, child));
    la_scan *scan = self->scan;
    self->scan = NULL;
    if (scan != NULL) {
        Py_BEGIN_ALLOW_THREADS la_scan_close(scan);
        Py_END_ALLOW_THREADS
    }
}

PyObject *
pyla_scan_new(la_module *module, la_store_object *store, la_scan *scan,
              const la_schema *schema)
{
    scan_object *self =
        (scan_object *)module->scan_type->tp_alloc(module->scan_type, 0);
    if (self == NULL) {
        la_scan_close(scan);
        return NULL;
    }
    self->store = (la_store_object *)Py_NewRef((PyObject *)store);
    self->scan = scan;
    self->schema = la_schema_retain(schema);
    self->child.close = scan_end;
    pyla_child_add(store, &self->child);
    return (PyObject *)self;
}

static int
scan_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((scan_object *)op)->store);
    return 0;
}

static void
scan_dealloc(PyObject *op)
{
    scan_object *self = (scan_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    pyla_child_drop(&self->child);
    scan_end(&self->child);
    la_schema_release(self->schema);
    Py_XDECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type);
}

/* (values, valid or None, integers behind a decimal or None); None: not read. */
static PyObject *
column_triple(la_module *module, la_table *table, uint32_t column, PyObject *capsule)
{
    la_type type = pyla_table_chunk(table)->columns[column].type;
    if (type == LA_T_NULL) {
        Py_RETURN_NONE;
    }
    PyObject *values = pyla_column_values(module, table, column, capsule);
    PyObject *valid = values == NULL ? NULL : pyla_column_valid(table, column, capsule);
    PyObject *scaled = NULL;
    if (valid != NULL) {
        scaled = type == LA_T_DECIMAL ? pyla_column_scaled(table, column, capsule)
                                      : Py_NewRef(Py_None);
    }
    if (scaled == NULL) {
        Py_XDECREF(values);
        Py_XDECREF(valid);
        return NULL;
    }
    return Py_BuildValue("(NNN)", values, valid, scaled);
}

/* (rows, position, verdicts or None, [triple or None, ...]) */
static PyObject *
rows_tuple(la_module *module, la_table *table)
{
    const la_chunk *chunk = pyla_table_chunk(table);
    PyObject *capsule = pyla_table_capsule(table);
    PyObject *columns = capsule == NULL ? NULL : PyList_New(0);
    for (uint32_t i = 0; columns != NULL && i < chunk->column_count; i++) {
        PyObject *triple = column_triple(module, table, i, capsule);
        if (triple == NULL || PyList_Append(columns, triple) < 0) {
            Py_CLEAR(columns);
        }
        Py_XDECREF(triple);
    }
    PyObject *verdicts = NULL;
    if (columns != NULL && chunk->verdicts != NULL) {
        verdicts = PyBytes_FromStringAndSize((const char *)chunk->verdicts,
                                             (Py_ssize_t)chunk->rows);
    }
    else if (columns != NULL) {
        verdicts = Py_NewRef(Py_None);
    }
    Py_XDECREF(capsule);
    if (verdicts == NULL) {
        Py_XDECREF(columns);
        return NULL;
    }
    return Py_BuildValue("(KKNN)", (unsigned long long)chunk->rows,
                         (unsigned long long)chunk->position, verdicts, columns);
}

static PyObject *
scan_read(PyObject *op, PyObject *args)
{
    scan_object *self = (scan_object *)op;
    unsigned int rows_max;
    if (!PyArg_ParseTuple(args, "I", &rows_max)) {
        return NULL;
    }
    la_module *module = pyla_module(op);
    if (self->scan == NULL) {
        return pyla_fail(module, LA_CLOSED, NULL, "the scan is closed");
    }
    if (self->reading) {
        return pyla_fail(module, LA_BUSY, NULL, "another thread reads this scan");
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    self->reading = true;
    la_error err;
    la_status status = LA_OK;
    la_table *table = pyla_table_new(self->schema);
    bool copied = table != NULL;
    bool more = true;
    while (copied && more && pyla_table_chunk(table)->rows < rows_max) {
        const la_chunk *chunk;
        Py_BEGIN_ALLOW_THREADS status = la_scan_next(self->scan, &chunk, &err);
        more = status == LA_OK && chunk->rows > 0;
        copied = !more || pyla_table_add(table, chunk);
        Py_END_ALLOW_THREADS
    }
    self->reading = false;
    PyObject *out = NULL;
    if (status != LA_OK) {
        pyla_raise(module, &err);
    }
    else if (!copied) {
        PyErr_NoMemory();
    }
    else if (pyla_table_chunk(table)->rows == 0) {
        out = Py_NewRef(Py_None);
    }
    else {
        pyla_table_blank(table);
        out = rows_tuple(module, table);
    }
    pyla_table_release(table);
    pyla_leave(self->store);
    return out;
}

static PyObject *
scan_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    scan_object *self = (scan_object *)op;
    if (self->reading) {
        return pyla_fail(pyla_module(op), LA_BUSY, NULL,
                         "another thread reads this scan");
    }
    pyla_child_drop(&self->child);
    scan_end(&self->child);
    Py_RETURN_NONE;
}

static PyMethodDef scan_methods[] = {
    {"read", scan_read, METH_VARARGS,
     "read(rows_max) -> (rows, position, verdicts, [(values, valid, integers), ...]); None "
     "at the end."},
    {"close", scan_close, METH_NOARGS, "Ends the scan."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scan_slots[] = {
    {Py_tp_doc, "Rows of a log, in order."},
    {Py_tp_dealloc, scan_dealloc},
    {Py_tp_traverse, scan_traverse},
    {Py_tp_methods, scan_methods},
    {0, NULL},
};

PyType_Spec pyla_scan_spec = {
    .name = "lambdaarch._core.Scan",
    .basicsize = sizeof(scan_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = scan_slots,
};
