/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are not what was written: every byte of every file of a small log is
 * changed, every file is cut at every length, blocks are zeroed. Each time the damage
 * is reported, or the rows are the very same. */
#include "base/hash.h"
#include "log/state.h"
#include "log_test.h"
#include "sim_env.h"

enum { ROWS = 90 };

typedef struct files {
    char names[64][120];
    uint32_t count;
    const char *folder;
} files;

static int
add_name(void *arg, const char *name)
{
    files *f = arg;
    char path[200];

    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    CHECK(f->count < 64 && strlen(path) < sizeof f->names[0]);
    memcpy(f->names[f->count++], path, strlen(path) + 1);
    return 0;
}

static void
list_files(const la_env *env, files *f)
{
    static const char *const folders[] = {"/log/manifest", "/log/pages",
                                          "/log/segments"};

    f->count = 0;
    for (size_t i = 0; i < 3; i++) {
        f->folder = folders[i];
        CHECK(env->io.list(env->io.ctx, folders[i], add_name, f) >= 0);
    }
}

/* Two sealed segments, and an open one with two frames. */
static sim *
make_log(bool open_frames)
{
    sim *s = sim_new(12);
    la_appended done;
    la_log *log;
    la_error err;
    uint64_t next = 0;

    CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, SPEC_ALL, &log,
                                &err),
             &err);
    for (int i = 0; i < 6; i++) {
        uint32_t rows = i == 0 ? 60 : 6;
        la_chunk *chunk = rows_from(la_log_schema(log), next, rows);

        CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
        la_chunk_free(chunk);
        next += rows;
        if (i == 0 || i == 2 || (i == 5 && !open_frames)) {
            CHECK_OK(la_log_seal(log, &err), &err);
        }
    }
    CHECK_EQ(next, ROWS);
    la_log_close(log);
    return s;
}

/* Opens for reading and looks at everything. true: damage was reported. */
static bool
is_reported(const la_env *env, const uint64_t *keys)
{
    const la_chunk *chunk;
    la_log *log;
    la_scan *scan;
    la_buf report;
    la_status status;
    uint64_t damages, seen = 0;
    la_error err;

    status = la_log_open_folder(env, "/log", "t", LA_MODE_READ, NULL, &log, &err);
    if (status != LA_OK) {
        CHECK(status == LA_DAMAGED || status == LA_NEWER);
        CHECK(err.path[0] != 0);
        return true;
    }
    damages = run_check(log, env, &report, &status);
    la_buf_fini(&report);
    if (status != LA_OK) {
        CHECK(status == LA_DAMAGED || status == LA_NEWER);
        la_log_close(log);
        return true;
    }
    /* Whatever the check found, a scan gives right rows or an error. */
    status = la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, &err);
    while (status == LA_OK) {
        uint32_t column;

        status = la_scan_next(scan, &chunk, &err);
        if (status != LA_OK || chunk->rows == 0) {
            break;
        }
        CHECK_EQ(chunk->position, seen);
        CHECK(seen + chunk->rows <= ROWS);
        CHECK_EQ(first_difference(chunk, keys + seen, &column), chunk->rows);
        seen += chunk->rows;
    }
    la_scan_close(scan);
    la_log_close(log);
    CHECK(status == LA_OK || status == LA_DAMAGED);
    if (status == LA_OK && damages == 0) {
        CHECK_EQ(seen, ROWS);
        return false;
    }
    CHECK_MSG(damages != 0, "a scan met damage that the check did not: %s",
              err.message);
    return true;
}

static uint64_t *
number_keys(uint64_t count)
{
    uint64_t *keys = malloc(sizeof *keys * count);
    for (uint64_t i = 0; i < count; i++) {
        keys[i] = i;
    }
    return keys;
}

/* Bytes that mean something: up to the last one that is not zero, and a little more. */
static size_t
meaning(const uint8_t *content, size_t size)
{
    size_t end = size;
    while (end > 0 && content[end - 1] == 0) {
        end--;
    }
    return end + 16 < size ? end + 16 : size;
}

