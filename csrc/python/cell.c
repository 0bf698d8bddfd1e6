/* SPDX-License-Identifier: Apache-2.0 */
/* One Python value as a field's type.
 *
 * Nothing is guessed: a bool is no integer, a float is an integer only when it is whole, a
 * decimal only when it reads back as the same float. Times without a zone are UTC. */
#include "cell.h" /* Python.h comes first */

#include <datetime.h>
#include <math.h>
#include <numpy/arrayscalars.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_SECOND)
#define DECIMAL_END INT64_C(1000000000000000000)

void
pyla_input_imports(void)
{
    PyDateTime_IMPORT;
}

static la_outcome bad(la_cell *out, la_status status, const char *format, ...)
    LA_PRINTF(3, 4);

static la_outcome
bad(la_cell *out, la_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->reason, sizeof out->reason, format, args);
    va_end(args);
    out->status = status;
    return CELL_BAD;
}

/* "expected i64, got 'x' (str)". */
static la_outcome
unexpected(la_cell *out, const la_field *field, PyObject *value, const char *hint)
{
    char type[PYLA_TYPE_TEXT];
    pyla_type_text(field, type);
    PyObject *shown = PyObject_Repr(value);
    const char *text = shown == NULL ? NULL : PyUnicode_AsUTF8(shown);
    if (text == NULL) {
        PyErr_Clear();
        text = "a value";
    }
    bad(out, LA_TYPE, "expected %s, got %.120s%s (%.60s)%s%s", type, text,
        strlen(text) > 120 ? "..." : "", Py_TYPE(value)->tp_name,
        hint[0] == '\0' ? "" : ": ", hint);
    Py_XDECREF(shown);
    return CELL_BAD;
}

static la_outcome
out_of_range(la_cell *out, const la_field *field, PyObject *value)
{
    (void)unexpected(out, field, value, "out of range");
    out->status = LA_INVALID;
    return CELL_BAD;
}

/* A pending error of a conversion becomes the reason; memory and signals stay errors. */
static la_outcome
from_exception(la_cell *out, const la_field *field, PyObject *value)
{
    if (!PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_TypeError) &&
        !PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        return CELL_ERROR;
    }
    PyErr_Clear();
    return unexpected(out, field, value, "");
}

static la_outcome
from_core(la_cell *out, const la_error *err, PyObject *value)
{
    (void)value;
    return bad(out, err->status, "%s", err->message);
}

/* None, pandas.NA, NaT, a masked cell. */
static bool
is_null(PyObject *value)
{
    if (value == Py_None) {
        return true;
    }
    const PyTypeObject *type = Py_TYPE(value);
    if (type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type ||
        type == &PyBool_Type) {
        return false;
    }
    if (PyArray_IsScalar(value, Datetime)) {
        return PyArrayScalar_VAL(value, Datetime) == NPY_DATETIME_NAT;
    }
    const char *name = type->tp_name;
    const char *last = strrchr(name, '.');
    name = last == NULL ? name : last + 1;
    return strcmp(name, "NAType") == 0 || strcmp(name, "NaTType") == 0 ||
           strcmp(name, "MaskedConstant") == 0;
}

static bool
is_bool(PyObject *value)
{
    return PyBool_Check(value) || PyArray_IsScalar(value, Bool);
}

static bool
is_float(PyObject *value)
{
    return PyFloat_Check(value) || PyArray_IsScalar(value, Floating);
}

static bool
is_integer(PyObject *value)
{
    return (PyLong_Check(value) && !PyBool_Check(value)) ||
           (PyArray_IsScalar(value, Integer) && !PyArray_IsScalar(value, Timedelta));
}

static la_outcome
cell_bool(const la_field *field, PyObject *value, la_cell *out)
{
    if (!is_bool(value)) {
        return unexpected(out, field, value, "");
    }
    int truth = PyObject_IsTrue(value);
    out->integer = truth;
    return truth < 0 ? CELL_ERROR : CELL_VALUE;
}

