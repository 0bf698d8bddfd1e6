/* SPDX-License-Identifier: Apache-2.0 */
/* Groups to bytes, in order, and to finished columns.
 *
 * Invariant: the order of la_fold_sorted is the order of memcmp of key bytes. It is
 * found without making them: texts are ranked once, every part becomes an unsigned
 * digit with null first, digits are packed into as few words as they need, and words
 * are radix sorted. */
#include "base/error.h"
#include "fold/fold_types.h"
#include "fold/kernel.h"
#include "fold/sort.h"

static la_value
key_value(const la_fold *fold, uint32_t k, const uint64_t *row)
{
    la_value value = {.type = fold->key_types[k], .scale = fold->key_scales[k]};

    if ((la_groups_null_bits(&fold->groups, row) >> k & 1) != 0) {
        value.null = true;
    }
    else if (fold->groups.parts[k].text) {
        const la_intern_text *text = &fold->groups.parts[k].intern.texts[row[k]];
        value.text = text->at;
        value.size = text->size;
    }
    else if (la_type_is_float(value.type)) {
        value.f64 = la_double_of(row[k]);
    }
    else {
        value.i64 = (int64_t)row[k];
    }
    return value;
}

int64_t
la_fold_window(const la_fold *fold, uint32_t group)
{
    if (!fold->windowed) {
        return 0;
    }
    int64_t index = (int64_t)la_groups_row(&fold->groups, group)[fold->key_count];
    return la_window_index_start(&fold->axis, index);
}

void
la_fold_key(const la_fold *fold, uint32_t group, la_buf *to)
{
    const uint64_t *row = la_groups_row(&fold->groups, group);

    for (uint32_t k = 0; k < fold->key_count; k++) {
        la_value value = key_value(fold, k, row);
        la_key_put(to, &value);
    }
    if (fold->windowed) {
        la_value start = {.type = LA_T_TIME, .i64 = la_fold_window(fold, group)};
        la_key_put(to, &start);
    }
}

void
la_fold_encode(const la_fold *fold, uint32_t group, la_buf *to)
{
    for (uint32_t a = 0; a < fold->agg_count; a++) {
        const la_fold_agg *agg = &fold->aggs[a];
        agg->kind->encode(&agg->context, la_fold_state(fold, a, group), to);
    }
}

bool
la_fold_exact(const la_fold *fold, uint32_t group, uint32_t agg, __int128 *value,
              uint8_t *scale)
{
    if (agg >= fold->agg_count || group >= fold->groups.count ||
        fold->aggs[agg].kind->exact == NULL ||
        !fold->aggs[agg].kind->exact(&fold->aggs[agg].context,
                                     la_fold_state(fold, agg, group), value)) {
        return false;
    }
    *scale = fold->plan->aggs[agg].result_scale;
    return true;
}

/* ------------------------------------------------------------------ sorting */

/* One unsigned number a group, `bits` wide: whether a part is not null, or how far its
 * value stands above the least. */
typedef struct digit {
    uint32_t part;
    bool is_null_bit;
    uint32_t bits;
    uint64_t least;
} digit;

typedef struct sorting {
    const la_fold *fold;
    uint32_t *ranks[LA_PARTS_MAX]; /* of texts */
    digit digits[2 * LA_PARTS_MAX];
    uint32_t digit_count;
    uint64_t *words, *word_room; /* one allocation */
    uint32_t *room;
} sorting;

static uint64_t
order_value(const sorting *s, uint32_t p, const uint64_t *row)
{
    const la_group_part *part = &s->fold->groups.parts[p];
    return part->text ? s->ranks[p][row[p]] : la_order_of(part->type, row[p]);
}

static uint32_t
bit_width(uint64_t x)
{
    return x == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(x);
}

