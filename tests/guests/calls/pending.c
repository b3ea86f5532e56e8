/* Blocked signals wait while calls go on, whoever they are for, and can be taken in each way; ignored ones do nothing. */
#include "calls.h"
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define OTHERS 3

static volatile int stop, handled, handled_number;
static volatile long rounds_of_others[OTHERS];

static void note(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    handled_number = signal;
    handled++;
}

static int is_pending(int signal)
{
    sigset_t set;
    CHECK(sigpending(&set) == 0);
    return sigismember(&set, signal);
}

/* All block all signals, so whatever comes for the process stays. */
static void *call_with_everything_blocked(void *number)
{
    pid_t parent = getppid(), tid = own_tid();
    while (!stop) {
        CHECK(getppid() == parent && own_tid() == tid);
        ++*(volatile long *)number;
    }
    return NULL;
}

static void wait_for_others(void)
{
    for (int i = 0; i < OTHERS; i++)
        for (long before = rounds_of_others[i]; rounds_of_others[i] < before + 5;)
            sched_yield();
}

static void send(int signal, int to_process)
{
    if (to_process)
        CHECK(kill(getpid(), signal) == 0);
    else
        CHECK(syscall(SYS_tgkill, getpid(), own_tid(), signal) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(is_pending(signal) && getpid() == own_tid());
}

static void take_by_waiting(int signal, const sigset_t *set)
{
    int taken;
    siginfo_t info;
    struct timespec none = {0, 0};
    CHECK(sigwait(set, &taken) == 0 && taken == signal && !is_pending(signal));
    CHECK_ERROR(sigtimedwait(set, &info, &none), EAGAIN);
}

static void take_from_descriptor(int signal, const sigset_t *set)
{
    struct signalfd_siginfo info;
    int file = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct pollfd waited = {file, POLLIN, 0};
    CHECK(file >= 0 && poll(&waited, 1, 1000) == 1);
    CHECK(read(file, &info, sizeof info) == sizeof info && (int)info.ssi_signo == signal);
    CHECK_ERROR(read(file, &info, sizeof info), EAGAIN);
    CHECK(close(file) == 0 && !is_pending(signal));
}

static void take_by_unblocking(int signal)
{
    handled = 0;
    change_mask(SIG_UNBLOCK, signal);
    CHECK(handled == 1 && handled_number == signal && !is_pending(signal));
    change_mask(SIG_BLOCK, signal);
}

static void take_in_each_way(int signal, int to_process)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    send(signal, to_process);
    take_by_waiting(signal, &set);
    send(signal, to_process);
    take_from_descriptor(signal, &set);
    send(signal, to_process);
    take_by_unblocking(signal);
    /* Real-time signals queue. */
    if (signal >= SIGRTMIN) {
        send(signal, to_process);
        send(signal, to_process);
        send(signal, to_process);
        int taken;
        for (int i = 0; i < 3; i++)
            CHECK(is_pending(signal) && sigwait(&set, &taken) == 0);
        CHECK(!is_pending(signal));
    }
}

static int can_be_caught(int signal)
{
    return signal != SIGKILL && signal != SIGSTOP && (signal < 32 || signal >= SIGRTMIN);
}

/* What the processor raises, and anybody may send. */
static int is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE;
}

static void block_everything(void)
{
    sigset_t all;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
}

static void blocked(int faults_to_process)
{
    pthread_t others[OTHERS];
    int count = 0;
    block_everything();
    for (int i = 0; i < OTHERS; i++)
        others[i] = start(call_with_everything_blocked, (void *)&rounds_of_others[i]);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        if (!can_be_caught(signal))
            continue;
        handle(signal, note, 0);
        take_in_each_way(signal, 0);
        if (is_fault(signal) == faults_to_process)
            take_in_each_way(signal, 1);
        count++;
    }
    wait_for_others();
    stop = 1;
    for (int i = 0; i < OTHERS; i++)
        end_of(others[i]);
    printf("%d signals\n", count);
}

/* One thread has them from the descriptor while the others call, and none is lost among the many. */
static void many_from_a_descriptor(void)
{
    pthread_t others[OTHERS];
    int most = part_of(500);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    block_everything();
    int file = signalfd(-1, &set, SFD_CLOEXEC);
    stop = 0;
    for (int i = 0; i < OTHERS; i++)
        others[i] = start(call_with_everything_blocked, (void *)&rounds_of_others[i]);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 0; i < most; i++)
            while (sigqueue(getppid(), SIGRTMIN + 2, (union sigval){.sival_int = i}) != 0)
                CHECK(errno == EAGAIN);
        _exit(0);
    }
    for (int i = 0; i < most; i++) {
        struct signalfd_siginfo info;
        CHECK(read(file, &info, sizeof info) == sizeof info && info.ssi_int == i);
        CHECK((pid_t)info.ssi_pid == child);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    stop = 1;
    for (int i = 0; i < OTHERS; i++)
        end_of(others[i]);
    printf("%d from a descriptor\n", most);
}

/* A process of its own sends all that can be ignored, again and again. */
static pid_t start_sender(void)
{
    pid_t child = fork(), parent = getppid();
    CHECK(child >= 0);
    if (child != 0)
        return child;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    for (parent = getppid();; usleep(200))
        for (int signal = 1; signal <= SIGRTMAX; signal++)
            if (can_be_caught(signal))
                CHECK(kill(parent, signal) == 0);
}

static void ignored(void)
{
    for (int signal = 1; signal <= SIGRTMAX; signal++)
        /* A child whose end is ignored could not be waited for. */
        if (can_be_caught(signal) && signal != SIGCHLD)
            CHECK(sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0);
    pid_t sender = start_sender(), parent = getppid();
    int file = unnamed_file(0), made = 0;
    struct effort effort_ = effort(200000, 0.8);
    while (goes_on(&effort_)) {
        CHECK(getppid() == parent && write(file, "x", 1) == 1);
        made++;
        /* What is ignored interrupts nothing. */
        if (effort_.left % 16 == 0)
            CHECK(nanosleep(&(struct timespec){0, 100000}, NULL) == 0);
    }
    CHECK(lseek(file, 0, SEEK_CUR) == made);
    CHECK(kill(sender, SIGKILL) == 0 && waitpid(sender, NULL, 0) == sender);
    puts("nothing noticed");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    if (strcmp(argv[1], "blocked") == 0) {
        blocked(0);
        many_from_a_descriptor();
    } else if (strcmp(argv[1], "blocked-faults") == 0) {
        blocked(1);
    } else {
        ignored();
    }
}
