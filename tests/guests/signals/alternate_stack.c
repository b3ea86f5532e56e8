/* Handlers run on the alternate stack where asked, also after the normal stack has overflowed. */
#include "check.h"
#include <setjmp.h>

static char stack[256 * 1024];
static volatile sig_atomic_t on_it;
static sigjmp_buf back;

static int is_on_alternate(void)
{
    char here;
    return &here >= stack && &here < stack + sizeof stack;
}

static void note(int number)
{
    stack_t state;
    (void)number;
    on_it = is_on_alternate();
    CHECK(sigaltstack(NULL, &state) == 0 && !!(state.ss_flags & SS_ONSTACK) == !!on_it);
}

static void escape(int number)
{
    (void)number;
    on_it = is_on_alternate();
    siglongjmp(back, 1);
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static __attribute__((noinline)) int recurse(volatile char *above)
{
    volatile char frame[4000];
    frame[0] = above[0];
    return recurse(frame) + frame[0];
}

int main(void)
{
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}, seen;
    struct sigaction action = {.sa_handler = note};
    CHECK(sigaltstack(NULL, &seen) == 0 && (seen.ss_flags & SS_DISABLE));
    CHECK(sigaltstack(&alternate, NULL) == 0);
    CHECK(sigaltstack(NULL, &seen) == 0 && seen.ss_sp == stack && seen.ss_size == sizeof stack);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && !on_it);
    action.sa_flags = SA_ONSTACK;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && on_it);
    CHECK(!is_on_alternate());

    action.sa_handler = escape;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    char start = 0;
    for (int i = 0; i < 3; i++) {
        on_it = 0;
        if (sigsetjmp(back, 1) == 0)
            recurse(&start);
        CHECK(on_it);
    }
    alternate.ss_size = 100;
    CHECK_ERROR(sigaltstack(&alternate, NULL), ENOMEM);
    alternate.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&alternate, NULL) == 0);
    puts("ok");
}
