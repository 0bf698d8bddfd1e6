/* SPDX-License-Identifier: Apache-2.0 */
/* Partition files: written whole in memory, made durable in one step, read block by block.
 *
 * Invariants
 *  1. The bytes are a function of the groups alone, so the digest can be the name, and two
 *     versions with equal content share the file.
 *  2. A file under its final name is whole: it was synced before the rename.
 *  3. No byte of a block reaches a decoder before its hash was checked.
 */
#include "views/groups.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"

#define GROUPS_MAGIC "LAMBGRP\n"
#define GROUPS_VERSION 1u
#define HEADER_SIZE 64u
#define INDEX_ENTRY_MIN 25u /* bytes of an index entry with an empty first key */
#define ZSTD_LEVEL 1
/* A raw block is bounded by what a writer can produce: refuse to allocate more for a file. */
#define RAW_BLOCK_MAX (1u << 30)

la_hash128
la_hash128_add(la_hash128 a, la_hash128 b)
{
    la_hash128 sum = {a.lo + b.lo, a.hi + b.hi};
    sum.hi += sum.lo < a.lo;
    return sum;
}

la_hash128
la_hash128_sub(la_hash128 a, la_hash128 b)
{
    la_hash128 difference = {a.lo - b.lo, a.hi - b.hi - (a.lo < b.lo)};
    return difference;
}

/* --------------------------------------------------------------- writing */

typedef struct writer {
    const la_env *env;
    la_codec *codec;
    la_buf file, index, raw, group;
    uint32_t blocks;
} writer;

static void
writer_fini(writer *w)
{
    la_buf_fini(&w->file);
    la_buf_fini(&w->index);
    la_buf_fini(&w->raw);
    la_buf_fini(&w->group);
}

/* Puts u32 key size, key, states into `scratch`; returns the key's size. */
static size_t
group_bytes(la_buf *scratch, const la_fold *fold, uint32_t group)
{
    la_buf_clear(scratch);
    la_buf_u32(scratch, 0);
    la_fold_key(fold, group, scratch);
    size_t key_size = scratch->size >= 4 ? scratch->size - 4 : 0;
    if (!scratch->failed) {
        la_store_u32(scratch->data, (uint32_t)key_size);
    }
    la_fold_encode(fold, group, scratch);
    return key_size;
}

la_hash128
la_partfile_hash(la_buf *scratch, const la_fold *fold, uint32_t group)
{
    (void)group_bytes(scratch, fold, group);
    return la_xxh128(scratch->data, scratch->size, 0);
}

static la_status
write_block(writer *w, const la_fold *fold, const uint32_t *order, uint32_t count,
            la_hash128 *content, la_error *err)
{
    la_buf_clear(&w->raw);
    size_t first_key_size = 0;
    la_buf first = {.env = w->env};
    for (uint32_t i = 0; i < count; i++) {
        size_t key_size = group_bytes(&w->group, fold, order[i]);
        if (w->group.failed) {
            la_buf_fini(&first);
            return la_fail_nomem(err, w->group.size);
        }
        const uint8_t *key = w->group.data + 4;
        size_t states_size = w->group.size - 4 - key_size;
        *content = la_hash128_add(*content,
                                  la_xxh128(w->group.data, w->group.size, 0));
        if (i == 0) {
            first_key_size = key_size;
            la_buf_put(&first, key, key_size);
        }
        la_buf_varint(&w->raw, key_size);
        la_buf_put(&w->raw, key, key_size);
        la_buf_varint(&w->raw, states_size);
        la_buf_put(&w->raw, key + key_size, states_size);
    }
    if (w->raw.failed || first.failed || w->raw.size > RAW_BLOCK_MAX) {
        la_buf_fini(&first);
        return la_fail_nomem(err, w->raw.size);
    }
    size_t at = w->file.size;
    la_status status =
        la_zstd_pack(w->codec, w->raw.data, w->raw.size, ZSTD_LEVEL, &w->file, err);
    if (status == LA_OK) {
        size_t stored = w->file.size - at;
        la_buf_u64(&w->index, at);
        la_buf_u32(&w->index, (uint32_t)stored);
        la_buf_u32(&w->index, (uint32_t)w->raw.size);
        la_buf_u64(&w->index, la_xxh3(w->file.data + at, stored, w->blocks));
        la_buf_varint(&w->index, first_key_size);
        la_buf_put(&w->index, first.data, first_key_size);
        w->blocks++;
    }
    la_buf_fini(&first);
    return status;
}

static void
write_header(writer *w, uint64_t groups, size_t index_byte)
{
    uint8_t *h = w->file.data;
    memcpy(h, GROUPS_MAGIC, 8);
    la_store_u32(h + 8, GROUPS_VERSION); /* u16 version, u16 flags 0 */
    la_store_u32(h + 12, LA_PART_BLOCK_GROUPS);
    la_store_u64(h + 16, groups);
    la_store_u32(h + 24, w->blocks);
    la_store_u32(h + 28, 0);
    la_store_u64(h + 32, index_byte);
    la_store_u64(h + 40, w->index.size);
    la_store_u64(h + 48, la_xxh3(w->index.data, w->index.size, 0));
    la_store_u32(h + 56, 0);
    la_store_u32(h + 60, la_crc32c(0, h, 60));
}

