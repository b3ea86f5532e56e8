/* exit() from a thread ends the whole process at once, whatever the other threads do. */
#include "check.h"
#include <pthread.h>

static void *spin(void *unused)
{
    for (volatile unsigned long i = 0;; i++)
        ;
    return unused;
}

static void *sleep_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *wait_for_ever(void *mutex)
{
    pthread_mutex_lock(mutex);
    return NULL;
}

static void *leave(void *unused)
{
    usleep(50000);
    puts("leaving");
    exit(42);
    return unused;
}

int main(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t thread;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&thread, NULL, spin, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
        CHECK(pthread_create(&thread, NULL, wait_for_ever, &mutex) == 0);
    }
    CHECK(pthread_create(&thread, NULL, leave, NULL) == 0);
    pthread_join(thread, NULL);
    puts("FAILED: the process outlived exit()");
    return 1;
}
