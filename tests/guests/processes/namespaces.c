/* Processes in namespaces of their own. What this user may not do is told, and must be the same everywhere. */
#include "check.h"
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/utsname.h>
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

/* Runs the function in a child with these namespaces of its own, and tells how it ends. */
static void within(const char *name, unsigned long flags, int (*act)(void))
{
    fflush(stdout);
    pid_t child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(act());
    if (child < 0) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    int status = status_of(child);
    printf("%s: %s %d\n", name, WIFEXITED(status) ? "exit" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int be_the_first(void)
{
    CHECK(getpid() == 1 && getppid() == 0 && syscall(SYS_gettid) == 1);
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        CHECK(parent > 1 && parent < 30 && getppid() == 1);
        if (fork() == 0) {
            while (getppid() == parent)
                usleep(1000);
            _exit(getppid() == 1 ? 8 : 9);
        }
        _exit(7);
    }
    CHECK(child > 1 && child < 30 && WEXITSTATUS(status_of(child)) == 7);
    int status;
    CHECK(wait(&status) > child && WEXITSTATUS(status) == 8);
    char *line[] = {"/bin/sh", "-c", "kill -TERM $$; exit 9", NULL};
    child = fork();
    if (child == 0) {
        execv(*line, line);
        _exit(127);
    }
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM); /* Only the first outlives it. */
    return 40;
}

static int outlive_signals(void)
{
    int signals[] = {SIGTERM, SIGUSR1, SIGINT, SIGHUP, SIGALRM, SIGRTMIN};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        CHECK(kill(1, signals[i]) == 0);
    CHECK(kill(1, SIGKILL) == 0 && kill(1, SIGSTOP) == 0 && raise(SIGTERM) == 0);
    return 41;
}

static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
    handled = signal;
}

static int handle_signals(void)
{
    CHECK(signal(SIGTERM, on_signal) != SIG_ERR && kill(1, SIGTERM) == 0 && handled == SIGTERM);
    CHECK(signal(SIGTERM, SIG_DFL) != SIG_ERR && kill(1, SIGTERM) == 0);
    return 42;
}

static int take_all_along(void)
{
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            for (;;)
                pause();
    return 43;
}

static int fault(void)
{
    *(volatile int *)8 = 1;
    return 1;
}

static int wait_for_the_end(void)
{
    say('r');
    while (pause() < 0)
        ;
    return 1;
}

static void only_some_signals_from_outside_count(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        wait_for_the_end();
    if (child < 0)
        return;
    int status;
    CHECK(hear() == 'r' && kill(child, SIGTERM) == 0);
    usleep(100000);
    CHECK(waitpid(child, &status, WNOHANG) == 0 && kill(child, SIGKILL) == 0);
    CHECK(WTERMSIG(status_of(child)) == SIGKILL);
}

static int name_the_host(void)
{
    struct utsname names;
    CHECK(sethostname("another", 7) == 0 && uname(&names) == 0 && strcmp(names.nodename, "another") == 0);
    return 44;
}

static int make_a_segment(void)
{
    CHECK(shmget(0x76312, PAGE, IPC_CREAT | IPC_EXCL | 0600) >= 0);
    return 45;
}

static int look_at_the_network(void)
{
    struct if_nameindex *list = if_nameindex();
    CHECK(list != NULL && strcmp(list[0].if_name, "lo") == 0 && list[1].if_index == 0);
    return 46;
}

static int mount_something(void)
{
    struct stat root;
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(mount("none", "/mnt", "tmpfs", 0, NULL) == 0 && mkdir("/mnt/only-here", 0700) == 0);
    CHECK(stat("/mnt/only-here", &root) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(stat("/mnt/only-here", &root) == 0 ? 0 : 1);
    CHECK(status_of(child) == 0);
    return 47;
}

static void store(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    CHECK(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && close(file) == 0);
}

static int be_another_user(void)
{
    char map[40];
    unsigned outside = (unsigned)atoi(getenv("OUTSIDE"));
    CHECK(getuid() == 65534 && geteuid() == 65534);
    snprintf(map, sizeof map, "0 %u 1", outside);
    store("/proc/self/uid_map", map);
    CHECK(getuid() == 0 && geteuid() == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(getuid() == 0 && setuid(0) == 0 ? 0 : 1);
    CHECK(status_of(child) == 0);
    child = fork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    CHECK(status_of(child) == 0);
    return 48;
}

static int be_all_of_it(void)
{
    CHECK(getpid() == 1);
    return name_the_host() + look_at_the_network() - 44 - 46 + 49;
}

int main(void)
{
    char user[20];
    struct stat root;
    snprintf(user, sizeof user, "%u", getuid());
    CHECK(pipe(ends) == 0 && setenv("OUTSIDE", user, 1) == 0);
    within("pid", CLONE_NEWPID, be_the_first);
    within("pid, signals", CLONE_NEWPID, outlive_signals);
    within("pid, handlers", CLONE_NEWPID, handle_signals);
    within("pid, children", CLONE_NEWPID, take_all_along);
    within("pid, fault", CLONE_NEWPID, fault);
    only_some_signals_from_outside_count();
    within("uts", CLONE_NEWUTS, name_the_host);
    within("ipc", CLONE_NEWIPC, make_a_segment);
    CHECK_ERROR(shmget(0x76312, PAGE, 0), ENOENT);
    within("net", CLONE_NEWNET, look_at_the_network);
    within("mnt", CLONE_NEWNS, mount_something);
    CHECK_ERROR(stat("/mnt/only-here", &root), ENOENT);
    within("user", CLONE_NEWUSER, be_another_user);
    within("all", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS, be_all_of_it);
    puts("ok");
}
