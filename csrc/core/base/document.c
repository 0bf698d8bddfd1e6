/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered, immutable, self-hashed documents.
 *
 *    byte size
 *       0    8  magic "LAMBDOC\n"
 *       8    2  format version, 1
 *      10    2  kind (la_doc_kind)
 *      12    4  flags, 0
 *      16   16  uuid of what the document describes
 *      32    8  number
 *      40    8  body size
 *      48   32  SHA-256 of the previous document's file, zeros: none
 *      80    8  XXH3-64 of the body, seeded with the number
 *      88    4  reserved, 0
 *      92    4  CRC-32C of bytes 0..91
 *      96    -  body, to the end of the file
 *
 * Invariants
 *  1. A document's name appears only when its bytes are durable, and never changes
 *     after.
 *  2. No length is believed before the header's CRC was checked.
 *  3. Something wrong under a final name is damage: never debris of a crash, never
 *     skipped.
 */
#include "base/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"

#define HEADER_SIZE 96u
#define FORMAT_VERSION 1u
#define NUMBER_DIGITS 20u

static const char magic[8] = {'L', 'A', 'M', 'B', 'D', 'O', 'C', '\n'};

static const char *
kind_name(la_doc_kind kind)
{
    switch (kind) {
    case LA_DOC_MANIFEST:
        return "manifest";
    case LA_DOC_CATALOGUE:
        return "catalogue";
    case LA_DOC_MANIFEST_PAGE:
        return "page";
    case LA_DOC_VERSION:
        return "version";
    case LA_DOC_STORE:
        return "store";
    }
    return "unknown";
}

static void
file_name(char name[64], la_doc_kind kind, uint64_t number)
{
    snprintf(name, 64, "%020llu.%s", (unsigned long long)number, kind_name(kind));
}

void
la_doc_path(char *path, size_t size, const char *folder, la_doc_kind kind,
            uint64_t number)
{
    char name[64];
    file_name(name, kind, number);
    if (la_path_join(path, size, folder, name, NULL) != LA_OK && size > 0) {
        path[0] = '\0'; /* no file has this path; half a path could name a wrong one */
    }
}

static la_status
checked_path(char path[LA_PATH_BYTES_MAX], const char *folder, la_doc_kind kind,
             uint64_t number, la_error *err)
{
    char name[64];
    file_name(name, kind, number);
    return la_path_join(path, LA_PATH_BYTES_MAX, folder, name, err);
}

/* ------------------------------------------------------------------ writing */

static void
put_header(la_buf *file, la_doc_kind kind, const uint8_t uuid[16], uint64_t number,
           const la_doc_id *previous, const char *body, size_t size)
{
    la_buf_put(file, magic, sizeof magic);
    la_buf_u16(file, FORMAT_VERSION);
    la_buf_u16(file, (uint16_t)kind);
    la_buf_u32(file, 0);
    la_buf_put(file, uuid, 16);
    la_buf_u64(file, number);
    la_buf_u64(file, size);
    if (previous != NULL) {
        la_buf_put(file, previous->digest, 32);
    }
    else {
        la_buf_zero(file, 32);
    }
    la_buf_u64(file, la_xxh3(body, size, number));
    la_buf_u32(file, 0);
    la_buf_u32(file, file->failed ? 0 : la_crc32c(0, file->data, file->size));
}

