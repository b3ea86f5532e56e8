/* A reader that checks every record, as src/follow.rs does: follow FILE */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <vmmload.h>

enum { CAPACITY = 4096 };

static int is_right(const vmmload_event *event, uint64_t position)
{
    uint64_t mixed = position * 0x9e3779b97f4a7c15u;
    uint64_t epoch = (position >> 20) + 1;

    return event->addr == 0x7f0000000000u + (mixed >> 54) % 1024 * 4096
        && event->time_ns == epoch * 1000003 && event->epoch == epoch
        && event->count == 1 + position % 8 && event->bytes == (uint32_t)(mixed >> 32)
        && event->kind == position % 3 && event->method == position % 3;
}

int main(int argc, char **argv)
{
    static vmmload_event events[CAPACITY];
    vmmload_consumer *consumer;
    vmmload_info info;
    uint64_t read = 0, lost = 0, start;

    if (argc != 2 || vmmload_open(argv[1], &consumer) < 0) {
        fprintf(stderr, "follow: %s\n", argc == 2 ? vmmload_last_error() : "usage: follow FILE");
        return 1;
    }
    start = vmmload_position(consumer);
    puts("attached");
    fflush(stdout);
    for (;;) {
        uint64_t next = vmmload_position(consumer), missed;
        size_t count = vmmload_read(consumer, events, CAPACITY, &missed);
        uint64_t end = vmmload_position(consumer);

        for (size_t i = 0; i < count; i++) {
            uint64_t position = events[i].mapping;
            if (position < next || position >= end || !is_right(&events[i], position)) {
                fprintf(stderr, "follow: wrong record %" PRIu64 " after %" PRIu64 "\n", position, next);
                return 1;
            }
            next = position + 1;
        }
        read += count;
        lost += missed;
        if (count == 0 && vmmload_wait(consumer, -1) == VMMLOAD_OVER)
            break;
    }
    vmmload_get_info(consumer, &info, sizeof info);
    printf("start %" PRIu64 " read %" PRIu64 " lost %" PRIu64 " published %" PRIu64 "\n", start, read, lost,
           info.published);
    vmmload_detach(consumer);
    return 0;
}
