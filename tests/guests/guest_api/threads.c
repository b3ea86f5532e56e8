// Threads that use it for the first time all at once, a signal handler, and a child made by fork.
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <vmmload_guest.h>

#define THREADS 8

static pthread_barrier_t start;
static volatile sig_atomic_t handled;

static void *use(void *inside)
{
    pthread_barrier_wait(&start);
    int first = vmmload_inside();
    for (int i = 0; i < 50; i++)
        CHECK(vmmload_mark("in a thread") == 0);
    *(int *)inside = first + 2 * vmmload_inside();
    return NULL;
}

static void handle(int signal)
{
    (void)signal;
    handled = vmmload_mark("in a handler") == 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    int inside[THREADS];
    CHECK(pthread_barrier_init(&start, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, use, &inside[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    int both = vmmload_inside() * 3;
    for (int i = 0; i < THREADS; i++)
        CHECK(inside[i] == both);
    signal(SIGUSR1, handle);
    raise(SIGUSR1);
    CHECK(handled);
    pid_t child = fork();
    if (child == 0)
        _exit(vmmload_mark("in a child") != 0 || vmmload_inside() * 3 != both);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
