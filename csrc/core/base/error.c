/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in la_error.
 *
 * Invariants
 *  1. A filled error never keeps anything of an earlier one, except by its own
 *     text: arguments may point into `err` itself, so text is formatted aside, and
 *     copied last.
 *  2. Text that does not fit is cut between characters, never inside one.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[LA_STATUS_COUNT] = {
#define LA_X(name, text) #name,
    LA_STATUS_LIST(LA_X)
#undef LA_X
};

const char *
la_status_name(la_status status)
{
    unsigned index = (unsigned)status;
    return index < LA_STATUS_COUNT ? status_names[index] : "?";
}

/* Drops the first bytes of a character whose rest did not fit. */
static void
cut_to_characters(char *text)
{
    size_t size = strlen(text);
    size_t start = size;
    while (start > 0 && size - start < 4 &&
           ((uint8_t)text[start - 1] & 0xC0u) == 0x80u) {
        start--;
    }
    if (start == 0) {
        return;
    }
    uint8_t lead = (uint8_t)text[start - 1];
    size_t needs = lead < 0xC0u ? 1 : lead < 0xE0u ? 2 : lead < 0xF0u ? 3 : 4;
    if (lead >= 0xC0u && size - (start - 1) < needs) {
        text[start - 1] = '\0';
    }
}

static void
set_text(char *to, size_t to_size, const char *text)
{
    size_t size = strlen(text);
    bool cut = size >= to_size;
    size = cut ? to_size - 1 : size;
    memcpy(to, text, size);
    to[size] = '\0';
    if (cut) {
        cut_to_characters(to);
    }
}

static bool
status_is_retriable(la_status status)
{
    return status == LA_BUSY || status == LA_NOMEM || status == LA_FULL;
}

static void
reset(la_error *err, la_status status)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    err->retriable = status_is_retriable(status);
    err->position = LA_NO_POSITION;
    err->byte = UINT64_MAX;
}

la_status
la_fail(la_error *err, la_status status, const char *format, ...)
{
    if (err == NULL) {
        return status;
    }
    char text[sizeof err->message + 4]; /* room to see that a character was cut */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reset(err, status);
    set_text(err->message, sizeof err->message, text);
    return status;
}

static la_status
status_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
        return LA_FULL;
    case EROFS:
    case EACCES:
        return LA_READONLY;
    case ENOMEM:
        return LA_NOMEM;
    default:
        return LA_IO;
    }
}

/* ": no space left on device": the system's text in our case. */
static void
append_reason(char *text, size_t size, int os_errno)
{
    char buffer[128];
    const char *reason = strerror_r(os_errno, buffer, sizeof buffer);
    size_t used = strlen(text);
    int n = snprintf(text + used, size - used, ": %s", reason);
    /* "No space" becomes "no space", "RPC failed" stays. */
    if (n > 3 && used + 3 < size && text[used + 2] >= 'A' && text[used + 2] <= 'Z' &&
        !(text[used + 3] >= 'A' && text[used + 3] <= 'Z')) {
        text[used + 2] = (char)(text[used + 2] - 'A' + 'a');
    }
}

la_status
la_fail_os(la_error *err, int os_errno, const char *path, const char *format, ...)
{
    la_status status = status_of_errno(os_errno);
    if (err == NULL) {
        return status;
    }
    /* The reason matters more than the end of a long text, so its room is kept. */
    char text[sizeof err->message];
    char kept_path[sizeof err->path];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text - 96, format, args);
    va_end(args);
    cut_to_characters(text);
    append_reason(text, sizeof text, os_errno);
    kept_path[0] = '\0';
    if (path != NULL) {
        la_error aside;
        la_error_path(&aside, path);
        memcpy(kept_path, aside.path, sizeof kept_path);
    }
    reset(err, status);
    err->os_errno = os_errno;
    err->retriable = err->retriable || os_errno == EINTR || os_errno == EAGAIN;
    memcpy(err->path, kept_path, sizeof kept_path);
    set_text(err->message, sizeof err->message, text);
    if (status == LA_FULL) {
        la_error_hint(err,
                      "free some space and try again: nothing that was acknowledged "
                      "is lost, and reading goes on");
    }
    else if (status == LA_READONLY) {
        la_error_hint(err, "open with mode \"r\", or make the folder writable");
    }
    return status;
}

la_status
la_fail_nomem(la_error *err, size_t size)
{
    return la_fail(err, LA_NOMEM, "could not allocate %zu bytes: out of memory", size);
}

la_status
la_fail_damaged(la_error *err, const char *path, uint64_t byte, const char *format, ...)
{
    if (err == NULL) {
        return LA_DAMAGED;
    }
    char text[sizeof err->message + 4];
    la_error aside;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    la_error_path(&aside, path == NULL ? "" : path);
    reset(err, LA_DAMAGED);
    err->byte = byte;
    memcpy(err->path, aside.path, sizeof err->path);
    set_text(err->message, sizeof err->message, text);
    la_error_hint(err,
                  "nothing was changed; verify lists all damage; restore this file "
                  "from a copy");
    return LA_DAMAGED;
}

void
la_error_hint(la_error *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    char text[sizeof err->hint + 4];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    set_text(err->hint, sizeof err->hint, text);
}

void
la_error_path(la_error *err, const char *path)
{
    if (err == NULL) {
        return;
    }
    size_t size = strlen(path);
    if (size < sizeof err->path) {
        memmove(err->path, path, size + 1);
        return;
    }
    /* A path's end tells more than its start. */
    const char *end = path + size - (sizeof err->path - 4);
    while (((uint8_t)*end & 0xC0u) == 0x80u) {
        end++;
    }
    memcpy(err->path, "...", 3);
    memmove(err->path + 3, end, strlen(end) + 1);
}
