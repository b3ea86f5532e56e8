/* What becomes of children whose parent ends, and of groups and sessions. */
#include "check.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int ends[2];

static void say(char word)
{
    CHECK(write(ends[1], &word, 1) == 1);
}

static char hear(void)
{
    char word;
    CHECK(read(ends[0], &word, 1) == 1);
    return word;
}

static int status_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static pid_t start(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    return child;
}

static void orphan_goes_to_the_subreaper(void)
{
    int is_one = 0;
    pid_t reaper = getpid();
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is_one) == 0 && is_one == 1);
    pid_t middle = start();
    if (middle == 0) {
        CHECK(prctl(PR_GET_CHILD_SUBREAPER, &is_one) == 0 && is_one == 0);
        pid_t parent = getpid();
        if (start() == 0) {
            while (getppid() == parent)
                usleep(1000);
            _exit(getppid() == reaper ? 31 : 32);
        }
        _exit(30);
    }
    CHECK(WEXITSTATUS(status_of(middle)) == 30);
    int status;
    pid_t orphan = wait(&status);
    CHECK(orphan > 0 && orphan != middle && WEXITSTATUS(status) == 31);
    CHECK_ERROR(wait(NULL), ECHILD);
}

static volatile pid_t told_of;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    told_of = info->si_pid;
    say(signal == SIGUSR1 ? 'u' : 'h');
}

static void handle(int signal)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void parents_end_is_signalled_where_asked(void)
{
    int signal = 0;
    pid_t middle = start();
    if (middle == 0) {
        pid_t parent = getpid();
        if (start() == 0) {
            handle(SIGUSR1);
            CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
            CHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR1);
            pid_t own = start();
            if (own == 0)
                _exit(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 0 ? 0 : 1);
            CHECK(status_of(own) == 0);
            say('r');
            while (told_of == 0)
                usleep(1000);
            _exit(told_of == parent ? 33 : 34);
        }
        CHECK(hear() == 'r');
        _exit(0);
    }
    CHECK(status_of(middle) == 0);
    CHECK(hear() == 'u');
    int status;
    CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 33);
    CHECK_ERROR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
}

static pid_t started_by_thread;

static void *start_and_end(void *nothing)
{
    started_by_thread = start();
    if (started_by_thread == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
        say('r');
        for (;;)
            pause();
    }
    CHECK(hear() == 'r');
    return nothing;
}

static void end_of_the_thread_that_forked_counts(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, start_and_end, NULL) == 0 && pthread_join(thread, NULL) == 0);
    int status = status_of(started_by_thread);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void groups_are_made_and_signalled(void)
{
    pid_t members[2];
    for (int i = 0; i < 2; i++) {
        members[i] = start();
        if (members[i] == 0)
            for (;;)
                pause();
        CHECK(setpgid(members[i], members[0]) == 0 && getpgid(members[i]) == members[0]);
    }
    CHECK(getpgrp() != members[0] && getsid(members[1]) == getsid(0));
    CHECK_ERROR(setpgid(members[1], 1 << 22), EPERM);
    CHECK_ERROR(setpgid(getppid(), 0), ESRCH);
    CHECK_ERROR(setpgid(members[1], -1), EINVAL);
    CHECK(killpg(members[0], SIGUSR2) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(WTERMSIG(status_of(members[i])) == SIGUSR2);
    CHECK_ERROR(killpg(members[0], 0), ESRCH);
}

static void sessions_are_made_once(void)
{
    pid_t child = start();
    if (child == 0) {
        CHECK(setsid() == getpid() && getpgrp() == getpid() && getsid(0) == getpid());
        CHECK_ERROR(setsid(), EPERM);
        CHECK_ERROR(setpgid(0, 0), EPERM);
        CHECK_ERROR(open("/dev/tty", O_RDWR), ENXIO);
        pid_t grandchild = start();
        if (grandchild == 0) {
            CHECK_ERROR(setpgid(0, 1 << 22), EPERM);
            _exit(getsid(0) == getppid() ? 0 : 1);
        }
        _exit(status_of(grandchild));
    }
    CHECK(status_of(child) == 0);
}

static void executing_ends_the_parents_say(void)
{
    char told[12];
    snprintf(told, sizeof told, "%d", ends[1]);
    char *line[] = {"orphans", told, NULL};
    pid_t child = start();
    if (child == 0) {
        execv("/proc/self/exe", line);
        _exit(127);
    }
    CHECK(hear() == 'x');
    CHECK_ERROR(setpgid(child, child), EACCES);
    CHECK(kill(child, SIGTERM) == 0 && WTERMSIG(status_of(child)) == SIGTERM);
}

/* What it executes. */
static void be_executed(int end)
{
    CHECK(write(end, "x", 1) == 1);
    for (;;)
        pause();
}

/* The child of the one that ends is stopped. */
static void end_beside_a_stopped_child(void)
{
    CHECK(setpgid(0, 0) == 0);
    pid_t stopping = start();
    if (stopping == 0) {
        handle(SIGHUP);
        raise(SIGSTOP);
        CHECK(hear() == 'h');
        _exit(35);
    }
    int status;
    CHECK(waitpid(stopping, &status, WUNTRACED) == stopping && WIFSTOPPED(status));
    _exit(0);
}

static void stopped_group_without_parents_is_hung_up(void)
{
    pid_t leader = start();
    if (leader == 0) {
        CHECK(setsid() == getpid());
        pid_t middle = start();
        if (middle == 0)
            end_beside_a_stopped_child();
        _exit(status_of(middle));
    }
    CHECK(status_of(leader) == 0);
    /* No parent of the group is in its session any more: SIGHUP, then SIGCONT. */
    int status;
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 35);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        be_executed(atoi(argv[1]));
    CHECK(pipe(ends) == 0);
    orphan_goes_to_the_subreaper();
    parents_end_is_signalled_where_asked();
    end_of_the_thread_that_forked_counts();
    groups_are_made_and_signalled();
    sessions_are_made_once();
    executing_ends_the_parents_say();
    stopped_group_without_parents_is_hung_up();
    puts("ok");
}
