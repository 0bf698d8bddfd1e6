/* SPDX-License-Identifier: Apache-2.0 */
/* Logs without faults: what is appended is read back, by this handle, by the next, and
 * by a reader in "another process" (a second handle on one simulated machine). */
#include "base/sync.h"
#include "log/state.h"
#include "log_test.h"
#include "sim_env.h"

static la_log *
open_log(const la_env *env, la_mode mode, const char *spec)
{
    la_log *log;
    la_error err;

    CHECK_OK(la_log_open_folder(env, "/log", "orders", mode, spec, &log, &err), &err);
    return log;
}

static la_appended
append_keys(la_log *log, const uint64_t *keys, uint32_t rows)
{
    la_chunk *chunk = rows_of(la_log_schema(log), keys, rows);
    la_appended done;
    la_error err;

    CHECK_OK(la_log_append(log, chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    la_chunk_free(chunk);
    return done;
}

static uint64_t *
number_keys(uint64_t count)
{
    uint64_t *keys = malloc(sizeof *keys * (count + 1));
    for (uint64_t i = 0; i < count; i++) {
        keys[i] = i;
    }
    return keys;
}

static void
round_trips(void)
{
    static const uint32_t sizes[] = {1,    2, 1,     1023, 1024, 1025,
                                     5000, 1, 70000, 9000, 3};
    sim *s = sim_new(1);
    const la_env *env = sim_env(s);
    la_log *log = open_log(env, LA_MODE_WRITE, SPEC_ALL);
    uint64_t *keys = number_keys(200000);
    uint64_t count = 0;

    check_log(log, keys, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        la_appended done = append_keys(log, keys + count, sizes[i]);

        CHECK_EQ(done.first, count);
        CHECK_EQ(done.rows, sizes[i]);
        CHECK_EQ(done.ok, sizes[i]);
        CHECK(done.durable);
        count += sizes[i];
        check_log(log, keys, count);
    }
    check_clean(log, env);
    la_log_close(log);
    log = open_log(env, LA_MODE_WRITE, NULL);
    check_log(log, keys, count);
    append_keys(log, keys + count, 10);
    count += 10;
    check_log(log, keys, count);
    check_clean(log, env);
    la_log_close(log);
    log = open_log(env, LA_MODE_READ, NULL);
    check_log(log, keys, count);
    check_clean(log, env);
    la_log_close(log);
    CHECK_EQ(sim_open_files(s), 0);
    CHECK_EQ(sim_open_maps(s), 0);
    free(keys);
    sim_free(s);
}

static void
sealing_changes_no_row(void)
{
    sim *s = sim_new(2);
    const la_env *env = sim_env(s);
    la_log *log = open_log(env, LA_MODE_WRITE, SPEC_ALL);
    la_log *reader = open_log(env, LA_MODE_READ, NULL);
    la_snapshot *old;
    uint64_t *keys = number_keys(3000);
    uint64_t count = 0, state = 5;
    la_error err;

    CHECK_OK(la_log_seal(log, &err), &err);
    for (int i = 0; i < 120; i++) {
        uint32_t rows = 1 + (uint32_t)test_below(&state, 20);

        append_keys(log, keys + count, rows);
        count += rows;
        if (i == 20) {
            CHECK_OK(la_log_snapshot(reader, &old, &err), &err);
            CHECK_EQ(la_snapshot_end(old), count);
        }
        if (i % 17 == 3) {
            CHECK_OK(la_log_seal(log, &err), &err);
        }
        if (i % 5 == 0) {
            check_log(reader, keys, count);
        }
    }
    check_log(log, keys, count);
    check_log(reader, keys, count);
    /* The old snapshot's files are gone by name, not by content. */
    {
        la_reader *r;
        const la_chunk *chunk;
        uint64_t seen = 0;

        CHECK_OK(la_reader_open(old, 0, LA_NO_POSITION, NULL, &r, &err), &err);
        for (;;) {
            uint32_t column;
            CHECK_OK(la_reader_next(r, &chunk, &err), &err);
            if (chunk->rows == 0) {
                break;
            }
            CHECK_EQ(first_difference(chunk, keys + seen, &column), chunk->rows);
            seen += chunk->rows;
        }
        CHECK_EQ(seen, la_snapshot_end(old));
        la_reader_close(r);
        la_snapshot_release(old);
    }
    check_clean(log, env);
    la_log_close(reader);
    la_log_close(log);
    free(keys);
    sim_free(s);
}

static void
duplicates_are_kept_with_targets(void)
{
    static const uint64_t first[] = {7, 8, 7, 9};
    static const uint64_t second[] = {9, 10, 8, 10, 11};
    static const uint8_t verdicts[] = {0, 0, 2, 0, 2, 0, 2, 2, 0, 2};
    static const uint64_t targets[] = {0, 0, 0, 0, 3, 0, 1, 5, 0, 8};
    static const uint64_t third[] = {11};
    sim *s = sim_new(3);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, SPEC_DEDUPE);
    const la_chunk *chunk;
    la_snapshot *snapshot;
    la_appended done;
    uint64_t counts[8];
    la_scan *scan;
    la_error err;

    done = append_keys(log, first, 4);
    CHECK_EQ(done.ok, 3);
    CHECK_EQ(done.duplicate, 1);
    done = append_keys(log, second, 5);
    CHECK_EQ(done.duplicate, 3);
    la_log_close(log);
    log = open_log(sim_env(s), LA_MODE_WRITE, NULL);
    done = append_keys(log, third, 1);
    CHECK_EQ(done.duplicate, 1);
    CHECK_EQ(done.first, 9);
    for (int round = 0; round < 2; round++) {
        uint64_t seen = 0;

        CHECK_OK(la_scan_open(log, 0, 100, NULL, 0, &scan, &err), &err);
        for (;;) {
            CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
            if (chunk->rows == 0) {
                break;
            }
            for (uint32_t i = 0; i < chunk->rows; i++, seen++) {
                CHECK_EQ(chunk->verdicts == NULL ? 0 : chunk->verdicts[i],
                         verdicts[seen]);
                if (verdicts[seen] != 0) {
                    CHECK_EQ(chunk->targets[i], targets[seen]);
                }
            }
        }
        CHECK_EQ(seen, 10);
        la_scan_close(scan);
        CHECK_OK(la_log_snapshot(log, &snapshot, &err), &err);
        la_snapshot_counts(snapshot, counts);
        CHECK_EQ(counts[LA_V_OK], 5);
        CHECK_EQ(counts[LA_V_DUPLICATE], 5);
        la_snapshot_release(snapshot);
        CHECK_OK(la_log_seal(log, &err), &err);
    }
    la_log_close(log);
    sim_free(s);
}

static void
bad_rows(void)
{
    static const char spec[] =
        "{\"fields\":[{\"name\":\"id\",\"type\":\"i64\"},{\"name\":\"ts\",\"type\":"
        "\"time[us]?\"},{\"name\":\"kind\",\"type\":\"cat?\"}],\"time\":\"ts\","
        "\"check\":[[\"gt\",[\"col\",\"id\"],[\"lit\",\"i64\",0]]]}";
    int64_t ids[] = {5, 0, 7, 8, 9}, times[] = {1, 2, 3, 4, 5};
    uint8_t id_valid[] = {1, 1, 0, 1, 1}, time_valid[] = {1, 1, 1, 0, 1};
    uint32_t offsets[] = {0, 1, 2, 3, 4, 5};
    uint8_t bad[] = {0, 0, 0, 0, 1};
    la_column columns[] = {
        {.type = LA_T_I64, .data = ids, .valid = id_valid},
        {.type = LA_T_TIME, .data = times, .valid = time_valid},
        {.type = LA_T_STR, .data = "abcde", .offsets = offsets},
    };
    la_column raw = {.type = LA_T_STR, .data = "12345", .offsets = offsets};
    la_column reason = {.type = LA_T_STR, .data = "vwxyz", .offsets = offsets};
    la_append_options options = {.on_bad = LA_BAD_QUARANTINE};
    la_chunk chunk = {.rows = 5, .column_count = 3, .columns = columns};
    sim *s = sim_new(4);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, spec);
    la_chunk *quarantine;
    la_appended done;
    la_error err;
    size_t size;

    CHECK_STATUS(la_log_append(log, &chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_TYPE, &err);
    CHECK_EQ(err.position, 2);
    chunk.rows = 2;
    CHECK_STATUS(la_log_append(log, &chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_INVALID, &err);
    CHECK_EQ(err.position, 1);
    chunk.rows = 5;
    CHECK_OK(la_log_append(log, &chunk, bad, &raw, &reason, &options, &done, &err),
             &err);
    CHECK_EQ(done.ok, 1);
    CHECK_EQ(done.quarantined, 4);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(la_log_quarantine(log, 0, 100, &quarantine, &err), &err);
        CHECK_EQ(quarantine->rows, 4);
        CHECK_EQ(((const uint64_t *)quarantine->columns[2].data)[0], 1);
        CHECK_EQ(((const uint64_t *)quarantine->columns[2].data)[3], 4);
        CHECK_EQ(*la_column_text(&quarantine->columns[0], 1, &size), '3');
        CHECK_EQ(*la_column_text(&quarantine->columns[1], 3, &size), 'z');
        CHECK_EQ(size, 1);
        CHECK(strstr(la_column_text(&quarantine->columns[1], 1, &size), "\"id\"") !=
              NULL);
        la_chunk_free(quarantine);
        check_clean(log, sim_env(s));
        CHECK_OK(la_log_seal(log, &err), &err);
    }
    la_log_close(log);
    sim_free(s);
}

static void
text_that_is_not_utf8(void)
{
    static const char spec[] = "{\"fields\":[{\"name\":\"a\",\"type\":\"str\"}]}";
    uint32_t offsets[] = {0, 2, 4, 6};
    la_column column = {
        .type = LA_T_STR, .data = "ok\xff\xfe\xc3\xa9", .offsets = offsets};
    la_append_options options = {.on_bad = LA_BAD_QUARANTINE};
    la_chunk chunk = {.rows = 3, .column_count = 1, .columns = &column};
    sim *s = sim_new(5);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, spec);
    la_chunk *quarantine;
    la_appended done;
    la_error err;
    size_t size;

    CHECK_STATUS(la_log_append(log, &chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_INVALID, &err);
    CHECK_EQ(err.position, 1);
    CHECK_OK(la_log_append(log, &chunk, NULL, NULL, NULL, &options, &done, &err), &err);
    CHECK_EQ(done.quarantined, 1);
    CHECK_OK(la_log_quarantine(log, 0, 100, &quarantine, &err), &err);
    CHECK_EQ(quarantine->rows, 1);
    CHECK_BYTES(la_column_text(&quarantine->columns[0], 0, &size), "\xff\xfe", 2);
    la_chunk_free(quarantine);
    la_log_close(log);
    sim_free(s);
}

static void
one_writer(void)
{
    sim *s = sim_new(6);
    const la_env *env = sim_env(s);
    la_log *a = open_log(env, LA_MODE_WRITE, SPEC_SMALL);
    la_log *b = open_log(env, LA_MODE_WRITE, NULL);
    la_log *r = open_log(env, LA_MODE_READ, NULL);
    uint64_t *keys = number_keys(100);
    la_chunk *chunk = rows_from(la_log_schema(a), 0, 5);
    la_appended done;
    la_error err;

    append_keys(a, keys, 5);
    CHECK_STATUS(la_log_append(b, chunk, NULL, NULL, NULL, NULL, &done, &err), LA_BUSY,
                 &err);
    CHECK(err.retriable);
    CHECK(strstr(err.hint, "orders") != NULL);
    CHECK_STATUS(la_log_append(r, chunk, NULL, NULL, NULL, NULL, &done, &err),
                 LA_READONLY, &err);
    check_log(b, keys, 5);
    la_log_close(a);
    append_keys(b, keys + 5, 5);
    check_log(b, keys, 10);
    check_log(r, keys, 10);
    la_log_close(b);
    check_log(r, keys, 10);
    la_log_close(r);
    la_chunk_free(chunk);
    free(keys);
    sim_free(s);
}

static void
specs_are_compared(void)
{
    sim *s = sim_new(7);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, SPEC_ALL);
    la_log *other;
    la_error err;

    CHECK_STATUS(la_log_open_folder(sim_env(s), "/log", "orders", LA_MODE_WRITE,
                                    SPEC_SMALL, &other, &err),
                 LA_CONFLICT, &err);
    CHECK_STATUS(la_log_open_folder(sim_env(s), "/none", "none", LA_MODE_WRITE, NULL,
                                    &other, &err),
                 LA_NOT_FOUND, &err);
    CHECK_STATUS(la_log_open_folder(sim_env(s), "/none", "none", LA_MODE_READ, SPEC_ALL,
                                    &other, &err),
                 LA_NOT_FOUND, &err);
    CHECK_OK(la_log_open_folder(sim_env(s), "/log", "orders", LA_MODE_READ,
                                la_log_spec(log), &other, &err),
             &err);
    la_log_close(other);
    la_log_close(log);
    sim_free(s);
}

