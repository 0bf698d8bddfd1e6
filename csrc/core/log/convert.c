/* SPDX-License-Identifier: Apache-2.0 */
/* Conversion: columns get the log's types, rows are cut into frames, text becomes
 * codes.
 *
 *   cat -> text, i32 -> i64, f32 -> f64 | cut by rows and plain bytes | text -> codes
 *
 * Invariants
 *  1. A column that has the log's type already is passed on, not copied.
 *  2. A frame's plain bytes fit LA_FRAME_RAW_MAX, unless it is a single row.
 *  3. New dictionary entries stand in the first frame that uses them: dict_marks tells
 *     how many each column has after each frame.
 */
#include "base/error.h"
#include "log/intake.h"

#define ROW_BYTES_MAX (48u << 20)

static la_status
widen(la_intake *in, la_column *column, la_type to, la_error *err)
{
    size_t size = sizeof(uint64_t) * in->rows;
    void *data = la_arena_alloc(&in->arena, size);

    if (data == NULL) {
        return la_fail_nomem(err, size);
    }
    if (to == LA_T_I64) {
        for (uint32_t i = 0; i < in->rows; i++) {
            ((int64_t *)data)[i] = ((const int32_t *)column->data)[i];
        }
    }
    else {
        for (uint32_t i = 0; i < in->rows; i++) {
            ((double *)data)[i] = (double)((const float *)column->data)[i];
        }
    }
    column->data = data;
    column->type = to;
    return LA_OK;
}

/* cat -> text */
static la_status
expand(la_intake *in, uint32_t c, la_type to, la_error *err)
{
    la_column *column = &in->columns[c];
    uint32_t *offsets =
        la_arena_alloc(&in->arena, sizeof(uint32_t) * (in->rows + 1ull));
    uint64_t total = 0;
    char *heap;
    size_t size;

    if (offsets == NULL) {
        return la_fail_nomem(err, sizeof(uint32_t) * (in->rows + 1ull));
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        const char *text = la_column_text(column, i, &size);
        offsets[i] = (uint32_t)total;
        total += text == NULL ? 0 : size;
        if (total > UINT32_MAX) {
            return la_intake_refuse(in, c, "takes more than 4 GiB as text", i, err);
        }
    }
    offsets[in->rows] = (uint32_t)total;
    heap = la_arena_alloc(&in->arena, (size_t)total + 1);
    if (heap == NULL) {
        return la_fail_nomem(err, (size_t)total + 1);
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        const char *text = la_column_text(column, i, &size);
        if (text != NULL && size != 0) {
            memcpy(heap + offsets[i], text, size);
        }
    }
    *column = (la_column){
        .type = to, .data = heap, .offsets = offsets, .valid = column->valid};
    return LA_OK;
}

