/* SPDX-License-Identifier: Apache-2.0 */
/* The master log, as the stages above see it: snapshots and readers. Appending is public
 * (lambdaarch.h). Bytes: docs/internals/format/log.md. Knows nothing of views or stores. */
#ifndef LA_LOG_LOG_H
#define LA_LOG_LOG_H

#include "base/json.h"
#include "chunk/chunk.h"

/* Opens or makes the log in `folder` (see la_log_open). `env` is borrowed. In write mode a log whose
 * tail page is not valid for its open segment is recovered at once if the writer lock is
 * free. */
LA_MUST_CHECK la_status la_log_open_folder(const la_env *env, const char *folder,
                                           const char *name, la_mode mode,
                                           const char *spec, la_log **out,
                                           la_error *err);
void la_log_close(la_log *log); /* releases the writer lock; syncs what was written */

int32_t la_log_time_column(const la_log *log); /* -1: none */

/* A snapshot: which segments hold [0, end), end = first position not durable. Immutable,
 * reference counted, any threads. Taking one looks at the tail page: cheap when nothing
 * happened (the same snapshot comes back). Sealed files stay readable through it even after
 * compaction unlinks them. */
typedef struct la_snapshot la_snapshot;
LA_MUST_CHECK la_status la_log_snapshot(la_log *log, la_snapshot **out, la_error *err);
la_snapshot *la_snapshot_retain(la_snapshot *snapshot);
void la_snapshot_release(la_snapshot *snapshot);
uint64_t la_snapshot_end(const la_snapshot *snapshot);
/* Greatest event time of ok rows in [0, end); INT64_MIN: none. */
int64_t la_snapshot_max_time(const la_snapshot *snapshot);
/* Ingest time of the last frame, 0: none. */
int64_t la_snapshot_last_ingest(const la_snapshot *snapshot);
/* Rows by verdict (LA_V_*) in [0, end). */
void la_snapshot_counts(const la_snapshot *snapshot, uint64_t counts[8]);

/* Cuts [from, to) into at most `parts` ranges of about equal rows at frame bounds where
 * possible: bounds[0] = from, bounds[*count] = to. */
void la_snapshot_split(const la_snapshot *snapshot, uint64_t from, uint64_t to,
                       uint32_t parts, uint64_t *bounds, uint32_t *count);

/* Reads rows of [from, to) in order, chunks of at most LA_CHUNK_ROWS rows that never cross a
 * frame. `used`: one byte a schema column, NULL = all; other columns stay zeroed. The chunk is
 * valid until the next call. One thread; several readers of one snapshot may run. All
 * bytes are verified before use (payload hash, once a frame). */
typedef struct la_reader la_reader;
LA_MUST_CHECK la_status la_reader_open(la_snapshot *snapshot, uint64_t from,
                                       uint64_t to, const uint8_t *used,
                                       la_reader **out, la_error *err);
LA_MUST_CHECK la_status la_reader_next(la_reader *reader, const la_chunk **chunk,
                                       la_error *err);
void la_reader_close(la_reader *reader);

/* Verification of one log for la_verify: every byte of manifests, pages, segments. Damage
 * is appended to `report` as JSON objects {"file","byte","positions":[a,b],"what"} separated
 * by commas, and work goes on. */
typedef struct la_log_check la_log_check;
LA_MUST_CHECK la_status la_log_check_open(la_log *log, la_log_check **out,
                                          la_error *err);
LA_MUST_CHECK la_status la_log_check_step(la_log_check *check, uint64_t *done,
                                          uint64_t *total, la_buf *report,
                                          uint64_t *damages, la_error *err);
void la_log_check_close(la_log_check *check);

#endif
