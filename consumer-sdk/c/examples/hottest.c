/* Follows a process and prints the pages with the most events of each second, until it ends.
 *
 *   cc hottest.c $(pkg-config --cflags --libs vmmload-consumer) -o hottest
 *   ./hottest PID [PAGES] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vmmload.h>

#define BATCH 4096
#define SECOND 1000000000

/* The events of one second, grown as needed. */
static vmmload_event *events;
static size_t used, room;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

/* Reads all that is there; returns how many records were lost. */
static uint64_t read_all(vmmload_consumer *consumer)
{
    uint64_t all_lost = 0;
    for (;;) {
        if (room - used < BATCH) {
            room = room * 2 + BATCH;
            events = (vmmload_event *)realloc(events, room * sizeof *events);
            if (!events) {
                perror("hottest");
                exit(EXIT_FAILURE);
            }
        }
        uint64_t lost;
        size_t read = vmmload_read(consumer, events + used, BATCH, &lost);
        used += read;
        all_lost += lost;
        if (read < BATCH)
            return all_lost;
    }
}

static int by_address(const void *one, const void *other)
{
    uint64_t a = ((const vmmload_event *)one)->addr, b = ((const vmmload_event *)other)->addr;
    return (a > b) - (a < b);
}

static int by_count(const void *one, const void *other)
{
    uint32_t a = ((const vmmload_event *)one)->count, b = ((const vmmload_event *)other)->count;
    return a == b ? by_address(one, other) : (a < b) - (a > b);
}

/* Makes one event of all those of a page, and sorts them, hottest first; returns how many there are. */
static size_t add_up(void)
{
    size_t pages = 0;
    qsort(events, used, sizeof *events, by_address);
    for (size_t i = 0; i < used; i++) {
        if (pages > 0 && events[pages - 1].addr == events[i].addr)
            events[pages - 1].count += events[i].count;
        else
            events[pages++] = events[i];
    }
    qsort(events, pages, sizeof *events, by_count);
    return pages;
}

static void print(const vmmload_consumer *consumer, size_t pages, size_t most, uint64_t lost)
{
    vmmload_mappings *mappings = vmmload_mappings_copy(consumer); /* NULL: no names this time */
    printf("%zu pages touched in the last second, %" PRIu64 " records lost\n", pages, lost);
    for (size_t i = 0; i < pages && i < most; i++) {
        vmmload_mapping mapping;
        int known = vmmload_mappings_of(mappings, &events[i], &mapping, sizeof mapping) == 1;
        printf("  %#014" PRIx64 "  %8" PRIu32 " events  %s\n", events[i].addr, events[i].count,
               known ? mapping.name : "");
    }
    fflush(stdout);
    vmmload_mappings_free(mappings);
}

/* Waits for a second, or for the end of the process, reading what comes. */
static uint64_t follow(vmmload_consumer *consumer)
{
    int64_t left, end = now() + SECOND;
    uint64_t lost = read_all(consumer);
    while ((left = end - now()) > 0 && vmmload_wait(consumer, left) == VMMLOAD_NEWS)
        lost += read_all(consumer);
    return lost;
}

int main(int argc, char **argv)
{
    vmmload_consumer *consumer;
    uint64_t all_events = 0, all_lost = 0;
    int status, detail;

    if (argc < 2) {
        fprintf(stderr, "usage: hottest PID [PAGES]\n");
        return EXIT_FAILURE;
    }
    if (vmmload_attach((uint32_t)strtoul(argv[1], NULL, 10), &consumer) < 0) {
        fprintf(stderr, "hottest: %s\n", vmmload_last_error());
        return EXIT_FAILURE;
    }
    do {
        /* Asked before reading, so that the last records are read after the process has ended. */
        status = vmmload_status(consumer, &detail);
        uint64_t lost = follow(consumer);
        for (size_t i = 0; i < used; i++)
            all_events += events[i].count;
        all_lost += lost;
        print(consumer, add_up(), argc > 2 ? strtoul(argv[2], NULL, 10) : 10, lost);
        used = 0;
    } while (status == VMMLOAD_RUNNING);
    printf("%" PRIu64 " events, %" PRIu64 " records lost, ", all_events, all_lost);
    printf(status == VMMLOAD_EXITED ? "exit status %d\n" : "ended otherwise (%d)\n", detail);
    free(events);
    vmmload_detach(consumer);
    return EXIT_SUCCESS;
}
