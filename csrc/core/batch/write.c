/* SPDX-License-Identifier: Apache-2.0 */
/* States become partition files.
 *
 * A full run writes every partition; those whose content did not change turn out to have the
 * name of a file that is there already. An incremental run writes one delta file, whatever
 * number of partitions it touches, until deltas hold more than a quarter of the groups or
 * there are LA_DELTAS_MAX of them; then the touched partitions are rewritten.
 *
 * Invariant: a partition's `groups` and `content` are those of base and deltas merged, so that
 * a full and an incremental run over the same rows agree in every number.
 */
#include <stdlib.h>

#include "base/error.h"
#include "batch/run.h"

/* Groups of a partition without windows, at most on average; and 2^8 buckets at most. */
#define BUCKET_GROUPS_MAX 65536u
#define BUCKET_BITS_MAX 8u

/* Groups of a fold by partition, in key order within each. */
typedef struct placed {
    int64_t partition;
    uint32_t rank;
    uint32_t group;
} placed;

static int
compare_placed(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->partition != y->partition) {
        return x->partition < y->partition ? -1 : 1;
    }
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static bool
place_is_sorted(const placed *places, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (places[i - 1].partition > places[i].partition) {
            return false;
        }
    }
    return true;
}

/* `places` and `order` have room for every group. */
static la_status
place_groups(const la_env *env, const la_fold *fold, uint32_t bucket_bits,
             placed *places, uint32_t *order, la_error *err)
{
    uint32_t count = la_fold_group_count(fold);
    const la_window *window = &la_fold_plan(fold)->window;
    la_status status = la_fold_sorted(fold, order, err);
    la_buf key;
    la_buf_init(&key, env);
    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        places[i].rank = i;
        places[i].group = order[i];
        if (window->kind != LA_WINDOW_NONE) {
            places[i].partition =
                la_partition_of_window(window, la_fold_window(fold, order[i]));
            continue;
        }
        la_buf_clear(&key);
        la_fold_key(fold, order[i], &key);
        places[i].partition = la_partition_of_key(key.data, key.size, bucket_bits);
        status = key.failed ? la_fail_nomem(err, key.size) : LA_OK;
    }
    la_buf_fini(&key);
    if (status == LA_OK && !place_is_sorted(places, count)) {
        qsort(places, count, sizeof *places, compare_placed);
    }
    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        order[i] = places[i].group;
    }
    return status;
}

/* Memory for placing the groups of one fold. */
typedef struct placing {
    const la_env *env;
    size_t count;
    placed *places; /* count + 1 of them */
    uint32_t *order;
} placing;

static void
placing_fini(placing *p)
{
    if (p->env != NULL) {
        la_dealloc(p->env, p->places, (p->count + 1) * sizeof *p->places);
        la_dealloc(p->env, p->order, (p->count + 1) * sizeof *p->order);
    }
}

static la_status
placing_init(placing *p, const la_env *env, const la_fold *fold, uint32_t bucket_bits,
             la_error *err)
{
    p->env = env;
    p->count = la_fold_group_count(fold);
    p->places = la_alloc(env, (p->count + 1) * sizeof *p->places);
    p->order = la_alloc(env, (p->count + 1) * sizeof *p->order);
    if (p->places == NULL || p->order == NULL) {
        return la_fail_nomem(err, p->count * sizeof *p->places);
    }
    return place_groups(env, fold, bucket_bits, p->places, p->order, err);
}

/* End of the run of groups of one partition that begins at `from`. */
static uint32_t
partition_run(const placing *p, uint32_t from)
{
    uint32_t to = from + 1;
    while (to < p->count && p->places[to].partition == p->places[from].partition) {
        to++;
    }
    return to;
}

/* Writes the placed groups; with `only`, just partitions that stand in it. */
static la_status
write_partitions(la_codec *codec, const char *folder, const la_fold *fold,
                 const placing *p, const la_version_list *only, la_version_list *list,
                 la_error *err)
{
    for (uint32_t from = 0, to; from < p->count; from = to) {
        to = partition_run(p, from);
        int64_t id = p->places[from].partition;
        if (only != NULL && la_version_list_find(only, id) == NULL) {
            continue;
        }
        la_partition *partition = la_version_list_add(list, id);
        if (partition == NULL) {
            return la_fail_nomem(err, sizeof *partition);
        }
        la_status status =
            la_partfile_write(p->env, codec, folder, fold, p->order + from, to - from,
                              &partition->base, &partition->content, err);
        if (status != LA_OK) {
            return status;
        }
        partition->groups = to - from;
    }
    return LA_OK;
}

