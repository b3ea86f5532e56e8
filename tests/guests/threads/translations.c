/* A page that one thread unmaps, protects or empties is at once so for another that keeps using it. */
#include "check.h"
#include <pthread.h>

static int rounds;

static volatile char *page;
static int turn; /* 0: the writer's, 1: the changer's */

static void wait_for(int whose)
{
    while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != whose)
        sched_yield();
}

static void pass_to(int whose)
{
    __atomic_store_n(&turn, whose, __ATOMIC_RELEASE);
}

/* Always finds zero: what it wrote last round was taken away by the other thread. */
static void *write_and_look(void *unused)
{
    for (int i = 0; i < rounds; i++) {
        wait_for(0);
        CHECK(page[0] == 0 && page[100] == 0);
        page[0] = page[100] = (char)(i | 1);
        pass_to(1);
    }
    return unused;
}

static void change(int round)
{
    char *address = (char *)page;
    int rights = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    CHECK(page[100] == (char)(round | 1));
    switch (round % 3) {
    case 0:
        CHECK(madvise(address, PAGE, MADV_DONTNEED) == 0);
        break;
    case 1:
        CHECK(mmap(address, PAGE, rights, fixed, -1, 0) == address);
        break;
    default:
        CHECK(mprotect(address, PAGE, PROT_NONE) == 0 && munmap(address, PAGE) == 0);
        CHECK(mmap(address, PAGE, rights, fixed, -1, 0) == address);
    }
}

int main(void)
{
    rounds = part_of(2000);
    pthread_t writer;
    page = map_private(PAGE, PROT_READ | PROT_WRITE);
    CHECK(pthread_create(&writer, NULL, write_and_look, NULL) == 0);
    for (int i = 0; i < rounds; i++) {
        wait_for(1);
        change(i);
        pass_to(0);
    }
    CHECK(pthread_join(writer, NULL) == 0);
    puts("ok");
}
