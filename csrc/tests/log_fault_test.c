/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fail: every system call with every error, once and for ever; every
 * allocation. The error is reported, rows that were there stay, and a reopened log is
 * whole. */
#include <errno.h>

#include "fault_env.h"
#include "log/state.h"
#include "log_test.h"
#include "sim_env.h"

typedef struct history {
    uint64_t keys[20000]; /* rows that are in the log, as far as it said */
    uint64_t count;
    uint64_t next;         /* numbers of rows not used yet */
    uint64_t maybe[20000]; /* rows of a call that ended in LA_UNKNOWN */
    uint64_t maybe_count;
    uint32_t failures;
} history;

/* Appends; a failed call must leave the log as it was, an unknown one ends the
 * handle. */
static la_status
append_some(la_log *log, history *h, uint32_t rows, la_sync sync)
{
    la_append_options options = {.sync = sync, .interval_us = INT64_C(1) << 50};
    la_chunk *chunk = rows_from(la_log_schema(log), h->next, rows);
    la_appended done;
    la_error err;
    la_status status;

    status = la_log_append(log, chunk, NULL, NULL, NULL, &options, &done, &err);
    la_chunk_free(chunk);
    if (status == LA_OK) {
        /* Rows of unknown fate turned out to be there, as a prefix. */
        CHECK(done.first >= h->count && done.first - h->count <= h->maybe_count);
        memcpy(h->keys + h->count, h->maybe, sizeof *h->keys * (done.first - h->count));
        h->count = done.first;
        h->maybe_count = 0;
        for (uint32_t i = 0; i < rows; i++) {
            h->keys[h->count++] = h->next + i;
        }
    }
    else {
        h->failures++;
        CHECK_EQ(err.status, status);
        CHECK(err.message[0] != 0);
        if (status == LA_UNKNOWN) {
            for (uint32_t i = 0; i < rows; i++) {
                h->maybe[h->maybe_count++] = h->next + i;
            }
        }
    }
    h->next += rows;
    return status;
}

/* What can be read is right; reading may fail. */
static void
peek(la_log *log, history *h)
{
    const la_chunk *chunk;
    la_scan *scan;
    uint64_t seen = 0;

    memcpy(h->keys + h->count, h->maybe, sizeof *h->keys * h->maybe_count);
    if (la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, NULL) != LA_OK) {
        return;
    }
    while (la_scan_next(scan, &chunk, NULL) == LA_OK && chunk->rows != 0) {
        uint32_t column;

        CHECK(seen + chunk->rows <= h->count + h->maybe_count);
        CHECK_EQ(first_difference(chunk, h->keys + seen, &column), chunk->rows);
        seen += chunk->rows;
    }
    la_scan_close(scan);
}

/* All steps are tried whatever failed before, as a stubborn caller would. */
static void
work(const la_env *env, history *h)
{
    la_log *log = NULL;
    la_error err;

    for (int round = 0; round < 3; round++) {
        if (log == NULL && la_log_open_folder(env, "/log", "t", LA_MODE_WRITE,
                                              SPEC_SMALL, &log, &err) != LA_OK) {
            h->failures++;
            continue;
        }
        (void)append_some(log, h, 3, LA_SYNC_COMMIT);
        (void)append_some(log, h, 2, LA_SYNC_INTERVAL);
        (void)append_some(log, h, 30, LA_SYNC_COMMIT);
        if (la_log_seal(log, &err) != LA_OK) {
            h->failures++;
        }
        (void)append_some(log, h, 1, LA_SYNC_COMMIT);
        peek(log, h);
        if (round == 1) {
            la_log_close(log);
            log = NULL;
        }
    }
    la_log_close(log);
}

/* The log holds what it promised; rows of unknown fate may follow as a prefix. */
static void
check_whole(const la_env *env, history *h, bool durable_too)
{
    la_log *log;
    uint64_t durable, published;
    la_error err;

    CHECK_OK(
        la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL, &log, &err),
        &err);
    CHECK_OK(la_log_seal(log, &err), &err);
    CHECK_OK(la_log_positions(log, &durable, &published, &err), &err);
    if (durable_too) {
        CHECK(durable >= h->count);
    }
    CHECK(durable <= h->count + h->maybe_count);
    memcpy(h->keys + h->count, h->maybe, sizeof *h->keys * h->maybe_count);
    check_log(log, h->keys, durable);
    check_clean(log, env);
    la_log_close(log);
}

static void
failing_call(sim_scope scope, int os_errno, bool forever, bool shorts)
{
    uint64_t n;

    for (n = 1;; n++) {
        sim *s = sim_new(3);
        history h = {0};
        bool fired;

        sim_short_transfers(s, shorts);
        sim_fail_at(s, scope, n, os_errno, forever);
        work(sim_env(s), &h);
        fired = sim_fired(s);
        sim_fail_at(s, scope, 0, 0, false);
        CHECK_EQ(sim_open_files(s), 0);
        CHECK_EQ(sim_open_maps(s), 0);
        /* Rows may be lost by a failing last sync at close: those of interval
         * appends. */
        check_whole(sim_env(s), &h, true);
        sim_free(s);
        if (!fired) {
            break;
        }
    }
    printf("    scope %d errno %d%s: %" PRIu64 " runs\n", (int)scope, os_errno,
           forever ? " for ever" : "", n);
}

