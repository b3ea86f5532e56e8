/* The first thread exits with one status, the last one with another. */
#include "check.h"
#include <pthread.h>

static pthread_t first;

static void *last(void *unused)
{
    CHECK(pthread_join(first, NULL) == 0);
    syscall(SYS_exit, 5);
    return unused;
}

int main(void)
{
    pthread_t thread;
    first = pthread_self();
    CHECK(pthread_create(&thread, NULL, last, NULL) == 0);
    syscall(SYS_exit, 3);
}
