/* SPDX-License-Identifier: Apache-2.0 */
/* Stores: made once, opened ever after; folders of others are left alone; what is lost or
 * damaged is said to be. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/file.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define PATH "/shop"
#define DOCUMENT PATH "/00000000000000000001.store"

static sim *
made_store(void)
{
    sim *disk = sim_new(2);
    shop s;
    shop_open(&s, sim_env(disk), PATH);
    shop_append(&s, 10);
    shop_define(&s, "totals", SHOP_TOTALS);
    shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
    shop_close(&s);
    return disk;
}

static void
is_made_and_opened(void)
{
    sim *disk = sim_new(1);
    la_store *store, *again;
    la_error err;
    char *status;
    CHECK_STATUS(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &store, &err),
                 LA_NOT_FOUND, &err);
    CHECK(err.hint[0] != '\0');
    CHECK(!sim_exists(disk, PATH));
    CHECK_OK(la_store_open(sim_env(disk), PATH "//", LA_MODE_WRITE, &store, &err),
             &err);
    CHECK_EQ(la_live_count(LA_LIVE_STORE), 1);
    CHECK_OK(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &again, &err), &err);
    CHECK_BYTES(store->uuid, again->uuid, 16);
    CHECK_STR(store->path, PATH);
    CHECK_OK(la_store_status(again, &status, &err), &err);
    CHECK(strstr(status, "\"logs\":[],\"views\":[]") != NULL);
    la_text_free(again, status);
    la_store_close(again);
    CHECK_OK(la_store_open(sim_env(disk), PATH, LA_MODE_WRITE, &again, &err), &err);
    CHECK_BYTES(store->uuid, again->uuid, 16);
    la_store_close(again);
    la_store_close(store);
    la_store_close(NULL);
    CHECK_EQ(la_live_count(LA_LIVE_STORE), 0);
    CHECK_EQ(sim_open_files(disk), 0);
    sim_free(disk);
}

static void
handles_are_shared_and_closed(void)
{
    sim *disk = made_store();
    shop s;
    la_log *log;
    la_view *view;
    la_error err;
    shop_open(&s, sim_env(disk), PATH);
    /* The same log, whatever defaults the caller writes out. */
    CHECK_OK(la_log_open(s.store, "orders", NULL, &log, &err), &err);
    CHECK(log == s.orders);
    CHECK_OK(la_log_open(s.store, "orders", SHOP_ORDERS, &log, &err), &err);
    CHECK_OK(la_log_open(s.store, "orders", la_log_spec(log), &log, &err), &err);
    CHECK(log == s.orders);
    CHECK_STATUS(la_log_open(s.store, "orders",
                             "{\"fields\":[{\"name\":\"id\",\"type\":"
                             "\"i64\"}]}",
                             &log, &err),
                 LA_CONFLICT, &err);
    CHECK_STATUS(la_log_open(s.store, "orders", "{", &log, &err), LA_INVALID, &err);
    CHECK_STATUS(la_log_open(s.store, "other", NULL, &log, &err), LA_NOT_FOUND, &err);
    CHECK_STATUS(la_log_open(s.store, "../x", SHOP_ORDERS, &log, &err), LA_INVALID,
                 &err);
    CHECK_OK(la_view_open(s.store, "totals", &view, &err), &err);
    CHECK(view == shop_view(&s, "totals"));
    CHECK_STATUS(la_view_open(s.store, "nothing", &view, &err), LA_NOT_FOUND, &err);
    CHECK(strstr(err.message, "totals") != NULL);
    CHECK_STATUS(la_view_define(s.store, "a/b", SHOP_TOTALS, false, &view, &err),
                 LA_INVALID, &err);
    CHECK_STATUS(la_view_define(s.store, "x", "{\"v\":1}", false, &view, &err),
                 LA_INVALID, &err);
    CHECK_EQ(la_live_count(LA_LIVE_LOG), 1);
    CHECK_EQ(la_live_count(LA_LIVE_VIEW), 1);
    shop_close(&s);
    CHECK_EQ(la_live_count(LA_LIVE_VIEW), 0);
    CHECK_EQ(la_live_count(LA_LIVE_PLAN), 0);
    sim_free(disk);
}

