/* SPDX-License-Identifier: Apache-2.0 */
/* Partition files: what is written comes back, equal groups are equal files, and no damage of
 * one ever gets into a fold. */
#include "views/groups.h"

#include <fcntl.h>
#include <inttypes.h>

#include "base/file.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"
#include "views/version_list.h"

#define FOLDER "/parts"

static sim *disk;
static shop s;
static la_plan *plan;
static la_fold *fold; /* 700 orders by hour */
static uint32_t *order, group_count;
static la_codec *codec;

static void
set_up(void)
{
    la_error err;
    disk = sim_new(1);
    shop_open(&s, sim_env(disk), "/shop");
    shop_append(&s, 700);
    CHECK_OK(la_store_plan(s.store, SHOP_HOURLY, &plan, &err), &err);
    fold = shop_states(&s, plan, 700);
    group_count = la_fold_group_count(fold);
    CHECK(group_count > LA_PART_BLOCK_GROUPS);
    order = malloc(group_count * sizeof *order);
    CHECK_OK(la_fold_sorted(fold, order, &err), &err);
    CHECK_OK(la_codec_new(s.env, &codec, &err), &err);
    CHECK_OK(la_file_mkdir(s.env, FOLDER, &err), &err);
}

static void
tear_down(void)
{
    la_codec_free(codec);
    free(order);
    la_fold_free(fold);
    la_plan_release(plan);
    shop_close(&s);
    CHECK_EQ(sim_open_files(disk), 0);
    sim_free(disk);
}

static void
write_groups(const la_fold *from, const uint32_t *groups, uint32_t count,
             la_partfile_ref *ref, la_hash128 *content)
{
    la_error err;
    CHECK_OK(la_partfile_write(s.env, codec, FOLDER, from, groups, count, ref, content,
                               &err),
             &err);
}

static void
path_of(const la_partfile_ref *ref, char path[200])
{
    snprintf(path, 200, FOLDER "/%s", ref->name);
}

