/* SPDX-License-Identifier: Apache-2.0 */
/* lambdaarch: a Lambda Architecture in a folder.
 *
 * This header is the core's manual. It is plain C11, knows no Python, and does all I/O,
 * timing and allocation through the `la_env` given at open.
 *
 *   append --> log ---------------+-------------------> positions 0, 1, 2, ...
 *               | [0, C)          | [C, durable)
 *               v                 v
 *             batch: fold       speed: fold            the same kernels, the same states
 *               v                 v
 *             version files --> merge --> query --> la_chunk of result columns
 *
 * CAVEATS, before the praise
 *  - One writer process per log, enforced by a file lock that dies with its owner. A handle
 *    must not be used across fork(); a child gets LA_CLOSED.
 *  - A failed write ends the segment; a failed sync ends the log handle (LA_UNKNOWN): reopen,
 *    and the log tells which rows are there. No sync is retried.
 *  - Local file systems only. A result never depends on a clock; ingest times do.
 *
 * WORDS. position: a row's dense u64 place in a log. cutoff: first position NOT in the batch
 * part. version: one publication of a view. state: an aggregate's memory. Full list in
 * docs/reference/glossary.md.
 *
 * CONVENTIONS
 *  - Every fallible call returns la_status and takes `la_error *err` last (may be NULL). On
 *    failure out-pointers are untouched. After a failed open/new nothing needs closing.
 *  - close/free accept NULL. Strings are UTF-8, sizes are bytes, times are int64 microseconds
 *    since 1970-01-01T00:00Z, intervals are half open.
 *  - THREADS: la_store, la_log, la_view: any threads. la_scan, la_batch, la_query, la_chunk:
 *    one thread at a time.
 *  - Long work comes in steps: `*_step` returns LA_MORE until done, so callers can look at
 *    signals and show progress in between.
 */
#ifndef LAMBDAARCH_H
#define LAMBDAARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LA_API __attribute__((visibility("default")))
#define LA_MUST_CHECK __attribute__((warn_unused_result))
#define LA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LA_API
#define LA_MUST_CHECK
#define LA_PRINTF(fmt, args)
#endif

/* ------------------------------------------------------------------ errors */

/* Few statuses; each maps to one Python exception class (csrc/python/errors.c). */
#define LA_STATUS_LIST(X)                                                              \
    X(OK, "done")                                                                      \
    X(MORE, "one step done, more to do")                                               \
    X(INVALID, "a value, name or definition that cannot be accepted")                  \
    X(TYPE, "a value of the wrong type")                                               \
    X(NOT_FOUND, "no such store, log, column, view, version or position")              \
    X(CONFLICT, "the name exists with another definition")                             \
    X(BUSY, "another process or thread holds the lock")                                \
    X(READONLY, "the store, file system or handle is read-only")                       \
    X(IO, "the operating system refused")                                              \
    X(FULL, "no space left, or a quota reached")                                       \
    X(UNKNOWN, "a sync failed: the last rows may or may not be durable")               \
    X(DAMAGED, "bytes on disk are not what was written")                               \
    X(NEWER, "written by a newer format version")                                      \
    X(NOMEM, "out of memory")                                                          \
    X(BUDGET, "the memory budget given is too small")                                  \
    X(OVERFLOW, "a result does not fit its type")                                      \
    X(STALE, "the cutoff is behind the published one")                                 \
    X(CLOSED, "the handle was closed, failed, or crossed a fork")                      \
    X(CANCELLED, "stopped by request")                                                 \
    X(EVALUATION, "an expression failed on a row, and the view asks to stop")

typedef enum la_status {
#define LA_X(name, text) LA_##name,
    LA_STATUS_LIST(LA_X)
#undef LA_X
        LA_STATUS_COUNT
} la_status;

#define LA_NO_POSITION UINT64_MAX

typedef struct la_error {
    la_status status;
    int os_errno;      /* 0 when no system call failed */
    bool retriable;    /* the same call may succeed later, nothing needs changing */
    uint64_t position; /* LA_NO_POSITION when no row is meant */
    uint64_t byte;     /* byte in `path`, UINT64_MAX when no byte is meant */
    char path[256];    /* "" when no file is meant; long paths keep their end */
    char message[512]; /* what could not be done, to what, why: "could not ...: ..." */
    char hint[256];    /* what to do about it, or "" */
} la_error;

