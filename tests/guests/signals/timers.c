/* Timers deliver their signals: alarm, setitimer (all three kinds), POSIX timers; as often as asked. */
#include "check.h"
#include <sys/time.h>

static volatile sig_atomic_t count, last;

static void note(int number)
{
    count++;
    last = number;
}

static void interval(int which, int number)
{
    struct itimerval every = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, left;
    count = 0;
    CHECK(signal(number, note) != SIG_ERR && setitimer(which, &every, NULL) == 0);
    while (count < 5)
        CHECK(getppid() >= 0);
    CHECK(getitimer(which, &left) == 0 && left.it_interval.tv_usec == 5000);
    CHECK(setitimer(which, &off, NULL) == 0 && last == number);
}

/* The program makes no call at all: the signal must still come in. */
static void interrupts_pure_computation(void)
{
    struct itimerval once = {{0, 0}, {0, 20000}};
    count = 0;
    CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
    while (count == 0)
        ;
    CHECK(count == 1 && last == SIGALRM);
}

static void posix_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    struct itimerspec every = {{0, 5000000}, {0, 5000000}};
    timer_t timer;
    count = 0;
    CHECK(signal(SIGRTMIN + 3, note) != SIG_ERR);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
    while (count < 5)
        CHECK(pause() == -1 && errno == EINTR);
    CHECK(timer_delete(timer) == 0 && last == SIGRTMIN + 3);
}

int main(void)
{
    CHECK(signal(SIGALRM, note) != SIG_ERR);
    alarm(1);
    CHECK(alarm(1) == 1);
    CHECK(pause() == -1 && errno == EINTR && count == 1 && last == SIGALRM);
    interval(ITIMER_REAL, SIGALRM);
    interval(ITIMER_VIRTUAL, SIGVTALRM);
    interval(ITIMER_PROF, SIGPROF);
    interrupts_pure_computation();
    posix_timer();
    puts("ok");
}
