/* SPDX-License-Identifier: Apache-2.0 */
/* The power is cut at every change that a log makes to its files, with many choices of
 * what reached the disk. After each: the log opens for writing, acked rows are there
 * and equal, rows that were not acked survive as a prefix of whole frames, what a
 * reader was shown is still there, and a second recovery changes nothing. Then the same
 * during recovery itself. */
#include "log/state.h"
#include "log_test.h"
#include "sim_env.h"

enum { OPS_MAX = 64 };

/* What a run had done when it was cut off. */
typedef struct history {
    uint64_t acked; /* rows that the log promised */
    uint64_t shown; /* durable end that a reader got */
    uint64_t asked; /* rows that an append was called with, failed one included */
    uint64_t bounds[OPS_MAX]; /* ends of frames, in order */
    uint32_t bound_count;
} history;

static la_status
append_some(la_log *log, history *h, uint32_t rows, la_sync sync)
{
    la_append_options options = {.sync = sync, .interval_us = INT64_C(1) << 50};
    la_chunk *chunk = rows_from(la_log_schema(log), h->asked, rows);
    la_appended done;
    la_status status;

    h->asked += rows;
    h->bounds[h->bound_count++] = h->asked;
    status = la_log_append(log, chunk, NULL, NULL, NULL, &options, &done, NULL);
    if (status == LA_OK && done.durable) {
        h->acked = h->asked;
    }
    la_chunk_free(chunk);
    return status;
}

static la_status
sync_all(la_log *log, history *h)
{
    la_status status = la_log_sync(log, NULL);
    if (status == LA_OK) {
        h->acked = h->asked;
    }
    return status;
}

static void
look(la_log *reader, history *h)
{
    uint64_t durable, published;

    if (reader != NULL &&
        la_log_positions(reader, &durable, &published, NULL) == LA_OK) {
        CHECK(durable <= h->asked);
        h->shown = durable > h->shown ? durable : h->shown;
    }
}

typedef la_status (*script)(const la_env *env, history *h);

/* Each script stops at its first failure: that is the crash. */
#define STEP(call)                                                                     \
    do {                                                                               \
        status = (call);                                                               \
        look(reader, h);                                                               \
        if (status != LA_OK) {                                                         \
            goto out;                                                                  \
        }                                                                              \
    } while (0)

static la_status
small_appends(const la_env *env, history *h)
{
    la_log *log = NULL, *reader = NULL;
    la_status status;

    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, NULL));
    STEP(append_some(log, h, 3, LA_SYNC_COMMIT));
    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_READ, NULL, &reader, NULL));
    STEP(append_some(log, h, 2, LA_SYNC_COMMIT));
    STEP(append_some(log, h, 40, LA_SYNC_INTERVAL));
    STEP(append_some(log, h, 5, LA_SYNC_INTERVAL));
    STEP(append_some(log, h, 1, LA_SYNC_INTERVAL));
    STEP(sync_all(log, h));
    STEP(append_some(log, h, 1, LA_SYNC_COMMIT));
out:
    la_log_close(reader);
    la_log_close(log);
    return status;
}

static la_status
seals(const la_env *env, history *h)
{
    la_log *log = NULL, *reader = NULL;
    la_status status;

    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, NULL));
    STEP(append_some(log, h, 30, LA_SYNC_COMMIT));
    STEP(la_log_seal(log, NULL));
    h->acked = h->asked;
    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_READ, NULL, &reader, NULL));
    STEP(append_some(log, h, 4, LA_SYNC_COMMIT));
    STEP(append_some(log, h, 4, LA_SYNC_INTERVAL));
    STEP(la_log_seal(log, NULL));
    h->acked = h->asked;
    STEP(append_some(log, h, 60, LA_SYNC_INTERVAL));
    STEP(la_log_seal(log, NULL));
    h->acked = h->asked;
    STEP(append_some(log, h, 2, LA_SYNC_COMMIT));
out:
    la_log_close(reader);
    la_log_close(log);
    return status;
}

static la_status
reopens(const la_env *env, history *h)
{
    la_log *log = NULL, *reader = NULL;
    la_status status = LA_OK;

    for (uint32_t i = 0; i < 3; i++) {
        STEP(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log,
                                NULL));
        STEP(append_some(log, h, 3 + i, LA_SYNC_COMMIT));
        STEP(append_some(log, h, 2, LA_SYNC_INTERVAL));
        if (reader == NULL) {
            STEP(la_log_open_folder(env, "/log", "t", LA_MODE_READ, NULL, &reader,
                                    NULL));
        }
        la_log_close(log);
        log = NULL;
        look(reader, h);
    }
