/* SPDX-License-Identifier: Apache-2.0 */
/* Tables to NumPy. Numbers, bools and times are read-only arrays over the table, which a
 * capsule as their base keeps alive; decimals, dates and text are new arrays.
 *
 * Null cells hold NaN, NaT, 0, False or "" (pyla_table_blank); `valid` tells. */
#include <math.h>
#include <stdio.h>

#include "state.h"

#define CAPSULE "lambdaarch._core.table"
#define DECIMAL_EXACT (INT64_C(1) << 53)

/* ------------------------------------------------------------------- schema */

void
pyla_type_text(const la_field *field, char text[PYLA_TYPE_TEXT])
{
    static const char *const NAMES[LA_T_COUNT] = {
        [LA_T_NULL] = "null", [LA_T_BOOL] = "bool",       [LA_T_I32] = "i32",
        [LA_T_I64] = "i64",   [LA_T_U64] = "u64",         [LA_T_F32] = "f32",
        [LA_T_F64] = "f64",   [LA_T_TIME] = "time[us]",   [LA_T_DATE] = "date",
        [LA_T_CAT] = "cat",   [LA_T_STR] = "str",         [LA_T_BYTES] = "bytes",
        [LA_T_JSON] = "json", [LA_T_DECIMAL] = "decimal",
    };
    if (field->type == LA_T_DECIMAL) {
        snprintf(text, PYLA_TYPE_TEXT, "decimal(%u)", (unsigned)field->scale);
    }
    else {
        snprintf(text, PYLA_TYPE_TEXT, "%s", NAMES[field->type]);
    }
}

PyObject *
pyla_schema_list(const la_schema *schema)
{
    uint32_t count = la_schema_count(schema);
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const la_field *field = la_schema_field(schema, i);
        char text[PYLA_TYPE_TEXT];
        pyla_type_text(field, text);
        PyObject *item = Py_BuildValue("(ssO)", field->name, text,
                                       field->nullable ? Py_True : Py_False);
        if (item == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}

/* ------------------------------------------------------------------ capsules */

static void
capsule_free(PyObject *capsule)
{
    pyla_table_release(PyCapsule_GetPointer(capsule, CAPSULE));
}

PyObject *
pyla_table_capsule(la_table *table)
{
    PyObject *capsule = PyCapsule_New(table, CAPSULE, capsule_free);
    if (capsule != NULL) {
        pyla_table_retain(table);
    }
    return capsule;
}

/* Steals `descr`. */
static PyObject *
array_over(PyArray_Descr *descr, const void *data, uint32_t rows, PyObject *capsule)
{
    npy_intp shape[1] = {(npy_intp)rows};
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, descr, 1, shape, NULL,
                                           (void *)(uintptr_t)data, 0, NULL);
    if (array == NULL) {
        return NULL;
    }
    if (PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(capsule)) < 0) {
        Py_DECREF(array);
        return NULL;
    }
    return array;
}

/* -------------------------------------------------------------------- values */

double
pyla_decimal_to_double(int64_t value, uint8_t scale)
{
    static const int64_t POWERS[19] = {
        1,
        10,
        100,
        1000,
        10000,
        100000,
        1000000,
        10000000,
        100000000,
        1000000000,
        10000000000,
        100000000000,
        1000000000000,
        10000000000000,
        100000000000000,
        1000000000000000,
        10000000000000000,
        100000000000000000,
        1000000000000000000,
    };
    int64_t power = POWERS[scale <= 18 ? scale : 18];
    if (value > -DECIMAL_EXACT && value < DECIMAL_EXACT) {
        /* Both sides are exact (10^18 = 2^18 5^18 and 5^18 < 2^53): one rounding. */
        return (double)value / (double)power;
    }
    /* |value| >= 2^53, so the quotient below has at least 57 bits: rounding it to 53 with a
     * sticky last bit rounds the rational once. */
    unsigned __int128 wide =
        value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    wide <<= 64;
    unsigned __int128 divisor = (unsigned __int128)power;
    unsigned __int128 quotient = wide / divisor;
    if (wide % divisor != 0) {
        quotient |= 1;
    }
    double magnitude = ldexp((double)quotient, -64);
    return value < 0 ? -magnitude : magnitude;
}

static PyObject *
decimal_values(const la_column *column, uint32_t rows)
{
    npy_intp shape[1] = {(npy_intp)rows};
    PyObject *array = PyArray_SimpleNew(1, shape, NPY_DOUBLE);
    if (array == NULL) {
        return NULL;
    }
    double *out = PyArray_DATA((PyArrayObject *)array);
    const int64_t *in = column->data;
    const uint8_t *valid = column->valid;
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = valid != NULL && valid[i] == 0
                     ? (double)NAN
                     : pyla_decimal_to_double(in[i], column->scale);
    }
    return array;
}

static PyObject *
date_values(const la_module *module, const la_column *column, uint32_t rows)
{
    npy_intp shape[1] = {(npy_intp)rows};
    Py_INCREF(module->time_day);
    PyObject *array = PyArray_SimpleNewFromDescr(1, shape, module->time_day);
    if (array == NULL) {
        return NULL;
    }
    int64_t *out = PyArray_DATA((PyArrayObject *)array);
    const int32_t *in = column->data;
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = in[i] == INT32_MIN ? NPY_DATETIME_NAT : in[i];
    }
    return array;
}

