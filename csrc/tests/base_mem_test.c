/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, byte readers, arenas: values round trip, ends are respected, no byte is
 * leaked when any allocation fails. */
#include "base/mem.h"

#include "fault_env.h"
#include "test.h"

static void
round_trips_numbers(void)
{
    la_buf buf;
    la_buf_init(&buf, la_env_system());
    la_buf_u8(&buf, 0xAB);
    la_buf_u16(&buf, 0x1234);
    la_buf_u32(&buf, 0xDEADBEEF);
    la_buf_u64(&buf, 0x0123456789ABCDEF);
    CHECK_BYTES(buf.data,
                "\xAB\x34\x12\xEF\xBE\xAD\xDE\xEF\xCD\xAB\x89\x67\x45\x23\x01", 15);
    la_buf_align(&buf, 8);
    CHECK_EQ(buf.size, 16);
    la_buf_align(&buf, 8);
    CHECK_EQ(buf.size, 16);
    la_buf_printf(&buf, "%s-%d", "x", 42);
    la_buf_text(&buf, "!");
    la_bytes b = la_bytes_of(buf.data, buf.size);
    CHECK_EQ(la_bytes_u8(&b), 0xAB);
    CHECK_EQ(la_bytes_u16(&b), 0x1234);
    CHECK_EQ(la_bytes_u32(&b), 0xDEADBEEF);
    CHECK_EQ(la_bytes_u64(&b), 0x0123456789ABCDEF);
    CHECK_EQ(la_bytes_u8(&b), 0);
    CHECK_EQ(la_bytes_left(&b), 5);
    CHECK_BYTES(la_bytes_take(&b, 5), "x-42!", 5);
    CHECK(!b.bad);
    CHECK_EQ(la_bytes_u8(&b), 0);
    CHECK(b.bad);
    la_buf_fini(&buf);
    la_buf_fini(&buf);
}

static void
latches_short_reads(void)
{
    static const uint8_t bytes[4] = {1, 2, 3, 4};
    la_bytes b = la_bytes_of(bytes, 4);
    CHECK_EQ(la_bytes_u64(&b), 0);
    CHECK(b.bad);
    CHECK_EQ(la_bytes_u8(&b), 0); /* although bytes are left */
    b = la_bytes_of(bytes, 4);
    CHECK(la_bytes_take(&b, SIZE_MAX) == NULL);
}

