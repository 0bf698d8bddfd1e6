/* SPDX-License-Identifier: Apache-2.0 */
/* Radix sort of words, least byte first, leaving out bytes in which all words agree;
 * merge sort for everything that needs a comparison. */
#include "fold/sort.h"

#define SMALL 24u

static void
insertion_words(uint64_t *words, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t x = words[i];
        size_t j = i;
        for (; j > 0 && words[j - 1] > x; j--) {
            words[j] = words[j - 1];
        }
        words[j] = x;
    }
}

static uint64_t
differing_bits(const uint64_t *words, size_t count)
{
    uint64_t any = 0;
    for (size_t i = 1; i < count; i++) {
        any |= words[i] ^ words[0];
    }
    return any;
}

/* places[b] = where words with byte b begin */
static void
places_of(const uint64_t *words, size_t count, unsigned shift, size_t places[256])
{
    size_t sum = 0;
    memset(places, 0, 256 * sizeof *places);
    for (size_t i = 0; i < count; i++) {
        places[words[i] >> shift & 0xff]++;
    }
    for (size_t b = 0; b < 256; b++) {
        size_t size = places[b];
        places[b] = sum;
        sum += size;
    }
}

void
la_sort_words(uint64_t *words, uint64_t *room, size_t count)
{
    size_t places[256];
    uint64_t *from = words, *to = room;

    if (count < SMALL) {
        insertion_words(words, count);
        return;
    }
    uint64_t differing = differing_bits(words, count);
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((differing >> shift & 0xff) == 0) {
            continue;
        }
        places_of(from, count, shift, places);
        for (size_t i = 0; i < count; i++) {
            to[places[from[i] >> shift & 0xff]++] = from[i];
        }
        uint64_t *last = from;
        from = to;
        to = last;
    }
    if (from != words) {
        memcpy(words, from, count * sizeof *words);
    }
}

void
la_sort_numbers(uint32_t *numbers, uint64_t *words, uint32_t *number_room,
                uint64_t *word_room, size_t count)
{
    size_t places[256];
    uint64_t *from = words, *to = word_room;
    uint32_t *from_numbers = numbers, *to_numbers = number_room;

    if (count < 2) {
        return;
    }
    uint64_t differing = differing_bits(words, count);
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((differing >> shift & 0xff) == 0) {
            continue;
        }
        places_of(from, count, shift, places);
        for (size_t i = 0; i < count; i++) {
            size_t place = places[from[i] >> shift & 0xff]++;
            to[place] = from[i];
            to_numbers[place] = from_numbers[i];
        }
        uint64_t *last = from;
        from = to;
        to = last;
        uint32_t *last_numbers = from_numbers;
        from_numbers = to_numbers;
        to_numbers = last_numbers;
    }
    if (from != words) {
        memcpy(words, from, count * sizeof *words);
        memcpy(numbers, from_numbers, count * sizeof *numbers);
    }
}

static void
insertion_by(uint32_t *numbers, size_t count, la_compare compare, const void *ctx)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t x = numbers[i];
        size_t j = i;
        for (; j > 0 && compare(ctx, numbers[j - 1], x) > 0; j--) {
            numbers[j] = numbers[j - 1];
        }
        numbers[j] = x;
    }
}

void
la_sort_by(uint32_t *numbers, uint32_t *room, size_t count, la_compare compare,
           const void *ctx)
{
    const size_t run = 8;
    for (size_t i = 0; i < count; i += run) {
        insertion_by(numbers + i, count - i < run ? count - i : run, compare, ctx);
    }
    for (size_t width = run; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = low + width < count ? low + width : count;
            size_t high = middle + width < count ? middle + width : count;
            size_t a = low, b = middle, to = low;
            while (a < middle && b < high) {
                room[to++] = compare(ctx, numbers[a], numbers[b]) <= 0 ? numbers[a++]
                                                                       : numbers[b++];
            }
            while (a < middle) {
                room[to++] = numbers[a++];
            }
            while (b < high) {
                room[to++] = numbers[b++];
            }
        }
        memcpy(numbers, room, count * sizeof *numbers);
    }
}
