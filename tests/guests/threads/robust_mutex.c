/* A thread dies while it owns robust mutexes: the next owner is told, and can repair them. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>

#define MUTEXES 20
static pthread_mutex_t mutexes[MUTEXES];
static sem_t owned;

static void *die_as_owner(void *unused)
{
    for (int i = 0; i < MUTEXES; i++)
        CHECK(pthread_mutex_lock(&mutexes[i]) == 0);
    return unused;
}

static void *wait_for_it(void *mutex)
{
    int result = pthread_mutex_lock(mutex);
    CHECK(result == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
    return NULL;
}

static void *own_for_a_while(void *mutex)
{
    CHECK(pthread_mutex_lock(mutex) == 0);
    CHECK(sem_post(&owned) == 0);
    usleep(50000);
    return NULL;
}

int main(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    for (int i = 0; i < MUTEXES; i++)
        CHECK(pthread_mutex_init(&mutexes[i], &attributes) == 0);

    pthread_t owner, waiter;
    CHECK(pthread_create(&owner, NULL, die_as_owner, NULL) == 0 && pthread_join(owner, NULL) == 0);
    for (int i = 0; i < MUTEXES; i++) {
        CHECK(pthread_mutex_trylock(&mutexes[i]) == EOWNERDEAD);
        CHECK(pthread_mutex_consistent(&mutexes[i]) == 0 && pthread_mutex_unlock(&mutexes[i]) == 0);
    }

    /* One waits in the kernel while the owner dies. */
    CHECK(sem_init(&owned, 0, 0) == 0);
    CHECK(pthread_create(&owner, NULL, own_for_a_while, &mutexes[0]) == 0);
    CHECK(sem_wait(&owned) == 0);
    CHECK(pthread_create(&waiter, NULL, wait_for_it, &mutexes[0]) == 0);
    CHECK(pthread_join(owner, NULL) == 0 && pthread_join(waiter, NULL) == 0);

    /* Not repaired: lost for good. */
    CHECK(pthread_create(&owner, NULL, die_as_owner, NULL) == 0 && pthread_join(owner, NULL) == 0);
    CHECK(pthread_mutex_lock(&mutexes[1]) == EOWNERDEAD && pthread_mutex_unlock(&mutexes[1]) == 0);
    CHECK(pthread_mutex_lock(&mutexes[1]) == ENOTRECOVERABLE);
    puts("ok");
}
