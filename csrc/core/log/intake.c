/* SPDX-License-Identifier: Apache-2.0 */
/* Intake: from what the caller gives to what frames hold.
 *
 *   types agree? -> row flaws (null, text, range) -> convert.c -> checks -> verdicts
 *
 * Invariants
 *  1. A row's flaw is the first in this order: the caller's mark, then columns in
 *     order, then checks in order. It depends on the chunk and the spec alone.
 *  2. Columns that need nothing are passed on as they are; nothing of them is copied.
 *  3. Cells that no stored type can hold (text that is no UTF-8, out of range) become
 *     null, and only in rows that are quarantined.
 */
#include "log/intake.h"

#include <stdio.h>

#include "base/error.h"
#include "chunk/utf8.h"
#include "expr/program.h"

/* A flaw: kind in the low byte, column or check above it. */
enum {
    FLAW_CALLER = 1,
    FLAW_NULL,
    FLAW_TIME,
    FLAW_UTF8,
    FLAW_RANGE,
    FLAW_CHECK,
    FLAW_CHECK_FAILED
};
#define FLAW(kind, which) ((uint32_t)(kind) | (uint32_t)(which) << 8)

#define DECIMAL_LIMIT INT64_C(1000000000000000000)

static la_status
need(void *p, size_t size, la_error *err)
{
    return p == NULL ? la_fail_nomem(err, size) : LA_OK;
}

/* --------------------------------------------------------------------- flaws */

static la_status
flaw_array(la_intake *in, la_error *err)
{
    if (in->flaws == NULL) {
        size_t size = sizeof *in->flaws * in->rows;

        in->flaws = la_arena_alloc(&in->arena, size);
        if (in->flaws == NULL) {
            return la_fail_nomem(err, size);
        }
        memset(in->flaws, 0, size);
    }
    return LA_OK;
}

static la_status
set_flaw(la_intake *in, uint32_t row, uint32_t flaw, la_error *err)
{
    la_status status = flaw_array(in, err);

    if (status == LA_OK && in->flaws[row] == 0) {
        in->flaws[row] = flaw;
    }
    return status;
}

static void
describe_flaw(const la_intake *in, uint32_t flaw, char *text, size_t size)
{
    uint32_t which = flaw >> 8;
    const la_field *field = NULL;

    if ((flaw & 255) <= FLAW_RANGE && (flaw & 255) != FLAW_CALLER) {
        field = la_schema_field(in->log->def.schema, which);
    }
    switch (flaw & 255) {
    case FLAW_NULL:
        snprintf(text, size, "column \"%.128s\" is null, but not nullable",
                 field->name);
        break;
    case FLAW_TIME:
        snprintf(text, size, "event time \"%.128s\" is null", field->name);
        break;
    case FLAW_UTF8:
        snprintf(text, size, "column \"%.128s\" is no valid UTF-8", field->name);
        break;
    case FLAW_RANGE:
        snprintf(text, size, "column \"%.128s\" is out of its type's range",
                 field->name);
        break;
    case FLAW_CHECK:
        snprintf(text, size, "check %u is not met: %.200s", which,
                 in->log->def.check_texts[which]);
        break;
    case FLAW_CHECK_FAILED:
        snprintf(text, size, "check %u cannot be computed: %.200s", which,
                 in->log->def.check_texts[which]);
        break;
    default:
        snprintf(text, size, "it could not be converted");
        break;
    }
}

void
la_intake_reason(const la_intake *in, uint32_t row, la_buf *to)
{
    char text[400];
    size_t size;

    if ((in->flaws[row] & 255) == FLAW_CALLER && in->reason != NULL) {
        const char *given = la_column_text(in->reason, row, &size);
        if (given != NULL && la_utf8_is_valid(given, size)) {
            la_buf_put(to, given, size);
            return;
        }
    }
    describe_flaw(in, in->flaws[row], text, sizeof text);
    la_buf_text(to, text);
}

