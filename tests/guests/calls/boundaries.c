/* A handler finds the program where it would be natively: at an instruction of its own, with the registers that belong
 * there; before a call that is made again, or behind one that has an answer. */
#include "calls.h"
#include <ucontext.h>

extern const char loop_begin[], loop_call[], loop_answer[], loop_next[], loop_end[];
long call_in_a_loop(long number, long first, void *second, long third, unsigned long times);

/* A number that is fixed or not, then the call; the last answer is given back. */
__asm__(".text\n.globl call_in_a_loop, loop_begin, loop_call, loop_answer, loop_next, loop_end\n"
        "call_in_a_loop:\n  mov %rdi, %r10\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n"
        "  mov %r8, %r9\n  test %r10, %r10\n  jz 2f\n"
        "loop_begin:\n  mov $110, %eax\n"
        "loop_call:\n  syscall\n"
        "loop_answer:\n  dec %r9\n"
        "loop_next:\n  jnz loop_begin\n"
        "loop_end:\n  ret\n"
        "2:\n"
        ".globl read_begin, read_call, read_answer\n"
        "read_begin:\n  mov $0, %eax\n"
        "read_call:\n  syscall\n"
        "read_answer:\n  dec %r9\n  jz 3f\n  cmp $1, %rax\n  je read_begin\n"
        "3:\n  ret\n"
        ".globl read_end\nread_end:\n");
extern const char read_begin[], read_call[], read_answer[], read_end[];

static volatile long parent, inside, at_call, at_answer;

static void note(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const char *rip = (const char *)registers[REG_RIP];
    (void)signal, (void)info;
    if (rip < loop_begin || rip >= loop_end)
        return;
    inside++;
    CHECK(rip == loop_begin || rip == loop_call || rip == loop_answer || rip == loop_next);
    if (rip == loop_call) {
        CHECK(registers[REG_RAX] == SYS_getppid);
        at_call++;
    } else if (rip == loop_answer) {
        CHECK(registers[REG_RAX] == parent && (const char *)registers[REG_RCX] == loop_answer);
        CHECK((registers[REG_R11] & 0xcff) == (registers[REG_EFL] & 0xcff));
        at_answer++;
    }
}

static void at_instructions(void)
{
    handle(SIGALRM, note, SA_RESTART);
    struct effort effort_ = effort(2000, 1.5);
    set_alarm_every(bearable_interval());
    while (goes_on(&effort_) || inside < 30)
        CHECK(call_in_a_loop(1, 0, NULL, 0, 100) == parent);
    set_alarm_every(0);
    CHECK(at_answer > 0);
}

static volatile int handled, restarts;
static int ends[2];
static timer_t timer;

/* Long enough for the program to be waiting by then, mostly. */
static void interrupt_soon(void)
{
    CHECK(timer_settime(timer, 0, &(struct itimerspec){{0, 0}, {0, 10000000}}, NULL) == 0);
}

/* Of a call that is made again the handler sees the begin, of another one the answer. */
static void note_wait(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const char *rip = (const char *)registers[REG_RIP];
    (void)signal, (void)info;
    /* Not there yet: on a busy machine it may take longer. */
    if (rip < read_call || rip > read_end || (!restarts && rip == read_call))
        return interrupt_soon();
    CHECK(rip == (restarts ? read_call : read_answer));
    CHECK(registers[REG_RAX] == (restarts ? SYS_read : -EINTR));
    CHECK(registers[REG_RDI] == ends[0] && registers[REG_RDX] == 1);
    if (restarts)
        CHECK(write(ends[1], "r", 1) == 1);
    handled++;
}

static void before_and_behind_waits(void)
{
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t self = own_tid();
    for (int i = 0; i < part_of(20); i++) {
        restarts = i % 2;
        handle(SIGUSR1, note_wait, restarts ? SA_RESTART : 0);
        struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
        event.sigev_notify_thread_id = self;
        CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
        /* Frequent first, then it waits. */
        for (int j = 0; j < 100; j++)
            CHECK(write(ends[1], "x", 1) == 1);
        CHECK(call_in_a_loop(0, ends[0], &byte, 1, 100) == 1 && byte == 'x');
        handled = 0;
        interrupt_soon();
        long result = call_in_a_loop(0, ends[0], &byte, 1, 1);
        CHECK(handled == 1 && timer_delete(timer) == 0);
        CHECK(restarts ? result == 1 && byte == 'r' : result == -EINTR);
    }
}

int main(void)
{
    parent = getppid();
    at_instructions();
    before_and_behind_waits();
    puts("at their places");
}
