/* SPDX-License-Identifier: Apache-2.0 */
/* Batch groups and speed groups, both in key order, zipped into rows.
 *
 * Only groups that stand on both sides cost a merge of states; all others are finished from
 * where they are. That keeps an answer's cost with the groups it shows, however the rows are
 * split between the layers, and the values the same (law 2).
 */
#include "merge/merge.h"

#include "base/error.h"

/* ------------------------------------------------------------------- zipping */

static la_status
add_row(la_merge *merge, la_merge_row row, la_error *err)
{
    if (merge->count == merge->capacity) {
        uint32_t capacity = merge->capacity < 64 ? 64 : merge->capacity * 2;
        la_merge_row *grown =
            la_realloc(merge->env, merge->rows, merge->capacity * sizeof *grown,
                       capacity * sizeof *grown);
        if (grown == NULL) {
            return la_fail_nomem(err, capacity * sizeof *grown);
        }
        merge->rows = grown;
        merge->capacity = capacity;
    }
    merge->rows[merge->count++] = row;
    return LA_OK;
}

static la_status
add_states(la_fold *into, const la_fold *from, uint32_t group, const la_buf *key,
           la_buf *states, la_error *err)
{
    la_buf_clear(states);
    la_fold_encode(from, group, states);
    if (states->failed) {
        return la_fail_nomem(err, states->size);
    }
    return la_fold_add(into, key->data, key->size, states->data, states->size, err);
}

/* Both sides have the group of `key`: their sum becomes a group of `merged`. */
static la_status
merge_pair(la_merge *merge, la_merge_row *row, const la_buf *key, la_buf *states,
           la_error *err)
{
    la_status status =
        add_states(merge->merged, merge->batch, row->batch, key, states, err);
    if (status == LA_OK) {
        status = add_states(merge->merged, merge->speed, row->speed, key, states, err);
    }
    if (status == LA_OK) {
        row->merged = la_fold_find(merge->merged, key->data, key->size);
        if (row->merged ==
            UINT32_MAX) { /* it is there: the look-up ran out of memory */
            status = la_fail_nomem(err, key->size);
        }
    }
    return status;
}

static int
compare_keys(const la_buf *a, const la_buf *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    int c = n == 0 ? 0 : memcmp(a->data, b->data, n);
    return c != 0 ? c : a->size < b->size ? -1 : a->size > b->size;
}

typedef struct cursor {
    const la_fold *fold;
    const uint32_t *groups;
    uint32_t at, count;
    la_buf key;
    bool want_keys;
} cursor;

static void
cursor_key(cursor *c)
{
    if (c->want_keys && c->at < c->count) {
        la_buf_clear(&c->key);
        la_fold_key(c->fold, c->groups[c->at], &c->key);
    }
}

static la_status
zip(la_merge *merge, cursor *batch, cursor *speed, la_buf *states, la_error *err)
{
    cursor_key(batch);
    cursor_key(speed);
    while (batch->at < batch->count || speed->at < speed->count) {
        if (batch->key.failed || speed->key.failed) {
            return la_fail_nomem(err, batch->key.size);
        }
        int c = batch->at == batch->count   ? 1
                : speed->at == speed->count ? -1
                                            : compare_keys(&batch->key, &speed->key);
        la_merge_row row = {c <= 0 ? batch->groups[batch->at] : UINT32_MAX,
                            c >= 0 ? speed->groups[speed->at] : UINT32_MAX, UINT32_MAX};
        la_status status =
            c == 0 ? merge_pair(merge, &row, &batch->key, states, err) : LA_OK;
        if (status == LA_OK) {
            status = add_row(merge, row, err);
        }
        if (status != LA_OK) {
            return status;
        }
        if (c <= 0) {
            batch->at++;
            cursor_key(batch);
        }
        if (c >= 0) {
            speed->at++;
            cursor_key(speed);
        }
    }
    return LA_OK;
}

la_status
la_merge_init(la_merge *merge, const la_env *env, const la_fold *batch,
              const uint32_t *batch_groups, uint32_t batch_count, const la_fold *speed,
              const uint32_t *speed_groups, uint32_t speed_count,
              const la_merge_shape *shape, la_error *err)
{
    memset(merge, 0, sizeof *merge);
    merge->env = env;
    merge->batch = batch;
    merge->speed = speed;
    bool both = batch_count > 0 && speed_count > 0;
    cursor b = {batch, batch_groups, 0, batch_count, {.env = env}, both};
    cursor s = {speed, speed_groups, 0, speed_count, {.env = env}, both};
    la_buf states;
    la_buf_init(&states, env);
    la_status status = both ? shape->make(shape->ctx, &merge->merged, err) : LA_OK;
    if (status == LA_OK) {
        status = zip(merge, &b, &s, &states, err);
    }
    la_buf_fini(&states);
    la_buf_fini(&b.key);
    la_buf_fini(&s.key);
    if (status != LA_OK) {
        la_merge_fini(merge);
    }
    return status;
}

