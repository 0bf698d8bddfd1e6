/* SPDX-License-Identifier: Apache-2.0 */
/* Exact sums against plain big integers: bytes and rounding depend on the multiset
 * alone. */
#include "base/rational.h"
#include "fold/exact.h"

#include <math.h>

#include "fault_env.h"
#include "test.h"

/* A reference: two's complement of 2,304 bits in 32-bit pieces, written to be
 * obvious. */
#define PIECES 72

typedef struct big {
    uint32_t piece[PIECES];
} big;

static void
big_add_bit(big *b, int at, int negative)
{
    if (!negative) {
        for (int i = at / 32, carry = at % 32; i < PIECES; i++, carry = 0) {
            uint64_t sum = (uint64_t)b->piece[i] + (UINT64_C(1) << carry);
            b->piece[i] = (uint32_t)sum;
            if (sum >> 32 == 0) {
                return;
            }
        }
        return;
    }
    for (int i = at / 32, borrow = at % 32; i < PIECES; i++, borrow = 0) {
        uint64_t bit = UINT64_C(1) << borrow;
        int under = b->piece[i] < bit;
        b->piece[i] = (uint32_t)(b->piece[i] - bit);
        if (!under) {
            return;
        }
    }
}

static void
big_add(big *b, double x)
{
    int exponent;
    double mantissa = frexp(fabs(x), &exponent);
    uint64_t m = (uint64_t)ldexp(mantissa, 53);
    int at = exponent - 53 + 1074;
    while (at < 0) { /* subnormal: low bits are 0 */
        CHECK((m & 1) == 0);
        m >>= 1;
        at++;
    }
    for (int bit = 0; bit < 53; bit++) {
        if ((m >> bit & 1) != 0) {
            big_add_bit(b, at + bit, x < 0);
        }
    }
}

static int
big_negate_if(big *b)
{
    int negative = (int)(b->piece[PIECES - 1] >> 31);
    if (negative) {
        for (int i = 0; i < PIECES; i++) {
            b->piece[i] = ~b->piece[i];
        }
        big_add_bit(b, 0, 0);
    }
    return negative;
}

static int
big_bit(const big *b, int at)
{
    return at < 0 ? 0 : (int)(b->piece[at / 32] >> (at % 32) & 1);
}

/* Rounds |b| * 2^-1074 / divisor, bit by bit of the quotient. */
static double
big_round(big b, uint64_t divisor)
{
    int negative = big_negate_if(&b);
    static uint8_t quotient[PIECES * 32 + 200];
    unsigned __int128 rest = 0;
    int low = -200, top = -1000;
    memset(quotient, 0, sizeof quotient);
    for (int at = PIECES * 32 - 1; at >= low; at--) {
        rest = rest << 1 | (unsigned)big_bit(&b, at);
        if (rest >= divisor) {
            rest -= divisor;
            quotient[at - low] = 1;
            top = at > top ? at : top;
        }
    }
    if (top == -1000) {
        return 0.0;
    }
    int last = top - 52 > 0 ? top - 52 : 0; /* bit 0 is 2^-1074 */
    uint64_t m = 0;
    for (int at = top; at >= last; at--) {
        m = m << 1 | quotient[at - low];
    }
    int half = quotient[last - 1 - low], sticky = rest != 0;
    for (int at = last - 2; at >= low; at--) {
        sticky |= quotient[at - low];
    }
    if (half && (sticky || (m & 1))) {
        m++;
    }
    double x = last - 1074 > 971 || (last - 1074 == 971 && m >> 53 != 0)
                   ? INFINITY
                   : ldexp((double)m, last - 1074);
    return negative ? -x : x;
}

static uint64_t rng;
static const la_env *env;

