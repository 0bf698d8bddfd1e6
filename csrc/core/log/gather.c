/* SPDX-License-Identifier: Apache-2.0 */
/* Gathering: rows of small frames, column by column, until LA_FRAME_ROWS_MAX rows or
 * LA_FRAME_RAW_MAX plain bytes are there. Ingest times are kept a row, so that merging
 * frames forgets none. */
#include "log/gather.h"

#include "base/error.h"
#include "chunk/schema.h"

static void
text_init(la_gather_text *t, const la_env *env)
{
    la_buf_init(&t->heap, env);
    la_buf_init(&t->offsets, env);
    la_buf_init(&t->valid, env);
}

static void
text_fini(la_gather_text *t)
{
    la_buf_fini(&t->heap);
    la_buf_fini(&t->offsets);
    la_buf_fini(&t->valid);
}

la_status
la_gather_init(la_gather *g, const la_env *env, const la_schema *schema,
               int32_t time_column, uint64_t position, la_error *err)
{
    uint32_t count = la_schema_count(schema);

    memset(g, 0, sizeof *g);
    g->columns = la_calloc(env, count, sizeof *g->columns);
    g->out = la_calloc(env, count, sizeof *g->out);
    if (g->columns == NULL || g->out == NULL) {
        la_dealloc(env, g->columns, sizeof *g->columns * count);
        la_dealloc(env, g->out, sizeof *g->out * count);
        memset(g, 0, sizeof *g);
        return la_fail_nomem(err, sizeof *g->columns * count);
    }
    g->env = env;
    g->schema = schema;
    g->time_column = time_column;
    g->column_count = count;
    g->position = position;
    for (uint32_t c = 0; c < count; c++) {
        g->row_bytes += la_type_size(la_schema_field(schema, c)->type);
        la_buf_init(&g->columns[c].values, env);
        la_buf_init(&g->columns[c].valid, env);
        la_buf_init(&g->columns[c].dict, env);
        text_init(&g->columns[c].text, env);
    }
    la_buf_init(&g->verdicts, env);
    la_buf_init(&g->targets, env);
    la_buf_init(&g->ingests, env);
    la_buf_init(&g->section, env);
    text_init(&g->raw, env);
    text_init(&g->reasons, env);
    return LA_OK;
}

void
la_gather_fini(la_gather *g)
{
    if (g->env == NULL) {
        return;
    }
    for (uint32_t c = 0; c < g->column_count; c++) {
        la_buf_fini(&g->columns[c].values);
        la_buf_fini(&g->columns[c].valid);
        la_buf_fini(&g->columns[c].dict);
        text_fini(&g->columns[c].text);
    }
    la_buf_fini(&g->verdicts);
    la_buf_fini(&g->targets);
    la_buf_fini(&g->ingests);
    la_buf_fini(&g->section);
    text_fini(&g->raw);
    text_fini(&g->reasons);
    la_dealloc(g->env, g->columns, sizeof *g->columns * g->column_count);
    la_dealloc(g->env, g->out, sizeof *g->out * g->column_count);
    memset(g, 0, sizeof *g);
}

/* Texts of the quarantined ones among rows [from, from + rows). */
static uint64_t
quarantine_bytes(const la_decoded *d, uint32_t from, uint32_t rows)
{
    uint32_t before = 0, bad = 0;

    if (d->raw.type == LA_T_NULL || d->verdicts == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < from + rows; i++) {
        uint32_t one = d->verdicts[i] == LA_V_QUARANTINED;

        before += i < from ? one : 0;
        bad += i < from ? 0 : one;
    }
    return (uint64_t)(d->raw.offsets[before + bad] - d->raw.offsets[before]) +
           (d->reasons.offsets[before + bad] - d->reasons.offsets[before]);
}

static uint64_t
plain_bytes(const la_gather *g, const la_decoded *d, uint32_t from, uint32_t rows)
{
    uint64_t bytes = (uint64_t)g->row_bytes * rows + quarantine_bytes(d, from, rows);

    for (uint32_t c = 0; c < g->column_count; c++) {
        const uint32_t *offsets = d->columns[c].offsets;
        if (offsets != NULL) {
            bytes += offsets[from + rows] - offsets[from];
        }
    }
    return bytes;
}

