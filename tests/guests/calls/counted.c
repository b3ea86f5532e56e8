/* Signals between threads that do nothing but call: as many are handled as were sent, with their values and in order. */
#include "calls.h"

static volatile pid_t tids[2];
static volatile long handled[2];
static long rounds;
static volatile int ended;
static __thread int self;

/* The ball: whoever has it sends it back from within the handler. */
static void send_back(int signal, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(signal == SIGUSR1 && info->si_code == SI_TKILL && info->si_pid == getpid());
    CHECK(own_tid() == tids[self]);
    long mine = ++handled[self];
    if (self == 1 || mine < rounds)
        CHECK(syscall(SYS_tgkill, getpid(), tids[!self], SIGUSR1) == 0);
    else
        ended = 1;
}

static void *call_until_it_ends(void *number)
{
    self = number != NULL;
    pid_t parent = getppid();
    __atomic_store_n(&tids[self], own_tid(), __ATOMIC_SEQ_CST);
    while (!ended)
        CHECK(getppid() == parent && own_tid() == tids[self]);
    return NULL;
}

static void back_and_forth(void)
{
    rounds = part_of(400);
    handle(SIGUSR1, send_back, SA_RESTART);
    pthread_t other = start(call_until_it_ends, "other");
    while (__atomic_load_n(&tids[1], __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    tids[0] = own_tid();
    CHECK(syscall(SYS_tgkill, getpid(), tids[1], SIGUSR1) == 0);
    call_until_it_ends(NULL);
    end_of(other);
    CHECK(handled[0] == rounds && handled[1] == rounds);
    printf("%ld there and back\n", rounds);
}

static volatile int next_value[3], taken;
static volatile pid_t receiver;

static void expect_next(int signal, siginfo_t *info, void *context)
{
    (void)context;
    int kind = signal - SIGRTMIN;
    CHECK(info->si_code == SI_QUEUE && info->si_pid == getpid() && own_tid() == receiver);
    CHECK(info->si_value.sival_int == next_value[kind]);
    next_value[kind]++;
    taken++;
}

static void *receive(void *all)
{
    pid_t parent = getppid();
    for (int kind = 0; kind < 3; kind++)
        change_mask(SIG_UNBLOCK, SIGRTMIN + kind);
    receiver = own_tid();
    while (taken < *(int *)all)
        CHECK(getppid() == parent && own_tid() == receiver);
    return NULL;
}

static void queue(int kind, int value)
{
    /* More than may be queued are on their way: they will be taken. */
    while (sigqueue(getpid(), SIGRTMIN + kind, (union sigval){.sival_int = value}) != 0) {
        CHECK(errno == EAGAIN);
        sched_yield();
    }
}

static void in_order(void)
{
    int all = part_of(1500) * 3;
    for (int kind = 0; kind < 3; kind++) {
        handle(SIGRTMIN + kind, expect_next, SA_RESTART);
        change_mask(SIG_BLOCK, SIGRTMIN + kind);
    }
    pthread_t thread = start(receive, &all);
    while (receiver == 0)
        sched_yield();
    for (int i = 0; i < all; i++)
        queue(i % 3, i / 3);
    end_of(thread);
    CHECK(taken == all);
    printf("%d came in order\n", all);
}

static volatile int order[64], seen_in_order;

static void note_number(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    order[seen_in_order++] = signal - SIGRTMIN;
}

/* What waited is handled from the lowest number on, at the call that unblocks. */
static void lowest_first(void)
{
    struct sigaction action = {.sa_sigaction = note_number, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigset_t all, before;
    sigfillset(&all);
    for (int i = 0; i < 5; i++)
        CHECK(sigaction(SIGRTMIN + i, &action, NULL) == 0);
    pid_t parent = getppid();
    for (int round = part_of(200); round > 0; round--) {
        static const int sent[] = {3, 1, 4, 0, 2, 1}, expected[] = {0, 1, 1, 2, 3, 4};
        seen_in_order = 0;
        CHECK(sigprocmask(SIG_SETMASK, &all, &before) == 0);
        for (int i = 0; i < 6; i++)
            CHECK(raise(SIGRTMIN + sent[i]) == 0 && getppid() == parent);
        CHECK(seen_in_order == 0 && sigprocmask(SIG_SETMASK, &before, NULL) == 0);
        /* Each blocks all others, so none interrupts another. */
        CHECK(seen_in_order == 6);
        for (int i = 0; i < 6; i++)
            CHECK(order[i] == expected[i]);
    }
    puts("lowest first");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    if (strcmp(argv[1], "back-and-forth") == 0)
        back_and_forth();
    else if (strcmp(argv[1], "in-order") == 0)
        in_order();
    else
        lowest_first();
}
