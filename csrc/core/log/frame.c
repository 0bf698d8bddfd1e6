/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: encoding, checking and opening one.
 *
 *   header 128 | dictionary section | directory | pieces ... | trailer 8
 *
 * Invariants
 *  1. No length is believed before the header's CRC fits; the CRC's seed names the log
 *     and the segment.
 *  2. Every section is padded to 8 bytes, so a frame's size is 136 + payload and all
 *     pieces are aligned in the file.
 *  3. The raw hash is over what the caller gave, the payload hash over what is stored:
 *     an encoder's mistake and a bit flip on the way to the disk are seen apart.
 */
#include "log/frame.h"

#include <assert.h>

#include "base/error.h"
#include "base/hash.h"
#include "chunk/chunk.h"

static_assert(sizeof(la_frame_info) >= 64, "holds a footer entry");

uint32_t
la_frame_seed(const uint8_t uuid[16], uint64_t segment)
{
    uint8_t bytes[24];

    memcpy(bytes, uuid, 16);
    la_store_u64(bytes + 16, segment);
    return la_crc32c(0, bytes, sizeof bytes);
}

static void
write_header(uint8_t *at, uint32_t seed, const la_frame_header *h)
{
    memset(at, 0, LA_FRAME_HEADER);
    la_store_u32(at, LA_FRAME_MAGIC);
    la_store_u64(at + 8, h->position);
    la_store_u32(at + 16, h->rows);
    at[20] = h->type;
    memcpy(at + 22, &h->flags, 2);
    la_store_u32(at + 24, h->payload_size);
    la_store_u32(at + 28, h->schema_id);
    la_store_u32(at + 32, h->epoch);
    la_store_u64(at + 40, h->hash);
    la_store_u64(at + 48, h->raw_hash);
    la_store_u64(at + 56, (uint64_t)h->ingest_us);
    la_store_u64(at + 64, (uint64_t)h->event_min);
    la_store_u64(at + 72, (uint64_t)h->event_max);
    la_store_u64(at + 80, (uint64_t)h->max_time);
    la_store_u64(at + 88, h->durable_len);
    la_store_u32(at + 100, h->dict_size);
    la_store_u32(at + 104, h->pieces);
    la_store_u32(at + 108, h->ok);
    la_store_u32(at + 120, h->duplicate);
    la_store_u32(at + 124, h->quarantined);
    la_store_u32(at + 4, la_crc32c(seed, at + 8, LA_FRAME_HEADER - 8));
}

/* Fields that the writer never sets otherwise: a right CRC with wrong fields is a newer
 * writer's or a hostile file. */
static const char *
judge_header(const la_frame_header *h, const uint8_t *at)
{
    if (h->type != LA_FRAME_ROWS && h->type != LA_FRAME_FOOTER) {
        return "unknown frame type";
    }
    if (at[21] != 0 || la_load_u32(at + 36) != 0) {
        return "frame is encrypted";
    }
    if ((h->flags & ~15u) != 0 || h->schema_id != 0 || la_load_u32(at + 96) != 0 ||
        la_load_u64(at + 112) != 0) {
        return "frame uses reserved fields";
    }
    if (h->payload_size == 0 || h->payload_size > LA_FRAME_BYTES_MAX ||
        h->payload_size % 8 != 0) {
        return "frame has an impossible size";
    }
    if (h->type == LA_FRAME_ROWS &&
        (h->rows == 0 || h->rows > LA_FRAME_ROWS_MAX || h->pieces == 0 ||
         h->dict_size % 8 != 0 ||
         (uint64_t)h->dict_size + 12ull * h->pieces > h->payload_size ||
         (uint64_t)h->ok + h->duplicate + h->quarantined > h->rows ||
         h->position > UINT64_MAX - LA_FRAME_ROWS_MAX - 1)) {
        return "frame has impossible counts";
    }
    if (h->type == LA_FRAME_FOOTER && (h->rows != 0 || h->dict_size != 0)) {
        return "footer has rows";
    }
    return NULL;
}

