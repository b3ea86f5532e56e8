/* Children and programs that are started out of loops of calls, from any thread, while other threads call; they call,
 * too. */
#include "calls.h"
#include <spawn.h>
#include <sys/wait.h>

#define CALLERS 3

extern char **environ;
static volatile int stop;
static volatile pid_t parent;
static volatile int is_child;

static void *call(void *unused)
{
    pid_t tid = own_tid();
    char byte;
    while (!stop) {
        CHECK(getppid() == parent && own_tid() == tid);
        CHECK_ERROR(read(-1, &byte, 1), EBADF);
    }
    return unused;
}

/* What a child does: calls whose answers are not its parent's. */
static void call_as_child(pid_t of)
{
    pid_t self = getpid();
    CHECK(self != of && own_tid() == self);
    struct effort effort_ = effort(2000, 0.02);
    for (int i = 0; i < 20 || goes_on(&effort_); i++)
        CHECK(getppid() == of && getpid() == self);
}

static void expect_status(pid_t child, int code, int signal)
{
    int status;
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        ;
    CHECK(child > 0 && ended == child);
    if (signal)
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
    else
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void *child_that_calls(void *code)
{
    stop = 0;
    parent = getppid();
    usleep(1000);
    stop = 1;
    return code;
}

/* Forks; the child has threads of its own, and ends in one of the ways there are. */
static void fork_once(int number)
{
    pid_t self = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        call_as_child(self);
        pthread_t thread = start(child_that_calls, NULL);
        call_as_child(self);
        end_of(thread);
        if (number % 3 == 0)
            raise(SIGKILL);
        if (number % 3 == 1)
            raise(SIGTERM);
        _exit(number);
    }
    expect_status(child, number, number % 3 == 0 ? SIGKILL : number % 3 == 1 ? SIGTERM : 0);
}

/* The child borrows memory and thread until it ends or executes. */
static void vfork_once(int number)
{
    static __thread volatile int made;
    char self[] = "/proc/self/exe", code[12];
    snprintf(code, sizeof code, "%d", number);
    char *words[] = {self, "child", code, NULL};
    made = 0;
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 10; i++)
            made += getppid() > 0;
        if (number % 2)
            execve(self, words, environ);
        _exit(number);
    }
    CHECK(made == 10);
    expect_status(child, number, 0);
}

static void spawn_once(int number)
{
    char code[12];
    snprintf(code, sizeof code, "%d", number);
    char *words[] = {"child", "child", code, NULL};
    pid_t child;
    CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, words, environ) == 0);
    expect_status(child, number, 0);
}

static void *run_other(void *run)
{
    struct effort effort_ = effort(12, 1);
    for (int i = 0; goes_on(&effort_); i++) {
        ((void (*)(int))run)(i);
        for (int j = 0; j < 50; j++)
            CHECK(getppid() == parent);
    }
    return NULL;
}

static void start_callers(pthread_t *callers)
{
    stop = 0;
    for (int i = 0; i < CALLERS; i++)
        callers[i] = start(call, NULL);
}

/* From the first thread and from two others, while three more call. */
static void from_all_threads(void (*run)(int))
{
    pthread_t callers[CALLERS];
    start_callers(callers);
    pthread_t others[] = {start(run_other, run), start(run_other, run)};
    run_other(run);
    end_of(others[0]);
    end_of(others[1]);
    stop = 1;
    for (int i = 0; i < CALLERS; i++)
        end_of(callers[i]);
}

/* The program that is executed has the first thread's number, whoever executes it. */
static void *execute(void *code)
{
    usleep(2000);
    execl("/proc/self/exe", "child", "child", code, NULL);
    CHECK(!"execl returns");
    return NULL;
}

static void *leave(void *code)
{
    usleep(2000);
    _exit(atoi(code));
}

static void *die(void *unused)
{
    usleep(2000);
    CHECK(kill(getpid(), SIGQUIT) == 0);
    return unused;
}

/* `run` is called by the first thread or by another one, while more call. */
static void end_from(int is_first, void *(*run)(void *), int code, int signal)
{
    char word[12];
    snprintf(word, sizeof word, "%d", code);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t callers[CALLERS];
        parent = getppid();
        start_callers(callers);
        if (is_first)
            run(word);
        pthread_t thread = start(run, word);
        call(NULL);
        end_of(thread);
    }
    expect_status(child, code, signal);
}

static void end_of_all(void)
{
    struct effort effort_ = effort(8, 2);
    for (int i = 0; goes_on(&effort_); i++) {
        end_from(0, execute, 10 + i, 0);
        end_from(1, execute, 20 + i, 0);
        end_from(0, leave, 30 + i, 0);
        end_from(1, leave, 40 + i, 0);
        end_from(0, die, 0, SIGQUIT);
    }
}

static volatile int forked;
static volatile pid_t children[1000];

/* Forks in the middle of whatever was called; the child goes on in it as well. */
static void fork_in_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    if (forked >= 10)
        return;
    pid_t self = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        parent = self;
        is_child = 1;
        return;
    }
    children[forked++] = child;
}

static void from_a_handler(void)
{
    handle(SIGALRM, fork_in_handler, SA_RESTART);
    set_alarm_every(bearable_interval() * 10);
    while (forked < 10 && !is_child) {
        pid_t of = getppid();
        /* Of a call that a fork came behind, the answer is the parent's. */
        CHECK(of == parent || is_child);
    }
    if (is_child) {
        /* Timers are not inherited. */
        for (int i = 0; i < 50; i++)
            CHECK(getppid() == parent);
        _exit(forked);
    }
    set_alarm_every(0);
    for (int i = 0; i < 10; i++)
        expect_status(children[i], i, 0);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    parent = getppid();
    if (strcmp(argv[1], "child") == 0) {
        for (int i = 0; i < 30; i++)
            CHECK(getppid() == parent && getpid() == own_tid());
        return atoi(argv[2]);
    }
    if (strcmp(argv[1], "fork") == 0)
        from_all_threads(fork_once);
    else if (strcmp(argv[1], "vfork") == 0)
        from_all_threads(vfork_once);
    else if (strcmp(argv[1], "spawn") == 0)
        from_all_threads(spawn_once);
    else if (strcmp(argv[1], "ends") == 0)
        end_of_all();
    else
        from_a_handler();
    printf("%s: all as it should be\n", argv[1]);
}
