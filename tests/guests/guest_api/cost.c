// Times what the functions of vmmload_guest.h take: `key nanoseconds` lines, and in all at the end.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <vmmload_guest.h>

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

#define BATCHES 15

// The median of batches, each of so many calls that the clock does not count.
#define TELL(key, call)                                                                              \
    do {                                                                                             \
        double each[BATCHES];                                                                        \
        long calls = vmmload_inside() ? 20 : 2000000;                                                \
        for (int batch = 0; batch < BATCHES; batch++) {                                              \
            double start = now_ns();                                                                 \
            for (long i = 0; i < calls; i++)                                                         \
                if ((call) < 0)                                                                      \
                    abort();                                                                         \
            each[batch] = (now_ns() - start) / (double)calls;                                        \
        }                                                                                            \
        qsort(each, BATCHES, sizeof *each, compare);                                                 \
        printf("%s %f\n", key, each[BATCHES / 2]);                                                   \
    } while (0)

int main(void)
{
    static char memory[64 * 4096];
    double started = now_ns();
    TELL("mark_ns", vmmload_mark("a phase"));
    TELL("name_ns", vmmload_name_region(memory, sizeof memory, i % 2 ? "memory" : "named again"));
    TELL("epoch_ns", (int)vmmload_epoch());
    printf("total_ns %f\n", now_ns() - started);
    return 0;
}
