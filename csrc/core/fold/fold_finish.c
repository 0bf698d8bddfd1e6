/* SPDX-License-Identifier: Apache-2.0 */
/* Finished columns of groups: keys, windows, aggregates. */
#include "base/error.h"
#include "fold/fold_types.h"
#include "fold/kernel.h"
#include "fold/scalar.h"

#define NO_GROUP UINT32_MAX

typedef struct finishing {
    const la_fold *fold;
    const uint32_t *groups; /* NULL: all */
    uint32_t count;
    la_chunk *chunk;
    la_buf heap; /* of the text column being written */
} finishing;

static uint32_t
group_at(const finishing *f, uint32_t row)
{
    return f->groups != NULL ? f->groups[row] : row;
}

/* The column's null bytes, made where the schema promises none but some row has no
 * group. */
static la_status
column_valid(finishing *f, uint32_t column, uint8_t **valid, la_error *err)
{
    *valid = la_chunk_valid(f->chunk, column);
    bool missing = false;

    for (uint32_t i = 0; *valid == NULL && !missing && i < f->count; i++) {
        missing = group_at(f, i) == NO_GROUP;
    }
    if (missing) {
        void *made;
        la_status status = la_chunk_keep(f->chunk, f->count, &made, err);
        if (status != LA_OK) {
            return status;
        }
        memset(made, 1, f->count);
        f->chunk->columns[column].valid = made;
        *valid = made;
    }
    return LA_OK;
}

/* Hands the heap over to a text column. */
static la_status
close_text(finishing *f, uint32_t column, la_error *err)
{
    char *to;

    if (f->heap.failed) {
        return la_fail_nomem(err, f->heap.size);
    }
    if (f->heap.size > UINT32_MAX) {
        return la_fail(
            err, LA_BUDGET,
            "could not finish column \"%s\": its texts take %zu bytes, at most "
            "4 GiB fit one answer",
            la_schema_field(f->chunk->schema, column)->name, f->heap.size);
    }
    la_status status = la_chunk_heap(f->chunk, column, f->heap.size, &to, err);
    if (status == LA_OK && f->heap.size > 0) {
        memcpy(to, f->heap.data, f->heap.size);
    }
    return status;
}

static la_status
finish_key(finishing *f, uint32_t k, uint32_t column, la_error *err)
{
    const la_groups *groups = &f->fold->groups;
    const la_group_part *part = &groups->parts[k];
    void *data = la_chunk_data(f->chunk, column);
    uint32_t *offsets = part->text ? la_chunk_offsets(f->chunk, column) : NULL;
    uint8_t *valid;
    la_status status = column_valid(f, column, &valid, err);

    if (status != LA_OK) {
        return status;
    }
    la_buf_clear(&f->heap);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t group = group_at(f, i);
        const uint64_t *row = group == NO_GROUP ? NULL : la_groups_row(groups, group);
        bool null = row == NULL || (la_groups_null_bits(groups, row) >> k & 1) != 0;
        if (valid != NULL) {
            valid[i] = !null;
        }
        if (!part->text) {
            la_word_finish(f->fold->key_types[k], null ? 0 : row[k], i, data);
            continue;
        }
        if (!null) {
            const la_intern_text *text = &part->intern.texts[row[k]];
            la_buf_put(&f->heap, text->at, text->size);
        }
        offsets[i + 1] = (uint32_t)f->heap.size;
    }
    return part->text ? close_text(f, column, err) : LA_OK;
}

static la_status
finish_windows(finishing *f, uint32_t column, la_error *err)
{
    int64_t *starts = la_chunk_data(f->chunk, column);
    int64_t *ends = la_chunk_data(f->chunk, column + 1);
    uint8_t *valid_start, *valid_end;
    la_status status = column_valid(f, column, &valid_start, err);

    if (status == LA_OK) {
        status = column_valid(f, column + 1, &valid_end, err);
    }
    for (uint32_t i = 0; i < f->count && status == LA_OK; i++) {
        uint32_t group = group_at(f, i);
        bool null = group == NO_GROUP;
        starts[i] = null ? 0 : la_fold_window(f->fold, group);
        ends[i] = null ? 0 : la_window_end(&f->fold->axis.window, starts[i]);
        if (valid_start != NULL) {
            valid_start[i] = !null;
        }
        if (valid_end != NULL) {
            valid_end[i] = !null;
        }
    }
    return status;
}

static la_status
finish_agg(finishing *f, uint32_t a, uint32_t column, const uint8_t **overflow,
           la_error *err)
{
    const la_fold_agg *agg = &f->fold->aggs[a];
    bool text = la_type_is_text(la_schema_field(f->chunk->schema, column)->type);
    void *data = la_chunk_data(f->chunk, column);
    uint32_t *offsets = text ? la_chunk_offsets(f->chunk, column) : NULL;
    uint8_t *valid;
    void *marks = NULL;
    la_status status = column_valid(f, column, &valid, err);

    if (status == LA_OK && overflow != NULL && agg->kind->exact != NULL) {
        status = la_chunk_keep(f->chunk, f->count, &marks, err);
        if (status == LA_OK) {
            memset(marks, 0, f->count);
        }
    }
    la_buf_clear(&f->heap);
    for (uint32_t i = 0; i < f->count && status == LA_OK; i++) {
        uint32_t group = group_at(f, i);
        if (group == NO_GROUP) {
            valid[i] = 0;
            if (!text) {
                size_t size = la_type_size(f->chunk->columns[column].type);
                memset((char *)data + i * size, 0, size);
            }
        }
        else {
            status = agg->kind->finish(&agg->context, la_fold_state(f->fold, a, group),
                                       i, data, valid, marks, &f->heap, err);
        }
        if (text) {
            offsets[i + 1] = (uint32_t)f->heap.size;
        }
    }
    if (overflow != NULL) {
        *overflow = marks != NULL && memchr(marks, 1, f->count) != NULL ? marks : NULL;
    }
    return status == LA_OK && text ? close_text(f, column, err) : status;
}

la_status
la_fold_finish(const la_fold *fold, const uint32_t *groups, uint32_t count,
               la_chunk **out, const uint8_t **overflow, la_error *err)
{
    finishing f = {.fold = fold, .groups = groups, .count = count};
    uint32_t column = fold->key_count;

    la_buf_init(&f.heap, fold->env);
    la_status status =
        la_chunk_new(fold->env, fold->result_schema, count, &f.chunk, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t k = 0; k < fold->key_count && status == LA_OK; k++) {
        status = finish_key(&f, k, k, err);
    }
    if (status == LA_OK && fold->windowed) {
        status = finish_windows(&f, column, err);
        column += 2;
    }
    for (uint32_t a = 0; a < fold->agg_count && status == LA_OK; a++) {
        status =
            finish_agg(&f, a, column + a, overflow != NULL ? &overflow[a] : NULL, err);
    }
    la_buf_fini(&f.heap);
    if (status != LA_OK) {
        la_chunk_free(f.chunk);
        return status;
    }
    *out = f.chunk;
    return LA_OK;
}
