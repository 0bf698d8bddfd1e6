/* SPDX-License-Identifier: Apache-2.0 */
/* A batch run: fix a cutoff per log, recompute views up to it, publish all in one step.
 *
 *   open ──> fold ──> write ──(next view)──> fold ...  ──(last)──> publish ──> done
 *              │ threads in the background          │
 *              └──────────── any failure ───────────┴──> failed: the catalogue is as it was
 *
 * Invariants
 *  1. All views of a run that read one log have the same cutoff, from one snapshot.
 *  2. Nothing a run writes can be seen before its catalogue; what a failed run leaves behind
 *     is named by nothing and swept by the next.
 *  3. The publish lock is held from open to close.
 */
#include "batch/run.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"
#include "views/store.h"

#define STEP_NS INT64_C(50000000)
/* Numbers tried for a version list: earlier crashed runs may have left some behind. */
#define NUMBER_ATTEMPTS 1000u
#define REPORT_END_MAX 128u

typedef enum stage { STAGE_FOLD, STAGE_WRITE, STAGE_DONE } stage;

typedef struct view_run {
    char *name;
    char *folder;
    la_plan *plan;
    la_snapshot *snapshot; /* borrowed from the run's list */
    uint64_t from, cutoff;
    bool incremental;
    bool unchanged;  /* nothing new since the published version: `made` is that one */
    bool one_thread; /* several did not get by with the memory */
    la_version_list previous; /* incremental: what the delta is merged with */
    la_counts counts;         /* incremental: of the previous version, to begin with */
    stage at;
    la_recompute *recompute;
    la_version_list list;
    la_view_version made;
    uint64_t rows;
    int64_t fold_ns, merge_ns, write_ns, started_ns;
} view_run;

typedef struct log_snapshot {
    la_log *log;
    la_snapshot *snapshot;
} log_snapshot;

struct la_batch {
    la_store *store;
    la_batch_options options;
    la_codec *codec;
    la_catalogue *base; /* newest when the lock was taken */
    view_run *runs;
    uint32_t run_count;
    uint32_t current;
    log_snapshot *logs;
    uint32_t log_count;
    uint64_t rows_total, rows_before;
    bool published;
    la_status failed;
    la_error failure;
    la_buf report;
};

static int64_t
now_ns(const la_batch *batch)
{
    return batch->store->env->io.mono_ns(batch->store->env->io.ctx);
}

/* -------------------------------------------------------------------- opening */

static la_status
snapshot_of(la_batch *batch, const char *log_name, la_snapshot **out, la_error *err)
{
    la_log *log;
    la_status status = la_store_log(batch->store, log_name, &log, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < batch->log_count; i++) {
        if (batch->logs[i].log == log) {
            *out = batch->logs[i].snapshot;
            return LA_OK;
        }
    }
    la_snapshot *snapshot;
    status = la_log_snapshot(log, &snapshot, err);
    if (status == LA_OK) {
        log_snapshot *entry = &batch->logs[batch->log_count++];
        entry->log = log;
        entry->snapshot = snapshot;
        *out = snapshot;
    }
    return status;
}

/* What the run starts from: the published version where it may be merged with. */
static la_status
plan_increment(la_batch *batch, view_run *run, const la_view_entry *entry,
               la_error *err)
{
    const la_view_version *current = la_view_entry_current(entry);
    run->counts.failed_first = LA_NO_POSITION;
    if (current == NULL) {
        return LA_OK;
    }
    bool same = memcmp(current->fingerprint, run->plan->fingerprint, 32) == 0;
    uint64_t end = la_snapshot_end(run->snapshot);
    if (end < current->cutoff && same && batch->options.publish) {
        la_status status =
            la_fail(err, LA_DAMAGED,
                    "could not run view \"%s\": its cutoff is %llu, but log "
                    "\"%s\" ends at %llu: the log lost rows",
                    run->name, (unsigned long long)current->cutoff, run->plan->log,
                    (unsigned long long)end);
        la_error_hint(
            err, "restore the log; or run with publish=False and roll back to that "
                 "version to accept the loss");
        return status;
    }
    if (run->cutoff < current->cutoff && same && batch->options.publish) {
        la_status status = la_fail(
            err, LA_STALE,
            "could not run view \"%s\" up to position %llu: version "
            "%llu already reaches %llu",
            run->name, (unsigned long long)run->cutoff,
            (unsigned long long)current->number, (unsigned long long)current->cutoff);
        la_error_hint(err, "use rollback to go back to an older version");
        return status;
    }
    if (!batch->options.incremental || !same || run->cutoff < current->cutoff) {
        return LA_OK;
    }
    run->incremental = true;
    run->from = current->cutoff;
    run->counts = current->counts;
    run->unchanged = run->from == run->cutoff;
    run->made = *current;
    return la_version_list_read(batch->store->env, run->folder, batch->store->uuid,
                                &current->list, &run->previous, err);
}

