/* SPDX-License-Identifier: Apache-2.0 */
/* Which files make a version, as a document that the catalogue names.
 *
 * The partition of a group depends on the plan's window and the group alone, so a full and an
 * incremental run agree about it, and equal partitions are equal files. */
#include "views/version_list.h"

#include "base/error.h"

#define US_PER_HOUR (INT64_C(3600) * LA_US_PER_SECOND)

void
la_version_list_init(la_version_list *list, const la_env *env)
{
    memset(list, 0, sizeof *list);
    list->env = env;
}

void
la_version_list_fini(la_version_list *list)
{
    if (list->env != NULL) {
        la_dealloc(list->env, list->partitions,
                   list->partition_capacity * sizeof *list->partitions);
    }
    memset(list, 0, sizeof *list);
}

/* Index of the first partition with an id not below `id`. */
static uint32_t
lower_bound(const la_version_list *list, int64_t id)
{
    uint32_t low = 0, high = list->partition_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->partitions[middle].id < id) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

la_partition *
la_version_list_find(const la_version_list *list, int64_t id)
{
    uint32_t at = lower_bound(list, id);
    return at < list->partition_count && list->partitions[at].id == id
               ? &list->partitions[at]
               : NULL;
}

la_partition *
la_version_list_add(la_version_list *list, int64_t id)
{
    uint32_t at = lower_bound(list, id);
    if (at < list->partition_count && list->partitions[at].id == id) {
        return &list->partitions[at];
    }
    if (list->partition_count == list->partition_capacity) {
        uint32_t capacity =
            list->partition_capacity < 16 ? 16 : list->partition_capacity * 2;
        la_partition *grown = la_realloc(list->env, list->partitions,
                                         list->partition_capacity * sizeof *grown,
                                         capacity * sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        list->partitions = grown;
        list->partition_capacity = capacity;
    }
    memmove(list->partitions + at + 1, list->partitions + at,
            (list->partition_count - at) * sizeof *list->partitions);
    list->partition_count++;
    la_partition *added = &list->partitions[at];
    memset(added, 0, sizeof *added);
    added->id = id;
    return added;
}

uint64_t
la_version_list_groups(const la_version_list *list)
{
    uint64_t groups = 0;
    for (uint32_t i = 0; i < list->partition_count; i++) {
        groups += list->partitions[i].groups;
    }
    return groups;
}

uint64_t
la_version_list_bytes(const la_version_list *list)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < list->partition_count; i++) {
        bytes += list->partitions[i].base.size;
    }
    for (uint32_t i = 0; i < list->delta_count; i++) {
        bytes += list->deltas[i].size;
    }
    return bytes;
}

la_hash128
la_version_list_content(const la_version_list *list)
{
    la_hash128 sum = {0, 0};
    for (uint32_t i = 0; i < list->partition_count; i++) {
        sum = la_hash128_add(sum, list->partitions[i].content);
    }
    return sum;
}

/* --------------------------------------------------------------- partitions */

static la_unit
partition_unit(const la_window *window)
{
    int64_t width = window->kind == LA_WINDOW_TUMBLING ? window->size_us
                    : window->unit == LA_UNIT_DAY      ? window->count * LA_US_PER_DAY
                                                       : INT64_MAX;
    return width <= US_PER_HOUR     ? LA_UNIT_DAY
           : width <= LA_US_PER_DAY ? LA_UNIT_MONTH
                                    : LA_UNIT_YEAR;
}

int64_t
la_partition_of_window(const la_window *window, int64_t start_us)
{
    return la_calendar_floor(start_us, partition_unit(window), 1);
}

int64_t
la_partition_end(const la_window *window, int64_t id)
{
    return la_calendar_next(id, partition_unit(window), 1);
}

int64_t
la_partition_of_key(const void *key, size_t size, uint32_t bucket_bits)
{
    return bucket_bits == 0
               ? 0
               : (int64_t)(la_xxh3(key, size, 0) & ((UINT64_C(1) << bucket_bits) - 1));
}

/* --------------------------------------------------------------------- JSON */

static void
put_hash(la_buf *to, const char *name, la_hash128 hash)
{
    uint8_t bytes[16];
    char hex[33];
    la_store_u64(bytes, hash.lo);
    la_store_u64(bytes + 8, hash.hi);
    la_hex(bytes, sizeof bytes, hex);
    la_buf_printf(to, "\"%s\":\"%s\",", name, hex);
}

static void
put_file(la_buf *to, const la_partfile_ref *file)
{
    la_buf_text(to, "{");
    put_hash(to, "digest", file->digest);
    la_buf_printf(to, "\"groups\":%llu,\"name\":\"%s\",\"size\":%llu}",
                  (unsigned long long)file->groups, file->name,
                  (unsigned long long)file->size);
}

la_status
la_version_list_write(const la_version_list *list, const char *folder,
                      const uint8_t uuid[16], uint64_t number, la_doc_id *id,
                      la_error *err)
{
    la_buf body;
    la_buf_init(&body, list->env);
    la_buf_printf(&body, "{\"buckets\":%u,\"deltas\":[", list->bucket_bits);
    for (uint32_t i = 0; i < list->delta_count; i++) {
        la_buf_text(&body, i == 0 ? "" : ",");
        put_file(&body, &list->deltas[i]);
    }
    la_buf_text(&body, "],\"partitions\":[");
    for (uint32_t i = 0; i < list->partition_count; i++) {
        const la_partition *p = &list->partitions[i];
        la_buf_text(&body, i == 0 ? "{\"base\":" : ",{\"base\":");
        if (p->base.name[0] == '\0') {
            la_buf_text(&body, "null");
        }
        else {
            put_file(&body, &p->base);
        }
        la_buf_text(&body, ",");
        put_hash(&body, "content_hash", p->content);
        la_buf_printf(&body, "\"groups\":%llu,\"partition\":%lld}",
                      (unsigned long long)p->groups, (long long)p->id);
    }
    la_buf_text(&body, "]}");
    la_status status =
        body.failed ? la_fail_nomem(err, body.size)
                    : la_doc_write(list->env, folder, LA_DOC_VERSION, uuid, number,
                                   NULL, (const char *)body.data, body.size, id, err);
    la_buf_fini(&body);
    return status;
}