static void
each_byte_changed(bool open_frames)
{
    sim *base = make_log(open_frames);
    uint64_t *keys = number_keys(ROWS);
    uint64_t flips = 0, harmless = 0;
    files f;

    CHECK(!is_reported(sim_env(base), keys));
    list_files(sim_env(base), &f);
    CHECK(f.count >= 4);
    for (uint32_t i = 0; i < f.count; i++) {
        size_t size = 0, end;
        const uint8_t *content = sim_content(base, f.names[i], &size);

        CHECK(content != NULL);
        end = meaning(content, size);
        for (uint64_t byte = 0; byte < size; byte += byte < end ? 1 : 997) {
            static const uint8_t masks[] = {0x01, 0x80, 0xff};

            for (size_t m = 0; m < (test_scale() > 1 ? 3 : 1 + (byte % 16 == 0)); m++) {
                sim *s = sim_clone(base);
                bool reported;

                CHECK(sim_flip(s, f.names[i], byte, masks[m + (byte & 1)]));
                reported = is_reported(sim_env(s), keys);
                harmless += !reported;
                /* Only what lies behind the last frame may change unseen. */
                CHECK_MSG(reported || byte + 24 >= end, "%s byte %" PRIu64, f.names[i],
                          byte);
                flips++;
                sim_free(s);
            }
        }
    }
    printf("    %" PRIu64 " changes, %" PRIu64 " behind the end\n", flips, harmless);
    free(keys);
    sim_free(base);
}

static void
each_byte_of_sealed_files(void)
{
    each_byte_changed(false);
}

static void
each_byte_with_an_open_segment(void)
{
    each_byte_changed(true);
}

static void
each_truncation(void)
{
    sim *base = make_log(true);
    uint64_t *keys = number_keys(ROWS);
    uint64_t cuts = 0;
    files f;

    list_files(sim_env(base), &f);
    for (uint32_t i = 0; i < f.count; i++) {
        size_t size = 0, end;
        const uint8_t *content = sim_content(base, f.names[i], &size);

        end = meaning(content, size);
        for (uint64_t length = 0; length < size; length += length < end ? 1 : 997) {
            sim *s = sim_clone(base);

            CHECK(sim_cut(s, f.names[i], length));
            if (!is_reported(sim_env(s), keys)) {
                CHECK_MSG(length + 24 >= end, "%s cut to %" PRIu64, f.names[i], length);
            }
            cuts++;
            sim_free(s);
        }
    }
    printf("    %" PRIu64 " lengths\n", cuts);
    free(keys);
    sim_free(base);
}

static void
overwrite(sim *to, const char *path, const uint8_t *bytes, size_t size)
{
    const la_env *env = sim_env(to);
    int fd = env->io.open(env->io.ctx, path, 2, 0); /* O_RDWR */

    CHECK(fd >= 0);
    CHECK_EQ(env->io.pwrite(env->io.ctx, fd, bytes, size, 0), size);
    env->io.close(env->io.ctx, fd);
}

static void
append_from(la_log *log, uint64_t first, uint32_t rows)
{
    la_chunk *chunk = rows_from(la_log_schema(log), first, rows);
    la_appended done;
    la_error err;

    CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    CHECK(done.durable);
    la_chunk_free(chunk);
}

static la_log *
open_mode(const sim *s, la_mode mode)
{
    la_log *log;
    la_error err;

    CHECK_OK(la_log_open_folder(sim_env((sim *)s), "/log", "t", mode, NULL, &log, &err),
             &err);
    return log;
}

/* Nothing says how far the open segment is durable: no answer, and a check that tells. */
static void
check_unsure(la_log *log, const la_env *env)
{
    uint64_t durable, published;
    la_snapshot *snapshot;
    la_buf report;
    la_status status;
    la_error err;

    CHECK_STATUS(la_log_snapshot(log, &snapshot, &err), LA_DAMAGED, &err);
    CHECK_STR(err.path, "/log/tail");
    CHECK(strstr(err.message, "could not tell how far log \"t\" is durable") != NULL);
    CHECK(strstr(err.hint, "open the store once for writing") != NULL);
    CHECK_STATUS(la_log_positions(log, &durable, &published, &err), LA_DAMAGED, &err);
    CHECK_EQ(run_check(log, env, &report, &status), 1);
    CHECK_EQ(status, LA_OK);
    CHECK(memmem(report.data, report.size, "\"/log/tail\"", 11) != NULL);
    la_buf_fini(&report);
}

/* Whatever the tail page holds, a writer finds all rows, and a reader shows all of them
 * or none. */
