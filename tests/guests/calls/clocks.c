/* Time that a process of one thread has used is no more than has passed, though it does nothing but call: by its clocks,
 * by its timers, by its limit. By its clocks it may be twice as much where a second thread runs the guest between the
 * calls, but not its thread's. */
#include "calls.h"
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/wait.h>

static double used_by_clock(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double used_by_thread(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double used_by_usage(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static void call_for(double time)
{
    pid_t parent = getppid();
    for (double end = now() + time; now() < end;)
        for (int i = 0; i < 20; i++)
            CHECK(getppid() == parent);
}

/* What vmmload does beside the program in a second, and what the kernel counts by ticks, is no affair of this test. */
static void expect_no_more(double used, double passed)
{
    if (used > passed * 1.15 + 0.05)
        fprintf(stderr, "%.3f s used in %.3f s\n", used, passed);
    CHECK(used > 0 && used <= passed * 1.15 + 0.05);
}

static void clocks(void)
{
    double clock = used_by_clock(), thread = used_by_thread(), usage = used_by_usage();
    struct tms ticks, before;
    CHECK(times(&before) != (clock_t)-1);
    double begin = now();
    call_for(1);
    clock = used_by_clock() - clock;
    thread = used_by_thread() - thread;
    usage = used_by_usage() - usage;
    CHECK(times(&ticks) != (clock_t)-1);
    double passed = now() - begin;
    expect_no_more(thread, passed);
    const char *mode = getenv("VMMLOAD_CALL_MODE");
    if (mode == NULL || strcmp(mode, "exit") != 0)
        passed *= 2;
    expect_no_more(clock, passed);
    expect_no_more(usage, passed);
    expect_no_more((double)(ticks.tms_utime + ticks.tms_stime - before.tms_utime - before.tms_stime)
                       / (double)sysconf(_SC_CLK_TCK), passed);
    puts("clocks");
}

static volatile int fired;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    fired++;
}

/* A timer of the time used fires, and not before so much has passed. */
static void timer(const char *name, int which, int signal)
{
    handle(signal, note, 0);
    fired = 0;
    double begin = now();
    CHECK(setitimer(which, &(struct itimerval){{0, 0}, {0, 200000}}, NULL) == 0);
    while (!fired)
        call_for(0.001);
    double passed = now() - begin;
    CHECK(passed >= 0.17 && passed < 60);
    call_for(0.05);
    CHECK(fired == 1);
    printf("%s fires\n", name);
}

static void timer_of_clock(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    handle(SIGUSR1, note, 0);
    fired = 0;
    CHECK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0);
    double begin = now();
    CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 200000000}}, NULL) == 0);
    while (!fired)
        call_for(0.001);
    CHECK(now() - begin >= 0.17 && timer_delete(timer) == 0);
    puts("a timer of the process's clock fires");
}

/* A limit of one second ends what calls for a second, and nothing earlier. */
static void limit(void)
{
    double begin = now();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
        CHECK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 3}) == 0);
        call_for(60);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    double passed = now() - begin;
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU && passed >= 0.95);
    puts("SIGXCPU after a second");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    if (strcmp(argv[1], "clocks") == 0) {
        clocks();
    } else if (strcmp(argv[1], "timers") == 0) {
        timer("ITIMER_PROF", ITIMER_PROF, SIGPROF);
        timer_of_clock();
    } else if (strcmp(argv[1], "virtual") == 0) {
        timer("ITIMER_VIRTUAL", ITIMER_VIRTUAL, SIGVTALRM);
    } else {
        limit();
    }
}
