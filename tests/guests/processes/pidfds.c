/* Descriptors of processes: made, polled, signalled through, and waited for. */
#include "check.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/wait.h>

static int pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, info, flags);
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

static int events_of(int pidfd, int milliseconds)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};
    int ready = poll(&polled, 1, milliseconds);
    CHECK(ready >= 0);
    return ready ? polled.revents : 0;
}

static void descriptor_tells_the_end(void)
{
    pid_t child = child_that_pauses();
    int pidfd = pidfd_open(child, 0), queue = epoll_create1(EPOLL_CLOEXEC);
    CHECK(pidfd >= 0 && queue >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 5};
    CHECK(epoll_ctl(queue, EPOLL_CTL_ADD, pidfd, &event) == 0);
    CHECK(events_of(pidfd, 0) == 0 && epoll_wait(queue, &event, 1, 0) == 0);
    CHECK(pidfd_send_signal(pidfd, 0, NULL, 0) == 0);
    CHECK(pidfd_send_signal(pidfd, SIGUSR1, NULL, 0) == 0);
    CHECK(events_of(pidfd, 20000) == POLLIN);
    CHECK(epoll_wait(queue, &event, 1, 20000) == 1 && event.data.u32 == 5);
    int status, again = pidfd_open(child, 0); /* A zombie has one, too. */
    CHECK(again >= 0 && events_of(again, 0) == POLLIN);
    CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGUSR1);
    CHECK((events_of(pidfd, 0) & POLLIN) != 0);
    CHECK_ERROR(pidfd_send_signal(pidfd, SIGUSR1, NULL, 0), ESRCH);
    close(pidfd), close(again), close(queue);
}

static volatile sig_atomic_t value;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    CHECK(info->si_code == SI_QUEUE);
    value = info->si_value.sival_int;
}

static void process_can_signal_itself(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    int self = pidfd_open(getpid(), 0);
    siginfo_t info = {.si_signo = SIGRTMIN, .si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    info.si_value.sival_int = 77;
    CHECK(self >= 0 && events_of(self, 0) == 0);
    CHECK(pidfd_send_signal(self, SIGRTMIN, &info, 0) == 0 && value == 77);
    CHECK_ERROR(pidfd_send_signal(self, SIGRTMIN + 1, &info, 0), EINVAL);
    CHECK_ERROR(pidfd_send_signal(self, 0, NULL, 64), EINVAL);
    CHECK_ERROR(pidfd_send_signal(0, 0, NULL, 0), EBADF);
    close(self);
}

static void wrong_requests_are_refused(void)
{
    CHECK_ERROR(pidfd_open(0, 0), EINVAL);
    CHECK_ERROR(pidfd_open(-1, 0), EINVAL);
    CHECK_ERROR(pidfd_open(getpid(), 1), EINVAL);
    CHECK_ERROR(pidfd_open(1 << 22, 0), ESRCH);
}

static void descriptor_of_a_child_is_taken(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        int secret = memfd_create("secret", 0);
        CHECK(secret >= 0 && write(secret, "found", 5) == 5);
        CHECK(write(ends[1], &secret, sizeof secret) == sizeof secret);
        for (;;)
            pause();
    }
    int number, pidfd = pidfd_open(child, 0);
    CHECK(read(ends[0], &number, sizeof number) == sizeof number);
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    char text[6] = "";
    CHECK(copy >= 0 && pread(copy, text, 5, 0) == 5 && strcmp(text, "found") == 0);
    CHECK_ERROR(syscall(SYS_pidfd_getfd, pidfd, 999, 0), EBADF);
    CHECK(pidfd_send_signal(pidfd, SIGKILL, NULL, 0) == 0 && waitpid(child, NULL, 0) == child);
    close(ends[0]), close(ends[1]), close(copy), close(pidfd);
}

static int end_at_once(void *status)
{
    return (int)(long)status;
}

static void clone_gives_one(void)
{
    char *stack = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    int pidfd = -1, status;
    pid_t child = clone(end_at_once, stack + 16 * PAGE, CLONE_PIDFD | SIGCHLD, (void *)6L, &pidfd);
    CHECK(child > 0 && pidfd >= 0 && fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
    CHECK(events_of(pidfd, 20000) == POLLIN);
    siginfo_t info;
    CHECK(waitid(3 /* P_PIDFD */, pidfd, &info, WEXITED) == 0 && info.si_pid == child && info.si_status == 6);
    CHECK_ERROR(waitpid(child, &status, 0), ECHILD);
    close(pidfd);
    int both;
    CHECK_ERROR(clone(end_at_once, stack + 16 * PAGE, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &both),
                EINVAL);
}

/* Nobody waits, so the child may be gone before its parent goes on. */
static void clone_gives_one_of_who_is_gone(void)
{
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    for (int i = 0; i < 8; i++) {
        int pidfd = -1;
        struct clone_args arguments = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd};
        pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
        if (child == 0)
            _exit(0);
        CHECK(child > 0 && pidfd >= 0 && (events_of(pidfd, 20000) & POLLIN) != 0);
        close(pidfd);
    }
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static void no_descriptor_no_child(void)
{
    struct rlimit_pair {
        unsigned long soft, hard;
    } old, none;
    int next = dup(0);
    CHECK(next >= 0 && close(next) == 0);
    CHECK(syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, NULL, &old) == 0);
    none = (struct rlimit_pair){(unsigned long)next, old.hard};
    CHECK(syscall(SYS_prlimit64, 0, 7, &none, NULL) == 0);
    int pidfd = -1;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd};
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    CHECK(child == -1 && errno == EMFILE);
    CHECK(syscall(SYS_prlimit64, 0, 7, &old, NULL) == 0);
    CHECK_ERROR(wait(NULL), ECHILD);
}

int main(void)
{
    descriptor_tells_the_end();
    process_can_signal_itself();
    wrong_requests_are_refused();
    descriptor_of_a_child_is_taken();
    clone_gives_one();
    clone_gives_one_of_who_is_gone();
    no_descriptor_no_child();
    puts("ok");
}
