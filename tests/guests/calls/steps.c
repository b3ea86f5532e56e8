/* Single steps over calls: the same places are seen whether the calls were made often before or never, and by which
 * instruction they are begun. */
#include "calls.h"
#include <ucontext.h>

static volatile int steps;
static uintptr_t places[4096];

static void step(int signal, siginfo_t *info, void *context)
{
    uintptr_t place = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    CHECK(signal == SIGTRAP && (uintptr_t)info->si_addr == place);
    if (steps < 4096)
        places[steps++] = place;
}

#define ON "pushfq; orl $0x100, (%%rsp); popfq\n"
#define OFF "pushfq; andl $~0x100, (%%rsp); popfq\n"

/* The loop's places are the same whether it is stepped through or not. */
static __attribute__((noinline)) long call_in_a_loop(unsigned long times, int stepped)
{
    long result;
    __asm__ volatile("sub $128, %%rsp\n"
                     "test %2, %2; jz 1f\n" ON
                     "1: mov $110, %%eax\n"
                     "syscall\n"
                     "mov %%rax, %%rdx\n"
                     "dec %1; jnz 1b\n" OFF
                     "add $128, %%rsp\n"
                     : "=&d"(result), "+&r"(times)
                     : "r"(stepped)
                     : "rax", "rcx", "r11", "memory", "cc");
    return result;
}

/* In which the number comes from elsewhere. */
static __attribute__((noinline)) long call_in_another_loop(unsigned long times, int stepped)
{
    long result;
    __asm__ volatile("sub $128, %%rsp\n"
                     "test %2, %2; jz 1f\n" ON
                     "1: mov %3, %%rax\n"
                     "syscall\n"
                     "mov %%rax, %%rdx\n"
                     "dec %1; jnz 1b\n" OFF
                     "add $128, %%rsp\n"
                     : "=&d"(result), "+&r"(times)
                     : "r"(stepped), "r"((long)SYS_getppid)
                     : "rax", "rcx", "r11", "memory", "cc");
    return result;
}

static void show(const char *what, uintptr_t function)
{
    printf("%s: %d steps:", what, steps);
    for (int i = 0; i < steps; i++) {
        long distance = (long)(places[i] - (i == 0 ? function : places[i - 1]));
        if (i < 24)
            printf(" %+ld", distance);
        /* Four steps are a round, and each round is like the one before. */
        else if (i < steps - 6)
            CHECK(distance == (long)(places[i - 4] - places[i - 5]));
    }
    puts("");
    steps = 0;
}

static void call_often(long (*loop)(unsigned long, int))
{
    struct effort effort_ = effort(3000, 0.5);
    while (goes_on(&effort_))
        CHECK(loop(10, 0) == getppid());
}

static void step_through(const char *name, long (*loop)(unsigned long, int))
{
    CHECK(loop(part_of(40), 1) == getppid());
    show(name, (uintptr_t)loop);
}

int main(void)
{
    handle(SIGTRAP, step, 0);
    step_through("never called before", call_in_a_loop);
    call_often(call_in_a_loop);
    step_through("called often", call_in_a_loop);
    call_often(call_in_a_loop);
    step_through("called often again", call_in_a_loop);
    call_often(call_in_another_loop);
    step_through("called by a number from elsewhere", call_in_another_loop);
}