/* `value` is an int: its bits in `out`, checked against the field's type. */
static la_outcome
integer_in_range(const la_field *field, PyObject *value, PyObject *shown, la_cell *out)
{
    if (field->type == LA_T_U64) {
        unsigned long long bits = PyLong_AsUnsignedLongLong(value);
        if (bits == ULLONG_MAX && PyErr_Occurred()) {
            PyErr_Clear();
            return out_of_range(out, field, shown);
        }
        out->integer = (int64_t)bits;
        return CELL_VALUE;
    }
    int overflow;
    long long integer = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (integer == -1 && PyErr_Occurred()) {
        return CELL_ERROR;
    }
    bool narrow = field->type == LA_T_I32 || field->type == LA_T_DATE;
    if (overflow != 0 || (narrow && (integer < INT32_MIN || integer > INT32_MAX))) {
        return out_of_range(out, field, shown);
    }
    out->integer = integer;
    return CELL_VALUE;
}

static la_outcome
cell_integer(const la_field *field, PyObject *value, la_cell *out)
{
    PyObject *number;
    if (is_integer(value)) {
        number = PyNumber_Index(value);
    }
    else if (is_float(value)) {
        double x = PyFloat_AsDouble(value);
        if (!isfinite(x) || x != floor(x)) {
            return unexpected(out, field, value, "not a whole number");
        }
        number = PyLong_FromDouble(x);
    }
    else {
        return unexpected(out, field, value, "");
    }
    if (number == NULL) {
        return CELL_ERROR;
    }
    la_outcome done = integer_in_range(field, number, value, out);
    Py_DECREF(number);
    return done;
}

static la_outcome
cell_float(const la_field *field, PyObject *value, la_cell *out)
{
    if (is_float(value)) {
        out->real = PyFloat_AsDouble(value);
    }
    else if (is_integer(value)) {
        PyObject *number = PyNumber_Index(value);
        if (number == NULL) {
            return CELL_ERROR;
        }
        out->real = PyLong_AsDouble(number);
        PyObject *back = PyErr_Occurred() ? NULL : PyLong_FromDouble(out->real);
        int same = back == NULL ? -1 : PyObject_RichCompareBool(back, number, Py_EQ);
        Py_DECREF(number);
        Py_XDECREF(back);
        if (same < 0) {
            return from_exception(out, field, value);
        }
        if (!same) {
            return unexpected(out, field, value, "the integer has more than 53 bits");
        }
    }
    else {
        return unexpected(out, field, value, "");
    }
    if (PyErr_Occurred()) {
        return from_exception(out, field, value);
    }
    if (field->type == LA_T_F32 && isfinite(out->real) && !isfinite((float)out->real)) {
        return out_of_range(out, field, value);
    }
    return CELL_VALUE;
}

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

static la_outcome
decimal_text(const la_field *field, const char *text, Py_ssize_t size, PyObject *value,
             la_cell *out)
{
    /* "9.990" is 9.99: zeros past the scale lose nothing. */
    const char *point = memchr(text, '.', (size_t)size);
    if (point != NULL) {
        while (size > 1 && text[size - 1] == '0' && text + size - 2 > point) {
            size--;
        }
        if (size > 1 && text[size - 1] == '0' && text[size - 2] == '.') {
            size -= 2;
        }
    }
    la_error err;
    if (la_parse_decimal(text, (size_t)size, field->scale, &out->integer, &err) !=
        LA_OK) {
        return from_core(out, &err, value);
    }
    return CELL_VALUE;
}

static la_outcome
decimal_object(const la_field *field, PyObject *decimal, PyObject *value, la_cell *out)
{
    PyObject *plain = PyObject_CallMethod(decimal, "__format__", "s", "f");
    Py_ssize_t size;
    const char *text = plain == NULL ? NULL : PyUnicode_AsUTF8AndSize(plain, &size);
    la_outcome done = text == NULL ? from_exception(out, field, value)
                                   : decimal_text(field, text, size, value, out);
    Py_XDECREF(plain);
    return done;
}

/* The decimal that a float was read from: the one with the fewest digits that reads back as
 * it. Below 2^52 units only one of the scale does; above, Python's repr finds it. */
static la_outcome
decimal_float(const la_module *module, const la_field *field, PyObject *value,
              la_cell *out)
{
    static const char HINT[] =
        "a float must read back as itself at this scale; round it "
        "first or give decimal.Decimal";
    double x = PyFloat_AsDouble(value);
    double scaled = nearbyint(x * (double)POWERS[field->scale]);
    if (!isfinite(x)) {
        return unexpected(out, field, value, HINT);
    }
    if (fabs(scaled) < (double)(INT64_C(1) << 52)) {
        out->integer = (int64_t)scaled;
        return pyla_decimal_to_double(out->integer, field->scale) == x
                   ? CELL_VALUE
                   : unexpected(out, field, value, HINT);
    }
    char *shortest = PyOS_double_to_string(x, 'r', 0, 0, NULL);
    PyObject *decimal =
        shortest == NULL ? NULL : PyObject_CallFunction(module->decimal, "s", shortest);
    PyMem_Free(shortest);
    la_outcome done = decimal == NULL ? from_exception(out, field, value)
                                      : decimal_object(field, decimal, value, out);
    Py_XDECREF(decimal);
    return done == CELL_BAD ? unexpected(out, field, value, HINT) : done;
}

