/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums and digests; the only folder that includes xxHash and OpenSSL. */
#ifndef LA_BASE_HASH_H
#define LA_BASE_HASH_H

#include "lambdaarch.h"

typedef struct la_hash128 {
    uint64_t lo, hi;
} la_hash128;

uint32_t la_crc32c(uint32_t seed, const void *data, size_t size); /* Castagnoli */
uint64_t la_xxh3(const void *data, size_t size, uint64_t seed);   /* XXH3-64 */
la_hash128 la_xxh128(const void *data, size_t size, uint64_t seed);
void la_sha256(const void *data, size_t size, uint8_t digest[32]);
/* The plain code behind the two above, for tests that compare it with the fast one. */
uint32_t la_crc32c_portable(uint32_t seed, const void *data, size_t size);
void la_sha256_portable(const void *data, size_t size, uint8_t digest[32]);

void la_hex(const void *data, size_t size, char *text); /* 2 * size + 1 bytes */
/* false: not exactly `size` bytes in hex digits of either case; `data` is untouched. */
bool la_unhex(const char *text, size_t text_size, void *data, size_t size);

/* A strong 64-bit mixer for table hashing in memory (never on disk). */
static inline uint64_t
la_mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

#endif