static la_status
take_hash(const la_json *json, const char *name, la_hash128 *out, la_error *err)
{
    uint8_t bytes[16] = {0};
    la_status status = la_json_hex(json, name, bytes, sizeof bytes, err);
    out->lo = la_load_u64(bytes);
    out->hi = la_load_u64(bytes + 8);
    return status;
}

/* "<hex digits, or more>.groups": names come from disk, and must not leave the folder. */
static bool
is_groups_name(const char *name, size_t size)
{
    static const char end[] = ".groups";
    size_t stem = strspn(name, "0123456789abcdef-");
    return stem > 0 && size == stem + sizeof end - 1 && strcmp(name + stem, end) == 0;
}

static la_status
take_file(const la_json *json, la_partfile_ref *out, la_error *err)
{
    const char *name = NULL;
    size_t size = 0;
    la_status status = la_json_text(json, "name", &name, &size, err);
    if (status == LA_OK && (size >= sizeof out->name || !is_groups_name(name, size))) {
        return la_fail(err, LA_INVALID, "\"%.100s\" names no groups file", name);
    }
    if (status == LA_OK) {
        memcpy(out->name, name, size);
        out->name[size] = '\0';
        status = la_json_u64(json, "size", &out->size, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "groups", &out->groups, err);
    }
    return status == LA_OK ? take_hash(json, "digest", &out->digest, err) : status;
}

static la_status
take_partition(la_version_list *list, const la_json *json, la_error *err)
{
    int64_t id;
    la_status status = la_json_i64(json, "partition", &id, err);
    if (status != LA_OK) {
        return status;
    }
    if (list->partition_count > 0 &&
        list->partitions[list->partition_count - 1].id >= id) {
        return la_fail(err, LA_INVALID, "partition %lld is out of order",
                       (long long)id);
    }
    la_partition *p = la_version_list_add(list, id);
    if (p == NULL) {
        return la_fail_nomem(err, sizeof *p);
    }
    const la_json *base = la_json_get(json, "base");
    if (base != NULL && base->kind != LA_J_NULL) {
        status = take_file(base, &p->base, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "groups", &p->groups, err);
    }
    return status == LA_OK ? take_hash(json, "content_hash", &p->content, err) : status;
}

static la_status
take_list(la_version_list *list, const char *body, size_t size, la_error *err)
{
    la_arena arena;
    la_arena_init(&arena, list->env);
    const la_json *root = NULL, *deltas = NULL, *partitions = NULL;
    uint64_t bits = 0;
    la_status status = la_json_parse(&arena, body, size, &root, err);
    if (status == LA_OK) {
        status = la_json_u64(root, "buckets", &bits, err);
    }
    if (status == LA_OK) {
        status = la_json_array(root, "deltas", &deltas, err);
    }
    if (status == LA_OK) {
        status = la_json_array(root, "partitions", &partitions, err);
    }
    if (status == LA_OK && (bits > 32 || deltas->list.count > LA_DELTAS_MAX)) {
        status = la_fail(err, LA_INVALID, "%u deltas or %llu bucket bits are too many",
                         deltas->list.count, (unsigned long long)bits);
    }
    if (status == LA_OK) {
        list->bucket_bits = (uint32_t)bits;
        list->delta_count = deltas->list.count;
    }
    for (uint32_t i = 0; status == LA_OK && i < list->delta_count; i++) {
        status = take_file(&deltas->list.items[i], &list->deltas[i], err);
    }
    for (uint32_t i = 0; status == LA_OK && i < partitions->list.count; i++) {
        status = take_partition(list, &partitions->list.items[i], err);
    }
    la_arena_fini(&arena);
    return status;
}

la_status
la_version_list_read(const la_env *env, const char *folder, const uint8_t uuid[16],
                     const la_doc_id *id, la_version_list *list, la_error *err)
{
    la_buf file;
    la_buf_init(&file, env);
    la_version_list read;
    la_version_list_init(&read, env);
    const char *body = NULL;
    size_t size = 0;
    la_doc_id found;
    char path[LA_PATH_BYTES_MAX];
    la_doc_path(path, sizeof path, folder, LA_DOC_VERSION, id->number);
    la_status status = la_doc_read(env, folder, LA_DOC_VERSION, uuid, id->number, id,
                                   &file, &body, &size, &found, err);
    if (status == LA_NOT_FOUND) {
        status = la_fail_damaged(err, path, 0,
                                 "could not read version %llu: its list is missing",
                                 (unsigned long long)id->number);
    }
    if (status == LA_OK) {
        la_error cause = {0};
        status = take_list(&read, body, size, &cause);
        if (status == LA_INVALID) {
            status = la_fail_damaged(
                err, path, 96, "could not read the version list: %s", cause.message);
        }
        else if (status != LA_OK && err != NULL) {
            *err = cause;
        }
    }
    la_buf_fini(&file);
    if (status != LA_OK) {
        la_version_list_fini(&read);
        return status;
    }
    *list = read;
    return LA_OK;
}
