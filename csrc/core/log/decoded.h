/* SPDX-License-Identifier: Apache-2.0 */
/* One frame decoded whole, and its raw hash recomputed: for sealing and for checks,
 * which look at everything. Private to log/. */
#ifndef LA_LOG_DECODED_H
#define LA_LOG_DECODED_H

#include "log/frame.h"

typedef struct la_decoded {
    const la_env *env;
    uint32_t rows, quarantined;
    uint32_t column_count;
    la_column *columns;     /* in `arena`, which is reset for each frame */
    uint8_t *verdicts;      /* NULL: all ok */
    uint64_t *targets;      /* NULL: none */
    int64_t *ingests;       /* NULL: all the frame's */
    la_column raw, reasons; /* of quarantined rows; type 0: none */
    la_arena arena;
    la_piece *pieces; /* text stays valid as long as these */
    uint32_t piece_count;
    uint32_t piece_capacity;
} la_decoded;

LA_MUST_CHECK la_status la_decoded_init(la_decoded *d, const la_env *env,
                                        const la_schema *schema, la_error *err);
void la_decoded_fini(la_decoded *d); /* accepts zeroed */
/* Decodes all of `view` and checks the raw hash: LA_DAMAGED. Valid until the next
 * call. */
LA_MUST_CHECK la_status la_decode_frame(la_decoded *d, const la_schema *schema,
                                        const la_frame_view *view, la_error *err);

#endif
