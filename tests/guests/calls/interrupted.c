/* Timers interrupt calls, with SA_RESTART and without: each call is made once and says what it did. */
#include "calls.h"
#include <linux/futex.h>

static volatile sig_atomic_t alarms;
static __thread volatile sig_atomic_t own_alarms;
static int restarts;
static long interval;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    CHECK(signal == SIGALRM);
    __atomic_fetch_add(&alarms, 1, __ATOMIC_RELAXED);
    own_alarms++;
}

/* Enough was done, and it was disturbed often enough to mean something. */
static int is_to_go_on(struct effort *effort, int least)
{
    return goes_on(effort) || own_alarms < least;
}

static void short_calls(void)
{
    pid_t parent = getppid(), self = getpid(), tid = own_tid();
    struct effort effort_ = effort(300000, 0.5);
    set_alarm_every(interval);
    while (is_to_go_on(&effort_, 20))
        CHECK(getppid() == parent && syscall(SYS_getpid) == self && own_tid() == tid);
    set_alarm_every(0);
}

/* Stores to one page after the other between the calls: logs of written pages become full, and a signal may come then. */
static void pages_between_calls(void)
{
    enum { PAGES = 4096 };
    pid_t parent = getppid();
    volatile char *memory = map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    struct effort effort_ = effort(300000, 0.8);
    set_alarm_every(interval);
    for (unsigned i = 0; is_to_go_on(&effort_, 20); i++) {
        memory[i % PAGES * PAGE] = (char)i;
        CHECK(i % 8 != 0 || getppid() == parent);
        CHECK(memory[i % PAGES * PAGE] == (char)i);
    }
    set_alarm_every(0);
    CHECK(munmap((void *)memory, PAGES * PAGE) == 0);
}

/* What goes through the pipe: a sequence in which no byte can be missing or there twice. */
static char byte_at(unsigned long place)
{
    return (char)(place ^ place >> 8 ^ place >> 16);
}

#define MOST 90000 /* More than a pipe holds: such a write waits, and is interrupted half done. */

static int ends[2];

static void *write_the_sequence(void *total)
{
    static char bytes[MOST];
    unsigned long place = 0, random = 88172645463325252;
    timer_t timer = interrupt_this_thread_every(interval);
    struct effort effort_ = effort(3000, 0.7);
    while (is_to_go_on(&effort_, 5)) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        size_t count = random % 16 == 0 ? MOST - random % 1000 : 1 + random % 3000;
        for (size_t i = 0; i < count; i++)
            bytes[i] = byte_at(place + i);
        ssize_t written = write(ends[1], bytes, count);
        if (written < 0)
            CHECK(errno == EINTR && !restarts);
        else
            CHECK(written > 0 && (size_t)written <= count);
        /* Only a write that was interrupted may stop halfway. */
        CHECK(written == (ssize_t)count || own_alarms > 0);
        place += written > 0 ? (unsigned long)written : 0;
    }
    CHECK(timer_delete(timer) == 0 && close(ends[1]) == 0);
    *(unsigned long *)total = place;
    return NULL;
}

static void pipes(void)
{
    static char bytes[MOST];
    unsigned long written, place = 0, size = 1;
    CHECK(pipe(ends) == 0);
    pthread_t writer = start(write_the_sequence, &written);
    timer_t timer = interrupt_this_thread_every(interval);
    for (;;) {
        size = size * 5 % 8191;
        ssize_t count = read(ends[0], bytes, size);
        if (count == 0)
            break;
        CHECK(count > 0 || (errno == EINTR && !restarts));
        for (ssize_t i = 0; i < count; i++)
            CHECK(bytes[i] == byte_at(place + (unsigned long)i));
        place += count > 0 ? (unsigned long)count : 0;
    }
    CHECK(timer_delete(timer) == 0);
    end_of(writer);
    CHECK(place == written && close(ends[0]) == 0);
}

