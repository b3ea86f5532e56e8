/* many THREADS: so many threads call at once, each its own calls with its own answers; or `passing`: threads come and
 * go while others call. */
#include "calls.h"
#include <sys/eventfd.h>

#define MOST 256
#define PASSING 6

static volatile int stop;
static volatile pid_t tids[MOST];
static pid_t parent;
static pthread_barrier_t barrier;

/* A round of calls of a thread that has a pipe and a counter of its own. */
static void round_of_calls(const int *ends, int counter, pid_t tid, uint64_t round)
{
    uint64_t back = 0;
    CHECK(own_tid() == tid && getppid() == parent && getpid() != parent);
    CHECK(write(ends[1], &round, sizeof round) == sizeof round);
    CHECK(read(ends[0], &back, sizeof back) == sizeof back && back == round);
    CHECK(eventfd_write(counter, round + 1) == 0 && eventfd_read(counter, &back) == 0 && back == round + 1);
    CHECK_ERROR(read(-1, &back, sizeof back), EBADF);
}

static void *call(void *place)
{
    int ends[2], counter = eventfd(0, EFD_CLOEXEC);
    pid_t tid = own_tid();
    *(volatile pid_t *)place = tid;
    CHECK(counter >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    pthread_barrier_wait(&barrier);
    uint64_t round = 0;
    while (!stop || round < 2)
        round_of_calls(ends, counter, tid, round++);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(counter) == 0);
    return NULL;
}

static void many(int count)
{
    pthread_t threads[MOST];
    CHECK(count > 0 && count <= MOST && pthread_barrier_init(&barrier, NULL, (unsigned)count + 1) == 0);
    for (int i = 0; i < count; i++)
        threads[i] = start(call, (void *)&tids[i]);
    pthread_barrier_wait(&barrier);
    pid_t self = getpid();
    for (int i = 0; i < count; i++)
        for (int other = 0; other < i; other++)
            CHECK(tids[i] != tids[other] && tids[i] != self);
    usleep(700000);
    stop = 1;
    for (int i = 0; i < count; i++)
        end_of(threads[i]);
    printf("%d threads\n", count);
}

/* Calls a little, and is gone; each in one of the ways there are. */
static void *pass(void *number)
{
    pid_t tid = own_tid();
    for (int i = 0; i < 20; i++)
        CHECK(own_tid() == tid && getppid() == parent);
    if ((uintptr_t)number % 2)
        pthread_exit(number);
    return number;
}

static void passing(void)
{
    pthread_t staying[3], threads[PASSING];
    CHECK(pthread_barrier_init(&barrier, NULL, 3 + 1) == 0);
    for (int i = 0; i < 3; i++)
        staying[i] = start(call, (void *)&tids[i]);
    pthread_barrier_wait(&barrier);
    struct effort effort_ = effort(300, 1.2);
    while (goes_on(&effort_)) {
        for (uintptr_t i = 0; i < PASSING; i++)
            threads[i] = start(pass, (void *)i);
        for (uintptr_t i = 0; i < PASSING; i++)
            CHECK(end_of(threads[i]) == (void *)i);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        end_of(staying[i]);
    puts("threads came and went");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    parent = getppid();
    if (strcmp(argv[1], "passing") == 0)
        passing();
    else
        many(atoi(argv[1]));
}
