/* SPDX-License-Identifier: Apache-2.0 */
/* lambdaarch._core: multi-phase init, types and per-module state, and the functions that need
 * no store. Names, defaults and prose live in the Python face. */
#define PYLA_IMPORTS_ARRAY
#include "state.h"

static struct PyModuleDef core_module;

la_module *
pyla_module(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

/* ------------------------------------------------------------------- functions */

static PyObject *
core_version(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyUnicode_FromString(la_version());
}

static PyObject *
core_live_counts(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *counts = PyDict_New();
    for (int kind = 0; counts != NULL && kind < LA_LIVE_COUNT; kind++) {
        PyObject *count = PyLong_FromLongLong(la_live_count((la_live)kind));
        if (count == NULL ||
            PyDict_SetItemString(counts, la_live_name((la_live)kind), count) < 0) {
            Py_CLEAR(counts);
        }
        Py_XDECREF(count);
    }
    return counts;
}

static PyObject *
core_parse_time(PyObject *self, PyObject *args)
{
    const char *text;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "s#", &text, &size)) {
        return NULL;
    }
    int64_t us;
    la_error err;
    if (la_parse_time(text, (size_t)size, &us, &err) != LA_OK) {
        return pyla_raise(PyModule_GetState(self), &err);
    }
    return PyLong_FromLongLong(us);
}

static PyObject *
core_parse_date(PyObject *self, PyObject *args)
{
    const char *text;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "s#", &text, &size)) {
        return NULL;
    }
    int32_t days;
    la_error err;
    if (la_parse_date(text, (size_t)size, &days, &err) != LA_OK) {
        return pyla_raise(PyModule_GetState(self), &err);
    }
    return PyLong_FromLong(days);
}

static PyObject *
core_parse_decimal(PyObject *self, PyObject *args)
{
    const char *text;
    Py_ssize_t size;
    unsigned char scale;
    if (!PyArg_ParseTuple(args, "s#b", &text, &size, &scale)) {
        return NULL;
    }
    if (scale > 18) {
        PyErr_SetString(PyExc_ValueError, "a scale is 0 to 18");
        return NULL;
    }
    int64_t value;
    la_error err;
    if (la_parse_decimal(text, (size_t)size, scale, &value, &err) != LA_OK) {
        return pyla_raise(PyModule_GetState(self), &err);
    }
    return PyLong_FromLongLong(value);
}

static PyObject *
core_decimal_to_float(PyObject *self, PyObject *args)
{
    (void)self;
    long long value;
    unsigned char scale;
    if (!PyArg_ParseTuple(args, "Lb", &value, &scale)) {
        return NULL;
    }
    if (scale > 18) {
        PyErr_SetString(PyExc_ValueError, "a scale is 0 to 18");
        return NULL;
    }
    return PyFloat_FromDouble(pyla_decimal_to_double(value, scale));
}

static PyMethodDef core_methods[] = {
    {"version", core_version, METH_NOARGS, "The core's version."},
    {"live_counts", core_live_counts, METH_NOARGS, "Live core objects by kind."},
    {"parse_time", core_parse_time, METH_VARARGS, "Microseconds of a time's text."},
    {"parse_date", core_parse_date, METH_VARARGS, "Days since 1970-01-01."},
    {"parse_decimal", core_parse_decimal, METH_VARARGS, "parse_decimal(text, scale)."},
    {"decimal_to_float", core_decimal_to_float, METH_VARARGS,
     "decimal_to_float(value, scale): value / 10**scale, rounded once."},
    {NULL, NULL, 0, NULL},
};

/* ----------------------------------------------------------------------- init */

static PyArray_Descr *
descr_of(const char *text)
{
    PyObject *name = PyUnicode_FromString(text);
    PyArray_Descr *descr = NULL;
    if (name != NULL) {
        (void)PyArray_DescrConverter(name, &descr);
    }
    Py_XDECREF(name);
    return descr;
}

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

static int
core_exec(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0) {
        return -1;
    }
    pyla_input_imports();
    if (PyErr_Occurred()) {
        return -1;
    }
    la_module *state = PyModule_GetState(module);
    if (pyla_errors_init(state) < 0) {
        return -1;
    }
    PyObject *decimal = PyImport_ImportModule("decimal");
    if (decimal == NULL) {
        return -1;
    }
    state->decimal = PyObject_GetAttrString(decimal, "Decimal");
    Py_DECREF(decimal);
    state->time_us = descr_of("M8[us]");
    state->time_day = descr_of("M8[D]");
    if (state->decimal == NULL || state->time_us == NULL || state->time_day == NULL) {
        return -1;
    }
    const struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } types[] = {
        {&state->store_type, &pyla_store_spec},
        {&state->log_type, &pyla_log_spec},
        {&state->scan_type, &pyla_scan_spec},
        {&state->view_type, &pyla_view_spec},
        {&state->answer_type, &pyla_answer_spec},
        {&state->batch_type, &pyla_batch_spec},
        {&state->verify_type, &pyla_verify_spec},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        *types[i].type = add_type(module, types[i].spec);
        if (*types[i].type == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    la_module *state = PyModule_GetState(module);
    for (int i = 0; i < LA_STATUS_COUNT; i++) {
        Py_VISIT(state->errors[i]);
    }
    Py_VISIT(state->decimal);
    Py_VISIT(state->time_us);
    Py_VISIT(state->time_day);
    Py_VISIT(state->store_type);
    Py_VISIT(state->log_type);
    Py_VISIT(state->scan_type);
    Py_VISIT(state->view_type);
    Py_VISIT(state->answer_type);
    Py_VISIT(state->batch_type);
    Py_VISIT(state->verify_type);
    return 0;
}

static int
core_clear(PyObject *module)
{
    la_module *state = PyModule_GetState(module);
    for (int i = 0; i < LA_STATUS_COUNT; i++) {
        Py_CLEAR(state->errors[i]);
    }
    Py_CLEAR(state->decimal);
    Py_CLEAR(state->time_us);
    Py_CLEAR(state->time_day);
    Py_CLEAR(state->store_type);
    Py_CLEAR(state->log_type);
    Py_CLEAR(state->scan_type);
    Py_CLEAR(state->view_type);
    Py_CLEAR(state->answer_type);
    Py_CLEAR(state->batch_type);
    Py_CLEAR(state->verify_type);
    return 0;
}

static void
core_free(void *module)
{
    (void)core_clear(module);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#ifdef Py_mod_multiple_interpreters
    /* NumPy does not support subinterpreters, so neither do we. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_core",
    .m_doc = "The binding of the C core: positional, checked arguments, no defaults.",
    .m_size = sizeof(la_module),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
