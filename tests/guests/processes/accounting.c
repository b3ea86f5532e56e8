/* Times of children that were waited for are their parent's to see; of others they are not. */
#include "check.h"
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/wait.h>

static double seconds(struct timeval time)
{
    return time.tv_sec + time.tv_usec / 1e6;
}

static double used(int who)
{
    struct rusage usage;
    CHECK(getrusage(who, &usage) == 0);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static void compute(double for_seconds)
{
    volatile unsigned sum = 0;
    double end = used(RUSAGE_SELF) + for_seconds;
    do
        for (unsigned i = 0; i < 100000; i++)
            sum += i;
    while (used(RUSAGE_SELF) < end);
}

static pid_t start_computing(double for_seconds)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(used(RUSAGE_CHILDREN) == 0);
        compute(for_seconds);
        _exit(0);
    }
    return child;
}

static void child_counts_once_it_is_waited_for(void)
{
    struct tms before, after;
    struct rusage of_child, of_all;
    CHECK(used(RUSAGE_CHILDREN) == 0 && times(&before) != (clock_t)-1);
    pid_t child = start_computing(0.2);
    siginfo_t info;
    CHECK(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0 && used(RUSAGE_CHILDREN) == 0);
    CHECK(wait4(child, NULL, 0, &of_child) == child && getrusage(RUSAGE_CHILDREN, &of_all) == 0);
    double one = seconds(of_child.ru_utime) + seconds(of_child.ru_stime);
    CHECK(one >= 0.2 && one < 5 && used(RUSAGE_CHILDREN) == one);
    CHECK(of_all.ru_maxrss > 0 && of_all.ru_minflt > 0 && of_all.ru_nvcsw + of_all.ru_nivcsw > 0);
    CHECK(times(&after) != (clock_t)-1);
    CHECK(after.tms_cutime + after.tms_cstime - before.tms_cutime - before.tms_cstime >= sysconf(_SC_CLK_TCK) / 10);
}

static void grandchildren_count_too(void)
{
    double before = used(RUSAGE_CHILDREN);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = start_computing(0.2);
        CHECK(waitpid(grandchild, NULL, 0) == grandchild && used(RUSAGE_CHILDREN) >= 0.2);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && used(RUSAGE_CHILDREN) - before >= 0.2);
}

static void children_that_nobody_waits_for_do_not_count(void)
{
    double before = used(RUSAGE_CHILDREN);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    CHECK(start_computing(0.1) > 0);
    CHECK_ERROR(wait(NULL), ECHILD);
    CHECK(used(RUSAGE_CHILDREN) == before);
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void limits_and_times_of_a_child_begin_anew(void)
{
    /* Far more than a child needs to start, even where it is made slowly. */
    compute(1);
    pid_t child = fork();
    if (child == 0) {
        struct timespec cpu;
        CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0 && cpu.tv_sec == 0);
        struct tms own;
        CHECK(times(&own) != (clock_t)-1 && own.tms_cutime == 0 && own.tms_cstime == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

int main(void)
{
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    child_counts_once_it_is_waited_for();
    grandchildren_count_too();
    children_that_nobody_waits_for_do_not_count();
    limits_and_times_of_a_child_begin_anew();
    puts("ok");
}
