/* 5,000 threads one after the other, more than any machine runs at once: nothing runs out. */
#include "check.h"
#include <pthread.h>

static __thread int fresh = 5;

static void *work(void *number)
{
    CHECK(fresh == 5);
    fresh = (int)(long)number;
    return (void *)((long)number + 1);
}

int main(void)
{
    long end = part_of(5000);
    for (long i = 0; i < end; i++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, work, (void *)i) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == (void *)(i + 1));
    }
    puts("ok");
}