static void
readers_change_nothing(void)
{
    sim *disk = made_store();
    shop s = {.env = sim_env(disk)};
    la_view *view;
    la_error err;
    uint64_t changes = sim_call_count(disk, SIM_CHANGES);
    CHECK_OK(la_store_open(s.env, PATH, LA_MODE_READ, &s.store, &err), &err);
    CHECK_OK(la_log_open(s.store, "orders", NULL, &s.orders, &err), &err);
    CHECK_EQ(shop_check(&s, shop_view(&s, "totals"), SHOP_TOTALS, "{}"), 10);
    CHECK_STATUS(la_view_define(s.store, "x", SHOP_DAILY, false, &view, &err),
                 LA_READONLY, &err);
    CHECK_OK(la_view_define(s.store, "totals", SHOP_TOTALS, false, &view, &err), &err);
    CHECK_STATUS(la_view_rollback(view, 1, &err), LA_READONLY, &err);
    CHECK_OK(verify_try(s.store, NULL, &err), &err);
    la_store_close(s.store);
    CHECK_EQ(sim_call_count(disk, SIM_CHANGES), changes);
    sim_free(disk);
}

static void
touch(sim *disk, const char *path)
{
    const la_env *env = sim_env(disk);
    int fd = env->io.open(env->io.ctx, path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    env->io.close(env->io.ctx, fd);
}

static void
folders_of_others_are_refused(void)
{
    static const char *const foreign[] = {"thesis.txt",
                                          "my.store",
                                          "x.storefront",
                                          ".git",
                                          "00000000000000000001.manifest",
                                          "0000000000000000001.store"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        sim *disk = sim_new(3);
        la_store *store;
        la_error err;
        char path[100];
        CHECK_OK(la_file_mkdir(sim_env(disk), PATH, &err), &err);
        snprintf(path, sizeof path, PATH "/%s", foreign[i]);
        touch(disk, path);
        uint64_t changes = sim_call_count(disk, SIM_CHANGES);
        CHECK_STATUS(la_store_open(sim_env(disk), PATH, LA_MODE_WRITE, &store, &err),
                     LA_INVALID, &err);
        CHECK(strstr(err.message, foreign[i]) != NULL);
        CHECK_EQ(sim_call_count(disk, SIM_CHANGES), changes);
        CHECK_STATUS(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &store, &err),
                     LA_NOT_FOUND, &err);
        sim_free(disk);
    }
    sim *disk = sim_new(3);
    la_store *store;
    la_error err;
    touch(disk, "/file");
    CHECK_STATUS(la_store_open(sim_env(disk), "/file", LA_MODE_WRITE, &store, &err),
                 LA_IO, &err);
    CHECK_STATUS(
        la_store_open(sim_env(disk), "/no/parent", LA_MODE_WRITE, &store, &err), LA_IO,
        &err);
    char *path = malloc(6000);
    memset(path, 'x', 6000);
    path[0] = '/';
    path[5999] = '\0';
    CHECK(la_store_open(sim_env(disk), path, LA_MODE_WRITE, &store, &err) != LA_OK);
    free(path);
    sim_free(disk);
}

static void
damage_is_found_at_opening(void)
{
    sim *base = made_store();
    size_t size;
    CHECK(sim_content(base, DOCUMENT, &size) != NULL);
    for (uint64_t byte = 0; byte < size; byte++) {
        sim *disk = sim_clone(base);
        la_store *store;
        la_error err;
        CHECK(sim_flip(disk, DOCUMENT, byte, 0x10));
        la_status status =
            la_store_open(sim_env(disk), PATH, LA_MODE_WRITE, &store, &err);
        CHECK_MSG(status == LA_DAMAGED, "byte %" PRIu64 ": %s", byte,
                  la_status_name(status));
        sim_free(disk);
    }
    for (uint64_t cut = 0; cut < size; cut += 7) {
        sim *disk = sim_clone(base);
        la_store *store;
        la_error err;
        CHECK(sim_cut(disk, DOCUMENT, cut));
        CHECK_STATUS(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &store, &err),
                     LA_DAMAGED, &err);
        sim_free(disk);
    }
    sim_free(base);
}