static void
any_tail_page(void)
{
    sim *base = make_log(true);
    uint64_t *keys = number_keys(ROWS);

    for (uint64_t byte = 0; byte < 4096; byte += byte < 100 ? 1 : 401) {
        sim *s = sim_clone(base);
        /* An even sequence is as good as another; nothing reads what follows the CRC. */
        bool read = (byte >= 9 && byte < 16) || byte >= 88;
        la_log *log;
        la_error err;

        CHECK(sim_flip(s, "/log/tail", byte, 0x11));
        log = open_mode(s, LA_MODE_READ);
        if (read) {
            check_log(log, keys, ROWS);
        }
        else {
            check_unsure(log, sim_env(s));
        }
        la_log_close(log);
        log = open_mode(s, LA_MODE_WRITE);
        CHECK_OK(la_log_seal(log, &err), &err);
        check_log(log, keys, ROWS);
        la_log_close(log);
        sim_free(s);
    }
    free(keys);
    sim_free(base);
}

enum { DELETED, EMPTIED, HALVED, ZEROED, GARBAGE, OLDER, SPOILED, LOSSES };

static void
lose_tail(sim *s, int how, const sim *older)
{
    const la_env *env = sim_env(s);
    uint8_t page[LA_TAIL_BYTES] = {0};
    size_t size = 0;

    if (how == DELETED) {
        CHECK_EQ(env->io.unlink(env->io.ctx, "/log/tail"), 0);
        return;
    }
    if (how == EMPTIED || how == HALVED) {
        CHECK(sim_cut(s, "/log/tail", how == EMPTIED ? 0 : sizeof page / 2));
        return;
    }
    if (how == GARBAGE || how == SPOILED) {
        memset(page, 0xa6, sizeof page);
    }
    if (how == OLDER) { /* valid, of a segment before */
        memcpy(page, sim_content(older, "/log/tail", &size), sizeof page);
    }
    overwrite(s, "/log/tail", page, sizeof page);
    if (how ==
        SPOILED) { /* who has it mapped sees garbage, the next writer a new file */
        lose_tail(s, DELETED, NULL);
    }
}

/* Acked rows do not silently vanish from a reader's answers with the tail page; a writer
 * brings them back, also for readers that were there before. */
static void
lost_tail_page(void)
{
    sim *older = sim_new(12);
    uint64_t *keys = number_keys(ROWS + 6);
    la_log *log;
    la_error err;

    CHECK_OK(la_log_open_folder(sim_env(older), "/log", "t", LA_MODE_WRITE, SPEC_ALL,
                                &log, &err),
             &err);
    append_from(log, 0, 60);
    CHECK_OK(la_log_seal(log, &err), &err);
    la_log_close(log);
    for (int how = 0; how < LOSSES; how++) {
        for (uint32_t frames = 0; frames <= 3; frames++) {
            sim *s = sim_clone(older);
            uint64_t rows = 60;
            la_log *before, *reader;

            log = open_mode(s, LA_MODE_WRITE);
            CHECK_OK(la_log_seal(log, &err), &err); /* a new epoch, nothing to seal */
            for (uint32_t i = 0; i < frames; i++, rows += 6) {
                append_from(log, rows, 6);
            }
            la_log_close(log);
            before = open_mode(s, LA_MODE_READ);
            if (how >= ZEROED) {
                check_log(before, keys, rows); /* maps the page that will go */
            }
            lose_tail(s, how, older);
            reader = open_mode(s, LA_MODE_READ);
            if (frames == 0) {
                check_log(reader, keys, rows);
                check_clean(reader, sim_env(s));
            }
            else {
                check_unsure(reader, sim_env(s));
            }
            log = open_mode(s, LA_MODE_WRITE); /* recovers by being opened */
            check_log(reader, keys, rows);
            check_log(before, keys, rows);
            check_log(log, keys, rows);
            append_from(log, rows, 6);
            check_log(reader, keys, rows + 6);
            check_log(before, keys, rows + 6);
            la_log_close(log);
            check_log(before, keys, rows + 6);
            check_clean(before, sim_env(s));
            la_log_close(before);
            la_log_close(reader);
            CHECK_EQ(sim_open_files(s), 0);
            CHECK_EQ(sim_open_maps(s), 0);
            sim_free(s);
        }
    }
    free(keys);
    sim_free(older);
}