static double
double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Finite doubles of many kinds. */
static double
any_double(int kind)
{
    uint64_t bits = test_next(&rng);
    switch (kind) {
    case 0: /* prices */
        return (double)(int64_t)test_below(&rng, 100000) / 100.0;
    case 1: /* any exponent */
        bits &= ~(UINT64_C(0x7ff) << 52);
        return double_of_bits(bits | test_below(&rng, 2047) << 52);
    case 2: /* huge */
        bits &= ~(UINT64_C(0x7ff) << 52);
        return double_of_bits(bits | (2040 + test_below(&rng, 7)) << 52);
    case 3: /* subnormal */
        return double_of_bits(bits & ~(UINT64_C(0x7ff) << 52));
    case 4: /* small integers */
        return (double)(int64_t)test_below(&rng, 2001) - 1000.0;
    case 5: { /* cancelling */
        static double last;
        last = last != 0 ? -last : any_double(1);
        double x = last;
        if (last < 0) {
            last = 0;
        }
        return x;
    }
    case 6: /* powers of two */
        return ldexp(test_below(&rng, 2) ? 1.0 : -1.0,
                     (int)test_below(&rng, 2000) - 1000);
    default:
        return test_below(&rng, 4) == 0 ? any_double((int)test_below(&rng, 7))
                                        : ldexp((double)(bits >> 12), -40);
    }
}

static void
check_same(double found, double expected, const char *what)
{
    uint64_t a, b;
    memcpy(&a, &found, sizeof a);
    memcpy(&b, &expected, sizeof b);
    CHECK_MSG(a == b || (found != found && expected != expected),
              "%s: found %.17g, expected %.17g", what, found, expected);
}

static void
encode(const la_exact *sum, la_buf *to)
{
    la_buf_clear(to);
    la_exact_encode(sum, to);
    CHECK(!to->failed);
}

static void
check_equal_bytes(const la_exact *a, const la_exact *b)
{
    la_buf x, y;
    la_buf_init(&x, env);
    la_buf_init(&y, env);
    encode(a, &x);
    encode(b, &y);
    CHECK_EQ(x.size, y.size);
    CHECK_BYTES(x.data, y.data, x.size);
    la_exact back = {0, 0, NULL, 0};
    la_bytes from = la_bytes_of(x.data, x.size);
    CHECK(la_exact_decode(&back, &from, env) && la_bytes_left(&from) == 0);
    encode(&back, &y);
    CHECK_EQ(x.size, y.size);
    CHECK_BYTES(x.data, y.data, x.size);
    la_exact_fini(&back, env);
    la_buf_fini(&x);
    la_buf_fini(&y);
}

#define VALUES 300

static void
sums_match_big_integers(void)
{
    double x[VALUES];
    for (int round = 0; round < 1500; round++) {
        int kind = round % 8, count = 1 + (int)test_below(&rng, VALUES);
        big reference = {{0}};
        la_exact one = {0, 0, NULL, 0}, many = one,
                 parts[5] = {one, one, one, one, one};
        la_exact merged = one;
        for (int i = 0; i < count; i++) {
            x[i] = any_double(kind);
            big_add(&reference, x[i]);
            CHECK(la_exact_add(&one, x[i], env));
        }
        CHECK(la_exact_add_many(&many, x, (size_t)count, env));
        for (int i = count - 1; i >= 0; i--) { /* another order, five parts */
            CHECK(la_exact_add(&parts[test_below(&rng, 5)], x[i], env));
        }
        for (int i = 0; i < 5; i++) {
            CHECK(la_exact_merge(&merged, &parts[(i * 3 + round) % 5], env));
        }
        check_equal_bytes(&one, &many);
        check_equal_bytes(&one, &merged);
        check_same(la_exact_round(&one, 1), big_round(reference, 1), "sum");
        uint64_t divisors[] = {2,
                               3,
                               7,
                               (uint64_t)count,
                               1000003,
                               UINT64_MAX,
                               test_next(&rng) | 1,
                               UINT64_C(1) << 63};
        for (size_t d = 0; d < sizeof divisors / sizeof divisors[0]; d++) {
            check_same(la_exact_round(&merged, divisors[d]),
                       big_round(reference, divisors[d]), "mean");
        }
        la_exact_fini(&one, env);
        la_exact_fini(&many, env);
        la_exact_fini(&merged, env);
        for (int i = 0; i < 5; i++) {
            la_exact_fini(&parts[i], env);
        }
    }
}

