/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the binding share: the module's state, one struct a type, and who owns
 * what. Only this folder knows Python and NumPy; it uses nothing of the core but
 * lambdaarch.h.
 *
 *   state.h    module.c errors.c
 *   input.c    Python values  -> la_chunk (borrowed arrays, or buffers of the input)
 *   table.c    la_chunk       -> la_table: rows copied out of the core, reference counted
 *   output.c   la_table       -> NumPy arrays that keep the table alive
 *   arrow.c    Arrow streams in and out
 *   *_type.c   one heap type a noun, thin
 *
 * Ownership
 *  1. A store object owns its la_store. Logs and views borrow from it and hold a strong
 *     reference to it; each call is bracketed by pyla_enter and pyla_leave.
 *  2. Scans, batch runs and verify runs are *children*: store.close() closes them first.
 *     close() during a call of another thread takes effect when that call returns.
 *  3. Answers and scanned rows are copies (la_table): they outlive their store. */
#ifndef LA_PYTHON_STATE_H
#define LA_PYTHON_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL la_python_array_api
#ifndef PYLA_IMPORTS_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "lambdaarch.h"

/* ------------------------------------------------------------------- module */

typedef struct la_module {
    PyObject *errors[LA_STATUS_COUNT]; /* NULL for OK and MORE */
    PyObject *decimal;                 /* decimal.Decimal */
    PyArray_Descr *time_us;            /* datetime64[us] */
    PyArray_Descr *time_day;           /* datetime64[D] */
    PyTypeObject *store_type, *log_type, *scan_type, *view_type, *answer_type,
        *batch_type, *verify_type;
} la_module;

la_module *pyla_module(PyObject *self); /* of an instance of one of our types */

extern PyType_Spec pyla_store_spec, pyla_log_spec, pyla_scan_spec, pyla_view_spec,
    pyla_answer_spec, pyla_batch_spec, pyla_verify_spec;

/* ------------------------------------------------------------------- errors */

/* Sets the exception of `err` and returns NULL. A pending exception (a signal) stays. */
PyObject *pyla_raise(const la_module *module, const la_error *err);
/* The same for mistakes found here. `hint` may be NULL. */
PyObject *pyla_fail(const la_module *module, la_status status, const char *hint,
                    const char *format, ...) LA_PRINTF(4, 5);
int pyla_errors_init(la_module *module);

/* ------------------------------------------------------------------- stores */

typedef struct la_child {
    struct la_child *next, *previous;
    void (*close)(
        struct la_child *child); /* frees the core handle; touches no Python */
} la_child;

typedef struct la_store_object {
    PyObject_HEAD la_store *store; /* NULL once closed */
    uint32_t calls;                /* in flight, without the GIL */
    bool closing;
    la_child children; /* head of a ring */
} la_store_object;

/* The open store, or NULL with ClosedError. Each success needs a pyla_leave. */
la_store *pyla_enter(la_store_object *self);
void pyla_leave(la_store_object *self);
void pyla_child_add(la_store_object *self, la_child *child);
void pyla_child_drop(la_child *child);

PyObject *pyla_log_new(la_module *module, la_store_object *store, la_log *log);
PyObject *pyla_scan_new(la_module *module, la_store_object *store, la_scan *scan,
                        const la_schema *schema);
PyObject *pyla_view_new(la_module *module, la_store_object *store, la_view *view);
PyObject *pyla_batch_new(la_module *module, la_store_object *store, la_batch *batch);
PyObject *pyla_verify_new(la_module *module, la_store_object *store, la_verify *verify);
/* Copies the finished query out; the query stays the caller's. */
PyObject *pyla_answer_new(la_module *module, const la_query *query);

/* ------------------------------------------------------------------- schema */

#define PYLA_TYPE_TEXT 24
void pyla_type_text(const la_field *field, char text[PYLA_TYPE_TEXT]);
/* [(name, type text, nullable), ...] */
PyObject *pyla_schema_list(const la_schema *schema);