out:
    la_log_close(reader);
    la_log_close(log);
    return status;
}

/* Frames large enough to be sealed in place, two of them in one append. */
static la_status
large_appends(const la_env *env, history *h)
{
    la_log *log = NULL, *reader = NULL;
    la_chunk *chunk = NULL;
    la_appended done;
    la_status status;

    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, NULL));
    STEP(append_some(log, h, 9000, LA_SYNC_COMMIT));
    STEP(la_log_seal(log, NULL));
    chunk = rows_from(la_log_schema(log), h->asked, 74000);
    h->bounds[h->bound_count++] = h->asked + 65536;
    h->bounds[h->bound_count++] = h->asked + 74000;
    h->asked += 74000;
    STEP(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, NULL));
    h->acked = h->asked;
    STEP(la_log_seal(log, NULL));
out:
    la_chunk_free(chunk);
    la_log_close(reader);
    la_log_close(log);
    return status;
}

/* ---------------------------------------------------------------- the oracle */

static bool
is_bound(const history *h, uint64_t count)
{
    for (uint32_t i = 0; i < h->bound_count; i++) {
        if (h->bounds[i] == count) {
            return true;
        }
    }
    return count == 0;
}

static uint64_t *
first_keys(uint64_t count)
{
    uint64_t *keys = malloc(sizeof *keys * (count + 16));
    for (uint64_t i = 0; i < count + 16; i++) {
        keys[i] = i;
    }
    return keys;
}

static void
check_after(const la_env *env, const history *h, const char *what)
{
    uint64_t *keys = first_keys(h->asked + 4);
    uint64_t durable, published, count;
    la_chunk *chunk;
    la_appended done;
    la_log *log;
    la_error err;
    la_status status;

    status =
        la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, &err);
    CHECK_MSG(status == LA_OK, "%s: %s", what, err.message);
    CHECK_OK(la_log_positions(log, &durable, &published, &err), &err);
    CHECK_MSG(durable >= h->acked && durable >= h->shown && durable <= h->asked &&
                  is_bound(h, durable),
              "%s: durable %" PRIu64 ", acked %" PRIu64 ", shown %" PRIu64
              ", asked %" PRIu64,
              what, durable, h->acked, h->shown, h->asked);
    check_log(log, keys, durable);
    chunk = rows_from(la_log_schema(log), h->asked + 1, 2);
    status = la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err);
    CHECK_MSG(status == LA_OK, "%s: %s", what, err.message);
    la_chunk_free(chunk);
    count = done.first;
    CHECK_MSG(count >= durable && count <= h->asked && is_bound(h, count),
              "%s: first %" PRIu64, what, count);
    keys[count] = h->asked + 1;
    keys[count + 1] = h->asked + 2;
    check_log(log, keys, count + 2);
    check_clean(log, env);
    la_log_close(log);
    CHECK_OK(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, NULL, &log, &err),
             &err);
    check_log(log, keys, count + 2);
    CHECK_OK(la_log_seal(log, &err), &err);
    check_log(log, keys, count + 2);
    la_log_close(log);
    free(keys);
}

/* Cuts the recovery of `s` too, at each of its changes. */
static uint64_t
check_recovery(const sim *s, const history *h, uint64_t variants)
{
    uint64_t states = 0;

    for (uint64_t n = 1;; n++) {
        sim *cut = sim_clone(s);
        la_chunk *chunk;
        la_appended done;
        la_log *log = NULL;

        sim_crash_at(cut, n);
        if (la_log_open_folder(sim_env(cut), "/log", "t", LA_MODE_WRITE, SPEC_SMALL,
                               &log, NULL) == LA_OK) {
            /* An append of nothing recovers and adds no row. */
            chunk = rows_from(la_log_schema(log), 0, 0);
            (void)!la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, NULL);
            la_chunk_free(chunk);
        }
        la_log_close(log);
        if (!sim_crashed(cut)) {
            sim_free(cut);
            return states;
        }
        for (uint64_t v = 0; v < variants; v++) {
            char what[100];
            sim *after = sim_survivor(cut, v);

            snprintf(what, sizeof what,
                     "in recovery: change %" PRIu64 ", variant %" PRIu64, n, v);
            check_after(sim_env(after), h, what);
            sim_free(after);
            states++;
        }
        sim_free(cut);
    }
}