static la_outcome
cell_decimal(const la_module *module, const la_field *field, PyObject *value,
             la_cell *out)
{
    if (PyUnicode_Check(value)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        return text == NULL ? from_exception(out, field, value)
                            : decimal_text(field, text, size, value, out);
    }
    if (is_integer(value)) {
        PyObject *number = PyNumber_Index(value);
        if (number == NULL) {
            return CELL_ERROR;
        }
        int overflow;
        long long whole = PyLong_AsLongLongAndOverflow(number, &overflow);
        Py_DECREF(number);
        int64_t scaled;
        if (overflow != 0 ||
            __builtin_mul_overflow(whole, POWERS[field->scale], &scaled) ||
            scaled <= -DECIMAL_END || scaled >= DECIMAL_END) {
            return out_of_range(out, field, value);
        }
        out->integer = scaled;
        return CELL_VALUE;
    }
    if (is_float(value)) {
        return decimal_float(module, field, value, out);
    }
    int known = PyObject_IsInstance(value, module->decimal);
    if (known < 0) {
        return CELL_ERROR;
    }
    if (!known) {
        return unexpected(out, field, value, "");
    }
    return decimal_object(field, value, value, out);
}

/* Days since 1970-01-01 of a Gregorian date (Hinnant's algorithm). */
static int64_t
days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int64_t
date_days(PyObject *value)
{
    return days_of(PyDateTime_GET_YEAR(value), PyDateTime_GET_MONTH(value),
                   PyDateTime_GET_DAY(value));
}

/* Naive means UTC. */
static la_outcome
datetime_us(const la_field *field, PyObject *value, la_cell *out)
{
    int64_t seconds = PyDateTime_DATE_GET_HOUR(value) * 3600 +
                      PyDateTime_DATE_GET_MINUTE(value) * 60 +
                      PyDateTime_DATE_GET_SECOND(value);
    out->integer = date_days(value) * US_PER_DAY + seconds * US_PER_SECOND +
                   PyDateTime_DATE_GET_MICROSECOND(value);
    if (PyDateTime_DATE_GET_TZINFO(value) == Py_None) {
        return CELL_VALUE;
    }
    PyObject *offset = PyObject_CallMethod(value, "utcoffset", NULL);
    if (offset == NULL) {
        return from_exception(out, field, value);
    }
    if (PyDelta_Check(offset)) {
        out->integer -= PyDateTime_DELTA_GET_DAYS(offset) * US_PER_DAY +
                        PyDateTime_DELTA_GET_SECONDS(offset) * US_PER_SECOND +
                        PyDateTime_DELTA_GET_MICROSECONDS(offset);
    }
    Py_DECREF(offset);
    return CELL_VALUE;
}

/* Microseconds of a NumPy datetime64 scalar. */
static la_outcome
numpy_us(const la_field *field, PyObject *value, la_cell *out)
{
    const PyArray_DatetimeMetaData *meta = &((PyDatetimeScalarObject *)value)->obmeta;
    int64_t count = PyArrayScalar_VAL(value, Datetime);
    int64_t factor = 0;
    switch (meta->base) {
    case NPY_FR_W:
        factor = 7 * US_PER_DAY;
        break;
    case NPY_FR_D:
        factor = US_PER_DAY;
        break;
    case NPY_FR_h:
        factor = 3600 * US_PER_SECOND;
        break;
    case NPY_FR_m:
        factor = 60 * US_PER_SECOND;
        break;
    case NPY_FR_s:
        factor = US_PER_SECOND;
        break;
    case NPY_FR_ms:
        factor = 1000;
        break;
    case NPY_FR_us:
        factor = 1;
        break;
    case NPY_FR_ns:
        if (__builtin_mul_overflow(count, (int64_t)meta->num, &count)) {
            return out_of_range(out, field, value);
        }
        if (count % 1000 != 0) {
            return unexpected(out, field, value,
                              "it has parts of a microsecond; cast to datetime64[us]");
        }
        out->integer = count / 1000;
        return CELL_VALUE;
    default:
        return unexpected(out, field, value, "cast to datetime64[us]");
    }
    if (__builtin_mul_overflow(count, factor, &count) ||
        __builtin_mul_overflow(count, (int64_t)meta->num, &count)) {
        return out_of_range(out, field, value);
    }
    out->integer = count;
    return CELL_VALUE;
}