la_status
la_doc_write(const la_env *env, const char *folder, la_doc_kind kind,
             const uint8_t uuid[16], uint64_t number, const la_doc_id *previous,
             const char *body, size_t size, la_doc_id *id, la_error *err)
{
    if (size > LA_JSON_BYTES_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not write a %s of %zu bytes: the limit is %u bytes",
                       kind_name(kind), size, LA_JSON_BYTES_MAX);
    }
    char name[64];
    file_name(name, kind, number);
    la_buf file;
    la_buf_init(&file, env);
    if (la_buf_room(&file, HEADER_SIZE + size) == NULL) {
        la_buf_fini(&file);
        return la_fail_nomem(err, HEADER_SIZE + size);
    }
    put_header(&file, kind, uuid, number, previous, body, size);
    la_buf_put(&file, body, size); /* room was made above: cannot fail */
    la_doc_id made;
    memset(&made, 0, sizeof made);
    made.number = number;
    made.size = file.size;
    la_sha256(file.data, file.size, made.digest);
    la_status status = la_file_publish(env, folder, name, file.data, file.size, err);
    la_buf_fini(&file);
    if (status == LA_OK && id != NULL) {
        *id = made;
    }
    return status;
}

/* ------------------------------------------------------------------ reading */

typedef struct reading {
    const la_env *env;
    const char *path;
    la_doc_kind kind;
    const uint8_t *uuid; /* NULL: any */
    uint64_t number;
    uint64_t file_size;
    uint64_t body_size;
    uint64_t body_hash;
} reading;

static la_status
check_header(reading *r, const uint8_t *h, la_error *err)
{
    const char *path = r->path;
    if (memcmp(h, magic, sizeof magic) != 0) {
        return la_fail_damaged(err, path, 0, "could not read \"%s\": wrong magic",
                               path);
    }
    uint32_t crc = la_crc32c(0, h, 92);
    if (crc != la_load_u32(h + 92)) {
        return la_fail_damaged(
            err, path, 92, "could not read \"%s\": header checksum is %08x, not %08x",
            path, la_load_u32(h + 92), crc);
    }
    unsigned version = h[8] | (unsigned)h[9] << 8;
    if (version > FORMAT_VERSION) {
        la_status status = la_fail(
            err, LA_NEWER,
            "could not read \"%s\": written as format %u, this program knows %u", path,
            version, FORMAT_VERSION);
        la_error_path(err, path);
        la_error_hint(err, "use a newer lambdaarch");
        return status;
    }
    if (version != FORMAT_VERSION) {
        return la_fail_damaged(err, path, 8, "could not read \"%s\": format version %u",
                               path, version);
    }
    unsigned kind = h[10] | (unsigned)h[11] << 8;
    if (kind != (unsigned)r->kind) {
        return la_fail_damaged(err, path, 10, "could not read \"%s\": kind %u, not %u",
                               path, kind, (unsigned)r->kind);
    }
    if (la_load_u32(h + 12) != 0) {
        return la_fail_damaged(err, path, 12,
                               "could not read \"%s\": flags %08x, not 0", path,
                               la_load_u32(h + 12));
    }
    if (r->uuid != NULL && memcmp(h + 16, r->uuid, 16) != 0) {
        char found[33], wanted[33];
        la_hex(h + 16, 16, found);
        la_hex(r->uuid, 16, wanted);
        return la_fail_damaged(err, path, 16, "could not read \"%s\": uuid %s, not %s",
                               path, found, wanted);
    }
    if (la_load_u64(h + 32) != r->number) {
        return la_fail_damaged(err, path, 32,
                               "could not read \"%s\": number %llu inside", path,
                               (unsigned long long)la_load_u64(h + 32));
    }
    if (la_load_u32(h + 88) != 0) {
        return la_fail_damaged(err, path, 88,
                               "could not read \"%s\": reserved bytes set", path);
    }
    r->body_size = la_load_u64(h + 40);
    r->body_hash = la_load_u64(h + 80);
    if (r->body_size != r->file_size - HEADER_SIZE) {
        bool longer = r->body_size < r->file_size - HEADER_SIZE;
        return la_fail_damaged(
            err, path, longer ? HEADER_SIZE + r->body_size : r->file_size,
            "could not read \"%s\": %llu bytes, but its header says a body of %llu",
            path, (unsigned long long)r->file_size, (unsigned long long)r->body_size);
    }
    return LA_OK;
}

