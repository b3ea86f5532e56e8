/* A signal for the process is not lost with a thread that ends just then. */
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

enum { SIGNALS = 3000 };

static atomic_int handled;
static atomic_int sending = 1;

static void count(int number)
{
    (void)number;
    handled++;
}

static void *nothing(void *argument)
{
    return argument;
}

/* Lets in signals only through threads that end at once. */
static void *come_and_go(void *argument)
{
    pthread_t thread;
    while (sending || handled < SIGNALS) {
        CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return argument;
}

int main(void)
{
    sigset_t set;
    union sigval value = {0};
    pthread_t thread;
    CHECK(signal(SIGRTMIN, count) != SIG_ERR);
    CHECK(pthread_create(&thread, NULL, come_and_go, NULL) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 0; i < SIGNALS; i++)
        while (sigqueue(getpid(), SIGRTMIN, value) != 0)
            CHECK(errno == EAGAIN && usleep(1000) == 0);
    for (int i = 0; i < 2000 && handled < SIGNALS; i++)
        usleep(5000);
    CHECK(handled == SIGNALS);
    sending = 0;
    CHECK(pthread_join(thread, NULL) == 0);
    puts("ok");
}
