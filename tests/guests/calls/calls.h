/* Loops of calls, as many as there is time for: natively a call takes less than a millionth of a second, inside it may
 * take a thousand times as long. */
#ifndef CALLS_H
#define CALLS_H
#include "check.h"
#include <pthread.h>
#include <sys/time.h>

static inline double now(void)
{
    struct timespec time; /* Without a system call: the kernel's page has the time. */
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* What a loop may still do. */
struct effort {
    unsigned long left;
    double end;
};

/* At most so many rounds, and no round is begun after so many seconds. */
static inline struct effort effort(unsigned long rounds, double seconds)
{
    return (struct effort){(unsigned long)part_of((int)rounds), now() + seconds};
}

static inline int goes_on(struct effort *effort)
{
    return effort->left-- > 0 && ((effort->left & 7) != 0 || now() < effort->end);
}

static inline pid_t own_tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static inline void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static inline void change_mask(int how, int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static inline pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static inline void *end_of(pthread_t thread)
{
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

static inline void leave_it(int signal)
{
    (void)signal;
}

/* Microseconds between two signals that let a program get on here: where a handler takes longer than the time
 * to the next signal, the program would do nothing else. */
static inline long bearable_interval(void)
{
    enum { TIMES = 20 };
    struct sigaction action = {.sa_handler = leave_it}, before;
    CHECK(sigaction(SIGUSR2, &action, &before) == 0);
    raise(SIGUSR2);
    double begin = now();
    for (int i = 0; i < TIMES; i++)
        raise(SIGUSR2);
    long each = (long)((now() - begin) / TIMES * 1e6);
    CHECK(sigaction(SIGUSR2, &before, NULL) == 0);
    return each * 3 < 100 ? 100 : each * 3;
}

/* SIGALRM again and again, for any thread of the process that does not block it. */
static inline void set_alarm_every(long microseconds)
{
    struct itimerval often = {{microseconds / 1000000, microseconds % 1000000},
                              {microseconds / 1000000, microseconds % 1000000}};
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* A timer that interrupts the calling thread, and no other, with SIGALRM. */
static inline timer_t interrupt_this_thread_every(long microseconds)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    event.sigev_notify_thread_id = own_tid();
    timer_t timer;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    struct itimerspec often = {time, time};
    CHECK(timer_settime(timer, 0, &often, NULL) == 0);
    return timer;
}
#endif