uint32_t
la_gather_fits(const la_gather *g, const la_decoded *d, uint32_t from)
{
    uint32_t rows = d->rows - from;
    uint64_t held = (uint64_t)g->row_bytes * g->rows + g->text_bytes;

    if (rows > LA_FRAME_ROWS_MAX - g->rows) {
        rows = LA_FRAME_ROWS_MAX - g->rows;
    }
    while (rows > 0 && held + plain_bytes(g, d, from, rows) > LA_FRAME_RAW_MAX) {
        if (rows == 1) {
            return g->rows == 0 ? 1 : 0; /* one row always fits: it fitted before */
        }
        rows /= 2;
    }
    return rows;
}

static void
add_valid(la_buf *to, bool *nulls, const la_column *column, uint32_t from,
          uint32_t rows)
{
    uint8_t *room = la_buf_room(to, rows);

    if (room == NULL) {
        return;
    }
    if (column->valid != NULL) {
        memcpy(room, column->valid + from, rows);
        *nulls = *nulls || memchr(room, 0, rows) != NULL;
    }
    else {
        memset(room, 1, rows);
    }
    to->size += rows;
}

/* false: out of memory. */
static bool
add_text(la_gather_text *t, const la_column *column, uint32_t from, uint32_t rows)
{
    const char *heap = column->data;
    uint32_t first = column->offsets[from], base = (uint32_t)t->heap.size;

    if (t->offsets.size == 0) {
        la_buf_u32(&t->offsets, 0);
    }
    if (column->offsets[from + rows] != first) {
        la_buf_put(&t->heap, heap + first, column->offsets[from + rows] - first);
    }
    for (uint32_t i = 1; i <= rows; i++) {
        la_buf_u32(&t->offsets, base + (column->offsets[from + i] - first));
    }
    add_valid(&t->valid, &t->nulls, column, from, rows);
    return !t->heap.failed && !t->offsets.failed && !t->valid.failed;
}

/* Rows that have no text: nulls. */
static bool
add_no_text(la_gather_text *t, uint32_t rows)
{
    static const uint32_t offsets[2] = {0, 0};
    static const uint8_t valid[1] = {0};
    const la_column none = {.data = "", .offsets = offsets, .valid = valid};
    bool ok = true;

    for (uint32_t i = 0; i < rows && ok; i++) {
        ok = add_text(t, &none, 0, 1);
    }
    return ok;
}

static bool
add_column(la_gather_column *to, const la_column *column, uint32_t from, uint32_t rows)
{
    size_t width = la_type_size(column->type);

    if (width == 0) {
        return add_text(&to->text, column, from, rows);
    }
    la_buf_put(&to->values, (const uint8_t *)column->data + width * from, width * rows);
    add_valid(&to->valid, &to->nulls, column, from, rows);
    return !to->values.failed && !to->valid.failed;
}

static bool
add_verdicts(la_gather *g, const la_decoded *d, uint32_t from, uint32_t rows,
             int64_t ingest_us, uint32_t *quarantined)
{
    uint32_t bad = 0;

    for (uint32_t i = from; i < from + rows; i++) {
        uint8_t verdict = d->verdicts == NULL ? LA_V_OK : d->verdicts[i];

        bad += verdict == LA_V_QUARANTINED;
        g->odd = g->odd || verdict != LA_V_OK;
        la_buf_u8(&g->verdicts, verdict);
        la_buf_u64(&g->targets, d->targets == NULL ? 0 : d->targets[i]);
        la_buf_u64(&g->ingests,
                   (uint64_t)(d->ingests == NULL ? ingest_us : d->ingests[i]));
    }
    if (bad != 0) {
        bool text = d->raw.type != LA_T_NULL;

        if (text ? !add_text(&g->raw, &d->raw, *quarantined, bad) ||
                       !add_text(&g->reasons, &d->reasons, *quarantined, bad)
                 : !add_no_text(&g->raw, bad) || !add_no_text(&g->reasons, bad)) {
            return false;
        }
        *quarantined += bad;
        g->quarantined += bad;
    }
    return !g->verdicts.failed && !g->targets.failed && !g->ingests.failed;
}

la_status
la_gather_add(la_gather *g, const la_decoded *d, uint32_t from, uint32_t rows,
              int64_t ingest_us, uint32_t *quarantined, la_error *err)
{
    uint64_t bytes = plain_bytes(g, d, from, rows);

    for (uint32_t c = 0; c < g->column_count; c++) {
        if (!add_column(&g->columns[c], &d->columns[c], from, rows)) {
            return la_fail_nomem(err, (size_t)bytes);
        }
    }
    if (!add_verdicts(g, d, from, rows, ingest_us, quarantined)) {
        return la_fail_nomem(err, (size_t)rows * 17);
    }
    g->text_bytes += bytes - (uint64_t)g->row_bytes * rows;
    g->rows += rows;
    g->ingest_us = d->ingests == NULL ? ingest_us : d->ingests[from + rows - 1];
    return LA_OK;
}

