/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums and digests.
 *
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) in the usual form: seed 0
 * starts, la_crc32c(la_crc32c(0, a), b) == la_crc32c(0, ab). SSE4.2 has it as an
 * instruction, looked for once at run time; elsewhere eight tables take eight bytes a
 * step ("slicing by 8").
 *
 * XXH3 comes inlined from the xxHash header: short keys then cost no call.
 *
 * SHA-256 comes from OpenSSL, which uses the processor's instructions. OpenSSL
 * allocates and may be refused memory; then the plain code below gives the same digest,
 * so la_sha256 cannot fail. */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* ------------------------------------------------------------------- CRC32C */

static uint32_t crc_tables[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static bool crc_in_hardware;

static void
crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
        }
        crc_tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++) {
            uint32_t before = crc_tables[t - 1][i];
            crc_tables[t][i] = (before >> 8) ^ crc_tables[0][before & 0xFFu];
        }
    }
#if defined(__x86_64__)
    crc_in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

/* About 2 GB/s. */
static uint32_t
crc_by_tables(uint32_t crc, const uint8_t *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t lo = la_load_u32(at) ^ crc;
        uint32_t hi = la_load_u32(at + 4);
        crc = crc_tables[7][lo & 0xFFu] ^ crc_tables[6][(lo >> 8) & 0xFFu] ^
              crc_tables[5][(lo >> 16) & 0xFFu] ^ crc_tables[4][lo >> 24] ^
              crc_tables[3][hi & 0xFFu] ^ crc_tables[2][(hi >> 8) & 0xFFu] ^
              crc_tables[1][(hi >> 16) & 0xFFu] ^ crc_tables[0][hi >> 24];
    }
    for (; size > 0; at++, size--) {
        crc = (crc >> 8) ^ crc_tables[0][(crc ^ *at) & 0xFFu];
    }
    return crc;
}

#if defined(__x86_64__)
/* Eight bytes each three cycles; headers are short, so no interleaving of streams. */
__attribute__((target("sse4.2"))) static uint32_t
crc_by_sse42(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; at += 8, size -= 8) {
        wide = _mm_crc32_u64(wide, la_load_u64(at));
    }
    crc = (uint32_t)wide;
    for (; size > 0; at++, size--) {
        crc = _mm_crc32_u8(crc, *at);
    }
    return crc;
}
#endif

uint32_t
la_crc32c(uint32_t seed, const void *data, size_t size)
{
    pthread_once(&crc_once, crc_init);
#if defined(__x86_64__)
    if (crc_in_hardware) {
        return ~crc_by_sse42(~seed, data, size);
    }
#endif
    return ~crc_by_tables(~seed, data, size);
}

uint32_t
la_crc32c_portable(uint32_t seed, const void *data, size_t size)
{
    pthread_once(&crc_once, crc_init);
    return ~crc_by_tables(~seed, data, size);
}

/* -------------------------------------------------------------------- xxHash */

uint64_t
la_xxh3(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

la_hash128
la_xxh128(const void *data, size_t size, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(data, size, seed);
    la_hash128 out = {h.low64, h.high64};
    return out;
}

/* ------------------------------------------------------------------- SHA-256 */

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

static uint32_t
rotr(uint32_t x, unsigned by)
{
    return (x >> by) | (x << (32 - by));
}

/* FIPS 180-4, 6.2.2. */
static void
sha_block(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        w[i] = __builtin_bswap32(la_load_u32(block + 4 * i));
    }
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) +
                      ((e & f) ^ (~e & g)) + sha_k[i] + w[i];
        uint32_t t2 =
            (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void
la_sha256_portable(const void *data, size_t size, uint8_t digest[32])
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *at = data;
    size_t left = size;
    for (; left >= 64; at += 64, left -= 64) {
        sha_block(state, at);
    }
    uint8_t tail[128] = {0};
    if (left > 0) {
        memcpy(tail, at, left);
    }
    tail[left] = 0x80;
    size_t tail_size = left < 56 ? 64 : 128;
    la_store_u64(tail + tail_size - 8, __builtin_bswap64((uint64_t)size * 8));
    sha_block(state, tail);
    if (tail_size == 128) {
        sha_block(state, tail + 64);
    }
    for (int i = 0; i < 8; i++) {
        la_store_u32(digest + 4 * i, __builtin_bswap32(state[i]));
    }
}

static const EVP_MD *sha_method;
static pthread_once_t sha_once = PTHREAD_ONCE_INIT;

static void
sha_init(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    /* Fetched once and kept: looking it up costs more than hashing a short text. */
    sha_method = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
    sha_method = EVP_sha256();
#endif
}

void
la_sha256(const void *data, size_t size, uint8_t digest[32])
{
    pthread_once(&sha_once, sha_init);
    unsigned written = 0;
    if (sha_method == NULL ||
        EVP_Digest(data, size, digest, &written, sha_method, NULL) != 1 ||
        written != 32) {
        la_sha256_portable(data, size, digest);
    }
}

/* ----------------------------------------------------------------------- hex */

void
la_hex(const void *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[at[i] >> 4];
        text[2 * i + 1] = digits[at[i] & 15u];
    }
    text[2 * size] = '\0';
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool
la_unhex(const char *text, size_t text_size, void *data, size_t size)
{
    if (text_size % 2 != 0 || text_size / 2 != size) {
        return false;
    }
    for (size_t i = 0; i < text_size; i++) {
        if (hex_digit(text[i]) < 0) {
            return false; /* before anything was written */
        }
    }
    uint8_t *to = data;
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    }
    return true;
}
