/* Handlers left by siglongjmp restore the mask, ten thousand times; contexts can be made and swapped. */
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf back;
static ucontext_t main_context, other_context;
static int steps;

static void escape(int number)
{
    siglongjmp(back, number);
}

static void other(void)
{
    for (;;) {
        steps++;
        swapcontext(&other_context, &main_context);
    }
}

int main(void)
{
    static char stack[65536];
    volatile int arrived = 0;
    CHECK(signal(SIGUSR1, escape) != SIG_ERR);
    for (volatile int i = part_of(10000); i > 0; i--)
        if (sigsetjmp(back, 1) == 0)
            raise(SIGUSR1);
        else
            arrived++;
    CHECK(getcontext(&other_context) == 0);
    other_context.uc_stack.ss_sp = stack, other_context.uc_stack.ss_size = sizeof stack;
    makecontext(&other_context, other, 0);
    for (int i = part_of(1000); i > 0; i--)
        CHECK(swapcontext(&main_context, &other_context) == 0);
    printf("arrived %d, steps %d\n", arrived, steps);
}
