/* SPDX-License-Identifier: Apache-2.0 */
/* Partition files: written whole in memory, made durable in one step, read block by block.
 *
 * Invariants
 *  1. The bytes are a function of the groups alone, so the digest can be the name, and two
 *     versions with equal content share the file.
 *  2. A file under its final name is whole: it was synced before the rename.
 *  3. No byte reaches a decoder before the whole file matched its referrer's digest: a good
 *     file in the wrong place is damage too. The hashes inside tell where damage is.
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
/* Names tried for a file: each one taken is a damaged file of the same content. */
#define NAME_ATTEMPTS 100u
/* A block that has this many raw bytes is full: states can be large (sets), blocks must not. */
#define RAW_BLOCK_FULL (1u << 20)
/* One group more is what a block can have beyond that: refuse to allocate more for a file. */
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
    la_buf file, index;
    la_buf raw;   /* the block being filled */
    la_buf first; /* its first key: varint size, bytes */
    la_buf group;
    uint32_t blocks;
} writer;

static void
writer_init(writer *w, const la_env *env, la_codec *codec)
{
    w->env = env;
    w->codec = codec;
    w->blocks = 0;
    la_buf_init(&w->file, env);
    la_buf_init(&w->index, env);
    la_buf_init(&w->raw, env);
    la_buf_init(&w->first, env);
    la_buf_init(&w->group, env);
}

