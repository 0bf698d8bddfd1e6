/* SPDX-License-Identifier: Apache-2.0 */
/* Python values to rows for the core.
 *
 *   array of the physical type  -> borrowed, zero-copy; input.held keeps it alive
 *   StringDType array           -> heap and offsets of the input
 *   list, tuple, object array   -> cell by cell, by the field's type
 *   list of dicts               -> the same, each cell looked up by name
 *
 * Nothing is guessed: a bool is no integer, a float is an integer only when it is integral, a
 * decimal only when it reads back as the same float. What cannot be read makes its row bad, with a
 * reason; the caller raises for the lowest one or sends them to quarantine. */
#include "state.h" /* Python.h comes first */

#include <datetime.h>
#include <math.h>
#include <numpy/arrayscalars.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_SECOND)
#define DECIMAL_END INT64_C(1000000000000000000)
#define REASON_BYTES 512

void
pyla_input_imports(void)
{
    PyDateTime_IMPORT;
}

/* ------------------------------------------------------------------ life */

int
pyla_input_init(la_input *input, const la_schema *schema, Py_ssize_t rows,
                const la_module *module)
{
    *input = (la_input){.schema = schema};
    if (rows < 0 || rows >= (Py_ssize_t)UINT32_MAX) {
        pyla_fail(module, LA_INVALID, "append in several calls",
                  "could not append %zd rows at once: the limit is %u", rows,
                  UINT32_MAX - 1);
        return -1;
    }
    uint32_t count = la_schema_count(schema);
    input->bad_first = UINT32_MAX;
    input->columns = PyMem_Calloc(count + 1u, sizeof *input->columns);
    input->held = PyList_New(0);
    input->reasons = PyDict_New();
    if (input->columns == NULL || input->held == NULL || input->reasons == NULL) {
        pyla_input_fini(input);
        PyErr_NoMemory();
        return -1;
    }
    input->chunk = (la_chunk){
        .schema = schema,
        .rows = (uint32_t)rows,
        .column_count = count,
        .columns = input->columns,
    };
    return 0;
}

void
pyla_input_fini(la_input *input)
{
    for (uint32_t i = 0; i < input->block_count; i++) {
        PyMem_Free(input->blocks[i]);
    }
    PyMem_Free(input->blocks);
    PyMem_Free(input->columns);
    Py_XDECREF(input->held);
    Py_XDECREF(input->reasons);
    *input = (la_input){0};
}

void *
pyla_input_alloc(la_input *input, size_t size)
{
    if (input->block_count == input->block_capacity) {
        uint32_t capacity = input->block_capacity * 2 + 16;
        void **blocks = PyMem_Realloc(input->blocks, capacity * sizeof *blocks);
        if (blocks == NULL) {
            return PyErr_NoMemory();
        }
        input->blocks = blocks;
        input->block_capacity = capacity;
    }
    void *block = PyMem_Calloc(1, size + 1);
    if (block == NULL) {
        return PyErr_NoMemory();
    }
    input->blocks[input->block_count++] = block;
    return block;
}

/* The block's last pointer after a realloc of it. */
static void
replace_block(la_input *input, void *from, void *to)
{
    for (uint32_t i = input->block_count; i-- > 0;) {
        if (input->blocks[i] == from) {
            input->blocks[i] = to;
            return;
        }
    }
}

int
pyla_input_bad(la_input *input, uint32_t row, la_status status, PyObject *reason)
{
    PyObject *key = PyLong_FromUnsignedLong(row);
    if (key == NULL) {
        return -1;
    }
    PyObject *known = PyDict_GetItemWithError(input->reasons, key); /* borrowed */
    int failed = PyErr_Occurred() != NULL;
    if (!failed && known != NULL && PyUnicode_READ_CHAR(known, 0) != 'f') {
        /* A reason about the whole row stands alone; those about fields are joined. */
    }
    else if (!failed && known != NULL) {
        PyObject *both = PyUnicode_FromFormat("%U; %U", known, reason);
        failed = both == NULL || PyDict_SetItem(input->reasons, key, both) < 0;
        Py_XDECREF(both);
    }
    else if (!failed) {
        failed = PyDict_SetItem(input->reasons, key, reason) < 0;
    }
    Py_DECREF(key);
    if (row < input->bad_first) {
        input->bad_first = row;
        input->bad_status = status;
    }
    return failed ? -1 : 0;
}

/* ----------------------------------------------------------------- one cell */