static void
ingest_times(void)
{
    sim *s = sim_new(8);
    const la_env *env = sim_env(s);
    la_log *log = open_log(env, LA_MODE_WRITE, SPEC_SMALL);
    uint64_t *keys = number_keys(100);
    int64_t starts[10];
    uint64_t position;
    la_error err;

    for (int i = 0; i < 10; i++) {
        sim_advance(s, 5000000);
        starts[i] = env->io.wall_us(env->io.ctx);
        append_keys(log, keys + i * 3, 3);
    }
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 10; i++) {
            CHECK_OK(la_log_position_at(log, starts[i], &position, &err), &err);
            CHECK_EQ(position, i * 3);
        }
        CHECK_OK(la_log_position_at(log, starts[9] + 5000000, &position, &err), &err);
        CHECK_EQ(position, 30);
        CHECK_OK(la_log_position_at(log, 0, &position, &err), &err);
        CHECK_EQ(position, 0);
        CHECK_OK(la_log_seal(log, &err), &err);
    }
    /* A clock that goes back takes no ingest time back. */
    {
        la_snapshot *first, *second;

        sim_advance(s, -100000000);
        CHECK_OK(la_log_snapshot(log, &first, &err), &err);
        append_keys(log, keys + 30, 3);
        CHECK_OK(la_log_snapshot(log, &second, &err), &err);
        CHECK(la_snapshot_last_ingest(second) >= la_snapshot_last_ingest(first));
        CHECK(la_snapshot_last_ingest(first) >= starts[9]);
        la_snapshot_release(first);
        la_snapshot_release(second);
    }
    la_log_close(log);
    free(keys);
    sim_free(s);
}

