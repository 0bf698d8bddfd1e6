/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts that begin with their place in the plan. */
#include "expr/place.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

/* Writes the place and returns its length; a place too long for `text` is cut. */
static size_t
render(const la_place *place, char *text, size_t size)
{
    if (place->up == NULL) {
        int wrote = snprintf(text, size, "%s", place->name);
        return wrote < 0 ? 0 : (size_t)wrote < size ? (size_t)wrote : size - 1;
    }
    size_t at = render(place->up, text, size);
    int wrote = place->name == NULL
                    ? snprintf(text + at, size - at, "[%u]", place->index)
                    : snprintf(text + at, size - at, ".%s", place->name);
    size_t end = at + (wrote < 0 ? 0 : (size_t)wrote);
    return end < size ? end : size - 1;
}

la_status
la_place_fail(const la_place *place, la_error *err, la_status status,
              const char *format, ...)
{
    char at[256];
    char what[sizeof err->message];
    (void)render(place, at, sizeof at);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return la_fail(err, status, "%s: %s", at, what);
}

la_status
la_place_wrap(const la_place *place, la_error *err, const la_error *inner)
{
    la_status status = la_place_fail(place, err, inner->status, "%s", inner->message);
    if (err != NULL) {
        err->byte = inner->byte;
    }
    if (inner->hint[0] != '\0') {
        la_error_hint(err, "%s", inner->hint);
    }
    return status;
}

const char *
la_json_kind_text(const la_json *json)
{
    static const char *const texts[] = {
        [LA_J_NULL] = "null",      [LA_J_BOOL] = "a bool",
        [LA_J_INT] = "an integer", [LA_J_UINT] = "an integer",
        [LA_J_FLOAT] = "a float",  [LA_J_TEXT] = "text",
        [LA_J_ARRAY] = "a list",   [LA_J_OBJECT] = "an object",
    };
    return json == NULL ? "nothing" : texts[json->kind];
}

la_status
la_place_members(const la_place *place, const la_json *object, const char *const *names,
                 la_error *err)
{
    for (uint32_t i = 0; i < object->list.count; i++) {
        const la_json *name = &object->list.items[2 * (size_t)i];
        bool known = false;
        for (const char *const *n = names; *n != NULL && !known; n++) {
            known = la_json_is(name, *n);
        }
        if (known) {
            continue;
        }
        char list[200];
        size_t at = 0;
        for (const char *const *n = names; *n != NULL && at < sizeof list; n++) {
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s",
                                   n == names ? "" : ", ", *n);
        }
        return la_place_fail(place, err, LA_INVALID,
                             "there is no member \"%.60s\" here (members: %s)",
                             name->text.at, list);
    }
    return LA_OK;
}