/* A catalogue that is damaged stops; an older one never answers in its place. */
static void
a_damaged_catalogue_is_not_passed_over(void)
{
    sim *disk = made_store();
    la_store *store;
    la_error err;
    CHECK(sim_flip(disk, PATH "/catalogue/00000000000000000002.catalogue", 300, 1));
    CHECK_STATUS(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &store, &err),
                 LA_DAMAGED, &err);
    CHECK(strstr(err.path, "00000000000000000002.catalogue") != NULL);
    sim_free(disk);
}

static la_status
open_with_document(const char *body, uint16_t version)
{
    sim *disk = sim_new(5);
    la_store *store;
    la_error err;
    uint8_t uuid[16], file[300] = "LAMBDOC\n";
    const la_env *env = sim_env(disk);
    memset(uuid, 0x11, sizeof uuid);
    size_t size = strlen(body);
    file[8] = (uint8_t)version;
    file[10] = LA_DOC_STORE;
    memcpy(file + 16, uuid, 16);
    la_store_u64(file + 32, 1);
    la_store_u64(file + 40, size);
    la_store_u64(file + 80, la_xxh3(body, size, 1));
    la_store_u32(file + 92, la_crc32c(0, file, 92));
    memcpy(file + 96, body, size);
    CHECK_OK(la_file_mkdir(env, PATH, &err), &err);
    CHECK_OK(
        la_file_publish(env, PATH, "00000000000000000001.store", file, 96 + size, &err),
        &err);
    la_status status = la_store_open(env, PATH, LA_MODE_READ, &store, &err);
    if (status == LA_OK) {
        la_store_close(store);
    }
    sim_free(disk);
    return status;
}

static void
odd_store_documents_are_refused(void)
{
#define UUID "11111111111111111111111111111111"
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"created_us\":1,\"uuid\":\"" UUID "0\"}",
        "{\"created_us\":1,\"uuid\":\"22222222222222222222222222222222\"}",
        "{\"created_us\":\"x\",\"uuid\":\"" UUID "\"}",
        "{\"uuid\":\"" UUID "\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(open_with_document(bad[i], 1), LA_DAMAGED);
    }
    CHECK_EQ(open_with_document("{\"created_us\":1,\"uuid\":\"" UUID "\"}", 2),
             LA_NEWER);
    /* Well made, but without its folders. */
    CHECK(open_with_document("{\"created_us\":1,\"uuid\":\"" UUID "\"}", 1) != LA_OK);
}

/* The name of the document is lost, the rest is there: no new store is made of it. */
static void
a_lost_document_is_damage(void)
{
    sim *disk = made_store();
    const la_env *env = sim_env(disk);
    la_store *store;
    la_error err;
    CHECK_EQ(env->io.unlink(env->io.ctx, DOCUMENT), 0);
    CHECK_STATUS(la_store_open(env, PATH, LA_MODE_WRITE, &store, &err), LA_DAMAGED,
                 &err);
    CHECK(!sim_exists(disk, DOCUMENT));
    sim_free(disk);
}

static void
creation_survives_a_crash_at_every_call(void)
{
    uint64_t seed = test_seed(), states = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        sim *s = sim_new(seed + n);
        la_store *store;
        la_error err;
        uint8_t uuid[16];
        sim_crash_at(s, n);
        la_status status = la_store_open(sim_env(s), PATH, LA_MODE_WRITE, &store, &err);
        if (status == LA_OK) {
            memcpy(uuid, store->uuid, sizeof uuid);
            la_store_close(store);
        }
        crashed = sim_crashed(s);
        CHECK_EQ(sim_open_files(s), 0);
        for (uint64_t variant = 0; variant < 64; variant++) {
            sim *after = sim_survivor(s, variant);
            shop t;
            states++;
            shop_open(&t, sim_env(after), PATH);
            if (status == LA_OK) { /* acked: it is the same store */
                CHECK_BYTES(t.store->uuid, uuid, 16);
            }
            memcpy(uuid, t.store->uuid, sizeof uuid);
            shop_append(&t, 5);
            shop_close(&t);
            sim_reboot(after, 0);
            shop_open(&t, sim_env(after), PATH);
            CHECK_EQ(t.rows, 5);
            CHECK_BYTES(t.store->uuid, uuid, 16);
            shop_close(&t);
            sim_free(after);
        }
        sim_free(s);
    }
    printf("    %" PRIu64 " states\n", states);
}

