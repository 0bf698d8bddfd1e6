/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory that loses what was not synced (reliability.md, "Crash
 * simulator").
 *
 *     sim *base = sim_new(seed);           ... prepare files through sim_env(base) ...
 *     for (uint64_t n = 1;; n++) {
 *         sim *s = sim_clone(base);
 *         sim_crash_at(s, n);              the n-th change from now on fails with EIO,
 *         work(sim_env(s));                and all calls after it; close as usual
 *         if (!sim_crashed(s)) {
 *             sim_free(s);
 *             break;
 *         }
 *         for (uint64_t variant = 0; variant < 32; variant++) {
 *             sim *after = sim_survivor(s, variant);
 *             check(sim_env(after));
 *             sim_free(after);
 *         }
 *         sim_free(s);
 *     }
 *
 * MODEL. Each file has a cache image (what calls see) and a durable image, and between
 * them atoms in the order of the calls: 512-byte sector writes, size changes, a cut to
 * nothing (O_TRUNC). Each folder has the same for names: link, unlink, rename.
 * fdatasync commits one file's data and size, sync_dir one folder's names; nothing else
 * commits anything, and any atom may reach the disk early, alone, and (a sector) in
 * part. A new file's name is not committed by syncing the file. A rename inside one
 * folder is one atom.
 *
 * A failed fdatasync drops its atoms while the cache keeps the content: the pages look
 * clean, a later successful fdatasync does not write them (F6).
 *
 * Clocks are deterministic and advance with each call; randomness comes from the seed.
 * All functions of la_io may be called from any thread; the sim_* functions only while
 * no other thread is inside. sim_crash_at and sim_fail_at count from now on. */
#ifndef LA_TESTS_SIM_ENV_H
#define LA_TESTS_SIM_ENV_H

#include <stdio.h>

#include "lambdaarch.h"

typedef struct sim sim;

typedef enum sim_scope {
    SIM_CALLS,   /* every call but clocks and unmap */
    SIM_CHANGES, /* open with O_CREAT or O_TRUNC, pwrite, both syncs, rename, unlink,
                    mkdir, map_shared writable */
    SIM_WRITES,  /* pwrite */
    SIM_SYNCS,   /* fdatasync and sync_dir */
    SIM_SCOPES
} sim_scope;

sim *
sim_new(uint64_t seed); /* an empty, durable root folder "/"; also the current one */
void sim_free(sim *s);
const la_env *sim_env(sim *s); /* valid until sim_free */
/* Same images, names and atoms, without open files, locks and mappings; faults
 * disarmed. */
sim *sim_clone(const sim *s);

uint64_t sim_call_count(const sim *s, sim_scope scope); /* since sim_new */

/* ---- crashes */
void sim_crash_at(sim *s, uint64_t n); /* n-th of SIM_CHANGES, n >= 1; 0 disarms */
bool sim_crashed(const sim *s);
/* The power is cut now: which atoms survive is chosen by `variant`. 0: none. 1: all.
 * Above: pseudo-random by variant and seed: subsets with several densities, prefixes in
 * time, all but one, only one, names without data, data without names; sectors torn;
 * where the size survives without data, zeros or stale bytes. Open files, locks and
 * mappings are gone. */
void sim_reboot(sim *s, uint64_t variant);
sim *sim_survivor(const sim *s,
                  uint64_t variant); /* the same as a new one; `s` stays */
/* Exactly: atom i (in time order, up to 64 of them) survives when bit i is set. */
size_t sim_pending(const sim *s); /* atoms not committed */
sim *sim_survivor_of(const sim *s, uint64_t atoms);
/* The process is killed, the machine runs on: open files and locks are gone, the cache
 * and the atoms stay. */
void sim_kill(sim *s);

/* ---- faults */
/* The n-th call in `scope` from now on, n >= 1, fails with os_errno (> 0), then all
 * later ones of the scope too when `forever`. A failing pwrite may have written a part.
 * 0 disarms. */
void sim_fail_at(sim *s, sim_scope scope, uint64_t n, int os_errno, bool forever);
bool sim_fired(const sim *s); /* a fault happened since sim_fail_at */
void sim_short_transfers(sim *s,
                         bool on); /* pread and pwrite move random shorter sizes */
/* Bytes that all files together may have, above: a short write, then ENOSPC. */
void sim_space(sim *s, uint64_t bytes);

/* ---- looking and damaging */
size_t sim_open_files(const sim *s);
size_t sim_open_maps(const sim *s);
bool sim_exists(const sim *s, const char *path);
/* What reads would give; valid until the next change. NULL: no such file. */
const uint8_t *sim_content(const sim *s, const char *path, size_t *size);
/* Damage on the disk itself, seen by all: cache and durable image. false: no such byte.
 */
bool sim_flip(sim *s, const char *path, uint64_t byte, uint8_t mask);
bool sim_cut(sim *s, const char *path, uint64_t size);
void sim_advance(sim *s, int64_t us);  /* both clocks; below 0 the wall clock alone */
void sim_dump(const sim *s, FILE *to); /* names, sizes, atoms */

#endif
