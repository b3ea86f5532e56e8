/* Prints the inherited disposition of every signal, the blocked ones and the pending ones. */
#include "check.h"

/* The kernel's own view: the C library hides its internal signals. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

int main(void)
{
    unsigned long blocked, pending;
    for (int i = 1; i <= 64; i++) {
        struct kernel_action action = {0};
        CHECK(syscall(SYS_rt_sigaction, i, NULL, &action, 8) == 0);
        if (action.handler != SIG_DFL || action.flags || action.mask)
            printf("signal %d: %s, flags %#lx, mask %#lx\n", i, action.handler == SIG_IGN ? "ignored" : "handled",
                   action.flags, action.mask);
    }
    CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, 8) == 0);
    CHECK(syscall(SYS_rt_sigpending, &pending, 8) == 0);
    printf("blocked %#lx, pending %#lx\n", blocked, pending);
}