static uint32_t
choose_bucket_bits(uint32_t groups)
{
    uint32_t bits = 0;
    while (bits < BUCKET_BITS_MAX && (groups >> bits) > BUCKET_GROUPS_MAX) {
        bits++;
    }
    return bits;
}

la_status
la_write_full(const la_env *env, la_codec *codec, const char *folder,
              const la_fold *fold, la_version_list *list, la_error *err)
{
    list->bucket_bits = choose_bucket_bits(la_fold_group_count(fold));
    placing p = {0};
    la_status status = placing_init(&p, env, fold, list->bucket_bits, err);
    if (status == LA_OK) {
        status = write_partitions(codec, folder, fold, &p, NULL, list, err);
    }
    placing_fini(&p);
    return status;
}

/* ---------------------------------------------------------------- incremental */

static la_status
copy_partitions(const la_version_list *from, la_version_list *to, la_error *err)
{
    to->bucket_bits = from->bucket_bits;
    for (uint32_t i = 0; i < from->partition_count; i++) {
        la_partition *p = la_version_list_add(to, from->partitions[i].id);
        if (p == NULL) {
            return la_fail_nomem(err, sizeof *p);
        }
        *p = from->partitions[i];
    }
    return LA_OK;
}

/* Adds the partitions of the placed groups to `set`. */
static la_status
add_touched(const placing *p, la_version_list *set, la_error *err)
{
    for (uint32_t from = 0; from < p->count; from = partition_run(p, from)) {
        if (la_version_list_add(set, p->places[from].partition) == NULL) {
            return la_fail_nomem(err, sizeof(la_partition));
        }
    }
    return LA_OK;
}

/* Everything an incremental run needs to hold. */
typedef struct increment {
    const la_env *env;
    la_codec *codec;
    const char *folder;
    const la_fold *delta;
    const la_version_list *previous;
    la_fold *deltas; /* states of the previous version's delta files */
    la_fold *all;    /* states of touched partitions: base, deltas, this delta */
    placing delta_places;
    la_version_list touched; /* partitions to look into, a set */
    bool compact;
} increment;

/* ---- what was there */

static la_status
load_deltas(increment *inc, uint64_t memory_max, la_error *err)
{
    const la_version_list *previous = inc->previous;
    la_status status =
        la_fold_new(la_fold_plan(inc->delta), memory_max, &inc->deltas, err);
    uint64_t delta_groups = la_fold_group_count(inc->delta);
    for (uint32_t i = 0; i < previous->delta_count && status == LA_OK; i++) {
        delta_groups += previous->deltas[i].groups;
        status = la_partfile_load(inc->env, inc->folder, &previous->deltas[i],
                                  inc->deltas, err);
    }
    inc->compact = previous->delta_count == LA_DELTAS_MAX ||
                   delta_groups > la_version_list_groups(previous) / 4;
    return status;
}

/* The new delta's partitions; when all deltas go into their bases, those of the old ones too. */
static la_status
find_touched(increment *inc, la_error *err)
{
    la_status status = add_touched(&inc->delta_places, &inc->touched, err);
    if (status == LA_OK && inc->compact) {
        placing old = {0};
        status =
            placing_init(&old, inc->env, inc->deltas, inc->previous->bucket_bits, err);
        if (status == LA_OK) {
            status = add_touched(&old, &inc->touched, err);
        }
        placing_fini(&old);
    }
    return status;
}

static la_status
load_touched(increment *inc, uint64_t memory_max, la_error *err)
{
    la_status status =
        la_fold_new(la_fold_plan(inc->delta), memory_max, &inc->all, err);
    for (uint32_t i = 0; i < inc->touched.partition_count && status == LA_OK; i++) {
        const la_partition *p =
            la_version_list_find(inc->previous, inc->touched.partitions[i].id);
        if (p != NULL && p->base.name[0] != '\0') {
            status = la_partfile_load(inc->env, inc->folder, &p->base, inc->all, err);
        }
    }
    return status == LA_OK ? la_fold_merge(inc->all, inc->deltas, err) : status;
}

/* ---- what is new */

/* Subtracts (before merging) or adds (after) the content of the delta's groups, as `all` has
 * them, to their partitions. *new_groups: those that `all` does not have. */
