/* wait4 and waitid: what each option asks for, and what is told of a child. */
#include "check.h"
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static volatile sig_atomic_t told, told_code, told_status, told_pid;

static void on_child(int signal, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(signal == SIGCHLD && info->si_signo == SIGCHLD);
    told++, told_code = info->si_code, told_status = info->si_status, told_pid = info->si_pid;
}

static pid_t child_that_exits(int status)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(status);
    return child;
}

static pid_t child_that_pauses(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void expect(idtype_t type, id_t id, int options, pid_t child, int code, int status)
{
    siginfo_t info = {.si_pid = -1};
    int result;
    do
        result = waitid(type, id, &info, options);
    while (result < 0 && errno == EINTR);
    CHECK(result == 0 && info.si_signo == SIGCHLD && info.si_errno == 0);
    CHECK(info.si_pid == child && info.si_uid == getuid());
    CHECK(info.si_code == code && info.si_status == status);
}

static void end_is_kept_until_it_is_taken(void)
{
    pid_t child = child_that_exits(300);
    for (int i = 0; i < 3; i++)
        expect(P_PID, child, WEXITED | WNOWAIT, child, CLD_EXITED, 300 & 255);
    CHECK(kill(child, 0) == 0 && getpgid(child) == getpgrp());
    CHECK(kill(child, SIGKILL) == 0); /* A zombie takes no harm. */
    expect(P_ALL, 0, WEXITED | WNOWAIT, child, CLD_EXITED, 300 & 255);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 44);
    CHECK_ERROR(waitpid(child, NULL, 0), ECHILD);
    CHECK_ERROR(kill(child, 0), ESRCH);
}

static void who_must_not_wait_is_told_nothing(void)
{
    pid_t child = child_that_pauses();
    siginfo_t info = {.si_pid = 7, .si_signo = 7};
    CHECK(waitpid(child, NULL, WNOHANG) == 0);
    CHECK(waitid(P_PID, child, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) == 0);
    CHECK(info.si_pid == 0 && info.si_signo == 0);
    CHECK(kill(child, SIGTERM) == 0);
    expect(P_PID, child, WEXITED, child, CLD_KILLED, SIGTERM);
}

