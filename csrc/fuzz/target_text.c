/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values: byte 0 is the type, byte 1 a decimal's scale, the rest the text. The text that a
 * value is shown as reads as the same value. */
#include "chunk/value.h"
#include "fuzz.h"
#include "ingest/text.h"

static la_status
parse(la_type type, uint8_t scale, const char *text, size_t size, la_value *out)
{
    bool b;
    float f;
    int32_t days;
    la_status status;

    *out = (la_value){.type = type, .scale = scale};
    switch (type) {
    case LA_T_BOOL:
        status = la_parse_bool(text, size, &b, NULL);
        out->i64 = status == LA_OK && b;
        return status;
    case LA_T_DATE:
        status = la_parse_date(text, size, &days, NULL);
        out->i64 = status == LA_OK ? days : 0;
        return status;
    case LA_T_TIME:
        return la_parse_time(text, size, &out->i64, NULL);
    case LA_T_DECIMAL:
        return la_parse_decimal(text, size, scale, &out->i64, NULL);
    case LA_T_I64:
        return la_parse_i64(text, size, &out->i64, NULL);
    case LA_T_U64:
        return la_parse_u64(text, size, (uint64_t *)&out->i64, NULL);
    case LA_T_F32:
        status = la_parse_f32(text, size, &f, NULL);
        out->f64 = status == LA_OK ? (double)f : 0;
        return status;
    default:
        return la_parse_f64(text, size, &out->f64, NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const la_type types[] = {LA_T_BOOL, LA_T_I64,  LA_T_U64,  LA_T_F32,
                                    LA_T_F64,  LA_T_TIME, LA_T_DATE, LA_T_DECIMAL};
    la_value value, again;
    la_error err = {0};
    la_buf shown;

    if (size < 2) {
        return 0;
    }
    fuzz_begin();
    la_type type = types[data[0] % 8];
    uint8_t scale = type == LA_T_DECIMAL ? data[1] % 19 : 0;
    /* A copy of its own: the byte behind the text must not be read. */
    char *text = malloc(size - 2);
    memcpy(text, data + 2, size - 2);
    la_buf_init(&shown, fuzz_env());
    if (parse(type, scale, text, size - 2, &value) == LA_OK) {
        la_value_text(&shown, &value);
        FUZZ_CHECK(parse(type, scale, (const char *)shown.data, shown.size, &again) ==
                   LA_OK);
        FUZZ_CHECK(again.i64 == value.i64 ||
                   (value.f64 != value.f64 && again.f64 != again.f64));
    }
    else if (type == LA_T_TIME) {
        FUZZ_CHECK(la_parse_time(text, size - 2, &value.i64, &err) != LA_OK &&
                   err.message[0] != '\0');
    }
    la_buf_fini(&shown);
    free(text);
    return fuzz_end();
}