/* The bytes under `name`, if they are exactly ours. */
static bool
same_file(const la_env *env, const char *folder, const char *name, const la_buf *ours)
{
    char path[LA_PATH_BYTES_MAX];
    la_buf theirs;
    la_buf_init(&theirs, env);
    bool same = la_path_join(path, sizeof path, folder, name, NULL) == LA_OK &&
                la_file_load(env, path, &theirs, NULL) == LA_OK &&
                theirs.size == ours->size &&
                memcmp(theirs.data, ours->data, ours->size) == 0;
    la_buf_fini(&theirs);
    return same;
}

static la_status
publish(writer *w, const char *folder, la_partfile_ref *ref, la_error *err)
{
    char hex[33];
    ref->size = w->file.size;
    ref->digest = la_xxh128(w->file.data, w->file.size, 0);
    uint8_t digest[16];
    la_store_u64(digest, ref->digest.lo);
    la_store_u64(digest + 8, ref->digest.hi);
    la_hex(digest, 16, hex);
    for (uint32_t attempt = 0;; attempt++) {
        if (attempt == 0) {
            snprintf(ref->name, sizeof ref->name, "%s.groups", hex);
        } else { /* a damaged file has the name: leave it as it is, write beside it */
            snprintf(ref->name, sizeof ref->name, "%s-%u.groups", hex, attempt);
        }
        if (same_file(w->env, folder, ref->name, &w->file)) {
            return LA_OK; /* invariant 1: share it */
        }
        la_status status = la_file_publish(w->env, folder, ref->name, w->file.data,
                                           w->file.size, err);
        if (status != LA_CONFLICT || attempt == 100) {
            return status;
        }
    }
}

la_status
la_partfile_write(const la_env *env, la_codec *codec, const char *folder,
                const la_fold *fold, const uint32_t *order, uint32_t count,
                la_partfile_ref *ref, la_hash128 *content, la_error *err)
{
    writer w = {.env = env, .codec = codec};
    la_buf_init(&w.file, env);
    la_buf_init(&w.index, env);
    la_buf_init(&w.raw, env);
    la_buf_init(&w.group, env);
    la_buf_zero(&w.file, HEADER_SIZE);
    la_hash128 sum = {0, 0};
    la_status status = LA_OK;
    for (uint32_t at = 0; at < count && status == LA_OK; at += LA_PART_BLOCK_GROUPS) {
        uint32_t n = count - at < LA_PART_BLOCK_GROUPS ? count - at : LA_PART_BLOCK_GROUPS;
        status = write_block(&w, fold, order + at, n, &sum, err);
    }
    if (status == LA_OK) {
        size_t index_byte = w.file.size;
        la_buf_put(&w.file, w.index.data, w.index.size);
        if (w.file.failed || w.index.failed) {
            status = la_fail_nomem(err, w.file.size);
        } else {
            la_partfile_ref made = {.groups = count};
            write_header(&w, count, index_byte);
            status = publish(&w, folder, &made, err);
            if (status == LA_OK) {
                *ref = made;
                *content = sum;
            }
        }
    }
    writer_fini(&w);
    return status;
}

/* --------------------------------------------------------------- reading */

typedef struct block_entry {
    uint64_t byte;
    uint32_t stored, raw;
    uint64_t hash;
} block_entry;

typedef struct header {
    uint64_t groups;
    uint32_t blocks;
    const uint8_t *index;
    size_t index_size;
} header;

static la_status
read_header(const char *path, const la_buf *file, header *out, la_error *err)
{
    const uint8_t *h = file->data;
    if (file->size < HEADER_SIZE || memcmp(h, GROUPS_MAGIC, 8) != 0 ||
        la_load_u32(h + 60) != la_crc32c(0, h, 60)) {
        return la_fail_damaged(err, path, 0, "could not read groups: the header is wrong");
    }
    if (la_load_u32(h + 8) != GROUPS_VERSION) {
        la_status status = la_fail(err, LA_NEWER,
                                   "could not read groups: format version %u, known is %u",
                                   la_load_u32(h + 8) & 0xffffu, GROUPS_VERSION);
        la_error_path(err, path);
        return status;
    }
    uint64_t at = la_load_u64(h + 32), size = la_load_u64(h + 40);
    out->groups = la_load_u64(h + 16);
    out->blocks = la_load_u32(h + 24);
    if (at > file->size || size != file->size - at ||
        (uint64_t)out->blocks * INDEX_ENTRY_MIN > size ||
        la_load_u64(h + 48) != la_xxh3(h + at, (size_t)size, 0)) {
        return la_fail_damaged(err, path, at, "could not read groups: the index is wrong");
    }
    out->index = h + at;
    out->index_size = (size_t)size;
    return LA_OK;
}

