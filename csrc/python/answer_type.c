/* SPDX-License-Identifier: Apache-2.0 */
/* Answer: the result of one query, copied out of the core, so that it outlives its store and
 * any thread may read it. Immutable.
 *
 * Parts: 0 merged, 1 batch, 2 speed; batch and speed only where the query asked. */
#include "state.h"

#define PARTS 3

typedef struct answer_object {
    PyObject_HEAD la_table *tables[PARTS];
    PyObject *capsules[PARTS]; /* hold the tables for arrays over them */
    PyObject *receipt;         /* str */
    PyObject *overflow;        /* dict: column -> dict: row -> exact int or None */
} answer_object;

/* -------------------------------------------------------------------- making */

/* The exact integer of a cell that does not fit its type, or None. */
static PyObject *
exact_cell(const la_query *query, uint32_t column, uint32_t row)
{
    char text[96];
    la_error err;
    if (la_query_exact(query, column, row, text, sizeof text, &err) != LA_OK) {
        Py_RETURN_NONE;
    }
    return PyLong_FromString(text, NULL, 10);
}

static int
collect_overflow(answer_object *self, const la_query *query, const la_chunk *chunk)
{
    for (uint32_t column = 0; column < chunk->column_count; column++) {
        const uint8_t *marks = la_query_overflow(query, column);
        PyObject *cells = NULL;
        for (uint32_t row = 0; marks != NULL && row < chunk->rows; row++) {
            if (marks[row] == 0) {
                continue;
            }
            if (cells == NULL && (cells = PyDict_New()) == NULL) {
                return -1;
            }
            PyObject *key = PyLong_FromUnsignedLong(row);
            PyObject *value = key == NULL ? NULL : exact_cell(query, column, row);
            int failed = value == NULL ? -1 : PyDict_SetItem(cells, key, value);
            Py_XDECREF(key);
            Py_XDECREF(value);
            if (failed) {
                Py_DECREF(cells);
                return -1;
            }
        }
        if (cells != NULL) {
            PyObject *key = PyLong_FromUnsignedLong(column);
            int failed = key == NULL ? -1 : PyDict_SetItem(self->overflow, key, cells);
            Py_XDECREF(key);
            Py_DECREF(cells);
            if (failed) {
                return -1;
            }
        }
    }
    return 0;
}

static int
copy_part(answer_object *self, const la_query *query, int part)
{
    const la_chunk *chunk = la_query_result(query, (la_part)part);
    if (chunk == NULL) {
        return 0;
    }
    la_table *table;
    bool copied;
    Py_BEGIN_ALLOW_THREADS table = pyla_table_new(la_query_schema(query));
    copied = table != NULL && pyla_table_add(table, chunk);
    if (copied) {
        pyla_table_blank(table);
    }
    Py_END_ALLOW_THREADS self->tables[part] = table;
    if (!copied) {
        PyErr_NoMemory();
        return -1;
    }
    self->capsules[part] = pyla_table_capsule(table);
    return self->capsules[part] == NULL ? -1 : 0;
}

