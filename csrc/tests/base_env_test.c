/* SPDX-License-Identifier: Apache-2.0 */
/* One contract, two environments: the simulator must behave as the system does where
 * nothing fails; and what only the simulator does: losing what was not synced. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "sim_env.h"
#include "test.h"

typedef struct seen {
    int count;
    int hits; /* of "a" or "sub" */
} seen;

static int
count_names(void *arg, const char *name)
{
    seen *s = arg;
    s->count++;
    s->hits += strcmp(name, "a") == 0 || strcmp(name, "sub") == 0;
    return 0;
}

static int
stop_at_once(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 5;
}

/* In the empty folder `root`. */
static void
check_contract(const la_env *env, const char *root)
{
    const la_io *io = &env->io;
    void *ctx = io->ctx;
    char a[300], b[300], sub[300], missing[300];
    la_error err;
    CHECK_OK(la_path_join(a, sizeof a, root, "a", &err), &err);
    CHECK_OK(la_path_join(b, sizeof b, root, "b", &err), &err);
    CHECK_OK(la_path_join(sub, sizeof sub, root, "sub", &err), &err);
    CHECK_OK(la_path_join(missing, sizeof missing, sub, "no/file", &err), &err);
    uint8_t bytes[100];

    CHECK_EQ(io->open(ctx, a, O_RDONLY, 0), -ENOENT);
    CHECK_EQ(io->open(ctx, missing, O_RDWR | O_CREAT, 0600), -ENOENT);
    int fd = io->open(ctx, a, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(io->open(ctx, a, O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    CHECK_EQ(io->file_size(ctx, fd), 0);
    CHECK_EQ(io->pwrite(ctx, fd, "hello", 5, 2), 5);
    CHECK_EQ(io->file_size(ctx, fd), 7);
    CHECK_EQ(io->pread(ctx, fd, bytes, sizeof bytes, 0), 7);
    CHECK_BYTES(bytes, "\0\0hello", 7);
    CHECK_EQ(io->pread(ctx, fd, bytes, sizeof bytes, 7), 0);
    CHECK_EQ(io->pread(ctx, fd, bytes, sizeof bytes, 1000), 0);
    CHECK_EQ(io->fdatasync(ctx, fd), 0);
    CHECK_EQ(io->sync_dir(ctx, root), 0);

    /* Locks belong to the open file. */
    int second = io->open(ctx, a, O_RDWR, 0);
    CHECK_EQ(io->lock(ctx, fd, true), 0);
    CHECK_EQ(io->lock(ctx, second, true), -EAGAIN);
    CHECK_EQ(io->lock(ctx, second, false), -EAGAIN);
    int third = io->open(ctx, a, O_RDONLY, 0);
    CHECK_EQ(io->close(ctx, third), 0); /* drops nobody's lock */
    CHECK_EQ(io->lock(ctx, second, true), -EAGAIN);
    CHECK_EQ(io->lock(ctx, fd, false), 0);
    CHECK_EQ(io->lock(ctx, second, false), 0);
    CHECK_EQ(io->lock(ctx, second, true), -EAGAIN);
    CHECK_EQ(io->close(ctx, fd), 0);
    CHECK_EQ(io->lock(ctx, second, true), 0);

    /* Names. */
    CHECK_EQ(io->mkdir(ctx, sub, 0700), 0);
    CHECK_EQ(io->mkdir(ctx, sub, 0700), -EEXIST);
    CHECK_EQ(io->unlink(ctx, b), -ENOENT);
    CHECK_EQ(io->rename_noreplace(ctx, b, a), -ENOENT);
    CHECK_EQ(io->same_file(ctx, second, a), 1);
    CHECK_EQ(io->same_file(ctx, second, b), 0);
    seen s = {0, 0};
    CHECK_EQ(io->list(ctx, root, count_names, &s), 0);
    CHECK_EQ(s.count, 2);
    CHECK_EQ(s.hits, 2);
    int stops = 0;
    CHECK_EQ(io->list(ctx, root, stop_at_once, &stops), 5);
    CHECK_EQ(stops, 1);
    CHECK_EQ(io->list(ctx, b, count_names, &s), -ENOENT);
    CHECK_EQ(io->list(ctx, a, count_names, &s), -ENOTDIR);
    fd = io->open(ctx, b, O_RDWR | O_CREAT, 0600);
    CHECK_EQ(io->rename_noreplace(ctx, a, b), -EEXIST);
    CHECK_EQ(io->same_file(ctx, second, b), 0);
    CHECK_EQ(io->close(ctx, fd), 0);
    CHECK_EQ(io->unlink(ctx, b), 0);
    CHECK_EQ(io->rename_noreplace(ctx, a, b), 0);
    CHECK_EQ(io->open(ctx, a, O_RDONLY, 0), -ENOENT);
    CHECK_EQ(io->same_file(ctx, second, b), 1);

    /* Mappings outlive the descriptor and the name. */
    const void *map, *empty;
    void *shared;
    CHECK_EQ(io->map(ctx, second, 7, &map), 0);
    CHECK_EQ(io->map(ctx, second, 0, &empty), 0);
    io->unmap(ctx, empty, 0);
    CHECK_EQ(io->map_shared(ctx, second, 7, true, &shared), 0);
    memcpy(shared, "XY", 2);
    CHECK_EQ(io->pread(ctx, second, bytes, 7, 0), 7);
    CHECK_BYTES(bytes, "XYhello", 7);
    CHECK_EQ(io->pwrite(ctx, second, "Z", 1, 6), 1);
    CHECK_BYTES(shared, "XYhellZ", 7);
    io->unmap(ctx, shared, 7);
    CHECK_EQ(io->close(ctx, second), 0);
    CHECK_EQ(io->unlink(ctx, b), 0);
    CHECK_BYTES((const uint8_t *)map + 2, "hell", 4);
    io->unmap(ctx, map, 7);

    fd = io->open(ctx, a, O_RDWR | O_CREAT, 0600);
    CHECK_EQ(io->pwrite(ctx, fd, "abc", 3, 0), 3);
    CHECK_EQ(io->close(ctx, fd), 0);
    CHECK(io->close(ctx, fd) < 0);
    fd = io->open(ctx, a, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(io->file_size(ctx, fd), 0);
    CHECK_EQ(io->close(ctx, fd), 0);
    fd = io->open(ctx, a, O_RDONLY, 0);
    CHECK_EQ(io->pwrite(ctx, fd, "abc", 3, 0), -EBADF);
    CHECK_EQ(io->close(ctx, fd), 0);
    CHECK_EQ(io->open(ctx, sub, O_RDWR, 0), -EISDIR);
    CHECK_EQ(io->unlink(ctx, sub), -EISDIR);

    int64_t wall = io->wall_us(ctx), mono = io->mono_ns(ctx);
    CHECK(wall > 1700000000000000 && wall <= io->wall_us(ctx));
    CHECK(mono <= io->mono_ns(ctx));
    uint8_t x[16] = {0}, y[16] = {0};
    CHECK_EQ(io->random(ctx, x, sizeof x), 0);
    CHECK_EQ(io->random(ctx, y, sizeof y), 0);
    CHECK(memcmp(x, y, sizeof x) != 0);
}

static void
system_keeps_the_contract(void)
{
    char root[] = "base_env_test.XXXXXX";
    CHECK(mkdtemp(root) != NULL);
    check_contract(la_env_system(), root);
    char path[100];
    snprintf(path, sizeof path, "%s/a", root);
    unlink(path);
    snprintf(path, sizeof path, "%s/sub", root);
    rmdir(path);
    CHECK_EQ(rmdir(root), 0);
}

static void
simulator_keeps_the_contract(void)
{
    sim *s = sim_new(1);
    CHECK_EQ(sim_env(s)->io.mkdir(sim_env(s)->io.ctx, "/root", 0700), 0);
    check_contract(sim_env(s), "/root");
    CHECK_EQ(sim_open_files(s), 0);
    CHECK_EQ(sim_open_maps(s), 0);
    sim_free(s);
}

/* ------------------------------------------------------------ file transfers */

static void
loops_over_short_and_interrupted(void)
{
    uint64_t seed = test_seed();
    static uint8_t bytes[20000], back[20000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)test_next(&seed);
    }
    for (uint64_t n = 1; n < 40; n++) {
        sim *s = sim_new(seed + n);
        const la_env *env = sim_env(s);
        la_error err;
        int fd = env->io.open(env->io.ctx, "f", O_RDWR | O_CREAT, 0600);
        sim_short_transfers(s, true);
        sim_fail_at(s, SIM_CALLS, n, EINTR, false);
        CHECK_OK(la_file_write(env, fd, "f", bytes, sizeof bytes, 3, &err), &err);
        CHECK_OK(la_file_read(env, fd, "f", back, sizeof back, 3, &err), &err);
        CHECK_BYTES(back, bytes, sizeof bytes);
        CHECK_STATUS(la_file_read(env, fd, "f", back, 10, sizeof bytes, &err),
                     LA_DAMAGED, &err);
        CHECK_EQ(err.byte, sizeof bytes + 3);
        sim_fail_at(s, SIM_CALLS, 1, EINTR, true); /* an answer, not a hang */
        CHECK_STATUS(la_file_write(env, fd, "f", bytes, 1, 0, &err), LA_IO, &err);
        CHECK_EQ(err.os_errno, EINTR);
        CHECK_STATUS(la_file_read(env, fd, "f", back, 1, 0, &err), LA_IO, &err);
        la_buf buf;
        la_buf_init(&buf, env);
        CHECK_STATUS(la_file_load(env, "f", &buf, &err), LA_IO, &err);
        sim_fail_at(s, SIM_CALLS, 0, 0, false);
        CHECK_OK(la_file_load(env, "f", &buf, &err), &err);
        CHECK_EQ(buf.size, sizeof bytes + 3);
        CHECK_STATUS(la_file_load(env, "g", &buf, &err), LA_NOT_FOUND, &err);
        la_buf_fini(&buf);
        env->io.close(env->io.ctx, fd);
        sim_free(s);
    }
}

static void
joins_and_checks_names(void)
{
    char path[8];
    la_error err;
    CHECK_OK(la_path_join(path, sizeof path, "abc", "def", &err), &err);
    CHECK_STR(path, "abc/def");
    CHECK_STATUS(la_path_join(path, sizeof path, "abc", "defg", &err), LA_INVALID,
                 &err);
    CHECK_STR(path, "abc/def");
    CHECK_OK(la_path_join(path, sizeof path, "/", "abc", &err), &err);
    CHECK_STR(path, "/abc");
    CHECK_OK(la_path_join(path, sizeof path, "", "abc", &err), &err);
    CHECK_STR(path, "abc");
    char name[140];
    memset(name, 'n', sizeof name);
    name[128] = '\0';
    CHECK(la_name_is_valid(name));
    name[128] = 'n';
    name[129] = '\0';
    CHECK(!la_name_is_valid(name));
    static const char *const bad[] = {"",    ".",   "..",       "-a", ".a",
                                      "a/b", "a b", "\xC3\xA9", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_MSG(!la_name_is_valid(bad[i]), "\"%s\"", bad[i]);
    }
    CHECK(la_name_is_valid("a") && la_name_is_valid("_a.b-c") && la_name_is_valid("0"));
}

static void
makes_folders(void)
{
    sim *s = sim_new(1);
    const la_env *env = sim_env(s);
    la_error err;
    CHECK_OK(la_file_mkdir(env, "/a", &err), &err);
    CHECK_OK(la_file_mkdir(env, "/a", &err), &err);
    CHECK_OK(la_file_mkdir(env, "/a/b//", &err), &err);
    CHECK_OK(la_file_mkdir(env, "c", &err), &err);
    CHECK_STATUS(la_file_mkdir(env, "/x/y", &err), LA_IO, &err);
    sim_reboot(s, 0);
    CHECK(sim_exists(s, "/a/b") && sim_exists(s, "/c"));
    sim_free(s);
}

/* ---------------------------------------------------------------- simulator */

static int
make_file(const la_env *env, const char *path, const void *bytes, size_t size)
{
    int fd = env->io.open(env->io.ctx, path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(env->io.pwrite(env->io.ctx, fd, bytes, size, 0), (int64_t)size);
    return fd;
}

static void
loses_what_was_not_synced(void)
{
    static uint8_t bytes[2000];
    memset(bytes, 'b', sizeof bytes);
    sim *s = sim_new(5);
    const la_env *env = sim_env(s);
    const la_io *io = &env->io;
    size_t size;
    int fd = make_file(env, "named", bytes, sizeof bytes); /* neither synced */
    CHECK_EQ(sim_pending(s), 6); /* a name, a size, four sectors */
    sim *none = sim_survivor(s, 0);
    CHECK(!sim_exists(none, "named"));
    sim_free(none);
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0); /* data, but no name */
    none = sim_survivor(s, 0);
    CHECK(!sim_exists(none, "named"));
    sim_free(none);
    sim *all = sim_survivor(s, 1);
    CHECK_BYTES(sim_content(all, "named", &size), bytes, sizeof bytes);
    CHECK_EQ(size, sizeof bytes);
    sim_free(all);
    int other = make_file(env, "empty", bytes, sizeof bytes); /* a name, but no data */
    CHECK_EQ(io->sync_dir(io->ctx, "."), 0);
    none = sim_survivor(s, 0);
    CHECK_BYTES(sim_content(none, "named", &size), bytes, sizeof bytes);
    CHECK(sim_content(none, "empty", &size) != NULL);
    CHECK_EQ(size, 0);
    sim_free(none);
    /* An unlink and a rename that did not reach the disk. */
    CHECK_EQ(io->unlink(io->ctx, "named"), 0);
    CHECK_EQ(io->rename_noreplace(io->ctx, "empty", "moved"), 0);
    none = sim_survivor(s, 0);
    CHECK(sim_exists(none, "named") && sim_exists(none, "empty"));
    CHECK(!sim_exists(none, "moved"));
    sim_free(none);
    all = sim_survivor(s, 1);
    CHECK(!sim_exists(all, "named") && !sim_exists(all, "empty"));
    CHECK_EQ(sim_content(all, "moved", &size)[0], 'b');
    CHECK_EQ(size, sizeof bytes);
    sim_free(all);
    /* Killing the process loses nothing but its descriptors and locks. */
    CHECK_EQ(io->lock(io->ctx, other, true), 0);
    sim_kill(s);
    CHECK_EQ(io->pread(io->ctx, other, bytes, 1, 0), -EBADF);
    other = io->open(io->ctx, "moved", O_RDWR, 0);
    CHECK_EQ(io->lock(io->ctx, other, true), 0);
    CHECK_EQ(io->file_size(io->ctx, other), sizeof bytes);
    sim_reboot(s, 0);
    CHECK_EQ(io->file_size(io->ctx, other), -EBADF);
    CHECK_EQ(sim_open_files(s), 0);
    sim_free(s);
}

/* Over many variants, each kind of damage must turn up. */
static void
shows_every_kind_of_damage(void)
{
    static uint8_t old_bytes[1024], new_bytes[2048];
    memset(old_bytes, 'o', sizeof old_bytes);
    memset(new_bytes, 'n', sizeof new_bytes);
    sim *s = sim_new(test_seed());
    const la_env *env = sim_env(s);
    const la_io *io = &env->io;
    int fd = make_file(env, "f", old_bytes, sizeof old_bytes);
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0);
    CHECK_EQ(io->sync_dir(io->ctx, "."), 0);
    CHECK_EQ(io->pwrite(io->ctx, fd, new_bytes, sizeof new_bytes, 0), sizeof new_bytes);
    bool is_old = false, is_new = false, mixed = false, torn = false, zeros = false;
    bool stale = false, short_new = false;
    for (uint64_t variant = 0; variant < 2000; variant++) {
        sim *after = sim_survivor(s, variant);
        sim *again = sim_survivor(s, variant);
        size_t size, size2;
        const uint8_t *f = sim_content(after, "f", &size);
        CHECK_BYTES(f, sim_content(again, "f", &size2), size); /* repeatable */
        CHECK_EQ(size, size2);
        CHECK(size == 1024 || size == 2048);
        size_t changed[4] = {0};
        for (size_t i = 0; i < size; i++) {
            if (i < 1024) {
                CHECK(f[i] == 'o' || f[i] == 'n');
            }
            changed[i / 512] += f[i] == 'n';
            zeros = zeros || (i >= 1024 && f[i] == 0);
            stale = stale || (i >= 1024 && f[i] != 0 && f[i] != 'n');
        }
        is_old = is_old || (size == 1024 && changed[0] + changed[1] == 0);
        is_new = is_new || (size == 2048 &&
                            changed[0] + changed[1] + changed[2] + changed[3] == 2048);
        mixed = mixed || (changed[0] == 0 && changed[1] == 512);
        torn = torn || (changed[0] > 0 && changed[0] < 512);
        short_new = short_new || (size == 1024 && changed[0] == 512);
        sim_free(after);
        sim_free(again);
    }
    CHECK(is_old && is_new && mixed && torn && zeros && stale && short_new);
    sim_free(s);
}

static void
keeps_failed_syncs_in_the_cache_only(void)
{
    sim *s = sim_new(9);
    const la_env *env = sim_env(s);
    const la_io *io = &env->io;
    size_t size;
    int fd = make_file(env, "f", "first", 5);
    CHECK_EQ(io->sync_dir(io->ctx, "."), 0);
    sim_fail_at(s, SIM_SYNCS, 1, EIO, false);
    CHECK_EQ(io->fdatasync(io->ctx, fd), -EIO);
    CHECK(sim_fired(s));
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0); /* the lie of F6 */
    CHECK_BYTES(sim_content(s, "f", &size), "first", 5);
    for (uint64_t variant = 0; variant < 20; variant++) {
        sim *after = sim_survivor(s, variant);
        CHECK(sim_content(after, "f", &size) != NULL);
        CHECK_EQ(size, 0);
        sim_free(after);
    }
    sim_free(s);
}

static void
commits_shared_stores(void)
{
    sim *s = sim_new(2);
    const la_env *env = sim_env(s);
    const la_io *io = &env->io;
    static uint8_t page[4096];
    void *shared;
    size_t size;
    int fd = make_file(env, "tail", page, sizeof page);
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0);
    CHECK_EQ(io->sync_dir(io->ctx, "."), 0);
    CHECK_EQ(io->map_shared(io->ctx, fd, sizeof page, true, &shared), 0);
    ((uint8_t *)shared)[1000] = 1;
    CHECK_EQ(sim_pending(s), 1);
    sim *none = sim_survivor(s, 0), *all = sim_survivor(s, 1);
    CHECK_EQ(sim_content(none, "tail", &size)[1000], 0);
    CHECK_EQ(sim_content(all, "tail", &size)[1000], 1);
    sim_free(none);
    sim_free(all);
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0);
    CHECK_EQ(sim_pending(s), 0);
    CHECK_EQ(io->pwrite(io->ctx, fd, "x", 1, sizeof page), -ENOSPC);
    sim_reboot(s, 0);
    CHECK_EQ(sim_content(s, "tail", &size)[1000], 1);
    ((uint8_t *)shared)[0] = 9; /* late store of a dead process: harmless */
    CHECK_EQ(sim_content(s, "tail", &size)[0], 0);
    io->unmap(io->ctx, shared, sizeof page);
    CHECK_EQ(sim_open_maps(s), 0);
    sim_free(s);
}