static bool
read_entry(la_bytes *index, const la_buf *file, uint32_t number, block_entry *out)
{
    out->byte = la_bytes_u64(index);
    out->stored = la_bytes_u32(index);
    out->raw = la_bytes_u32(index);
    out->hash = la_bytes_u64(index);
    uint64_t key_size = la_bytes_varint(index);
    if (index->bad || key_size > la_bytes_left(index)) {
        return false;
    }
    (void)la_bytes_take(index, (size_t)key_size);
    return out->byte <= file->size && out->stored <= file->size - out->byte &&
           out->raw <= RAW_BLOCK_MAX &&
           la_xxh3(file->data + out->byte, out->stored, number) == out->hash;
}

static la_status
load_block(const char *path, uint64_t byte, const uint8_t *raw, size_t size, la_fold *fold,
           uint64_t *groups, la_error *err)
{
    la_bytes in = la_bytes_of(raw, size);
    while (la_bytes_left(&in) > 0) {
        uint64_t key_size = la_bytes_varint(&in);
        const uint8_t *key =
            key_size <= size ? la_bytes_take(&in, (size_t)key_size) : NULL;
        uint64_t states_size = la_bytes_varint(&in);
        const uint8_t *states =
            states_size <= size ? la_bytes_take(&in, (size_t)states_size) : NULL;
        if (in.bad || key == NULL || states == NULL) {
            return la_fail_damaged(err, path, byte,
                                   "could not read groups: a block is cut short");
        }
        la_status status = la_fold_add(fold, key, (size_t)key_size, states,
                                       (size_t)states_size, err);
        if (status != LA_OK) {
            la_error_path(err, path);
            return status;
        }
        (*groups)++;
    }
    return LA_OK;
}

static la_status
load_blocks(const la_env *env, const char *path, const la_buf *file, const header *head,
            la_fold *fold, la_error *err)
{
    la_bytes index = la_bytes_of(head->index, head->index_size);
    la_buf raw;
    la_buf_init(&raw, env);
    uint64_t groups = 0;
    la_status status = LA_OK;
    for (uint32_t i = 0; i < head->blocks && status == LA_OK; i++) {
        block_entry entry;
        if (!read_entry(&index, file, i, &entry)) {
            status = la_fail_damaged(err, path, 0,
                                     "could not read groups: block %u is damaged", i);
            break;
        }
        la_buf_clear(&raw);
        uint8_t *to = la_buf_room(&raw, entry.raw);
        if (to == NULL) {
            status = la_fail_nomem(err, entry.raw);
            break;
        }
        status = la_zstd_unpack(file->data + entry.byte, entry.stored, to, entry.raw, err);
        if (status == LA_OK) {
            status = load_block(path, entry.byte, to, entry.raw, fold, &groups, err);
        }
    }
    if (status == LA_OK && groups != head->groups) {
        status = la_fail_damaged(err, path, 16,
                                 "could not read groups: %llu groups, the header says %llu",
                                 (unsigned long long)groups,
                                 (unsigned long long)head->groups);
    }
    la_buf_fini(&raw);
    return status;
}

static la_status
load_file(const la_env *env, const char *folder, const la_partfile_ref *ref, char *path,
          size_t path_size, la_buf *file, la_error *err)
{
    la_status status = la_path_join(path, path_size, folder, ref->name, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_file_load(env, path, file, err);
    if (status == LA_OK && file->size != ref->size) {
        return la_fail_damaged(err, path, file->size,
                               "could not read groups: %zu bytes, the version list says "
                               "%llu",
                               file->size, (unsigned long long)ref->size);
    }
    return status;
}

la_status
la_partfile_load(const la_env *env, const char *folder, const la_partfile_ref *ref,
               la_fold *fold, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_buf file;
    la_buf_init(&file, env);
    header head = {0};
    la_status status = load_file(env, folder, ref, path, sizeof path, &file, err);
    if (status == LA_OK) {
        status = read_header(path, &file, &head, err);
    }
    if (status == LA_OK) {
        status = load_blocks(env, path, &file, &head, fold, err);
    }
    la_buf_fini(&file);
    return status;
}

la_status
la_partfile_verify(const la_env *env, const char *folder, const la_partfile_ref *ref,
                 la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_buf file;
    la_buf_init(&file, env);
    la_status status = load_file(env, folder, ref, path, sizeof path, &file, err);
    if (status == LA_NOT_FOUND) {
        status = la_fail_damaged(err, path, 0, "the file is missing");
    }
    if (status == LA_OK) {
        la_hash128 digest = la_xxh128(file.data, file.size, 0);
        if (digest.lo != ref->digest.lo || digest.hi != ref->digest.hi) {
            status = la_fail_damaged(err, path, 0, "the file is not what was written");
        }
    }
    la_buf_fini(&file);
    return status;
}
