/* Threads that cannot be started use up nothing: when the limit is raised again, they can. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>

/* Of this thread alone, unlike the C library's: a limit on threads does not bind the superuser. */
static void become(long user)
{
    if (getuid() == 0 || user == 0)
        syscall(SYS_setresuid, user, user, 0);
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    pthread_t thread;
    struct rlimit before, one;
    CHECK(getrlimit(RLIMIT_NPROC, &before) == 0);
    one = before;
    one.rlim_cur = 1;
    become(12345);
    CHECK(setrlimit(RLIMIT_NPROC, &one) == 0);
    /* More often than any machine has virtual processors. */
    for (int i = 0; i < 5000; i++)
        CHECK(pthread_create(&thread, NULL, nothing, NULL) == EAGAIN);
    CHECK(setrlimit(RLIMIT_NPROC, &before) == 0);
    become(0);
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    puts("ok");
}
