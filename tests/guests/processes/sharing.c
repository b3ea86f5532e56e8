/* Children that share their parent's memory: vfork, posix_spawn, and clone with CLONE_VM. */
#include "../check.h"
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static char stack[64 << 10] __attribute__((aligned(16)));
static volatile int shared;
static volatile int handled;

static int status_of(pid_t child)
{
    int status;
    CHECK(child > 0);
    CHECK(waitpid(child, &status, __WALL) == child);
    return status;
}

static int ends_with(pid_t child, int code)
{
    int status = status_of(child);
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static int start(int (*body)(void *), int flags, void *argument)
{
    return clone(body, stack + sizeof stack, flags | SIGCHLD, argument);
}

static void what_a_vfork_child_writes_its_parent_reads(void)
{
    for (volatile int i = 0; i < part_of(200); i++) {
        shared = 0;
        pid_t child = vfork();
        if (child == 0) {
            shared = i + 1;
            _exit(i & 0x7f);
        }
        CHECK(shared == i + 1);
        CHECK(ends_with(child, i & 0x7f));
    }
}

static void vfork_child_has_its_own_descriptors_directory_and_handlers(void)
{
    char before[512], after[512];
    CHECK(getcwd(before, sizeof before));
    int file = open_null(O_RDONLY);
    pid_t child = vfork();
    if (child == 0) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        if (close(file) || chdir("/") || sigaction(SIGUSR1, &ignore, NULL) || setsid() < 0)
            _exit(1);
        shared = open("/dev/null", O_RDONLY) == file ? 5 : 6;
        _exit(0);
    }
    CHECK(ends_with(child, 0));
    CHECK(shared == 5);
    CHECK(fcntl(file, F_GETFD) >= 0 && close(file) == 0);
    CHECK(getcwd(after, sizeof after) && strcmp(before, after) == 0);
    struct sigaction now;
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}

static void vfork_child_can_fork_and_vfork_itself(void)
{
    pid_t child = vfork();
    if (child == 0) {
        pid_t copy = fork();
        if (copy == 0) {
            shared = 77; /* its own copy */
            _exit(3);
        }
        int status;
        if (waitpid(copy, &status, 0) != copy || WEXITSTATUS(status) != 3 || shared == 77)
            _exit(1);
        pid_t other = vfork();
        if (other == 0) {
            shared = 78;
            _exit(4);
        }
        if (waitpid(other, &status, 0) != other || WEXITSTATUS(status) != 4 || shared != 78)
            _exit(2);
        _exit(9);
    }
    CHECK(ends_with(child, 9));
    CHECK(shared == 78);
}

static void killed_vfork_child_lets_its_parent_go_on(void)
{
    for (volatile int i = 0; i < part_of(20); i++) {
        pid_t child = vfork();
        if (child == 0) {
            kill(getpid(), i % 2 ? SIGKILL : SIGTERM);
            _exit(1);
        }
        int status = status_of(child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == (i % 2 ? SIGKILL : SIGTERM));
    }
}

static void segfault_of_a_vfork_child_is_its_own(void)
{
    pid_t child = vfork();
    if (child == 0) {
        *(volatile int *)8 = 1;
        _exit(1);
    }
    int status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void posix_spawn_reports_a_program_that_is_not_there(void)
{
    char *argv[] = {"missing", NULL};
    pid_t child = 0;
    CHECK(posix_spawn(&child, "/nonexistent/missing", NULL, NULL, argv, environ) == ENOENT);
    CHECK(posix_spawn(&child, "/etc", NULL, NULL, argv, environ) == EACCES);
    CHECK_ERROR(waitpid(-1, NULL, 0), ECHILD);
}

static void posix_spawn_runs_programs_and_leaves_nothing_open(void)
{
    int first = open_null(O_RDONLY);
    for (int i = 0; i < part_of(10); i++) {
        char *argv[] = {"sh", "-c", "exit 6", NULL};
        pid_t child;
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ) == 0);
        CHECK(ends_with(child, 6));
    }
    int next = open_null(O_RDONLY);
    CHECK(next == first + 1);
    CHECK(close(first) == 0 && close(next) == 0);
}