const char *
la_frame_read_header(const uint8_t *at, uint32_t seed, la_frame_header *out)
{
    la_frame_header h = {0};

    if (la_load_u32(at) != LA_FRAME_MAGIC) {
        return "no frame begins here";
    }
    if (la_load_u32(at + 4) != la_crc32c(seed, at + 8, LA_FRAME_HEADER - 8)) {
        return "frame header does not match its checksum";
    }
    h.position = la_load_u64(at + 8);
    h.rows = la_load_u32(at + 16);
    h.type = at[20];
    memcpy(&h.flags, at + 22, 2);
    h.payload_size = la_load_u32(at + 24);
    h.schema_id = la_load_u32(at + 28);
    h.epoch = la_load_u32(at + 32);
    h.hash = la_load_u64(at + 40);
    h.raw_hash = la_load_u64(at + 48);
    h.ingest_us = (int64_t)la_load_u64(at + 56);
    h.event_min = (int64_t)la_load_u64(at + 64);
    h.event_max = (int64_t)la_load_u64(at + 72);
    h.max_time = (int64_t)la_load_u64(at + 80);
    h.durable_len = la_load_u64(at + 88);
    h.dict_size = la_load_u32(at + 100);
    h.pieces = la_load_u32(at + 104);
    h.ok = la_load_u32(at + 108);
    h.duplicate = la_load_u32(at + 120);
    h.quarantined = la_load_u32(at + 124);
    *out = h;
    return judge_header(&h, at);
}

const char *
la_frame_check(const la_frame_header *header, const uint8_t *at)
{
    const uint8_t *payload = at + LA_FRAME_HEADER;
    const uint8_t *trailer = payload + header->payload_size;

    if (la_load_u32(trailer) != header->payload_size ||
        la_load_u32(trailer + 4) != ~LA_FRAME_MAGIC) {
        return "frame trailer is wrong";
    }
    if (la_xxh3(payload, header->payload_size, header->position) != header->hash) {
        return "frame payload does not match its hash";
    }
    return NULL;
}

void
la_frame_info_of(const la_frame_header *header, uint64_t byte, la_frame_info *info)
{
    *info = (la_frame_info){
        .byte = byte,
        .position = header->position,
        .rows = header->rows,
        .size = (uint32_t)la_frame_size(header->payload_size),
        .ingest_us = header->ingest_us,
        .event_min = header->event_min,
        .event_max = header->event_max,
        .dict_size = header->dict_size,
        .ok = header->ok,
        .hash = header->hash,
        .duplicate = header->duplicate,
        .quarantined = header->quarantined,
        .durable_len = header->durable_len,
        .max_time = header->max_time,
    };
}

/* ------------------------------------------------------------------- writing */

la_status
la_frame_writer_init(la_frame_writer *writer, const la_env *env, la_error *err)
{
    la_status status;

    memset(writer, 0, sizeof *writer);
    status = la_codec_new(env, &writer->codec, err);
    if (status != LA_OK) {
        return status;
    }
    writer->env = env;
    la_buf_init(&writer->values, env);
    la_buf_init(&writer->heap, env);
    la_buf_init(&writer->offsets, env);
    return LA_OK;
}

void
la_frame_writer_fini(la_frame_writer *writer)
{
    if (writer->env == NULL) {
        return;
    }
    la_codec_free(writer->codec);
    la_buf_fini(&writer->values);
    la_buf_fini(&writer->heap);
    la_buf_fini(&writer->offsets);
    memset(writer, 0, sizeof *writer);
}

uint64_t
la_raw_hash(uint64_t h, const la_column *column, uint32_t rows, const uint32_t *sizes)
{
    size_t width = la_type_size(column->type);

    if (width != 0) {
        h = la_xxh3(column->data, width * rows, h);
    }
    else {
        const uint8_t *heap = column->data;
        size_t size = column->offsets[rows] - column->offsets[0];

        h = la_xxh3(sizes, sizeof(uint32_t) * rows, h);
        h = la_xxh3(size == 0 ? (const void *)"" : heap + column->offsets[0], size, h);
    }
    if (column->valid != NULL) {
        h = la_xxh3(column->valid, rows, h);
    }
    return h;
}

static bool
has_null(const uint8_t *valid, uint32_t rows)
{
    return valid != NULL && memchr(valid, 0, rows) != NULL;
}

