/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums against published vectors, and each fast path against its plain one. */
#include "base/hash.h"

#include "test.h"

static void
crc32c_vectors(void)
{
    uint8_t bytes[32];
    CHECK_EQ(la_crc32c(0, "123456789", 9), 0xE3069283);
    CHECK_EQ(la_crc32c(0, "", 0), 0);
    memset(bytes, 0, sizeof bytes); /* RFC 3720, B.4 */
    CHECK_EQ(la_crc32c(0, bytes, 32), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    CHECK_EQ(la_crc32c(0, bytes, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    CHECK_EQ(la_crc32c(0, bytes, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)(31 - i);
    }
    CHECK_EQ(la_crc32c(0, bytes, 32), 0x113FDB5C);
}

static void
check_sha(const void *data, size_t size, const char *expected)
{
    uint8_t digest[32];
    char text[65];
    la_sha256(data, size, digest);
    la_hex(digest, 32, text);
    CHECK_STR(text, expected);
    la_sha256_portable(data, size, digest);
    la_hex(digest, 32, text);
    CHECK_STR(text, expected);
}

static void
sha256_vectors(void)
{
    check_sha("", 0,
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 3,
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *million = malloc(1000000);
    CHECK(million != NULL);
    memset(million, 'a', 1000000);
    check_sha(million, 1000000,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void
xxh3_vectors(void)
{
    CHECK_EQ(la_xxh3("", 0, 0), 0x2D06800538D394C2);
    la_hash128 empty = la_xxh128("", 0, 0);
    CHECK_EQ(empty.lo, 0x6001C324468D497F);
    CHECK_EQ(empty.hi, 0x99AA06D3014798D8);
    CHECK(la_xxh3("a", 1, 0) != la_xxh3("a", 1, 1));
    CHECK(la_xxh128("a", 1, 0).hi != la_xxh128("a", 1, 1).hi);
}

static void
fast_equals_plain(void)
{
    uint64_t rng = test_seed();
    static uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)test_next(&rng);
    }
    for (int i = 0; i < 3000; i++) {
        size_t at = (size_t)test_below(&rng, 64);
        size_t size = (size_t)(i < 300 ? i : (int)test_below(&rng, sizeof bytes - 64));
        uint32_t seed = (uint32_t)test_next(&rng);
        uint32_t crc = la_crc32c(seed, bytes + at, size);
        CHECK_EQ(crc, la_crc32c_portable(seed, bytes + at, size));
        size_t split = (size_t)test_below(&rng, size + 1);
        CHECK_EQ(crc, la_crc32c(la_crc32c(seed, bytes + at, split), bytes + at + split,
                                size - split));
        uint8_t fast[32], plain[32];
        la_sha256(bytes + at, size, fast);
        la_sha256_portable(bytes + at, size, plain);
        CHECK_BYTES(fast, plain, 32);
    }
}

static void
hex_round_trips(void)
{
    uint8_t bytes[256], back[256];
    char text[513];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    la_hex(bytes, 256, text);
    CHECK_EQ(strlen(text), 512);
    CHECK(la_unhex(text, 512, back, 256));
    CHECK_BYTES(back, bytes, 256);
    CHECK(la_unhex("aBcD", 4, back, 2));
    CHECK_BYTES(back, "\xAB\xCD", 2);
    back[0] = 7;
    CHECK(!la_unhex("abc", 3, back, 1));
    CHECK(!la_unhex("abcd", 4, back, 1));
    CHECK(!la_unhex("abcg", 4, back, 2));
    CHECK(!la_unhex("0x12", 4, back, 2));
    CHECK_EQ(back[0], 7);
    CHECK(la_unhex("", 0, back, 0));
}

int
main(void)
{
    RUN(crc32c_vectors);
    RUN(sha256_vectors);
    RUN(xxh3_vectors);
    RUN(fast_equals_plain);
    RUN(hex_round_trips);
    return test_end();
}
