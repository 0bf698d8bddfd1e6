/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: the bytes, every damage named, and one atomic step whatever happens: a
 * crash at any call, a failing call, a failing allocation. */
#include "base/document.h"

#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "fault_env.h"
#include "sim_env.h"
#include "test.h"

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char old_body[] = "{\"n\":1}";
static char new_body[1500]; /* three sectors */

#define NEW_PATH "/s/00000000000000000002.manifest"

static void
fill_bodies(void)
{
    memset(new_body, ' ', sizeof new_body);
    memcpy(new_body, "{\"n\":2}", 7);
}

static la_status
put(const la_env *env, uint64_t number, const la_doc_id *previous, const char *body,
    size_t size, la_doc_id *id, la_error *err)
{
    return la_doc_write(env, "/s", LA_DOC_MANIFEST, uuid, number, previous, body, size,
                        id, err);
}

/* Reads document `number` and compares it; the status otherwise. */
static la_status
get(const la_env *env, uint64_t number, const la_doc_id *expect, const char *body,
    size_t size, la_error *err)
{
    la_buf file;
    const char *found;
    size_t found_size;
    la_doc_id id;
    la_buf_init(&file, env);
    la_status status = la_doc_read(env, "/s", LA_DOC_MANIFEST, uuid, number, expect,
                                   &file, &found, &found_size, &id, err);
    if (status == LA_OK) {
        CHECK_EQ(found_size, size);
        CHECK_BYTES(found, body, size);
        CHECK_EQ(id.number, number);
        CHECK_EQ(id.size, file.size);
    }
    la_buf_fini(&file);
    return status;
}

/* Folder /s with document 1, all durable. */
static sim *
prepared(uint64_t seed, la_doc_id *id)
{
    sim *s = sim_new(seed);
    la_error err;
    CHECK_OK(la_file_mkdir(sim_env(s), "/s", &err), &err);
    CHECK_OK(put(sim_env(s), 1, NULL, old_body, sizeof old_body - 1, id, &err), &err);
    return s;
}

static void
writes_the_documented_bytes(void)
{
    la_doc_id one, two;
    la_error err;
    size_t size;
    uint8_t digest[32];
    sim *s = prepared(1, &one);
    CHECK_OK(put(sim_env(s), 2, &one, new_body, sizeof new_body, &two, &err), &err);
    const uint8_t *f = sim_content(s, NEW_PATH, &size);
    CHECK_EQ(size, 96 + sizeof new_body);
    CHECK_BYTES(f, "LAMBDOC\n\1\0\1\0\0\0\0\0", 16);
    CHECK_BYTES(f + 16, uuid, 16);
    CHECK_EQ(la_load_u64(f + 32), 2);
    CHECK_EQ(la_load_u64(f + 40), sizeof new_body);
    CHECK_BYTES(f + 48, one.digest, 32);
    CHECK_EQ(la_load_u64(f + 80), la_xxh3(new_body, sizeof new_body, 2));
    CHECK_EQ(la_load_u32(f + 88), 0);
    CHECK_EQ(la_load_u32(f + 92), la_crc32c(0, f, 92));
    CHECK_BYTES(f + 96, new_body, sizeof new_body);
    la_sha256(f, size, digest);
    CHECK_BYTES(two.digest, digest, 32);
    CHECK_EQ(two.size, size);
    CHECK_OK(get(sim_env(s), 2, &two, new_body, sizeof new_body, &err), &err);
    CHECK_OK(get(sim_env(s), 2, NULL, new_body, sizeof new_body, &err), &err);
    f = sim_content(s, "/s/00000000000000000001.manifest", &size);
    for (int i = 48; i < 80; i++) {
        CHECK_EQ(f[i], 0); /* no previous document */
    }
    CHECK_STATUS(get(sim_env(s), 2, &one, new_body, sizeof new_body, &err), LA_DAMAGED,
                 &err);
    two.digest[31] ^= 1; /* same size, another document */
    CHECK_STATUS(get(sim_env(s), 2, &two, new_body, sizeof new_body, &err), LA_DAMAGED,
                 &err);
    CHECK_STATUS(get(sim_env(s), 3, NULL, "", 0, &err), LA_NOT_FOUND, &err);
    CHECK_STR(err.path, "/s/00000000000000000003.manifest");
    CHECK_EQ(sim_open_files(s), 0);
    sim_free(s);
}

