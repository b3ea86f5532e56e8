/* What threads have from the kernel, each for itself or together, while other threads do nothing but call: locks with
 * owners, waits, rights, processors, priorities and ends. */
#include "calls.h"
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CALLERS 3

static volatile int stop;
static pid_t parent;
static pthread_t callers[CALLERS];

static void *call(void *unused)
{
    pid_t tid = own_tid();
    while (!stop)
        CHECK(getppid() == parent && own_tid() == tid);
    return unused;
}

static void start_callers(void *(*run)(void *))
{
    stop = 0;
    for (int i = 0; i < CALLERS; i++)
        callers[i] = start(run, NULL);
}

static void end_callers(void)
{
    stop = 1;
    for (int i = 0; i < CALLERS; i++)
        end_of(callers[i]);
}

/* A lock that lends its holder priority is handed over in the kernel, one that outlives its holder tells so. */
static pthread_mutex_t lending, outliving;
static volatile long under_lock, deaths_told;

static void *hand_over(void *unused)
{
    struct effort effort_ = effort(3000, 0.6);
    while (goes_on(&effort_)) {
        CHECK(pthread_mutex_lock(&lending) == 0);
        long before = under_lock;
        CHECK(getppid() == parent);
        if (effort_.left % 8 == 0)
            sched_yield();
        CHECK(under_lock == before);
        under_lock = before + 1;
        CHECK(pthread_mutex_unlock(&lending) == 0);
        *(long *)unused += 1;
    }
    return NULL;
}

static void lending_locks(void)
{
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&lending, &attributes) == 0);
    long counts[4] = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = start(hand_over, &counts[i]);
    for (int i = 0; i < 4; i++)
        end_of(threads[i]);
    CHECK(under_lock == counts[0] + counts[1] + counts[2] + counts[3]);
}

static void *die_with_the_lock(void *unused)
{
    int result = pthread_mutex_lock(&outliving);
    if (result == EOWNERDEAD) {
        deaths_told++;
        CHECK(pthread_mutex_consistent(&outliving) == 0);
    } else {
        CHECK(result == 0);
    }
    CHECK(getppid() == parent);
    return unused;
}

static void outliving_locks(void)
{
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(&outliving, &attributes) == 0);
    long dead = 0;
    struct effort effort_ = effort(100, 0.6);
    start_callers(call);
    while (goes_on(&effort_)) {
        pthread_t threads[3];
        for (int i = 0; i < 3; i++, dead++)
            threads[i] = start(die_with_the_lock, NULL);
        for (int i = 0; i < 3; i++)
            end_of(threads[i]);
    }
    end_callers();
    /* All but the first have found it with a dead owner. */
    CHECK(deaths_told == dead - 1);
}

static void locks(void)
{
    lending_locks();
    outliving_locks();
    puts("locks are handed over");
}

static int ends[2];

static void *read_one(void *result)
{
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
    *(volatile char *)result = byte;
    return NULL;
}

/* Waits, while others call, as long as it has to, and not longer. */
static void waits(void)
{
    CHECK(pipe(ends) == 0);
    start_callers(call);
    struct effort effort_ = effort(20, 1);
    while (goes_on(&effort_)) {
        volatile char first = 0, second = 0;
        pthread_t threads[] = {start(read_one, (void *)&first), start(read_one, (void *)&second)};
        usleep(10000);
        CHECK(first == 0 && second == 0 && write(ends[1], "a", 1) == 1 && write(ends[1], "b", 1) == 1);
        end_of(threads[0]);
        end_of(threads[1]);
        CHECK(first + second == 'a' + 'b');
    }
    end_callers();
    puts("waits end");
}

static volatile uid_t user;
static volatile int changing;

/* All threads have the same rights, as soon as one of them has changed them. */
static void *look_at_rights(void *unused)
{
    while (!stop) {
        int before = __atomic_load_n(&changing, __ATOMIC_SEQ_CST);
        uid_t expected = user, effective = geteuid();
        gid_t group = getegid();
        if (before % 2 == 0 && before == __atomic_load_n(&changing, __ATOMIC_SEQ_CST))
            CHECK(effective == expected && group == expected);
    }
    return unused;
}

static void rights(void)
{
    int may = geteuid() == 0;
    user = geteuid();
    if (getegid() != user) /* Nobody's affair here: the pair is looked at together. */
        CHECK(setegid(user) == 0);
    start_callers(look_at_rights);
    struct effort effort_ = effort(200, 1);
    while (goes_on(&effort_)) {
        uid_t next = may && user == 0 ? 12345 : getuid();
        __atomic_fetch_add(&changing, 1, __ATOMIC_SEQ_CST);
        /* As the one who may; the group first, or last. */
        CHECK(next == 0 ? seteuid(next) == 0 && setegid(next) == 0 : setegid(next) == 0 && seteuid(next) == 0);
        user = next;
        __atomic_fetch_add(&changing, 1, __ATOMIC_SEQ_CST);
        CHECK(geteuid() == next && getegid() == next);
        usleep(1000);
    }
    end_callers();
    puts("rights are all threads'");
}

