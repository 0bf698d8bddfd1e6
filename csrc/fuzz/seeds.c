/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the binary seeds of corpus/ (the texts were written by hand):
 *
 *     make -C csrc fuzz-seeds
 *
 * They come from the writers themselves: run it again when a format changes. */
#include "base/hash.h"
#include "chunk/value.h"
#include "codec/codec.h"
#include "fold/fold.h"
#include "fuzz.h"
#include "log/frame.h"

static la_buf out;

static void
save(const char *target, const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "fuzz/corpus/%s/%s", target, name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f != NULL && !out.failed &&
               fwrite(out.data, 1, out.size, f) == out.size);
    fclose(f);
    la_buf_clear(&out);
}

static void
documents(void)
{
    static const char body[] = "{\"a\":1}";
    la_buf_u8(&out, 3);
    fuzz_put_document(&out, LA_DOC_CATALOGUE, 7, body, sizeof body - 1, NULL);
    save("document", "right");
    la_buf_u8(&out, 4);
    fuzz_put_document(&out, LA_DOC_MANIFEST, 7, body, sizeof body - 1, NULL);
    save("document", "as-is");
}

/* Several shapes of each type, so that every encoding is there. */
static void
pieces(void)
{
    enum { ROWS = 1500 };
    static uint64_t values[ROWS];
    static uint8_t valid[ROWS];
    static uint32_t offsets[ROWS + 1];
    static char heap[ROWS * 8];
    la_codec *codec;
    la_dict *dict;
    uint64_t state = 1;
    char name[40];
    uint32_t code;

    FUZZ_CHECK(la_codec_new(fuzz_env(), &codec, NULL) == LA_OK);
    FUZZ_CHECK(la_dict_new(la_env_system(), &dict, NULL) == LA_OK &&
               la_dict_add(dict, "x", 1, &code, NULL) == LA_OK);
    for (int type = LA_T_BOOL; type < LA_T_JSON; type++) {
        for (int shape = 0; shape < 5; shape++) {
            uint32_t rows = shape == 4 ? 1200 : 90, size = 0;
            for (uint32_t i = 0; i < rows; i++) {
                uint64_t r =
                    (state = state * 6364136223846793005u + 1442695040888963407u) >> 33;
                uint64_t x = shape == 0   ? 5
                             : shape == 1 ? r % 1000
                             : shape == 2 ? i * 10 + (i % 40 == 7 ? 1000000 : 0)
                             : shape == 3 ? r * r
                                          : r % 8;
                double d = shape == 3 ? (double)x * 1e-3 / 7 : (double)x / 100;
                float f = (float)d;
                valid[i] = !(shape % 2 == 1 && r % 9 == 0);
                switch (type) {
                case LA_T_BOOL:
                    ((uint8_t *)values)[i] = (uint8_t)(shape != 0 && r % 2);
                    break;
                case LA_T_I32:
                case LA_T_DATE:
                    ((uint32_t *)values)[i] = (uint32_t)x;
                    break;
                case LA_T_CAT:
                    ((uint32_t *)values)[i] = (uint32_t)(x % 50);
                    break;
                case LA_T_F32:
                    memcpy((float *)values + i, &f, 4);
                    break;
                case LA_T_F64:
                    memcpy(&values[i], &d, 8);
                    break;
                default:
                    values[i] = x;
                }
                offsets[i] = size;
                if (type >= LA_T_STR && valid[i]) {
                    size +=
                        (uint32_t)sprintf(heap + size, "%.7u", (unsigned)(x % 4000000));
                    size -= shape == 3 ? (uint32_t)(r % 8) : 0;
                }
            }
            offsets[rows] = size;
            la_column column = {.type = (la_type)type,
                                .data = values,
                                .valid = valid,
                                .dict = type == LA_T_CAT ? dict : NULL};
            if (type == LA_T_STR || type == LA_T_BYTES) {
                column.data = heap;
                column.offsets = offsets;
            }
            FUZZ_CHECK(la_codec_encode(codec, &column, rows,
                                       shape == 1 ? LA_EFFORT_OPEN : LA_EFFORT_SEALED,
                                       &out, NULL) == LA_OK);
            snprintf(name, sizeof name, "%02d-%d", type, shape);
            if (out.size < 4096) {
                save("piece", name);
            }
            la_buf_clear(&out);
        }
    }
    la_dict_release(dict);
    la_codec_free(codec);
}

static void
keys(void)
{
    const la_chunk *rows = fuzz_chunk();
    char name[40];

    for (uint32_t c = 0; c < rows->column_count; c++) {
        la_buf_u8(&out, (uint8_t)(rows->columns[c].type - 1));
        la_buf_u8(&out, rows->columns[c].scale);
        for (uint32_t i = 0; i < rows->rows; i++) {
            la_value value = la_value_of(&rows->columns[c], i);
            la_key_put(&out, &value);
        }
        snprintf(name, sizeof name, "%02d", rows->columns[c].type);
        save("key", name);
    }
}