static void
names_files(void)
{
    char path[100];
    la_doc_path(path, sizeof path, "/a/b", LA_DOC_CATALOGUE, 7);
    CHECK_STR(path, "/a/b/00000000000000000007.catalogue");
    la_doc_path(path, sizeof path, "x", LA_DOC_MANIFEST_PAGE, UINT64_MAX);
    CHECK_STR(path, "x/18446744073709551615.page");
    la_doc_path(path, sizeof path, "x", LA_DOC_VERSION, 0);
    CHECK_STR(path, "x/00000000000000000000.version");
    la_doc_path(path, sizeof path, "x", LA_DOC_STORE, 1);
    CHECK_STR(path, "x/00000000000000000001.store");
    la_doc_path(path, 10, "x", LA_DOC_STORE, 1);
    CHECK_STR(path, "");
}

static void
never_replaces(void)
{
    la_error err;
    la_doc_id id;
    sim *s = prepared(1, NULL);
    memset(&id, 7, sizeof id);
    CHECK_STATUS(put(sim_env(s), 1, NULL, new_body, sizeof new_body, &id, &err),
                 LA_CONFLICT, &err);
    CHECK_EQ(id.size, 0x0707070707070707);
    CHECK(!sim_exists(s, "/s/00000000000000000001.manifest.tmp"));
    CHECK_OK(get(sim_env(s), 1, NULL, old_body, sizeof old_body - 1, &err), &err);
    CHECK_STATUS(put(sim_env(s), 2, NULL, new_body, SIZE_MAX, NULL, &err), LA_INVALID,
                 &err);
    sim_free(s);
}

static void
detects_every_flipped_byte(void)
{
    la_error err;
    la_doc_id id;
    sim *s = prepared(1, &id);
    const la_env *env = sim_env(s);
    CHECK_OK(put(env, 2, &id, new_body, sizeof new_body, &id, &err), &err);
    for (uint64_t byte = 0; byte < id.size; byte++) {
        /* All 255 wrong values in the header and around the body's start, then bits. */
        for (unsigned mask = 1; mask < 256; mask = byte < 128 ? mask + 1 : mask * 2) {
            CHECK(sim_flip(s, NEW_PATH, byte, (uint8_t)mask));
            la_status status = get(env, 2, NULL, new_body, sizeof new_body, &err);
            CHECK_MSG(status == LA_DAMAGED, "byte %llu mask %u: %s",
                      (unsigned long long)byte, mask, la_status_name(status));
            CHECK_STR(err.path, NEW_PATH);
            CHECK(err.byte < id.size);
            CHECK(sim_flip(s, NEW_PATH, byte, (uint8_t)mask));
        }
    }
    CHECK_OK(get(env, 2, &id, new_body, sizeof new_body, &err), &err);
    CHECK_EQ(sim_open_files(s), 0);
    sim_free(s);
}

static void
detects_every_truncation(void)
{
    la_error err;
    la_doc_id id;
    sim *whole = prepared(1, &id);
    CHECK_OK(put(sim_env(whole), 2, &id, new_body, sizeof new_body, &id, &err), &err);
    for (uint64_t size = 0; size < id.size; size++) {
        sim *s = sim_clone(whole);
        CHECK(sim_cut(s, NEW_PATH, size));
        CHECK_STATUS(get(sim_env(s), 2, NULL, new_body, sizeof new_body, &err),
                     LA_DAMAGED, &err);
        CHECK_EQ(err.byte, size);
        sim_free(s);
    }
    /* And one byte too many. */
    const la_env *env = sim_env(whole);
    int fd = env->io.open(env->io.ctx, NEW_PATH, O_RDWR, 0);
    CHECK_EQ(env->io.pwrite(env->io.ctx, fd, "", 1, id.size), 1);
    env->io.close(env->io.ctx, fd);
    CHECK_STATUS(get(env, 2, NULL, new_body, sizeof new_body, &err), LA_DAMAGED, &err);
    CHECK_EQ(err.byte, id.size);
    sim_free(whole);
}

/* Changes bytes of document 2 and makes its header checksum right again. */
static la_status
read_forged(size_t byte, const void *bytes, size_t size, la_error *err)
{
    la_doc_id id;
    sim *s = prepared(1, &id);
    CHECK_OK(put(sim_env(s), 2, &id, new_body, sizeof new_body, &id, err), err);
    size_t file_size;
    uint8_t header[96];
    memcpy(header, sim_content(s, NEW_PATH, &file_size), 96);
    memcpy(header + byte, bytes, size);
    la_store_u32(header + 92, la_crc32c(0, header, 92));
    const la_env *env = sim_env(s);
    int fd = env->io.open(env->io.ctx, NEW_PATH, O_RDWR, 0);
    CHECK_EQ(env->io.pwrite(env->io.ctx, fd, header, 96, 0), 96);
    env->io.close(env->io.ctx, fd);
    la_status status = get(env, 2, NULL, new_body, sizeof new_body, err);
    sim_free(s);
    return status;
}

