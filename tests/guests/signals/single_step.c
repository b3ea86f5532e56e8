/* The trap flag: a signal behind each instruction, also across system calls, handlers and faults. */
#include "check.h"
#include <ucontext.h>

static volatile int steps, calls_seen;
static uintptr_t places[64];

static void step(int number, siginfo_t *information, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    CHECK(number == SIGTRAP && (uintptr_t)information->si_addr == (uintptr_t)registers[REG_RIP]);
    if (steps < 64)
        places[steps] = (uintptr_t)registers[REG_RIP];
    if (steps++ == 0)
        printf("code %d trap %lld\n", information->si_code, registers[REG_TRAPNO]);
}

static void stop(int number, siginfo_t *information, void *context)
{
    (void)number, (void)information;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void start(int number, siginfo_t *information, void *context)
{
    (void)number, (void)information;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= 0x100;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void show(const char *what)
{
    printf("%s: %d steps:", what, steps);
    for (int i = 1; i < steps && i < 64; i++)
        printf(" %+ld", (long)(places[i] - places[i - 1]));
    puts("");
    steps = 0;
}

#define ON "pushfq; orl $0x100, (%%rsp); popfq\n"
#define OFF "pushfq; andl $~0x100, (%%rsp); popfq\n"

int main(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    __asm__ volatile(ON "nop; inc %%eax; nop\n" OFF ::: "rax", "memory", "cc");
    show("plain");
    __asm__ volatile(ON "mov $39, %%eax; syscall; nop\n" OFF ::: "rax", "rcx", "r11", "memory", "cc");
    show("system call");
    __asm__ volatile(ON "mov $3, %%ecx; 1: dec %%ecx; jnz 1b\n" OFF ::: "rcx", "memory", "cc");
    show("loop");
    __asm__ volatile(ON "cpuid; rdtsc; nop\n" OFF ::: "rax", "rbx", "rcx", "rdx", "memory", "cc");
    show("cpuid");
    action.sa_sigaction = start;
    CHECK(sigaction(SIGILL, &action, NULL) == 0);
    __asm__ volatile("ud2; nop; nop; nop\n" OFF ::: "memory", "cc");
    show("set by a handler");
    action.sa_sigaction = stop;
    CHECK(sigaction(SIGILL, &action, NULL) == 0);
    __asm__ volatile(ON "nop; ud2; nop" ::: "memory", "cc");
    show("ended by a handler");
}