/* Copies fixed-width values with zeros where null. */
static la_status
zero_nulls(la_frame_writer *w, la_column *column, uint32_t rows, la_error *err)
{
    size_t width = la_type_size(column->type);
    uint8_t *to;

    la_buf_clear(&w->values);
    to = la_buf_room(&w->values, width * rows);
    if (to == NULL) {
        w->values.failed = false;
        return la_fail_nomem(err, width * rows);
    }
    memcpy(to, column->data, width * rows);
    for (uint32_t i = 0; i < rows; i++) {
        if (column->valid[i] == 0) {
            memset(to + width * i, 0, width);
        }
    }
    column->data = to;
    return LA_OK;
}

/* Copies text without what null rows hold. */
static la_status
drop_null_text(la_frame_writer *w, la_column *column, uint32_t rows, la_error *err)
{
    const uint32_t *from = column->offsets;
    const uint8_t *heap = column->data;
    uint32_t *offsets;
    bool clean = true;

    for (uint32_t i = 0; i < rows; i++) {
        clean &= column->valid[i] != 0 || from[i] == from[i + 1];
    }
    if (clean) {
        return LA_OK;
    }
    la_buf_clear(&w->offsets);
    la_buf_clear(&w->heap);
    offsets = (uint32_t *)la_buf_room(&w->offsets, sizeof(uint32_t) * (rows + 1ull));
    if (offsets == NULL) {
        w->offsets.failed = false;
        return la_fail_nomem(err, sizeof(uint32_t) * (rows + 1ull));
    }
    offsets[0] = 0;
    for (uint32_t i = 0; i < rows; i++) {
        if (column->valid[i] != 0) {
            la_buf_put(&w->heap, heap + from[i], from[i + 1] - from[i]);
        }
        offsets[i + 1] = (uint32_t)w->heap.size;
    }
    if (w->heap.failed) {
        w->heap.failed = false;
        return la_fail_nomem(err, from[rows] - from[0]);
    }
    column->offsets = offsets;
    column->data = w->heap.data == NULL ? (const void *)"" : w->heap.data;
    return LA_OK;
}

/* One column in the form that is hashed and stored: no mask without nulls, zeros and
 * empty texts where null. */
static la_status
normalise(la_frame_writer *w, const la_column *column, uint32_t rows, la_column *out,
          la_error *err)
{
    *out = *column;
    if (!has_null(column->valid, rows)) {
        out->valid = NULL;
        return LA_OK;
    }
    if (la_type_size(column->type) != 0) {
        return zero_nulls(w, out, rows, err);
    }
    return drop_null_text(w, out, rows, err);
}

static la_status
hash_column(la_frame_writer *w, const la_column *column, uint32_t rows, uint64_t *h,
            la_error *err)
{
    uint32_t *sizes = NULL;

    if (la_type_size(column->type) == 0) {
        la_buf_clear(&w->values);
        sizes = (uint32_t *)la_buf_room(&w->values, sizeof(uint32_t) * rows);
        if (sizes == NULL) {
            w->values.failed = false;
            return la_fail_nomem(err, sizeof(uint32_t) * rows);
        }
        for (uint32_t i = 0; i < rows; i++) {
            sizes[i] = column->offsets[i + 1] - column->offsets[i];
        }
    }
    *h = la_raw_hash(*h, column, rows, sizes);
    return LA_OK;
}

typedef struct frame_build {
    la_frame_writer *writer;
    la_buf *to;
    size_t start;     /* of the payload in `to` */
    size_t directory; /* of the directory in `to` */
    uint32_t done;    /* pieces so far */
    la_codec_effort effort;
} frame_build;

static la_status
put_piece(frame_build *b, uint32_t number, const la_column *column, uint32_t rows,
          la_error *err)
{
    size_t from = b->to->size;
    uint8_t *entry;
    la_status status;

    status = la_codec_encode(b->writer->codec, column, rows, b->effort, b->to, err);
    if (status != LA_OK) {
        return status;
    }
    if (b->to->failed) {
        return la_fail_nomem(err, b->to->capacity);
    }
    if (b->to->size - b->start > LA_FRAME_BYTES_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not append: %u rows take more than %u bytes in a frame",
                       rows, LA_FRAME_BYTES_MAX);
    }
    entry = b->to->data + b->directory + 12ull * b->done++;
    la_store_u32(entry, number);
    la_store_u32(entry + 4, (uint32_t)(from - b->start));
    la_store_u32(entry + 8, (uint32_t)(b->to->size - from));
    return LA_OK;
}

