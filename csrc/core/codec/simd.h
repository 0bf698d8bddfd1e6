/* SPDX-License-Identifier: Apache-2.0 */
/* The codec's compiler extensions: function clones and vectors. Plain C to every
 * compiler that has GNU vectors; no intrinsics, so other machines need no second
 * version. */
#ifndef LA_CODEC_SIMD_H
#define LA_CODEC_SIMD_H

#include <stdint.h>
#include <stdlib.h> /* __GLIBC__ */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LA_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LA_SANITIZED 1
#endif

/* A function compiled twice, the better one picked at load time. Needs ifuncs, which
 * glibc has and whose resolvers run before a sanitizer is ready. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(LA_SANITIZED) &&             \
    defined(__GNUC__) && !defined(__clang__)
#define LA_CLONES __attribute__((target_clones("default", "avx2")))
#else
#define LA_CLONES
#endif

/* 32 bytes at any address: one AVX2 register, two of SSE2 or NEON. */
#define LA_VECTOR __attribute__((vector_size(32), aligned(1), may_alias))
typedef uint32_t la_v8u32 LA_VECTOR;
typedef uint64_t la_v4u64 LA_VECTOR;
typedef int64_t la_v4i64 LA_VECTOR;
typedef double la_v4f64 LA_VECTOR;

/* Words of memory whose own type is another (doubles). */
typedef uint32_t __attribute__((may_alias)) la_u32_any;
typedef uint64_t __attribute__((may_alias)) la_u64_any;

#define LA_UNROLL _Pragma("GCC unroll 4")

#endif
