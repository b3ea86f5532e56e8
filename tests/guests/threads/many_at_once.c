/* 200 threads at once: each has its own thread-local memory and stack, and all meet at a barrier. */
#include "check.h"
#include <pthread.h>

#define THREADS 200
#define MEETINGS 5

static __thread long own = 42;
static __thread char own_block[5000];
static pthread_barrier_t barrier;
static long arrived[MEETINGS];

static void *work(void *argument)
{
    long number = (long)argument;
    CHECK(own == 42 && all_bytes(own_block, sizeof own_block, 0));
    own = number;
    memset(own_block, (char)number, sizeof own_block);
    for (int meeting = 0; meeting < MEETINGS; meeting++) {
        __atomic_fetch_add(&arrived[meeting], 1, __ATOMIC_SEQ_CST);
        pthread_barrier_wait(&barrier);
        CHECK(__atomic_load_n(&arrived[meeting], __ATOMIC_SEQ_CST) == THREADS);
        CHECK(own == number && all_bytes(own_block, sizeof own_block, (char)number));
    }
    return (void *)(number * 3);
}

int main(void)
{
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (long i = 0; i < THREADS; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)(i * 3));
    }
    CHECK(own == 42);
    puts("ok");
}
