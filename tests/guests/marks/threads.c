/* Marks and epochs of several threads, and marks of a signal handler, at once. */
#include "guest_calls.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>

enum { THREADS = 4, EPOCHS = 25 };
static long epochs[THREADS][EPOCHS];
static int marks;
static atomic_int ticks;

static void tick(int signal)
{
    (void)signal;
    int error = errno;
    CHECK(mark("tick") == 0);
    errno = error;
    ticks++;
}

static void *work(void *number)
{
    long thread = (long)number;
    char name[20];
    snprintf(name, sizeof name, "worker %ld", thread);
    for (int i = 0; i < marks; i++) {
        CHECK(mark(name) == 0);
        if (i % (marks / EPOCHS) == 0 && i / (marks / EPOCHS) < EPOCHS)
            epochs[thread][i / (marks / EPOCHS)] = end_epoch();
    }
    return NULL;
}

int main(void)
{
    marks = part_of(500) < EPOCHS ? EPOCHS : part_of(500);
    CHECK(signal(SIGALRM, tick) != SIG_ERR);
    struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    /* Each call has begun an epoch of its own. */
    for (int i = 0; i < THREADS * EPOCHS; i++)
        for (int j = 0; j < i; j++)
            CHECK(epochs[i / EPOCHS][i % EPOCHS] != epochs[j / EPOCHS][j % EPOCHS]);
    for (int i = 0; i < THREADS; i++)
        for (int j = 1; j < EPOCHS; j++)
            CHECK(epochs[i][j] > epochs[i][j - 1] && epochs[i][0] > 1);
    printf("%d %d\n", marks, ticks);
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