LA_API const char *la_status_name(la_status status);
LA_API const char *la_version(void); /* "0.1.0" */

/* ------------------------------------------------------- environment (la_env) */

/* The outside world, passed in: tests pass one that loses unsynced bytes or fails the n-th
 * call. Functions return >= 0, or a negated errno. Paths are absolute or relative to the
 * process; all files are opened close-on-exec. Must be callable from any thread. */
typedef struct la_io {
    void *ctx;
    int (*open)(void *ctx, const char *path, int flags,
                int mode); /* flags as open(2) */
    int (*close)(void *ctx, int fd);
    int64_t (*pread)(void *ctx, int fd, void *to, size_t size, uint64_t byte);
    int64_t (*pwrite)(void *ctx, int fd, const void *from, size_t size, uint64_t byte);
    int (*fdatasync)(void *ctx, int fd);
    int (*sync_dir)(void *ctx, const char *path);
    int (*rename_noreplace)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path, int mode);
    int64_t (*file_size)(void *ctx, int fd);
    int (*list)(void *ctx, const char *path, int (*each)(void *arg, const char *name),
                void *arg); /* each != 0 stops; "." and ".." are not given */
    /* Whole pages of [0, size) read-only; `*out` stays valid after close and unlink. */
    int (*map)(void *ctx, int fd, size_t size, const void **out);
    void (*unmap)(void *ctx, const void *at, size_t size);
    /* Shared, writable when `writable`: the tail page only. */
    int (*map_shared)(void *ctx, int fd, size_t size, bool writable, void **out);
    int (*lock)(void *ctx, int fd, bool exclusive); /* never waits: -EAGAIN when held */
    int (*same_file)(void *ctx, int fd, const char *path); /* 1 same inode, 0 not */
    int64_t (*wall_us)(void *ctx);                         /* since 1970 UTC */
    int64_t (*mono_ns)(void *ctx);
    int (*random)(void *ctx, void *to, size_t size);
} la_io;

/* realloc(ctx, p, old_size, new_size): p NULL allocates, new_size 0 frees. NULL on failure. */
typedef struct la_mem {
    void *ctx;
    void *(*realloc)(void *ctx, void *p, size_t old_size, size_t new_size);
} la_mem;

typedef struct la_env {
    la_io io;
    la_mem mem;
} la_env;

LA_API const la_env *la_env_system(void); /* POSIX files, malloc, the system's clocks */

/* ------------------------------------------------------------- types, schema */

/* Numbers are on disk (docs/internals/format.md): append only. */
typedef enum la_type {
    LA_T_NULL = 0, /* the type of a bare null literal; never stored */
    LA_T_BOOL = 1, /* uint8_t 0 or 1 */
    LA_T_I32 = 2,
    LA_T_I64 = 3,
    LA_T_U64 = 4,
    LA_T_F32 = 5,
    LA_T_F64 = 6,
    LA_T_TIME = 7,    /* int64_t microseconds since 1970 UTC */
    LA_T_DATE = 8,    /* int32_t days since 1970-01-01 */
    LA_T_DECIMAL = 9, /* int64_t value times 10^scale; |value| < 10^18, scale 0..18 */
    LA_T_CAT = 10,    /* uint32_t code into a dictionary */
    LA_T_STR = 11,    /* bytes, valid UTF-8 */
    LA_T_BYTES = 12,
    LA_T_JSON = 13, /* reserved */
    LA_T_COUNT
} la_type;

typedef struct la_field {
    char *name; /* 1..128 bytes */
    la_type type;
    uint8_t scale; /* decimal only */
    bool nullable;
} la_field;

typedef struct la_schema la_schema; /* immutable, reference counted */

/* A growing list of distinct strings; codes 0.. in order of first appearance. Entries never
 * move, so readers of known codes need no lock. */
typedef struct la_dict la_dict;
LA_API uint32_t la_dict_count(const la_dict *dict);
LA_API const char *la_dict_get(const la_dict *dict, uint32_t code, size_t *size);

