/* SPDX-License-Identifier: Apache-2.0 */
/* Batch and Verify: long work in steps of about 50 ms, so that Python can show progress and
 * see Ctrl-C in between. Both are children of their store: closing it ends them. */
#include "state.h"

/* --------------------------------------------------------------------- Batch */

typedef struct batch_object {
    PyObject_HEAD la_child child;
    la_store_object *store;
    la_batch *batch; /* NULL: closed */
    bool stepping;   /* a thread is in la_batch_step */
} batch_object;

static batch_object *
batch_of(la_child *child)
{
    return (batch_object *)(void *)((char *)child - offsetof(batch_object, child));
}

static void
batch_end(la_child *child)
{
    batch_object *self = batch_of(child);
    la_batch *batch = self->batch;
    self->batch = NULL;
    Py_BEGIN_ALLOW_THREADS la_batch_close(batch);
    Py_END_ALLOW_THREADS
}

PyObject *
pyla_batch_new(la_module *module, la_store_object *store, la_batch *batch)
{
    batch_object *self =
        (batch_object *)module->batch_type->tp_alloc(module->batch_type, 0);
    if (self == NULL) {
        la_batch_close(batch);
        return NULL;
    }
    self->store = (la_store_object *)Py_NewRef((PyObject *)store);
    self->batch = batch;
    self->child.close = batch_end;
    pyla_child_add(store, &self->child);
    return (PyObject *)self;
}

static int
batch_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((batch_object *)op)->store);
    return 0;
}

static void
batch_dealloc(PyObject *op)
{
    batch_object *self = (batch_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    pyla_child_drop(&self->child);
    batch_end(&self->child);
    Py_XDECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type);
}

static bool
batch_open(batch_object *self, PyObject *op)
{
    if (self->batch == NULL) {
        pyla_fail(pyla_module(op), LA_CLOSED, NULL, "the batch run is closed");
        return false;
    }
    if (self->stepping) {
        pyla_fail(pyla_module(op), LA_BUSY, NULL,
                  "the batch run works in another thread");
        return false;
    }
    return true;
}

static PyObject *
batch_step(PyObject *op, PyObject *unused)
{
    (void)unused;
    batch_object *self = (batch_object *)op;
    if (!batch_open(self, op) || pyla_enter(self->store) == NULL) {
        return NULL;
    }
    la_progress progress = {0};
    la_error err;
    la_status status;
    self->stepping = true;
    Py_BEGIN_ALLOW_THREADS status = la_batch_step(self->batch, &progress, &err);
    Py_END_ALLOW_THREADS self->stepping = false;
    PyObject *out;
    if (status == LA_OK || status == LA_MORE) {
        out =
            Py_BuildValue("(OKKIIzz)", status == LA_MORE ? Py_True : Py_False,
                          (unsigned long long)progress.rows_done,
                          (unsigned long long)progress.rows_total, progress.views_done,
                          progress.views_total, progress.view, progress.stage);
    }
    else {
        out = pyla_raise(pyla_module(op), &err);
    }
    pyla_leave(self->store);
    return out;
}

static PyObject *
batch_report(PyObject *op, PyObject *unused)
{
    (void)unused;
    batch_object *self = (batch_object *)op;
    if (!batch_open(self, op)) {
        return NULL;
    }
    const char *json = la_batch_report(self->batch);
    return PyUnicode_FromString(json == NULL ? "{}" : json);
}

static PyObject *
batch_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    batch_object *self = (batch_object *)op;
    if (self->batch != NULL) {
        if (!batch_open(self, op)) {
            return NULL;
        }
        pyla_child_drop(&self->child);
        batch_end(&self->child);
    }
    Py_RETURN_NONE;
}

static PyMethodDef batch_methods[] = {
    {"step", batch_step, METH_NOARGS,
     "step() -> (more, rows_done, rows_total, views_done, views_total, view, stage)."},
    {"report", batch_report, METH_NOARGS, "What was done, JSON."},
    {"close", batch_close, METH_NOARGS,
     "Ends the run; unfinished, it leaves no trace."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_doc, "A batch run."},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_traverse, batch_traverse},
    {Py_tp_methods, batch_methods},
    {0, NULL},
};

