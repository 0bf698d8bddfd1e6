/* SPDX-License-Identifier: Apache-2.0 */
/* The speed layer holds no arithmetic and no policy: it drives fold/ over positions from the
 * cutoff on, in log order, each row once. Whatever it holds could be had again by folding the
 * log, so losing it loses nothing. */
#include "speed/live.h"

#include <assert.h>

#include "base/error.h"

la_status
la_live_init(la_live_fold *live, la_plan *plan, uint64_t cutoff, uint64_t memory_max,
             la_error *err)
{
    la_status status = la_fold_new(plan, memory_max, &live->fold, err);
    if (status == LA_OK) {
        live->from = cutoff;
        live->position = cutoff;
    }
    return status;
}

void
la_live_fini(la_live_fold *live)
{
    la_fold_free(live->fold);
    live->fold = NULL;
}

la_status
la_live_step(la_live_fold *live, la_snapshot *snapshot, uint64_t to, uint64_t rows_max,
             la_error *err)
{
    if (live->position >= to) {
        return LA_OK; /* also where the log has lost rows that a version still counts */
    }
    assert(to <= la_snapshot_end(snapshot));
    uint64_t until = to - live->position > rows_max ? live->position + rows_max : to;
    la_reader *reader;
    la_status status =
        la_reader_open(snapshot, live->position, until,
                       la_fold_plan(live->fold)->columns_used, &reader, err);
    if (status != LA_OK) {
        return status;
    }
    for (;;) {
        const la_chunk *chunk;
        status = la_reader_next(reader, &chunk, err);
        if (status != LA_OK || chunk->rows == 0) {
            break;
        }
        assert(chunk->position == live->position);
        status = la_fold_chunk(live->fold, chunk, err);
        if (status != LA_OK) {
            break;
        }
        live->position += chunk->rows;
    }
    la_reader_close(reader);
    if (status != LA_OK) {
        return status;
    }
    return live->position < to ? LA_MORE : LA_OK;
}