/* Borrowed columns of rows: what flows between all stages. Any pointer may be foreign. */
typedef struct la_column {
    la_type type; /* the physical type of `data` */
    uint8_t scale;
    const void *data;        /* values; str and bytes: the heap; cat: uint32_t codes */
    const uint32_t *offsets; /* str and bytes: rows + 1 byte offsets into data */
    const uint8_t *valid; /* one byte a row, 1 = a value, 0 = null; NULL = no nulls */
    const la_dict *dict;  /* cat only */
} la_column;

/* Verdicts: the writer's decision about a row, stored with it (semantics 3). On disk. */
typedef enum la_verdict {
    LA_V_OK = 0,
    LA_V_QUARANTINED = 1,
    LA_V_DUPLICATE = 2,
    LA_V_NEGATIVE = 3,
    LA_V_PENDING = 4,
    LA_V_CANCELLED = 5,
    LA_V_HOLE = 6,
    LA_V_ERASED = 7
} la_verdict;

typedef struct la_chunk {
    const la_schema *schema;
    uint32_t rows;
    uint32_t
        column_count; /* equals the schema's; a scan leaves unread columns all zero */
    la_column *columns;
    uint64_t position;       /* of row 0; rows are consecutive */
    int64_t ingest_us;       /* of the frame */
    const uint8_t *verdicts; /* la_verdict a row; NULL = all ok */
    const uint64_t
        *targets; /* with verdicts: the row a duplicate or negative row means */
    void *owner;  /* private */
} la_chunk;

/* ------------------------------------------------------------------- stores */

typedef struct la_store la_store;
typedef struct la_log la_log;
typedef struct la_view la_view;

typedef enum la_mode { LA_MODE_READ, LA_MODE_WRITE } la_mode;

/* Opens the store in folder `path`; LA_MODE_WRITE makes it when absent (the parent must
 * exist) and lets this handle write to logs and publish. `env` is borrowed until close.
 * LA_NOT_FOUND: no store there (read mode). LA_INVALID: a non-empty folder that is no store.
 * LA_NEWER, LA_DAMAGED, LA_READONLY, LA_IO as named. */
LA_API LA_MUST_CHECK la_status la_store_open(const la_env *env, const char *path,
                                             la_mode mode, la_store **out,
                                             la_error *err);
/* Closes logs and views that were got from it too; their handles become invalid. */
LA_API void la_store_close(la_store *store);
/* JSON: {"path","uuid","format","logs":[...],"views":[...]} with positions, cutoffs, versions,
 * accounting by class. Returns new text; free with la_text_free. */
LA_API LA_MUST_CHECK la_status la_store_status(la_store *store, char **json,
                                               la_error *err);
LA_API void la_text_free(la_store *store, char *text);

/* --------------------------------------------------------------------- logs */

/* Opens log `name`; where it is absent and `spec` is given, makes it. `spec` is JSON
 * (docs/internals/format.md, "log spec"): {"fields":[{"name","type","nullable"}...],
 * "time":"ts"|null,"dedupe":["id"]|null,"check":[EXPR...]}. With spec NULL the log must exist.
 * LA_CONFLICT: it exists with another spec; the message shows the first difference.
 * The handle is owned by the store. The writer lock is taken at the first append. */
LA_API LA_MUST_CHECK la_status la_log_open(la_store *store, const char *name,
                                           const char *spec, la_log **out,
                                           la_error *err);
LA_API const la_schema *la_log_schema(const la_log *log);
LA_API const char *la_log_spec(const la_log *log);
LA_API const char *la_log_name(const la_log *log);

typedef enum la_sync {
    LA_SYNC_COMMIT,  /* durable when append returns; concurrent appends share a sync */
    LA_SYNC_INTERVAL /* written when append returns, durable at most interval_us later
                        (checked at each append and by la_log_sync; a crash of the machine
                        may lose that much, a crash of the process nothing) */
} la_sync;

typedef enum la_on_bad { LA_BAD_RAISE, LA_BAD_QUARANTINE } la_on_bad;

typedef struct la_append_options {
    la_sync sync;
    int64_t interval_us; /* LA_SYNC_INTERVAL */
    la_on_bad on_bad;
} la_append_options;

typedef struct la_appended {
    uint64_t first; /* position of the first row */
    uint64_t rows;  /* rows that got a position, whatever their verdict */
    uint64_t ok;
    uint64_t duplicate;
    uint64_t quarantined;
    bool durable;
} la_appended;