typedef enum outcome { CELL_ERROR = -1, CELL_VALUE, CELL_NULL, CELL_BAD } outcome;

typedef struct cell {
    int64_t integer; /* all but floats and text; u64 as bits */
    double real;
    const char *text;
    Py_ssize_t size;
    PyObject *held; /* keeps text alive */
    la_status status;
    char reason[REASON_BYTES];
} cell;

static outcome
bad(cell *out, la_status status, const char *format, ...) LA_PRINTF(3, 4);

static outcome
bad(cell *out, la_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out->reason, sizeof out->reason, format, args);
    va_end(args);
    out->status = status;
    return CELL_BAD;
}

/* "expected i64, got 'x' (str)". */
static outcome
unexpected(cell *out, const la_field *field, PyObject *value, const char *hint)
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

static outcome
out_of_range(cell *out, const la_field *field, PyObject *value)
{
    (void)unexpected(out, field, value, "out of range");
    out->status = LA_INVALID;
    return CELL_BAD;
}

/* A pending error of a conversion becomes the reason; memory and signals stay errors. */
static outcome
from_exception(cell *out, const la_field *field, PyObject *value)
{
    if (!PyErr_ExceptionMatches(PyExc_ValueError)
        && !PyErr_ExceptionMatches(PyExc_TypeError)
        && !PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
        return CELL_ERROR;
    }
    PyErr_Clear();
    return unexpected(out, field, value, "");
}

static outcome
from_core(cell *out, const la_error *err, PyObject *value)
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
    if (PyArray_IsScalar(value, Datetime)) {
        return PyArrayScalar_VAL(value, Datetime) == NPY_DATETIME_NAT;
    }
    const char *name = Py_TYPE(value)->tp_name;
    const char *last = strrchr(name, '.');
    name = last == NULL ? name : last + 1;
    return strcmp(name, "NAType") == 0 || strcmp(name, "NaTType") == 0
           || strcmp(name, "MaskedConstant") == 0;
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
    return (PyLong_Check(value) && !PyBool_Check(value))
           || (PyArray_IsScalar(value, Integer) && !PyArray_IsScalar(value, Timedelta));
}

static outcome
cell_bool(const la_field *field, PyObject *value, cell *out)
{
    if (!is_bool(value)) {
        return unexpected(out, field, value, "");
    }
    int truth = PyObject_IsTrue(value);
    out->integer = truth;
    return truth < 0 ? CELL_ERROR : CELL_VALUE;
}

/* `value` is an int: its bits in `out`, checked against the field's type. */
static outcome
integer_in_range(const la_field *field, PyObject *value, PyObject *shown, cell *out)
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

static outcome
cell_integer(const la_field *field, PyObject *value, cell *out)
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
    outcome done = integer_in_range(field, number, value, out);
    Py_DECREF(number);
    return done;
}

static outcome
cell_float(const la_field *field, PyObject *value, cell *out)
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

static outcome
decimal_text(const la_field *field, const char *text, Py_ssize_t size, PyObject *value,
             cell *out)
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
    if (la_parse_decimal(text, (size_t)size, field->scale, &out->integer, &err) != LA_OK) {
        return from_core(out, &err, value);
    }
    return CELL_VALUE;
}

static outcome
decimal_float(const la_field *field, PyObject *value, cell *out)
{
    double x = PyFloat_AsDouble(value);
    double scaled = nearbyint(x * (double)POWERS[field->scale]);
    if (isfinite(scaled) && fabs(scaled) < (double)DECIMAL_END) {
        for (int64_t step = -1; step <= 1; step++) {
            int64_t candidate = (int64_t)scaled + step;
            if (candidate > -DECIMAL_END && candidate < DECIMAL_END
                && pyla_decimal_to_double(candidate, field->scale) == x) {
                out->integer = candidate;
                return CELL_VALUE;
            }
        }
    }
    return unexpected(out, field, value,
                      "a float must read back as itself at this scale; round it first or "
                      "give decimal.Decimal");
}

