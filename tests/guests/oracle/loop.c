/* Reads one byte of each of its pages, again and again, without a system call, until SIGTERM. Arguments:
 * pages, and how many of them, the first, it writes instead.
 *
 * Notes when rounds ended, at most once a quarter of a millisecond, and says so at the end in lines
 * `round NANOSECONDS` (of CLOCK_MONOTONIC), so that a reader knows in which epochs it ran. */
#include "check.h"

#define MOST_NOTES 40000
#define BETWEEN_NOTES 250000

static volatile sig_atomic_t ended;
static uint64_t notes[MOST_NOTES];
static size_t noted;

static void end(int signal)
{
    (void)signal;
    ended = 1;
}

/* Without a system call, by the pages that the kernel maps for it. */
static void note_round(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    if (noted == 0 || (noted < MOST_NOTES && time - notes[noted - 1] >= BETWEEN_NOTES))
        notes[noted++] = time;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    size_t pages = strtoul(argv[1], NULL, 10), written = strtoul(argv[2], NULL, 10);
    volatile char *buffer = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    CHECK(madvise((char *)buffer, pages * PAGE, MADV_NOHUGEPAGE) == 0);
    signal(SIGTERM, end);
    char byte;
    long sum = 0;
    printf("region buffer %#lx %#lx\nready\n", (unsigned long)buffer, pages);
    fflush(stdout);
    CHECK(read(0, &byte, 1) == 1);
    while (!ended) {
        for (size_t page = written; page < pages; page++)
            sum += buffer[page * PAGE + page % PAGE];
        for (size_t page = 0; page < written; page++)
            buffer[page * PAGE] = (char)sum;
        note_round();
    }
    for (size_t i = 0; i < noted; i++)
        printf("round %lu\n", notes[i]);
    printf("end %ld\n", sum);
    return 0;
}
