/* timer_create with every kind of notification, what handlers learn of it, and overruns; timerfd; alarm. */
#include "check.h"
#include <pthread.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static volatile int count, code, value, thread_id, overruns;
static timer_t timer;

static void note(int number, siginfo_t *information, void *context)
{
    (void)number, (void)context;
    code = information->si_code, value = information->si_value.sival_int;
    overruns = information->si_overrun;
    thread_id = gettid();
    count++;
}

static void called(union sigval with)
{
    value = with.sival_int;
    thread_id = gettid();
    __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
}

static void create(clockid_t clock, int how, int target, long nanoseconds)
{
    struct sigevent event = {.sigev_notify = how, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 42};
    struct itimerspec every = {{0, nanoseconds}, {0, nanoseconds}};
    if (how == SIGEV_THREAD)
        event.sigev_notify_function = called;
    else if (how == SIGEV_THREAD_ID)
        event._sigev_un._tid = target;
    count = value = thread_id = 0;
    CHECK(timer_create(clock, &event, &timer) == 0 && timer_settime(timer, 0, &every, NULL) == 0);
}

static void *wait_for_it(void *tid)
{
    __atomic_store_n((int *)tid, gettid(), __ATOMIC_SEQ_CST);
    while (count < 3)
        usleep(1000);
    return NULL;
}

static void each_kind(void)
{
    static int other;
    pthread_t thread;
    create(CLOCK_REALTIME, SIGEV_SIGNAL, 0, 3000000);
    while (count < 3)
        pause();
    CHECK(code == SI_TIMER && value == 42 && timer_delete(timer) == 0);
    count = 0;
    CHECK(pthread_create(&thread, NULL, wait_for_it, &other) == 0);
    while (__atomic_load_n(&other, __ATOMIC_SEQ_CST) == 0)
        usleep(1000);
    create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, other, 3000000);
    CHECK(pthread_join(thread, NULL) == 0 && timer_delete(timer) == 0);
    CHECK(code == SI_TIMER && value == 42 && thread_id == other);
    create(CLOCK_MONOTONIC, SIGEV_THREAD, 0, 3000000);
    while (__atomic_load_n(&count, __ATOMIC_SEQ_CST) < 3)
        usleep(1000);
    CHECK(value == 42 && thread_id != gettid() && timer_delete(timer) == 0);
    create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 3000000);
    struct itimerspec left;
    usleep(10000);
    CHECK(timer_gettime(timer, &left) == 0 && left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 3000000);
    CHECK(timer_delete(timer) == 0);
}

static void processor_time(void)
{
    clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        create(clocks[i], SIGEV_SIGNAL, 0, 5000000);
        while (count < 2)
            __asm__ volatile("pause");
        CHECK(code == SI_TIMER && value == 42 && timer_delete(timer) == 0);
    }
}

static void overruns_are_counted(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 0, 1000000);
    usleep(50000);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    struct itimerspec off = {{0, 0}, {0, 0}};
    while (count < 1)
        pause();
    CHECK(timer_settime(timer, 0, &off, NULL) == 0 && timer_getoverrun(timer) >= 0);
    CHECK(timer_delete(timer) == 0);
    CHECK_ERROR(timer_gettime(timer, &off), EINVAL);
}

static void descriptors(void)
{
    uint64_t times = 0;
    struct itimerspec every = {{0, 2000000}, {0, 2000000}};
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(timerfd_settime(descriptor, 0, &every, NULL) == 0);
    usleep(20000);
    CHECK(read(descriptor, &times, sizeof times) == sizeof times && times >= 9);
}

static void alarms(void)
{
    struct itimerval left, once = {{0, 0}, {5, 0}};
    CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0 && alarm(0) == 5);
    CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_usec == 0);
    CHECK_ERROR(setitimer(17, &once, NULL), EINVAL);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGRTMIN + 1, &action, NULL) == 0);
    each_kind();
    processor_time();
    overruns_are_counted();
    descriptors();
    alarms();
    puts("ok");
}
