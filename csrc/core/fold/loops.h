/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler extensions that fold/'s loops use, each with a plain fallback. */
#ifndef LA_FOLD_LOOPS_H
#define LA_FOLD_LOOPS_H

#if defined(__GNUC__)
#define LA_INLINE static inline __attribute__((always_inline))
#define LA_COLD __attribute__((noinline, cold))
#define LA_LIKELY(x) __builtin_expect(!!(x), 1)
#define LA_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LA_PREFETCH(p) __builtin_prefetch((p), 1, 3)
#else
#define LA_INLINE static inline
#define LA_COLD
#define LA_LIKELY(x) (x)
#define LA_UNLIKELY(x) (x)
#define LA_PREFETCH(p) ((void)(p))
#endif

/* A loop compiled twice, the better one picked at load time (as in expr/kernels.h). */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <stdlib.h> /* __GLIBC__ */
#if defined(__GLIBC__)
#define LA_LOOP __attribute__((target_clones("default", "avx2")))
#endif
#endif
#ifndef LA_LOOP
#define LA_LOOP
#endif

#endif
