/* clone: what a process may share with its maker beside memory, who its parent is, and how its end is told. */
#include "check.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

static pid_t clone_process(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
}

static pid_t clone3_process(struct clone_args *arguments)
{
    return (pid_t)syscall(SYS_clone3, arguments, sizeof *arguments);
}

static int status_of(pid_t child, int options)
{
    int status;
    pid_t waited;
    do
        waited = waitpid(child, &status, options);
    while (waited < 0 && errno == EINTR);
    CHECK(waited == child);
    return status;
}

/* Or the request is refused; the maker is as able as before. */
static void descriptors_are_shared(void)
{
    int closed = dup(0);
    pid_t child = clone_process(CLONE_FILES | SIGCHLD);
    if (child == 0)
        _exit(close(closed));
    if (child > 0) {
        CHECK(status_of(child, 0) == 0);
        CHECK_ERROR(close(closed), EBADF);
    }
    puts(child > 0 ? "shared" : strerror(errno));
    char *memory = map_private(50 * PAGE, PROT_READ | PROT_WRITE);
    memset(memory, 1, 50 * PAGE);
    child = fork();
    if (child == 0)
        _exit(4);
    CHECK(WEXITSTATUS(status_of(child, 0)) == 4);
}

static void directory_and_mask_can_be_shared(void)
{
    umask(022);
    pid_t child = clone_process(CLONE_FS | SIGCHLD);
    if (child == 0) {
        umask(0077);
        _exit(chdir("/usr"));
    }
    char directory[100];
    CHECK(child > 0 && status_of(child, 0) == 0 && umask(022) == 0077);
    CHECK(getcwd(directory, sizeof directory) != NULL && strcmp(directory, "/usr") == 0);
}

static void flags_without_effect_are_taken(void)
{
    unsigned long flags[] = {CLONE_IO, CLONE_PTRACE, CLONE_UNTRACED, CLONE_SYSVSEM, CLONE_DETACHED,
                             CLONE_IO | CLONE_PTRACE | CLONE_UNTRACED | CLONE_SYSVSEM | CLONE_FS};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        pid_t child = clone_process(flags[i] | SIGCHLD);
        if (child == 0)
            _exit((int)i);
        CHECK(child > 0 && WEXITSTATUS(status_of(child, 0)) == (int)i);
    }
}

static void sibling_has_the_same_parent(unsigned long exit_signal)
{
    pid_t parent = getpid();
    pid_t middle = fork();
    if (middle == 0) {
        int ends[2];
        pid_t seen;
        CHECK(pipe(ends) == 0);
        pid_t sibling = clone_process(CLONE_PARENT | exit_signal);
        if (sibling == 0) {
            pid_t own = getppid();
            CHECK(write(ends[1], &own, sizeof own) == sizeof own);
            _exit(11);
        }
        CHECK(sibling > 0 && read(ends[0], &seen, sizeof seen) == sizeof seen && seen == parent);
        CHECK_ERROR(waitpid(sibling, NULL, __WALL), ECHILD);
        _exit(12);
    }
    CHECK(WEXITSTATUS(status_of(middle, 0)) == 12);
    int status;
    CHECK(waitpid(-1, &status, __WALL) > 0 && WEXITSTATUS(status) == 11);
    CHECK_ERROR(waitpid(-1, NULL, __WALL), ECHILD);
}

static volatile sig_atomic_t told, told_code;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    told = signal, told_code = info->si_code;
}

static void end_is_told_by_the_signal_that_was_asked_for(void)
{
    int signals[] = {SIGUSR2, SIGRTMIN + 3, SIGWINCH, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
        CHECK(sigaction(signals[i], &action, NULL) == 0);
        told = 0;
        pid_t child = clone_process((unsigned)signals[i]);
        if (child == 0)
            _exit(5);
        CHECK(child > 0);
        for (int wait = 0; wait < 5000 && told == 0; wait++)
            usleep(1000);
        CHECK(told == signals[i] && told_code == CLD_EXITED);
        CHECK_ERROR(waitpid(child, NULL, 0), ECHILD); /* Only of those who send SIGCHLD. */
        CHECK(WEXITSTATUS(status_of(child, __WCLONE)) == 5);
    }
    pid_t child = clone_process(0);
    if (child == 0)
        _exit(6);
    CHECK(WEXITSTATUS(status_of(child, __WALL)) == 6);
}