static la_status
prepare_run(la_batch *batch, view_run *run, const la_view_entry *entry, la_error *err)
{
    la_store *store = batch->store;
    char folder[LA_PATH_BYTES_MAX];
    la_status status = la_store_view_folder(store, entry->name, folder, err);
    if (status == LA_OK) {
        status = la_file_mkdir(store->env, folder, err);
    }
    if (status == LA_OK) {
        run->name = la_strdup(store->env, entry->name);
        run->folder = la_strdup(store->env, folder);
        status = run->name == NULL || run->folder == NULL
                     ? la_fail_nomem(err, strlen(folder))
                     : la_store_plan(store, entry->plan, &run->plan, err);
    }
    if (status == LA_OK) {
        status = snapshot_of(batch, run->plan->log, &run->snapshot, err);
    }
    if (status != LA_OK) {
        return status;
    }
    uint64_t end = la_snapshot_end(run->snapshot);
    run->cutoff = batch->options.cutoff == LA_NO_POSITION ? end : batch->options.cutoff;
    if (run->cutoff > end) {
        return la_fail(
            err, LA_NOT_FOUND,
            "could not run view \"%s\" up to position %llu: log \"%s\" ends at "
            "%llu",
            run->name, (unsigned long long)run->cutoff, run->plan->log,
            (unsigned long long)end);
    }
    status = plan_increment(batch, run, entry, err);
    batch->rows_total += run->cutoff - run->from;
    return status;
}