/* Sorted (key, states) of a fold. */
static void
fold_bytes(const la_fold *from, la_buf *to)
{
    la_error err;
    uint32_t count = la_fold_group_count(from);
    uint32_t *sorted = malloc((count + 1) * sizeof *sorted);
    CHECK_OK(la_fold_sorted(from, sorted, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        la_fold_key(from, sorted[i], to);
        la_fold_encode(from, sorted[i], to);
    }
    free(sorted);
}

static void
check_same_groups(const la_fold *a, const la_fold *b)
{
    la_buf x, y;
    la_buf_init(&x, s.env);
    la_buf_init(&y, s.env);
    fold_bytes(a, &x);
    fold_bytes(b, &y);
    CHECK_EQ(x.size, y.size);
    CHECK_BYTES(x.data, y.data, x.size);
    la_buf_fini(&x);
    la_buf_fini(&y);
}

static la_fold *
empty_fold(void)
{
    la_fold *made;
    la_error err;
    CHECK_OK(la_fold_new(plan, LA_MEMORY_DEFAULT, &made, &err), &err);
    return made;
}

static void
what_is_written_comes_back(void)
{
    static const uint32_t counts[] = {0, 1, 2, 255, 256, 257, 0};
    for (size_t i = 0; i < 7; i++) {
        uint32_t count = i == 6 ? group_count : counts[i];
        la_partfile_ref ref, again;
        la_hash128 content, content_again;
        la_error err;
        write_groups(fold, order, count, &ref, &content);
        CHECK_EQ(ref.groups, count);
        CHECK_OK(la_partfile_verify(s.env, FOLDER, &ref, &err), &err);
        la_fold *back = empty_fold();
        CHECK_OK(la_partfile_load(s.env, FOLDER, &ref, back, &err), &err);
        CHECK_EQ(la_fold_group_count(back), count);
        if (count == group_count) {
            check_same_groups(back, fold);
        }
        /* The same groups from another fold, where they have other numbers: the same file. */
        uint32_t *sorted = malloc((count + 1) * sizeof *sorted);
        CHECK_OK(la_fold_sorted(back, sorted, &err), &err);
        write_groups(back, sorted, count, &again, &content_again);
        CHECK_STR(again.name, ref.name);
        CHECK_EQ(again.digest.lo, ref.digest.lo);
        CHECK_EQ(content_again.lo, content.lo);
        CHECK_EQ(content_again.hi, content.hi);
        free(sorted);
        la_fold_free(back);
    }
    CHECK_EQ(count_files(s.env, FOLDER, ".tmp"), 0);
}

static void
the_header_is_as_documented(void)
{
    la_partfile_ref ref;
    la_hash128 content;
    char path[200];
    size_t size;
    write_groups(fold, order, group_count, &ref, &content);
    path_of(&ref, path);
    const uint8_t *file = sim_content(disk, path, &size);
    CHECK_EQ(size, ref.size);
    CHECK_BYTES(file, "LAMBGRP\n\1\0\0\0", 12);
    CHECK_EQ(la_load_u32(file + 12), 256);
    CHECK_EQ(la_load_u64(file + 16), group_count);
    CHECK_EQ(la_load_u32(file + 24), (group_count + 255) / 256);
    CHECK_EQ(la_load_u64(file + 32) + la_load_u64(file + 40), size);
    CHECK_EQ(la_load_u32(file + 60), la_crc32c(0, file, 60));
    la_hash128 digest = la_xxh128(file, size, 0);
    uint8_t bytes[16];
    char name[64];
    la_store_u64(bytes, digest.lo);
    la_store_u64(bytes + 8, digest.hi);
    la_hex(bytes, 16, name);
    CHECK_STR(strcat(name, ".groups"), ref.name);
}

/* States can be large: then a block ends before it has 256 groups. */
static void
large_states_end_a_block(void)
{
    shop large;
    la_plan *ids;
    la_error err;
    la_partfile_ref ref;
    la_hash128 content;
    char path[200];
    size_t size;
    uint32_t sorted[8];
    shop_open(&large, s.env, "/large");
    for (uint32_t i = 0; i < 8; i++) {
        shop_append(&large, 40000);
    }
    CHECK_OK(
        la_store_plan(large.store,
                      "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"customer\",[\"col\","
                      "\"customer\"]]],\"aggs\":[{\"name\":\"ids\",\"fn\":\"n_unique\","
                      "\"arg\":[\"cast\",[\"col\",\"id\"],\"str\"],\"filter\":null}]}",
                      &ids, &err),
        &err);
    la_fold *totals = shop_states(&large, ids, large.rows), *back;
    CHECK_EQ(la_fold_group_count(totals), 7);
    CHECK_OK(la_fold_sorted(totals, sorted, &err), &err);
    write_groups(totals, sorted, 7, &ref, &content);
    path_of(&ref, path);
    const uint8_t *file = sim_content(disk, path, &size);
    CHECK(la_load_u32(file + 24) > 1);
    CHECK_OK(la_fold_new(ids, LA_MEMORY_DEFAULT, &back, &err), &err);
    CHECK_OK(la_partfile_load(s.env, FOLDER, &ref, back, &err), &err);
    check_same_groups(back, totals);
    la_fold_free(back);
    la_fold_free(totals);
    la_plan_release(ids);
    shop_close(&large);
}

static void
content_hashes_add_up(void)
{
    la_buf scratch;
    la_buf_init(&scratch, s.env);
    la_hash128 sum = {0, 0}, left, right, whole;
    la_partfile_ref ref;
    for (uint32_t i = 0; i < group_count; i++) {
        sum = la_hash128_add(sum, la_partfile_hash(&scratch, fold, order[i]));
    }
    uint32_t half = group_count / 3;
    write_groups(fold, order, half, &ref, &left);
    write_groups(fold, order + half, group_count - half, &ref, &right);
    write_groups(fold, order, group_count, &ref, &whole);
    CHECK_EQ(whole.lo, sum.lo);
    CHECK_EQ(whole.hi, sum.hi);
    left = la_hash128_add(left, right);
    CHECK_EQ(left.lo, sum.lo);
    CHECK_EQ(left.hi, sum.hi);
    left = la_hash128_sub(left, right);
    right = la_hash128_sub(whole, right);
    CHECK_EQ(left.lo, right.lo);
    CHECK_EQ(left.hi, right.hi);
    la_buf_fini(&scratch);
}

/* ------------------------------------------------------------------- damage */

/* The damaged file must be refused, and the fold it was to go into stay empty. */
static void
check_refused(const la_partfile_ref *ref, const char *what, uint64_t at)
{
    la_error err;
    la_fold *back = empty_fold();
    la_status status = la_partfile_load(s.env, FOLDER, ref, back, &err);
    CHECK_MSG(status == LA_DAMAGED || status == LA_NEWER, "%s %" PRIu64 ": %s", what,
              at, la_status_name(status));
    CHECK_MSG(strstr(err.path, ref->name) != NULL, "%s %" PRIu64 ": %s", what, at,
              err.path);
    CHECK_EQ(la_fold_group_count(back), 0);
    la_fold_free(back);
    status = la_partfile_verify(s.env, FOLDER, ref, &err);
    CHECK(status == LA_DAMAGED || status == LA_NEWER);
}

static void
every_flipped_byte_is_found(void)
{
    la_partfile_ref ref;
    la_hash128 content;
    la_error err;
    char path[200];
    write_groups(fold, order, 300, &ref, &content);
    path_of(&ref, path);
    for (uint64_t byte = 0; byte < ref.size; byte++) {
        uint8_t mask = (uint8_t)(1u << byte % 8);
        CHECK(sim_flip(disk, path, byte, mask));
        check_refused(&ref, "byte", byte);
        CHECK(sim_flip(disk, path, byte, mask));
    }
    CHECK_OK(la_partfile_verify(s.env, FOLDER, &ref, &err), &err);
    CHECK(sim_flip(disk, path, 70, 0xff)); /* in the first block */
    CHECK_STATUS(la_partfile_verify(s.env, FOLDER, &ref, &err), LA_DAMAGED, &err);
    CHECK_EQ(err.byte, 64);
    CHECK(sim_flip(disk, path, 70, 0xff));
}

static void
every_truncation_is_found(void)
{
    la_partfile_ref ref;
    la_hash128 content;
    char path[200];
    write_groups(fold, order, 40, &ref, &content);
    path_of(&ref, path);
    for (uint64_t size = ref.size; size-- > 0;) {
        CHECK(sim_cut(disk, path, size));
        check_refused(&ref, "cut to", size);
    }
}

static void
a_good_file_in_the_wrong_place_is_found(void)
{
    la_partfile_ref a, b;
    la_hash128 content;
    la_error err;
    write_groups(fold, order, 50, &a, &content);
    write_groups(fold, order + 50, 50, &b, &content);
    la_partfile_ref swapped = a;
    memcpy(swapped.name, b.name, sizeof b.name);
    check_refused(&swapped, "swapped", 0);
    swapped.size = b.size; /* even of the right size */
    check_refused(&swapped, "swapped", 1);
    snprintf(swapped.name, sizeof swapped.name, "00.groups");
    la_fold *back = empty_fold();
    CHECK_STATUS(la_partfile_load(s.env, FOLDER, &swapped, back, &err), LA_NOT_FOUND,
                 &err);
    CHECK_STATUS(la_partfile_verify(s.env, FOLDER, &swapped, &err), LA_DAMAGED, &err);
    la_fold_free(back);
}

static void
a_damaged_file_is_not_shared(void)
{
    la_partfile_ref first, second, third;
    la_hash128 content;
    la_error err;
    char path[200];
    write_groups(fold, order + 7, 60, &first, &content);
    path_of(&first, path);
    CHECK(sim_flip(disk, path, 100, 1));
    write_groups(fold, order + 7, 60, &second, &content);
    CHECK(strcmp(first.name, second.name) != 0);
    CHECK_EQ(first.digest.lo, second.digest.lo);
    CHECK_OK(la_partfile_verify(s.env, FOLDER, &second, &err), &err);
    write_groups(fold, order + 7, 60, &third,
                 &content); /* the good one is shared again */
    CHECK_STR(third.name, second.name);
    check_refused(&first, "damaged", 100);
}

/* ---- well hashed, but not what a writer makes */

/* Recomputes every hash of the file, so that only its content is wrong, and its referrer. */
static la_partfile_ref
forge(const la_partfile_ref *ref, void (*change)(uint8_t *file, size_t size))
{
    size_t size;
    char path[200];
    la_partfile_ref forged = *ref;
    path_of(ref, path);
    const uint8_t *found = sim_content(disk, path, &size);
    uint8_t *file = malloc(size);
    memcpy(file, found, size);
    change(file, size);
    uint64_t at = la_load_u64(file + 32);
    if (at <= size) {
        la_store_u64(file + 48, la_xxh3(file + at, size - at, 0));
    }
    la_store_u32(file + 60, la_crc32c(0, file, 60));
    forged.digest = la_xxh128(file, size, 0);
    snprintf(forged.name, sizeof forged.name, "f%08x.groups",
             (uint32_t)forged.digest.lo);
    la_error err;
    CHECK_OK(la_file_publish(s.env, FOLDER, forged.name, file, size, &err), &err);
    free(file);
    return forged;
}

static void
more_groups(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u64(file + 16, la_load_u64(file + 16) + 1);
}
static void
more_blocks(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u32(file + 24, UINT32_MAX);
}
static void
fewer_blocks(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u32(file + 24, 1);
}
static void
index_outside(uint8_t *file, size_t size)
{
    la_store_u64(file + 32, UINT64_MAX - 4);
    la_store_u64(file + 40, size + 5);
}
static void
index_in_header(uint8_t *file, size_t size)
{
    la_store_u64(file + 32, 8);
    la_store_u64(file + 40, size - 8);
}
static void
reserved(uint8_t *file, size_t size)
{
    (void)size;
    file[56] = 1;
}
static void
newer(uint8_t *file, size_t size)
{
    (void)size;
    file[8] = 2;
}
static void
flags(uint8_t *file, size_t size)
{
    (void)size;
    file[10] = 1;
}
static void
block_outside(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u64(file + la_load_u64(file + 32), UINT64_MAX);
}
static void
block_too_long(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u32(file + la_load_u64(file + 32) + 8, UINT32_MAX);
}
static void
bomb(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u32(file + la_load_u64(file + 32) + 12, UINT32_MAX);
}
static void
raw_too_long(uint8_t *file, size_t size)
{
    uint8_t *entry = file + la_load_u64(file + 32) + 12;
    (void)size;
    la_store_u32(entry, la_load_u32(entry) + 1);
}
static void
no_raw(uint8_t *file, size_t size)
{
    (void)size;
    la_store_u32(file + la_load_u64(file + 32) + 12, 0);
}
static void
key_too_long(uint8_t *file, size_t size)
{
    (void)size;
    memset(file + la_load_u64(file + 32) + 24, 0xff, 6);
}

static void
forged_files_are_refused(void)
{
    static void (*const changes[])(uint8_t *, size_t) = {
        more_groups, more_blocks,  fewer_blocks, index_outside, index_in_header,
        reserved,    newer,        flags,        block_outside, block_too_long,
        bomb,        raw_too_long, no_raw,       key_too_long};
    la_partfile_ref ref;
    la_hash128 content;
    write_groups(fold, order, group_count, &ref, &content);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        la_partfile_ref forged = forge(&ref, changes[i]);
        la_error err;
        la_fold *back = empty_fold();
        la_status status = la_partfile_load(s.env, FOLDER, &forged, back, &err);
        CHECK_MSG(status == LA_DAMAGED || (changes[i] == newer && status == LA_NEWER),
                  "change %zu: %s", i, la_status_name(status));
        la_fold_free(back);
    }
}

