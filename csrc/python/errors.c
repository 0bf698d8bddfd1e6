/* SPDX-License-Identifier: Apache-2.0 */
/* One table: status -> class of lambdaarch.errors. Classes live in Python, so that their
 * docstrings and bases can be read there; this file finds them once, at import. */
#include <stdarg.h>
#include <stdio.h>

#include "state.h"

static const struct {
    la_status status;
    const char *class_name;
} CLASSES[] = {
    {LA_INVALID, "InvalidError"},
    {LA_TYPE, "FieldTypeError"},
    {LA_NOT_FOUND, "NotFoundError"},
    {LA_CONFLICT, "ConflictError"},
    {LA_BUSY, "BusyError"},
    {LA_READONLY, "ReadOnlyError"},
    {LA_IO, "StorageError"},
    {LA_FULL, "StorageFullError"},
    {LA_UNKNOWN, "OutcomeUnknownError"},
    {LA_DAMAGED, "DamagedError"},
    {LA_NEWER, "NewerFormatError"},
    {LA_NOMEM, "OutOfMemoryError"},
    {LA_BUDGET, "BudgetError"},
    {LA_OVERFLOW, "ResultOverflowError"},
    {LA_STALE, "StaleError"},
    {LA_CLOSED, "ClosedError"},
    {LA_CANCELLED, "CancelledError"},
    {LA_EVALUATION, "EvaluationError"},
};
static_assert(sizeof CLASSES / sizeof CLASSES[0] == LA_STATUS_COUNT - 2,
              "every status but OK and MORE has a class");

int
pyla_errors_init(la_module *module)
{
    PyObject *errors = PyImport_ImportModule("lambdaarch.errors");
    if (errors == NULL) {
        return -1;
    }
    for (size_t i = 0; i < sizeof CLASSES / sizeof CLASSES[0]; i++) {
        PyObject *class = PyObject_GetAttrString(errors, CLASSES[i].class_name);
        if (class == NULL) {
            Py_DECREF(errors);
            return -1;
        }
        module->errors[CLASSES[i].status] = class;
    }
    Py_DECREF(errors);
    return 0;
}

/* Takes `value`; false with an exception set when it is NULL or cannot be set. */
static bool
put(PyObject *instance, const char *name, PyObject *value)
{
    if (value == NULL) {
        return false;
    }
    int failed = PyObject_SetAttrString(instance, name, value);
    Py_DECREF(value);
    return failed == 0;
}

static PyObject *
number_or_none(uint64_t value)
{
    return value == UINT64_MAX ? Py_NewRef(Py_None)
                               : PyLong_FromUnsignedLongLong(value);
}

static bool
describe(PyObject *instance, const la_error *err)
{
    if (!put(instance, "status", PyUnicode_FromString(la_status_name(err->status))) ||
        !put(instance, "retriable", PyBool_FromLong(err->retriable)) ||
        !put(instance, "position", number_or_none(err->position)) ||
        !put(instance, "byte", number_or_none(err->byte)) ||
        !put(instance, "path",
             err->path[0] == '\0' ? Py_NewRef(Py_None)
                                  : PyUnicode_DecodeFSDefault(err->path))) {
        return false;
    }
    if (err->os_errno != 0 && !put(instance, "errno", PyLong_FromLong(err->os_errno))) {
        return false;
    }
    if (err->hint[0] != '\0') {
        PyObject *done = PyObject_CallMethod(instance, "add_note", "s", err->hint);
        if (done == NULL) {
            return false;
        }
        Py_DECREF(done);
    }
    return true;
}

PyObject *
pyla_raise(const la_module *module, const la_error *err)
{
    if (PyErr_Occurred()) {
        return NULL;
    }
    PyObject *class =
        err->status < LA_STATUS_COUNT ? module->errors[err->status] : NULL;
    if (class == NULL) {
        PyErr_Format(PyExc_SystemError, "the core failed with status %d: %s",
                     (int)err->status, err->message);
        return NULL;
    }
    /* Messages are cut at a fixed size, perhaps inside a character. */
    PyObject *text =
        PyUnicode_DecodeUTF8(err->message, (Py_ssize_t)strlen(err->message), "replace");
    PyObject *instance = text == NULL ? NULL : PyObject_CallOneArg(class, text);
    Py_XDECREF(text);
    if (instance != NULL && describe(instance, err)) {
        PyErr_SetObject(class, instance);
    }
    Py_XDECREF(instance);
    return NULL;
}

PyObject *
pyla_fail(const la_module *module, la_status status, const char *hint,
          const char *format, ...)
{
    la_error err = {.status = status, .position = LA_NO_POSITION, .byte = UINT64_MAX};
    va_list args;
    va_start(args, format);
    vsnprintf(err.message, sizeof err.message, format, args);
    va_end(args);
    if (hint != NULL) {
        snprintf(err.hint, sizeof err.hint, "%s", hint);
    }
    return pyla_raise(module, &err);
}