static void
parts_and_ranges(void)
{
    sim *s = sim_new(9);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, SPEC_ALL);
    uint64_t *keys = number_keys(300000);
    uint64_t state = 11;
    uint64_t bounds[17];
    uint32_t count;
    la_snapshot *snapshot, *again;
    la_error err;

    append_keys(log, keys, 150000);
    for (uint32_t i = 0; i < 40; i++) {
        append_keys(log, keys + 150000 + i * 100, 100);
    }
    CHECK_OK(la_log_snapshot(log, &snapshot, &err), &err);
    CHECK_OK(la_log_snapshot(log, &again, &err), &err);
    CHECK(snapshot == again);
    la_snapshot_release(again);
    la_snapshot_split(snapshot, 0, 154000, 3, bounds, &count);
    CHECK(count >= 2 && count <= 3);
    CHECK_EQ(bounds[0], 0);
    CHECK_EQ(bounds[count], 154000);
    for (int i = 0; i < 200; i++) {
        uint64_t from = test_below(&state, 154001),
                 to = from + test_below(&state, 5000);
        uint64_t seen = from, end = to < 154000 ? to : 154000;
        uint8_t used[12];
        la_reader *r;

        for (int c = 0; c < 12; c++) {
            used[c] = (uint8_t)test_below(&state, 2);
        }
        CHECK_OK(la_reader_open(snapshot, from, to, used, &r, &err), &err);
        for (;;) {
            const la_chunk *chunk;

            CHECK_OK(la_reader_next(r, &chunk, &err), &err);
            if (chunk->rows == 0) {
                break;
            }
            CHECK_EQ(chunk->position, seen);
            CHECK(chunk->rows <= 2048);
            for (uint32_t c = 0; c < 12; c++) {
                if (!used[c]) {
                    CHECK(chunk->columns[c].data == NULL);
                    continue;
                }
                for (uint32_t k = 0; k < chunk->rows; k++) {
                    CHECK(cell_equal(&chunk->columns[c],
                                     la_schema_field(chunk->schema, c), c, k,
                                     keys[seen + k]));
                }
            }
            seen += chunk->rows;
        }
        CHECK_EQ(seen, end > from ? end : from);
        la_reader_close(r);
    }
    la_snapshot_release(snapshot);
    la_log_close(log);
    free(keys);
    sim_free(s);
}