static outcome
cell_decimal(const la_module *module, const la_field *field, PyObject *value, cell *out)
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
        if (overflow != 0 || __builtin_mul_overflow(whole, POWERS[field->scale], &scaled)
            || scaled <= -DECIMAL_END || scaled >= DECIMAL_END) {
            return out_of_range(out, field, value);
        }
        out->integer = scaled;
        return CELL_VALUE;
    }
    if (is_float(value)) {
        return decimal_float(field, value, out);
    }
    int known = PyObject_IsInstance(value, module->decimal);
    if (known < 0) {
        return CELL_ERROR;
    }
    if (!known) {
        return unexpected(out, field, value, "");
    }
    PyObject *plain = PyObject_CallMethod(value, "__format__", "s", "f");
    Py_ssize_t size;
    const char *text = plain == NULL ? NULL : PyUnicode_AsUTF8AndSize(plain, &size);
    outcome done = text == NULL ? from_exception(out, field, value)
                                : decimal_text(field, text, size, value, out);
    Py_XDECREF(plain);
    return done;
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
static outcome
datetime_us(const la_field *field, PyObject *value, cell *out)
{
    int64_t seconds = PyDateTime_DATE_GET_HOUR(value) * 3600
                      + PyDateTime_DATE_GET_MINUTE(value) * 60
                      + PyDateTime_DATE_GET_SECOND(value);
    out->integer = date_days(value) * US_PER_DAY + seconds * US_PER_SECOND
                   + PyDateTime_DATE_GET_MICROSECOND(value);
    if (PyDateTime_DATE_GET_TZINFO(value) == Py_None) {
        return CELL_VALUE;
    }
    PyObject *offset = PyObject_CallMethod(value, "utcoffset", NULL);
    if (offset == NULL) {
        return from_exception(out, field, value);
    }
    if (PyDelta_Check(offset)) {
        out->integer -= PyDateTime_DELTA_GET_DAYS(offset) * US_PER_DAY
                        + PyDateTime_DELTA_GET_SECONDS(offset) * US_PER_SECOND
                        + PyDateTime_DELTA_GET_MICROSECONDS(offset);
    }
    Py_DECREF(offset);
    return CELL_VALUE;
}

/* Microseconds of a NumPy datetime64 scalar. */
static outcome
numpy_us(const la_field *field, PyObject *value, cell *out)
{
    const PyArray_DatetimeMetaData *meta =
        &((PyDatetimeScalarObject *)value)->obmeta;
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
    if (__builtin_mul_overflow(count, factor, &count)
        || __builtin_mul_overflow(count, (int64_t)meta->num, &count)) {
        return out_of_range(out, field, value);
    }
    out->integer = count;
    return CELL_VALUE;
}

static outcome
cell_time(const la_field *field, PyObject *value, cell *out)
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

