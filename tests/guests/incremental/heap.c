/* Changes its heap in every way there is, for ever: stores, calls that fill it, giving parts of it back. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 600 };

static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void pause_ms(long ms) {
    struct timespec time = {0, ms * 1000000};
    nanosleep(&time, NULL);
}

int main(void) {
    char *heap = sbrk(PAGES * PAGE);
    int pages = PAGES, ends[2];
    if (heap == (void *)-1 || pipe(ends))
        return 1;
    printf("ready\n");
    fflush(stdout);
    for (uint64_t round = 0;; round++) {
        /* Some pages are written all the time, others now and then. */
        for (int page = 0; page < 40; page++)
            memcpy(heap + page * PAGE + 64, &round, sizeof round);
        for (int i = 0; i < 2; i++)
            heap[next() % ((uint64_t)pages * PAGE)] = (char)next();
        switch (next() % 8) {
        case 0: { /* The end of the heap goes, and comes again, empty. */
            int less = 1 + (int)(next() % 50);
            sbrk(-less * PAGE);
            sbrk(less * PAGE);
            break;
        }
        case 1: /* Pages in the middle become empty. */
            madvise(heap + PAGE * (100 + next() % 300), PAGE * (1 + next() % 20), MADV_DONTNEED);
            break;
        case 2: { /* The kernel writes. */
            uint64_t words[3] = {next(), next(), next()};
            if (write(ends[1], words, sizeof words) < 0 ||
                read(ends[0], heap + next() % ((pages - 1) * PAGE), sizeof words) < 0)
                return 1;
            break;
        }
        case 3: /* Read-only for a while, which loses nothing. */
            mprotect(heap + PAGE * 200, PAGE * 20, PROT_READ);
            mprotect(heap + PAGE * 200, PAGE * 20, PROT_READ | PROT_WRITE);
            break;
        }
        pause_ms(2 + (long)(next() % 8));
    }
}