/* The digits of part `p`, most significant first. */
static void
add_digits(sorting *s, uint32_t p)
{
    const la_groups *groups = &s->fold->groups;
    uint64_t least = UINT64_MAX, most = 0;
    bool nulls = false;

    for (uint32_t g = 0; g < groups->count; g++) {
        const uint64_t *row = la_groups_row(groups, g);
        if ((la_groups_null_bits(groups, row) >> p & 1) != 0) {
            nulls = true;
            continue;
        }
        uint64_t value = order_value(s, p, row);
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    if (nulls) {
        s->digits[s->digit_count++] = (digit){p, true, 1, 0};
    }
    if (least < most) {
        s->digits[s->digit_count++] = (digit){p, false, bit_width(most - least), least};
    }
}

static uint64_t
digit_value(const sorting *s, const digit *d, const uint64_t *row)
{
    bool null = (la_groups_null_bits(&s->fold->groups, row) >> d->part & 1) != 0;
    if (d->is_null_bit) {
        return !null;
    }
    return null ? 0 : order_value(s, d->part, row) - d->least;
}

/* Stable sorts by words of packed digits, the least significant word first. */
static void
sort_by_digits(sorting *s, uint32_t *order)
{
    const la_groups *groups = &s->fold->groups;
    uint32_t end = s->digit_count;

    while (end > 0) {
        uint32_t bits = 0, first = end;
        while (first > 0 && bits + s->digits[first - 1].bits <= 64) {
            bits += s->digits[--first].bits;
        }
        for (uint32_t i = 0; i < groups->count; i++) {
            const uint64_t *row = la_groups_row(groups, order[i]);
            uint64_t word = 0;
            for (uint32_t d = first; d < end; d++) {
                const digit *next = &s->digits[d];
                word = (next->bits == 64 ? 0 : word << next->bits) |
                       digit_value(s, next, row);
            }
            s->words[i] = word;
        }
        la_sort_numbers(order, s->words, s->room, s->word_room, groups->count);
        end = first;
    }
}

static void
sorting_fini(sorting *s)
{
    const la_groups *groups = &s->fold->groups;
    const la_env *env = s->fold->env;

    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_dealloc(env, s->ranks[p],
                   ((size_t)groups->parts[p].intern.count + 1) * sizeof(uint32_t));
    }
    la_dealloc(env, s->words, ((size_t)groups->count + 1) * 2 * sizeof(uint64_t));
    la_dealloc(env, s->room, ((size_t)groups->count + 1) * sizeof(uint32_t));
}

static bool
sorting_init(sorting *s, const la_fold *fold)
{
    const la_groups *groups = &fold->groups;

    memset(s, 0, sizeof *s);
    s->fold = fold;
    s->words = la_alloc(fold->env, ((size_t)groups->count + 1) * 2 * sizeof(uint64_t));
    s->room = la_alloc(fold->env, ((size_t)groups->count + 1) * sizeof(uint32_t));
    if (s->words == NULL || s->room == NULL) {
        return false;
    }
    s->word_room = s->words + groups->count + 1;
    for (uint32_t p = 0; p < groups->part_count; p++) {
        const la_intern *texts = &groups->parts[p].intern;
        if (!groups->parts[p].text) {
            continue;
        }
        s->ranks[p] =
            la_alloc(fold->env, ((size_t)texts->count + 1) * sizeof(uint32_t));
        if (s->ranks[p] == NULL || !la_intern_ranks(texts, s->ranks[p])) {
            return false;
        }
    }
    return true;
}

la_status
la_fold_sorted(const la_fold *fold, uint32_t *order, la_error *err)
{
    sorting s;
    bool ready = sorting_init(&s, fold);

    for (uint32_t p = 0; ready && p < fold->groups.part_count; p++) {
        add_digits(&s, p);
    }
    for (uint32_t g = 0; g < fold->groups.count; g++) {
        order[g] = g;
    }
    if (ready) {
        sort_by_digits(&s, order);
    }
    sorting_fini(&s);
    return ready
               ? LA_OK
               : la_fail_nomem(err, (size_t)fold->groups.count * 2 * sizeof(uint64_t));
}
