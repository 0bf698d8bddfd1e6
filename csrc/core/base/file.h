/* SPDX-License-Identifier: Apache-2.0 */
/* Whole transfers over la_io: short reads and EINTR are handled here only. */
#ifndef LA_BASE_FILE_H
#define LA_BASE_FILE_H

#include "base/mem.h"

/* A descriptor, or a negated errno. Flags as open(2), new files get mode 0600. */
LA_MUST_CHECK int la_file_open(const la_env *env, const char *path, int flags);
/* Exactly `size` bytes, or an error. LA_DAMAGED where the file is shorter. */
LA_MUST_CHECK la_status la_file_read(const la_env *env, int fd, const char *path,
                                     void *to, size_t size, uint64_t byte,
                                     la_error *err);
LA_MUST_CHECK la_status la_file_write(const la_env *env, int fd, const char *path,
                                      const void *from, size_t size, uint64_t byte,
                                      la_error *err);
/* Whole file appended to `to`. LA_NOT_FOUND when absent. */
LA_MUST_CHECK la_status la_file_load(const la_env *env, const char *path, la_buf *to,
                                     la_error *err);
/* New file folder/name with these bytes, durable, never replacing (LA_CONFLICT).
 * LA_UNKNOWN: it is visible, but the folder's sync failed. One publisher of a name at a
 * time. */
LA_MUST_CHECK la_status la_file_publish(const la_env *env, const char *folder,
                                        const char *name, const void *data, size_t size,
                                        la_error *err);
/* Makes a folder and syncs its parent; an existing one is fine. */
LA_MUST_CHECK la_status la_file_mkdir(const la_env *env, const char *path,
                                      la_error *err);
/* path = a "/" b, or b alone for an empty a; LA_INVALID when too long. */
LA_MUST_CHECK la_status la_path_join(char *path, size_t size, const char *a,
                                     const char *b, la_error *err);
/* Names of logs, views and columns that become file names: [A-Za-z0-9_][A-Za-z0-9_.-]*,
 * at most LA_NAME_BYTES_MAX. */
bool la_name_is_valid(const char *name);

#endif
