/* Blocked signals wait; sigpending, sigsuspend, sigwait, sigtimedwait and signalfd see them; order is kept. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static volatile sig_atomic_t count;
static int order[64];

static void note(int number)
{
    order[count++ % 64] = number;
}

static sigset_t only(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void blocked_signals_wait(void)
{
    sigset_t set = only(SIGUSR1), pending, old;
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && !sigismember(&old, SIGUSR1));
    CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR1) == 0 && count == 0);
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    CHECK(sigprocmask(SIG_UNBLOCK, &set, &old) == 0 && count == 1 && sigismember(&old, SIGUSR1));
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
}

static void suspend_lets_in_what_is_blocked(void)
{
    sigset_t set = only(SIGUSR1), none, now;
    sigemptyset(&none);
    count = 0;
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR1) == 0 && count == 0);
    CHECK(sigsuspend(&none) == -1 && errno == EINTR && count == 1);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
}

/* Each of these waits with no signal blocked: both handlers run before it returns, one within the other. */
static int wait_with(int how, const sigset_t *mask)
{
    struct epoll_event event;
    switch (how) {
    case 0:
        return sigsuspend(mask);
    case 1:
        return ppoll(NULL, 0, NULL, mask);
    case 2:
        return pselect(0, NULL, NULL, NULL, NULL, mask);
    default:
        return epoll_pwait(epoll_create1(EPOLL_CLOEXEC), &event, 1, -1, mask);
    }
}

static void handlers_start_from_the_mask_of_the_call(void)
{
    sigset_t set = only(SIGUSR1), none, now;
    sigemptyset(&none);
    sigaddset(&set, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (int how = 0; how < 4; how++) {
        count = 0;
        CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0 && count == 0);
        CHECK_ERROR(wait_with(how, &none), EINTR);
        CHECK(count == 2 && sigprocmask(SIG_BLOCK, NULL, &now) == 0);
        CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
    }
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

static void waiting_takes_the_signal_without_its_handler(void)
{
    sigset_t set = only(SIGUSR1);
    siginfo_t information;
    struct timespec soon = {0, 10000000};
    int number;
    count = 0;
    CHECK(raise(SIGUSR1) == 0 && sigwait(&set, &number) == 0 && number == SIGUSR1);
    CHECK(kill(getpid(), SIGUSR1) == 0 && sigwaitinfo(&set, &information) == SIGUSR1);
    CHECK(information.si_pid == getpid() && information.si_code == SI_USER);
    CHECK_ERROR(sigtimedwait(&set, &information, &soon), EAGAIN);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct signalfd_siginfo record;
    CHECK_ERROR(read(descriptor, &record, sizeof record), EAGAIN);
    CHECK(raise(SIGUSR1) == 0 && read(descriptor, &record, sizeof record) == sizeof record);
    CHECK(record.ssi_signo == SIGUSR1 && close(descriptor) == 0 && count == 0);
}

static void queued_signals_come_in_order(void)
{
    sigset_t all, old;
    sigfillset(&all);
    count = 0;
    CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0);
    for (int i = 2; i >= 0; i--)
        for (int times = 0; times < 3; times++)
            CHECK(raise(SIGRTMIN + i) == 0);
    sigset_t open = old;
    CHECK(count == 0 && sigprocmask(SIG_SETMASK, &open, NULL) == 0 && count == 9);
    int seen[3] = {0};
    for (int i = 0; i < 9; i++)
        seen[order[i] - SIGRTMIN]++;
    CHECK(seen[0] == 3 && seen[1] == 3 && seen[2] == 3);
}

static void unblockable_signals_stay_unblocked(void)
{
    sigset_t all, now;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0 && sigprocmask(SIG_BLOCK, NULL, &now) == 0);
    CHECK(!sigismember(&now, SIGKILL) && !sigismember(&now, SIGSTOP) && sigismember(&now, SIGTERM));
    CHECK_ERROR(syscall(SYS_rt_sigprocmask, 17, &all, NULL, 8), EINVAL);
    CHECK_ERROR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 4), EINVAL);
}

int main(void)
{
    int numbers[] = {SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN + 1, SIGRTMIN + 2};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(signal(numbers[i], note) != SIG_ERR);
    blocked_signals_wait();
    suspend_lets_in_what_is_blocked();
    waiting_takes_the_signal_without_its_handler();
    queued_signals_come_in_order();
    unblockable_signals_stay_unblocked();
    handlers_start_from_the_mask_of_the_call();
    puts("ok");
}