static bool
is_in_run(const la_batch *batch, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(batch->runs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static la_status
prepare(la_batch *batch, const char *const *names, size_t name_count, la_error *err)
{
    const la_env *env = batch->store->env;
    size_t count = names == NULL ? batch->base->view_count : name_count;
    batch->runs = la_calloc(env, count + 1, sizeof *batch->runs);
    batch->logs = la_calloc(env, count + 1, sizeof *batch->logs);
    batch->run_count = (uint32_t)count;
    if (batch->runs == NULL || batch->logs == NULL) {
        return la_fail_nomem(err, count * sizeof *batch->runs);
    }
    for (uint32_t i = 0; i < count; i++) {
        la_version_list_init(&batch->runs[i].list, env);
        la_version_list_init(&batch->runs[i].previous, env);
    }
    for (uint32_t i = 0; i < count; i++) {
        const la_view_entry *entry = names == NULL
                                         ? &batch->base->views[i]
                                         : la_catalogue_view(batch->base, names[i]);
        if (entry == NULL) {
            return la_fail(err, LA_NOT_FOUND,
                           "could not run view \"%.128s\": there is none "
                           "of that name",
                           names[i]);
        }
        if (is_in_run(batch, i, entry->name)) {
            return la_fail(err, LA_INVALID, "view \"%s\" is named twice", entry->name);
        }
        la_status status = prepare_run(batch, &batch->runs[i], entry, err);
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

la_status
la_batch_open(la_store *store, const char *const *names, size_t name_count,
              const la_batch_options *options, la_batch **out, la_error *err)
{
    la_status status = la_store_publish_lock(store, err);
    if (status != LA_OK) {
        return status;
    }
    static const la_batch_options defaults = {.cutoff = LA_NO_POSITION,
                                              .publish = true};
    la_batch *batch = la_calloc(store->env, 1, sizeof *batch);
    if (batch == NULL) {
        la_store_publish_unlock(store);
        return la_fail_nomem(err, sizeof *batch);
    }
    la_live_add(LA_LIVE_BATCH, 1);
    batch->store = store;
    batch->options = options != NULL ? *options : defaults;
    if (batch->options.memory_max == 0) {
        batch->options.memory_max = LA_MEMORY_DEFAULT;
    }
    la_buf_init(&batch->report, store->env);
    status = la_codec_new(store->env, &batch->codec, err);
    if (status == LA_OK) {
        status = la_store_catalogue(store, &batch->base, err);
    }
    if (status == LA_OK) {
        status = prepare(batch, names, name_count, err);
    }
    if (status != LA_OK) {
        la_batch_close(batch);
        return status;
    }
    *out = batch;
    return LA_OK;
}

/* --------------------------------------------------------------------- steps */

static la_status
step_fold(la_batch *batch, view_run *run, la_error *err)
{
    if (run->unchanged) {
        run->at = STAGE_DONE;
        return LA_OK;
    }
    if (run->recompute == NULL) {
        run->started_ns = now_ns(batch);
        la_status status =
            la_recompute_start(run->plan, run->snapshot, run->from, run->cutoff,
                               run->one_thread ? 1 : batch->options.threads,
                               batch->options.memory_max, &run->recompute, err);
        if (status != LA_OK) {
            return status;
        }
    }
    la_status status = la_recompute_wait(run->recompute, STEP_NS, &run->rows, err);
    if (status == LA_BUDGET && la_recompute_threads(run->recompute) > 1) {
        la_recompute_free(run->recompute); /* one thread needs every group only once */
        run->recompute = NULL;
        run->one_thread = true;
        return LA_OK;
    }
    if (status == LA_OK) {
        run->fold_ns = now_ns(batch) - run->started_ns;
        run->at = STAGE_WRITE;
    }
    return status == LA_MORE ? LA_OK : status;
}

/* The version list, under the first number that no earlier, crashed run took. */
static la_status
write_list(la_batch *batch, view_run *run, const la_view_entry *entry, la_error *err)
{
    uint64_t number = entry->next_version;
    for (uint32_t attempt = 0;; attempt++) {
        la_status status =
            la_version_list_write(&run->list, run->folder, batch->store->uuid,
                                  number + attempt, &run->made.list, err);
        if (status != LA_CONFLICT || attempt == NUMBER_ATTEMPTS) {
            run->made.number = number + attempt;
            return status;
        }
    }
}

static la_status
step_write(la_batch *batch, view_run *run, la_error *err)
{
    const la_env *env = batch->store->env;
    int64_t started = now_ns(batch);
    la_fold *fold = NULL;
    la_status status = la_recompute_take(run->recompute, &fold, err);
    if (status != LA_OK) {
        return status;
    }
    la_recompute_free(run->recompute);
    run->recompute = NULL;
    int64_t merged = now_ns(batch);
    run->merge_ns = merged - started;
    status =
        run->incremental
            ? la_write_incremental(env, batch->codec, run->folder, fold, &run->previous,
                                   batch->options.memory_max, &run->list, err)
            : la_write_full(env, batch->codec, run->folder, fold, &run->list, err);
    la_counts_add(&run->counts, la_fold_counts(fold));
    la_fold_free(fold);
    if (status == LA_OK) {
        status = write_list(batch, run, la_catalogue_view(batch->base, run->name), err);
    }
    run->write_ns = now_ns(batch) - merged;
    run->at = STAGE_DONE;
    return status;
}

/* Drops the oldest versions beyond what is kept; never the current one. */
static void
drop_old_versions(la_view_entry *entry)
{
    while (entry->version_count > LA_VERSIONS_KEPT) {
        uint32_t oldest = entry->versions[0].number == entry->current ? 1 : 0;
        memmove(entry->versions + oldest, entry->versions + oldest + 1,
                (entry->version_count - oldest - 1) * sizeof *entry->versions);
        entry->version_count--;
    }
}

static la_status
add_version(la_batch *batch, la_catalogue *draft, view_run *run, la_error *err)
{
    la_view_entry *entry = la_catalogue_view(draft, run->name);
    la_view_version *version = la_view_entry_add_version(draft, entry);
    if (version == NULL) {
        return la_fail_nomem(err, sizeof *version);
    }
    /* Strings are the draft's: they live as long as it does. */
    run->made.plan = la_arena_strndup(&draft->arena, run->plan->canonical,
                                      run->plan->canonical_size);
    run->made.log =
        la_arena_strndup(&draft->arena, run->plan->log, strlen(run->plan->log));
    if (run->made.plan == NULL || run->made.log == NULL) {
        return la_fail_nomem(err, run->plan->canonical_size);
    }
    memcpy(run->made.fingerprint, run->plan->fingerprint, 32);
    run->made.cutoff = run->cutoff;
    run->made.published_us = batch->store->env->io.wall_us(batch->store->env->io.ctx);
    run->made.groups = la_version_list_groups(&run->list);
    run->made.bytes = la_version_list_bytes(&run->list);
    run->made.content = la_version_list_content(&run->list);
    run->made.counts = run->counts;
    run->made.incremental = run->incremental;
    *version = run->made;
    if (batch->options.publish) {
        entry->current = version->number;
    }
    entry->next_version = version->number + 1;
    drop_old_versions(entry);
    return LA_OK;
}

static void
put_run(la_buf *to, const view_run *run)
{
    const la_version_list *list = run->unchanged ? &run->previous : &run->list;
    uint8_t content[16];
    char hex[33];
    la_store_u64(content, run->made.content.lo);
    la_store_u64(content + 8, run->made.content.hi);
    la_hex(content, sizeof content, hex);
    la_buf_text(to, "{\"view\":");
    la_json_put_text(to, run->name, strlen(run->name));
    la_buf_printf(
        to,
        ",\"unchanged\":%s,\"incremental\":%s,\"version\":%llu,\"cutoff\":%llu,"
        "\"rows\":%llu,\"groups\":%llu,\"bytes\":%llu,\"partitions\":%u,"
        "\"deltas\":%u,\"content_hash\":\"%s\",",
        run->unchanged ? "true" : "false", run->incremental ? "true" : "false",
        (unsigned long long)run->made.number, (unsigned long long)run->cutoff,
        (unsigned long long)run->rows, (unsigned long long)run->made.groups,
        (unsigned long long)run->made.bytes, list->partition_count, list->delta_count,
        hex);
    la_buf_printf(to,
                  "\"fold_seconds\":%.6f,\"merge_seconds\":%.6f,\"write_seconds\":%.6f,"
                  "\"counts\":",
                  (double)run->fold_ns * 1e-9, (double)run->merge_ns * 1e-9,
                  (double)run->write_ns * 1e-9);
    la_counts_put(to, &run->counts);
    la_buf_text(to, "}");
}

/* All but its end, and room for that: after publishing nothing may fail any more. */
static la_status
begin_report(la_batch *batch, la_error *err)
{
    la_buf *to = &batch->report;
    la_buf_clear(to);
    la_buf_text(to, "{\"views\":[");
    for (uint32_t i = 0; i < batch->run_count; i++) {
        la_buf_text(to, i == 0 ? "" : ",");
        put_run(to, &batch->runs[i]);
    }
    return la_buf_room(to, REPORT_END_MAX) == NULL ? la_fail_nomem(err, to->size)
                                                   : LA_OK;
}

static void
end_report(la_batch *batch, int64_t publish_ns)
{
    la_buf_printf(&batch->report, "],\"publish_seconds\":%.6f}",
                  (double)publish_ns * 1e-9);
    la_buf_u8(&batch->report, 0);
}

/* The newest catalogue with the versions that were made; NULL when none was. */
static la_status
make_draft(la_batch *batch, la_catalogue **out, la_error *err)
{
    la_catalogue *draft;
    la_status status = la_catalogue_copy(batch->base, &draft, err);
    if (status != LA_OK) {
        return status;
    }
    bool any = false;
    for (uint32_t i = 0; i < batch->run_count && status == LA_OK; i++) {
        if (!batch->runs[i].unchanged) {
            status = add_version(batch, draft, &batch->runs[i], err);
            any = true;
        }
    }
    if (status != LA_OK || !any) {
        la_catalogue_release(draft);
        draft = NULL;
    }
    *out = draft;
    return status;
}

static la_status
publish(la_batch *batch, la_error *err)
{
    int64_t started = now_ns(batch);
    la_catalogue *draft = NULL;
    la_status status = make_draft(batch, &draft, err);
    if (status == LA_OK) {
        status = begin_report(batch, err);
    }
    if (status == LA_OK && draft != NULL) {
        status = la_store_publish(batch->store, draft, err);
    }
    if (status != LA_OK) {
        la_catalogue_release(draft);
        la_buf_clear(&batch->report);
        return status;
    }
    batch->published = true;
    end_report(batch, now_ns(batch) - started);
    for (uint32_t i = 0; i < batch->run_count; i++) {
        if (!batch->runs[i].unchanged) {
            la_store_sweep(batch->store, batch->runs[i].name);
        }
    }
    return LA_OK;
}

static void
fill_progress(const la_batch *batch, la_progress *progress)
{
    if (progress == NULL) {
        return;
    }
    memset(progress, 0, sizeof *progress);
    bool publishing = batch->current == batch->run_count;
    const view_run *run = publishing ? NULL : &batch->runs[batch->current];
    progress->rows_total = batch->rows_total;
    progress->rows_done = batch->rows_before + (run == NULL ? 0 : run->rows);
    progress->views_done = batch->current;
    progress->views_total = batch->run_count;
    progress->view = run == NULL ? "" : run->name;
    progress->stage = run == NULL             ? "publish"
                      : run->at == STAGE_FOLD ? "fold"
                                              : "write";
}

static la_status
step(la_batch *batch, la_error *err)
{
    if (batch->current == batch->run_count) {
        return publish(batch, err);
    }
    view_run *run = &batch->runs[batch->current];
    la_status status = run->at == STAGE_FOLD ? step_fold(batch, run, err)
                                             : step_write(batch, run, err);
    if (status == LA_OK && run->at == STAGE_DONE) {
        batch->rows_before += run->rows;
        batch->current++;
    }
    return status;
}

la_status
la_batch_step(la_batch *batch, la_progress *progress, la_error *err)
{
    if (batch->failed != LA_OK) {
        if (err != NULL) {
            *err = batch->failure;
        }
        return batch->failed;
    }
    la_error failure = {0};
    la_status status = batch->published ? LA_OK : step(batch, &failure);
    fill_progress(batch, progress);
    if (status != LA_OK) {
        batch->failed = status;
        batch->failure = failure;
        if (err != NULL) {
            *err = failure;
        }
        return status;
    }
    return batch->published ? LA_OK : LA_MORE;
}

const char *
la_batch_report(const la_batch *batch)
{
    return batch->report.size == 0 ? "{}" : (const char *)batch->report.data;
}

void
la_batch_close(la_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    la_store *store = batch->store;
    const la_env *env = store->env;
    bool abandoned = !batch->published && batch->base != NULL;
    for (uint32_t i = 0; batch->runs != NULL && i < batch->run_count; i++) {
        view_run *run = &batch->runs[i];
        la_recompute_free(run->recompute);
        if (abandoned && run->at != STAGE_FOLD && run->name != NULL) {
            la_store_sweep(store, run->name); /* its files are named by nothing */
        }
        la_version_list_fini(&run->list);
        la_version_list_fini(&run->previous);
        la_plan_release(run->plan);
        la_strfree(env, run->name);
        la_strfree(env, run->folder);
    }
    for (uint32_t i = 0; i < batch->log_count; i++) {
        la_snapshot_release(batch->logs[i].snapshot);
    }
    la_dealloc(env, batch->runs, (batch->run_count + 1) * sizeof *batch->runs);
    la_dealloc(env, batch->logs, (batch->run_count + 1) * sizeof *batch->logs);
    la_catalogue_release(batch->base);
    la_codec_free(batch->codec);
    la_buf_fini(&batch->report);
    la_store_publish_unlock(store);
    la_dealloc(env, batch, sizeof *batch);
    la_live_add(LA_LIVE_BATCH, -1);
}