void
la_merge_fini(la_merge *merge)
{
    if (merge->env != NULL) {
        la_fold_free(merge->merged);
        la_dealloc(merge->env, merge->rows, merge->capacity * sizeof *merge->rows);
    }
    memset(merge, 0, sizeof *merge);
}

const la_fold *
la_merge_source(const la_merge *merge, const la_merge_row *row, uint32_t *group)
{
    if (row->merged != UINT32_MAX) {
        *group = row->merged;
        return merge->merged;
    }
    *group = row->batch != UINT32_MAX ? row->batch : row->speed;
    return row->batch != UINT32_MAX ? merge->batch : merge->speed;
}

/* ----------------------------------------------------------------- finishing */

/* The groups that one fold gives to the result, finished, and where each goes. */
typedef struct share {
    const la_fold *fold;
    uint32_t *groups;
    uint32_t count;
    la_chunk *chunk;
    const uint8_t **overflow;
} share;

enum { SHARE_BATCH, SHARE_SPEED, SHARE_MERGED, SHARE_COUNT };

static uint32_t
share_of(const la_merge_row *row)
{
    return row->merged != UINT32_MAX  ? SHARE_MERGED
           : row->batch != UINT32_MAX ? SHARE_BATCH
                                      : SHARE_SPEED;
}

static la_status
copy_text_column(la_chunk *out, uint32_t column, const share *shares,
                 const uint8_t *share_of_row, uint32_t row_count, la_error *err)
{
    uint64_t size = 0;
    for (uint32_t s = 0; s < SHARE_COUNT; s++) {
        if (shares[s].count > 0) {
            const la_column *from = &shares[s].chunk->columns[column];
            size += from->offsets[shares[s].count] - from->offsets[0];
        }
    }
    if (size > UINT32_MAX) {
        return la_fail(
            err, LA_BUDGET,
            "an answer's text column of %llu bytes is too large: narrow the query",
            (unsigned long long)size);
    }
    char *heap;
    la_status status = la_chunk_heap(out, column, (size_t)size, &heap, err);
    if (status != LA_OK) {
        return status;
    }
    uint32_t *offsets = la_chunk_offsets(out, column);
    uint32_t next[SHARE_COUNT] = {0}, at = 0;
    offsets[0] = 0;
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t s = share_of_row[row], i = next[s]++;
        const la_column *from = &shares[s].chunk->columns[column];
        uint32_t n = from->offsets[i + 1] - from->offsets[i];
        if (n > 0) {
            memcpy(heap + at, (const char *)from->data + from->offsets[i], n);
        }
        at += n;
        offsets[row + 1] = at;
    }
    return LA_OK;
}

static void
copy_fixed_column(la_chunk *out, uint32_t column, const share *shares,
                  const uint8_t *share_of_row, uint32_t row_count)
{
    size_t size = la_type_size(out->columns[column].type);
    char *data = la_chunk_data(out, column);
    uint32_t next[SHARE_COUNT] = {0};
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t s = share_of_row[row];
        const char *from = shares[s].chunk->columns[column].data;
        memcpy(data + row * size, from + next[s]++ * size, size);
    }
}

static void
copy_valid(la_chunk *out, uint32_t column, const share *shares,
           const uint8_t *share_of_row, uint32_t row_count)
{
    uint8_t *valid = la_chunk_valid(out, column);
    if (valid == NULL) {
        return;
    }
    uint32_t next[SHARE_COUNT] = {0};
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t s = share_of_row[row];
        const uint8_t *from = shares[s].chunk->columns[column].valid;
        valid[row] = from == NULL ? 1 : from[next[s]];
        next[s]++;
    }
}

static la_status
copy_overflow(la_chunk *out, uint32_t agg, const share *shares,
              const uint8_t *share_of_row, uint32_t row_count, const uint8_t **overflow,
              la_error *err)
{
    bool any = false;
    for (uint32_t s = 0; s < SHARE_COUNT; s++) {
        any = any || (shares[s].count > 0 && shares[s].overflow[agg] != NULL);
    }
    overflow[agg] = NULL;
    if (!any) {
        return LA_OK;
    }
    void *bytes;
    la_status status = la_chunk_keep(out, row_count, &bytes, err);
    if (status != LA_OK) {
        return status;
    }
    uint32_t next[SHARE_COUNT] = {0};
    for (uint32_t row = 0; row < row_count; row++) {
        uint32_t s = share_of_row[row], i = next[s]++;
        ((uint8_t *)bytes)[row] =
            shares[s].overflow[agg] == NULL ? 0 : shares[s].overflow[agg][i];
    }
    overflow[agg] = bytes;
    return LA_OK;
}

