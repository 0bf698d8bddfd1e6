/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads, real files: while one appends and one publishes, others ask. Each answer must
 * be one fold of the log up to the position on its own receipt. Also run under tsan. */
#include <inttypes.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/sync.h"
#include "shop.h"
#include "test.h"

#define APPENDS 300u
#define APPEND_ROWS 25u
#define ASKS_MAX 400u
#define ASKERS 4u

static shop s;
static char path[] = "/tmp/lambdaarch-threads-XXXXXX";
static atomic_bool over; /* all is appended */

typedef struct heard {
    uint64_t position;
    char *rows;
} heard;

typedef struct asker {
    la_thread thread;
    uint32_t number;
    uint32_t count;
    heard said[ASKS_MAX]; /* to be looked at when all is quiet */
    uint32_t versions;
} asker;

static void *
append_all(void *arg)
{
    (void)arg;
    la_error err;
    for (uint32_t i = 0; i < APPENDS; i++) {
        shop_append(&s, APPEND_ROWS);
        usleep(2000); /* let the others see positions in between */
        if (i % 50 == 17) {
            CHECK_OK(la_log_seal(s.orders, &err), &err);
        }
    }
    atomic_store(&over, true);
    return NULL;
}

static void *
publish_all(void *arg)
{
    (void)arg;
    uint64_t rng = 5;
    for (uint32_t i = 0; !atomic_load(&over); i++) {
        shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION,
                                        .threads = 2,
                                        .incremental = i % 3 != 0,
                                        .publish = true});
        if (i % 4 == 3) {
            la_error err;
            la_status status = la_view_rollback(shop_view(&s, "hourly"), 0, &err);
            CHECK(status == LA_OK || status == LA_NOT_FOUND);
        }
        usleep((useconds_t)test_below(&rng, 3000));
    }
    return NULL;
}

static void *
ask_on(void *arg)
{
    asker *a = arg;
    shop mine = {.env = s.env, .store = s.store};
    la_error err;
    if (a->number % 2 == 1) { /* a reading handle of its own, as another process has */
        CHECK_OK(la_store_open(la_env_system(), path, LA_MODE_READ, &mine.store, &err),
                 &err);
    }
    la_view *view = shop_view(&mine, "hourly");
    uint64_t last_version = 0;
    while (!atomic_load(&over) || a->count == 0) {
        answer got;
        shop_ask(view, a->number == 2 ? "{\"parts\":true}" : "{}", &got);
        check_accounting(&got);
        CHECK(a->count == 0 || a->said[a->count - 1].position <= got.position);
        a->versions += got.version != last_version;
        last_version = got.version;
        if (a->count < ASKS_MAX &&
            (a->count == 0 || a->said[a->count - 1].position < got.position)) {
            a->said[a->count].position = got.position;
            a->said[a->count++].rows = got.rows;
            got.rows = NULL;
        }
        answer_free(&got);
        if (a->number == 3) {
            char *json;
            CHECK_OK(la_store_status(mine.store, &json, &err), &err);
            la_text_free(mine.store, json);
            CHECK_OK(verify_try(mine.store, NULL, &err), &err);
        }
    }
    if (mine.store != s.store) {
        la_store_close(mine.store);
    }
    return NULL;
}

static void
check_asker(asker *a, char *folds[APPENDS + 1])
{
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t n = a->said[i].position / APPEND_ROWS;
        CHECK_EQ(a->said[i].position % APPEND_ROWS, 0);
        if (folds[n] == NULL) {
            folds[n] = shop_fold(&s, SHOP_HOURLY, a->said[i].position);
        }
        CHECK_STR(a->said[i].rows, folds[n]);
        free(a->said[i].rows);
    }
}

static void
answers_hold_while_all_moves(void)
{
    static asker askers[ASKERS];
    static char *folds[APPENDS + 1];
    la_thread appender, publisher;
    la_error err;
    CHECK(mkdtemp(path) != NULL);
    shop_open(&s, la_env_system(), path);
    shop_define(&s, "hourly", SHOP_HOURLY);
    shop_define(&s, "totals", SHOP_TOTALS);
    CHECK_OK(la_thread_start(&appender, append_all, NULL, &err), &err);
    CHECK_OK(la_thread_start(&publisher, publish_all, NULL, &err), &err);
    for (uint32_t i = 0; i < ASKERS; i++) {
        askers[i].number = i;
        CHECK_OK(la_thread_start(&askers[i].thread, ask_on, &askers[i], &err), &err);
    }
    la_thread_join(&appender);
    la_thread_join(&publisher);
    for (uint32_t i = 0; i < ASKERS; i++) {
        la_thread_join(&askers[i].thread);
        printf("    asker %u: %u positions, %u versions\n", i, askers[i].count,
               askers[i].versions);
    }
    for (uint32_t i = 0; i < ASKERS; i++) {
        check_asker(&askers[i], folds);
    }
    for (uint32_t i = 0; i <= APPENDS; i++) {
        free(folds[i]);
    }
    CHECK_EQ(shop_check(&s, shop_view(&s, "hourly"), SHOP_HOURLY, "{}"),
             APPENDS * APPEND_ROWS);
    shop_close(&s);
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK_EQ(system(command), 0);
}

int
main(void)
{
    RUN(answers_hold_while_all_moves);
    return test_end();
}