/* ------------------------------------------------------------------- tables */

/* Rows copied out of the core. cat becomes str. Immutable once shared, so any thread may
 * read it; needs no GIL. */
typedef struct la_table la_table;
la_table *pyla_table_new(const la_schema *schema);           /* NULL: out of memory */
bool pyla_table_add(la_table *table, const la_chunk *chunk); /* false: out of memory */
/* NaN in null cells of floats, NaT in null cells of times. */
void pyla_table_blank(la_table *table);
la_table *pyla_table_retain(la_table *table);
void pyla_table_release(la_table *table);
const la_chunk *pyla_table_chunk(const la_table *table);

/* A capsule that holds a reference to the table: base of arrays over it. */
PyObject *pyla_table_capsule(la_table *table);
/* Column as an array: read-only and zero-copy over the table where NumPy has the type, new
 * for decimal (float64), date, str (StringDType) and bytes (object). */
PyObject *pyla_column_values(const la_module *module, const la_table *table,
                             uint32_t column, PyObject *capsule);
PyObject *pyla_column_valid(const la_table *table, uint32_t column, PyObject *capsule);
/* (values, valid or None) */
PyObject *pyla_column_pair(const la_module *module, const la_table *table,
                           uint32_t column, PyObject *capsule);
/* The int64 or uint64 behind an integer or decimal column, read-only. */
PyObject *pyla_column_scaled(const la_table *table, uint32_t column, PyObject *capsule);
/* value / 10^scale, rounded once. */
double pyla_decimal_to_double(int64_t value, uint8_t scale);

/* -------------------------------------------------------------------- input */

/* Rows on their way into the core, and what could not be read of them. */
typedef struct la_input {
    la_chunk chunk;
    la_column *columns;
    PyObject *held;    /* list: arrays that columns point into */
    PyObject *reasons; /* dict: row -> reason; empty = all fine */
    uint32_t bad_first;
    la_status bad_status;    /* of bad_first */
    const la_schema *schema; /* borrowed */
    void **blocks;
    uint32_t block_count, block_capacity;
} la_input;

int pyla_input_init(la_input *input, const la_schema *schema, Py_ssize_t rows,
                    const la_module *module);
void pyla_input_fini(la_input *input);
/* Column `column` from an array of its physical type, a StringDType array or any sequence;
 * `mask` is None or a bool array, True = null. `values` None: all null. */
int pyla_input_column(la_input *input, const la_module *module, uint32_t column,
                      PyObject *values, PyObject *mask, bool physical);
/* All columns from a list of dicts. */
int pyla_input_rows(la_input *input, const la_module *module, PyObject *rows);
int pyla_input_bad(la_input *input, uint32_t row, la_status status, PyObject *reason);
/* Frees with the input. */
void *pyla_input_alloc(la_input *input, size_t size);
/* A str column from a list of rows texts; None is the empty text. */
int pyla_input_text(la_input *input, PyObject *texts, la_column *out);
void pyla_input_imports(void);

/* -------------------------------------------------------------------- arrow */

struct ArrowArrayStream;
/* New arrow_array_stream capsule over the table. */
PyObject *pyla_arrow_export(const la_module *module, la_table *table);
/* Reads the stream in `capsule` to its end. On success `*chunk` is what to append: it is
 * owned by `*table` (when set: several record arrays, joined) or by `*held`. */
typedef struct la_arrow_rows {
    la_chunk *borrowed; /* over `array` */
    void *array;        /* struct ArrowArray, released last */
    la_table *joined;
    const la_chunk *chunk; /* what to append; NULL: no rows */
} la_arrow_rows;
int pyla_arrow_import(const la_module *module, const la_schema *schema,
                      PyObject *capsule, la_arrow_rows *out);
void pyla_arrow_rows_fini(la_arrow_rows *rows);

#endif
