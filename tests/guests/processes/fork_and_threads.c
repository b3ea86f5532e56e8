/* fork from any thread, while others run: the child has that thread alone, and can start others. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

static volatile int stop;
static __thread int own = 1;

static void *busy(void *unused)
{
    while (!stop)
        free(malloc(2000));
    return unused;
}

static void *nothing(void *argument)
{
    CHECK(own == 1);
    return argument;
}

static int threads(void)
{
    int count = 0;
    FILE *status = fopen("/proc/self/stat", "r");
    CHECK(status != NULL);
    /* The twentieth field; the name holds no blanks here. */
    CHECK(fscanf(status, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
                 &count) == 1);
    fclose(status);
    return count;
}

static void *fork_here(void *argument)
{
    own = (int)(long)argument;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(own == (int)(long)argument && gettid() == getpid());
        /* Of the parent's eight there is one; vmmload and KVM may have one each. */
        CHECK(threads() <= 3);
        pthread_t thread;
        void *result;
        for (long i = 0; i < 5; i++) {
            CHECK(pthread_create(&thread, NULL, nothing, (void *)i) == 0);
            CHECK(pthread_join(thread, &result) == 0 && result == (void *)i);
        }
        _exit((int)(long)argument);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == (int)(long)argument);
    return NULL;
}

int main(void)
{
    pthread_t others[3], forking[4];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&others[i], NULL, busy, NULL) == 0);
    int rounds = part_of(5);
    for (int round = 0; round < rounds; round++) {
        for (long i = 0; i < 4; i++)
            CHECK(pthread_create(&forking[i], NULL, fork_here, (void *)(i + 2)) == 0);
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(forking[i], NULL) == 0);
        fork_here((void *)9L);
        own = 1;
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(others[i], NULL) == 0);
    puts("ok");
}