static la_status
check_expected(const reading *r, const la_doc_id *found, const la_doc_id *expect,
               la_error *err)
{
    const char *path = r->path;
    if (found->size != expect->size) {
        return la_fail_damaged(
            err, path, found->size < expect->size ? found->size : expect->size,
            "could not read \"%s\": %llu bytes, but it was published "
            "with %llu",
            path, (unsigned long long)found->size, (unsigned long long)expect->size);
    }
    if (memcmp(found->digest, expect->digest, 32) != 0) {
        char is[65], was[65];
        la_hex(found->digest, 32, is);
        la_hex(expect->digest, 32, was);
        return la_fail_damaged(
            err, path, 0,
            "could not read \"%s\": its SHA-256 is %.16s..., but %.16s... "
            "was published",
            path, is, was);
    }
    return LA_OK;
}

static la_status
read_open_file(reading *r, int fd, la_buf *file, la_error *err)
{
    const la_io *io = &r->env->io;
    int64_t file_size = io->file_size(io->ctx, fd);
    if (file_size < 0) {
        return la_fail_os(err, (int)-file_size, r->path,
                          "could not get the size of \"%s\"", r->path);
    }
    r->file_size = (uint64_t)file_size;
    if (r->file_size < HEADER_SIZE) {
        return la_fail_damaged(
            err, r->path, r->file_size,
            "could not read \"%s\": it ends inside its header at byte %llu", r->path,
            (unsigned long long)r->file_size);
    }
    if (r->file_size > HEADER_SIZE + LA_JSON_BYTES_MAX) {
        return la_fail_damaged(
            err, r->path, HEADER_SIZE + LA_JSON_BYTES_MAX,
            "could not read \"%s\": %llu bytes is more than a document has", r->path,
            (unsigned long long)r->file_size);
    }
    uint8_t header[HEADER_SIZE];
    la_status status = la_file_read(r->env, fd, r->path, header, HEADER_SIZE, 0, err);
    if (status != LA_OK) {
        return status;
    }
    status = check_header(r, header, err);
    if (status != LA_OK) {
        return status;
    }
    size_t body_size = (size_t)r->body_size;
    uint8_t *room = la_buf_room(file, HEADER_SIZE + body_size);
    if (room == NULL) {
        return la_fail_nomem(err, HEADER_SIZE + body_size);
    }
    memcpy(room, header, HEADER_SIZE);
    status = la_file_read(r->env, fd, r->path, room + HEADER_SIZE, body_size,
                          HEADER_SIZE, err);
    if (status != LA_OK) {
        return status;
    }
    if (la_xxh3(room + HEADER_SIZE, body_size, r->number) != r->body_hash) {
        return la_fail_damaged(
            err, r->path, HEADER_SIZE,
            "could not read \"%s\": the body does not match its checksum", r->path);
    }
    file->size += HEADER_SIZE + body_size;
    return LA_OK;
}

la_status
la_doc_read(const la_env *env, const char *folder, la_doc_kind kind,
            const uint8_t uuid[16], uint64_t number, const la_doc_id *expect,
            la_buf *file, const char **body, size_t *body_size, la_doc_id *id,
            la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_status status = checked_path(path, folder, kind, number, err);
    if (status != LA_OK) {
        return status;
    }
    int fd = la_file_open(env, path, O_RDONLY);
    if (fd == -ENOENT) {
        status = la_fail(err, LA_NOT_FOUND,
                         "could not read \"%s\": there is no such file", path);
        la_error_path(err, path);
        return status;
    }
    if (fd < 0) {
        return la_fail_os(err, -fd, path, "could not open \"%s\"", path);
    }
    reading r = {
        .env = env, .path = path, .kind = kind, .uuid = uuid, .number = number};
    la_buf_clear(file);
    status = read_open_file(&r, fd, file, err);
    env->io.close(env->io.ctx, fd);
    if (status != LA_OK) {
        return status;
    }
    la_doc_id found;
    memset(&found, 0, sizeof found);
    found.number = number;
    found.size = file->size;
    la_sha256(file->data, file->size, found.digest);
    if (expect != NULL) {
        status = check_expected(&r, &found, expect, err);
        if (status != LA_OK) {
            return status;
        }
    }
    *body = (const char *)file->data + HEADER_SIZE;
    *body_size = (size_t)r.body_size;
    if (id != NULL) {
        *id = found;
    }
    return LA_OK;
}

