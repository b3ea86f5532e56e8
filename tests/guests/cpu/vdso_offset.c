/* How far the vDSO's clocks are from the kernel's. Prints a line for each clock: its name, the most
 * nanoseconds by which the vDSO's answer lay outside the two of the kernel around it, and how close
 * those two were at best: a difference smaller than that cannot be seen. */
#include "check.h"

#define ROUNDS 300

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

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void measure(const char *name, clockid_t clock)
{
    int64_t outside = 0, closest = INT64_MAX;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t before = by_kernel(clock), between = by_library(clock), after = by_kernel(clock);
        outside = larger(outside, larger(before - between, between - after));
        if (after - before < closest)
            closest = after - before;
    }
    printf("%s %lld %lld\n", name, (long long)outside, (long long)closest);
}

int main(void)
{
    measure("CLOCK_REALTIME", CLOCK_REALTIME);
    measure("CLOCK_MONOTONIC", CLOCK_MONOTONIC);
}
