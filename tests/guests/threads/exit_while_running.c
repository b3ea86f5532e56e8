/* Threads end while others compute and block: nobody is disturbed, every result arrives. */
#include "check.h"
#include <pthread.h>

static volatile int stop;
static long progress[4];

static void *compute(void *slot)
{
    long *counter = slot;
    while (!stop)
        ++*(volatile long *)counter;
    return "computed";
}

static void *block(void *end)
{
    char byte;
    CHECK(read((int)(long)end, &byte, 1) == 1);
    return "unblocked";
}

static void *leave(void *number)
{
    if ((long)number % 3 == 0)
        pthread_exit(number);
    return number;
}

static void short_lived_threads_come_and_go(void)
{
    for (long i = part_of(300); i > 0; i--) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, leave, (void *)i) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == (void *)i);
    }
}

static void detached_threads_come_and_go(void)
{
    for (long i = part_of(50); i > 0; i--) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, leave, (void *)i) == 0 && pthread_detach(thread) == 0);
    }
}

int main(void)
{
    pthread_t computing[4], blocked;
    int ends[2];
    void *result;
    CHECK(pipe(ends) == 0);
    CHECK(pthread_create(&blocked, NULL, block, (void *)(long)ends[0]) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&computing[i], NULL, compute, &progress[i]) == 0);
    short_lived_threads_come_and_go();
    detached_threads_come_and_go();
    for (int i = 0; i < 4; i++)
        while (*(volatile long *)&progress[i] == 0)
            sched_yield();
    stop = 1;
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(pthread_join(blocked, &result) == 0 && strcmp(result, "unblocked") == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(computing[i], &result) == 0 && strcmp(result, "computed") == 0);
    puts("ok");
}