static la_status
put_columns(frame_build *b, const la_frame_rows *rows, uint64_t *raw_hash,
            la_error *err)
{
    uint32_t count = la_schema_count(rows->schema);
    uint64_t h = rows->position;

    for (uint32_t c = 0; c < count; c++) {
        la_column column;
        la_status status;

        status = normalise(b->writer, &rows->columns[c], rows->rows, &column, err);
        if (status == LA_OK) {
            status = hash_column(b->writer, &column, rows->rows, &h, err);
        }
        if (status == LA_OK) {
            status = put_piece(b, c, &column, rows->rows, err);
        }
        if (status != LA_OK) {
            return status;
        }
    }
    *raw_hash = h;
    return LA_OK;
}

static la_status
put_verdicts(frame_build *b, const la_frame_rows *rows, la_error *err)
{
    la_buf *values = &b->writer->values;
    la_column column = {.type = LA_T_I32};
    int32_t *wide;

    la_buf_clear(values);
    wide = (int32_t *)la_buf_room(values, sizeof(int32_t) * rows->rows);
    if (wide == NULL) {
        values->failed = false;
        return la_fail_nomem(err, sizeof(int32_t) * rows->rows);
    }
    for (uint32_t i = 0; i < rows->rows; i++) {
        wide[i] = rows->verdicts[i];
    }
    column.data = wide;
    return put_piece(b, LA_PIECE_VERDICTS, &column, rows->rows, err);
}

static la_status
put_extras(frame_build *b, const la_frame_rows *rows, const la_frame_header *h,
           la_error *err)
{
    la_status status = LA_OK;

    if (h->flags & LA_FRAME_VERDICTS) {
        status = put_verdicts(b, rows, err);
    }
    if (status == LA_OK && (h->flags & LA_FRAME_TARGETS)) {
        la_column column = {.type = LA_T_U64, .data = rows->targets};
        status = put_piece(b, LA_PIECE_TARGETS, &column, rows->rows, err);
    }
    if (status == LA_OK && (h->flags & LA_FRAME_QUARANTINE)) {
        la_column column;
        status = normalise(b->writer, rows->raw, h->quarantined, &column, err);
        if (status == LA_OK) {
            status = put_piece(b, LA_PIECE_RAW, &column, h->quarantined, err);
        }
        if (status == LA_OK) {
            status = normalise(b->writer, rows->reasons, h->quarantined, &column, err);
        }
        if (status == LA_OK) {
            status = put_piece(b, LA_PIECE_REASONS, &column, h->quarantined, err);
        }
    }
    if (status == LA_OK && (h->flags & LA_FRAME_INGESTS)) {
        la_column column = {.type = LA_T_TIME, .data = rows->ingests};
        status = put_piece(b, LA_PIECE_INGESTS, &column, rows->rows, err);
    }
    return status;
}

/* Counts, event-time range and flags: all that the header says of the rows. */
static void
describe(const la_frame_rows *rows, la_frame_header *h)
{
    h->ok = rows->rows;
    if (rows->verdicts != NULL) {
        uint32_t by[8] = {0};

        for (uint32_t i = 0; i < rows->rows; i++) {
            by[rows->verdicts[i] & 7]++;
        }
        h->ok = by[LA_V_OK];
        h->duplicate = by[LA_V_DUPLICATE];
        h->quarantined = by[LA_V_QUARANTINED];
    }
    if (h->ok != rows->rows) {
        h->flags |= LA_FRAME_VERDICTS;
        if (rows->targets != NULL && h->duplicate != 0) {
            h->flags |= LA_FRAME_TARGETS;
        }
        if (rows->raw != NULL && h->quarantined != 0) {
            h->flags |= LA_FRAME_QUARANTINE;
        }
    }
    if (rows->ingests != NULL && rows->ingests[0] != rows->ingests[rows->rows - 1]) {
        h->flags |= LA_FRAME_INGESTS;
    }
    h->event_min = INT64_MAX;
    h->event_max = INT64_MIN;
    if (rows->time_column >= 0) {
        const la_column *time = &rows->columns[rows->time_column];
        const int64_t *at = time->data;
        const uint8_t *verdicts = h->ok != rows->rows ? rows->verdicts : NULL;

        for (uint32_t i = 0; i < rows->rows; i++) {
            if ((verdicts == NULL || verdicts[i] == LA_V_OK) &&
                (time->valid == NULL || time->valid[i] != 0)) {
                h->event_min = at[i] < h->event_min ? at[i] : h->event_min;
                h->event_max = at[i] > h->event_max ? at[i] : h->event_max;
            }
        }
    }
    h->max_time = rows->max_time > h->event_max ? rows->max_time : h->event_max;
}