static void
cut_everywhere(const char *name, script before, script run, uint64_t variants,
               uint64_t every_nth_deep)
{
    uint64_t states = 0, deep = 0;
    sim *base = sim_new(77);
    history start = {0};

    if (before != NULL) {
        CHECK_EQ(before(sim_env(base), &start), LA_OK);
    }
    for (uint64_t n = 1;; n++) {
        sim *s = sim_clone(base);
        history h = start;

        sim_crash_at(s, n);
        (void)!run(sim_env(s), &h);
        if (!sim_crashed(s)) {
            printf("    %s: %" PRIu64 " changes, %" PRIu64 " states, %" PRIu64
                   " in recovery\n",
                   name, n - 1, states, deep);
            sim_free(s);
            break;
        }
        for (uint64_t v = 0; v < variants; v++) {
            char what[100];
            sim *after = sim_survivor(s, v);

            snprintf(what, sizeof what, "%s: change %" PRIu64 ", variant %" PRIu64,
                     name, n, v);
            if (every_nth_deep != 0 && (n + v) % every_nth_deep == 0) {
                deep += check_recovery(after, &h, 3);
            }
            check_after(sim_env(after), &h, what);
            sim_free(after);
            states++;
        }
        sim_free(s);
    }
    sim_free(base);
}

static void
power_cut_while_appending(void)
{
    cut_everywhere("appends", NULL, small_appends, 40 * test_scale(), 61);
}

static void
power_cut_while_sealing(void)
{
    cut_everywhere("seals", NULL, seals, 40 * test_scale(), 61);
}

static void
power_cut_while_reopening(void)
{
    cut_everywhere("reopens", NULL, reopens, 40 * test_scale(), 61);
}

/* So many segments that the next one moves old ones to a page. */
static la_status
many_segments(const la_env *env, history *h)
{
    la_log *log = NULL;
    la_status status =
        la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, NULL);

    for (int i = 0; status == LA_OK && log->manifest.count < LA_MANIFEST_ENTRIES_MAX;
         i++) {
        log->segment_bytes = 300;
        h->bound_count = 0; /* all of these are acked in the end */
        status = append_some(log, h, 2, LA_SYNC_COMMIT);
        if (status == LA_OK) {
            status = la_log_seal(log, NULL);
        }
    }
    la_log_close(log);
    return status;
}

static la_status
one_more_segment(const la_env *env, history *h)
{
    la_log *log = NULL, *reader = NULL;
    la_status status;

    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_READ, NULL, &reader, NULL));
    STEP(la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, NULL, &log, NULL));
    log->segment_bytes = 300;
    STEP(append_some(log, h, 2, LA_SYNC_COMMIT));
    STEP(append_some(log, h, 2, LA_SYNC_COMMIT));
out:
    la_log_close(reader);
    la_log_close(log);
    return status;
}

static void
power_cut_while_writing_a_page(void)
{
    cut_everywhere("page", many_segments, one_more_segment, 8 * test_scale(), 0);
}

static void
power_cut_in_large_appends(void)
{
    cut_everywhere("large", NULL, large_appends, 4 * test_scale(), 0);
}

/* A killed process leaves the page cache: nothing that was written may be lost or
 * refused. */
static void
killed_anywhere(void)
{
    static const script scripts[] = {small_appends, seals, reopens};

    for (size_t k = 0; k < sizeof scripts / sizeof *scripts; k++) {
        for (uint64_t n = 1;; n++) {
            sim *s = sim_new(5);
            history h = {0};
            bool crashed;

            sim_crash_at(s, n);
            (void)!scripts[k](sim_env(s), &h);
            crashed = sim_crashed(s);
            sim_crash_at(s, 0);
            sim_kill(s);
            if (crashed) {
                sim *after = sim_clone(s);
                check_after(sim_env(after), &h, "killed");
                sim_free(after);
            }
            sim_free(s);
            if (!crashed) {
                break;
            }
        }
    }
}

int
main(void)
{
    RUN(power_cut_while_appending);
    RUN(power_cut_while_sealing);
    RUN(power_cut_while_reopening);
    RUN(power_cut_while_writing_a_page);
    RUN(power_cut_in_large_appends);
    RUN(killed_anywhere);
    return test_end();
}