static void
creation_survives_each_failing_call(void)
{
    for (int forever = 0; forever < 2; forever++) {
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            sim *s = sim_new(n);
            shop t;
            la_store *store;
            la_error err;
            sim_fail_at(s, SIM_CALLS, n, n % 2 ? EIO : ENOSPC, forever);
            la_status status =
                la_store_open(sim_env(s), PATH, LA_MODE_WRITE, &store, &err);
            fired = sim_fired(s);
            if (status == LA_OK) {
                la_store_close(store);
            }
            sim_fail_at(s, SIM_CALLS, 0, 0, false);
            CHECK_EQ(sim_open_files(s), 0);
            shop_open(&t, sim_env(s), PATH);
            shop_append(&t, 3);
            shop_close(&t);
            sim_reboot(s, 0);
            shop_open(&t, sim_env(s), PATH);
            CHECK_EQ(t.rows, 3);
            shop_close(&t);
            sim_free(s);
        }
    }
}

/* Somebody makes the store right now: the lock says so, and nothing is written twice. */
static void
two_makers_do_not_meet(void)
{
    sim *disk = sim_new(6);
    const la_env *env = sim_env(disk);
    la_store *store;
    la_error err;
    CHECK_OK(la_file_mkdir(env, PATH, &err), &err);
    int fd = env->io.open(env->io.ctx, PATH "/LOCK", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(env->io.lock(env->io.ctx, fd, true), 0);
    CHECK_STATUS(la_store_open(env, PATH, LA_MODE_WRITE, &store, &err), LA_BUSY, &err);
    CHECK(err.retriable);
    env->io.close(env->io.ctx, fd);
    CHECK_OK(la_store_open(env, PATH, LA_MODE_WRITE, &store, &err), &err);
    la_store_close(store);
    sim_free(disk);
}

static void
status_and_verify_tell_what_is_there(void)
{
    sim *disk = made_store();
    shop s;
    char *json, *report;
    la_error err;
    shop_open(&s, sim_env(disk), PATH);
    touch(disk, PATH "/logs/.hidden");
    touch(disk, PATH "/logs/not a log");
    CHECK_OK(la_file_mkdir(s.env, PATH "/logs/begun", &err), &err);
    CHECK_OK(la_store_status(s.store, &json, &err), &err);
    CHECK(strstr(json, "\"logs\":[{\"name\":\"orders\"") != NULL);
    CHECK(strstr(json, "\"views\":[{\"name\":\"totals\"") != NULL);
    la_arena arena;
    const la_json *root;
    la_arena_init(&arena, la_env_system());
    CHECK_OK(la_json_parse(&arena, json, strlen(json), &root, &err), &err);
    la_arena_fini(&arena);
    la_text_free(s.store, json);
    CHECK_OK(verify_try(s.store, &report, &err), &err);
    CHECK(strstr(report, "\"damages\":0") != NULL);
    free(report);
    /* Two damages: both are reported. */
    char *names = file_names(s.env, PATH "/views/totals");
    char path[200];
    for (char *line = strtok(names, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        snprintf(path, sizeof path, PATH "/views/totals/%s", line);
        if (strstr(line, ".groups") != NULL) {
            CHECK(sim_flip(disk, path, 40, 1));
        }
    }
    free(names);
    CHECK(sim_flip(disk, PATH "/catalogue/00000000000000000001.catalogue", 200, 1));
    CHECK_STATUS(verify_try(s.store, &report, &err), LA_DAMAGED, &err);
    CHECK(strstr(report, "\"damages\":2") != NULL);
    CHECK(strstr(report, ".groups") != NULL);
    CHECK(strstr(report, "1.catalogue") != NULL);
    free(report);
    shop_close(&s);
    sim_free(disk);
}

int
main(void)
{
    RUN(is_made_and_opened);
    RUN(handles_are_shared_and_closed);
    RUN(readers_change_nothing);
    RUN(folders_of_others_are_refused);
    RUN(damage_is_found_at_opening);
    RUN(a_damaged_catalogue_is_not_passed_over);
    RUN(odd_store_documents_are_refused);
    RUN(a_lost_document_is_damage);
    RUN(creation_survives_a_crash_at_every_call);
    RUN(creation_survives_each_failing_call);
    RUN(two_makers_do_not_meet);
    RUN(status_and_verify_tell_what_is_there);
    return test_end();
}
