/* vfork, and clone and clone3 for processes: what each flag asks for. */
#include "check.h"
#include <linux/sched.h>
#include <sched.h>
#include <poll.h>
#include <sys/wait.h>

static int status_of(pid_t child, int options)
{
    int status;
    CHECK(waitpid(child, &status, options) == child);
    return status;
}

static void vfork_waits_for_the_child(void)
{
    int ends[2];
    char byte;
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        usleep(50000);
        _exit(write(ends[1], "x", 1) == 1 ? 5 : 6);
    }
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(WEXITSTATUS(status_of(child, 0)) == 5);
    close(ends[0]), close(ends[1]);
}

static pid_t clone3_process(struct clone_args *arguments)
{
    return (pid_t)syscall(SYS_clone3, arguments, sizeof *arguments);
}

static void ids_are_stored_where_asked(void)
{
    volatile int parent_tid = 0, child_tid = 0;
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_PIDFD,
        .exit_signal = SIGCHLD,
        .parent_tid = (uintptr_t)&parent_tid,
        .child_tid = (uintptr_t)&child_tid,
        .pidfd = (uintptr_t)&pidfd,
    };
    pid_t child = clone3_process(&arguments);
    CHECK(child >= 0);
    if (child == 0)
        _exit(child_tid == getpid() ? 0 : 1);
    CHECK(parent_tid == child && child_tid == 0 && pidfd >= 0);
    CHECK(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    CHECK(poll(&ended, 1, 10000) == 1);
    CHECK(status_of(child, 0) == 0);
    close(pidfd);
}

static int on_a_stack_of_its_own(void *argument)
{
    return (int)(long)argument;
}

static void child_runs_on_the_given_stack(void)
{
    char *stack = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    pid_t child = clone(on_a_stack_of_its_own, stack + 16 * PAGE, SIGCHLD, (void *)23L);
    CHECK(child > 0 && WEXITSTATUS(status_of(child, 0)) == 23);
}

static void end_can_be_told_by_another_signal_or_none(void)
{
    struct clone_args silent = {.exit_signal = 0}, user = {.exit_signal = SIGUSR1};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    pid_t child = clone3_process(&user);
    if (child == 0)
        _exit(1);
    CHECK(child > 0 && sigwaitinfo(&set, NULL) == SIGUSR1);
    CHECK(WEXITSTATUS(status_of(child, __WALL)) == 1);
    child = clone3_process(&silent);
    if (child == 0)
        _exit(2);
    CHECK(child > 0);
    int status;
    pid_t waited;
    while ((waited = waitpid(child, &status, __WCLONE)) < 0)
        CHECK(errno == EINTR);
    CHECK(waited == child && WEXITSTATUS(status) == 2);
}

static void shared_directory_is_shared(void)
{
    struct clone_args arguments = {.flags = CLONE_FS, .exit_signal = SIGCHLD};
    char directory[100];
    CHECK(chdir("/tmp") == 0);
    pid_t child = clone3_process(&arguments);
    if (child == 0)
        _exit(chdir("/"));
    CHECK(child > 0 && status_of(child, 0) == 0);
    CHECK(getcwd(directory, sizeof directory) != NULL && strcmp(directory, "/") == 0);
}

static void wrong_requests_are_refused(void)
{
    struct clone_args thread = {.flags = CLONE_THREAD, .exit_signal = SIGCHLD};
    struct clone_args contradiction = {.flags = CLONE_FS | CLONE_NEWNS, .exit_signal = SIGCHLD};
    struct clone_args tid = {.exit_signal = SIGCHLD, .set_tid_size = 1};
    CHECK_ERROR(clone3_process(&thread), EINVAL);
    CHECK_ERROR(clone3_process(&contradiction), EINVAL);
    CHECK_ERROR(clone3_process(&tid), EINVAL);
}

int main(void)
{
    vfork_waits_for_the_child();
    ids_are_stored_where_asked();
    child_runs_on_the_given_stack();
    end_can_be_told_by_another_signal_or_none();
    shared_directory_is_shared();
    wrong_requests_are_refused();
    puts("ok");
}
