/* supervisor PROGRAM [ARGUMENT]... runs a program each of whose system calls is told to this process, which lets
 * it go on: what seccomp's notifications cost who wants to see all calls of a program (seccomp_unotify(2)). */
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Linux 6.6; both are as old headers lack them. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

static pid_t child;

/* The filter's listener, or 0: memory of both processes, as the child cannot make a call once it has the
 * filter. It starts as one that shares our descriptors, until it executes. */
static int *listener;

static void supervised(char **command)
{
    struct sock_filter tell[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
    struct sock_fprog program = {1, tell};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    long made = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    __atomic_store_n(listener, made > 0 ? (int)made : -1, __ATOMIC_SEQ_CST);
    execv(*command, command);
    _exit(127);
}

/* The end of the program is the end of its supervisor, wherever that is. */
static void ended(int signal)
{
    int status;
    (void)signal;
    if (waitpid(child, &status, WNOHANG) == child)
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

static int listener_of_child(void)
{
    int made;
    while ((made = __atomic_load_n(listener, __ATOMIC_SEQ_CST)) == 0)
        sched_yield();
    CHECK(made > 0);
    return made;
}

int main(int count_of_arguments, char **arguments)
{
    CHECK(count_of_arguments >= 2);
    listener = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(listener != MAP_FAILED);
    sigset_t children;
    sigemptyset(&children), sigaddset(&children, SIGCHLD);
    CHECK(sigaction(SIGCHLD, &(struct sigaction){.sa_handler = ended}, NULL) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &children, NULL) == 0);
    child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    CHECK(child >= 0);
    if (child == 0) {
        sigprocmask(SIG_UNBLOCK, &children, NULL);
        supervised(arguments + 1);
    }
    sigprocmask(SIG_UNBLOCK, &children, NULL);
    int notices = listener_of_child();
    /* Wakes the program up on the processor on which it waits; an older kernel goes without. */
    (void)ioctl(notices, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    for (;;) {
        struct seccomp_notif call = {0};
        /* A signal may end the wait, and the program the call. */
        if (ioctl(notices, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue;
        struct seccomp_notif_resp go_on = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        (void)ioctl(notices, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
    }
}
