/* SPDX-License-Identifier: Apache-2.0 */
/* Catalogues: a copy is its original, what is written is read, and a body that no writer makes
 * is refused, whatever its hash says. */
#include "views/catalogue.h"

#include "base/file.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define FOLDER "/catalogue"

static const uint8_t uuid[16] = {9, 8, 7};
static sim *disk;
static const la_env *env;

static void
set_up(void)
{
    la_error err;
    disk = sim_new(1);
    env = sim_env(disk);
    CHECK_OK(la_file_mkdir(env, FOLDER, &err), &err);
}

#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32
#define COUNTS                                                                         \
    "{\"counted\":5,\"filtered\":0,\"failed\":1,\"late\":0,\"duplicate\":0,"           \
    "\"retracted\":0,\"quarantined\":0,\"erased\":0,"                                  \
    "\"failed_by\":{\"division by zero\":1},\"failed_first\":3}"
#define VERSION(n)                                                                     \
    "{\"bytes\":9,\"content_hash\":\"" HEX32 "\",\"counts\":" COUNTS                   \
    ",\"cutoff\":{\"orders\":6},\"fingerprint\":\"" HEX64                              \
    "\",\"groups\":2,\"incremental\":false,\"list\":{\"digest\":\"" HEX64              \
    "\",\"size\":7},\"plan\":{\"v\":1},\"published_us\":-4,\"version\":" #n "}"
#define VIEW(name, current, next, versions)                                            \
    "{\"created_us\":1,\"current\":" #current ",\"fingerprint\":\"" HEX64              \
    "\",\"name\":\"" name "\",\"next_version\":" #next                                 \
    ",\"plan\":{\"v\":1},\"versions\":[" versions "]}"
#define CATALOGUE(views) "{\"epoch\":1,\"views\":[" views "]}"

static const char good[] =
    CATALOGUE(VIEW("a", 2, 4, VERSION(2) "," VERSION(3)) "," VIEW("b.c-d_9", 0, 1, ""));

static uint64_t
put_body(const char *body)
{
    static uint64_t number;
    la_error err;
    CHECK_OK(la_doc_write(env, FOLDER, LA_DOC_CATALOGUE, uuid, ++number, NULL, body,
                          strlen(body), NULL, &err),
             &err);
    return number;
}

static la_status
read_body(const char *body, la_catalogue **out, la_error *err)
{
    return la_catalogue_read(env, FOLDER, uuid, put_body(body), out, err);
}

/* Writes `c` and returns the body's bytes. */
static char *
body_of(la_catalogue *c)
{
    la_error err;
    char path[200];
    size_t size;
    uint64_t free_number = put_body(good);
    c->id.number = free_number;
    CHECK_OK(la_catalogue_write(c, FOLDER, uuid, &err), &err);
    CHECK_EQ(c->id.number, free_number + 1);
    la_doc_path(path, sizeof path, FOLDER, LA_DOC_CATALOGUE, c->id.number);
    const uint8_t *file = sim_content(disk, path, &size);
    char *body = strndup((const char *)file + 96, size - 96);
    CHECK_EQ(env->io.unlink(env->io.ctx, path), 0);
    return body;
}

static void
a_copy_is_its_original(void)
{
    la_catalogue *c, *copy;
    la_error err;
    CHECK_OK(read_body(good, &c, &err), &err);
    CHECK_EQ(c->view_count, 2);
    const la_view_entry *a = la_catalogue_view(c, "a");
    CHECK_EQ(a->version_count, 2);
    CHECK_EQ(la_view_entry_current(a)->number, 2);
    CHECK_EQ(la_view_entry_current(a)->published_us, -4);
    CHECK_EQ(la_view_entry_current(a)->counts.failed_first, 3);
    CHECK_STR(la_view_entry_current(a)->log, "orders");
    CHECK(la_catalogue_view(c, "x") == NULL);
    CHECK(la_view_entry_version(a, 1) == NULL);
    CHECK_OK(la_catalogue_copy(c, &copy, &err), &err);
    CHECK_EQ(copy->id.number, c->id.number);
    char *x = body_of(c), *y = body_of(copy);
    CHECK_STR(x, good);
    CHECK_STR(y, good);
    free(x);
    free(y);
    /* The copy can change without its original. */
    la_view_entry *added = la_catalogue_add_view(copy);
    *added = *la_catalogue_view(copy, "a");
    added->name = "z";
    CHECK(la_view_entry_add_version(copy, la_catalogue_view(copy, "a")) != NULL);
    CHECK_EQ(la_catalogue_view(copy, "a")->version_count, 3);
    CHECK_EQ(la_catalogue_view(copy, "z")->version_count, 2);
    CHECK_EQ(c->view_count, 2);
    la_catalogue_release(copy);
    la_catalogue_release(la_catalogue_retain(c));
    la_catalogue_release(c);
}