static void
round_trips_varints(void)
{
    uint64_t rng = test_seed();
    la_buf buf;
    la_buf_init(&buf, la_env_system());
    for (int i = 0; i < 20000; i++) {
        uint64_t v = i < 130   ? (uint64_t)i
                     : i < 194 ? (uint64_t)1 << (i - 130)
                     : i < 258 ? UINT64_MAX >> (i - 194)
                               : test_next(&rng) >> (test_next(&rng) % 64);
        la_buf_clear(&buf);
        la_buf_varint(&buf, v);
        la_bytes b = la_bytes_of(buf.data, buf.size);
        CHECK_EQ(la_bytes_varint(&b), v);
        CHECK(!b.bad && la_bytes_left(&b) == 0);
        for (size_t cut = 0; cut < buf.size; cut++) {
            b = la_bytes_of(buf.data, cut);
            CHECK_EQ(la_bytes_varint(&b), 0);
            CHECK(b.bad);
        }
    }
    la_buf_fini(&buf);
    static const struct {
        uint8_t bytes[11];
        size_t size;
    } wrong[] = {{{0x80, 0x00}, 2}, /* 0, longer than needed */
                 {{0xFF, 0x80, 0x00}, 3},
                 {{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, 10}, /* 65 bits */
                 {{128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1}, 11}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        la_bytes b = la_bytes_of(wrong[i].bytes, wrong[i].size);
        CHECK_EQ(la_bytes_varint(&b), 0);
        CHECK_MSG(b.bad, "case %zu", i);
    }
}

static void
refuses_sizes_that_wrap(void)
{
    const la_env *env = la_env_system();
    CHECK(la_calloc(env, SIZE_MAX / 2, 3) == NULL);
    la_buf buf;
    la_buf_init(&buf, env);
    la_buf_u8(&buf, 1);
    CHECK(la_buf_room(&buf, SIZE_MAX - 1) == NULL);
    CHECK(buf.failed);
    la_buf_u8(&buf, 2);
    CHECK_EQ(buf.size, 1);
    la_buf_fini(&buf);
    CHECK(!buf.failed);
    la_arena arena;
    la_arena_init(&arena, env);
    CHECK(la_arena_alloc(&arena, SIZE_MAX) == NULL);
    CHECK(la_arena_alloc(&arena, SIZE_MAX - 7) == NULL);
    CHECK(la_arena_strndup(&arena, "x", SIZE_MAX) == NULL);
    la_arena_fini(&arena);
}

static void
copies_texts(void)
{
    const la_env *env = la_env_system();
    char *a = la_strdup(env, "hello");
    char *b = la_strndup(env, "hello", 3);
    char *c = la_strndup(env, "he\0lo", 5); /* la_strfree must find the size */
    CHECK_STR(a, "hello");
    CHECK_STR(b, "hel");
    CHECK_STR(c, "he");
    la_strfree(env, a);
    la_strfree(env, b);
    la_strfree(env, c);
    la_strfree(env, NULL);
}

static void
keeps_arena_pieces(void)
{
    uint64_t rng = test_seed();
    fault_env f;
    fault_env_init(&f, la_env_system());
    la_arena arena;
    la_arena_init(&arena, &f.env);
    for (int round = 0; round < 5; round++) {
        enum { PIECES = 3000 };
        static struct {
            uint8_t *at;
            size_t size;
        } pieces[PIECES];
        size_t used = 0;
        for (int i = 0; i < PIECES; i++) {
            size_t size = (size_t)test_below(&rng, i % 100 == 0 ? 300000 : 200);
            pieces[i].at = la_arena_alloc(&arena, size);
            pieces[i].size = size;
            CHECK(pieces[i].at != NULL);
            CHECK_EQ((uintptr_t)pieces[i].at % 8, 0);
            memset(pieces[i].at, i & 255, size);
            used += size;
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t j = 0; j < pieces[i].size; j++) {
                CHECK_EQ(pieces[i].at[j], i & 255);
            }
        }
        CHECK(arena.used >= used && arena.total >= arena.used);
        CHECK_EQ(arena.total, fault_env_in_use(&f));
        la_arena_reset(&arena);
        CHECK_EQ(arena.used, 0);
        CHECK_EQ(arena.total, fault_env_in_use(&f));
    }
    la_arena_fini(&arena);
    CHECK_EQ(fault_env_in_use(&f), 0);
    CHECK_EQ(arena.total, 0);
}

static void
survives_each_allocation_failure(void)
{
    for (int forever = 0; forever < 2; forever++) {
        fault_env f;
        fault_env_init(&f, la_env_system());
        for (uint64_t n = 1;; n++) {
            fault_env_fail_at(&f, n, forever != 0);
            la_buf buf;
            la_arena arena;
            la_buf_init(&buf, &f.env);
            la_arena_init(&arena, &f.env);
            bool got_null = false;
            for (int i = 0; i < 3000; i++) {
                la_buf_u64(&buf, (uint64_t)i);
                void *piece = la_arena_alloc(&arena, (size_t)(i % 9) * 700);
                got_null = got_null || piece == NULL;
            }
            bool fired = fault_env_fired(&f);
            CHECK_EQ(fired, buf.failed || got_null);
            for (size_t i = 0; i * 8 < buf.size; i++) {
                CHECK_EQ(la_load_u64(buf.data + 8 * i), i);
            }
            la_buf_fini(&buf);
            la_arena_fini(&arena);
            CHECK_EQ(fault_env_in_use(&f), 0);
            if (!fired) {
                break;
            }
        }
    }
}

int
main(void)
{
    RUN(round_trips_numbers);
    RUN(latches_short_reads);
    RUN(round_trips_varints);
    RUN(refuses_sizes_that_wrap);
    RUN(copies_texts);
    RUN(keeps_arena_pieces);
    RUN(survives_each_allocation_failure);
    return test_end();
}
