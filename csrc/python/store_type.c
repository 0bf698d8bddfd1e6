/* SPDX-License-Identifier: Apache-2.0 */
/* Store: owns the la_store, knows who uses it, and closes it when the last call is over. */
#include "state.h"

/* ------------------------------------------------------------- calls, children */

la_store *
pyla_enter(la_store_object *self)
{
    if (self->store == NULL || self->closing) {
        pyla_fail(pyla_module((PyObject *)self), LA_CLOSED, "open the store again",
                  "the store is closed");
        return NULL;
    }
    self->calls++;
    return self->store;
}

static void
close_now(la_store_object *self)
{
    la_store *store = self->store;
    self->store = NULL;
    while (self->children.next != &self->children) {
        la_child *child = self->children.next;
        pyla_child_drop(child);
        child->close(child);
    }
    if (store != NULL) {
        Py_BEGIN_ALLOW_THREADS la_store_close(store);
        Py_END_ALLOW_THREADS
    }
}

void
pyla_leave(la_store_object *self)
{
    self->calls--;
    if (self->closing && self->calls == 0) {
        close_now(self);
    }
}

void
pyla_child_add(la_store_object *self, la_child *child)
{
    child->next = self->children.next;
    child->previous = &self->children;
    child->next->previous = child;
    self->children.next = child;
}

void
pyla_child_drop(la_child *child)
{
    if (child->next != NULL) {
        child->next->previous = child->previous;
        child->previous->next = child->next;
        child->next = child->previous = NULL;
    }
}

/* ----------------------------------------------------------------------- life */

