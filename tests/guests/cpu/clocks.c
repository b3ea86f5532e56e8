/* The processor's and the kernel's clocks agree, through the vDSO and without it, and never go back. */
#include "check.h"
#include <sys/time.h>
#include <x86intrin.h>

static int64_t nanoseconds(const struct timespec *time)
{
    return time->tv_sec * 1000000000LL + time->tv_nsec;
}

static int64_t by_library(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return nanoseconds(&time);
}

static int64_t by_kernel(clockid_t clock)
{
    struct timespec time;
    CHECK(syscall(SYS_clock_gettime, clock, &time) == 0);
    return nanoseconds(&time);
}

/* The library's answer lies between two of the kernel's, and they are close at least once: a busy
 * machine may preempt in between, a wrong clock is wrong every time. */
static void library_agrees_with_kernel(clockid_t clock)
{
    int64_t closest = INT64_MAX;
    for (int i = part_of(200); i >= 0; i--) {
        int64_t before = by_kernel(clock), between = by_library(clock), after = by_kernel(clock);
        CHECK(before - 5000 <= between && between <= after + 5000);
        if (after - before < closest)
            closest = after - before;
    }
    CHECK(closest < 1000000);
}

static void never_goes_back(clockid_t clock)
{
    int64_t last = by_library(clock);
    for (int i = part_of(20000); i > 0; i--) {
        int64_t now = by_library(clock);
        CHECK(now >= last);
        last = now;
    }
}

/* Ticks of the time-stamp counter in a nanosecond. */
static double rate(void)
{
    int64_t start = by_kernel(CLOCK_MONOTONIC), passed;
    uint64_t ticks = __rdtsc();
    while (passed = by_kernel(CLOCK_MONOTONIC) - start, passed < 30000000)
        ;
    return (double)(__rdtsc() - ticks) / (double)passed;
}

static int agree(const double *rates)
{
    return rates[0] / rates[1] < 1.02 && rates[1] / rates[0] < 1.02;
}

static void time_stamp_counter_runs_with_the_clock(void)
{
    uint64_t last = __rdtsc();
    for (int i = part_of(100000); i > 0; i--) {
        uint64_t now = __rdtsc();
        CHECK(now >= last);
        last = now;
    }
    /* Two measurements of its rate over about 30 ms each agree within 2 %, sooner or later: a pause
     * between the two clocks of one measurement spoils that one only. */
    double rates[2] = {rate(), rate()};
    for (int i = 0; i < 50 && !agree(rates); i++)
        rates[i % 2] = rate();
    CHECK(agree(rates));
    CHECK(rates[0] > 0.1 && rates[0] < 10);
}

static void sleeping_takes_as_long_as_asked(void)
{
    struct timespec pause = {0, 20000000};
    int64_t start = by_library(CLOCK_MONOTONIC);
    CHECK(nanosleep(&pause, NULL) == 0);
    CHECK(by_library(CLOCK_MONOTONIC) - start >= 20000000);
}

static void processor_time_counts_work(void)
{
    int64_t start = by_library(CLOCK_PROCESS_CPUTIME_ID), thread = by_library(CLOCK_THREAD_CPUTIME_ID);
    for (volatile long i = part_of(30000000); i > 0; i--)
        ;
    CHECK(by_library(CLOCK_PROCESS_CPUTIME_ID) - start > 1000000);
    CHECK(by_library(CLOCK_THREAD_CPUTIME_ID) - thread > 1000000);
}

int main(void)
{
    library_agrees_with_kernel(CLOCK_MONOTONIC);
    library_agrees_with_kernel(CLOCK_REALTIME);
    library_agrees_with_kernel(CLOCK_BOOTTIME);
    never_goes_back(CLOCK_MONOTONIC);
    time_stamp_counter_runs_with_the_clock();
    sleeping_takes_as_long_as_asked();
    processor_time_counts_work();
    struct timeval of_day;
    CHECK(gettimeofday(&of_day, NULL) == 0 && labs(of_day.tv_sec - time(NULL)) <= 1);
    puts("ok");
}
