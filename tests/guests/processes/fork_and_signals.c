/* A child inherits handlers, mask and alternate stack, but no pending signal and no timer; its end is
 * told by SIGCHLD. */
#include "check.h"
#include <sys/time.h>
#include <sys/wait.h>

static volatile sig_atomic_t usr1, children, on_alternate;
static char *alternate;

static void count(int signal)
{
    char here;
    on_alternate = &here >= alternate && &here < alternate + 16 * PAGE;
    if (signal == SIGUSR1)
        usr1++;
}

static void child_ended(int signal)
{
    (void)signal;
    children++;
}

static void set(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

int main(void)
{
    sigset_t blocked, found;
    alternate = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    stack_t stack = {.ss_sp = alternate, .ss_size = 16 * PAGE}, kept;
    CHECK(sigaltstack(&stack, NULL) == 0);
    set(SIGUSR1, count, SA_ONSTACK | SA_RESTART);
    set(SIGCHLD, child_ended, SA_RESTART);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    sigemptyset(&blocked), sigaddset(&blocked, SIGUSR2), sigaddset(&blocked, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    CHECK(raise(SIGUSR2) == 0);
    struct itimerval soon = {{0, 0}, {0, 200000}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0 && signal(SIGALRM, SIG_IGN) != SIG_ERR);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct itimerval left;
        struct sigaction action;
        CHECK(sigpending(&found) == 0 && !sigismember(&found, SIGUSR2));
        CHECK(sigprocmask(SIG_BLOCK, NULL, &found) == 0);
        CHECK(sigismember(&found, SIGUSR2) && sigismember(&found, SIGRTMIN) && !sigismember(&found, SIGUSR1));
        CHECK(getitimer(ITIMER_REAL, &left) == 0 && left.it_value.tv_usec == 0);
        CHECK(sigaltstack(NULL, &kept) == 0 && kept.ss_sp == alternate && kept.ss_flags == 0);
        CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
        CHECK(raise(SIGUSR1) == 0 && usr1 == 1 && on_alternate);
        set(SIGUSR1, SIG_DFL, 0);
        _exit(3);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CHECK(usr1 == 0 && children == 1);
    CHECK(sigpending(&found) == 0 && sigismember(&found, SIGUSR2));
    CHECK(raise(SIGUSR1) == 0 && usr1 == 1);

    /* From one to the other, while the other computes. */
    child = fork();
    if (child == 0) {
        while (usr1 < 2)
            ;
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    CHECK(kill(child, SIGUSR1) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0 && usr1 == 2);
    puts("ok");
}
