/* Signals reach the thread they are sent to; process signals reach a thread that does not block them. */
#include "check.h"
#include <pthread.h>

#define THREADS 8

static __thread volatile sig_atomic_t mine;
static pthread_t threads[THREADS];
static volatile int ready, stop, by_process;
static int received[THREADS];

static void note(int number)
{
    if (number == SIGUSR1)
        mine++;
    else
        by_process++;
}

static void *work(void *argument)
{
    long number = (long)argument;
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (!stop) {
        if (number % 2)
            usleep(1000);
        __atomic_store_n(&received[number], mine, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void block(int how, int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

int main(void)
{
    CHECK(signal(SIGUSR1, note) != SIG_ERR && signal(SIGUSR2, note) != SIG_ERR);
    block(SIG_BLOCK, SIGUSR2); /* inherited by all threads */
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    while (ready < THREADS)
        usleep(1000);
    for (int round = 1; round <= 10; round++)
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_kill(threads[i], SIGUSR1) == 0);
            while (__atomic_load_n(&received[i], __ATOMIC_SEQ_CST) != round)
                usleep(100);
        }
    CHECK(mine == 0);
    CHECK(kill(getpid(), SIGUSR2) == 0 && by_process == 0);
    block(SIG_UNBLOCK, SIGUSR2);
    CHECK(by_process == 1);
    stop = 1;
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        printf("thread %d received %d\n", i, received[i]);
    }
}
