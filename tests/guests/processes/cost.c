/* What starting processes and threads and sending signals costs: the benchmark's rows.
 * cost NAME ROUNDS prints the median round's nanoseconds, then those of the whole program. */
#include "check.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

static char *true_line[] = {"/bin/true", NULL};
static pthread_t waiting_thread, asking_thread;
static volatile sig_atomic_t handled, leave;

static double now(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void reap(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void fork_exit(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    reap(child);
}

static void vfork_exit(void)
{
    pid_t child = vfork();
    if (child == 0)
        _exit(0);
    reap(child);
}

static void fork_exec(void)
{
    pid_t child = fork();
    if (child == 0) {
        execv(*true_line, true_line);
        _exit(127);
    }
    reap(child);
}

static void spawn(void)
{
    pid_t child;
    CHECK(posix_spawn(&child, *true_line, NULL, NULL, true_line, environ) == 0);
    reap(child);
}

static void *at_once(void *nothing)
{
    return nothing;
}

static void thread(void)
{
    pthread_t started;
    CHECK(pthread_create(&started, NULL, at_once, NULL) == 0 && pthread_join(started, NULL) == 0);
}

static void count(int signal)
{
    (void)signal;
    handled++;
}

static void signal_self(void)
{
    sig_atomic_t before = handled;
    CHECK(kill(getpid(), SIGUSR1) == 0 && handled == before + 1);
}

/* Both threads block both signals but while they wait, so that none comes too early to be waited for. */
static void answer(int signal)
{
    (void)signal;
    if (!leave)
        CHECK(pthread_kill(asking_thread, SIGUSR1) == 0);
}

static void *answering(void *waiting)
{
    while (!leave)
        sigsuspend(waiting);
    return NULL;
}

static void signal_thread(void)
{
    sigset_t waiting;
    sigfillset(&waiting), sigdelset(&waiting, SIGUSR1);
    sig_atomic_t before = handled;
    CHECK(pthread_kill(waiting_thread, SIGUSR2) == 0);
    while (handled == before)
        sigsuspend(&waiting);
}

static void start_answering(void)
{
    static sigset_t waiting;
    sigset_t both;
    sigemptyset(&both), sigaddset(&both, SIGUSR1), sigaddset(&both, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &both, NULL) == 0);
    sigfillset(&waiting), sigdelset(&waiting, SIGUSR2);
    asking_thread = pthread_self();
    CHECK(pthread_create(&waiting_thread, NULL, answering, &waiting) == 0);
}

static void stop_answering(void)
{
    leave = 1;
    CHECK(pthread_kill(waiting_thread, SIGUSR2) == 0 && pthread_join(waiting_thread, NULL) == 0);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_of(void (*round)(void), int rounds)
{
    double *times = calloc(rounds, sizeof *times);
    CHECK(times != NULL);
    round(); /* The first one finds cold pages and does not count. */
    for (int i = 0; i < rounds; i++) {
        double started = now();
        round();
        times[i] = now() - started;
    }
    qsort(times, rounds, sizeof *times, ascending);
    return times[rounds / 2];
}

static const struct {
    const char *name;
    void (*round)(void);
} WORKLOADS[] = {
    {"fork", fork_exit},  {"vfork", vfork_exit},    {"fork-exec", fork_exec},
    {"spawn", spawn},     {"thread", thread},       {"signal-self", signal_self},
    {"signal-thread", signal_thread},
};

int main(int count_of_arguments, char **arguments)
{
    double started = now();
    CHECK(count_of_arguments == 3);
    CHECK(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count}, NULL) == 0);
    CHECK(sigaction(SIGUSR2, &(struct sigaction){.sa_handler = answer}, NULL) == 0);
    int answered = strcmp(arguments[1], "signal-thread") == 0;
    if (answered)
        start_answering();
    for (size_t i = 0; i < sizeof WORKLOADS / sizeof *WORKLOADS; i++)
        if (strcmp(arguments[1], WORKLOADS[i].name) == 0) {
            printf("round_ns %.0f\n", median_of(WORKLOADS[i].round, atoi(arguments[2])));
            if (answered)
                stop_answering();
            printf("total_ns %.0f\n", now() - started);
            return 0;
        }
    fprintf(stderr, "no workload %s\n", arguments[1]);
    return 1;
}
