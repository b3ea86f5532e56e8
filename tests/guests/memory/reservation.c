/* Huge PROT_NONE reservations cost nothing and are committed piece by piece, as Go and Java do. */
#include "check.h"

#define RESERVED (100UL << 30)

static char *reserve(char *hint)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *memory = mmap(hint, RESERVED, PROT_NONE, flags, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void committed_by_mprotect(void)
{
    char *memory = reserve(NULL);
    for (size_t at = 0; at < RESERVED; at += 10UL << 30) {
        CHECK(mprotect(memory + at, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
        CHECK(all_bytes(memory + at, 4 * PAGE, 0));
        memory[at + PAGE] = 'x';
    }
    for (size_t at = 0; at < RESERVED; at += 10UL << 30)
        CHECK(memory[at + PAGE] == 'x');
    CHECK(munmap(memory, RESERVED) == 0);
}

/* The Go runtime: arenas of 64 MiB from 0xc000000000 on, committed by MAP_FIXED, given back by MADV_DONTNEED. */
static void committed_like_a_go_arena(void)
{
    char *memory = reserve((char *)0xc000000000);
    size_t arena = 64UL << 20;
    for (int i = 0; i < 8; i++) {
        char *heap = memory + (size_t)i * arena;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        CHECK(mmap(heap, 4UL << 20, PROT_READ | PROT_WRITE, flags, -1, 0) == heap);
        for (size_t at = 0; at < 4UL << 20; at += PAGE)
            heap[at] = (char)(i + 1);
        CHECK(madvise(heap + PAGE, PAGE, MADV_DONTNEED) == 0);
        CHECK(heap[0] == i + 1 && heap[PAGE] == 0 && heap[2 * PAGE] == i + 1);
    }
    printf("at the asked address: %s\n", memory == (char *)0xc000000000 ? "yes" : "no");
    CHECK(munmap(memory, RESERVED) == 0);
}

/* Java gives memory back by mapping PROT_NONE over it, and takes it again. */
static void decommitted_and_committed_again(void)
{
    char *memory = reserve(NULL);
    for (int round = 0; round < 20; round++) {
        CHECK(mprotect(memory, 1UL << 20, PROT_READ | PROT_WRITE) == 0);
        CHECK(all_bytes(memory, 1UL << 20, 0));
        memset(memory, round + 1, 1UL << 20);
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
        CHECK(mmap(memory, 1UL << 20, PROT_NONE, flags, -1, 0) == memory);
    }
    CHECK(munmap(memory, RESERVED) == 0);
}

int main(void)
{
    committed_by_mprotect();
    committed_like_a_go_arena();
    decommitted_and_committed_again();
    for (int i = 0; i < 100; i++)
        CHECK(munmap(reserve(NULL), RESERVED) == 0);
    puts("ok");
}
