/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: statuses, texts that do not fit, texts that point into the error itself. */
#include "base/error.h"

#include <errno.h>

#include "base/live.h"
#include "base/sync.h"
#include "test.h"

static void
names_every_status(void)
{
    CHECK_STR(la_status_name(LA_OK), "OK");
    CHECK_STR(la_status_name(LA_EVALUATION), "EVALUATION");
    CHECK_STR(la_status_name((la_status)LA_STATUS_COUNT), "?");
    CHECK_STR(la_status_name((la_status)-1), "?");
    for (int i = 0; i < LA_STATUS_COUNT; i++) {
        CHECK(la_status_name((la_status)i)[0] >= 'A');
    }
    CHECK_STR(la_version(), "0.1.0");
}

static void
fills_every_field(void)
{
    la_error err;
    memset(&err, 0xAA, sizeof err);
    CHECK_EQ(la_fail(&err, LA_BUSY, "could not lock %s: held", "x"), LA_BUSY);
    CHECK_STR(err.message, "could not lock x: held");
    CHECK_EQ(err.position, LA_NO_POSITION);
    CHECK_EQ(err.byte, UINT64_MAX);
    CHECK_EQ(err.os_errno, 0);
    CHECK(err.retriable);
    CHECK_STR(err.path, "");
    CHECK_STR(err.hint, "");
    la_error_hint(&err, "wait %d s", 3);
    CHECK_STR(err.hint, "wait 3 s");
    CHECK_EQ(la_fail(NULL, LA_TYPE, "x"), LA_TYPE);
    la_error_hint(NULL, "x");
    la_error_path(NULL, "x");
}

static void
maps_errno(void)
{
    static const struct {
        int os_errno;
        la_status status;
        bool retriable;
    } cases[] = {{ENOSPC, LA_FULL, true},     {EDQUOT, LA_FULL, true},
                 {EROFS, LA_READONLY, false}, {EACCES, LA_READONLY, false},
                 {ENOMEM, LA_NOMEM, true},    {EIO, LA_IO, false},
                 {EINTR, LA_IO, true},        {ENOENT, LA_IO, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        la_error err;
        CHECK_EQ(la_fail_os(&err, cases[i].os_errno, "a/b", "could not x"),
                 cases[i].status);
        CHECK_EQ(err.status, cases[i].status);
        CHECK_EQ(err.os_errno, cases[i].os_errno);
        CHECK_EQ(err.retriable, cases[i].retriable);
        CHECK_STR(err.path, "a/b");
    }
    la_error err;
    (void)!la_fail_os(&err, ENOSPC, NULL, "could not append to \"%s\"", "s");
    CHECK_STR(err.message, "could not append to \"s\": no space left on device");
    CHECK_STR(err.path, "");
}

static void
cuts_long_texts(void)
{
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    la_error err;
    (void)!la_fail(&err, LA_INVALID, "%s", text);
    CHECK_EQ(strlen(err.message), sizeof err.message - 1);
    (void)!la_fail_os(&err, EIO, text, "%s", text);
    CHECK(strlen(err.message) < sizeof err.message);
    CHECK(strstr(err.message, ": input/output error") != NULL);
    CHECK_EQ(strlen(err.path), sizeof err.path - 1);
    CHECK(strncmp(err.path, "...x", 4) == 0);
    /* Two-byte characters at every alignment: never half of one at the end. */
    for (size_t shift = 0; shift < 2; shift++) {
        for (size_t i = 0; i + 1 < sizeof text - shift; i += 2) {
            memcpy(text + shift + i, "\xC3\xA9", 2);
        }
        text[sizeof text - 1] = '\0';
        (void)!la_fail(&err, LA_INVALID, "%s", text);
        size_t size = strlen(err.message);
        CHECK((uint8_t)err.message[size - 1] == 0xA9 || err.message[size - 1] == 'x');
        la_error_path(&err, text);
        CHECK_EQ((uint8_t)err.path[3], 0xC3);
    }
}

static void
takes_its_own_text(void)
{
    la_error err;
    (void)!la_fail(&err, LA_INVALID, "inner");
    la_error_path(&err, "p");
    (void)!la_fail(&err, LA_TYPE, "outer: %s", err.message);
    CHECK_STR(err.message, "outer: inner");
    la_error_path(&err, "file");
    (void)!la_fail_os(&err, EIO, err.path, "again: %s", err.message);
    CHECK_STR(err.message, "again: outer: inner: input/output error");
    CHECK_STR(err.path, "file");
    (void)!la_fail_damaged(&err, err.path, 7, "%s", err.message);
    CHECK_STR(err.path, "file");
    CHECK_EQ(err.byte, 7);
    CHECK_EQ(err.status, LA_DAMAGED);
}

static void
counts_live_objects(void)
{
    CHECK_EQ(la_live_count(LA_LIVE_SCAN), 0);
    la_live_add(LA_LIVE_SCAN, 2);
    CHECK_EQ(la_live_count(LA_LIVE_SCAN), 2);
    la_live_add(LA_LIVE_SCAN, -2);
    CHECK_STR(la_live_name(LA_LIVE_STORE), "STORE");
    CHECK_STR(la_live_name((la_live)LA_LIVE_COUNT), "?");
}

typedef struct shared {
    la_mutex mutex;
    la_cond cond;
    int count;
} shared;

static void *
add_many(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 1000; i++) {
        la_mutex_lock(&s->mutex);
        s->count++;
        la_cond_broadcast(&s->cond);
        la_mutex_unlock(&s->mutex);
        la_live_add(LA_LIVE_VIEW, i % 2 == 0 ? 1 : -1);
    }
    return NULL;
}

static void
runs_threads(void)
{
    shared s = {.count = 0};
    la_error err;
    la_thread threads[4];
    la_mutex_init(&s.mutex);
    la_cond_init(&s.cond);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(la_thread_start(&threads[i], add_many, &s, &err), &err);
    }
    la_mutex_lock(&s.mutex);
    while (s.count < 4000) {
        la_cond_wait(&s.cond, &s.mutex);
    }
    CHECK(!la_cond_wait_for(&s.cond, &s.mutex, 2000000));
    la_mutex_unlock(&s.mutex);
    for (int i = 0; i < 4; i++) {
        la_thread_join(&threads[i]);
    }
    la_cond_fini(&s.cond);
    la_mutex_fini(&s.mutex);
    CHECK(la_cpu_count() >= 1);
}

int
main(void)
{
    RUN(names_every_status);
    RUN(fills_every_field);
    RUN(maps_errno);
    RUN(cuts_long_texts);
    RUN(takes_its_own_text);
    RUN(counts_live_objects);
    RUN(runs_threads);
    return test_end();
}
