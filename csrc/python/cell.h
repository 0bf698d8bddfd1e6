/* SPDX-License-Identifier: Apache-2.0 */
/* One Python value as a field's type. */
#ifndef LA_PYTHON_CELL_H
#define LA_PYTHON_CELL_H

#include "state.h"

typedef enum la_outcome {
    CELL_ERROR = -1, /* an exception is set: memory, a signal */
    CELL_VALUE,
    CELL_NULL,
    CELL_BAD /* status and reason tell why */
} la_outcome;

typedef struct la_cell {
    int64_t integer; /* all but floats and text; u64 as bits */
    double real;
    const char *text;
    Py_ssize_t size;
    PyObject *held; /* with CELL_VALUE of text: a reference that keeps it alive */
    la_status status;
    char reason[512];
} la_cell;

la_outcome pyla_cell_read(const la_module *module, const la_field *field,
                          PyObject *value, la_cell *out);

#endif
