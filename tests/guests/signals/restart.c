/* A handler interrupts a blocked call: with SA_RESTART it goes on, without it fails with EINTR. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>

static volatile sig_atomic_t count;
static int ends[2];

static void note(int number)
{
    (void)number;
    count++;
}

static void install(int flags)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = flags};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    count = 0;
}

/* Signals the main thread again and again until it has noticed; then, if asked, lets its read end. */
static void *disturb(void *write_then)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    usleep(30000);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    while (count == 0)
        usleep(1000);
    usleep(20000);
    if (write_then)
        CHECK(write(ends[1], "w", 1) == 1);
    return NULL;
}

static pthread_t disturber(int write_then)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, disturb, write_then ? "write" : NULL) == 0);
    return thread;
}

int main(void)
{
    char byte = 0;
    CHECK(pipe(ends) == 0);

    install(SA_RESTART);
    pthread_t thread = disturber(1);
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'w' && count == 1);
    CHECK(pthread_join(thread, NULL) == 0);

    install(0);
    thread = disturber(0);
    CHECK_ERROR(read(ends[0], &byte, 1), EINTR);
    CHECK(count == 1 && pthread_join(thread, NULL) == 0);

    install(SA_RESTART); /* poll never restarts */
    thread = disturber(0);
    struct pollfd waited = {ends[0], POLLIN, 0};
    CHECK_ERROR(poll(&waited, 1, -1), EINTR);
    CHECK(count == 1 && pthread_join(thread, NULL) == 0);

    install(0);
    thread = disturber(0);
    struct timespec pause = {30, 0}, left = {0, 0};
    CHECK_ERROR(nanosleep(&pause, &left), EINTR);
    CHECK(count == 1 && left.tv_sec == 29 && pthread_join(thread, NULL) == 0);
    puts("ok");
}