/* Groups of another view: well hashed, but no states of ours. */
static void
files_of_another_view_are_refused(void)
{
    la_plan *other;
    la_error err;
    la_partfile_ref ref;
    la_hash128 content;
    CHECK_OK(la_store_plan(s.store, SHOP_TOTALS, &other, &err), &err);
    la_fold *totals = shop_states(&s, other, 100);
    uint32_t sorted[16];
    CHECK_OK(la_fold_sorted(totals, sorted, &err), &err);
    write_groups(totals, sorted, la_fold_group_count(totals), &ref, &content);
    la_fold *back = empty_fold();
    CHECK_STATUS(la_partfile_load(s.env, FOLDER, &ref, back, &err), LA_DAMAGED, &err);
    la_fold_free(back);
    /* Groups out of order, as a faulty writer might give them. */
    uint32_t backwards[2] = {sorted[1], sorted[0]};
    write_groups(totals, backwards, 2, &ref, &content);
    CHECK_OK(la_fold_new(other, LA_MEMORY_DEFAULT, &back, &err), &err);
    CHECK_STATUS(la_partfile_load(s.env, FOLDER, &ref, back, &err), LA_DAMAGED, &err);
    la_fold_free(back);
    la_fold_free(totals);
    la_plan_release(other);
}

/* ------------------------------------------------------------- version lists */