void
la_intake_raw(const la_intake *in, uint32_t row, la_buf *to, bool *null)
{
    const char *text = NULL;
    size_t size = 0;

    if (in->raw != NULL) {
        text = la_column_text(in->raw, row, &size);
    }
    else if ((in->flaws[row] & 255) == FLAW_UTF8) {
        /* The cell itself would be lost otherwise. */
        text = la_column_text(&in->chunk->columns[in->flaws[row] >> 8], row, &size);
    }
    *null = text == NULL;
    if (text != NULL) {
        la_buf_put(to, text, size);
    }
}

/* The first bad row fails the call. */
static la_status
raise_first(const la_intake *in, la_error *err)
{
    char why[400], value[LA_QUOTE_BYTES] = "";
    uint32_t row = 0, flaw;
    la_status status;

    while (in->flaws[row] == 0) {
        row++;
    }
    flaw = in->flaws[row];
    if ((flaw & 255) == FLAW_CALLER) {
        la_buf text;

        la_buf_init(&text, in->log->env);
        la_intake_reason(in, row, &text);
        snprintf(why, sizeof why, "%.*s", text.failed ? 0 : (int)text.size,
                 text.data == NULL ? "" : (const char *)text.data);
        la_buf_fini(&text);
    }
    else {
        describe_flaw(in, flaw, why, sizeof why);
    }
    if ((flaw & 255) == FLAW_UTF8) {
        size_t size = 0;
        const char *text = la_column_text(&in->chunk->columns[flaw >> 8], row, &size);
        if (text != NULL) {
            la_quote(value, text, size);
        }
    }
    status = la_fail(
        err,
        (flaw & 255) == FLAW_NULL || (flaw & 255) == FLAW_TIME ? LA_TYPE : LA_INVALID,
        "could not append to log \"%s\": row %u: %s%s%s", in->log->name, row, why,
        value[0] == 0 ? "" : ": ", value);
    la_error_hint(
        err, "correct the row, or append with on_bad='quarantine' to keep it aside");
    if (err != NULL) {
        err->position = row;
    }
    return status;
}

/* ------------------------------------------------------------------- columns */

static bool
converts(const la_column *from, const la_field *to)
{
    if (from->type == to->type) {
        return to->type != LA_T_DECIMAL || from->scale == to->scale;
    }
    switch (to->type) {
    case LA_T_CAT:
        return from->type == LA_T_STR;
    case LA_T_STR:
        return from->type == LA_T_CAT;
    case LA_T_BYTES:
        return from->type == LA_T_STR || from->type == LA_T_CAT;
    case LA_T_I64:
        return from->type == LA_T_I32;
    case LA_T_F64:
        return from->type == LA_T_F32;
    default:
        return false;
    }
}

static la_status
check_type(const la_intake *in, uint32_t c, la_error *err)
{
    const la_field *field = la_schema_field(in->log->def.schema, c);
    const la_column *column = &in->chunk->columns[c];
    char has[64], wants[64];

    if (converts(column, field)) {
        return LA_OK;
    }
    la_type_text(column->type, column->scale, has, sizeof has);
    la_type_text(field->type, field->scale, wants, sizeof wants);
    return la_fail(
        err, LA_TYPE,
        "could not append to log \"%s\": column \"%s\" is %s, but was given as %s",
        in->log->name, field->name, wants, has);
}

la_status
la_intake_refuse(const la_intake *in, uint32_t c, const char *what, uint32_t row,
                 la_error *err)
{
    la_status status = la_fail(
        err, LA_INVALID, "could not append to log \"%s\": column \"%s\" %s at row %u",
        in->log->name, la_schema_field(in->log->def.schema, c)->name, what, row);
    if (err != NULL) {
        err->position = row;
    }
    return status;
}

