/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on groups work on key bytes: parts are compared as they are stored, so that equal
 * means the same here, in files and in the fold. */
#include "query/select.h"

#include "base/error.h"

/* Keys up to this size need no memory to look up once there was some (fold's arena keeps a
 * block of 4 KiB). */
#define SHORT_KEY 512u

bool
la_select_point(const la_query_spec *spec, const la_plan *plan, la_buf *key)
{
    if (spec->filter_count != plan->key_count) {
        return false;
    }
    la_buf_clear(key);
    for (uint32_t k = 0; k < plan->key_count; k++) {
        const la_key_filter *filter = NULL;
        for (uint32_t f = 0; f < spec->filter_count; f++) {
            filter = spec->filters[f].key == k ? &spec->filters[f] : filter;
        }
        if (filter == NULL || filter->value_count != 1) {
            return false;
        }
        la_buf_put(key, filter->values[0].bytes, filter->values[0].size);
    }
    if (plan->window.kind != LA_WINDOW_NONE) {
        if (spec->since == INT64_MIN ||
            la_window_start(&plan->window, spec->since) != spec->since ||
            la_window_end(&plan->window, spec->since) != spec->until) {
            return false;
        }
        la_value start = {.type = LA_T_TIME, .i64 = spec->since};
        la_key_put(key, &start);
    }
    return !key->failed;
}

static bool
same_key(const la_buf *a, const la_buf *b)
{
    return a->size == b->size &&
           (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* la_fold_find finds nothing when it has no memory to read the key. Group 0 is there: where it
 * is found there is memory, and the next look-up of a short key tells the truth. */
la_status
la_select_find(const la_fold *fold, const la_buf *key, uint32_t *group, la_error *err)
{
    uint32_t count = la_fold_group_count(fold);
    uint32_t found = la_fold_find(fold, key->data, key->size);
    la_buf other;
    la_buf_init(&other, key->env);
    bool failed = false;
    if (found == UINT32_MAX && count > 0) {
        la_fold_key(fold, 0, &other);
        failed = other.failed || (other.size <= SHORT_KEY &&
                                  la_fold_find(fold, other.data, other.size) != 0);
        bool sure = key->size <= SHORT_KEY && other.size <= SHORT_KEY;
        found = sure && !failed ? la_fold_find(fold, key->data, key->size) : UINT32_MAX;
        for (uint32_t i = 0; !sure && !failed && found == UINT32_MAX && i < count;
             i++) {
            la_buf_clear(&other);
            la_fold_key(fold, i, &other);
            failed = other.failed;
            found = same_key(&other, key) ? i : UINT32_MAX;
        }
    }
    la_buf_fini(&other);
    if (failed) {
        return la_fail_nomem(err, key->size);
    }
    *group = found;
    return LA_OK;
}

/* Size of the key part at `at`, 0 when it is cut short. */
static size_t
part_size(const uint8_t *at, const uint8_t *end, la_type type)
{
    if (at == end) {
        return 0;
    }
    if (*at == 0) { /* null */
        return 1;
    }
    size_t fixed = type == LA_T_F32 ? 8 : la_type_size(type); /* doubles, both */
    if (fixed != 0 && type != LA_T_CAT) {
        return (size_t)(end - at) >= fixed + 1 ? fixed + 1 : 0;
    }
    for (const uint8_t *p = at + 1; p + 1 < end; p++) {
        if (*p == 0) {
            if (p[1] == 0) {
                return (size_t)(p + 2 - at);
            }
            p++; /* an escaped zero byte */
        }
    }
    return 0;
}

static bool
filter_passes(const la_key_filter *filter, const uint8_t *part, size_t size)
{
    for (uint32_t i = 0; i < filter->value_count; i++) {
        if (filter->values[i].size == size &&
            memcmp(filter->values[i].bytes, part, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool
key_passes(const la_query_spec *spec, const la_plan *plan, const la_buf *key)
{
    const uint8_t *at = key->data, *end = key->data + key->size;
    for (uint32_t k = 0; k < plan->key_count; k++) {
        size_t size = part_size(at, end, plan->keys[k].expr->type);
        if (size == 0) {
            return false;
        }
        for (uint32_t f = 0; f < spec->filter_count; f++) {
            if (spec->filters[f].key == k &&
                !filter_passes(&spec->filters[f], at, size)) {
                return false;
            }
        }
        at += size;
    }
    return true;
}

uint32_t
la_select_groups(const la_query_spec *spec, const la_fold *fold, uint32_t *groups,
                 uint32_t count)
{
    const la_plan *plan = la_fold_plan(fold);
    bool windowed = plan->window.kind != LA_WINDOW_NONE &&
                    (spec->since != INT64_MIN || spec->until != INT64_MAX);
    if (!windowed && spec->filter_count == 0) {
        return count;
    }
    la_buf key;
    la_buf_init(&key, spec->arena.env);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t group = groups[i];
        if (windowed) {
            int64_t start = la_fold_window(fold, group);
            if (start < spec->since || start >= spec->until) {
                continue;
            }
        }
        if (spec->filter_count > 0) {
            la_buf_clear(&key);
            la_fold_key(fold, group, &key);
            if (key.failed || !key_passes(spec, plan, &key)) {
                continue;
            }
        }
        groups[kept++] = group;
    }
    bool failed = key.failed;
    la_buf_fini(&key);
    return failed ? UINT32_MAX : kept;
}