static la_status
account(const increment *inc, bool before, la_version_list *list, uint32_t *new_groups,
        la_error *err)
{
    const placing *places = &inc->delta_places;
    la_buf key, scratch;
    la_buf_init(&key, inc->env);
    la_buf_init(&scratch, inc->env);
    bool failed = false;
    *new_groups = 0;
    for (uint32_t i = 0; i < places->count && !failed; i++) {
        la_buf_clear(&key);
        la_fold_key(inc->delta, places->order[i], &key);
        la_partition *p = la_version_list_add(list, places->places[i].partition);
        uint32_t group =
            key.failed ? UINT32_MAX : la_fold_find(inc->all, key.data, key.size);
        if (p != NULL && group != UINT32_MAX) {
            la_hash128 hash = la_partfile_hash(&scratch, inc->all, group);
            p->content = before ? la_hash128_sub(p->content, hash)
                                : la_hash128_add(p->content, hash);
        }
        else if (p != NULL) {
            p->groups++;
            ++*new_groups;
        }
        failed = p == NULL || key.failed || scratch.failed;
    }
    la_buf_fini(&key);
    la_buf_fini(&scratch);
    return failed ? la_fail_nomem(err, places->count) : LA_OK;
}

/* all = all + delta, and the numbers of the partitions with it. */
static la_status
merge_delta(increment *inc, la_version_list *list, la_error *err)
{
    uint32_t added, missing = 0, count = la_fold_group_count(inc->all);
    la_status status = account(inc, true, list, &added, err);
    if (status == LA_OK) {
        status = la_fold_merge(inc->all, inc->delta, err);
    }
    if (status == LA_OK) {
        status = account(inc, false, list, &missing, err);
    }
    /* A look-up that runs out of memory finds nothing, and is seen here. */
    if (status == LA_OK &&
        (missing > 0 || la_fold_group_count(inc->all) - count != added)) {
        status = la_fail_nomem(err, inc->delta_places.count);
    }
    return status;
}

/* Rewrites every touched partition. What comes out must be what the numbers say. */
static la_status
write_compacted(increment *inc, la_version_list *list, la_error *err)
{
    la_hash128 expected = la_version_list_content(list);
    placing p = {0};
    la_status status = placing_init(&p, inc->env, inc->all, list->bucket_bits, err);
    if (status == LA_OK) {
        status = write_partitions(inc->codec, inc->folder, inc->all, &p, &inc->touched,
                                  list, err);
    }
    placing_fini(&p);
    la_hash128 found = la_version_list_content(list);
    if (status == LA_OK && (found.lo != expected.lo || found.hi != expected.hi)) {
        status = la_fail_damaged(
            err, inc->folder, 0,
            "could not merge deltas in \"%s\": the states are not those "
            "that the version list describes",
            inc->folder);
    }
    return status;
}

/* The delta as a file of its own, in key order over all partitions. */
static la_status
write_delta(increment *inc, la_version_list *list, la_error *err)
{
    memcpy(list->deltas, inc->previous->deltas, sizeof list->deltas);
    list->delta_count = inc->previous->delta_count;
    if (inc->delta_places.count == 0) {
        return LA_OK; /* all new rows were set aside */
    }
    la_hash128 ignored;
    uint32_t *order = inc->delta_places.order;
    la_status status = la_fold_sorted(inc->delta, order, err);
    if (status == LA_OK) {
        status = la_partfile_write(inc->env, inc->codec, inc->folder, inc->delta, order,
                                   (uint32_t)inc->delta_places.count,
                                   &list->deltas[list->delta_count], &ignored, err);
        list->delta_count += status == LA_OK;
    }
    return status;
}

static la_status
write_increment(increment *inc, la_version_list *list, la_error *err)
{
    la_status status = copy_partitions(inc->previous, list, err);
    if (status == LA_OK) {
        status = merge_delta(inc, list, err);
    }
    if (status != LA_OK) {
        return status;
    }
    return inc->compact ? write_compacted(inc, list, err) : write_delta(inc, list, err);
}

la_status
la_write_incremental(const la_env *env, la_codec *codec, const char *folder,
                     const la_fold *delta, const la_version_list *previous,
                     uint64_t memory_max, la_version_list *list, la_error *err)
{
    increment inc = {.env = env,
                     .codec = codec,
                     .folder = folder,
                     .delta = delta,
                     .previous = previous};
    la_version_list_init(&inc.touched, env);
    la_status status =
        placing_init(&inc.delta_places, env, delta, previous->bucket_bits, err);
    if (status == LA_OK) {
        status = load_deltas(&inc, memory_max, err);
    }
    if (status == LA_OK) {
        status = find_touched(&inc, err);
    }
    if (status == LA_OK) {
        status = load_touched(&inc, memory_max, err);
    }
    if (status == LA_OK) {
        status = write_increment(&inc, list, err);
    }
    la_fold_free(inc.deltas);
    la_fold_free(inc.all);
    placing_fini(&inc.delta_places);
    la_version_list_fini(&inc.touched);
    return status;
}