static void
tells_what_is_wrong(void)
{
    static const struct {
        size_t byte;
        const char *bytes;
        size_t size;
        la_status status;
    } cases[] = {
        {8, "\2", 1, LA_NEWER},
        {8, "\0\1", 2, LA_NEWER},
        {8, "\0", 1, LA_DAMAGED},
        {10, "\2", 1, LA_DAMAGED},
        {12, "\1", 1, LA_DAMAGED},
        {16, "\0", 1, LA_DAMAGED},
        {32, "\3", 1, LA_DAMAGED},
        {40, "\0", 1, LA_DAMAGED},
        {88, "\1", 1, LA_DAMAGED},
        {40, "\377\377\377\377\377\377\377\377", 8, LA_DAMAGED},
        {80, "x", 1, LA_DAMAGED},
    };
    la_error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        la_status status =
            read_forged(cases[i].byte, cases[i].bytes, cases[i].size, &err);
        CHECK_MSG(status == cases[i].status, "case %zu: %s: %s", i,
                  la_status_name(status), err.message);
        CHECK_STR(err.path, NEW_PATH);
        bool says_byte = err.byte == cases[i].byte || cases[i].byte == 40 ||
                         (cases[i].byte == 80 && err.byte == 96) || status == LA_NEWER;
        CHECK_MSG(says_byte, "case %zu: byte %llu", i, (unsigned long long)err.byte);
    }
}

/* The promise: old or new, never anything else, and new once LA_OK was returned. */
static void
check_survivor(sim *after, bool acked, const char *what, uint64_t n, uint64_t variant)
{
    const la_env *env = sim_env(after);
    la_error err;
    uint64_t newest = 0;
    la_status status = la_doc_newest(env, "/s", LA_DOC_MANIFEST, &newest, &err);
    bool right = status == LA_OK && (newest == 2 || (newest == 1 && !acked));
    if (!right) {
        sim_dump(after, stderr);
    }
    CHECK_MSG(right, "%s %llu variant %llu: newest %llu", what, (unsigned long long)n,
              (unsigned long long)variant, (unsigned long long)newest);
    CHECK_OK(get(env, 1, NULL, old_body, sizeof old_body - 1, &err), &err);
    if (newest == 2) {
        CHECK_OK(get(env, 2, NULL, new_body, sizeof new_body, &err), &err);
        return;
    }
    /* Debris of the crash must not stop the next publisher. */
    CHECK_OK(put(env, 2, NULL, new_body, sizeof new_body, NULL, &err), &err);
    sim_reboot(after, 0);
    CHECK_OK(get(env, 2, NULL, new_body, sizeof new_body, &err), &err);
}

static void
check_survivors(sim *s, bool acked, const char *what, uint64_t n, uint64_t variants)
{
    for (uint64_t variant = 0; variant < variants; variant++) {
        sim *after = sim_survivor(s, variant);
        check_survivor(after, acked, what, n, variant);
        sim_free(after);
    }
    size_t pending = sim_pending(s);
    for (uint64_t atoms = 0;
         pending <= 10 && atoms < (uint64_t)1 << pending && atoms < 4 * variants;
         atoms++) {
        sim *after = sim_survivor_of(s, atoms);
        check_survivor(after, acked, what, n, atoms);
        sim_free(after);
    }
}

static void
survives_a_crash_at_every_call(void)
{
    sim *base = prepared(test_seed(), NULL);
    for (int debris = 0; debris < 2; debris++) {
        if (debris == 1) { /* a tmp file of an earlier crash, longer than the new one */
            static char junk[3000];
            const la_env *env = sim_env(base);
            int fd = env->io.open(env->io.ctx, NEW_PATH ".tmp", O_RDWR | O_CREAT, 0600);
            memset(junk, 'j', sizeof junk);
            CHECK_EQ(env->io.pwrite(env->io.ctx, fd, junk, sizeof junk, 0),
                     sizeof junk);
            CHECK_EQ(env->io.fdatasync(env->io.ctx, fd), 0);
            CHECK_EQ(env->io.sync_dir(env->io.ctx, "/s"), 0);
            env->io.close(env->io.ctx, fd);
        }
        uint64_t n = 1;
        bool crashed = true;
        for (; crashed; n++) {
            sim *s = sim_clone(base);
            la_error err;
            sim_crash_at(s, n);
            la_status status =
                put(sim_env(s), 2, NULL, new_body, sizeof new_body, NULL, &err);
            crashed = sim_crashed(s);
            CHECK_EQ(status == LA_OK, !crashed);
            CHECK_EQ(sim_open_files(s), 0);
            check_survivors(s, status == LA_OK, "crash", n, 256);
            sim_free(s);
        }
        CHECK_EQ(
            n,
            7); /* open, write, sync, rename, sync folder; then one without a crash */
    }
    sim_free(base);
}