static PyObject *
text_values(const la_column *column, uint32_t rows)
{
    PyObject *descr = PyObject_CallNoArgs((PyObject *)&PyArray_StringDType);
    if (descr == NULL) {
        return NULL;
    }
    npy_intp shape[1] = {(npy_intp)rows};
    PyObject *array =
        PyArray_Zeros(1, shape, (PyArray_Descr *)descr, 0); /* steals descr */
    if (array == NULL) {
        return NULL;
    }
    /* The array may have a descriptor (and allocator) of its own. */
    PyArray_StringDTypeObject *dtype =
        (PyArray_StringDTypeObject *)PyArray_DESCR((PyArrayObject *)array);
    char *at = PyArray_BYTES((PyArrayObject *)array);
    npy_intp stride = PyArray_ITEMSIZE((PyArrayObject *)array);
    const char *heap = column->data;
    bool failed = false;
    npy_string_allocator *allocator = NpyString_acquire_allocator(dtype);
    for (uint32_t i = 0; i < rows && !failed; i++, at += stride) {
        size_t size = column->offsets[i + 1] - column->offsets[i];
        failed = NpyString_pack(allocator, (npy_packed_static_string *)(void *)at,
                                heap + column->offsets[i], size) < 0;
    }
    NpyString_release_allocator(allocator);
    if (failed) {
        Py_DECREF(array);
        return PyErr_NoMemory();
    }
    return array;
}

static PyObject *
bytes_values(const la_column *column, uint32_t rows)
{
    npy_intp shape[1] = {(npy_intp)rows};
    PyObject *array = PyArray_SimpleNew(1, shape, NPY_OBJECT);
    if (array == NULL) {
        return NULL;
    }
    PyObject **out = PyArray_DATA((PyArrayObject *)array);
    const char *heap = column->data;
    for (uint32_t i = 0; i < rows; i++) {
        PyObject *item = PyBytes_FromStringAndSize(
            heap + column->offsets[i],
            (Py_ssize_t)(column->offsets[i + 1] - column->offsets[i]));
        if (item == NULL) {
            Py_DECREF(array);
            return NULL;
        }
        Py_XSETREF(out[i], item);
    }
    return array;
}

static int
numpy_type(la_type type)
{
    switch (type) {
    case LA_T_BOOL:
        return NPY_BOOL;
    case LA_T_I32:
        return NPY_INT32;
    case LA_T_U64:
        return NPY_UINT64;
    case LA_T_F32:
        return NPY_FLOAT;
    case LA_T_F64:
        return NPY_DOUBLE;
    default:
        return NPY_INT64;
    }
}

PyObject *
pyla_column_values(const la_module *module, const la_table *table, uint32_t index,
                   PyObject *capsule)
{
    const la_chunk *chunk = pyla_table_chunk(table);
    const la_column *column = &chunk->columns[index];
    switch (column->type) {
    case LA_T_NULL:
        return PyErr_Format(PyExc_SystemError, "column %u was not read",
                            (unsigned)index);
    case LA_T_DECIMAL:
        return decimal_values(column, chunk->rows);
    case LA_T_DATE:
        return date_values(module, column, chunk->rows);
    case LA_T_STR:
    case LA_T_JSON:
        return text_values(column, chunk->rows);
    case LA_T_BYTES:
        return bytes_values(column, chunk->rows);
    case LA_T_TIME:
        Py_INCREF(module->time_us);
        return array_over(module->time_us, column->data, chunk->rows, capsule);
    default:
        return array_over(PyArray_DescrFromType(numpy_type(column->type)), column->data,
                          chunk->rows, capsule);
    }
}

PyObject *
pyla_column_valid(const la_table *table, uint32_t index, PyObject *capsule)
{
    const la_chunk *chunk = pyla_table_chunk(table);
    const uint8_t *valid = chunk->columns[index].valid;
    if (valid == NULL) {
        Py_RETURN_NONE;
    }
    return array_over(PyArray_DescrFromType(NPY_BOOL), valid, chunk->rows, capsule);
}

PyObject *
pyla_column_pair(const la_module *module, const la_table *table, uint32_t index,
                 PyObject *capsule)
{
    PyObject *values = pyla_column_values(module, table, index, capsule);
    PyObject *valid = values == NULL ? NULL : pyla_column_valid(table, index, capsule);
    if (valid == NULL) {
        Py_XDECREF(values);
        return NULL;
    }
    return Py_BuildValue("(NN)", values, valid);
}

PyObject *
pyla_column_scaled(const la_table *table, uint32_t index, PyObject *capsule)
{
    const la_chunk *chunk = pyla_table_chunk(table);
    const la_column *column = &chunk->columns[index];
    switch (column->type) {
    case LA_T_I32:
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_DECIMAL:
        return array_over(PyArray_DescrFromType(numpy_type(column->type)), column->data,
                          chunk->rows, capsule);
    default:
        PyErr_Format(PyExc_TypeError, "column %u is neither an integer nor a decimal",
                     (unsigned)index);
        return NULL;
    }
}