static void
an_empty_one_is_good(void)
{
    la_catalogue *c, *back;
    la_error err;
    CHECK_OK(la_catalogue_new(env, &c, &err), &err);
    CHECK_EQ(c->id.number, 0);
    char *body = body_of(c);
    CHECK_STR(body, CATALOGUE(""));
    CHECK_OK(read_body(body, &back, &err), &err);
    CHECK_EQ(back->view_count, 0);
    free(body);
    la_catalogue_release(back);
    la_catalogue_release(c);
}

static void
a_taken_number_is_a_conflict(void)
{
    la_catalogue *c, *late;
    la_error err;
    CHECK_OK(read_body(good, &c, &err), &err);
    CHECK_OK(la_catalogue_copy(c, &late, &err), &err);
    put_body(good); /* somebody published */
    CHECK_STATUS(la_catalogue_write(late, FOLDER, uuid, &err), LA_CONFLICT, &err);
    la_catalogue_release(late);
    la_catalogue_release(c);
}

static void
check_refused(const char *body)
{
    la_catalogue *c;
    la_error err = {0};
    la_status status = read_body(body, &c, &err);
    CHECK_MSG(status == LA_DAMAGED, "%s\n is %s", body, la_status_name(status));
    CHECK(strstr(err.path, FOLDER) != NULL);
}

static void
bodies_that_nobody_writes_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"views\":{}}",
        "{\"views\":[1]}",
        "{\"views\":[{}]}",
        CATALOGUE(VIEW("a", 0, 1, "") "," VIEW("a", 0, 1, "")),
        CATALOGUE(VIEW("", 0, 1, "")),
        CATALOGUE(VIEW("../evil", 0, 1, "")),
        CATALOGUE(VIEW(".", 0, 1, "")),
        CATALOGUE(VIEW("a/b", 0, 1, "")),
        CATALOGUE(VIEW("a\\u0000b", 0, 1, "")),
        CATALOGUE(VIEW("\\u00e4", 0, 1, "")),
        CATALOGUE(VIEW("a", 1, 1, "")),
        CATALOGUE(VIEW("a", 2, 4, VERSION(3))),
        CATALOGUE(VIEW("a", -1, 1, "")),
        CATALOGUE(VIEW("a", 0, -1, "")),
        CATALOGUE(VIEW("a", 3, 4, VERSION(3) "," VERSION(3))),
        CATALOGUE(VIEW("a", 3, 4, VERSION(3) "," VERSION(2))),
        CATALOGUE(VIEW("a", 3, 3, VERSION(3))),
        CATALOGUE(VIEW("a", 0, 3, VERSION(0))),
        CATALOGUE(VIEW("a", 3, 4, "7")),
        CATALOGUE(VIEW("a", 3, 4, VERSION("3")))};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_refused(bad[i]);
    }
}

/* The body with one change at byte `at`. */
static void
every_broken_member_is_refused(void)
{
    static const char *const members[] = {
        "views",        "created_us", "current",      "fingerprint", "name",
        "next_version", "plan",       "versions",     "bytes",       "counts",
        "content_hash", "cutoff",     "groups",       "incremental", "list",
        "digest",       "size",       "published_us", "version",     "counted",
        "late",         "failed"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char quoted[40], body[sizeof good];
        snprintf(quoted, sizeof quoted, "\"%s\":", members[i]);
        for (const char *at = good; (at = strstr(at, quoted)) != NULL; at++) {
            memcpy(body, good, sizeof good);
            body[at - good + 1] = '#'; /* misses it */
            check_refused(body);
            memcpy(body, good, sizeof good);
            char *value = body + (at - good) + strlen(quoted);
            if (*value == '"') { /* a text: no hex, no name */
                value[1] = '/';
                check_refused(body);
            }
            else { /* another type, where one character can say so */
                *value = *value == '{' || *value == '[' ? '7' : '"';
                check_refused(body);
            }
        }
    }
}

static void
random_damage_never_crashes(void)
{
    uint64_t rng = test_seed();
    for (int i = 0; i < 20000; i++) {
        char body[sizeof good];
        la_catalogue *c;
        la_error err;
        memcpy(body, good, sizeof good);
        for (uint64_t k = 1 + test_below(&rng, 3); k > 0; k--) {
            static const char chars[] = "{}[]\":,0123456789abcdefn-. ";
            body[test_below(&rng, sizeof good - 1)] =
                chars[test_below(&rng, sizeof chars - 1)];
        }
        la_status status = read_body(body, &c, &err);
        CHECK(status == LA_OK || status == LA_DAMAGED);
        if (status == LA_OK) {
            la_catalogue *copy;
            CHECK_OK(la_catalogue_copy(c, &copy, &err), &err);
            la_catalogue_release(copy);
            la_catalogue_release(c);
        }
        if (i % 500 == 0) {
            la_doc_prune(env, FOLDER, LA_DOC_CATALOGUE, UINT64_MAX, 0);
        }
    }
}

int
main(void)
{
    set_up();
    RUN(a_copy_is_its_original);
    RUN(an_empty_one_is_good);
    RUN(a_taken_number_is_a_conflict);
    RUN(bodies_that_nobody_writes_are_refused);
    RUN(every_broken_member_is_refused);
    RUN(random_damage_never_crashes);
    sim_free(disk);
    return test_end();
}