/* The page is gone while its writer lives: its own answers go on, a new reader's do not. */
static void
lost_under_a_writer(void)
{
    sim *s = make_log(true);
    uint64_t *keys = number_keys(ROWS + 12);
    la_log *log = open_mode(s, LA_MODE_WRITE), *reader;
    la_error err;

    append_from(log, ROWS, 6);
    lose_tail(s, DELETED, NULL);
    append_from(log, ROWS + 6, 6);
    check_log(log, keys, ROWS + 12);
    check_clean(log, sim_env(s));
    reader = open_mode(s, LA_MODE_READ);
    check_unsure(reader, sim_env(s));
    CHECK_OK(la_log_seal(log, &err), &err);
    check_log(reader, keys, ROWS + 12);
    la_log_close(reader);
    la_log_close(log);
    free(keys);
    sim_free(s);
}

/* A writer that meets damage below the durable length refuses and changes nothing. */
static void
writers_refuse_damage(void)
{
    sim *base = make_log(true);
    files f;

    list_files(sim_env(base), &f);
    for (uint32_t i = 0; i < f.count; i++) {
        sim *s;
        la_log *log;
        la_error err;
        la_status status;
        size_t before = 0, after = 0;

        if (strstr(f.names[i], "segments") == NULL) {
            continue;
        }
        s = sim_clone(base);
        (void)sim_content(s, f.names[i], &before);
        CHECK(sim_flip(s, f.names[i], 300, 0x04));
        status = la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, NULL, &log,
                                    &err);
        if (status == LA_OK) {
            status = la_log_seal(log, &err);
            if (status == LA_OK) {
                /* Damage in a sealed segment is no concern of a writer, unless it
                 * merges. */
                la_buf report;
                CHECK(run_check(log, sim_env(s), &report, &status) != 0);
                la_buf_fini(&report);
                status = LA_DAMAGED;
            }
            la_log_close(log);
        }
        CHECK_EQ(status, LA_DAMAGED);
        CHECK(sim_content(s, f.names[i], &after) != NULL);
        CHECK_EQ(before, after);
        sim_free(s);
    }
    sim_free(base);
}

static void
missing_files(void)
{
    sim *base = make_log(true);
    uint64_t *keys = number_keys(ROWS);
    uint32_t reported = 0;
    files f;

    list_files(sim_env(base), &f);
    for (uint32_t i = 0; i < f.count; i++) {
        sim *s = sim_clone(base);
        const la_env *env = sim_env(s);

        if (strstr(f.names[i], "segments") != NULL) {
            CHECK_EQ(env->io.unlink(env->io.ctx, f.names[i]), 0);
            CHECK(is_reported(env, keys));
            reported++;
        }
        sim_free(s);
    }
    CHECK(reported >= 2);
    free(keys);
    sim_free(base);
}

/* The tail page is gone and an early frame is bad: the frames behind it say that it was
 * durable. */
static void
later_frames_prove_damage(void)
{
    sim *s = make_log(true);
    char path[LA_PATH_BYTES_MAX];
    uint64_t byte;
    la_log *log;
    la_error err;
    la_status status;

    CHECK_OK(
        la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_READ, NULL, &log, &err),
        &err);
    {
        la_snapshot *snapshot;
        CHECK_OK(la_log_snapshot(log, &snapshot, &err), &err);
        CHECK(log->durable_frames >= 3);
        byte = la_segment_frame(log->open, 0)->byte + 140;
        CHECK_OK(la_segment_path(path, sizeof path, "/log", log->open->number,
                                 "segment", &err),
                 &err);
        la_snapshot_release(snapshot);
    }
    la_log_close(log);
    CHECK(sim_flip(s, path, byte, 1));
    CHECK(sim_flip(s, "/log/tail", 20, 1));
    status =
        la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_WRITE, NULL, &log, &err);
    if (status == LA_OK) {
        status = la_log_seal(log, &err);
        la_log_close(log);
    }
    CHECK_EQ(status, LA_DAMAGED);
    sim_free(s);
}

/* A whole, valid segment of the same log, number and positions, from a copy that went
 * on otherwise: only the manifest's digest can tell. */