static la_status
assemble(const la_merge *merge, const share *shares, const uint8_t *share_of_row,
         uint32_t row_count, uint32_t agg_count, la_chunk **out,
         const uint8_t **overflow, la_error *err)
{
    const la_schema *schema = la_fold_result_schema(merge->batch);
    la_chunk *chunk;
    la_status status = la_chunk_new(merge->env, schema, row_count, &chunk, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t c = 0; c < chunk->column_count && status == LA_OK; c++) {
        copy_valid(chunk, c, shares, share_of_row, row_count);
        if (la_type_size(chunk->columns[c].type) == 0) {
            status = copy_text_column(chunk, c, shares, share_of_row, row_count, err);
        }
        else {
            copy_fixed_column(chunk, c, shares, share_of_row, row_count);
        }
    }
    for (uint32_t a = 0; a < agg_count && status == LA_OK; a++) {
        status =
            copy_overflow(chunk, a, shares, share_of_row, row_count, overflow, err);
    }
    if (status != LA_OK) {
        la_chunk_free(chunk);
        return status;
    }
    chunk->rows = row_count;
    *out = chunk;
    return LA_OK;
}

static la_status
shares_init(share *shares, const la_merge *merge, uint32_t row_count,
            uint32_t agg_count, la_error *err)
{
    memset(shares, 0, SHARE_COUNT * sizeof *shares);
    shares[SHARE_BATCH].fold = merge->batch;
    shares[SHARE_SPEED].fold = merge->speed;
    shares[SHARE_MERGED].fold = merge->merged;
    for (uint32_t s = 0; s < SHARE_COUNT; s++) {
        shares[s].groups = la_calloc(merge->env, row_count + 1u, sizeof(uint32_t));
        shares[s].overflow = la_calloc(merge->env, agg_count + 1u, sizeof(uint8_t *));
        if (shares[s].groups == NULL || shares[s].overflow == NULL) {
            return la_fail_nomem(err, row_count * sizeof(uint32_t));
        }
    }
    return LA_OK;
}

static void
shares_fini(share *shares, const la_env *env, uint32_t row_count, uint32_t agg_count)
{
    for (uint32_t s = 0; s < SHARE_COUNT; s++) {
        la_chunk_free(shares[s].chunk);
        la_dealloc(env, shares[s].groups, (row_count + 1u) * sizeof(uint32_t));
        la_dealloc(env, shares[s].overflow, (agg_count + 1u) * sizeof(uint8_t *));
    }
}

/* Finishes the shares that have groups; *only is the last of them, *used how many. */
static la_status
finish_shares(share *shares, uint32_t *only, uint32_t *used, la_error *err)
{
    *used = 0;
    *only = SHARE_BATCH; /* also for no groups at all */
    for (uint32_t s = 0; s < SHARE_COUNT; s++) {
        if (shares[s].count > 0) {
            ++*used;
            *only = s;
        }
    }
    la_status status = LA_OK;
    for (uint32_t s = 0; s < SHARE_COUNT && status == LA_OK; s++) {
        if (shares[s].count > 0 || (*used == 0 && s == *only)) {
            status = la_fold_finish(shares[s].fold, shares[s].groups, shares[s].count,
                                    &shares[s].chunk, shares[s].overflow, err);
        }
    }
    return status;
}

la_status
la_merge_finish(const la_merge *merge, const la_merge_row *rows, uint32_t row_count,
                la_chunk **out, const uint8_t **overflow, la_error *err)
{
    uint32_t agg_count = la_fold_plan(merge->batch)->agg_count, only, used;
    share shares[SHARE_COUNT];
    const la_env *env = merge->env;
    la_status status = shares_init(shares, merge, row_count, agg_count, err);
    uint8_t *share_of_row = la_calloc(env, row_count + 1u, 1);
    if (status == LA_OK && share_of_row == NULL) {
        status = la_fail_nomem(err, row_count);
    }
    for (uint32_t i = 0; i < row_count && status == LA_OK; i++) {
        uint32_t group, s = share_of(&rows[i]);
        (void)la_merge_source(merge, &rows[i], &group);
        share_of_row[i] = (uint8_t)s;
        shares[s].groups[shares[s].count++] = group;
    }
    if (status == LA_OK) {
        status = finish_shares(shares, &only, &used, err);
    }
    if (status == LA_OK && used <= 1) { /* all rows from one fold: they are in order */
        *out = shares[only].chunk;
        memcpy(overflow, shares[only].overflow, agg_count * sizeof *overflow);
        shares[only].chunk = NULL;
    }
    else if (status == LA_OK) {
        status = assemble(merge, shares, share_of_row, row_count, agg_count, out,
                          overflow, err);
    }
    shares_fini(shares, env, row_count, agg_count);
    la_dealloc(env, share_of_row, row_count + 1u);
    return status;
}