/* Text of our own cat columns under a foreign dictionary, and text into cat. */
static void
foreign_dictionaries(void)
{
    static const char spec[] =
        "{\"fields\":[{\"name\":\"k\",\"type\":\"cat?\"},{\"name\":"
        "\"t\",\"type\":\"str\"}]}";
    sim *s = sim_new(10);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, spec);
    la_dict *dict;
    uint32_t codes[] = {2, 0, 1, 0}, code, offsets[] = {0, 1, 2, 3, 4};
    uint8_t valid[] = {1, 1, 0, 1};
    la_column columns[2] = {{.type = LA_T_CAT, .data = codes, .valid = valid}};
    la_chunk chunk = {.rows = 4, .column_count = 2, .columns = columns};
    const la_chunk *found;
    la_appended done;
    la_scan *scan;
    la_error err;
    size_t size;

    CHECK_OK(la_dict_new(la_env_system(), &dict, &err), &err);
    CHECK_OK(la_dict_add(dict, "x", 1, &code, &err), &err);
    CHECK_OK(la_dict_add(dict, "y", 1, &code, &err), &err);
    CHECK_OK(la_dict_add(dict, "z", 1, &code, &err), &err);
    columns[0].dict = dict;
    columns[1] = columns[0];
    columns[1].valid = NULL;
    CHECK_OK(la_log_append(log, &chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    columns[0] = (la_column){.type = LA_T_STR, .data = "zwxq", .offsets = offsets};
    columns[1] = columns[0];
    CHECK_OK(la_log_append(log, &chunk, NULL, NULL, NULL, NULL, &done, &err), &err);
    CHECK_OK(la_scan_open(log, 0, 4, NULL, 0, &scan, &err), &err);
    CHECK_OK(la_scan_next(scan, &found, &err), &err);
    CHECK_EQ(found->rows, 4);
    CHECK_EQ(((const uint32_t *)found->columns[0].data)[0], 0);
    CHECK_EQ(la_dict_count(found->columns[0].dict), 4);
    CHECK_EQ(*la_column_text(&found->columns[0], 0, &size), 'z');
    CHECK_EQ(*la_column_text(&found->columns[0], 1, &size), 'x');
    CHECK(la_column_text(&found->columns[0], 2, &size) == NULL);
    CHECK_EQ(*la_column_text(&found->columns[1], 2, &size), 'y');
    la_scan_close(scan);
    la_log_close(log);
    la_dict_release(dict);
    sim_free(s);
}

/* Random work against a list of numbers. */
static void
as_a_list(void)
{
    uint64_t seed = test_seed();

    for (uint64_t run = 0; run < 12 * test_scale(); run++) {
        uint64_t state = seed + run, count = 0;
        sim *s = sim_new(seed + run);
        const la_env *env = sim_env(s);
        la_log *log = open_log(env, LA_MODE_WRITE, SPEC_ALL);
        la_log *reader = open_log(env, LA_MODE_READ, NULL);
        uint64_t *keys = number_keys(400000);
        la_error err;

        for (int step = 0; step < 60; step++) {
            uint64_t what = test_below(&state, 20);

            if (what < 12) {
                uint32_t rows = (uint32_t)test_below(&state, what == 0 ? 20000 : 30);
                la_appended done = append_keys(log, keys + count, rows);
                CHECK_EQ(done.first, count);
                count += rows;
            }
            else if (what < 15) {
                CHECK_OK(la_log_seal(log, &err), &err);
            }
            else if (what < 17) {
                la_log_close(log);
                log = open_log(env, LA_MODE_WRITE, NULL);
            }
            else if (what == 17) {
                sim_kill(s);
                la_log_close(log);
                la_log_close(reader);
                log = open_log(env, LA_MODE_WRITE, NULL);
                reader = open_log(env, LA_MODE_READ, NULL);
            }
            else {
                check_log(what == 18 ? log : reader, keys, count);
            }
        }
        check_log(log, keys, count);
        check_log(reader, keys, count);
        check_clean(log, env);
        la_log_close(reader);
        la_log_close(log);
        free(keys);
        sim_free(s);
    }
}

/* A writer that seals between two calls of a reader, wherever that is. */
typedef struct racing {
    la_env env;
    const la_env *inner;
    la_log *writer;
    const uint64_t *keys;
    uint64_t *count;
    uint64_t calls, at;
    bool restarts;
} racing;

static void
race(racing *r)
{
    la_error err;

    if (++r->calls == r->at) {
        for (int i = 0; i < 3; i++) {
            append_keys(r->writer, r->keys + *r->count, 20);
            *r->count += 20;
            CHECK_OK(la_log_seal(r->writer, &err), &err);
        }
        if (r->restarts) { /* another process's: the page was not yet looked at */
            la_log_close(r->writer);
            r->writer = open_log(r->inner, LA_MODE_WRITE, NULL);
        }
        /* Frames in a fresh open segment, behind a manifest and a page that are newer. */
        append_keys(r->writer, r->keys + *r->count, 5);
        *r->count += 5;
    }
}

static int
racing_open(void *ctx, const char *path, int flags, int mode)
{
    racing *r = ctx;
    race(r);
    return r->inner->io.open(r->inner->io.ctx, path, flags, mode);
}

static int64_t
racing_pread(void *ctx, int fd, void *to, size_t size, uint64_t byte)
{
    racing *r = ctx;
    race(r);
    return r->inner->io.pread(r->inner->io.ctx, fd, to, size, byte);
}

static int
racing_list(void *ctx, const char *path, int (*each)(void *arg, const char *name),
            void *arg)
{
    racing *r = ctx;
    race(r);
    return r->inner->io.list(r->inner->io.ctx, path, each, arg);
}

#define PASS(name, parameters, arguments)                                              \
    static int racing_##name parameters                                                \
    {                                                                                  \
        racing *r = ctx;                                                               \
        return r->inner->io.name arguments;                                            \
    }
PASS(close, (void *ctx, int fd), (r->inner->io.ctx, fd))
PASS(map, (void *ctx, int fd, size_t size, const void **out),
     (r->inner->io.ctx, fd, size, out))
PASS(map_shared, (void *ctx, int fd, size_t size, bool writable, void **out),
     (r->inner->io.ctx, fd, size, writable, out))

static int64_t
racing_size(void *ctx, int fd)
{
    racing *r = ctx;
    return r->inner->io.file_size(r->inner->io.ctx, fd);
}

static void
racing_unmap(void *ctx, const void *at, size_t size)
{
    racing *r = ctx;
    r->inner->io.unmap(r->inner->io.ctx, at, size);
}

/* All rows that a scan finds, which are the first of `keys`. */
static uint64_t
scan_prefix(la_log *log, const uint64_t *keys)
{
    const la_chunk *chunk;
    uint64_t seen = 0;
    la_scan *scan;
    la_error err;

    CHECK_OK(la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, &err), &err);
    for (;;) {
        uint32_t column;

        CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
        if (chunk->rows == 0) {
            break;
        }
        CHECK_EQ(first_difference(chunk, keys + seen, &column), chunk->rows);
        seen += chunk->rows;
    }
    la_scan_close(scan);
    return seen;
}