static void
each_call_fails(void)
{
    static const int errnos[] = {EIO, ENOSPC, EINTR};

    for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++) {
        for (int forever = 0; forever < 2; forever++) {
            if (errnos[i] == EINTR && forever) {
                continue; /* interrupted for ever is an error of its own */
            }
            failing_call(SIM_CALLS, errnos[i], forever, false);
        }
    }
    failing_call(SIM_WRITES, ENOSPC, true, true);
    failing_call(SIM_SYNCS, EIO, true, false);
}

static void
failed_sync(uint32_t first, uint32_t rows)
{
    uint64_t *keys = malloc(sizeof *keys * (first + 2 * rows));
    sim *s = sim_new(4);
    history h = {0};
    la_chunk *chunk;
    la_appended done;
    la_log *log;
    uint64_t durable, published;
    la_error err;

    CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, SPEC_SMALL,
                                &log, &err),
             &err);
    CHECK_EQ(append_some(log, &h, first, LA_SYNC_COMMIT), LA_OK);
    chunk = rows_from(la_log_schema(log), first, rows);
    sim_fail_at(s, SIM_SYNCS, 1, EIO, false);
    CHECK_STATUS(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_UNKNOWN, &err);
    CHECK_STATUS(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_CLOSED, &err);
    CHECK(strstr(err.message, "sync") != NULL);
    CHECK_STATUS(la_log_seal(log, &err), LA_CLOSED, &err);
    CHECK_STATUS(la_log_sync(log, &err), LA_CLOSED, &err);
    CHECK_STATUS(la_log_positions(log, &durable, &published, &err), LA_CLOSED, &err);
    la_log_close(log);
    /* Restart on the same machine: the cache still has the rows; power cut after
     * recovery. */
    CHECK_OK(
        la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, NULL, &log, &err),
        &err);
    CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    CHECK(done.first == first || done.first == first + rows);
    for (uint64_t i = 0; i < done.first + rows; i++) {
        keys[i] = i < done.first ? i : first + i - done.first;
    }
    la_log_close(log);
    for (uint64_t v = 0; v < 20; v++) {
        sim *after = sim_survivor(s, v);

        CHECK_OK(la_log_open_folder(sim_env(after), "/log", "t", LA_MODE_WRITE, NULL,
                                    &log, &err),
                 &err);
        check_log(log, keys, done.first + rows);
        la_log_close(log);
        sim_free(after);
    }
    la_chunk_free(chunk);
    free(keys);
    sim_free(s);
}

static void
a_failed_sync_ends_the_handle(void)
{
    failed_sync(5, 3);
    failed_sync(9000, 9000); /* frames that sealing would leave in place */
}

/* The same ids again after a failed append are no duplicates, and go to another
 * file. */
static void
a_failed_write_is_taken_back(void)
{
    sim *s = sim_new(7);
    la_log *log;
    la_chunk *chunk;
    la_appended done;
    la_error err;
    uint64_t before, keys[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

    CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, SPEC_DEDUPE,
                                &log, &err),
             &err);
    chunk = rows_from(la_log_schema(log), 0, 5);
    CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    la_chunk_free(chunk);
    chunk = rows_from(la_log_schema(log), 5, 5);
    before = log->open->number;
    sim_fail_at(s, SIM_WRITES, 1, EIO, false);
    CHECK_STATUS(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), LA_IO,
                 &err);
    CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    CHECK_EQ(done.ok, 5);
    CHECK_EQ(done.first, 5);
    CHECK(log->open->number != before);
    check_log(log, keys, 10);
    la_chunk_free(chunk);
    la_log_close(log);
    sim_free(s);
}

/* A disk, or memory on the way, that changes a bit of what is written. */
typedef struct lying {
    uint64_t writes, at;
    size_t byte;
} lying;

static int64_t (*honest_pwrite)(void *ctx, int fd, const void *from, size_t size,
                                uint64_t byte);
static lying liar;

static int64_t
lying_pwrite(void *ctx, int fd, const void *from, size_t size, uint64_t byte)
{
    uint8_t *copy;
    int64_t n;

    if (++liar.writes != liar.at || liar.byte >= size) {
        return honest_pwrite(ctx, fd, from, size, byte);
    }
    copy = malloc(size);
    memcpy(copy, from, size);
    copy[liar.byte] ^= 0x10;
    n = honest_pwrite(ctx, fd, copy, size, byte);
    free(copy);
    return n;
}

