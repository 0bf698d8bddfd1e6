/* SPDX-License-Identifier: Apache-2.0 */
/* A store from the inside: its logs, its views and the one way to publish. */
#ifndef LA_VIEWS_STORE_H
#define LA_VIEWS_STORE_H

#include "base/sync.h"
#include "expr/plan.h"
#include "log/log.h"
#include "views/catalogue.h"

struct la_store {
    const la_env *env;
    char *path;
    uint8_t uuid[16];
    int64_t created_us;
    la_mode mode;
    la_mutex mutex;  /* guards all to the next mutex; held for moments only */
    bool publishing; /* this process holds the publish lock */
    int lock_fd;     /* of LOCK, open while publishing; -1 */
    la_catalogue *catalogue;
    la_view **views;
    uint32_t view_count, view_capacity;
    la_mutex log_mutex; /* guards all below; held while a log is opened. Taken alone */
    la_log **logs;
    uint32_t log_count, log_capacity;
};

struct la_view {
    la_store *store;
    char *name;
    char *folder;
    /* Definition as last seen by this handle: canonical plan. Replaced under store->mutex;
     * retired plans live until close, since callers hold borrowed text. */
    la_plan *plan;
    la_plan **retired;
    uint32_t retired_count;
    /* The query stage's memory of this view: states of the published version and of the tail.
     * Made and freed there. */
    la_mutex cache_mutex;
    void *cache;
    void (*cache_free)(void *cache);
};

/* Newest catalogue, retained. */
LA_MUST_CHECK la_status la_store_catalogue(la_store *store, la_catalogue **out,
                                           la_error *err);
/* An existing log of the store; opened on first use. */
LA_MUST_CHECK la_status la_store_log(la_store *store, const char *name, la_log **out,
                                     la_error *err);
LA_MUST_CHECK la_status la_store_plan(la_store *store, const char *json, la_plan **out,
                                      la_error *err);
/* Names of the folders under logs/ that can be logs, sorted, each with its NUL. */
LA_MUST_CHECK la_status la_store_log_names(la_store *store, la_buf *names,
                                           la_error *err);
/* <store>/views/<name> */
LA_MUST_CHECK la_status la_store_view_folder(const la_store *store, const char *name,
                                             char path[LA_PATH_BYTES_MAX],
                                             la_error *err);
/* The newest catalogue still keeps that version: a file of it that is missing is damage, not
 * the work of a sweep. Also true when the catalogue cannot be read. */
bool la_store_keeps(la_store *store, const char *view_name, uint64_t version);

/* One publisher at a time, in this process and others. LA_BUSY, LA_READONLY. */
LA_MUST_CHECK la_status la_store_publish_lock(la_store *store, la_error *err);
void la_store_publish_unlock(la_store *store);
/* With the lock held: writes `draft`, a copy of the newest catalogue, and installs it. On
 * failure the draft is still the caller's; on success the store keeps it. LA_CONFLICT: the
 * draft was not made from the newest one. LA_BUSY: somebody removed the lock file. LA_UNKNOWN:
 * the new catalogue is visible, but may be gone after a power cut. */
LA_MUST_CHECK la_status la_store_publish(la_store *store, la_catalogue *draft,
                                         la_error *err);
/* With the lock held: unlinks files of the view that no kept version names, once the catalogue
 * that says so is durable. Does nothing where any of that cannot be found out. */
void la_store_sweep(la_store *store, const char *view_name);

#endif