static double
sum_of(const double *x, size_t count, uint64_t divisor)
{
    la_exact sum = {0, 0, NULL, 0}, many = sum;
    for (size_t i = 0; i < count; i++) {
        CHECK(la_exact_add(&sum, x[i], env));
    }
    CHECK(la_exact_add_many(&many, x, count, env));
    check_equal_bytes(&sum, &many);
    double result = la_exact_round(&sum, divisor);
    la_exact_fini(&sum, env);
    la_exact_fini(&many, env);
    return result;
}
#define SUM(divisor, ...)                                                              \
    sum_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / 8,   \
           divisor)

static void
known_sums(void)
{
    check_same(SUM(1, 0.1, 0.2, 0.3, -0.6), 0.1 / 0.1 * 2.7755575615628914e-17,
               "tenths");
    check_same(SUM(1, 1e308, 1e308, -1e308), 1e308, "fsum raises here");
    check_same(SUM(1, 1e308, 1e308), INFINITY, "beyond range");
    check_same(SUM(2, 1.7e308, 1.7e308), 1.7e308, "a mean within range");
    check_same(SUM(1, 1e16, 1.0, -1e16), 1.0, "cancelled");
    check_same(SUM(1, 1e300, 1e-300, -1e300), 1e-300, "far apart");
    check_same(SUM(1, 9007199254740992.0, 1.0), 9007199254740992.0, "half, to even");
    check_same(SUM(1, 9007199254740992.0, 1.0, 5e-324), 9007199254740994.0,
               "just above half");
    check_same(SUM(1, 9007199254740994.0, 1.0), 9007199254740996.0, "half, up to even");
    check_same(SUM(1, -0.0), 0.0, "no negative zero");
    check_same(SUM(1, 1.0, -1.0), 0.0, "exact zero");
    check_same(SUM(2, 5e-324), 0.0, "half the least, to even");
    check_same(SUM(2, 1.5e-323), 1e-323, "three halves of the least, to even");
    check_same(SUM(1, 5e-324, 5e-324), 1e-323, "subnormals");
    check_same(SUM(1, INFINITY, 1.0), INFINITY, "infinity");
    check_same(SUM(1, INFINITY, -INFINITY), NAN, "both infinities");
    check_same(SUM(1, NAN, 1.0, INFINITY), NAN, "nan");
    double limit = 1.7976931348623157e308, half_ulp = 9.9792015476736e291;
    check_same(SUM(1, limit, half_ulp / 2), limit, "below half of the last step");
    check_same(SUM(1, limit, half_ulp), INFINITY, "half of the last step");
}

static void
infinities_are_counted_apart(void)
{
    la_exact a = {0, 0, NULL, 0}, b = a;
    const double x[] = {INFINITY, NAN, 3.25, -INFINITY, NAN, 1e-310, -0.0, INFINITY};
    for (int i = 0; i < 8; i++) {
        CHECK(la_exact_add(&a, x[i], env));
        CHECK(la_exact_add(&b, x[7 - i], env));
    }
    check_equal_bytes(&a, &b);
    la_exact_fini(&a, env);
    la_exact_fini(&b, env);
}

static void
lanes_fall_back_value_by_value(void)
{
    static double x[5000];
    for (int round = 0; round < 40; round++) {
        la_exact one = {0, 0, NULL, 0}, many = one;
        for (int i = 0; i < 5000; i++) {
            x[i] = (double)(int64_t)test_below(&rng, 1000000) / 100.0 - 3000;
            if (round > 3 && test_below(&rng, 700) == 0) {
                x[i] = any_double((int)test_below(&rng, 8));
            }
            if (round > 20 && test_below(&rng, 2000) == 0) {
                x[i] = test_below(&rng, 2) ? NAN : -INFINITY;
            }
            CHECK(la_exact_add(&one, x[i], env));
        }
        CHECK(la_exact_add_many(&many, x, 5000, env));
        check_equal_bytes(&one, &many);
        la_exact_fini(&one, env);
        la_exact_fini(&many, env);
    }
}