/* The groups of the plan in target_partfile.c. */
static void
groups(void)
{
    la_plan *plan = fuzz_plan(
        "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"c\",[\"col\",\"c\"]],[\"i\",[\"col\",\"i\"]]],"
        "\"window\":{\"kind\":\"tumbling\",\"size_us\":3600000000},\"aggs\":["
        "{\"name\":\"n\",\"fn\":\"len\"},{\"name\":\"d\",\"fn\":\"sum\",\"arg\":[\"col\",\"d\"]},"
        "{\"name\":\"s\",\"fn\":\"max\",\"arg\":[\"col\",\"s\"]}]}");
    uint32_t order[64];
    la_fold *fold;
    la_buf part;

    FUZZ_CHECK(la_fold_new(plan, FUZZ_MEMORY_MAX, &fold, NULL) == LA_OK);
    FUZZ_CHECK(la_fold_chunk(fold, fuzz_chunk(), NULL) == LA_OK);
    FUZZ_CHECK(la_fold_sorted(fold, order, NULL) == LA_OK);
    la_buf_init(&part, fuzz_env());
    la_buf_u8(&out, 0);
    for (uint32_t i = 0; i < la_fold_group_count(fold); i++) {
        la_buf_clear(&part);
        la_fold_key(fold, order[i], &part);
        la_buf_varint(&out, part.size);
        la_buf_put(&out, part.data, part.size);
        la_buf_clear(&part);
        la_fold_encode(fold, order[i], &part);
        la_buf_varint(&out, part.size);
        la_buf_put(&out, part.data, part.size);
    }
    save("partfile", "groups");
    la_buf_fini(&part);
    la_fold_free(fold);
    la_plan_release(plan);
}

/* A group's state, and the same one again. */
static void
states(void)
{
    static const uint8_t null_key[] = {0};
    uint32_t count;
    la_plan *const *plans = fuzz_state_plans(&count);
    char name[40];
    la_buf state;

    la_buf_init(&state, fuzz_env());
    for (uint32_t i = 0; i < count; i++) {
        la_fold *fold;
        FUZZ_CHECK(la_fold_new(plans[i], FUZZ_MEMORY_MAX, &fold, NULL) == LA_OK);
        la_buf_clear(&state);
        if (la_fold_chunk(fold, fuzz_chunk(), NULL) == LA_OK) {
            uint32_t group = la_fold_find(fold, null_key, sizeof null_key);
            la_fold_encode(fold, group == UINT32_MAX ? 0 : group, &state);
        }
        la_buf_u8(&out, (uint8_t)i);
        la_buf_u8(&out, (uint8_t)state.size);
        la_buf_put(&out, state.data, state.size);
        la_buf_put(&out, state.data, state.size);
        snprintf(
            name, sizeof name, "%s-%s", plans[i]->aggs[0].kind->name,
            plans[i]->aggs[0].arg == NULL
                ? "none"
                : la_schema_field(fuzz_schema(), plans[i]->aggs[0].arg->column)->name);
        save("state", name);
        la_fold_free(fold);
    }
    la_buf_fini(&state);
}

/* Frames with and without verdicts; the target puts places and checksums right. */
static void
frames(void)
{
    static const uint8_t flags[] = {15, 31, 7, 0};
    static const int64_t ingests[10] = {1, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const uint8_t entry[] = {1, 0, 0, 0, 9, 0,   0, 0, 10, 0, 0, 0,
                                    1, 0, 0, 0, 1, 'q', 0, 0, 0,  0, 0, 0};
    static const uint32_t offsets[] = {0, 3};
    const la_chunk *chunk = fuzz_chunk();
    const la_column text = {.type = LA_T_BYTES, .data = "bad", .offsets = offsets};
    la_column reason = text;
    la_frame_writer writer;
    la_frame_info info;
    char name[40];

    reason.type = LA_T_STR;
    FUZZ_CHECK(la_frame_writer_init(&writer, fuzz_env(), NULL) == LA_OK);
    for (uint32_t i = 0; i < sizeof flags; i++) {
        la_buf frame;
        la_frame_rows rows = {.schema = fuzz_schema(),
                              .time_column = 6,
                              .position = 20,
                              .rows = chunk->rows,
                              .columns = chunk->columns,
                              .ingest_us = 9,
                              .dict = entry,
                              .dict_size = i % 2 ? sizeof entry : 0};
        if (i != 2) {
            rows.verdicts = chunk->verdicts;
            rows.targets = chunk->targets;
            rows.raw = &text;
            rows.reasons = &reason;
            rows.ingests = ingests;
        }
        la_buf_init(&frame, fuzz_env());
        FUZZ_CHECK(la_frame_put(&writer, &rows, 0, 1, 0, LA_EFFORT_OPEN, &frame, &info,
                                NULL) == LA_OK);
        la_buf_u8(&out, flags[i]);
        la_buf_put(&out, frame.data, frame.size);
        snprintf(name, sizeof name, "frame-%u", i);
        save("log", name);
        la_buf_fini(&frame);
    }
    la_frame_writer_fini(&writer);
}

int
main(void)
{
    la_buf_init(&out, fuzz_env());
    documents();
    pieces();
    keys();
    groups();
    states();
    frames();
    la_buf_fini(&out);
    return 0;
}