static outcome
cell_date(const la_field *field, PyObject *value, cell *out)
{
    if (PyDateTime_Check(value) || PyArray_IsScalar(value, Datetime)) {
        outcome done = cell_time(field, value, out);
        if (done == CELL_VALUE && out->integer % US_PER_DAY != 0) {
            return unexpected(out, field, value, "it has a time of day");
        }
        out->integer /= US_PER_DAY;
        if (done == CELL_VALUE
            && (out->integer < INT32_MIN || out->integer > INT32_MAX)) {
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

static outcome
cell_text(const la_field *field, PyObject *value, cell *out)
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

static outcome
read_cell(const la_module *module, const la_field *field, PyObject *value, cell *out)
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

/* ------------------------------------------------------------ writing a column */

typedef struct writer {
    la_input *input;
    const la_field *field;
    la_column *column;
    uint8_t *data;
    uint32_t *offsets;
    uint8_t *valid;
    size_t heap_size, heap_capacity;
} writer;

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES || type == LA_T_CAT || type == LA_T_JSON;
}

static size_t
width_of(la_type type)
{
    switch (type) {
    case LA_T_BOOL:
        return 1;
    case LA_T_I32:
    case LA_T_F32:
    case LA_T_DATE:
        return 4;
    default:
        return 8;
    }
}

static int
writer_init(writer *w, la_input *input, uint32_t column)
{
    *w = (writer){
        .input = input,
        .field = la_schema_field(input->schema, column),
        .column = &input->columns[column],
    };
    size_t rows = input->chunk.rows;
    bool text = is_text(w->field->type);
    if (text) {
        w->offsets = pyla_input_alloc(input, (rows + 1) * sizeof *w->offsets);
        w->heap_capacity = rows * 8 + 64;
    }
    w->data = pyla_input_alloc(input, text ? w->heap_capacity
                                           : rows * width_of(w->field->type));
    if (w->data == NULL || (text && w->offsets == NULL)) {
        return -1;
    }
    return 0;
}

static void
writer_done(writer *w)
{
    *w->column = (la_column){
        .type = w->field->type == LA_T_CAT ? LA_T_STR : w->field->type,
        .scale = w->field->scale,
        .data = w->data,
        .offsets = w->offsets,
        .valid = w->valid,
    };
}

static int
write_null(writer *w, uint32_t row)
{
    if (w->valid == NULL) {
        w->valid = pyla_input_alloc(w->input, w->input->chunk.rows);
        if (w->valid == NULL) {
            return -1;
        }
        memset(w->valid, 1, w->input->chunk.rows);
    }
    w->valid[row] = 0;
    if (w->offsets != NULL) {
        w->offsets[row + 1] = (uint32_t)w->heap_size;
    }
    return 0;
}

static int
write_text(writer *w, uint32_t row, const char *text, size_t size)
{
    if (w->heap_size + size >= UINT32_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "could not append field \"%s\": its texts take 4 GiB or more; append "
                     "in several calls",
                     w->field->name);
        return -1;
    }
    if (w->heap_size + size > w->heap_capacity) {
        size_t capacity = (w->heap_size + size) * 2;
        uint8_t *data = PyMem_Realloc(w->data, capacity);
        if (data == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        replace_block(w->input, w->data, data);
        w->data = data;
        w->heap_capacity = capacity;
    }
    memcpy(w->data + w->heap_size, text, size);
    w->heap_size += size;
    w->offsets[row + 1] = (uint32_t)w->heap_size;
    return 0;
}

static int
write_bad(writer *w, uint32_t row, la_status status, const char *reason)
{
    PyObject *text = PyUnicode_FromFormat("field \"%s\": %s", w->field->name, reason);
    if (text == NULL) {
        return -1;
    }
    int failed = pyla_input_bad(w->input, row, status, text);
    Py_DECREF(text);
    if (failed == 0 && w->offsets != NULL) {
        w->offsets[row + 1] = (uint32_t)w->heap_size;
    }
    return failed;
}

static int
write_cell(writer *w, const la_module *module, uint32_t row, PyObject *value)
{
    cell c = {.held = NULL};
    outcome done = read_cell(module, w->field, value, &c);
    if (done == CELL_ERROR) {
        return -1;
    }
    if (done == CELL_NULL) {
        return write_null(w, row);
    }
    if (done == CELL_BAD) {
        return write_bad(w, row, c.status, c.reason);
    }
    switch (w->field->type) {
    case LA_T_BOOL:
        w->data[row] = (uint8_t)c.integer;
        return 0;
    case LA_T_I32:
    case LA_T_DATE:
        ((int32_t *)(void *)w->data)[row] = (int32_t)c.integer;
        return 0;
    case LA_T_F32:
        ((float *)(void *)w->data)[row] = (float)c.real;
        return 0;
    case LA_T_F64:
        ((double *)(void *)w->data)[row] = c.real;
        return 0;
    case LA_T_I64:
    case LA_T_U64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        ((int64_t *)(void *)w->data)[row] = c.integer;
        return 0;
    default: {
        int failed = write_text(w, row, c.text, (size_t)c.size);
        Py_XDECREF(c.held);
        return failed;
    }
    }
}

/* --------------------------------------------------------------- whole columns */

/* Masked rows: null, or bad where the field takes none. */
static int
mark_nulls(writer *w, const uint8_t *mask)
{
    for (uint32_t row = 0; row < w->input->chunk.rows; row++) {
        if (mask[row] == 0) {
            continue;
        }
        int failed = w->field->nullable ? write_null(w, row)
                                        : write_bad(w, row, LA_INVALID,
                                                    "null, but the field is not nullable");
        if (failed) {
            return -1;
        }
    }
    return 0;
}

static bool
is_physical(const la_field *field, int type)
{
    switch (field->type) {
    case LA_T_BOOL:
        return type == NPY_BOOL;
    case LA_T_I32:
    case LA_T_DATE:
        return type == NPY_INT32;
    case LA_T_U64:
        return PyTypeNum_ISUNSIGNED(type)
               && (type == NPY_UINT64 || (sizeof(long) == 8 && type == NPY_ULONG)
                   || type == NPY_ULONGLONG);
    case LA_T_F32:
        return type == NPY_FLOAT;
    case LA_T_F64:
        return type == NPY_DOUBLE;
    case LA_T_I64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        return type == NPY_INT64 || type == NPY_LONGLONG;
    default:
        return false;
    }
}

/* Borrow the array's memory where it is laid out as the core reads it, else a copy of it. */
static int
borrow_array(writer *w, PyObject *values)
{
    PyArrayObject *given = (PyArrayObject *)values;
    if (!is_physical(w->field, PyArray_TYPE(given))) {
        PyErr_Format(PyExc_TypeError, "field \"%s\": %R is not its physical type",
                     w->field->name, (PyObject *)PyArray_DESCR(given));
        return -1;
    }
    PyObject *array = PyArray_FromArray(
        given, NULL, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_NOTSWAPPED);
    if (array == NULL) {
        return -1;
    }
    int failed = PyList_Append(w->input->held, array);
    w->data = PyArray_DATA((PyArrayObject *)array);
    Py_DECREF(array);
    return failed;
}

static int
write_string_array(writer *w, PyArrayObject *array, const uint8_t *mask)
{
    PyArray_StringDTypeObject *dtype = (PyArray_StringDTypeObject *)PyArray_DESCR(array);
    const char *at = PyArray_BYTES(array);
    npy_intp stride = PyArray_STRIDE(array, 0);
    int failed = 0;
    npy_string_allocator *allocator = NpyString_acquire_allocator(dtype);
    for (uint32_t row = 0; row < w->input->chunk.rows && !failed; row++, at += stride) {
        npy_static_string text = {0, NULL};
        int null = NpyString_load(allocator,
                                  (const npy_packed_static_string *)(const void *)at, &text);
        if (null < 0) {
            PyErr_NoMemory();
            failed = -1;
        }
        else if (null == 1 || (mask != NULL && mask[row])) {
            failed = w->field->nullable
                         ? write_null(w, row)
                         : write_bad(w, row, LA_INVALID,
                                     "null, but the field is not nullable");
        }
        else {
            failed = write_text(w, row, text.buf, text.size);
        }
    }
    NpyString_release_allocator(allocator);
    return failed;
}

static int
write_sequence(writer *w, const la_module *module, PyObject *values, const uint8_t *mask)
{
    PyObject *fast = PySequence_Fast(values, "a column is an array or a list");
    if (fast == NULL) {
        return -1;
    }
    int failed = 0;
    for (uint32_t row = 0; row < w->input->chunk.rows && !failed; row++) {
        if ((Py_ssize_t)row >= PySequence_Fast_GET_SIZE(fast)) {
            PyErr_SetString(PyExc_RuntimeError, "a column changed its length while read");
            failed = -1;
            break;
        }
        bool null = mask != NULL && mask[row];
        PyObject *value = null ? Py_None : PySequence_Fast_GET_ITEM(fast, (Py_ssize_t)row);
        Py_INCREF(value);
        failed = write_cell(w, module, row, value);
        Py_DECREF(value);
    }
    Py_DECREF(fast);
    return failed;
}

static const uint8_t *
mask_bytes(la_input *input, PyObject *mask)
{
    PyObject *array = PyArray_FROMANY(mask, NPY_BOOL, 1, 1, NPY_ARRAY_IN_ARRAY);
    if (array == NULL) {
        return NULL;
    }
    if (PyArray_SIZE((PyArrayObject *)array) != (npy_intp)input->chunk.rows
        || PyList_Append(input->held, array) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "a mask has another length than its column");
        }
        Py_DECREF(array);
        return NULL;
    }
    const uint8_t *bytes = PyArray_DATA((PyArrayObject *)array);
    Py_DECREF(array); /* held keeps it */
    return bytes;
}