/* Appends `chunk` as one atomic unit up to LA_FRAME_ROWS_MAX rows a frame: after a crash a
 * prefix of its frames may be there. Columns are matched by place in the log's schema, and
 * converted where that loses nothing (str -> cat). `bad` (may be NULL; rows bytes) marks
 * rows that the caller could not convert; `raw` and `reason` (str columns, may be NULL) are
 * kept with them in quarantine. With LA_BAD_RAISE the first bad row fails the whole call
 * and nothing is written. `options` NULL = durable, raise.
 * LA_BUSY: another process writes this log. LA_FULL, LA_IO: nothing of the chunk is readable.
 * LA_UNKNOWN: a sync failed; the handle is dead, reopen the store to learn what is there. */
LA_API LA_MUST_CHECK la_status la_log_append(la_log *log, const la_chunk *chunk,
                                             const uint8_t *bad, const la_column *raw,
                                             const la_column *reason,
                                             const la_append_options *options,
                                             la_appended *out, la_error *err);
LA_API LA_MUST_CHECK la_status la_log_sync(la_log *log, la_error *err);
/* Looks at the tail page (or, without a live writer, at the manifest and open segment).
 * *durable: first position not durable. *published: first position not written. */
LA_API LA_MUST_CHECK la_status la_log_positions(la_log *log, uint64_t *durable,
                                                uint64_t *published, la_error *err);
/* First position whose frame was taken in at or after `ingest_us` (durable if none). */
LA_API LA_MUST_CHECK la_status la_log_position_at(la_log *log, int64_t ingest_us,
                                                  uint64_t *position, la_error *err);
/* Seals the open segment: its small frames become large blocks. Normally by itself. */
LA_API LA_MUST_CHECK la_status la_log_seal(la_log *log, la_error *err);

/* Reads rows [from, to) in order. `columns`: indices to read, NULL = all. */
typedef struct la_scan la_scan;
LA_API LA_MUST_CHECK la_status la_scan_open(la_log *log, uint64_t from, uint64_t to,
                                            const uint32_t *columns,
                                            uint32_t column_count, la_scan **out,
                                            la_error *err);
/* *chunk: up to LA_CHUNK_ROWS rows, valid until the next call; rows 0 at the end. */
LA_API LA_MUST_CHECK la_status la_scan_next(la_scan *scan, const la_chunk **chunk,
                                            la_error *err);
LA_API void la_scan_close(la_scan *scan);

/* Rows in quarantine among [from, to): raw bytes and reasons as two str columns plus a u64
 * column of positions, in a chunk of its own. Free with la_chunk_free. */
LA_API LA_MUST_CHECK la_status la_log_quarantine(la_log *log, uint64_t from,
                                                 uint64_t to, la_chunk **out,
                                                 la_error *err);

/* Checks all bytes of all files of the store against their checksums. `progress` gets bytes
 * done and total. Returns LA_DAMAGED with file, byte and positions at the first damage, and
 * `report` (JSON, new) lists every one. */
typedef struct la_verify la_verify;
LA_API LA_MUST_CHECK la_status la_verify_open(la_store *store, la_verify **out,
                                              la_error *err);
LA_API LA_MUST_CHECK la_status la_verify_step(la_verify *verify, uint64_t *done,
                                              uint64_t *total, la_error *err);
LA_API const char *la_verify_report(const la_verify *verify);
LA_API void la_verify_close(la_verify *verify);

/* -------------------------------------------------------------------- views */

/* Defines view `name` by `plan` (JSON, docs/internals/plan.md). The same plan again is a
 * no-op. Another plan: LA_CONFLICT with the first difference, unless `replace`: then it is a
 * candidate until the next batch run publishes it (semantics 5); a view never published is
 * redefined at once. Durable on return. LA_INVALID names the place in the plan. */
LA_API LA_MUST_CHECK la_status la_view_define(la_store *store, const char *name,
                                              const char *plan, bool replace,
                                              la_view **out, la_error *err);
LA_API LA_MUST_CHECK la_status la_view_open(la_store *store, const char *name,
                                            la_view **out, la_error *err);