static void
race_with(bool restarts)
{
    uint64_t *keys = number_keys(3000);
    uint64_t at = 0;
    bool reached = true;

    while (reached) {
        sim *s = sim_new(16);
        uint64_t count = 0, durable, published;
        racing r = {.inner = sim_env(s),
                    .keys = keys,
                    .count = &count,
                    .at = ++at,
                    .restarts = restarts};
        la_log *reader;
        la_error err;

        r.env.mem = r.inner->mem;
        r.env.io = (la_io){.ctx = &r,
                           .open = racing_open,
                           .close = racing_close,
                           .pread = racing_pread,
                           .file_size = racing_size,
                           .list = racing_list,
                           .map = racing_map,
                           .unmap = racing_unmap,
                           .map_shared = racing_map_shared};
        r.writer = open_log(r.inner, LA_MODE_WRITE, SPEC_SMALL);
        append_keys(r.writer, keys, 30);
        count = 30;
        CHECK_OK(la_log_seal(r.writer, &err), &err);
        append_keys(r.writer, keys + count, 7);
        count += 7;
        CHECK_OK(la_log_open_folder(&r.env, "/log", "orders", LA_MODE_READ, NULL,
                                    &reader, &err),
                 &err);
        CHECK_OK(la_log_positions(reader, &durable, &published, &err), &err);
        CHECK(durable >= 37);
        CHECK(scan_prefix(reader, keys) >= durable);
        append_keys(r.writer, keys + count, 3);
        count += 3;
        CHECK_OK(la_log_positions(reader, &durable, &published, &err), &err);
        reached = r.calls >= r.at;
        r.at = 0;
        check_log(reader, keys, count);
        la_log_close(reader);
        la_log_close(r.writer);
        sim_free(s);
    }
    printf("    %" PRIu64 " places\n", at - 1);
    free(keys);
}