static void
partitions_hold_their_windows(void)
{
    static const la_window windows[] = {
        {.kind = LA_WINDOW_TUMBLING, .size_us = 60000000},
        {.kind = LA_WINDOW_TUMBLING, .size_us = 3600000000, .origin_us = 1800000000},
        {.kind = LA_WINDOW_TUMBLING, .size_us = 7200000000},
        {.kind = LA_WINDOW_CALENDAR, .unit = LA_UNIT_DAY, .count = 1},
        {.kind = LA_WINDOW_CALENDAR, .unit = LA_UNIT_WEEK, .count = 2},
        {.kind = LA_WINDOW_CALENDAR, .unit = LA_UNIT_MONTH, .count = 5},
        {.kind = LA_WINDOW_CALENDAR, .unit = LA_UNIT_YEAR, .count = 100000}};
    uint64_t rng = test_seed();
    for (int i = 0; i < 20000; i++) {
        const la_window *w = &windows[test_below(&rng, 7)];
        int64_t us = i == 0   ? INT64_MIN
                     : i == 1 ? INT64_MAX
                              : (int64_t)test_next(&rng) >> test_below(&rng, 40);
        int64_t start = la_window_start(w, us);
        int64_t id = la_partition_of_window(w, start);
        CHECK(id <= start);
        CHECK(la_partition_end(w, id) > start || start == INT64_MAX);
        CHECK_EQ(la_partition_of_window(w, id), id);
    }
}