int
pyla_input_column(la_input *input, const la_module *module, uint32_t column,
                  PyObject *values, PyObject *mask, bool physical)
{
    const la_field *field = la_schema_field(input->schema, column);
    const uint8_t *null = NULL;
    if (mask != Py_None && (null = mask_bytes(input, mask)) == NULL) {
        return -1;
    }
    writer w;
    if (physical) { /* no buffer of our own */
        w = (writer){.input = input, .field = field, .column = &input->columns[column]};
        if (borrow_array(&w, values) < 0 || (null != NULL && mark_nulls(&w, null) < 0)) {
            return -1;
        }
        writer_done(&w);
        return 0;
    }
    if (writer_init(&w, input, column) < 0) {
        return -1;
    }
    int failed = 0;
    if (values == Py_None) {
        for (uint32_t row = 0; row < input->chunk.rows && !failed; row++) {
            failed = write_cell(&w, module, row, Py_None);
        }
    }
    else if (PyArray_Check(values)
             && PyArray_TYPE((PyArrayObject *)values) == NPY_VSTRING
             && is_text(field->type) && field->type != LA_T_BYTES) {
        failed = write_string_array(&w, (PyArrayObject *)values, null);
    }
    else {
        failed = write_sequence(&w, module, values, null);
    }
    if (!failed) {
        writer_done(&w);
    }
    return failed;
}