static void
writer_fini(writer *w)
{
    la_buf_fini(&w->file);
    la_buf_fini(&w->index);
    la_buf_fini(&w->raw);
    la_buf_fini(&w->first);
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

/* The raw block, packed, goes to the file and gets its entry in the index. */
static la_status
pack_block(writer *w, la_error *err)
{
    size_t at = w->file.size;
    la_status status =
        la_zstd_pack(w->codec, w->raw.data, w->raw.size, ZSTD_LEVEL, &w->file, err);
    if (status != LA_OK) {
        return status;
    }
    size_t stored = w->file.size - at;
    la_buf_u64(&w->index, at);
    la_buf_u32(&w->index, (uint32_t)stored);
    la_buf_u32(&w->index, (uint32_t)w->raw.size);
    la_buf_u64(&w->index, la_xxh3(w->file.data + at, stored, w->blocks));
    la_buf_put(&w->index, w->first.data, w->first.size);
    w->blocks++;
    return LA_OK;
}

/* Groups order[0 ..] up to a full block; *taken says how many. */
static la_status
write_block(writer *w, const la_fold *fold, const uint32_t *order, uint32_t count,
            uint32_t *taken, la_hash128 *content, la_error *err)
{
    uint32_t n = 0;
    la_buf_clear(&w->raw);
    la_buf_clear(&w->first);
    while (n < count && n < LA_PART_BLOCK_GROUPS && w->raw.size < RAW_BLOCK_FULL) {
        size_t key_size = group_bytes(&w->group, fold, order[n]);
        if (w->group.failed) {
            return la_fail_nomem(err, w->group.size);
        }
        const uint8_t *key = w->group.data + 4;
        size_t states_size = w->group.size - 4 - key_size;
        *content = la_hash128_add(*content, la_xxh128(w->group.data, w->group.size, 0));
        if (n++ == 0) {
            la_buf_varint(&w->first, key_size);
            la_buf_put(&w->first, key, key_size);
        }
        la_buf_varint(&w->raw, key_size);
        la_buf_put(&w->raw, key, key_size);
        la_buf_varint(&w->raw, states_size);
        la_buf_put(&w->raw, key + key_size, states_size);
    }
    if (w->raw.failed || w->first.failed) {
        return la_fail_nomem(err, w->raw.size);
    }
    if (w->raw.size > RAW_BLOCK_MAX) {
        return la_fail(
            err, LA_BUDGET,
            "could not write a group whose states have %zu bytes: the limit is %u",
            w->raw.size, RAW_BLOCK_MAX);
    }
    *taken = n;
    return pack_block(w, err);
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

/* LA_OK: the bytes under `name` are exactly ours. LA_NOT_FOUND: no such file. LA_CONFLICT:
 * another's, or bytes that cannot be read. */
static la_status
compare_file(const la_env *env, const char *folder, const char *name,
             const la_buf *ours, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_buf theirs;
    la_buf_init(&theirs, env);
    la_status status = la_path_join(path, sizeof path, folder, name, err);
    if (status == LA_OK) {
        status = la_file_load(env, path, &theirs, err);
        bool same = status == LA_OK && theirs.size == ours->size &&
                    memcmp(theirs.data, ours->data, ours->size) == 0;
        if (status != LA_NOT_FOUND && status != LA_NOMEM) {
            status = same ? LA_OK : LA_CONFLICT;
        }
    }
    la_buf_fini(&theirs);
    return status;
}

/* A shared file's name may not be durable yet, when its writer was killed in between. The
 * version list is written to the same folder later, and its sync covers both. */
static la_status
publish(writer *w, const char *folder, la_partfile_ref *ref, la_error *err)
{
    char hex[33];
    uint8_t digest[16];
    ref->size = w->file.size;
    ref->digest = la_xxh128(w->file.data, w->file.size, 0);
    la_store_u64(digest, ref->digest.lo);
    la_store_u64(digest + 8, ref->digest.hi);
    la_hex(digest, 16, hex);
    snprintf(ref->name, sizeof ref->name, "%s.groups", hex);
    for (uint32_t attempt = 1;; attempt++) {
        la_status status = compare_file(w->env, folder, ref->name, &w->file, err);
        if (status == LA_NOT_FOUND) {
            status = la_file_publish(w->env, folder, ref->name, w->file.data,
                                     w->file.size, err);
        }
        if (status != LA_CONFLICT || attempt > NAME_ATTEMPTS) {
            return status; /* invariant 1: a file that is there already is shared */
        }
        /* A damaged file has the name: leave it as it is, write beside it. */
        snprintf(ref->name, sizeof ref->name, "%s-%u.groups", hex, attempt);
    }
}

la_status
la_partfile_write(const la_env *env, la_codec *codec, const char *folder,
                  const la_fold *fold, const uint32_t *order, uint32_t count,
                  la_partfile_ref *ref, la_hash128 *content, la_error *err)
{
    writer w;
    writer_init(&w, env, codec);
    la_buf_zero(&w.file, HEADER_SIZE);
    la_hash128 sum = {0, 0};
    la_partfile_ref made = {.groups = count};
    la_status status = w.file.failed ? la_fail_nomem(err, HEADER_SIZE) : LA_OK;
    for (uint32_t at = 0, taken; at < count && status == LA_OK; at += taken) {
        taken = 0;
        status = write_block(&w, fold, order + at, count - at, &taken, &sum, err);
    }
    if (status == LA_OK) {
        size_t index_byte = w.file.size;
        la_buf_put(&w.file, w.index.data, w.index.size);
        if (w.file.failed || w.index.failed) {
            status = la_fail_nomem(err, w.file.size);
        }
        else {
            write_header(&w, count, index_byte);
            status = publish(&w, folder, &made, err);
        }
    }
    writer_fini(&w);
    if (status == LA_OK) {
        *ref = made;
        *content = sum;
    }
    return status;
}

/* --------------------------------------------------------------- reading */

typedef struct block_entry {
    uint64_t byte;
    uint32_t stored, raw;
    uint64_t hash;
} block_entry;

/* A file whose header and index were found whole. */
typedef struct reading {
    const la_env *env;
    char path[LA_PATH_BYTES_MAX];
    la_buf file;
    uint64_t groups;
    uint32_t blocks;
    uint64_t index_byte;
} reading;

static la_status
read_header(reading *r, la_error *err)
{
    const uint8_t *h = r->file.data;
    if (r->file.size < HEADER_SIZE || memcmp(h, GROUPS_MAGIC, 8) != 0 ||
        la_load_u32(h + 60) != la_crc32c(0, h, 60)) {
        return la_fail_damaged(err, r->path, 0,
                               "could not read \"%s\": the header is wrong", r->path);
    }
    uint32_t version = la_load_u32(h + 8) & 0xffffu;
    if (version > GROUPS_VERSION) {
        la_status status = la_fail(err, LA_NEWER,
                                   "could not read \"%s\": written as format %u, this "
                                   "program knows %u",
                                   r->path, version, GROUPS_VERSION);
        la_error_path(err, r->path);
        la_error_hint(err, "use a newer lambdaarch");
        return status;
    }
    uint64_t at = la_load_u64(h + 32), size = la_load_u64(h + 40);
    r->groups = la_load_u64(h + 16);
    r->blocks = la_load_u32(h + 24);
    r->index_byte = at;
    if (la_load_u32(h + 8) != GROUPS_VERSION ||
        la_load_u32(h + 12) != LA_PART_BLOCK_GROUPS || la_load_u32(h + 28) != 0 ||
        la_load_u32(h + 56) != 0) {
        return la_fail_damaged(err, r->path, 8,
                               "could not read \"%s\": the header holds unknown values",
                               r->path);
    }
    if (at < HEADER_SIZE || at > r->file.size || size != r->file.size - at ||
        (uint64_t)r->blocks * INDEX_ENTRY_MIN > size ||
        la_load_u64(h + 48) != la_xxh3(h + at, (size_t)size, 0)) {
        return la_fail_damaged(err, r->path, at,
                               "could not read \"%s\": the index is wrong", r->path);
    }
    return LA_OK;
}

/* The next entry; blocks stand one after another, the first at `expected`. */
static la_status
read_entry(const reading *r, la_bytes *index, uint32_t number, uint64_t expected,
           block_entry *out, la_error *err)
{
    out->byte = la_bytes_u64(index);
    out->stored = la_bytes_u32(index);
    out->raw = la_bytes_u32(index);
    out->hash = la_bytes_u64(index);
    uint64_t key_size = la_bytes_varint(index);
    if (index->bad || key_size > la_bytes_left(index) || out->byte != expected ||
        out->byte > r->index_byte || out->stored > r->index_byte - out->byte ||
        out->raw == 0 || out->raw > RAW_BLOCK_MAX) {
        return la_fail_damaged(err, r->path, r->index_byte,
                               "could not read \"%s\": entry %u of the index is wrong",
                               r->path, number);
    }
    (void)la_bytes_take(index, (size_t)key_size);
    if (la_xxh3(r->file.data + out->byte, out->stored, number) != out->hash) {
        return la_fail_damaged(
            err, r->path, out->byte,
            "could not read \"%s\": block %u does not match its hash", r->path, number);
    }
    return LA_OK;
}

/* Whatever the hashes inside can say about a file that is not what was written. */
static la_status
locate_damage(reading *r, la_error *err)
{
    la_status status = read_header(r, err);
    if (status != LA_OK) {
        return status;
    }
    la_bytes index =
        la_bytes_of(r->file.data + r->index_byte, r->file.size - (size_t)r->index_byte);
    uint64_t byte = HEADER_SIZE;
    for (uint32_t i = 0; i < r->blocks && status == LA_OK; i++) {
        block_entry entry;
        status = read_entry(r, &index, i, byte, &entry, err);
        byte = status == LA_OK ? byte + entry.stored : byte;
    }
    return status != LA_OK
               ? status
               : la_fail_damaged(err, r->path, 0,
                                 "could not read \"%s\": it is another file "
                                 "than the one that was written",
                                 r->path);
}

/* Loads the file and checks every byte against the referrer's size and digest. */
static la_status
reading_init(reading *r, const la_env *env, const char *folder,
             const la_partfile_ref *ref, la_error *err)
{
    r->env = env;
    la_buf_init(&r->file, env);
    la_status status = la_path_join(r->path, sizeof r->path, folder, ref->name, err);
    if (status == LA_OK) {
        status = la_file_load(env, r->path, &r->file, err);
    }
    if (status != LA_OK) {
        return status;
    }
    la_hash128 digest = la_xxh128(r->file.data, r->file.size, 0);
    bool same = digest.lo == ref->digest.lo && digest.hi == ref->digest.hi;
    if (r->file.size != ref->size) {
        return la_fail_damaged(
            err, r->path, r->file.size,
            "could not read \"%s\": %zu bytes, but it was written with "
            "%llu",
            r->path, r->file.size, (unsigned long long)ref->size);
    }
    return same ? read_header(r, err) : locate_damage(r, err);
}

/* ----------------------------------------------------------------- blocks */

static la_status
fail_block(const reading *r, const block_entry *entry, const char *what, la_error *err)
{
    return la_fail_damaged(err, r->path, entry->byte,
                           "could not read \"%s\": the block at byte %llu %s", r->path,
                           (unsigned long long)entry->byte, what);
}

typedef struct raw_group {
    const uint8_t *key, *states;
    size_t key_size, states_size;
} raw_group;

static bool
take_group(la_bytes *in, raw_group *out)
{
    uint64_t key_size = la_bytes_varint(in);
    out->key =
        key_size <= la_bytes_left(in) ? la_bytes_take(in, (size_t)key_size) : NULL;
    uint64_t states_size = la_bytes_varint(in);
    out->states = states_size <= la_bytes_left(in)
                      ? la_bytes_take(in, (size_t)states_size)
                      : NULL;
    out->key_size = (size_t)key_size;
    out->states_size = (size_t)states_size;
    return !in->bad && out->key != NULL && out->states != NULL;
}

static bool
key_is_greater(const raw_group *a, const raw_group *b)
{
    size_t n = a->key_size < b->key_size ? a->key_size : b->key_size;
    int c = n == 0 ? 0 : memcmp(a->key, b->key, n);
    return c > 0 || (c == 0 && a->key_size > b->key_size);
}

static la_status
load_block(const reading *r, const block_entry *entry, const uint8_t *raw,
           la_fold *fold, uint64_t *groups, la_error *err)
{
    la_bytes in = la_bytes_of(raw, entry->raw);
    raw_group last = {0};
    for (uint32_t n = 0; la_bytes_left(&in) > 0; n++) {
        raw_group group;
        if (!take_group(&in, &group)) {
            return fail_block(r, entry, "is cut short", err);
        }
        if (n == LA_PART_BLOCK_GROUPS || (n > 0 && !key_is_greater(&group, &last))) {
            return fail_block(r, entry, "has too many groups, or not in order", err);
        }
        la_status status = la_fold_add(fold, group.key, group.key_size, group.states,
                                       group.states_size, err);
        if (status == LA_DAMAGED) {
            return fail_block(r, entry, "holds a group that is not of this view", err);
        }
        if (status != LA_OK) {
            return status;
        }
        last = group;
        (*groups)++;
    }
    return LA_OK;
}

static la_status
unpack_block(const reading *r, const block_entry *entry, la_buf *raw, la_error *err)
{
    la_buf_clear(raw);
    uint8_t *to = la_buf_room(raw, entry->raw);
    if (to == NULL) {
        return la_fail_nomem(err, entry->raw);
    }
    la_status status =
        la_zstd_unpack(r->file.data + entry->byte, entry->stored, to, entry->raw, err);
    return status == LA_DAMAGED ? fail_block(r, entry, "cannot be unpacked", err)
                                : status;
}

static la_status
load_blocks(const reading *r, la_fold *fold, la_error *err)
{
    la_bytes index =
        la_bytes_of(r->file.data + r->index_byte, r->file.size - (size_t)r->index_byte);
    la_buf raw;
    la_buf_init(&raw, r->env);
    uint64_t groups = 0, byte = HEADER_SIZE;
    la_status status = LA_OK;
    for (uint32_t i = 0; i < r->blocks && status == LA_OK; i++) {
        block_entry entry;
        status = read_entry(r, &index, i, byte, &entry, err);
        if (status == LA_OK) {
            byte += entry.stored;
            status = unpack_block(r, &entry, &raw, err);
        }
        if (status == LA_OK) {
            status = load_block(r, &entry, raw.data, fold, &groups, err);
        }
    }
    la_buf_fini(&raw);
    if (status == LA_OK && (groups != r->groups || byte != r->index_byte)) {
        status = la_fail_damaged(
            err, r->path, 16,
            "could not read \"%s\": %llu groups, its header says %llu", r->path,
            (unsigned long long)groups, (unsigned long long)r->groups);
    }
    return status;
}

la_status
la_partfile_load(const la_env *env, const char *folder, const la_partfile_ref *ref,
                 la_fold *fold, la_error *err)
{
    reading r;
    la_status status = reading_init(&r, env, folder, ref, err);
    if (status == LA_OK) {
        status = load_blocks(&r, fold, err);
    }
    if (status == LA_DAMAGED) {
        la_error_hint(err,
                      "the log has the truth: a full batch run publishes this view "
                      "anew");
    }
    la_buf_fini(&r.file);
    return status;
}

la_status
la_partfile_verify(const la_env *env, const char *folder, const la_partfile_ref *ref,
                   la_error *err)
{
    reading r;
    la_status status = reading_init(&r, env, folder, ref, err);
    if (status == LA_NOT_FOUND) {
        status = la_fail_damaged(err, r.path, 0, "could not read \"%s\": it is missing",
                                 r.path);
    }
    la_buf_fini(&r.file);
    return status;
}
