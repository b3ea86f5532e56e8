/* Work that is the same untracked, tracked by vmmload and tracked by the process itself (tracker.h).
 * Arguments: workload, KiB of the buffer, rounds, tracker (none, userfaultfd, mprotect), milliseconds of
 * its epochs, milliseconds after which no further round begins.
 * It touches its buffer and says `buffer START END` and `ready`; a byte on standard input lets it work;
 * then it says `work_ns N`, `rounds N`, what its own tracker saw, and `done`, and another byte lets it
 * end. */
#include "tracker.h"
#include <math.h>

#define DRAWS (1UL << 20)
#define DRAWS_A_ROUND (1UL << 16)

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static volatile uint64_t kept;
static int file;
static uint32_t *draws;

/* One round writes every word in order. */
static void stream(uint64_t *words, size_t count, uint64_t round)
{
    for (size_t i = 0; i < count; i++)
        words[i] = i ^ round;
    __asm__ volatile("" ::: "memory");
}

/* Word indexes, those that are written with the top bit set, in `percent` of them. With exponent 1, the
 * rank of a page is `pages` to a uniform power; 2^20 draws repeat. */
static void draw_zipf(size_t pages, unsigned percent)
{
    draws = malloc(DRAWS * sizeof *draws);
    CHECK(draws != NULL);
    for (size_t i = 0; i < DRAWS; i++) {
        double uniform = (double)(next_random() >> 11) / (double)(1ULL << 53);
        size_t rank = (size_t)pow((double)pages, uniform);
        size_t page = (rank - 1) * 0x9e3779b1 % pages;
        uint32_t word = (uint32_t)(page * (PAGE / 8) + next_random() % (PAGE / 8));
        draws[i] = word | (next_random() % 100 < percent) << 31;
    }
}

/* One round is 2^16 accesses. */
static void zipf(uint64_t *words, size_t count, uint64_t round)
{
    (void)count;
    uint64_t sum = 0;
    size_t first = round * DRAWS_A_ROUND % DRAWS;
    for (size_t i = first; i < first + DRAWS_A_ROUND; i++) {
        if (draws[i] >> 31)
            words[draws[i] & 0x7fffffff] = round;
        else
            sum += words[draws[i]];
    }
    kept = sum;
}

/* One round is 100,000 steps in registers, and a result stored in the next of the buffer's pages. */
static void compute(uint64_t *words, size_t count, uint64_t round)
{
    double x = 1.0;
    for (int i = 0; i < 100000; i++)
        x = x * 1.0000001 + 0.1;
    words[round * (PAGE / 8) % count] = (uint64_t)x;
}

/* One round reads 4 KiB of a file into the next of the buffer's pages, changes it, and writes it back. */
static void io(uint64_t *words, size_t count, uint64_t round)
{
    size_t pages = count / (PAGE / 8), page = round % pages;
    char *block = (char *)words + page * PAGE;
    off_t at = (off_t)(page * PAGE);
    CHECK(tracked_pread(file, block, PAGE, at) == (ssize_t)PAGE);
    block[round % PAGE]++;
    CHECK(pwrite(file, block, PAGE, at) == (ssize_t)PAGE);
}

typedef void (*workload)(uint64_t *, size_t, uint64_t);

static workload prepare(const char *name, size_t bytes)
{
    if (strcmp(name, "stream") == 0)
        return stream;
    if (strcmp(name, "compute") == 0)
        return compute;
    if (strcmp(name, "io") == 0) {
        file = unnamed_file(bytes);
        return io;
    }
    CHECK(strcmp(name, "zipf") == 0 || strcmp(name, "read-mostly") == 0);
    draw_zipf(bytes / PAGE, strcmp(name, "zipf") == 0 ? 30 : 2);
    return zipf;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void wait_for_byte(void)
{
    char byte;
    CHECK(read(0, &byte, 1) == 1);
}

int main(int argc, char **argv)
{
    CHECK(argc == 7);
    size_t bytes = strtoul(argv[2], NULL, 10) << 10;
    uint64_t rounds = strtoul(argv[3], NULL, 10), round = 0;
    char *buffer = map_private(bytes, PROT_READ | PROT_WRITE);
    CHECK(madvise(buffer, bytes, MADV_NOHUGEPAGE) == 0);
    memset(buffer, 1, bytes);
    workload work = prepare(argv[1], bytes);
    printf("buffer %lu %lu\n", (unsigned long)buffer, (unsigned long)(buffer + bytes));
    say("ready");
    wait_for_byte();
    int64_t began = now_ns();
    begin_tracking(buffer, bytes, argv[4], atol(argv[5]));
    int64_t armed = now_ns(), limit = armed + atol(argv[6]) * 1000000L, ended = armed;
    for (; round < rounds && ended < limit; round++) {
        work((uint64_t *)buffer, bytes / 8, round);
        // The clock is a system call or nearly one: not after each of very short rounds.
        if (round % 16 == 15 || rounds < 100000)
            ended = now_ns();
    }
    ended = now_ns();
    end_tracking();
    printf("arming_ns %ld\nwork_ns %ld\n", (long)(armed - began), (long)(ended - armed));
    printf("rounds %lu\n", (unsigned long)round);
    say("done");
    wait_for_byte();
    return 0;
}