static void id_can_be_chosen(void)
{
    pid_t free_one = fork();
    if (free_one == 0)
        _exit(0);
    CHECK(status_of(free_one, 0) == 0);
    pid_t wanted[] = {free_one};
    struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)wanted, .set_tid_size = 1};
    pid_t child = clone3_process(&arguments);
    if (child == 0)
        _exit(getpid() == free_one ? 0 : 1);
    if (child < 0) { /* Without the right to it, or where another was faster. */
        CHECK(errno == EPERM || errno == EEXIST);
        return;
    }
    CHECK(child == free_one && status_of(child, 0) == 0);
    wanted[0] = getpid();
    CHECK_ERROR(clone3_process(&arguments), EEXIST);
    wanted[0] = 0;
    CHECK_ERROR(clone3_process(&arguments), EINVAL);
    arguments.set_tid_size = 33;
    CHECK_ERROR(clone3_process(&arguments), EINVAL);
    arguments.set_tid_size = 1, arguments.set_tid = 8;
    CHECK_ERROR(clone3_process(&arguments), EFAULT);
}

static void wrong_requests_are_refused(void)
{
    int pidfd;
    struct clone_args both = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .exit_signal = SIGCHLD};
    both.pidfd = both.parent_tid = (uintptr_t)&pidfd;
    struct clone_args sibling = {.flags = CLONE_PARENT, .exit_signal = SIGCHLD};
    struct clone_args unknown = {.flags = 1ULL << 40, .exit_signal = SIGCHLD};
    struct clone_args detached = {.flags = CLONE_DETACHED, .exit_signal = SIGCHLD};
    struct clone_args handlers = {.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD};
    struct clone_args half_a_stack = {.stack = 4096, .exit_signal = SIGCHLD};
    struct clone_args signal = {.exit_signal = 65};
    CHECK_ERROR(clone3_process(&both), EINVAL);
    CHECK_ERROR(clone3_process(&sibling), EINVAL);
    CHECK_ERROR(clone3_process(&unknown), EINVAL);
    CHECK_ERROR(clone3_process(&detached), EINVAL);
    CHECK_ERROR(clone3_process(&handlers), EINVAL);
    CHECK_ERROR(clone3_process(&half_a_stack), EINVAL);
    CHECK_ERROR(clone3_process(&signal), EINVAL);
    CHECK_ERROR(clone_process(CLONE_SIGHAND | SIGCHLD), EINVAL);
    CHECK_ERROR(clone_process(CLONE_THREAD | SIGCHLD), EINVAL);
    CHECK_ERROR(clone_process(CLONE_FS | CLONE_NEWNS | SIGCHLD), EINVAL);
    CHECK_ERROR(clone_process(CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD), EINVAL);
    CHECK_ERROR(clone_process(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD), EINVAL);
    CHECK_ERROR(clone3_process((void *)8), EFAULT);
    CHECK_ERROR(syscall(SYS_clone3, &unknown, 8), EINVAL);
    CHECK_ERROR(syscall(SYS_clone3, &unknown, 5000), E2BIG);
    CHECK_ERROR(waitpid(-1, NULL, __WALL), ECHILD);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "descriptors") == 0) {
        descriptors_are_shared();
        return 0;
    }
    directory_and_mask_can_be_shared();
    flags_without_effect_are_taken();
    sibling_has_the_same_parent(0);
    sibling_has_the_same_parent(SIGCHLD);
    end_is_told_by_the_signal_that_was_asked_for();
    id_can_be_chosen();
    wrong_requests_are_refused();
    puts("ok");
}