static la_status
check_nulls(la_intake *in, uint32_t c, la_error *err)
{
    const la_field *field = la_schema_field(in->log->def.schema, c);
    const la_column *column = &in->chunk->columns[c];
    bool time = (int32_t)c == in->log->def.time_column;

    if (column->valid == NULL || (field->nullable && !time)) {
        return LA_OK;
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        if (column->valid[i] == 0) {
            la_status status =
                set_flaw(in, i, FLAW(time ? FLAW_TIME : FLAW_NULL, c), err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    return LA_OK;
}

/* A null cell where the mask must become our own: given masks are never written to. */
static la_status
null_cell(la_intake *in, la_column *column, uint32_t row, la_error *err)
{
    uint8_t *own = la_arena_alloc(&in->arena, in->rows);

    if (own == NULL) {
        return la_fail_nomem(err, in->rows);
    }
    if (column->valid == NULL) {
        memset(own, 1, in->rows);
    }
    else {
        memcpy(own, column->valid, in->rows);
    }
    own[row] = 0;
    column->valid = own;
    return LA_OK;
}

/* Marks the row and takes the cell out. `*owned`: the mask is ours already. */
static la_status
refuse_cell(la_intake *in, uint32_t c, uint32_t row, int kind, bool *owned,
            la_error *err)
{
    la_column *column = &in->columns[c];
    la_status status = set_flaw(in, row, FLAW(kind, c), err);

    if (status != LA_OK) {
        return status;
    }
    if (!*owned) {
        *owned = true;
        return null_cell(in, column, row, err);
    }
    ((uint8_t *)(uintptr_t)column->valid)[row] = 0;
    return LA_OK;
}

static bool
is_ascii(const uint8_t *at, size_t size)
{
    uint64_t any = 0;

    while (size >= 8) {
        any |= la_load_u64(at);
        at += 8;
        size -= 8;
    }
    while (size > 0) {
        any |= *at++;
        size--;
    }
    return (any & 0x8080808080808080u) == 0;
}

static la_status
check_text(la_intake *in, uint32_t c, bool *owned, la_error *err)
{
    const la_column *column = &in->chunk->columns[c];
    const char *heap = column->data;
    const uint32_t *offsets = column->offsets;
    bool utf8 = column->type == LA_T_STR &&
                la_schema_field(in->log->def.schema, c)->type != LA_T_BYTES;

    for (uint32_t i = 0; i < in->rows; i++) {
        if (offsets[i + 1] < offsets[i]) {
            return la_intake_refuse(in, c, "has offsets that fall", i, err);
        }
        if (offsets[i + 1] - offsets[i] > LA_VALUE_BYTES_MAX) {
            return la_intake_refuse(in, c, "has a value of more than 16 MiB", i, err);
        }
    }
    if (!utf8 || offsets[in->rows] == offsets[0] ||
        is_ascii((const uint8_t *)heap + offsets[0], offsets[in->rows] - offsets[0])) {
        return LA_OK;
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        size_t size = offsets[i + 1] - offsets[i];

        if (!la_column_is_null(column, i) && size != 0 &&
            !la_utf8_is_valid(heap + offsets[i], size)) {
            la_status status = refuse_cell(in, c, i, FLAW_UTF8, owned, err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    return LA_OK;
}

static la_status
check_codes(const la_intake *in, uint32_t c, la_error *err)
{
    const la_column *column = &in->chunk->columns[c];
    const uint32_t *codes = column->data;
    uint32_t count, top = 0;

    if (column->dict == NULL) {
        return la_intake_refuse(in, c, "has codes without a dictionary", 0, err);
    }
    count = la_dict_count(column->dict);
    for (uint32_t i = 0; i < in->rows; i++) {
        top = codes[i] > top ? codes[i] : top;
    }
    for (uint32_t i = 0; top >= count && i < in->rows; i++) {
        if (codes[i] >= count && !la_column_is_null(column, i)) {
            return la_intake_refuse(in, c, "has a code that is not in its dictionary",
                                    i, err);
        }
    }
    return LA_OK;
}

static la_status
check_range(la_intake *in, uint32_t c, bool *owned, la_error *err)
{
    const la_column *column = &in->chunk->columns[c];
    la_status status = LA_OK;

    if (column->type == LA_T_BOOL) {
        const uint8_t *values = column->data;
        for (uint32_t i = 0; i < in->rows && status == LA_OK; i++) {
            if (values[i] > 1 && !la_column_is_null(column, i)) {
                status = refuse_cell(in, c, i, FLAW_RANGE, owned, err);
            }
        }
    }
    else if (column->type == LA_T_DECIMAL) {
        const int64_t *values = column->data;
        for (uint32_t i = 0; i < in->rows && status == LA_OK; i++) {
            if ((values[i] >= DECIMAL_LIMIT || values[i] <= -DECIMAL_LIMIT) &&
                !la_column_is_null(column, i)) {
                status = refuse_cell(in, c, i, FLAW_RANGE, owned, err);
            }
        }
    }
    return status;
}

/* A mask of other bytes than 0 and 1 would not come back as it was hashed. */
static la_status
clean_mask(la_intake *in, uint32_t c, bool *owned, la_error *err)
{
    la_column *column = &in->columns[c];
    uint8_t any = 0;
    uint8_t *own;

    for (uint32_t i = 0; column->valid != NULL && i < in->rows; i++) {
        any |= column->valid[i];
    }
    if (any <= 1) {
        return LA_OK;
    }
    own = la_arena_alloc(&in->arena, in->rows);
    if (own == NULL) {
        return la_fail_nomem(err, in->rows);
    }
    for (uint32_t i = 0; i < in->rows; i++) {
        own[i] = column->valid[i] != 0;
    }
    column->valid = own;
    *owned = true;
    return LA_OK;
}

static la_status
check_columns(la_intake *in, la_error *err)
{
    for (uint32_t c = 0; c < in->log->column_count; c++) {
        const la_column *column = &in->chunk->columns[c];
        bool owned = false;
        la_status status = check_type(in, c, err);

        in->columns[c] = *column;
        if (status == LA_OK) {
            status = clean_mask(in, c, &owned, err);
        }
        if (status == LA_OK) {
            status = check_nulls(in, c, err);
        }
        if (status == LA_OK && column->type == LA_T_CAT) {
            status = check_codes(in, c, err);
        }
        else if (status == LA_OK &&
                 (column->type == LA_T_STR || column->type == LA_T_BYTES)) {
            status = check_text(in, c, &owned, err);
        }
        else if (status == LA_OK) {
            status = check_range(in, c, &owned, err);
        }
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

/* -------------------------------------------------------------------- checks */

static la_status
check_slice(la_intake *in, const la_chunk *slice, uint32_t from, la_vec *out,
            uint8_t *failed, la_error *err)
{
    la_status status;

    memset(failed, 0, slice->rows);
    status = la_program_run(in->log->writer->checks, slice, NULL, failed, out, err);
    for (uint32_t k = 0; k < in->log->def.check_count && status == LA_OK; k++) {
        const uint8_t *values = out[k].column.data;
        const uint8_t *valid = out[k].column.valid;

        for (uint32_t i = 0; i < slice->rows && status == LA_OK; i++) {
            uint32_t at = out[k].constant ? 0 : i;

            if ((valid == NULL || valid[at] != 0) && values[at] == 0) {
                status = set_flaw(in, from + i, FLAW(FLAW_CHECK, k), err);
            }
        }
    }
    for (uint32_t i = 0; i < slice->rows && status == LA_OK; i++) {
        if (failed[i] != 0) {
            status = set_flaw(in, from + i, FLAW(FLAW_CHECK_FAILED, 0), err);
        }
    }
    return status;
}

static la_status
run_checks(la_intake *in, la_error *err)
{
    uint32_t checks = in->log->def.check_count;
    uint32_t columns = in->log->column_count;
    la_chunk whole = *in->chunk, slice;
    la_column *sliced;
    uint8_t *failed;
    la_vec *out;
    la_status status = LA_OK;

    if (checks == 0) {
        return LA_OK;
    }
    sliced = la_arena_alloc(&in->arena, sizeof *sliced * columns);
    failed = la_arena_alloc(&in->arena, LA_CHUNK_ROWS);
    out = la_arena_alloc(&in->arena, sizeof *out * checks);
    if (sliced == NULL || failed == NULL || out == NULL) {
        return la_fail_nomem(err, sizeof *sliced * columns);
    }
    whole.schema = in->log->def.schema;
    whole.columns = in->columns;
    whole.verdicts = NULL;
    whole.targets = NULL;
    for (uint32_t from = 0; from < in->rows && status == LA_OK; from += LA_CHUNK_ROWS) {
        uint32_t rows = in->rows - from;

        la_chunk_slice(&whole, from, rows < LA_CHUNK_ROWS ? rows : LA_CHUNK_ROWS,
                       sliced, &slice);
        status = check_slice(in, &slice, from, out, failed, err);
    }
    return status;
}

/* ------------------------------------------------------------------- verdicts */

static la_status
make_verdicts(la_intake *in, la_error *err)
{
    bool dedupe = in->log->def.dedupe_count != 0;

    if (in->flaws == NULL && !dedupe) {
        return LA_OK;
    }
    in->verdicts = la_arena_alloc(&in->arena, in->rows);
    in->targets = la_arena_alloc(&in->arena, sizeof(uint64_t) * in->rows);
    if (in->verdicts == NULL || in->targets == NULL) {
        in->verdicts = NULL;
        return la_fail_nomem(err, sizeof(uint64_t) * in->rows);
    }
    memset(in->verdicts, LA_V_OK, in->rows);
    memset(in->targets, 0, sizeof(uint64_t) * in->rows);
    for (uint32_t i = 0; in->flaws != NULL && i < in->rows; i++) {
        if (in->flaws[i] != 0) {
            in->verdicts[i] = LA_V_QUARANTINED;
            in->quarantined++;
        }
    }
    return LA_OK;
}

static la_status
check_given(la_intake *in, la_error *err)
{
    la_status status = LA_OK;

    if (in->chunk->column_count != in->log->column_count) {
        return la_fail(err, LA_INVALID,
                       "could not append to log \"%s\": %u columns given, it has %u",
                       in->log->name, in->chunk->column_count, in->log->column_count);
    }
    for (uint32_t i = 0; in->bad != NULL && i < in->rows && status == LA_OK; i++) {
        if (in->bad[i] != 0) {
            status = set_flaw(in, i, FLAW(FLAW_CALLER, 0), err);
        }
    }
    return status;
}

la_status
la_intake_run(la_intake *in, la_error *err)
{
    size_t size = sizeof *in->columns * in->log->column_count;
    la_status status;

    in->rows = in->chunk->rows;
    la_arena_init(&in->arena, in->log->env);
    in->columns = la_arena_alloc(&in->arena, size);
    status = need(in->columns, size, err);
    if (status == LA_OK) {
        status = check_given(in, err);
    }
    if (status == LA_OK) {
        status = check_columns(in, err);
    }
    if (status == LA_OK && in->flaws != NULL && in->on_bad == LA_BAD_RAISE) {
        status = raise_first(in, err);
    }
    if (status == LA_OK) {
        status = la_intake_convert(in, err);
    }
    if (status == LA_OK) {
        status = run_checks(in, err);
    }
    if (status == LA_OK && in->flaws != NULL && in->on_bad == LA_BAD_RAISE) {
        status = raise_first(in, err);
    }
    return status == LA_OK ? make_verdicts(in, err) : status;
}

void
la_intake_fini(la_intake *in)
{
    if (in->arena.env != NULL) {
        la_arena_fini(&in->arena);
    }
}
