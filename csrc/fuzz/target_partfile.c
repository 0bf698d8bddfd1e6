/* SPDX-License-Identifier: Apache-2.0 */
/* A partition file, loaded into a fold. Byte 0 of the input, bit 0: the rest is a file whose
 * checksums are made right, else raw groups of one block, packed and put into a right file. What
 * loads is written again to the same groups. */
#include "fuzz.h"
#include "views/groups.h"

#define HEADER 64u

static la_plan *
small_plan(void)
{
    static la_plan *plan;
    if (plan == NULL) {
        plan =
            fuzz_plan("{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"c\",[\"col\",\"c\"]],"
                      "[\"i\",[\"col\",\"i\"]]],\"window\":{\"kind\":\"tumbling\","
                      "\"size_us\":3600000000},\"aggs\":["
                      "{\"name\":\"n\",\"fn\":\"len\"},"
                      "{\"name\":\"d\",\"fn\":\"sum\",\"arg\":[\"col\",\"d\"]},"
                      "{\"name\":\"s\",\"fn\":\"max\",\"arg\":[\"col\",\"s\"]}]}");
    }
    return plan;
}

static void
finish_file(la_buf *file, size_t index)
{
    uint8_t *h = file->data;
    la_store_u64(h + 48, la_xxh3(h + index, file->size - index, 0));
    la_store_u32(h + 60, la_crc32c(0, h, 60));
}

/* Raw groups as the only block of a file. */
static void
wrap(la_buf *file, const uint8_t *raw, size_t size)
{
    la_codec *codec;
    uint64_t groups = 0;
    la_bytes in = la_bytes_of(raw, size);

    for (; la_bytes_left(&in) > 0 && !in.bad; groups++) {
        (void)la_bytes_take(&in, (size_t)la_bytes_varint(&in));
        (void)la_bytes_take(&in, (size_t)la_bytes_varint(&in));
    }
    FUZZ_CHECK(la_codec_new(fuzz_env(), &codec, NULL) == LA_OK);
    la_buf_zero(file, HEADER);
    FUZZ_CHECK(la_zstd_pack(codec, raw, size, 1, file, NULL) == LA_OK);
    la_codec_free(codec);
    size_t index = file->size;
    la_buf_u64(file, HEADER);
    la_buf_u32(file, (uint32_t)(index - HEADER));
    la_buf_u32(file, (uint32_t)size);
    la_buf_u64(file, la_xxh3(file->data + HEADER, index - HEADER, 0));
    la_buf_varint(file, 0);
    memcpy(file->data, "LAMBGRP\n", 8);
    la_store_u32(file->data + 8, 1);
    la_store_u32(file->data + 12, LA_PART_BLOCK_GROUPS);
    la_store_u64(file->data + 16, groups);
    la_store_u32(file->data + 24, 1);
    la_store_u64(file->data + 32, index);
    la_store_u64(file->data + 40, file->size - index);
    finish_file(file, index);
}

static void
repair(la_buf *file)
{
    uint64_t index = file->size < HEADER ? 0 : la_load_u64(file->data + 32);
    if (index < HEADER || index > file->size) {
        return;
    }
    la_bytes in = la_bytes_of(file->data + index, file->size - (size_t)index);
    for (uint32_t i = 0; i < 16 && la_bytes_left(&in) >= 25; i++) {
        uint8_t *entry = (uint8_t *)in.at;
        uint64_t at = la_bytes_u64(&in), stored = la_bytes_u32(&in);
        (void)la_bytes_take(&in, 12);
        (void)la_bytes_take(&in, (size_t)la_bytes_varint(&in));
        if (at <= file->size && stored <= file->size - at) {
            la_store_u64(entry + 16, la_xxh3(file->data + at, stored, i));
        }
    }
    finish_file(file, (size_t)index);
}

/* Groups in order as the file's only block holds them. */
static void
check_again(const la_fold *fold, const uint8_t *raw, size_t size)
{
    uint32_t count = la_fold_group_count(fold);
    uint32_t *order = malloc((count + 1) * sizeof *order);
    la_buf bytes, key, states;

    la_buf_init(&bytes, fuzz_env());
    la_buf_init(&key, fuzz_env());
    la_buf_init(&states, fuzz_env());
    FUZZ_CHECK(la_fold_sorted(fold, order, NULL) == LA_OK);
    for (uint32_t i = 0; i < count; i++) {
        la_buf_clear(&key);
        la_buf_clear(&states);
        la_fold_key(fold, order[i], &key);
        la_fold_encode(fold, order[i], &states);
        la_buf_varint(&bytes, key.size);
        la_buf_put(&bytes, key.data, key.size);
        la_buf_varint(&bytes, states.size);
        la_buf_put(&bytes, states.data, states.size);
    }
    FUZZ_CHECK(bytes.size == size && (size == 0 || memcmp(bytes.data, raw, size) == 0));
    la_buf_fini(&bytes);
    la_buf_fini(&key);
    la_buf_fini(&states);
    free(order);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_fold *fold;
    la_buf file;

    if (size < 2) {
        return 0;
    }
    la_plan *plan = small_plan();
    fuzz_begin();
    la_buf_init(&file, fuzz_env());
    if (data[0] & 1) {
        la_buf_put(&file, data + 1, size - 1);
        repair(&file);
    }
    else {
        wrap(&file, data + 1, size - 1);
    }
    la_partfile_ref ref = {.name = "0.groups", .size = file.size};
    ref.digest = la_xxh128(file.data, file.size, 0);
    const la_env *env = fuzz_file_env(file.data, file.size);
    FUZZ_CHECK(la_fold_new(plan, FUZZ_MEMORY_MAX, &fold, NULL) == LA_OK);
    la_status status = la_partfile_load(env, "/", &ref, fold, NULL);
    FUZZ_CHECK(status == LA_OK || status == LA_DAMAGED || status == LA_NEWER ||
               status == LA_NOMEM || status == LA_BUDGET);
    if (status == LA_OK) {
        FUZZ_CHECK(la_partfile_verify(env, "/", &ref, NULL) == LA_OK);
        if (!(data[0] & 1)) {
            check_again(fold, data + 1, size - 1);
        }
    }
    ref.digest.lo ^= 1;
    FUZZ_CHECK(la_partfile_load(env, "/", &ref, fold, NULL) != LA_OK);
    la_fold_free(fold);
    la_buf_fini(&file);
    return fuzz_end();
}