static void on_signal(int signal)
{
    handled += signal;
}

static int signal_itself(void *argument)
{
    (void)argument;
    handled = 0;
    raise(SIGUSR2);
    return handled == SIGUSR2 ? 8 : 1;
}

static void vfork_child_runs_handlers_in_the_shared_memory(void)
{
    struct sigaction action = {.sa_handler = on_signal}, now;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(ends_with(start(signal_itself, CLONE_VM | CLONE_VFORK, NULL), 8));
    CHECK(handled == SIGUSR2);
    CHECK(sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == on_signal);
}

static int wait_for_parent(void *argument)
{
    volatile int *word = argument;
    *word = 1;
    while (*word != 2)
        usleep(1000);
    *word = getppid();
    return 11;
}

static void process_beside_its_parent_sees_what_it_writes(void)
{
    shared = 0;
    pid_t tid = 0;
    pid_t child = clone(wait_for_parent, stack + sizeof stack,
                        CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, (void *)&shared, &tid);
    CHECK(child > 0 && tid == child && child != getpid());
    while (shared != 1)
        usleep(1000);
    CHECK(waitpid(child, NULL, WNOHANG) == 0);
    shared = 2;
    CHECK(ends_with(child, 11));
    CHECK(shared == getpid());
}

static int map_a_page(void *argument)
{
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 1;
    page[5] = 42;
    *(char *volatile *)argument = page;
    return 0;
}

static void mapping_of_a_process_beside_is_its_parents_too(void)
{
    char *volatile page = NULL;
    CHECK(ends_with(start(map_a_page, CLONE_VM, (void *)&page), 0));
    CHECK(page != NULL && page[5] == 42 && page[6] == 0);
    CHECK(munmap(page, PAGE) == 0);
}

static int change_handler_and_close(void *argument)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    return close(*(int *)argument) != 0 || sigaction(SIGUSR1, &ignore, NULL) != 0;
}

static void shared_handlers_and_descriptors_are_shared(void)
{
    int file = open_null(O_RDONLY);
    int flags = CLONE_VM | CLONE_SIGHAND | CLONE_FILES;
    CHECK(ends_with(start(change_handler_and_close, flags, &file), 0));
    CHECK_ERROR(fcntl(file, F_GETFD), EBADF);
    struct sigaction now, back = {.sa_handler = SIG_DFL};
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
    CHECK(sigaction(SIGUSR1, &back, NULL) == 0);
}

static int execute(void *argument)
{
    execl("/bin/sh", "sh", "-c", "exit 12", (char *)NULL);
    *(int *)argument = errno;
    return 1;
}

static void process_beside_executes_a_program(void)
{
    int error = 0;
    CHECK(ends_with(start(execute, CLONE_VM, &error), 12));
    CHECK(error == 0);
}

static void wrong_flags_are_refused(void)
{
    CHECK_ERROR(start(execute, CLONE_SIGHAND, NULL), EINVAL);
    CHECK_ERROR(start(execute, CLONE_VM | CLONE_THREAD, NULL), EINVAL);
    CHECK_ERROR(start(execute, CLONE_VM | CLONE_NEWPID | CLONE_FS | CLONE_NEWNS, NULL), EINVAL);
}

int main(void)
{
    what_a_vfork_child_writes_its_parent_reads();
    vfork_child_has_its_own_descriptors_directory_and_handlers();
    vfork_child_can_fork_and_vfork_itself();
    killed_vfork_child_lets_its_parent_go_on();
    segfault_of_a_vfork_child_is_its_own();
    posix_spawn_reports_a_program_that_is_not_there();
    posix_spawn_runs_programs_and_leaves_nothing_open();
    vfork_child_runs_handlers_in_the_shared_memory();
    process_beside_its_parent_sees_what_it_writes();
    mapping_of_a_process_beside_is_its_parents_too();
    shared_handlers_and_descriptors_are_shared();
    process_beside_executes_a_program();
    wrong_flags_are_refused();
    puts("shared");
    return 0;
}
