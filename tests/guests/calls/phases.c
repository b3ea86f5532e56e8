/* Short calls, waits, computation, fresh memory and exceptions follow each other, so that no way to serve calls is right
 * for long; a timer interrupts all of them. */
#include "calls.h"
#include <setjmp.h>

static volatile long alarms;
static pid_t parent;
static int ends[2], back_ends[2];

static void note(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    alarms++;
}

static void short_calls(int round)
{
    struct effort effort_ = effort(20000, 0.05);
    while (goes_on(&effort_))
        CHECK(getppid() == parent && write(ends[1], &round, 1) == 1 && read(ends[0], &round, 1) == 1);
}

static void waits(int round)
{
    for (int i = 0; i < 5; i++) {
        struct timespec left = {0, 1000000 + round * 1000};
        while (nanosleep(&left, &left) != 0)
            CHECK(errno == EINTR);
        CHECK(getppid() == parent);
    }
}

static void computes(int round)
{
    volatile unsigned sum = (unsigned)round, expected = 0;
    for (double end = now() + 0.03; now() < end;)
        for (unsigned i = 0; i < 1000; i++)
            sum = sum + i, expected = expected + i;
    CHECK(sum - expected == (unsigned)round);
}

/* The kernel and the program are the first in a page in turn. */
static void fresh_memory(int round)
{
    enum { PAGES = 700 };
    char *memory = map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    double end = now() + 0.15;
    int i = 0;
    for (; i < PAGES && (i < 20 || now() < end); i++) {
        char *at = memory + (size_t)i * PAGE + 77;
        if (i % 2) {
            CHECK(write(ends[1], &round, sizeof round) == sizeof round);
            CHECK(read(ends[0], at, sizeof round) == sizeof round && memcmp(at, &round, sizeof round) == 0);
        } else {
            memcpy(at, &round, sizeof round);
            CHECK(write(ends[1], at, sizeof round) == sizeof round);
            CHECK(read(ends[0], &(int){0}, sizeof round) == sizeof round);
        }
    }
    /* Then all pages that are there, so that a short ring is full. */
    for (int times = 0; times < 3; times++)
        for (int j = 0; j < i; j++)
            memory[(size_t)j * PAGE] = (char)times;
    for (int j = 0; j < i; j++)
        CHECK(memory[(size_t)j * PAGE] == 2 && memcmp(memory + (size_t)j * PAGE + 77, &round, sizeof round) == 0);
    CHECK(munmap(memory, PAGES * PAGE) == 0);
    CHECK_ERROR(write(ends[1], memory, 8), EFAULT);
}

static sigjmp_buf back;
static volatile int raised;

static void jump_back(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    raised = signal;
    CHECK(getppid() == parent);
    siglongjmp(back, 1);
}

static void exceptions(int round)
{
    static char *volatile nowhere = (char *)8; /* For all that the compiler knows, it may change. */
    for (volatile int i = 0; i < 12; i++) {
        CHECK(getppid() == parent);
        raised = 0;
        if (sigsetjmp(back, 1) == 0) {
            if (i % 3 == 0)
                *(volatile char *)nowhere = (char)round;
            else if (i % 3 == 1)
                __asm__ volatile("ud2");
            else
                __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "rax", "rcx", "rdx", "cc");
        }
        CHECK(raised == (i % 3 == 0 ? SIGSEGV : i % 3 == 1 ? SIGILL : SIGFPE));
        CHECK_ERROR(write(ends[1], nowhere, 1), EFAULT);
    }
}

/* Each waits for the other, so none has a processor for long. */
static void *answer(void *unused)
{
    for (char byte; read(ends[0], &byte, 1) == 1 && byte != 'q';)
        CHECK(write(back_ends[1], &byte, 1) == 1);
    return unused;
}

static void handovers(int round)
{
    change_mask(SIG_BLOCK, SIGALRM);
    pthread_t thread = start(answer, NULL);
    change_mask(SIG_UNBLOCK, SIGALRM);
    struct effort effort_ = effort(500, 0.08);
    for (char byte, sent = (char)(round & 7); goes_on(&effort_);)
        CHECK(write(ends[1], &sent, 1) == 1 && read(back_ends[0], &byte, 1) == 1 && byte == sent);
    CHECK(write(ends[1], "q", 1) == 1);
    end_of(thread);
}

int main(void)
{
    void (*const phases[])(int) = {short_calls, waits, fresh_memory, short_calls, computes, exceptions, handovers};
    enum { PHASES = sizeof phases / sizeof phases[0] };
    parent = getppid();
    CHECK(pipe(ends) == 0 && pipe(back_ends) == 0);
    handle(SIGALRM, note, SA_RESTART);
    handle(SIGSEGV, jump_back, 0);
    handle(SIGILL, jump_back, 0);
    handle(SIGFPE, jump_back, 0);
    set_alarm_every(bearable_interval() * 4);
    double end = now() + 3;
    for (int i = 0; i < 2 * PHASES || (i < 10 * PHASES && now() < end); i++)
        phases[i * 5 % PHASES](i);
    CHECK(alarms > 0);
    puts("all phases");
}