static void
readers_race_with_sealing(void)
{
    race_with(false);
}

static void
readers_race_with_new_writers(void)
{
    race_with(true);
}

/* Several threads append and sync together while others read. */
typedef struct worker {
    la_log *log;
    uint64_t key;
} worker;

enum { THREADS = 4, APPENDS = 60 };

static void *
append_much(void *arg)
{
    worker *w = arg;
    la_error err;

    for (uint64_t i = 0; i < APPENDS; i++) {
        la_chunk *chunk = rows_from(la_log_schema(w->log), w->key + i * 3, 3);
        la_append_options options = {.sync =
                                         i % 4 == 0 ? LA_SYNC_INTERVAL : LA_SYNC_COMMIT,
                                     .interval_us = 1000000};
        la_appended done;

        CHECK_OK(la_log_append(w->log, chunk, NULL, NULL, NULL, &options, &done, &err),
                 &err);
        if (i % 20 == 7) {
            CHECK_OK(la_log_seal(w->log, &err), &err);
        }
        la_chunk_free(chunk);
    }
    CHECK_OK(la_log_sync(w->log, &err), &err);
    return NULL;
}

static void *
read_much(void *arg)
{
    worker *w = arg;
    uint64_t end = 0;
    la_error err;

    while (end < THREADS * APPENDS * 3) {
        const la_chunk *chunk;
        uint64_t seen = 0;
        la_scan *scan;

        CHECK_OK(la_scan_open(w->log, 0, LA_NO_POSITION, NULL, 0, &scan, &err), &err);
        for (;;) {
            CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
            if (chunk->rows == 0) {
                break;
            }
            for (uint32_t i = 0; i < chunk->rows; i++) {
                uint64_t key = ((const uint64_t *)chunk->columns[0].data)[i];
                for (uint32_t c = 0; c < chunk->column_count; c++) {
                    CHECK(cell_equal(&chunk->columns[c],
                                     la_schema_field(chunk->schema, c), c, i, key));
                }
            }
            seen += chunk->rows;
        }
        la_scan_close(scan);
        CHECK(seen >= end);
        end = seen;
    }
    return NULL;
}