static uint32_t
piece_count(const la_frame_rows *rows, uint16_t flags)
{
    return la_schema_count(rows->schema) + ((flags & LA_FRAME_VERDICTS) != 0) +
           ((flags & LA_FRAME_TARGETS) != 0) +
           2 * ((flags & LA_FRAME_QUARANTINE) != 0) + ((flags & LA_FRAME_INGESTS) != 0);
}

static void
finish_frame(la_buf *to, size_t start, uint32_t seed, la_frame_header *h)
{
    uint8_t trailer[LA_FRAME_TRAILER];
    uint8_t *payload = to->data + start;

    h->payload_size = (uint32_t)(to->size - start);
    h->hash = la_xxh3(payload, h->payload_size, h->position);
    write_header(payload - LA_FRAME_HEADER, seed, h);
    la_store_u32(trailer, h->payload_size);
    la_store_u32(trailer + 4, ~LA_FRAME_MAGIC);
    la_buf_put(to, trailer, sizeof trailer);
}

la_status
la_frame_put(la_frame_writer *writer, const la_frame_rows *rows, uint32_t seed,
             uint32_t epoch, uint64_t durable_len, la_codec_effort effort, la_buf *to,
             la_frame_info *info, la_error *err)
{
    la_frame_header h = {.type = LA_FRAME_ROWS,
                         .position = rows->position,
                         .rows = rows->rows,
                         .epoch = epoch,
                         .ingest_us = rows->ingest_us,
                         .durable_len = durable_len,
                         .dict_size = (uint32_t)rows->dict_size};
    frame_build b = {.writer = writer, .to = to, .effort = effort};
    size_t before = to->size;
    la_status status;

    assert(rows->rows > 0 && rows->rows <= LA_FRAME_ROWS_MAX && to->size % 8 == 0);
    describe(rows, &h);
    h.pieces = piece_count(rows, h.flags);
    la_buf_zero(to, LA_FRAME_HEADER);
    b.start = to->size;
    la_buf_put(to, rows->dict, rows->dict_size);
    b.directory = to->size;
    la_buf_zero(to, 12ull * h.pieces);
    la_buf_align(to, 8);
    if (to->failed) {
        status = la_fail_nomem(err, to->capacity);
        goto fail;
    }
    status = put_columns(&b, rows, &h.raw_hash, err);
    if (status == LA_OK) {
        status = put_extras(&b, rows, &h, err);
    }
    if (status != LA_OK) {
        goto fail;
    }
    assert(b.done == h.pieces);
    finish_frame(to, b.start, seed, &h);
    if (to->failed) {
        status = la_fail_nomem(err, to->capacity);
        goto fail;
    }
    la_frame_info_of(&h, 0, info);
    return LA_OK;

fail:
    to->size = before;
    to->failed = false;
    return status;
}

void
la_frame_put_footer(la_buf *to, uint32_t seed, uint32_t epoch, uint64_t position,
                    const void *payload, uint32_t payload_size, int64_t ingest_us,
                    int64_t max_time, uint64_t durable_len)
{
    la_frame_header h = {.type = LA_FRAME_FOOTER,
                         .position = position,
                         .epoch = epoch,
                         .ingest_us = ingest_us,
                         .event_min = INT64_MAX,
                         .event_max = INT64_MIN,
                         .max_time = max_time,
                         .durable_len = durable_len};
    size_t start;

    la_buf_zero(to, LA_FRAME_HEADER);
    start = to->size;
    la_buf_put(to, payload, payload_size);
    if (!to->failed) {
        finish_frame(to, start, seed, &h);
    }
}

