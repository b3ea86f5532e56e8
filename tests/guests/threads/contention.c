/* Mutex, condition variable, read-write lock, semaphore, spin and atomic counters under contention add up. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

#define THREADS 8

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, inherit;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static sem_t permits;
static int rounds;
static long by_mutex, by_inherit, by_lock, by_atomic, inside, turn, turns;

static void count_under_locks(void)
{
    for (int i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        by_mutex++;
        pthread_mutex_unlock(&mutex);
        CHECK(pthread_mutex_lock(&inherit) == 0);
        by_inherit++;
        CHECK(pthread_mutex_unlock(&inherit) == 0);
        pthread_rwlock_rdlock(&lock);
        CHECK(by_lock >= 0);
        pthread_rwlock_unlock(&lock);
        pthread_rwlock_wrlock(&lock);
        by_lock++;
        pthread_rwlock_unlock(&lock);
        __atomic_fetch_add(&by_atomic, 1, __ATOMIC_RELAXED);
    }
}

static void at_most_three_at_a_time(void)
{
    for (int i = 0; i < rounds / 10; i++) {
        CHECK(sem_wait(&permits) == 0);
        CHECK(__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) <= 3);
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        sem_post(&permits);
    }
}

/* The threads take turns in order, 100 times around. */
static void take_turns(long number)
{
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != number)
            pthread_cond_wait(&turn_changed, &mutex);
        turn = (turn + 1) % THREADS;
        turns++;
        pthread_cond_broadcast(&turn_changed);
        pthread_mutex_unlock(&mutex);
    }
}

static void *work(void *argument)
{
    count_under_locks();
    at_most_three_at_a_time();
    take_turns((long)argument);
    return NULL;
}

static void timed_waits_end(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 30000000;
    until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    CHECK(pthread_cond_timedwait(&turn_changed, &mutex, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
}

int main(void)
{
    rounds = part_of(4000);
    pthread_t threads[THREADS];
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&inherit, &attributes) == 0 && sem_init(&permits, 0, 3) == 0);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    timed_waits_end();
    printf("%ld %ld %ld %ld %ld\n", by_mutex, by_inherit, by_lock, by_atomic, turns);
    CHECK(by_mutex == THREADS * rounds && by_inherit == by_mutex && by_lock == by_mutex);
    CHECK(by_atomic == by_mutex && turns == THREADS * 100);
}
