/* SA_NODEFER, SA_RESETHAND, sa_mask and nested handlers; errno and the mask are as before afterwards. */
#include "check.h"

/* Volatile: the C library tells the compiler that raise() never calls back into this file. */
static volatile int depth, deepest, trace[20], traced;

static void nest(int number)
{
    depth++;
    deepest = depth > deepest ? depth : deepest;
    trace[traced++ % 20] = number;
    if (depth < 3 && (number == SIGUSR1 || number == SIGUSR2))
        CHECK(raise(number) == 0);
    depth--;
}

static void raise_other(int number)
{
    trace[traced++ % 20] = number;
    CHECK(raise(SIGALRM) == 0);
    trace[traced++ % 20] = -number;
}

static void install(int number, void (*handler)(int), int flags, int masked)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    if (masked)
        sigaddset(&action.sa_mask, masked);
    CHECK(sigaction(number, &action, NULL) == 0);
}

static int nests(int number)
{
    deepest = traced = 0;
    CHECK(raise(number) == 0);
    return deepest;
}

int main(void)
{
    sigset_t before, after;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &before) == 0);
    install(SIGUSR1, nest, SA_NODEFER, 0);
    printf("nested with SA_NODEFER: %d\n", nests(SIGUSR1));
    install(SIGALRM, nest, 0, 0);

    install(SIGTERM, raise_other, 0, 0);
    traced = 0;
    CHECK(raise(SIGTERM) == 0 && traced == 3);
    CHECK(trace[0] == SIGTERM && trace[1] == SIGALRM && trace[2] == -SIGTERM);
    install(SIGTERM, raise_other, 0, SIGALRM);
    traced = 0;
    CHECK(raise(SIGTERM) == 0 && traced == 3);
    CHECK(trace[0] == SIGTERM && trace[1] == -SIGTERM && trace[2] == SIGALRM);

    struct sigaction now;
    install(SIGINT, nest, SA_RESETHAND, 0);
    CHECK(raise(SIGINT) == 0 && sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    CHECK(signal(SIGHUP, SIG_IGN) == SIG_DFL && raise(SIGHUP) == 0);
    CHECK(raise(SIGCHLD) == 0 && raise(SIGURG) == 0 && raise(SIGWINCH) == 0); /* ignored by default */
    CHECK(sigprocmask(SIG_BLOCK, NULL, &after) == 0);
    for (int number = 1; number <= SIGRTMAX; number++)
        CHECK(sigismember(&before, number) == sigismember(&after, number));
    puts("ok");
}