LA_API const char *la_view_name(const la_view *view);
LA_API const char *la_view_plan(const la_view *view); /* canonical JSON */
/* JSON: name, fingerprint, candidate, versions: [{version, cutoff, groups, bytes,
 * published_us, ...}], order_free. Free with la_text_free. */
LA_API LA_MUST_CHECK la_status la_view_status(la_view *view, char **json,
                                              la_error *err);
/* Makes a kept version current, older or newer; 0 = the newest one before the current. */
LA_API LA_MUST_CHECK la_status la_view_rollback(la_view *view, uint64_t to_version,
                                                la_error *err);

/* ---------------------------------------------------------------- batch runs */

typedef struct la_batch_options {
    uint64_t cutoff;     /* LA_NO_POSITION: the durable end when the run starts */
    uint64_t memory_max; /* bytes for all states together; 0 = default */
    uint32_t threads;    /* 0 = all cores */
    bool
        incremental; /* merge [old cutoff, cutoff) into the old version where allowed */
    bool
        publish; /* false: the version is kept but not made current: query it by number,
                     make it current with la_view_rollback (a dry run, then apply) */
} la_batch_options;

typedef struct la_progress {
    uint64_t rows_done, rows_total;
    uint32_t views_done, views_total;
    const char *view;  /* being worked on; valid until the next step */
    const char *stage; /* "fold", "write", "publish" */
} la_progress;

typedef struct la_batch la_batch;
/* `names` NULL = all views. Holds the publish lock until closed: LA_BUSY elsewhere. */
LA_API LA_MUST_CHECK la_status la_batch_open(la_store *store, const char *const *names,
                                             size_t name_count,
                                             const la_batch_options *options,
                                             la_batch **out, la_error *err);
/* Works for about 50 ms. LA_MORE until every view is published, all in one step of the
 * catalogue; then LA_OK. An error leaves the catalogue as it was. */
LA_API LA_MUST_CHECK la_status la_batch_step(la_batch *batch, la_progress *progress,
                                             la_error *err);
/* JSON of what was done: per view version, cutoff, groups, files, bytes, seconds by stage. */
LA_API const char *la_batch_report(const la_batch *batch);
LA_API void
la_batch_close(la_batch *batch); /* unfinished: stops it, removes its files */

/* ----------------------------------------------------------------- queries */

/* `spec` is JSON (docs/internals/plan.md, "query"): key filters, since, until, where, order_by,
 * limit, rollup, as_of, version, parts. The answer is over exactly one catalogue number and
 * one durable position per log. */
typedef struct la_query la_query;
LA_API LA_MUST_CHECK la_status la_query_open(la_view *view, const char *spec,
                                             la_query **out, la_error *err);
LA_API LA_MUST_CHECK la_status la_query_step(la_query *query, la_error *err);
/* After LA_OK. Result chunks are valid until la_query_close; NULL parts when not asked. */
typedef enum la_part { LA_PART_MERGED, LA_PART_BATCH, LA_PART_SPEED } la_part;
LA_API const la_chunk *la_query_result(const la_query *query, la_part part);
/* One byte a row for column `column` of the merged result, 1 = does not fit its type (the
 * cell is null); NULL = all fit. */
LA_API const uint8_t *la_query_overflow(const la_query *query, uint32_t column);
/* The result schema: keys, then window_start and window_end, then aggregates. */
LA_API const la_schema *la_query_schema(const la_query *query);
LA_API const char *la_query_receipt(const la_query *query); /* JSON */
/* Exact integer results as decimal text, for sums beyond 64 bits: LA_NOT_FOUND where the
 * column has none. `text` gets at most `size` bytes with NUL. */
LA_API LA_MUST_CHECK la_status la_query_exact(const la_query *query, uint32_t column,
                                              uint32_t row, char *text, size_t size,
                                              la_error *err);
LA_API void la_query_close(la_query *query);

/* ------------------------------------------------------- building chunks */

typedef struct la_builder la_builder;
/* An owned chunk, column by column. See chunk/builder.c. */
LA_API LA_MUST_CHECK la_status la_builder_new(const la_env *env,
                                              const la_schema *schema, la_builder **out,
                                              la_error *err);
LA_API void la_builder_free(la_builder *builder);
LA_API LA_MUST_CHECK la_status la_builder_null(la_builder *builder, uint32_t column,
                                               la_error *err);