static la_outcome
cell_time(const la_field *field, PyObject *value, la_cell *out)
{
    if (PyDateTime_Check(value)) {
        return datetime_us(field, value, out);
    }
    if (PyDate_Check(value)) {
        out->integer = date_days(value) * US_PER_DAY;
        return CELL_VALUE;
    }
    if (PyArray_IsScalar(value, Datetime)) {
        return numpy_us(field, value, out);
    }
    if (PyUnicode_Check(value)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text == NULL) {
            return from_exception(out, field, value);
        }
        la_error err;
        return la_parse_time(text, (size_t)size, &out->integer, &err) == LA_OK
                   ? CELL_VALUE
                   : from_core(out, &err, value);
    }
    if (is_integer(value)) {
        return cell_integer(field, value, out);
    }
    return unexpected(out, field, value, "");
}

static la_outcome
cell_date(const la_field *field, PyObject *value, la_cell *out)
{
    if (PyDateTime_Check(value) || PyArray_IsScalar(value, Datetime)) {
        la_outcome done = cell_time(field, value, out);
        if (done == CELL_VALUE && out->integer % US_PER_DAY != 0) {
            return unexpected(out, field, value, "it has a time of day");
        }
        out->integer /= US_PER_DAY;
        if (done == CELL_VALUE &&
            (out->integer < INT32_MIN || out->integer > INT32_MAX)) {
            return out_of_range(out, field, value);
        }
        return done;
    }
    if (PyDate_Check(value)) {
        out->integer = date_days(value);
        return CELL_VALUE;
    }
    if (PyUnicode_Check(value)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        if (text == NULL) {
            return from_exception(out, field, value);
        }
        int32_t days;
        la_error err;
        if (la_parse_date(text, (size_t)size, &days, &err) != LA_OK) {
            return from_core(out, &err, value);
        }
        out->integer = days;
        return CELL_VALUE;
    }
    if (is_integer(value)) {
        return cell_integer(field, value, out);
    }
    return unexpected(out, field, value, "");
}

static la_outcome
cell_text(const la_field *field, PyObject *value, la_cell *out)
{
    if (field->type == LA_T_BYTES) {
        if (!PyBytes_Check(value)) {
            return unexpected(out, field, value, "");
        }
        out->text = PyBytes_AS_STRING(value);
        out->size = PyBytes_GET_SIZE(value);
    }
    else {
        if (!PyUnicode_Check(value)) {
            return unexpected(out, field, value,
                              PyBytes_Check(value) ? "decode it first" : "");
        }
        out->text = PyUnicode_AsUTF8AndSize(value, &out->size);
        if (out->text == NULL) {
            return PyErr_ExceptionMatches(PyExc_UnicodeError)
                       ? (PyErr_Clear(),
                          unexpected(out, field, value, "it is not valid Unicode"))
                       : CELL_ERROR;
        }
    }
    out->held = Py_NewRef(value);
    return CELL_VALUE;
}

la_outcome
pyla_cell_read(const la_module *module, const la_field *field, PyObject *value,
               la_cell *out)
{
    if (is_null(value)) {
        if (!field->nullable) {
            return bad(out, LA_INVALID, "null, but the field is not nullable");
        }
        return CELL_NULL;
    }
    switch (field->type) {
    case LA_T_BOOL:
        return cell_bool(field, value, out);
    case LA_T_I32:
    case LA_T_I64:
    case LA_T_U64:
        return cell_integer(field, value, out);
    case LA_T_F32:
    case LA_T_F64:
        return cell_float(field, value, out);
    case LA_T_DECIMAL:
        return cell_decimal(module, field, value, out);
    case LA_T_TIME:
        return cell_time(field, value, out);
    case LA_T_DATE:
        return cell_date(field, value, out);
    default:
        return cell_text(field, value, out);
    }
}
