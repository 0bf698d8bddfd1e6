/* SPDX-License-Identifier: Apache-2.0 */
/* A log handle from the inside. Private to log/.
 *
 * Locks, in the order they are taken
 *   append   one appender or sealer at a time; guards `writer` state    all that
 *   snapshots look at; held for moments, and while a reader handle follows
 *            another process's writer
 *
 * A handle is a *follower* (manifest, tail page and frames of somebody else's writer)
 * until it takes the writer lock; then its own memory is the truth.
 */
#ifndef LA_LOG_STATE_H
#define LA_LOG_STATE_H

#include "codec/codec.h"
#include "log/dedupe.h"
#include "log/frame.h"
#include "log/log.h"
#include "log/segment.h"
#include "log/spec.h"
#include "log/tail.h"

struct la_program;

typedef struct la_writer {
    int lock_fd;
    la_frame_writer frames;
    la_buf out;       /* encoded frames */
    la_dedupe dedupe; /* when the log has dedupe columns */
    struct la_program *checks;
    uint32_t epoch;
    bool broken;         /* a write failed: the open segment takes no more frames */
    bool rewrite;        /* it has small frames: sealing rewrites it */
    uint32_t *dict_keep; /* a column: dictionary entries that count */
    bool dicts_dirty;    /* a failed append left more than those */
    uint64_t
        zeroed_to; /* bytes of the open segment that were written at least as zeros */
    int64_t last_ingest_us;
    int64_t max_time; /* of ok rows up to the published end */
} la_writer;

struct la_log {
    const la_env *env;
    int64_t pid; /* handles do not cross fork */
    la_mode mode;
    char *folder;
    char *name;
    la_log_def def;
    uint32_t column_count;
    bool has_dicts;
    uint8_t uuid[16];
    uint64_t segment_bytes; /* LA_SEGMENT_BYTES; tests roll earlier */

    la_mutex append;
    la_writer *writer;

    la_mutex state;
    la_cond synced;
    bool writing; /* writer != NULL, seen under `state` */
    bool syncing; /* somebody is in fdatasync */
    bool dead;
    la_error death;
    la_manifest manifest;
    la_segment_list *sealed;
    la_segment *open; /* NULL: none */
    la_tail tail;
    la_dict **dicts; /* a column; NULL where it is not cat */
    uint64_t dict_end;
    /* written: may be seen by the writer alone */
    uint64_t published_len, published_end;
    uint32_t published_frames;
    /* durable: what snapshots show */
    uint64_t durable_len, durable_end;
    uint32_t durable_frames;
    int64_t durable_max_time, durable_ingest;
    uint64_t counts[LA_VERDICTS];
    la_snapshot *snapshot; /* newest made */
    int64_t last_sync_ns;
};

/* LA_CLOSED when the handle died or crossed a fork. Takes no lock but `state`. */
LA_MUST_CHECK la_status la_log_alive(la_log *log, la_error *err);
/* Same, with `state` held. */
LA_MUST_CHECK la_status la_log_alive_locked(la_log *log, la_error *err);
/* Marks the handle dead because of `err`. With `state` held. */
void la_log_die(la_log *log, const la_error *err);

/* Follower: looks at manifest, tail page and open segment. With `state` held.
 * LA_DAMAGED also where the tail page is lost and frames are there. */
LA_MUST_CHECK la_status la_log_follow(la_log *log, la_error *err);
/* Same, but where nothing says how far the open segment is durable it sets *unsure and
 * goes as far as it is sure, where la_log_follow fails. */
LA_MUST_CHECK la_status la_log_look(la_log *log, bool *unsure, la_error *err);
LA_MUST_CHECK la_status la_log_fail_unsure(const la_log *log, la_error *err);
/* Like la_log_snapshot, also where *unsure. Takes `state`. */
LA_MUST_CHECK la_status la_log_snapshot_sure(la_log *log, la_snapshot **out,
                                             bool *unsure, la_error *err);
/* Installs list and open segment of `manifest` (taken over on success; `list` and
 * `open` too). Everything sealed is durable, the open segment is not yet looked at. */
void la_log_install(la_log *log, la_manifest *manifest, la_segment_list *list,
                    la_segment *open);
/* Counts frames of the open segment up to `frames` as durable. With `state` held. */
void la_log_advance(la_log *log, uint32_t frames);
/* Dictionaries up to the durable end. With `state` held. */
LA_MUST_CHECK la_status la_log_load_dicts(la_log *log, la_error *err);
/* Writes the tail page from published and durable fields. With `state` held. */
void la_log_show(la_log *log);

/* Takes the writer lock, recovers and opens a new epoch, unless this handle has done
 * so. With `append` held. LA_BUSY, LA_READONLY. */
LA_MUST_CHECK la_status la_writer_start(la_log *log, la_error *err);
/* Without an append: brings acked rows that only a recovery can show into sight, if no
 * writer is alive. */
LA_MUST_CHECK la_status la_log_recover_if_stale(la_log *log, la_error *err);
void la_writer_free(la_log *log, la_writer *writer);
/* Makes all published rows durable. Without `state`. LA_UNKNOWN: the handle is dead. */
LA_MUST_CHECK la_status la_log_commit(la_log *log, uint64_t end, la_error *err);

/* What a roll starts from: a writer's own state, or what recovery found. Borrowed. */
typedef struct la_roll {
    la_manifest *manifest; /* a failed roll only moves its next_segment on */
    la_segment_list *list;
    la_segment *open; /* NULL: none */
    uint32_t frames;  /* of it that are good */
    uint64_t length;  /* bytes they end at */
    uint32_t epoch;   /* of the writer that goes on */
    bool rewrite;     /* frames are small, or their bytes may not be on disk */
} la_roll;
/* Seals the good frames into a sealed segment, opens a fresh one, publishes the
 * manifest and installs all of it in `log`. The frames must be durable unless
 * `rewrite`. With `append` held, without `state`. On failure nothing has changed
 * (*touched: the open segment may hold a footer, append no more to it), but for
 * LA_UNKNOWN: the handle is dead. */
LA_MUST_CHECK la_status la_log_roll(la_log *log, const la_roll *roll,
                                    la_frame_writer *frames, bool *touched,
                                    la_error *err);
/* Rolls the writer's open segment; commits first. With `append` held. */
LA_MUST_CHECK la_status la_writer_roll(la_log *log, la_error *err);
/* With the lock file locked: newest manifest, scan of its open segment, roll. */
LA_MUST_CHECK la_status la_log_recover(la_log *log, la_frame_writer *frames,
                                       la_error *err);
/* LOCK of the log, locked. LA_BUSY: another process has it. */
LA_MUST_CHECK la_status la_log_lock(la_log *log, int *fd, la_error *err);
#endif
