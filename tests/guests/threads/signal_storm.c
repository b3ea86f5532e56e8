/* signal_storm THREADS SIGNALS: each thread sends so many signals to threads at random while it is hit itself.
 * Real-time signals are queued, so each must arrive, with its value; of the others, at least one. */
#include "check.h"
#include <pthread.h>

#define MOST 512
#define KINDS 3

struct tally {
    unsigned count;
    unsigned sum;
};

static struct thread {
    pthread_t thread;
    volatile pid_t tid;
    struct tally sent[KINDS], received[KINDS];
    unsigned plain_sent, plain_received;
} threads[MOST];

static int count, each;
static __thread struct thread *self;
static pthread_barrier_t barrier;

static void add(struct tally *tally, unsigned value)
{
    __atomic_fetch_add(&tally->sum, value, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&tally->count, 1, __ATOMIC_SEQ_CST);
}

static void on_real_time(int signal, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(info->si_code == SI_QUEUE && info->si_pid == getpid());
    CHECK(syscall(SYS_gettid) == self->tid);
    add(&self->received[signal - SIGRTMIN], info->si_value.sival_int);
}

static void on_plain(int signal)
{
    CHECK(signal == SIGUSR1);
    __atomic_fetch_add(&self->plain_received, 1, __ATOMIC_SEQ_CST);
}

static void send(struct thread *to, int kind, unsigned value)
{
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    info.si_value.sival_int = (int)value;
    add(&to->sent[kind], value);
    /* EAGAIN: more are queued than the user may have. They are on their way. */
    while (syscall(SYS_rt_tgsigqueueinfo, getpid(), to->tid, SIGRTMIN + kind, &info) != 0) {
        CHECK(errno == EAGAIN);
        sched_yield();
    }
}

static int all_have_arrived(void)
{
    for (int i = 0; i < KINDS; i++)
        if (__atomic_load_n(&self->received[i].count, __ATOMIC_SEQ_CST) < self->sent[i].count)
            return 0;
    return self->plain_sent == 0 || __atomic_load_n(&self->plain_received, __ATOMIC_SEQ_CST) > 0;
}

static void *work(void *argument)
{
    self = argument;
    self->tid = (pid_t)syscall(SYS_gettid);
    unsigned random = (unsigned)(self - threads) * 2654435761u + 1;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < each; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        struct thread *to = &threads[random % count];
        if (random >> 28 == 0) {
            __atomic_fetch_add(&to->plain_sent, 1, __ATOMIC_SEQ_CST);
            CHECK(pthread_kill(to->thread, SIGUSR1) == 0);
        } else {
            send(to, random >> 16 & 1 ? 0 : 1 + (random >> 17 & 1), random & 0xffff);
        }
    }
    pthread_barrier_wait(&barrier); /* From here on nothing more is sent. */
    while (!all_have_arrived())
        usleep(1000);
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    count = atoi(argv[1]), each = atoi(argv[2]);
    CHECK(count > 0 && count <= MOST);
    struct sigaction real_time = {.sa_sigaction = on_real_time, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction plain = {.sa_handler = on_plain, .sa_flags = SA_RESTART};
    for (int i = 0; i < KINDS; i++)
        CHECK(sigaction(SIGRTMIN + i, &real_time, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &plain, NULL) == 0);
    CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)count) == 0);
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i].thread, NULL, work, &threads[i]) == 0);
    unsigned arrived = 0, plainly = 0;
    for (int i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i].thread, NULL) == 0);
        for (int kind = 0; kind < KINDS; kind++) {
            CHECK(threads[i].received[kind].count == threads[i].sent[kind].count);
            CHECK(threads[i].received[kind].sum == threads[i].sent[kind].sum);
            arrived += threads[i].received[kind].count;
        }
        CHECK(threads[i].plain_received <= threads[i].plain_sent);
        plainly += threads[i].plain_sent;
    }
    CHECK(arrived + plainly == (unsigned)count * (unsigned)each);
    printf("%u of %u were queued and came\n", arrived, arrived + plainly);
}
