/* A buffer that may be in huge pages, and reads all over it, which wait for the TLB.
 * Arguments: MiB; reads; huge or small: what is asked of madvise(2).
 * It writes its buffer twice and says `buffer START END`, `first_ns N`, `second_ns N` and `ready`; a byte on
 * standard input lets it read; then it says `work_ns N` and `done`, and another byte lets it end. */
#include "check.h"

#define HUGE (2UL << 20)

static int64_t now_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
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

static char *aligned_buffer(size_t bytes, const char *pages)
{
    char *memory = map_private(bytes + HUGE, PROT_READ | PROT_WRITE);
    char *buffer = (char *)(((uintptr_t)memory + HUGE - 1) & ~(HUGE - 1));
    int advice = strcmp(pages, "huge") == 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    CHECK(madvise(buffer, bytes, advice) == 0 || errno == EINVAL);
    return buffer;
}

static int64_t write_ns(volatile uint64_t *words, size_t count)
{
    int64_t began = now_ns();
    for (size_t i = 0; i < count; i++)
        words[i] = i;
    return now_ns() - began;
}

/* Each address depends on what was read before, so that no two reads overlap. */
static uint64_t read_all_over(const uint64_t *words, size_t count, uint64_t reads)
{
    uint64_t state = 0x9e3779b97f4a7c15, sum = 0;
    for (uint64_t i = 0; i < reads; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL + (sum & 1);
        sum += words[(state >> 33) % count];
    }
    return sum;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    size_t bytes = strtoul(argv[1], NULL, 10) << 20;
    uint64_t reads = strtoul(argv[2], NULL, 10);
    uint64_t *words = (uint64_t *)aligned_buffer(bytes, argv[3]);
    long first = write_ns(words, bytes / 8), second = write_ns(words, bytes / 8);
    printf("buffer %lu %lu\nfirst_ns %ld\nsecond_ns %ld\n", (unsigned long)words,
           (unsigned long)words + bytes, first, second);
    say("ready");
    wait_for_byte();
    int64_t began = now_ns();
    volatile uint64_t kept = read_all_over(words, bytes / 8, reads);
    (void)kept;
    printf("work_ns %ld\n", (long)(now_ns() - began));
    say("done");
    wait_for_byte();
    return 0;
}