/* ------------------------------------------------------------------- reading */

la_status
la_frame_open(const uint8_t *at, const la_frame_header *header, const char *path,
              uint64_t byte, la_frame_view *out, la_error *err)
{
    la_frame_view view = {.header = *header, .path = path, .byte = byte};

    view.payload = at + LA_FRAME_HEADER;
    view.directory = view.payload + header->dict_size;
    if (header->type != LA_FRAME_ROWS) {
        return la_fail_damaged(err, path, byte,
                               "a footer stands where rows are expected");
    }
    *out = view;
    return LA_OK;
}

/* Bytes of piece `number`, NULL when it is absent or out of bounds. Columns stand in
 * order, so the first guess is nearly always right. */
static const uint8_t *
find_piece(const la_frame_view *view, uint32_t number, size_t *size)
{
    uint32_t pieces = view->header.pieces;
    uint64_t first = view->header.dict_size + 12ull * pieces;
    uint32_t guess = number < pieces ? number : 0;

    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t k = guess + i < pieces ? guess + i : guess + i - pieces;
        const uint8_t *entry = view->directory + 12ull * k;
        uint64_t byte, length;

        if (la_load_u32(entry) != number) {
            continue;
        }
        byte = la_load_u32(entry + 4);
        length = la_load_u32(entry + 8);
        if (byte % 8 != 0 || byte < first ||
            byte + length > view->header.payload_size) {
            return NULL;
        }
        *size = length;
        return view->payload + byte;
    }
    return NULL;
}

la_status
la_frame_piece(const la_env *env, const la_frame_view *view, uint32_t column,
               la_type type, uint32_t rows, la_piece *piece, la_error *err)
{
    size_t size = 0;
    const uint8_t *data = find_piece(view, column, &size);
    la_status status;

    if (data == NULL) {
        return la_fail_damaged(err, view->path, view->byte,
                               "frame at position %llu has no piece for column %u",
                               (unsigned long long)view->header.position, column);
    }
    status = la_piece_open(env, data, size, type, rows, piece, err);
    if (status == LA_DAMAGED) {
        char why[256] = "";

        if (err != NULL) {
            memcpy(why, err->message, sizeof why - 1);
        }
        return la_fail_damaged(
            err, view->path,
            view->byte + LA_FRAME_HEADER + (uint64_t)(data - view->payload), "%s", why);
    }
    return status;
}

static la_status
bad_dict(const la_frame_view *view, la_error *err)
{
    return la_fail_damaged(err, view->path, view->byte + LA_FRAME_HEADER,
                           "dictionary section of the frame cannot be read");
}

la_status
la_frame_dict(const la_frame_view *view, la_dict_each each, void *arg, la_error *err)
{
    la_bytes in = la_bytes_of(view->payload, view->header.dict_size);
    uint32_t columns;

    if (view->header.dict_size == 0) {
        return LA_OK;
    }
    columns = la_bytes_u32(&in);
    for (uint32_t c = 0; c < columns && !in.bad; c++) {
        uint32_t column = la_bytes_u32(&in);
        uint32_t first = la_bytes_u32(&in);
        uint32_t count = la_bytes_u32(&in);

        for (uint32_t i = 0; i < count && !in.bad; i++) {
            uint64_t size = la_bytes_varint(&in);
            const uint8_t *text;
            la_status status;

            if (in.bad || size > la_bytes_left(&in)) {
                return bad_dict(view, err);
            }
            text = la_bytes_take(&in, (size_t)size);
            if (text == NULL) {
                return bad_dict(view, err);
            }
            status =
                each(arg, column, first + i, (const char *)text, (size_t)size, err);
            if (status != LA_OK) {
                return status == LA_DAMAGED ? bad_dict(view, err) : status;
            }
        }
    }
    return in.bad ? bad_dict(view, err) : LA_OK;
}
