/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot from the inside. Private to log/. */
#ifndef LA_LOG_SNAPSHOT_H
#define LA_LOG_SNAPSHOT_H

#include "log/log.h"
#include "log/segment.h"

struct la_snapshot {
    const la_env *env;
    atomic_uint references;
    const la_schema *schema;
    int32_t time_column;
    uint32_t column_count;
    la_segment_list *sealed;
    la_segment *open; /* NULL: none */
    uint32_t open_frames;
    uint64_t end;
    int64_t max_time, last_ingest;
    uint64_t counts[LA_VERDICTS];
    la_dict *dicts[]; /* a column; NULL where it is not cat */
};

/* Segment, its frame that holds `position` < end, and how many frames may be used. */
LA_MUST_CHECK la_status la_snapshot_locate(const la_snapshot *snapshot,
                                           uint64_t position, la_segment **segment,
                                           uint32_t *frame, uint32_t *frames,
                                           la_error *err);

#endif
