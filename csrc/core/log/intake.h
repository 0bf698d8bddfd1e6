/* SPDX-License-Identifier: Apache-2.0 */
/* A caller's chunk made ready for frames: columns of the log's types, a verdict a row.
 * Private to log/. */
#ifndef LA_LOG_INTAKE_H
#define LA_LOG_INTAKE_H

#include "log/state.h"

typedef struct la_intake {
    la_log *log;
    const la_chunk *chunk;
    const uint8_t *bad;
    const la_column *raw, *reason; /* the caller's; may be NULL */
    la_on_bad on_bad;
    uint32_t rows;
    la_arena arena;     /* all below */
    la_column *columns; /* the log's physical types */
    uint32_t *flaws;    /* a row: what is wrong, 0: nothing; NULL: no row is bad */
    uint8_t *verdicts;  /* NULL: all ok and no dedupe */
    uint64_t *targets;
    uint32_t *frames; /* row where each frame begins, and the end */
    uint32_t frame_count;
    uint32_t *dict_before; /* a cat column: dictionary entries before this append */
    uint32_t *dict_marks;  /* a frame and column: entries after it */
    size_t row_bytes;      /* plain bytes of fixed-width columns */
    uint64_t quarantined;
} la_intake;

/* Checks all rows and converts columns; adds to the log's dictionaries. LA_INVALID,
 * LA_TYPE (row in err->position) where a row is bad and on_bad is raise. Call fini in
 * any case. */
LA_MUST_CHECK la_status la_intake_run(la_intake *in, la_error *err);
void la_intake_fini(la_intake *in);
/* The middle of it (convert.c): columns of the log's types, frames, codes. */
LA_MUST_CHECK la_status la_intake_convert(la_intake *in, la_error *err);
/* A column that no append can take: LA_INVALID with its name and the row. */
LA_MUST_CHECK la_status la_intake_refuse(const la_intake *in, uint32_t c,
                                         const char *what, uint32_t row, la_error *err);
/* Raw text and reason of quarantined row `row`, appended. *raw_null: none was given. */
void la_intake_raw(const la_intake *in, uint32_t row, la_buf *to, bool *null);
void la_intake_reason(const la_intake *in, uint32_t row, la_buf *to);

#endif