static void
many_threads(void)
{
    sim *s = sim_new(13);
    la_log *log = open_log(sim_env(s), LA_MODE_WRITE, SPEC_SMALL);
    la_log *other = open_log(sim_env(s), LA_MODE_READ, NULL);
    worker workers[THREADS + 2];
    la_thread threads[THREADS + 2];
    uint8_t *seen = calloc(THREADS * 1000, 1);
    const la_chunk *chunk;
    la_scan *scan;
    la_error err;

    for (uint64_t i = 0; i < THREADS + 2; i++) {
        workers[i] = (worker){i == THREADS + 1 ? other : log, i * 1000};
        CHECK_OK(la_thread_start(&threads[i], i < THREADS ? append_much : read_much,
                                 &workers[i], &err),
                 &err);
    }
    for (int i = 0; i < THREADS + 2; i++) {
        la_thread_join(&threads[i]);
    }
    CHECK_OK(la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, &err), &err);
    for (;;) {
        CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
        if (chunk->rows == 0) {
            break;
        }
        for (uint32_t i = 0; i < chunk->rows; i++) {
            CHECK_EQ(seen[((const uint64_t *)chunk->columns[0].data)[i]]++, 0);
        }
    }
    la_scan_close(scan);
    for (uint64_t t = 0; t < THREADS; t++) {
        for (uint64_t i = 0; i < APPENDS * 3; i++) {
            CHECK_EQ(seen[t * 1000 + i], 1);
        }
    }
    check_clean(log, sim_env(s));
    la_log_close(other);
    la_log_close(log);
    free(seen);
    sim_free(s);
}