/* Sealing looks at what it wrote before it lets go of what it has. */
static void
a_bit_flips_while_sealing(void)
{
    for (uint64_t at = 1; at <= 3; at++) {
        for (size_t byte = 0; byte < 1600; byte += 13) {
            sim *s = sim_new(8);
            la_env env = *sim_env(s);
            history h = {0};
            la_log *log;
            la_error err;
            la_status status;

            honest_pwrite = env.io.pwrite;
            env.io.pwrite = lying_pwrite;
            liar = (lying){.byte = byte};
            CHECK_OK(la_log_open_folder(&env, "/log", "t", LA_MODE_WRITE, SPEC_SMALL,
                                        &log, &err),
                     &err);
            CHECK_EQ(append_some(log, &h, 20, LA_SYNC_COMMIT), LA_OK);
            CHECK_EQ(append_some(log, &h, 20, LA_SYNC_COMMIT), LA_OK);
            liar.writes = 0;
            liar.at = at;
            status = la_log_seal(log, &err);
            CHECK(status == LA_OK || status == LA_DAMAGED);
            liar.at = 0;
            check_log(log, h.keys, h.count);
            check_clean(log, &env);
            CHECK_EQ(append_some(log, &h, 5, LA_SYNC_COMMIT), LA_OK);
            CHECK_OK(la_log_seal(log, &err), &err);
            check_log(log, h.keys, h.count);
            check_clean(log, &env);
            la_log_close(log);
            sim_free(s);
        }
    }
}

static void
the_disk_is_full_for_a_while(void)
{
    sim *s = sim_new(5);
    history h = {0};
    la_log *log, *reader;
    uint32_t refused = 0;
    la_error err;

    CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, SPEC_SMALL,
                                &log, &err),
             &err);
    CHECK_OK(
        la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_READ, NULL, &reader, &err),
        &err);
    sim_space(s, 20000);
    for (int i = 0; i < 12; i++) {
        la_status status = append_some(log, &h, 200, LA_SYNC_COMMIT);

        CHECK(status == LA_OK || status == LA_FULL);
        refused += status != LA_OK;
        check_log(log, h.keys, h.count);
        check_log(reader, h.keys, h.count);
    }
    CHECK(refused != 0);
    sim_space(s, UINT64_MAX);
    CHECK_EQ(append_some(log, &h, 200, LA_SYNC_COMMIT), LA_OK);
    check_log(log, h.keys, h.count);
    check_log(reader, h.keys, h.count);
    check_clean(log, sim_env(s));
    la_log_close(reader);
    la_log_close(log);
    sim_free(s);
}

/* ---------------------------------------------------------------- allocation */

static void
sweep(bool forever)
{
    uint64_t n;

    for (n = 1;; n++) {
        sim *s = sim_new(6);
        fault_env f;
        history h = {0};
        la_log *log = NULL;
        la_error err;
        bool fired;

        fault_env_init(&f, sim_env(s));
        fault_env_fail_at(&f, n, forever);
        if (la_log_open_folder(&f.env, "/log", "t", LA_MODE_WRITE, SPEC_DEDUPE, &log,
                               &err) == LA_OK) {
            la_status status;

            for (int i = 0; i < 4; i++) {
                status = append_some(log, &h, i == 2 ? 200 : 2, LA_SYNC_COMMIT);
                CHECK_MSG(status == LA_OK || status == LA_NOMEM,
                          "n %" PRIu64 ": %s: %s", n, la_status_name(status),
                          err.message);
                if (i == 1) {
                    status = la_log_seal(log, &err);
                    CHECK(status == LA_OK || status == LA_NOMEM);
                }
            }
        }
        else {
            CHECK_EQ(err.status, LA_NOMEM);
        }
        fired = fault_env_fired(&f);
        fault_env_fail_at(&f, 0, false);
        if (log != NULL) {
            /* The same handle goes on. */
            CHECK_EQ(append_some(log, &h, 3, LA_SYNC_COMMIT), LA_OK);
            check_log(log, h.keys, h.count);
            check_clean(log, &f.env);
        }
        la_log_close(log);
        CHECK_EQ(fault_env_in_use(&f), 0);
        CHECK_EQ(sim_open_files(s), 0);
        CHECK_EQ(sim_open_maps(s), 0);
        if (log != NULL) {
            CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, NULL,
                                        &log, &err),
                     &err);
            check_log(log, h.keys, h.count);
            la_log_close(log);
        }
        sim_free(s);
        if (!fired) {
            break;
        }
    }
    printf("    %" PRIu64 " allocations\n", n - 1);
}

static void
each_allocation_fails(void)
{
    sweep(false);
    sweep(true);
}

int
main(void)
{
    RUN(a_failed_sync_ends_the_handle);
    RUN(a_failed_write_is_taken_back);
    RUN(a_bit_flips_while_sealing);
    RUN(the_disk_is_full_for_a_while);
    RUN(each_call_fails);
    RUN(each_allocation_fails);
    return test_end();
}