static void
hostile_bytes_are_refused_or_canonical(void)
{
    la_buf out;
    la_buf_init(&out, env);
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[64];
        size_t size = test_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] =
                (uint8_t)(i == 0 || test_below(&rng, 3) == 0 ? test_below(&rng, 40)
                                                             : test_next(&rng));
        }
        if (size > 0 && test_below(&rng, 2)) { /* nearly right */
            bytes[0] = (uint8_t)(16 | test_below(&rng, 2) << 3);
            if (size > 2) {
                bytes[1] = (uint8_t)test_below(&rng, 36);
                bytes[2] = (uint8_t)test_below(&rng, 9);
            }
        }
        la_exact sum = {0, 0, NULL, 0};
        la_bytes from = la_bytes_of(bytes, size);
        if (la_exact_decode(&sum, &from, env)) {
            size_t taken = size - la_bytes_left(&from);
            encode(&sum, &out);
            CHECK_EQ(out.size, taken);
            CHECK_BYTES(out.data, bytes, taken);
            (void)la_exact_round(&sum, 3);
        }
        la_exact_fini(&sum, env);
    }
    la_buf_fini(&out);
}

static void
failed_allocations_change_nothing(void)
{
    fault_env f;
    fault_env_init(&f, env);
    la_exact sum = {0, 0, NULL, 0}, other = sum;
    la_buf before, after;
    la_buf_init(&before, env);
    la_buf_init(&after, env);
    CHECK(la_exact_add(&sum, 1e300, &f.env));
    CHECK(la_exact_add(&other, 1e-300, &f.env));
    encode(&sum, &before);
    fault_env_fail_at(&f, 1, true);
    CHECK(!la_exact_add(&sum, 1e-300, &f.env));
    CHECK(!la_exact_add(&sum, NAN, &f.env));
    CHECK(!la_exact_merge(&sum, &other, &f.env));
    encode(&sum, &after);
    CHECK_EQ(before.size, after.size);
    CHECK_BYTES(before.data, after.data, after.size);
    la_exact_fini(&sum, &f.env);
    la_exact_fini(&other, &f.env);
    CHECK_EQ(fault_env_in_use(&f), 0);
    la_buf_fini(&before);
    la_buf_fini(&after);
}

static void
ratios_round_once(void)
{
    for (int round = 0; round < 20000; round++) {
        int64_t a = (int64_t)test_next(&rng) >> test_below(&rng, 60);
        uint64_t d = test_next(&rng) >> (11 + test_below(&rng, 50)) | 1;
        /* Both exact doubles: one division rounds once. */
        int64_t n = a >> 11;
        check_same(la_i128_ratio(n, d, 0), n == 0 ? 0.0 : (double)n / (double)d,
                   "ratio");
        check_same(la_i128_ratio(n, 1, 5), n == 0 ? 0.0 : (double)n / 1e5, "scale");
    }
    __int128 top = ((__int128)1 << 126) - 1 + ((__int128)1 << 126);
    check_same(la_i128_ratio(top, 1, 0), 0x1p127, "2^127 - 1");
    check_same(la_i128_ratio(-top - 1, 1, 0), -0x1p127, "-2^127");
    check_same(la_i128_ratio(1, UINT64_MAX, 18), 0x1p-64 / 1e18, "small");
    char text[48];
    la_i128_text(-top - 1, text);
    CHECK_STR(text, "-170141183460469231731687303715884105728");
    la_i128_text(0, text);
    CHECK_STR(text, "0");
}

int
main(void)
{
    env = la_env_system();
    rng = test_seed();
    RUN(known_sums);
    RUN(sums_match_big_integers);
    RUN(infinities_are_counted_apart);
    RUN(lanes_fall_back_value_by_value);
    RUN(hostile_bytes_are_refused_or_canonical);
    RUN(failed_allocations_change_nothing);
    RUN(ratios_round_once);
    return test_end();
}
