/* Reads a full ring again and again, in batches: laps FILE LAPS */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vmmload.h>

enum { CAPACITY = 4096 };

int main(int argc, char **argv)
{
    static vmmload_event events[CAPACITY];
    vmmload_consumer *consumer;
    struct timespec start, end;
    uint64_t read = 0, sum = 0, lost;

    if (argc != 3 || vmmload_open(argv[1], &consumer) < 0) {
        fprintf(stderr, "laps: %s\n", argc == 3 ? vmmload_last_error() : "usage: laps FILE LAPS");
        return 1;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (int lap = 0; lap < atoi(argv[2]); lap++) {
        size_t count;
        vmmload_rewind(consumer);
        while ((count = vmmload_read(consumer, events, CAPACITY, &lost)) > 0) {
            for (size_t i = 0; i < count; i++)
                sum += events[i].addr;
            read += count;
        }
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    printf("events %" PRIu64 "\nbatch_ns %f\n", read,
           ((end.tv_sec - start.tv_sec) * 1e9 + end.tv_nsec - start.tv_nsec) / read);
    vmmload_detach(consumer);
    return sum == 0;
}
