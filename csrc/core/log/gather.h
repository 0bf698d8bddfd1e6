/* SPDX-License-Identifier: Apache-2.0 */
/* Rows collected from small frames until they make a large one. Private to log/. */
#ifndef LA_LOG_GATHER_H
#define LA_LOG_GATHER_H

#include "log/decoded.h"

typedef struct la_gather_text {
    la_buf heap, offsets, valid;
    bool nulls;
} la_gather_text;

typedef struct la_gather_column {
    la_buf values; /* fixed width */
    la_gather_text text;
    la_buf valid;
    bool nulls;
    uint32_t dict_first, dict_count;
    la_buf dict; /* entries: varint size, bytes */
} la_gather_column;

typedef struct la_gather {
    const la_env *env;
    const la_schema *schema;
    int32_t time_column;
    uint32_t column_count;
    size_t row_bytes; /* of fixed-width columns */
    la_gather_column *columns;
    la_buf verdicts, targets, ingests;
    la_gather_text raw, reasons;
    la_buf section; /* dictionary section as written */
    la_column *out; /* columns handed to the frame writer */
    la_column raw_column, reason_column;
    uint64_t position; /* of the first row held */
    uint32_t rows, quarantined;
    uint64_t text_bytes;
    bool odd; /* some row is not ok */
    int64_t ingest_us;
} la_gather;

LA_MUST_CHECK la_status la_gather_init(la_gather *g, const la_env *env,
                                       const la_schema *schema, int32_t time_column,
                                       uint64_t position, la_error *err);
void la_gather_fini(la_gather *g); /* accepts zeroed */
/* How many of rows [from, d->rows) fit now; 0: flush first. */
uint32_t la_gather_fits(const la_gather *g, const la_decoded *d, uint32_t from);
/* `quarantined`: quarantined rows of d before `from`; moved on. */
LA_MUST_CHECK la_status la_gather_add(la_gather *g, const la_decoded *d, uint32_t from,
                                      uint32_t rows, int64_t ingest_us,
                                      uint32_t *quarantined, la_error *err);
/* Dictionary entries of a frame, once, before its first row. */
LA_MUST_CHECK la_status la_gather_dict(la_gather *g, const la_frame_view *view,
                                       la_error *err);
/* The rows held as a frame to write; borrows. */
LA_MUST_CHECK la_status la_gather_rows(la_gather *g, int64_t max_time,
                                       la_frame_rows *out, la_error *err);
void la_gather_clear(la_gather *g); /* empty, at the position after the rows held */

#endif