PyType_Spec pyla_batch_spec = {
    .name = "lambdaarch._core.Batch",
    .basicsize = sizeof(batch_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = batch_slots,
};

/* -------------------------------------------------------------------- Verify */

typedef struct verify_object {
    PyObject_HEAD la_child child;
    la_store_object *store;
    la_verify *verify; /* NULL: closed */
    bool stepping;
} verify_object;

static void
verify_end(la_child *child)
{
    verify_object *self =
        (verify_object *)(void *)((char *)child - offsetof(verify_object, child));
    la_verify *verify = self->verify;
    self->verify = NULL;
    Py_BEGIN_ALLOW_THREADS la_verify_close(verify);
    Py_END_ALLOW_THREADS
}

PyObject *
pyla_verify_new(la_module *module, la_store_object *store, la_verify *verify)
{
    verify_object *self =
        (verify_object *)module->verify_type->tp_alloc(module->verify_type, 0);
    if (self == NULL) {
        la_verify_close(verify);
        return NULL;
    }
    self->store = (la_store_object *)Py_NewRef((PyObject *)store);
    self->verify = verify;
    self->child.close = verify_end;
    pyla_child_add(store, &self->child);
    return (PyObject *)self;
}

static int
verify_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((verify_object *)op)->store);
    return 0;
}

static void
verify_dealloc(PyObject *op)
{
    verify_object *self = (verify_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    pyla_child_drop(&self->child);
    verify_end(&self->child);
    Py_XDECREF(self->store);
    type->tp_free(op);
    Py_DECREF(type);
}

static bool
verify_open(verify_object *self, PyObject *op)
{
    if (self->verify == NULL) {
        pyla_fail(pyla_module(op), LA_CLOSED, NULL, "the verify run is closed");
        return false;
    }
    if (self->stepping) {
        pyla_fail(pyla_module(op), LA_BUSY, NULL,
                  "the verify run works in another thread");
        return false;
    }
    return true;
}

static PyObject *
verify_step(PyObject *op, PyObject *unused)
{
    (void)unused;
    verify_object *self = (verify_object *)op;
    if (!verify_open(self, op) || pyla_enter(self->store) == NULL) {
        return NULL;
    }
    uint64_t done = 0, total = 0;
    la_error err;
    la_status status;
    self->stepping = true;
    Py_BEGIN_ALLOW_THREADS status = la_verify_step(self->verify, &done, &total, &err);
    Py_END_ALLOW_THREADS self->stepping = false;
    PyObject *out;
    if (status == LA_OK || status == LA_MORE) {
        out = Py_BuildValue("(OKK)", status == LA_MORE ? Py_True : Py_False,
                            (unsigned long long)done, (unsigned long long)total);
    }
    else {
        out = pyla_raise(pyla_module(op), &err);
    }
    pyla_leave(self->store);
    return out;
}

static PyObject *
verify_report(PyObject *op, PyObject *unused)
{
    (void)unused;
    verify_object *self = (verify_object *)op;
    if (!verify_open(self, op)) {
        return NULL;
    }
    const char *json = la_verify_report(self->verify);
    return PyUnicode_FromString(json == NULL ? "{}" : json);
}

static PyObject *
verify_close(PyObject *op, PyObject *unused)
{
    (void)unused;
    verify_object *self = (verify_object *)op;
    if (self->verify != NULL) {
        if (!verify_open(self, op)) {
            return NULL;
        }
        pyla_child_drop(&self->child);
        verify_end(&self->child);
    }
    Py_RETURN_NONE;
}

static PyMethodDef verify_methods[] = {
    {"step", verify_step, METH_NOARGS, "step() -> (more, bytes done, bytes total)."},
    {"report", verify_report, METH_NOARGS, "Everything that was found, JSON."},
    {"close", verify_close, METH_NOARGS, "Ends the run."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot verify_slots[] = {
    {Py_tp_doc, "A check of all bytes of a store."},
    {Py_tp_dealloc, verify_dealloc},
    {Py_tp_traverse, verify_traverse},
    {Py_tp_methods, verify_methods},
    {0, NULL},
};

PyType_Spec pyla_verify_spec = {
    .name = "lambdaarch._core.Verify",
    .basicsize = sizeof(verify_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = verify_slots,
};