static la_status
convert_plain(la_intake *in, la_error *err)
{
    for (uint32_t c = 0; c < in->log->column_count; c++) {
        la_type to = la_schema_field(in->log->def.schema, c)->type;
        la_column *column = &in->columns[c];
        la_status status = LA_OK;

        if (column->type == LA_T_CAT && (to == LA_T_STR || to == LA_T_BYTES)) {
            status = expand(in, c, to, err);
        }
        else if (column->type == LA_T_STR && to == LA_T_BYTES) {
            column->type = LA_T_BYTES;
        }
        else if (column->type != to && (to == LA_T_I64 || to == LA_T_F64)) {
            status = widen(in, column, to, err);
        }
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

/* ------------------------------------------------------------ cut into frames */

static uint64_t
plain_bytes(const la_intake *in, uint32_t from, uint32_t rows)
{
    uint64_t bytes = (uint64_t)in->row_bytes * rows;

    for (uint32_t c = 0; c < in->log->column_count; c++) {
        const uint32_t *offsets = in->columns[c].offsets;
        if (offsets != NULL) {
            bytes += offsets[from + rows] - offsets[from];
        }
    }
    if (in->raw != NULL && in->raw->offsets != NULL) {
        bytes += in->raw->offsets[from + rows] - in->raw->offsets[from];
    }
    if (in->reason != NULL && in->reason->offsets != NULL) {
        bytes += in->reason->offsets[from + rows] - in->reason->offsets[from];
    }
    return bytes;
}

static la_status
cut_frames(la_intake *in, la_error *err)
{
    uint32_t capacity = in->rows / LA_FRAME_ROWS_MAX + 2;
    uint32_t from = 0, count = 0;

    in->row_bytes = 0;
    for (uint32_t c = 0; c < in->log->column_count; c++) {
        in->row_bytes += la_type_size(in->columns[c].type);
    }
    in->frames = la_arena_alloc(&in->arena, sizeof *in->frames * capacity);
    while (in->frames != NULL && from < in->rows) {
        uint32_t rows = in->rows - from;

        rows = rows < LA_FRAME_ROWS_MAX ? rows : LA_FRAME_ROWS_MAX;
        while (rows > 1 && plain_bytes(in, from, rows) > LA_FRAME_RAW_MAX) {
            rows /= 2;
        }
        if (rows == 1 && plain_bytes(in, from, 1) > ROW_BYTES_MAX) {
            return la_intake_refuse(in, 0, "stands in a row of more than 48 MiB", from,
                                    err);
        }
        if (count + 2 > capacity) {
            uint32_t *more = la_arena_alloc(&in->arena, sizeof *more * capacity * 2);

            if (more != NULL) {
                memcpy(more, in->frames, sizeof *more * count);
            }
            in->frames = more;
            capacity *= 2;
            if (more == NULL) {
                break;
            }
        }
        in->frames[count++] = from;
        from += rows;
    }
    if (in->frames == NULL) {
        return la_fail_nomem(err, sizeof *in->frames * capacity);
    }
    if (count > LA_SEGMENT_FRAMES_MAX) {
        return la_fail(
            err, LA_INVALID,
            "could not append to log \"%s\": %u rows take more than %u frames",
            in->log->name, in->rows, LA_SEGMENT_FRAMES_MAX);
    }
    in->frames[count] = in->rows;
    in->frame_count = count;
    return LA_OK;
}

/* -------------------------------------------------------------- dictionaries */

/* Codes of the log's dictionary for the rows of one frame. `map`: code -> code for
 * columns with another dictionary, UINT32_MAX = not looked up yet. */
static la_status
encode_rows(const la_intake *in, uint32_t c, uint32_t from, uint32_t to, uint32_t *map,
            uint32_t *codes, la_error *err)
{
    const la_column *column = &in->columns[c];
    la_dict *dict = in->log->dicts[c];

    for (uint32_t i = from; i < to; i++) {
        size_t size;
        const char *text;
        uint32_t given = 0;
        la_status status;

        if (la_column_is_null(column, i)) {
            codes[i] = 0;
            continue;
        }
        if (map != NULL) {
            given = ((const uint32_t *)column->data)[i];
            if (map[given] != UINT32_MAX) {
                codes[i] = map[given];
                continue;
            }
        }
        text = la_column_text(column, i, &size);
        status = la_dict_add(dict, text, size, &codes[i], err);
        if (status != LA_OK) {
            return status;
        }
        if (map != NULL) {
            map[given] = codes[i];
        }
    }
    return LA_OK;
}

static la_status
encode_column(la_intake *in, uint32_t c, la_error *err)
{
    la_column *column = &in->columns[c];
    la_dict *dict = in->log->dicts[c];
    uint32_t *codes = NULL, *map = NULL;
    bool own = column->type == LA_T_CAT && column->dict == dict;

    if (!own) {
        codes = la_arena_alloc(&in->arena, sizeof *codes * in->rows);
        if (codes == NULL) {
            return la_fail_nomem(err, sizeof *codes * in->rows);
        }
    }
    if (!own && column->type == LA_T_CAT) {
        size_t size = sizeof *map * (la_dict_count(column->dict) + 1ull);

        map = la_arena_alloc(&in->arena, size);
        if (map == NULL) {
            return la_fail_nomem(err, size);
        }
        memset(map, 0xff, size);
    }
    for (uint32_t f = 0; f < in->frame_count; f++) {
        if (!own) {
            la_status status =
                encode_rows(in, c, in->frames[f], in->frames[f + 1], map, codes, err);
            if (status != LA_OK) {
                return status;
            }
        }
        in->dict_marks[f * in->log->column_count + c] = la_dict_count(dict);
    }
    if (!own) {
        column->data = codes;
        column->type = LA_T_CAT;
        column->offsets = NULL;
        column->dict = dict;
    }
    return LA_OK;
}

static la_status
encode_cats(la_intake *in, la_error *err)
{
    uint32_t columns = in->log->column_count;
    size_t size = sizeof(uint32_t) * columns * in->frame_count;

    if (!in->log->has_dicts) {
        return LA_OK;
    }
    in->dict_marks = la_arena_alloc(&in->arena, size);
    in->dict_before = la_arena_alloc(&in->arena, sizeof(uint32_t) * columns);
    if (in->dict_marks == NULL || in->dict_before == NULL) {
        in->dict_before = NULL;
        return la_fail_nomem(err, size);
    }
    memset(in->dict_marks, 0, size);
    for (uint32_t c = 0; c < columns; c++) {
        in->dict_before[c] =
            in->log->dicts[c] == NULL ? 0 : la_dict_count(in->log->dicts[c]);
    }
    for (uint32_t c = 0; c < columns; c++) {
        if (in->log->dicts[c] != NULL) {
            la_status status = encode_column(in, c, err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    return LA_OK;
}

la_status
la_intake_convert(la_intake *in, la_error *err)
{
    la_status status = convert_plain(in, err);

    if (status == LA_OK) {
        status = cut_frames(in, err);
    }
    return status == LA_OK ? encode_cats(in, err) : status;
}