/* Hundreds of segments: the older ones move to chained pages. */
static void
many_segments(void)
{
    sim *s = sim_new(14);
    const la_env *env = sim_env(s);
    la_log *log = open_log(env, LA_MODE_WRITE, SPEC_SMALL);
    la_log *reader = open_log(env, LA_MODE_READ, NULL);
    uint64_t *keys = number_keys(80000);
    uint64_t count = 0, durable, published;
    la_error err;

    log->segment_bytes = 1000;
    for (int i = 0; i < 150; i++) {
        append_keys(log, keys + count, 30);
        count += 30;
        if (i % 9 == 0) {
            CHECK_OK(la_log_positions(reader, &durable, &published, &err), &err);
            CHECK_EQ(durable, count);
        }
    }
    CHECK(log->manifest.head.segments >= 64);
    CHECK(log->manifest.count <= LA_MANIFEST_ENTRIES_MAX);
    check_log(log, keys, count);
    check_log(reader, keys, count);
    check_clean(reader, env);
    la_log_close(log);
    log = open_log(env, LA_MODE_WRITE, NULL);
    check_log(log, keys, count);
    append_keys(log, keys + count, 1000);
    count += 1000;
    check_log(log, keys, count);
    check_log(reader, keys, count);
    check_clean(log, env);
    la_log_close(log);
    la_log_close(reader);
    free(keys);
    sim_free(s);
}

int
main(void)
{
    RUN(round_trips);
    RUN(sealing_changes_no_row);
    RUN(duplicates_are_kept_with_targets);
    RUN(bad_rows);
    RUN(text_that_is_not_utf8);
    RUN(one_writer);
    RUN(specs_are_compared);
    RUN(ingest_times);
    RUN(parts_and_ranges);
    RUN(foreign_dictionaries);
    RUN(as_a_list);
    RUN(readers_race_with_sealing);
    RUN(readers_race_with_new_writers);
    RUN(many_threads);
    RUN(many_segments);
    return test_end();
}