static void sleeps(void)
{
    struct effort effort_ = effort(2000, 0.5);
    int interrupted = 0, slept = 0, before = own_alarms;
    timer_t timer = interrupt_this_thread_every(interval);
    while (is_to_go_on(&effort_, 20) || slept == 0 || interrupted == 0) {
        /* Shorter than the interval, and far longer. */
        long length = effort_.left % 4 == 1 ? interval * 20000 : 1000;
        struct timespec pause = {length / 1000000000, length % 1000000000}, left = {-1, -1};
        double begin = now();
        if (nanosleep(&pause, &left) == 0) {
            CHECK(left.tv_nsec == -1 && now() - begin >= (double)length / 1e9);
            slept++;
        } else {
            /* No handler's flag restarts it. */
            CHECK(errno == EINTR && left.tv_sec >= 0 && left.tv_sec <= pause.tv_sec);
            /* Counted to the end of the slack that a timer has. */
            CHECK(left.tv_sec * 1000000000L + left.tv_nsec <= length + 100000);
            interrupted++;
        }
    }
    CHECK(timer_delete(timer) == 0);
    CHECK(interrupted <= own_alarms - before);
}

static long futex(volatile int *word, int operation, int value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static volatile int turn;
static volatile long turns;

/* Waits until it is this one's turn; 2 ends the game. */
static int is_turn_of(int mine)
{
    for (int seen; (seen = turn) != mine;) {
        if (seen == 2)
            return 0;
        if (futex(&turn, FUTEX_WAIT_PRIVATE, seen, NULL) != 0)
            CHECK(errno == EAGAIN || (errno == EINTR && !restarts));
    }
    return 1;
}

static void *answer(void *unused)
{
    timer_t timer = interrupt_this_thread_every(interval);
    while (is_turn_of(1)) {
        turns++;
        turn = 0;
        CHECK(futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL) >= 0);
    }
    CHECK(timer_delete(timer) == 0);
    return unused;
}

static void futexes(void)
{
    long asked = 0;
    turn = 0, turns = 0;
    pthread_t thread = start(answer, NULL);
    timer_t timer = interrupt_this_thread_every(interval);
    struct effort effort_ = effort(20000, 0.7);
    while (is_to_go_on(&effort_, 20)) {
        CHECK(is_turn_of(0) && turns == asked);
        asked++;
        turn = 1;
        CHECK(futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL) >= 0);
    }
    CHECK(is_turn_of(0) && turns == asked);
    turn = 2;
    CHECK(futex(&turn, FUTEX_WAKE_PRIVATE, 1, NULL) >= 0);
    end_of(thread);
    CHECK(timer_delete(timer) == 0);
    CHECK_ERROR(futex(&turn, FUTEX_WAIT_PRIVATE, 1, NULL), EAGAIN);
}

/* With a limit of time it is never restarted. */
static void futexes_with_a_limit(void)
{
    int interrupted = 0, timed_out = 0, word = 0, before = own_alarms;
    timer_t timer = interrupt_this_thread_every(interval);
    struct effort effort_ = effort(1000, 0.4);
    while (is_to_go_on(&effort_, 20) || timed_out == 0 || interrupted == 0) {
        long length = effort_.left % 4 == 1 ? interval * 20000 : 1000;
        struct timespec pause = {length / 1000000000, length % 1000000000};
        CHECK(futex(&word, FUTEX_WAIT_PRIVATE, 0, &pause) == -1);
        CHECK(errno == EINTR || errno == ETIMEDOUT);
        *(errno == EINTR ? &interrupted : &timed_out) += 1;
    }
    CHECK(timer_delete(timer) == 0);
    CHECK(interrupted <= own_alarms - before);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"short", short_calls}, {"pages", pages_between_calls}, {"pipes", pipes}, {"sleeps", sleeps},
               {"futexes", futexes}, {"limits", futexes_with_a_limit}};
    CHECK(argc == 2);
    interval = bearable_interval();
    for (restarts = 0; restarts < 2; restarts++) {
        handle(SIGALRM, note, restarts ? SA_RESTART : 0);
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            if (strcmp(argv[1], all[i].name) == 0) {
                own_alarms = 0;
                all[i].run();
                printf("%s: as it should be\n", argv[1]);
            }
    }
}
