/* SA_SIGINFO handlers learn who sent the signal, how, and with which value. */
#include "check.h"
#include <pthread.h>

static siginfo_t seen;
/* The C library tells the compiler that kill() never calls back into this file: look again. */
#define LOOK_AGAIN() __asm__ volatile("" ::: "memory")
static volatile sig_atomic_t count;

static void note(int number, siginfo_t *information, void *context)
{
    CHECK(number == information->si_signo && context != NULL);
    seen = *information;
    count++;
}

static void comes_from_here(int code)
{
    LOOK_AGAIN();
    CHECK(count == 1 && seen.si_code == code && seen.si_errno == 0);
    CHECK(seen.si_pid == getpid() && seen.si_uid == getuid());
    count = 0;
}

/* What a crash handler does to pass a fault on: queue it again, as the kernel had described it. */
static void described_as_a_fault(void)
{
    siginfo_t fault = {.si_signo = SIGSEGV, .si_code = SEGV_ACCERR, .si_addr = (void *)0x1234};
    CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGSEGV, &fault) == 0);
    LOOK_AGAIN();
    CHECK(count == 1 && seen.si_code == SEGV_ACCERR && seen.si_addr == (void *)0x1234);
    count = 0;
}

/* A flag that no kernel knows is not kept: SA_UNSUPPORTED of linux/signal.h. */
static void unknown_flags_are_dropped(void)
{
    struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; }
        action = {SIG_IGN, 0x400 | SA_NODEFER, NULL, 0}, back;
    CHECK(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8) == 0);
    CHECK(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &back, 8) == 0 && back.flags == SA_NODEFER);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO}, back;
    union sigval value = {.sival_ptr = &seen};
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN)) {
            CHECK(sigaction(number, &action, NULL) == 0);
            CHECK(kill(getpid(), number) == 0);
            comes_from_here(SI_USER);
            CHECK(seen.si_signo == number);
            CHECK(sigaction(number, NULL, &back) == 0 && back.sa_sigaction == note);
            CHECK(back.sa_flags & SA_SIGINFO);
        }
    CHECK(raise(SIGUSR1) == 0);
    comes_from_here(SI_TKILL);
    CHECK(sigqueue(getpid(), SIGRTMIN + 1, value) == 0);
    comes_from_here(SI_QUEUE);
    CHECK(seen.si_value.sival_ptr == &seen);
    CHECK(pthread_sigqueue(pthread_self(), SIGUSR2, value) == 0);
    comes_from_here(SI_QUEUE);
    described_as_a_fault();
    unknown_flags_are_dropped();
    CHECK_ERROR(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERROR(sigaction(65, &action, NULL), EINVAL);
    CHECK_ERROR(kill(getpid(), 99), EINVAL);
    puts("ok");
}
