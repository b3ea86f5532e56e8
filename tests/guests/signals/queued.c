/* Real-time signals queue with their values, lowest number first and in order within one; nested handlers,
 * sigwaitinfo and signalfd take them alike; RLIMIT_SIGPENDING ends the queue. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

static struct { int number, value, depth; } seen[64];
static volatile int count, depth;

static void note(int number, siginfo_t *information, void *context)
{
    (void)context;
    int at = count++;
    seen[at % 64].number = number - SIGRTMIN, seen[at % 64].value = information->si_value.sival_int;
    seen[at % 64].depth = ++depth;
    CHECK(information->si_code == SI_QUEUE && information->si_pid == getpid());
    depth--;
}

static void send(int number, int value)
{
    CHECK(sigqueue(getpid(), SIGRTMIN + number, (union sigval){.sival_int = value}) == 0);
}

static sigset_t range(int from, int to)
{
    sigset_t set;
    sigemptyset(&set);
    for (int number = from; number <= to; number++)
        sigaddset(&set, SIGRTMIN + number);
    return set;
}

static void show(const char *what)
{
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %d/%d@%d", seen[i].number, seen[i].value, seen[i].depth);
    puts("");
    count = 0;
}

static void install(int flags, int masked)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    action.sa_mask = masked ? range(0, 5) : (sigset_t){0};
    for (int number = 0; number <= 5; number++)
        CHECK(sigaction(SIGRTMIN + number, &action, NULL) == 0);
}

static void queue_and_release(const char *what)
{
    sigset_t all = range(0, 5);
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    for (int value = 0; value < 3; value++)
        for (int number = 3; number >= 1; number--)
            send(number, 10 * value + number);
    CHECK(count == 0 && sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
    __asm__ volatile("" ::: "memory");
    show(what);
}

static void taken_without_handlers(void)
{
    sigset_t all = range(0, 5), some = range(2, 3);
    siginfo_t information;
    struct signalfd_siginfo records[4];
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    for (int i = 0; i < 8; i++)
        send(5 - i % 4, i);
    for (int i = 0; i < 3; i++) {
        CHECK(sigwaitinfo(&some, &information) >= SIGRTMIN);
        printf("waited: %d/%d\n", information.si_signo - SIGRTMIN, information.si_value.sival_int);
    }
    int descriptor = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
    ssize_t length;
    while ((length = read(descriptor, records, sizeof records)) > 0)
        for (size_t i = 0; i < (size_t)length / sizeof *records; i++)
            printf("read: %d/%d code %d\n", (int)records[i].ssi_signo - SIGRTMIN, records[i].ssi_int,
                   records[i].ssi_code);
    CHECK(errno == EAGAIN && sigprocmask(SIG_UNBLOCK, &all, NULL) == 0 && count == 0);
}

static void queue_is_limited(void)
{
    struct rlimit before, limit;
    sigset_t all = range(0, 5), waiting;
    siginfo_t information;
    struct timespec none = {0, 0};
    CHECK(getrlimit(RLIMIT_SIGPENDING, &before) == 0);
    limit = before;
    limit.rlim_cur = 3;
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &limit) == 0);
    int sent = 0;
    while (sent < 10 && sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = sent}) == 0)
        sent++;
    CHECK(sent < 10 && errno == EAGAIN); /* others of this user have some queued, perhaps */
    CHECK(kill(getpid(), SIGRTMIN + 2) == 0 || errno == EAGAIN);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &before) == 0 && sigpending(&waiting) == 0);
    for (int i = 0; i < sent; i++)
        CHECK(sigtimedwait(&all, &information, &none) == SIGRTMIN + 1 && information.si_value.sival_int == i);
    while (sigtimedwait(&all, &information, &none) > 0)
        ;
    CHECK(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
}

/* Many at once from another thread: none is lost, none is doubled, and they stay in order. */
static volatile int next_value;

static void in_order(int number, siginfo_t *information, void *context)
{
    (void)number, (void)context;
    CHECK(information->si_value.sival_int == next_value);
    next_value++;
}

static void *flood(void *to)
{
    for (int i = 0; i < part_of(1000); i++)
        while (pthread_sigqueue(*(pthread_t *)to, SIGRTMIN + 4, (union sigval){.sival_int = i}) != 0)
            usleep(100);
    return NULL;
}

static void none_is_lost(void)
{
    pthread_t self = pthread_self(), thread;
    struct sigaction action = {.sa_sigaction = in_order, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t before = range(4, 4);
    CHECK(sigaction(SIGRTMIN + 4, &action, NULL) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &before, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, flood, &self) == 0);
    CHECK(sigprocmask(SIG_UNBLOCK, &before, NULL) == 0);
    while (next_value < part_of(1000))
        getppid();
    CHECK(pthread_join(thread, NULL) == 0 && next_value == part_of(1000));
}

int main(void)
{
    install(0, 0);
    queue_and_release("nested");
    install(0, 1);
    queue_and_release("one after the other");
    install(SA_NODEFER, 0);
    queue_and_release("with SA_NODEFER");
    taken_without_handlers();
    queue_is_limited();
    none_is_lost();
    puts("ok");
}