static la_status
add_entry(void *arg, uint32_t column, uint32_t code, const char *text, size_t size,
          la_error *err)
{
    la_gather *g = arg;
    la_gather_column *to;

    if (column >= g->column_count) {
        return LA_DAMAGED;
    }
    to = &g->columns[column];
    if (to->dict_count == 0) {
        to->dict_first = code;
    }
    if (code != to->dict_first + to->dict_count) {
        return LA_DAMAGED;
    }
    la_buf_varint(&to->dict, size);
    la_buf_put(&to->dict, text, size);
    to->dict_count++;
    g->text_bytes += size + 2;
    return to->dict.failed ? la_fail_nomem(err, size) : LA_OK;
}

la_status
la_gather_dict(la_gather *g, const la_frame_view *view, la_error *err)
{
    return la_frame_dict(view, add_entry, g, err);
}

static void
put_section(la_gather *g)
{
    uint32_t with = 0;

    la_buf_clear(&g->section);
    for (uint32_t c = 0; c < g->column_count; c++) {
        with += g->columns[c].dict_count != 0;
    }
    if (with == 0) {
        return;
    }
    la_buf_u32(&g->section, with);
    for (uint32_t c = 0; c < g->column_count; c++) {
        const la_gather_column *column = &g->columns[c];
        if (column->dict_count != 0) {
            la_buf_u32(&g->section, c);
            la_buf_u32(&g->section, column->dict_first);
            la_buf_u32(&g->section, column->dict_count);
            la_buf_put(&g->section, column->dict.data, column->dict.size);
        }
    }
    la_buf_align(&g->section, 8);
}

static la_column
text_column(const la_gather_text *t, la_type type)
{
    return (la_column){.type = type,
                       .data = t->heap.data == NULL ? (const void *)"" : t->heap.data,
                       .offsets = (const uint32_t *)t->offsets.data,
                       .valid = t->nulls ? t->valid.data : NULL};
}

la_status
la_gather_rows(la_gather *g, int64_t max_time, la_frame_rows *out, la_error *err)
{
    la_frame_rows rows = {.schema = g->schema,
                          .time_column = g->time_column,
                          .position = g->position,
                          .rows = g->rows,
                          .columns = g->out,
                          .ingests = (const int64_t *)g->ingests.data,
                          .ingest_us = g->ingest_us,
                          .max_time = max_time};

    for (uint32_t c = 0; c < g->column_count; c++) {
        const la_field *field = la_schema_field(g->schema, c);
        const la_gather_column *column = &g->columns[c];

        if (la_type_size(field->type) == 0) {
            g->out[c] = text_column(&column->text, field->type);
        }
        else {
            g->out[c] = (la_column){.type = field->type,
                                    .scale = field->scale,
                                    .data = column->values.data,
                                    .valid = column->nulls ? column->valid.data : NULL};
        }
    }
    if (g->odd) {
        rows.verdicts = g->verdicts.data;
        rows.targets = (const uint64_t *)g->targets.data;
    }
    if (g->quarantined != 0) {
        g->raw_column = text_column(&g->raw, LA_T_BYTES);
        g->reason_column = text_column(&g->reasons, LA_T_STR);
        rows.raw = &g->raw_column;
        rows.reasons = &g->reason_column;
    }
    put_section(g);
    if (g->section.failed) {
        g->section.failed = false;
        return la_fail_nomem(err, g->section.capacity);
    }
    rows.dict = g->section.data;
    rows.dict_size = g->section.size;
    *out = rows;
    return LA_OK;
}

static void
text_clear(la_gather_text *t)
{
    la_buf_clear(&t->heap);
    la_buf_clear(&t->offsets);
    la_buf_clear(&t->valid);
    t->nulls = false;
}

void
la_gather_clear(la_gather *g)
{
    for (uint32_t c = 0; c < g->column_count; c++) {
        la_buf_clear(&g->columns[c].values);
        la_buf_clear(&g->columns[c].valid);
        la_buf_clear(&g->columns[c].dict);
        text_clear(&g->columns[c].text);
        g->columns[c].nulls = false;
        g->columns[c].dict_count = 0;
    }
    la_buf_clear(&g->verdicts);
    la_buf_clear(&g->targets);
    la_buf_clear(&g->ingests);
    text_clear(&g->raw);
    text_clear(&g->reasons);
    g->position += g->rows;
    g->rows = 0;
    g->quarantined = 0;
    g->text_bytes = 0;
    g->odd = false;
}