/* ------------------------------------------------------------------ row dicts */

static int
unknown_field(la_input *input, const la_module *module, PyObject *row, uint32_t at)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(row, &position, &key, &value)) {
        const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8(key) : NULL;
        PyErr_Clear();
        if (name != NULL && la_schema_find(input->schema, name) >= 0) {
            continue;
        }
        PyObject *reason = PyUnicode_FromFormat("no field %R in the schema", key);
        int failed = reason == NULL
                         ? -1
                         : pyla_input_bad(input, at, LA_NOT_FOUND, reason);
        Py_XDECREF(reason);
        return failed;
    }
    (void)module;
    return 0;
}

int
pyla_input_rows(la_input *input, const la_module *module, PyObject *rows)
{
    uint32_t count = input->chunk.column_count, total = input->chunk.rows;
    uint32_t *found = pyla_input_alloc(input, (size_t)total * sizeof *found);
    if (found == NULL) {
        return -1;
    }
    for (uint32_t column = 0; column < count; column++) {
        writer w;
        if (writer_init(&w, input, column) < 0) {
            return -1;
        }
        PyObject *name = PyUnicode_InternFromString(w.field->name);
        int failed = name == NULL ? -1 : 0;
        for (uint32_t row = 0; row < total && !failed; row++) {
            PyObject *dict = PyList_GET_ITEM(rows, (Py_ssize_t)row);
            if (!PyDict_Check(dict)) {
                PyErr_Format(PyExc_TypeError, "row %u is not a dict but %R", (unsigned)row,
                             (PyObject *)Py_TYPE(dict));
                failed = -1;
                break;
            }
            PyObject *value = PyDict_GetItemWithError(dict, name); /* borrowed */
            if (value != NULL) {
                found[row]++;
                Py_INCREF(value);
                failed = write_cell(&w, module, row, value);
                Py_DECREF(value);
            }
            else if (PyErr_Occurred()) {
                failed = -1;
            }
            else if (w.field->nullable) {
                failed = write_null(&w, row);
            }
            else {
                failed = write_bad(&w, row, LA_INVALID, "missing");
            }
        }
        Py_XDECREF(name);
        if (failed) {
            return -1;
        }
        writer_done(&w);
    }
    for (uint32_t row = 0; row < total; row++) {
        PyObject *dict = PyList_GET_ITEM(rows, (Py_ssize_t)row);
        if ((Py_ssize_t)found[row] != PyDict_GET_SIZE(dict)
            && unknown_field(input, module, dict, row) < 0) {
            return -1;
        }
    }
    return 0;
}

/* --------------------------------------------------------- raw text, reasons */

int
pyla_input_text(la_input *input, PyObject *texts, la_column *out)
{
    uint32_t rows = input->chunk.rows;
    uint32_t *offsets = pyla_input_alloc(input, ((size_t)rows + 1) * sizeof *offsets);
    if (offsets == NULL) {
        return -1;
    }
    size_t size = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        char *heap = pass == 0 ? NULL : pyla_input_alloc(input, size);
        if (pass == 1 && heap == NULL) {
            return -1;
        }
        size = 0;
        for (uint32_t row = 0; row < rows; row++) {
            PyObject *key = PyLong_FromUnsignedLong(row);
            PyObject *text = key == NULL ? NULL : PyDict_GetItemWithError(texts, key);
            Py_XDECREF(key);
            Py_ssize_t bytes = 0;
            const char *at = NULL;
            if (text != NULL && (at = PyUnicode_AsUTF8AndSize(text, &bytes)) == NULL) {
                return -1;
            }
            if (text == NULL && PyErr_Occurred()) {
                return -1;
            }
            if (heap != NULL && bytes > 0) {
                memcpy(heap + size, at, (size_t)bytes);
            }
            size += (size_t)bytes;
            if (size >= UINT32_MAX) {
                PyErr_SetString(PyExc_ValueError, "bad rows take 4 GiB of text");
                return -1;
            }
            offsets[row + 1] = (uint32_t)size;
        }
        out->data = heap;
    }
    out->type = LA_T_STR;
    out->offsets = offsets;
    out->valid = NULL;
    return 0;
}
