/* SPDX-License-Identifier: Apache-2.0 */
/* Frames behind a valid prefix of a log's open segment: read as a follower, checked, then
 * recovered by a writer who appends and seals, and read again.
 *
 * Byte 0 of the input: 1 checksums and sizes of frames are made right, 2 positions and epochs too,
 * 4 raw hashes too, 8 the tail page calls all of it durable, 16 there is no tail page, 32 nobody writes. */
#include <fcntl.h>

#include "../tests/sim_env.h"
#include "frames.h"
#include "log/state.h"

enum {
    DURABLE = 8,
    NO_TAIL = 16,
    READ_ONLY = 32
}; /* and those of fuzz_repair_frames */

static sim *base;
static char segment_path[64];
static uint32_t seed, epoch;
static uint8_t uuid[16];
static uint64_t segment_number, prefix, prefix_end;

static void
make_log(void)
{
    la_appended done;
    la_log *log;

    base = sim_new(1);
    FUZZ_CHECK(la_log_open_folder(sim_env(base), "/log", "t", LA_MODE_WRITE, fuzz_spec,
                                  &log, NULL) == LA_OK);
    la_chunk rows = *fuzz_chunk();
    rows.verdicts = NULL;
    rows.targets = NULL;
    for (int i = 0; i < 2; i++) {
        FUZZ_CHECK(la_log_append(log, &rows, NULL, NULL, NULL, NULL, &done, NULL) ==
                   LA_OK);
    }
    segment_number = log->open->number;
    seed = log->open->seed;
    epoch = log->open->epoch;
    prefix = log->durable_len;
    prefix_end = log->durable_end;
    memcpy(uuid, log->uuid, 16);
    snprintf(segment_path, sizeof segment_path, "/log/segments/%020llu.segment",
             (unsigned long long)segment_number);
    la_log_close(log);
    FUZZ_CHECK(sim_cut(base, segment_path, prefix)); /* zeros ahead */
    sim_reboot(base, 1);
}

static void
put_files(const la_env *env, const uint8_t *bytes, size_t size, uint8_t flags,
          uint64_t length, uint64_t end)
{
    const la_io *io = &env->io;
    la_tail tail = {0};
    int fd = io->open(io->ctx, segment_path, O_RDWR, 0600);

    FUZZ_CHECK(fd >= 0 &&
               io->pwrite(io->ctx, fd, bytes, size, prefix) == (int64_t)size);
    io->close(io->ctx, fd);
    if (flags & NO_TAIL) {
        FUZZ_CHECK(io->unlink(io->ctx, "/log/tail") == 0);
    }
    else if (flags & DURABLE) {
        FUZZ_CHECK(la_tail_open(env, "/log", true, &tail, NULL) == LA_OK);
        la_tail_store(
            &tail, uuid,
            &(la_tail_values){epoch, segment_number, length, end, length, end});
        la_tail_close(env, &tail);
    }
}

static void
read_all(la_log *log)
{
    la_buf report;
    la_log_check *check;
    const la_chunk *chunk;
    la_scan *scan;
    uint64_t done, total, damages = 0, seen = 0;
    la_status status;

    status = la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, NULL);
    if (status == LA_OK) {
        while ((status = la_scan_next(scan, &chunk, NULL)) == LA_OK &&
               chunk->rows > 0) {
            FUZZ_CHECK(chunk->position == seen);
            seen += chunk->rows;
            for (uint32_t c = 0; c < chunk->column_count; c++) {
                size_t size;
                la_type type = chunk->columns[c].type;
                for (uint32_t i = 0; type >= LA_T_CAT && i < chunk->rows; i += 97) {
                    (void)la_column_text(&chunk->columns[c], i, &size);
                }
            }
        }
        la_scan_close(scan);
    }
    la_chunk *quarantine;
    if (la_log_quarantine(log, 0, LA_NO_POSITION, &quarantine, NULL) == LA_OK) {
        la_chunk_free(quarantine);
    }
    la_buf_init(&report, fuzz_env());
    if (la_log_check_open(log, &check, NULL) == LA_OK) {
        while (la_log_check_step(check, &done, &total, &report, &damages, NULL) ==
               LA_MORE) {
        }
        la_log_check_close(check);
    }
    la_buf_fini(&report);
}

static void
recover(const la_env *env)
{
    la_chunk rows = *fuzz_chunk();
    la_appended done;
    la_log *log;

    rows.verdicts = NULL;
    rows.targets = NULL;
    if (la_log_open_folder(env, "/log", "t", LA_MODE_WRITE, NULL, &log, NULL) !=
        LA_OK) {
        return;
    }
    if (la_log_append(log, &rows, NULL, NULL, NULL, NULL, &done, NULL) == LA_OK) {
        (void)!la_log_seal(log, NULL);
        read_all(log);
    }
    la_log_close(log);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_log *log;

    if (base == NULL) {
        make_log();
    }
    if (size == 0) {
        return 0;
    }
    fuzz_begin();
    sim *s = sim_clone(base);
    la_env env = fuzz_env_with(sim_env(s));
    uint64_t end = prefix_end;
    uint8_t *bytes = malloc(size + LA_FRAME_SLACK);
    memcpy(bytes, data + 1, size - 1);
    memset(bytes + size - 1, 0, LA_FRAME_SLACK);
    size_t length = size - 1;
    if (data[0] & FUZZ_FRAME_REPAIR) {
        length = fuzz_repair_frames(bytes, size - 1, data[0], seed, epoch, &end);
    }
    put_files(&env, bytes, size - 1, data[0], prefix + length, end);
    free(bytes);
    if (la_log_open_folder(&env, "/log", "t", LA_MODE_READ, NULL, &log, NULL) ==
        LA_OK) {
        read_all(log);
        la_log_close(log);
    }
    if (!(data[0] & READ_ONLY)) {
        recover(&env);
    }
    sim_free(s);
    return fuzz_end();
}