static void stops_and_continues_are_told(void)
{
    pid_t child = child_that_pauses();
    int status;
    CHECK(kill(child, SIGSTOP) == 0);
    expect(P_PID, child, WSTOPPED | WNOWAIT, child, CLD_STOPPED, SIGSTOP);
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(waitpid(child, &status, WUNTRACED | WNOHANG) == 0);
    CHECK(kill(child, SIGCONT) == 0);
    expect(P_PID, child, WCONTINUED | WNOWAIT, child, CLD_CONTINUED, SIGCONT);
    CHECK(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
    CHECK(kill(child, SIGTSTP) == 0);
    expect(P_PID, child, WSTOPPED, child, CLD_STOPPED, SIGTSTP);
    CHECK(kill(child, SIGTERM) == 0); /* Waits until the child goes on. */
    CHECK(waitpid(child, &status, WNOHANG) == 0 && kill(child, SIGCONT) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void wait_for_telling(pid_t child, int code, int status)
{
    for (int i = 0; i < 5000 && (told_pid != child || told_code != code); i++)
        usleep(1000);
    CHECK(told_pid == child && told_code == code && told_status == status);
}

static void signal_tells_the_same(void)
{
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    pid_t child = child_that_pauses();
    CHECK(kill(child, SIGSTOP) == 0);
    wait_for_telling(child, CLD_STOPPED, SIGSTOP);
    CHECK(kill(child, SIGCONT) == 0);
    wait_for_telling(child, CLD_CONTINUED, SIGCONT);
    action.sa_flags |= SA_NOCLDSTOP;
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    int before = told;
    CHECK(kill(child, SIGSTOP) == 0);
    expect(P_PID, child, WSTOPPED, child, CLD_STOPPED, SIGSTOP);
    CHECK(told == before && kill(child, SIGKILL) == 0);
    wait_for_telling(child, CLD_KILLED, SIGKILL);
    expect(P_PID, child, WEXITED, child, CLD_KILLED, SIGKILL);
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void children_nobody_waits_for_do_not_stay(void)
{
    for (int way = 0; way < 2; way++) {
        struct sigaction action = {.sa_handler = way ? SIG_DFL : SIG_IGN, .sa_flags = way ? SA_NOCLDWAIT : 0};
        CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
        pid_t child = child_that_exits(0);
        CHECK_ERROR(waitpid(child, NULL, 0), ECHILD);
        /* The kernel tells first, and then takes the number back (exit_notify). */
        for (int i = 0; i < 5000 && kill(child, 0) == 0; i++)
            usleep(100);
        CHECK_ERROR(kill(child, 0), ESRCH);
    }
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void groups_can_be_waited_for(void)
{
    pid_t other = child_that_pauses(), own = child_that_exits(3);
    CHECK(setpgid(other, other) == 0);
    int status;
    CHECK(waitpid(0, &status, 0) == own && WEXITSTATUS(status) == 3);
    CHECK_ERROR(waitpid(0, &status, 0), ECHILD);
    CHECK(waitpid(-other, &status, WNOHANG) == 0);
    CHECK(kill(-other, SIGUSR1) == 0);
    expect(P_PGID, other, WEXITED, other, CLD_KILLED, SIGUSR1);
    CHECK_ERROR(waitpid(-other, &status, 0), ECHILD);
}

static void descriptor_can_be_waited_for(void)
{
    pid_t child = child_that_pauses();
    int pidfd = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK);
    siginfo_t info;
    CHECK(pidfd >= 0);
    CHECK_ERROR(waitid(P_PIDFD, pidfd, &info, WEXITED), EAGAIN);
    CHECK(fcntl(pidfd, F_SETFL, 0) == 0 && kill(child, SIGKILL) == 0);
    expect(P_PIDFD, pidfd, WEXITED | WNOWAIT, child, CLD_KILLED, SIGKILL);
    expect(P_PIDFD, pidfd, WEXITED, child, CLD_KILLED, SIGKILL);
    CHECK_ERROR(waitid(P_PIDFD, pidfd, &info, WEXITED), ECHILD);
    CHECK_ERROR(waitid(P_PIDFD, 0, &info, WEXITED), EBADF);
    close(pidfd);
}

static void *wait_for_all(void *child)
{
    int status;
    CHECK_ERROR(waitpid(*(pid_t *)child, &status, __WNOTHREAD), ECHILD);
    CHECK_ERROR(waitpid(*(pid_t *)child, &status, __WCLONE), ECHILD);
    CHECK(waitpid(*(pid_t *)child, &status, __WALL) == *(pid_t *)child && WEXITSTATUS(status) == 9);
    return NULL;
}

static void any_thread_may_wait(void)
{
    pid_t child = child_that_exits(9);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_all, &child) == 0 && pthread_join(thread, NULL) == 0);
}

static void interrupt(int signal)
{
    (void)signal;
}

static void waiting_can_be_interrupted(void)
{
    pid_t child = child_that_pauses();
    struct sigaction action = {.sa_handler = interrupt};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    alarm(1);
    CHECK_ERROR(waitpid(child, NULL, 0), EINTR);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

static void wrong_requests_are_refused(void)
{
    siginfo_t info;
    pid_t child = child_that_exits(1);
    CHECK_ERROR(waitid(P_ALL, 0, &info, 0), EINVAL);
    CHECK_ERROR(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    CHECK_ERROR(waitid(77, 0, &info, WEXITED), EINVAL);
    CHECK_ERROR(waitid(P_ALL, 0, &info, WEXITED | 0x40), EINVAL);
    CHECK_ERROR(waitpid(child, NULL, 0x40), EINVAL);
    CHECK_ERROR(waitpid(INT_MIN, NULL, 0), ESRCH);
    CHECK_ERROR(waitpid(child, (int *)8, 0), EFAULT); /* Is waited for all the same. */
    CHECK_ERROR(waitpid(child, NULL, 0), ECHILD);
    child = child_that_exits(1);
    CHECK(syscall(SYS_waitid, P_PID, child, NULL, WEXITED, NULL) == 0);
}

int main(void)
{
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    end_is_kept_until_it_is_taken();
    who_must_not_wait_is_told_nothing();
    stops_and_continues_are_told();
    signal_tells_the_same();
    children_nobody_waits_for_do_not_stay();
    groups_can_be_waited_for();
    descriptor_can_be_waited_for();
    any_thread_may_wait();
    waiting_can_be_interrupted();
    wrong_requests_are_refused();
    puts("ok");
}
