/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a plan something stands, for error texts: "$.aggs[1].arg[2]". Places live on the
 * stack and point upwards, so a plan without errors pays nothing for them. */
#ifndef LA_EXPR_PLACE_H
#define LA_EXPR_PLACE_H

#include "expr/plan.h"

typedef struct la_place {
    const struct la_place *up; /* NULL: `name` is the whole beginning */
    const char *name;          /* NULL: an item of a list */
    uint32_t index;
} la_place;

static inline la_place
la_place_root(const char *text)
{
    la_place place = {NULL, text, 0};
    return place;
}
static inline la_place
la_place_member(const la_place *up, const char *name)
{
    la_place place = {up, name, 0};
    return place;
}
static inline la_place
la_place_item(const la_place *up, uint32_t index)
{
    la_place place = {up, NULL, index};
    return place;
}

/* la_fail with "<place>: " before the text. */
LA_MUST_CHECK la_status la_place_fail(const la_place *place, la_error *err,
                                      la_status status, const char *format, ...)
    LA_PRINTF(4, 5);
/* Puts "<place>: " before the message of an error that a callee filled. */
LA_MUST_CHECK la_status la_place_wrap(const la_place *place, la_error *err,
                                      const la_error *inner);
/* Refuses members that `names` (NULL at its end) does not have. */
LA_MUST_CHECK la_status la_place_members(const la_place *place, const la_json *object,
                                         const char *const *names, la_error *err);
const char *la_json_kind_text(const la_json *json); /* "text", "an integer", ... */

/* The forms below with a place, for plans. */
LA_MUST_CHECK la_status la_window_parse_at(const la_json *json, const la_place *place,
                                           la_window *out, la_error *err);
bool la_unit_parse(const la_json *json, la_unit *unit);
/* Members "unit" and "count" (1 when absent). */
LA_MUST_CHECK la_status la_unit_count_parse(const la_json *json, const la_place *place,
                                            la_unit *unit, int64_t *count,
                                            la_error *err);

#endif