/* Each thread goes from processor to processor, and is found nowhere else. */
static void *go_round(void *all)
{
    const cpu_set_t *allowed = all;
    while (!stop)
        for (int processor = 0; processor < CPU_SETSIZE && !stop; processor++) {
            if (!CPU_ISSET(processor, allowed))
                continue;
            cpu_set_t one, seen;
            CPU_ZERO(&one);
            CPU_SET(processor, &one);
            CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
            for (int i = 0; i < 20; i++) {
                unsigned called = 0;
                CHECK(sched_getcpu() == processor);
                CHECK(syscall(SYS_getcpu, &called, NULL, NULL) == 0 && (int)called == processor);
                CHECK(sched_getaffinity(0, sizeof seen, &seen) == 0 && CPU_EQUAL(&seen, &one));
            }
        }
    return NULL;
}

static void processors(void)
{
    cpu_set_t allowed, after;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = start(go_round, &allowed);
    struct effort effort_ = effort(100000, 1);
    while (goes_on(&effort_) || effort_.end > now()) {
        CHECK(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&after, &allowed));
        CHECK(CPU_ISSET(sched_getcpu(), &allowed));
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        end_of(threads[i]);
    /* A child has what its parent has. */
    pid_t child = fork();
    if (child == 0)
        _exit(sched_getaffinity(0, sizeof after, &after) == 0 && CPU_EQUAL(&after, &allowed) ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("threads stay on their processors");
}

/* Each thread has a nice value of its own, which others see by its number. */
static volatile pid_t nice_tids[3];

static void *be_nice(void *number)
{
    int value = 1 + (int)(uintptr_t)number;
    pid_t tid = own_tid();
    CHECK(setpriority(PRIO_PROCESS, 0, value) == 0);
    __atomic_store_n(&nice_tids[(uintptr_t)number], tid, __ATOMIC_SEQ_CST);
    while (!stop) {
        errno = 0;
        CHECK(getpriority(PRIO_PROCESS, 0) == value && errno == 0);
        CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == value && own_tid() == tid);
    }
    return NULL;
}

static void priorities(void)
{
    pthread_t threads[3];
    int own = getpriority(PRIO_PROCESS, 0);
    stop = 0;
    for (uintptr_t i = 0; i < 3; i++)
        threads[i] = start(be_nice, (void *)i);
    struct effort effort_ = effort(20000, 0.7);
    while (goes_on(&effort_))
        for (int i = 0; i < 3; i++) {
            pid_t tid = __atomic_load_n(&nice_tids[i], __ATOMIC_SEQ_CST);
            if (tid != 0)
                CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == i + 1);
            CHECK(getpriority(PRIO_PROCESS, 0) == own);
        }
    stop = 1;
    for (int i = 0; i < 3; i++)
        end_of(threads[i]);
    puts("each is as nice as it wants");
}

/* The word that the kernel clears when a thread ends is the one that was named last. */
static volatile int cleared;

static void *have_a_word_cleared(void *unused)
{
    for (int i = 0; i < 10; i++)
        CHECK(getppid() == parent);
    CHECK(syscall(SYS_set_tid_address, &cleared) == own_tid());
    /* Without the library, whose own word stays as it is. */
    syscall(SYS_exit, 0);
    return unused;
}

static void ends_of_threads(void)
{
    start_callers(call);
    struct effort effort_ = effort(50, 0.8);
    while (goes_on(&effort_)) {
        cleared = 1;
        pthread_attr_t attributes;
        pthread_t thread;
        CHECK(pthread_attr_init(&attributes) == 0);
        CHECK(pthread_create(&thread, &attributes, have_a_word_cleared, NULL) == 0);
        while (cleared)
            if (syscall(SYS_futex, &cleared, FUTEX_WAIT, 1, NULL, NULL, 0) != 0)
                CHECK(errno == EAGAIN || errno == EINTR);
    }
    end_callers();
    puts("words are cleared");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"locks", locks}, {"waits", waits}, {"rights", rights}, {"processors", processors},
               {"priorities", priorities}, {"ends", ends_of_threads}};
    CHECK(argc == 2);
    parent = getppid();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(argv[1], all[i].name) == 0)
            all[i].run();
}