/* bool, i32, i64, u64 (as bits), time, date, decimal (scaled): the value as int64. */
LA_API LA_MUST_CHECK la_status la_builder_int(la_builder *builder, uint32_t column,
                                              int64_t value, la_error *err);
LA_API LA_MUST_CHECK la_status la_builder_float(la_builder *builder, uint32_t column,
                                                double value, la_error *err);
LA_API LA_MUST_CHECK la_status la_builder_text(la_builder *builder, uint32_t column,
                                               const char *text, size_t size,
                                               la_error *err);
/* Reads `text` as the column's type ("9.99" as decimal, "2026-11-21T09:00" as time; a zone
 * offset is honoured, none means UTC). LA_INVALID says why it cannot be read. */
LA_API LA_MUST_CHECK la_status la_builder_parse(la_builder *builder, uint32_t column,
                                                const char *text, size_t size,
                                                la_error *err);
/* Hands over the rows so far as a chunk (free with la_chunk_free) and starts again. */
LA_API LA_MUST_CHECK la_status la_builder_finish(la_builder *builder, la_chunk **out,
                                                 la_error *err);
LA_API void la_chunk_free(la_chunk *chunk); /* owned chunks only */

LA_API LA_MUST_CHECK la_status la_schema_new(const la_env *env, const la_field *fields,
                                             uint32_t count, const la_schema **out,
                                             la_error *err); /* copies the fields */
LA_API void la_schema_release(const la_schema *schema);
LA_API const la_schema *la_schema_retain(const la_schema *schema);
LA_API uint32_t la_schema_count(const la_schema *schema);
LA_API const la_field *la_schema_field(const la_schema *schema, uint32_t column);
LA_API int32_t la_schema_find(const la_schema *schema, const char *name); /* -1: none */

/* Text to value, for callers that hold values outside a builder. */
LA_API LA_MUST_CHECK la_status la_parse_time(const char *text, size_t size, int64_t *us,
                                             la_error *err);
LA_API LA_MUST_CHECK la_status la_parse_date(const char *text, size_t size,
                                             int32_t *days, la_error *err);
LA_API LA_MUST_CHECK la_status la_parse_decimal(const char *text, size_t size,
                                                uint8_t scale, int64_t *value,
                                                la_error *err);

/* --------------------------------------- Arrow C data interface (no library) */

struct ArrowSchema;
struct ArrowArray;
/* Borrows `array` (a struct array) as a chunk under `schema`, matching by name, converting
 * where nothing is lost; what must be converted is owned by the chunk. The array must live
 * as long as the chunk. LA_TYPE names the column and both types. */
LA_API LA_MUST_CHECK la_status la_chunk_from_arrow(
    const la_env *env, const la_schema *schema, const struct ArrowSchema *arrow_schema,
    const struct ArrowArray *array, la_chunk **out, la_error *err);
/* Copies a chunk out; the consumer calls the release callbacks. */
LA_API LA_MUST_CHECK la_status la_chunk_to_arrow(const la_env *env,
                                                 const la_chunk *chunk,
                                                 struct ArrowSchema *arrow_schema,
                                                 struct ArrowArray *array,
                                                 la_error *err);

/* ------------------------------------------------------------- diagnostics */

/* Live objects by kind, so that tests can prove that nothing leaks. */
#define LA_LIVE_LIST(X)                                                                \
    X(STORE)                                                                           \
    X(LOG)                                                                             \
    X(VIEW)                                                                            \
    X(SCAN)                                                                            \
    X(BATCH)                                                                           \
    X(QUERY)                                                                           \
    X(VERIFY)                                                                          \
    X(BUILDER)                                                                         \
    X(CHUNK)                                                                           \
    X(SCHEMA)                                                                          \
    X(PLAN)                                                                            \
    X(FOLD)                                                                            \
    X(SNAPSHOT)                                                                        \
    X(DICT)

typedef enum la_live {
#define LA_X(name) LA_LIVE_##name,
    LA_LIVE_LIST(LA_X)
#undef LA_X
        LA_LIVE_COUNT
} la_live;
LA_API int64_t la_live_count(la_live kind);
LA_API const char *la_live_name(la_live kind);

#ifdef __cplusplus
}
#endif
#endif /* LAMBDAARCH_H */