PyObject *
pyla_answer_new(la_module *module, const la_query *query)
{
    answer_object *self =
        (answer_object *)module->answer_type->tp_alloc(module->answer_type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->overflow = PyDict_New();
    self->receipt = PyUnicode_FromString(la_query_receipt(query));
    int failed = self->overflow == NULL || self->receipt == NULL ? -1 : 0;
    for (int part = 0; part < PARTS && !failed; part++) {
        failed = copy_part(self, query, part);
    }
    if (!failed && self->tables[LA_PART_MERGED] == NULL) {
        PyErr_SetString(PyExc_SystemError, "a finished query has no result");
        failed = -1;
    }
    if (!failed) {
        failed = collect_overflow(self, query, la_query_result(query, LA_PART_MERGED));
    }
    if (failed) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static int
answer_traverse(PyObject *op, visitproc visit, void *arg)
{
    answer_object *self = (answer_object *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->overflow);
    return 0;
}

static void
answer_dealloc(PyObject *op)
{
    answer_object *self = (answer_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    for (int part = 0; part < PARTS; part++) {
        Py_XDECREF(self->capsules[part]);
        pyla_table_release(self->tables[part]);
    }
    Py_XDECREF(self->receipt);
    Py_XDECREF(self->overflow);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ------------------------------------------------------------------- reading */

static la_table *
table_of(answer_object *self, int part)
{
    if (part < 0 || part >= PARTS || self->tables[part] == NULL) {
        PyErr_Format(PyExc_LookupError, "the answer has no part %d", part);
        return NULL;
    }
    return self->tables[part];
}

static la_table *
column_of(answer_object *self, int part, unsigned int column)
{
    la_table *table = table_of(self, part);
    if (table != NULL && column >= pyla_table_chunk(table)->column_count) {
        PyErr_Format(PyExc_IndexError, "the answer has no column %u", column);
        return NULL;
    }
    return table;
}

static PyObject *
answer_schema(PyObject *op, PyObject *unused)
{
    (void)unused;
    answer_object *self = (answer_object *)op;
    return pyla_schema_list(pyla_table_chunk(self->tables[LA_PART_MERGED])->schema);
}

static PyObject *
answer_rows(PyObject *op, PyObject *unused)
{
    (void)unused;
    answer_object *self = (answer_object *)op;
    return PyLong_FromUnsignedLong(
        pyla_table_chunk(self->tables[LA_PART_MERGED])->rows);
}

static PyObject *
answer_has_parts(PyObject *op, PyObject *unused)
{
    (void)unused;
    answer_object *self = (answer_object *)op;
    return PyBool_FromLong(self->tables[LA_PART_BATCH] != NULL &&
                           self->tables[LA_PART_SPEED] != NULL);
}

static PyObject *
answer_column(PyObject *op, PyObject *args)
{
    answer_object *self = (answer_object *)op;
    int part;
    unsigned int column;
    if (!PyArg_ParseTuple(args, "iI", &part, &column)) {
        return NULL;
    }
    la_table *table = column_of(self, part, column);
    return table == NULL
               ? NULL
               : pyla_column_pair(pyla_module(op), table, column, self->capsules[part]);
}

static PyObject *
answer_scaled(PyObject *op, PyObject *args)
{
    answer_object *self = (answer_object *)op;
    int part;
    unsigned int column;
    if (!PyArg_ParseTuple(args, "iI", &part, &column)) {
        return NULL;
    }
    la_table *table = column_of(self, part, column);
    return table == NULL ? NULL
                         : pyla_column_scaled(table, column, self->capsules[part]);
}

static PyObject *
answer_overflow(PyObject *op, PyObject *unused)
{
    (void)unused;
    return PyDict_Copy(((answer_object *)op)->overflow);
}

static PyObject *
answer_receipt(PyObject *op, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(((answer_object *)op)->receipt);
}

static PyObject *
answer_arrow(PyObject *op, PyObject *args)
{
    answer_object *self = (answer_object *)op;
    int part;
    if (!PyArg_ParseTuple(args, "i", &part)) {
        return NULL;
    }
    la_table *table = table_of(self, part);
    return table == NULL ? NULL : pyla_arrow_export(pyla_module(op), table);
}

static PyMethodDef answer_methods[] = {
    {"schema", answer_schema, METH_NOARGS, "[(name, type, nullable), ...]"},
    {"rows", answer_rows, METH_NOARGS, "Number of rows."},
    {"has_parts", answer_has_parts, METH_NOARGS, "Whether batch and speed are there."},
    {"column", answer_column, METH_VARARGS, "column(part, column) -> (values, valid)."},
    {"scaled", answer_scaled, METH_VARARGS,
     "scaled(part, column) -> integers behind it."},
    {"overflow", answer_overflow, METH_NOARGS, "{column: {row: exact integer}}"},
    {"receipt", answer_receipt, METH_NOARGS, "Where the answer came from, JSON."},
    {"arrow", answer_arrow, METH_VARARGS, "arrow(part) -> arrow_array_stream capsule."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot answer_slots[] = {
    {Py_tp_doc, "The result of one query."},
    {Py_tp_dealloc, answer_dealloc},
    {Py_tp_traverse, answer_traverse},
    {Py_tp_methods, answer_methods},
    {0, NULL},
};

PyType_Spec pyla_answer_spec = {
    .name = "lambdaarch._core.Answer",
    .basicsize = sizeof(answer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = answer_slots,
};