static void
a_namesake_segment(void)
{
    sim *base = sim_new(15);
    sim *forks[2];
    uint64_t keys[ROWS];
    char path[LA_PATH_BYTES_MAX] = "";
    const uint8_t *content;
    size_t size = 0;
    la_log *log;
    la_error err;

    CHECK_OK(la_log_open_folder(sim_env(base), "/log", "t", LA_MODE_WRITE,
                                "{\"fields\":[{\"name\":\"id\",\"type\":\"u64\"}]}",
                                &log, &err),
             &err);
    la_log_close(log);
    for (int i = 0; i < 2; i++) {
        la_chunk *chunk;
        la_appended done;

        forks[i] = sim_clone(base);
        CHECK_OK(la_log_open_folder(sim_env(forks[i]), "/log", "t", LA_MODE_WRITE, NULL,
                                    &log, &err),
                 &err);
        for (uint64_t k = 0; k < ROWS; k++) {
            keys[k] = i == 0 ? k + 1000 : k + 2000;
        }
        chunk = rows_of(la_log_schema(log), keys, ROWS);
        CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
        CHECK_OK(la_log_seal(log, &err), &err);
        CHECK_OK(la_segment_path(path, sizeof path, "/log",
                                 log->sealed->segments[0]->number, "segment", &err),
                 &err);
        la_chunk_free(chunk);
        la_log_close(log);
    }
    {
        size_t other = 0;
        (void)sim_content(forks[1], path, &other);
        content = sim_content(forks[0], path, &size);
        CHECK(content != NULL);
        CHECK_EQ(size, other);
    }
    overwrite(forks[1], path, content, size);
    CHECK(is_reported(sim_env(forks[1]), keys));
    for (int i = 0; i < 2; i++) {
        sim_free(forks[i]);
    }
    sim_free(base);
}

/* Bytes of a payload changed by somebody who mends all checksums: decoding survives it,
 * and the raw hash shows that the values are not those that were appended. */
static void
mended_checksums(void)
{
    sim *base = make_log(true);
    uint64_t *keys = number_keys(ROWS);
    uint64_t seen = 0, reported = 0;
    la_frame_info info;
    uint8_t uuid[16];
    uint64_t number;
    char path[LA_PATH_BYTES_MAX];
    uint8_t *copy;
    const uint8_t *content;
    size_t size;
    la_snapshot *snapshot;
    la_log *log;
    la_error err;

    CHECK_OK(
        la_log_open_folder(sim_env(base), "/log", "t", LA_MODE_READ, NULL, &log, &err),
        &err);
    CHECK_OK(la_log_snapshot(log, &snapshot, &err), &err);
    info = *la_segment_frame(log->open, 0);
    number = log->open->number;
    memcpy(uuid, log->uuid, 16);
    CHECK_OK(la_segment_path(path, sizeof path, "/log", number, "segment", &err), &err);
    la_snapshot_release(snapshot);
    la_log_close(log);
    content = sim_content(base, path, &size);
    copy = malloc(size);
    for (uint32_t at = info.dict_size;
         at < info.size - LA_FRAME_HEADER - LA_FRAME_TRAILER; at++) {
        for (int bit = 0; bit<8; bit += test_scale()> 1 ? 1 : 3) {
            sim *s = sim_clone(base);
            uint8_t *frame = copy + info.byte;
            uint32_t payload = info.size - LA_FRAME_HEADER - LA_FRAME_TRAILER;

            memcpy(copy, content, size);
            frame[LA_FRAME_HEADER + at] ^= (uint8_t)(1 << bit);
            la_store_u64(frame + 40,
                         la_xxh3(frame + LA_FRAME_HEADER, payload, info.position));
            la_store_u32(frame + 4,
                         la_crc32c(la_frame_seed(uuid, number), frame + 8, 120));
            overwrite(s, path, copy, size);
            CHECK_OK(la_log_open_folder(sim_env(s), "/log", "t", LA_MODE_READ, NULL,
                                        &log, &err),
                     &err);
            {
                la_status status;
                la_buf report;
                uint64_t damages = run_check(log, sim_env(s), &report, &status);

                CHECK(status == LA_OK || status == LA_DAMAGED);
                if (status == LA_OK && damages == 0) {
                    check_log(log, keys, ROWS); /* padding, or another way to say it */
                }
                else {
                    reported++;
                }
                la_buf_fini(&report);
            }
            la_log_close(log);
            sim_free(s);
            seen++;
        }
    }
    printf("    %" PRIu64 " changes, %" PRIu64 " reported\n", seen, reported);
    CHECK(reported * 2 > seen);
    free(copy);
    free(keys);
    sim_free(base);
}

int
main(void)
{
    RUN(each_byte_of_sealed_files);
    RUN(each_byte_with_an_open_segment);
    RUN(each_truncation);
    RUN(any_tail_page);
    RUN(lost_tail_page);
    RUN(lost_under_a_writer);
    RUN(writers_refuse_damage);
    RUN(missing_files);
    RUN(later_frames_prove_damage);
    RUN(a_namesake_segment);
    RUN(mended_checksums);
    return test_end();
}