static void
survives_each_failing_call(void)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EINTR, EROFS};
    sim *base = prepared(test_seed(), NULL);
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        for (int forever = 0; forever < 2; forever++) {
            bool fired = true;
            for (uint64_t n = 1; fired; n++) {
                sim *s = sim_clone(base);
                la_error err;
                sim_short_transfers(s, n % 2 == 0);
                sim_fail_at(s, SIM_CALLS, n, errors[e], forever != 0);
                la_status status =
                    put(sim_env(s), 2, NULL, new_body, sizeof new_body, NULL, &err);
                fired = sim_fired(s);
                CHECK(status != LA_OK || !fired || forever == 0 || n > 5);
                if (status == LA_FULL) {
                    CHECK(err.os_errno == ENOSPC || err.os_errno == EDQUOT);
                }
                CHECK_EQ(sim_open_files(s), 0);
                sim_fail_at(s, SIM_CALLS, 0, 0, false);
                check_survivors(s, status == LA_OK, "fault", n, 24);
                sim_free(s);
            }
        }
    }
    sim_free(base);
}

static void
survives_each_allocation_failure(void)
{
    for (int forever = 0; forever < 2; forever++) {
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            la_error err;
            sim *s = prepared(1, NULL);
            fault_env f;
            fault_env_init(&f, sim_env(s));
            fault_env_fail_at(&f, n, forever != 0);
            la_status status =
                put(&f.env, 2, NULL, new_body, sizeof new_body, NULL, &err);
            CHECK(status == LA_OK || status == LA_NOMEM);
            CHECK_EQ(sim_exists(s, NEW_PATH), status == LA_OK);
            if (status == LA_OK) {
                status = get(&f.env, 2, NULL, new_body, sizeof new_body, &err);
            }
            fired = fault_env_fired(&f);
            CHECK_EQ(status, fired ? LA_NOMEM : LA_OK);
            la_doc_prune(&f.env, "/s", LA_DOC_MANIFEST, 2, 0);
            CHECK_EQ(fault_env_in_use(&f), 0);
            CHECK_EQ(sim_open_files(s), 0);
            sim_free(s);
        }
    }
}

static void
finds_the_newest_and_prunes(void)
{
    static const char *const strangers[] = {
        "/s/00000000000000000099.catalogue",     "/s/0000000000000000099.manifest",
        "/s/00000000000000000099.manifest.bak",  "/s/99999999999999999999.manifest",
        "/s/00000000000000000098.manifest.tmp",  "/s/x00000000000000000099.manifest",
        "/s/00000000000000000097.catalogue.tmp", "/s/00000000000000000099.manifestx"};
    la_error err;
    uint64_t number = 77;
    sim *s = sim_new(3);
    const la_env *env = sim_env(s);
    CHECK_STATUS(la_doc_newest(env, "/s", LA_DOC_MANIFEST, &number, &err), LA_NOT_FOUND,
                 &err);
    CHECK_EQ(number, 77);
    CHECK_OK(la_file_mkdir(env, "/s", &err), &err);
    CHECK_OK(la_doc_newest(env, "/s", LA_DOC_MANIFEST, &number, &err), &err);
    CHECK_EQ(number, 0);
    for (uint64_t n = 1; n <= 12; n++) {
        CHECK_OK(put(env, n, NULL, "{}", 2, NULL, &err), &err);
    }
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        int fd = env->io.open(env->io.ctx, strangers[i], O_CREAT | O_RDWR, 0600);
        env->io.close(env->io.ctx, fd);
    }
    CHECK_OK(la_doc_newest(env, "/s", LA_DOC_MANIFEST, &number, &err), &err);
    CHECK_EQ(number, 12);
    la_doc_prune(env, "/s", LA_DOC_MANIFEST, 12, 8);
    for (uint64_t n = 1; n <= 12; n++) {
        char path[100];
        la_doc_path(path, sizeof path, "/s", LA_DOC_MANIFEST, n);
        CHECK_MSG(sim_exists(s, path) == (n >= 4), "%s", path);
    }
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        CHECK_MSG(sim_exists(s, strangers[i]) == (i != 4), "%s", strangers[i]);
    }
    la_doc_prune(env, "/s", LA_DOC_MANIFEST, 5, 8); /* fewer than are kept */
    CHECK_OK(get(env, 4, NULL, "{}", 2, &err), &err);
    sim_free(s);
}

int
main(void)
{
    fill_bodies();
    RUN(writes_the_documented_bytes);
    RUN(names_files);
    RUN(never_replaces);
    RUN(detects_every_flipped_byte);
    RUN(detects_every_truncation);
    RUN(tells_what_is_wrong);
    RUN(survives_a_crash_at_every_call);
    RUN(survives_each_failing_call);
    RUN(survives_each_allocation_failure);
    RUN(finds_the_newest_and_prunes);
    return test_end();
}