static void
counts_crashes_and_fills_up(void)
{
    sim *s = sim_new(2);
    const la_env *env = sim_env(s);
    const la_io *io = &env->io;
    char bytes[100] = {0};
    sim_space(s, 150);
    int fd = make_file(env, "f", bytes, 100);
    CHECK_EQ(io->pwrite(io->ctx, fd, bytes, 100, 100), 50);
    CHECK_EQ(io->pwrite(io->ctx, fd, bytes, 100, 150), -ENOSPC);
    CHECK_EQ(io->pwrite(io->ctx, fd, bytes, 100, 0), 100);
    CHECK_EQ(sim_call_count(s, SIM_WRITES), 4);
    CHECK_EQ(sim_call_count(s, SIM_CHANGES), 5);
    sim_crash_at(s, 2);
    CHECK_EQ(io->fdatasync(io->ctx, fd), 0);
    CHECK_EQ(io->file_size(io->ctx, fd), 150); /* not a change */
    CHECK_EQ(io->sync_dir(io->ctx, "."), -EIO);
    CHECK(sim_crashed(s));
    CHECK_EQ(io->file_size(io->ctx, fd), -EIO);
    CHECK_EQ(io->close(io->ctx, fd), -EIO);
    CHECK_EQ(sim_open_files(s), 0);
    sim_reboot(s, 1);
    CHECK(!sim_crashed(s) && sim_exists(s, "f"));
    sim_free(s);
}

int
main(void)
{
    RUN(system_keeps_the_contract);
    RUN(simulator_keeps_the_contract);
    RUN(loops_over_short_and_interrupted);
    RUN(joins_and_checks_names);
    RUN(makes_folders);
    RUN(loses_what_was_not_synced);
    RUN(shows_every_kind_of_damage);
    RUN(keeps_failed_syncs_in_the_cache_only);
    RUN(commits_shared_stores);
    RUN(counts_crashes_and_fills_up);
    return test_end();
}