static void
lists_come_back_and_bad_ones_are_refused(void)
{
    static const char *const good =
        "{\"buckets\":0,\"deltas\":[],\"partitions\":[{\"base\":null,\"content_hash\":"
        "\"00000000000000000000000000000000\",\"groups\":1,\"partition\":-5}]}";
#define FILE_OF(name)                                                                  \
    "{\"buckets\":0,\"deltas\":[{\"digest\":\"00000000000000000000000000000000\","     \
    "\"groups\":1,\"name\":\"" name "\",\"size\":1}],\"partitions\":[]}"
#define ONE                                                                            \
    "{\"base\":null,\"content_hash\":\"00000000000000000000000000000000\","            \
    "\"groups\":1,\"partition\":7}"
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"buckets\":33,\"deltas\":[],\"partitions\":[]}",
        "{\"buckets\":-1,\"deltas\":[],\"partitions\":[]}",
        "{\"buckets\":0,\"deltas\":{},\"partitions\":[]}",
        "{\"buckets\":0,\"deltas\":[],\"partitions\":[7]}",
        "{\"buckets\":0,\"deltas\":[1,2,3,4,5],\"partitions\":[]}",
        "{\"buckets\":0,\"deltas\":[],\"partitions\":[" ONE "," ONE "]}",
        FILE_OF(""),
        FILE_OF("../../x.groups"),
        FILE_OF("/etc/passwd"),
        FILE_OF(".groups"),
        FILE_OF("00"),
        FILE_OF("00.groups/x"),
        FILE_OF("0\\u0000.groups"),
        FILE_OF(
            "00000000000000000000000000000000000000000000000000000000000000000000000000"
            "0000.groups")};
    static const uint8_t uuid[16] = {1};
    la_error err;
    la_doc_id id;
    la_version_list list;
    CHECK_OK(la_doc_write(s.env, FOLDER, LA_DOC_VERSION, uuid, 100, NULL, good,
                          strlen(good), &id, &err),
             &err);
    CHECK_OK(la_version_list_read(s.env, FOLDER, uuid, &id, &list, &err), &err);
    CHECK_EQ(list.partitions[0].id, -5);
    la_doc_id written;
    CHECK_OK(la_version_list_write(&list, FOLDER, uuid, 101, &written, &err), &err);
    la_version_list_fini(&list);
    CHECK_EQ(written.size, id.size);
    for (uint64_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_OK(la_doc_write(s.env, FOLDER, LA_DOC_VERSION, uuid, 200 + i, NULL,
                              bad[i], strlen(bad[i]), &id, &err),
                 &err);
        la_status status = la_version_list_read(s.env, FOLDER, uuid, &id, &list, &err);
        CHECK_MSG(status == LA_DAMAGED, "%s: %s", bad[i], la_status_name(status));
    }
    id.number = 999;
    CHECK_STATUS(la_version_list_read(s.env, FOLDER, uuid, &id, &list, &err),
                 LA_DAMAGED, &err);
}

int
main(void)
{
    set_up();
    RUN(what_is_written_comes_back);
    RUN(the_header_is_as_documented);
    RUN(large_states_end_a_block);
    RUN(content_hashes_add_up);
    RUN(every_flipped_byte_is_found);
    RUN(every_truncation_is_found);
    RUN(a_good_file_in_the_wrong_place_is_found);
    RUN(a_damaged_file_is_not_shared);
    RUN(forged_files_are_refused);
    RUN(files_of_another_view_are_refused);
    RUN(partitions_hold_their_windows);
    RUN(lists_come_back_and_bad_ones_are_refused);
    tear_down();
    return test_end();
}
