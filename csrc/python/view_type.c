/* SPDX-License-Identifier: Apache-2.0 */
/* View: a definition and its versions; queries run here and come back as Answers. */
#include "state.h"

typedef struct view_object {
    PyObject_HEAD la_store_object *store;
    la_view *view; /* the store's */
} view_object;

PyObject *
pyla_view_new(la_module *module, la_store_object *store, la_view *view)
{
    view_object *self =
        (view_object *)module->view_type->tp_alloc(module->view_type, 0);
    if (self != NULL) {
        self->store = (la_store_object *)Py_NewRef((PyObject *)store);
        self->view = view;
    }
    return (PyObject *)self;
}

static int
view_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((view_object *)op)->store);
    return 0;
}

static void
view_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(((view_object *)op)->store);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
view_name(PyObject *op, PyObject *unused)
{
    (void)unused;
    view_object *self = (view_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    PyObject *name = PyUnicode_FromString(la_view_name(self->view));
    pyla_leave(self->store);
    return name;
}

static PyObject *
view_plan(PyObject *op, PyObject *unused)
{
    (void)unused;
    view_object *self = (view_object *)op;
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    const char *plan;
    Py_BEGIN_ALLOW_THREADS plan = la_view_plan(self->view);
    Py_END_ALLOW_THREADS PyObject *text = PyUnicode_FromString(plan);
    pyla_leave(self->store);
    return text;
}

static PyObject *
view_status(PyObject *op, PyObject *unused)
{
    (void)unused;
    view_object *self = (view_object *)op;
    la_store *store = pyla_enter(self->store);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    char *json = NULL;
    Py_BEGIN_ALLOW_THREADS status = la_view_status(self->view, &json, &err);
    Py_END_ALLOW_THREADS PyObject *text = NULL;
    if (status == LA_OK) {
        text = PyUnicode_FromString(json);
        la_text_free(store, json);
    }
    else {
        pyla_raise(pyla_module(op), &err);
    }
    pyla_leave(self->store);
    return text;
}

static PyObject *
view_rollback(PyObject *op, PyObject *args)
{
    view_object *self = (view_object *)op;
    unsigned long long version;
    if (!PyArg_ParseTuple(args, "K", &version)) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    Py_BEGIN_ALLOW_THREADS status = la_view_rollback(self->view, version, &err);
    Py_END_ALLOW_THREADS pyla_leave(self->store);
    if (status != LA_OK) {
        return pyla_raise(pyla_module(op), &err);
    }
    Py_RETURN_NONE;
}

static PyObject *
view_query(PyObject *op, PyObject *args)
{
    view_object *self = (view_object *)op;
    const char *spec;
    if (!PyArg_ParseTuple(args, "s", &spec)) {
        return NULL;
    }
    if (pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_module *module = pyla_module(op);
    la_error err;
    la_status status;
    la_query *query = NULL;
    Py_BEGIN_ALLOW_THREADS status = la_query_open(self->view, spec, &query, &err);
    Py_END_ALLOW_THREADS while (status == LA_OK || status == LA_MORE)
    {
        Py_BEGIN_ALLOW_THREADS status = la_query_step(query, &err);
        Py_END_ALLOW_THREADS if (status != LA_MORE || PyErr_CheckSignals() < 0)
        {
            break;
        }
    }
    PyObject *answer = NULL;
    if (status == LA_OK) {
        answer = pyla_answer_new(module, query);
    }
    else {
        pyla_raise(module, &err);
    }
    if (query != NULL) {
        Py_BEGIN_ALLOW_THREADS la_query_close(query);
        Py_END_ALLOW_THREADS
    }
    pyla_leave(self->store);
    return answer;
}

static PyMethodDef view_methods[] = {
    {"name", view_name, METH_NOARGS, "The view's name."},
    {"plan", view_plan, METH_NOARGS, "The canonical plan, JSON."},
    {"status", view_status, METH_NOARGS, "Versions and candidate, JSON."},
    {"rollback", view_rollback, METH_VARARGS, "rollback(version)."},
    {"query", view_query, METH_VARARGS, "query(spec) -> Answer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot view_slots[] = {
    {Py_tp_doc, "A view of an open store."},
    {Py_tp_dealloc, view_dealloc},
    {Py_tp_traverse, view_traverse},
    {Py_tp_methods, view_methods},
    {0, NULL},
};

PyType_Spec pyla_view_spec = {
    .name = "lambdaarch._core.View",
    .basicsize = sizeof(view_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};