static PyObject *
store_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *folder;
    int writable;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Store takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O&p", PyUnicode_FSConverter, &folder, &writable)) {
        return NULL;
    }
    la_store_object *self = (la_store_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_DECREF(folder);
        return NULL;
    }
    self->children.next = self->children.previous = &self->children;
    la_error err;
    la_status status;
    const char *path = PyBytes_AS_STRING(folder);
    Py_BEGIN_ALLOW_THREADS status =
        la_store_open(la_env_system(), path, writable ? LA_MODE_WRITE : LA_MODE_READ,
                      &self->store, &err);
    Py_END_ALLOW_THREADS Py_DECREF(folder);
    if (status != LA_OK) {
        pyla_raise(pyla_module((PyObject *)self), &err);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
store_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

static void
store_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    close_now((la_store_object *)op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
store_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    la_store_object *self = (la_store_object *)op;
    self->closing = true;
    if (self->calls == 0) {
        close_now(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
store_closed(PyObject *op, void *unused)
{
    (void)unused;
    la_store_object *self = (la_store_object *)op;
    return PyBool_FromLong(self->store == NULL || self->closing);
}

/* ---------------------------------------------------------------------- calls */

static PyObject *
store_status(PyObject *op, PyObject *unused)
{
    (void)unused;
    la_store_object *self = (la_store_object *)op;
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    char *json = NULL;
    Py_BEGIN_ALLOW_THREADS status = la_store_status(store, &json, &err);
    Py_END_ALLOW_THREADS PyObject *text = NULL;
    if (status == LA_OK) {
        text = PyUnicode_FromString(json);
        la_text_free(store, json);
    }
    else {
        pyla_raise(pyla_module(op), &err);
    }
    pyla_leave(self);
    return text;
}

static PyObject *
store_log(PyObject *op, PyObject *args)
{
    la_store_object *self = (la_store_object *)op;
    const char *name, *spec;
    if (!PyArg_ParseTuple(args, "sz", &name, &spec)) {
        return NULL;
    }
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    la_log *log;
    Py_BEGIN_ALLOW_THREADS status = la_log_open(store, name, spec, &log, &err);
    Py_END_ALLOW_THREADS la_module *module = pyla_module(op);
    PyObject *out =
        status == LA_OK ? pyla_log_new(module, self, log) : pyla_raise(module, &err);
    pyla_leave(self);
    return out;
}

static PyObject *
store_define(PyObject *op, PyObject *args)
{
    la_store_object *self = (la_store_object *)op;
    const char *name, *plan;
    int replace;
    if (!PyArg_ParseTuple(args, "ssp", &name, &plan, &replace)) {
        return NULL;
    }
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    la_view *view;
    Py_BEGIN_ALLOW_THREADS status =
        la_view_define(store, name, plan, replace != 0, &view, &err);
    Py_END_ALLOW_THREADS la_module *module = pyla_module(op);
    PyObject *out =
        status == LA_OK ? pyla_view_new(module, self, view) : pyla_raise(module, &err);
    pyla_leave(self);
    return out;
}

static PyObject *
store_view(PyObject *op, PyObject *args)
{
    la_store_object *self = (la_store_object *)op;
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    la_view *view;
    Py_BEGIN_ALLOW_THREADS status = la_view_open(store, name, &view, &err);
    Py_END_ALLOW_THREADS la_module *module = pyla_module(op);
    PyObject *out =
        status == LA_OK ? pyla_view_new(module, self, view) : pyla_raise(module, &err);
    pyla_leave(self);
    return out;
}

/* New array of borrowed UTF-8 pointers to the items of `names` (a tuple). */
static const char **
name_pointers(PyObject *names)
{
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    const char **pointers = PyMem_Calloc((size_t)count + 1, sizeof *pointers);
    if (pointers == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        pointers[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
        if (pointers[i] == NULL) {
            PyMem_Free(pointers);
            return NULL;
        }
    }
    return pointers;
}

static PyObject *
store_batch(PyObject *op, PyObject *args)
{
    la_store_object *self = (la_store_object *)op;
    PyObject *names;
    unsigned long long cutoff, memory_max;
    unsigned int threads;
    int incremental, publish;
    if (!PyArg_ParseTuple(args, "OKKIpp", &names, &cutoff, &memory_max, &threads,
                          &incremental, &publish)) {
        return NULL;
    }
    if (names != Py_None && !PyTuple_Check(names)) {
        PyErr_SetString(PyExc_TypeError, "names is None or a tuple");
        return NULL;
    }
    const char **pointers = NULL;
    size_t count = 0;
    if (names != Py_None) {
        pointers = name_pointers(names);
        if (pointers == NULL) {
            return NULL;
        }
        count = (size_t)PyTuple_GET_SIZE(names);
    }
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        PyMem_Free(pointers);
        return NULL;
    }
    const la_batch_options options = {
        .cutoff = cutoff,
        .memory_max = memory_max,
        .threads = threads,
        .incremental = incremental != 0,
        .publish = publish != 0,
    };
    la_error err;
    la_status status;
    la_batch *batch;
    Py_BEGIN_ALLOW_THREADS status =
        la_batch_open(store, pointers, count, &options, &batch, &err);
    Py_END_ALLOW_THREADS PyMem_Free(pointers);
    la_module *module = pyla_module(op);
    PyObject *out = status == LA_OK ? pyla_batch_new(module, self, batch)
                                    : pyla_raise(module, &err);
    pyla_leave(self);
    return out;
}

static PyObject *
store_verify(PyObject *op, PyObject *unused)
{
    (void)unused;
    la_store_object *self = (la_store_object *)op;
    la_store *store = pyla_enter(self);
    if (store == NULL) {
        return NULL;
    }
    la_error err;
    la_status status;
    la_verify *verify;
    Py_BEGIN_ALLOW_THREADS status = la_verify_open(store, &verify, &err);
    Py_END_ALLOW_THREADS la_module *module = pyla_module(op);
    PyObject *out = status == LA_OK ? pyla_verify_new(module, self, verify)
                                    : pyla_raise(module, &err);
    pyla_leave(self);
    return out;
}

static PyMethodDef store_methods[] = {
    {"close", store_close, METH_NOARGS,
     "Closes the store and all that was got from it."},
    {"status", store_status, METH_NOARGS, "What the store holds, as JSON."},
    {"log", store_log, METH_VARARGS, "log(name, spec) -> Log; spec None: must exist."},
    {"define", store_define, METH_VARARGS, "define(name, plan, replace) -> View."},
    {"view", store_view, METH_VARARGS, "view(name) -> View."},
    {"batch", store_batch, METH_VARARGS,
     "batch(names, cutoff, memory_max, threads, incremental, publish) -> Batch."},
    {"verify", store_verify, METH_NOARGS, "verify() -> Verify."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef store_getset[] = {
    {"closed", store_closed, NULL, "Whether close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot store_slots[] = {
    {Py_tp_doc, "Store(path, writable): an open store."},
    {Py_tp_new, store_new},
    {Py_tp_dealloc, store_dealloc},
    {Py_tp_traverse, store_traverse},
    {Py_tp_methods, store_methods},
    {Py_tp_getset, store_getset},
    {0, NULL},
};

PyType_Spec pyla_store_spec = {
    .name = "lambdaarch._core.Store",
    .basicsize = sizeof(la_store_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = store_slots,
};