/* ------------------------------------------------------------------ listing */

/* Parses "<20 digits>.<kind>" or, with *tmp set, "<20 digits>.<kind>.tmp". */
static bool
parse_name(const char *name, la_doc_kind kind, uint64_t *number, bool *tmp)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < NUMBER_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (n > (UINT64_MAX - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    const char *rest = name + NUMBER_DIGITS;
    const char *wanted = kind_name(kind);
    size_t wanted_size = strlen(wanted);
    if (rest[0] != '.' || strncmp(rest + 1, wanted, wanted_size) != 0) {
        return false;
    }
    rest += 1 + wanted_size;
    *number = n;
    *tmp = strcmp(rest, ".tmp") == 0;
    return *tmp || rest[0] == '\0';
}

typedef struct newest {
    la_doc_kind kind;
    uint64_t number;
} newest;

static int
newest_each(void *arg, const char *name)
{
    newest *n = arg;
    uint64_t number;
    bool tmp;
    if (parse_name(name, n->kind, &number, &tmp) && !tmp && number > n->number) {
        n->number = number;
    }
    return 0;
}

la_status
la_doc_newest(const la_env *env, const char *folder, la_doc_kind kind, uint64_t *number,
              la_error *err)
{
    newest n = {kind, 0};
    int rc = env->io.list(env->io.ctx, folder, newest_each, &n);
    if (rc == -ENOENT) {
        la_status status =
            la_fail(err, LA_NOT_FOUND, "could not list \"%s\": there is no such folder",
                    folder);
        la_error_path(err, folder);
        return status;
    }
    if (rc < 0) {
        return la_fail_os(err, -rc, folder, "could not list \"%s\"", folder);
    }
    *number = n.number;
    return LA_OK;
}

typedef struct pruning {
    la_doc_kind kind;
    uint64_t below;
    la_buf old; /* numbers to unlink */
    la_buf tmp; /* numbers whose tmp file is left over */
} pruning;

static int
prune_each(void *arg, const char *name)
{
    pruning *p = arg;
    uint64_t number;
    bool tmp;
    if (parse_name(name, p->kind, &number, &tmp)) {
        if (tmp) {
            la_buf_u64(&p->tmp, number);
        }
        else if (number < p->below) {
            la_buf_u64(&p->old, number);
        }
    }
    return 0;
}

static void
unlink_all(const la_env *env, const char *folder, la_doc_kind kind,
           const la_buf *numbers, const char *suffix)
{
    for (size_t at = 0; at + 8 <= numbers->size; at += 8) {
        char path[LA_PATH_BYTES_MAX];
        la_doc_path(path, sizeof path - 8, folder, kind,
                    la_load_u64(numbers->data + at));
        if (path[0] != '\0') {
            strcat(path, suffix);
            env->io.unlink(env->io.ctx, path); /* a leftover costs only space */
        }
    }
}

void
la_doc_prune(const la_env *env, const char *folder, la_doc_kind kind, uint64_t number,
             uint64_t kept)
{
    /* Names first, unlinks after: a folder that changes while it is listed may skip
     * names. */
    pruning p = {.kind = kind, .below = number > kept ? number - kept : 0};
    la_buf_init(&p.old, env);
    la_buf_init(&p.tmp, env);
    if (env->io.list(env->io.ctx, folder, prune_each, &p) >= 0) {
        unlink_all(env, folder, kind, &p.old, "");
        unlink_all(env, folder, kind, &p.tmp, ".tmp");
    }
    la_buf_fini(&p.old);
    la_buf_fini(&p.tmp);
}
