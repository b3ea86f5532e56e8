/* Each thread has its own id, name, nice value and affinity; the main thread's id is the process' id. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define THREADS 20

static pthread_barrier_t barrier;
static pid_t ids[THREADS];

static void name_is_own(long number)
{
    char name[16], seen[16];
    snprintf(name, sizeof name, "worker %ld", number);
    CHECK(prctl(PR_SET_NAME, name) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(prctl(PR_GET_NAME, seen) == 0 && strcmp(name, seen) == 0);
    CHECK(pthread_getname_np(pthread_self(), seen, sizeof seen) == 0 && strcmp(name, seen) == 0);
}

static void nice_is_own(long number)
{
    CHECK(setpriority(PRIO_PROCESS, 0, (int)(number % 19) + 1) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(getpriority(PRIO_PROCESS, (id_t)gettid()) == (int)(number % 19) + 1);
}

static void affinity_is_own(long number)
{
    cpu_set_t all, one, seen;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    int wanted = (int)(number % CPU_COUNT(&all)), cpu = 0;
    for (cpu = 0; !CPU_ISSET(cpu, &all) || wanted-- > 0;)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_getaffinity_np(pthread_self(), sizeof seen, &seen) == 0 && CPU_EQUAL(&one, &seen));
    CHECK(sched_getcpu() == cpu);
}

static void *work(void *argument)
{
    long number = (long)argument;
    ids[number] = gettid();
    CHECK(getpid() != gettid() && syscall(SYS_set_tid_address, &ids[number]) == gettid());
    CHECK(syscall(SYS_tgkill, getpid(), gettid(), 0) == 0);
    pthread_barrier_wait(&barrier);
    for (long other = 0; other < THREADS; other++)
        CHECK(other == number || ids[other] != ids[number]);
    pthread_barrier_wait(&barrier);
    name_is_own(number);
    nice_is_own(number);
    affinity_is_own(number);
    /* The exit clears the pointed-to word, which a joining thread waits for: not `ids`. */
    syscall(SYS_exit, 0);
    return NULL;
}

int main(void)
{
    CHECK(getpid() == gettid() && getpid() == (pid_t)syscall(SYS_getpid));
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        while (__atomic_load_n(&ids[i], __ATOMIC_SEQ_CST) != 0)
            usleep(1000);
    char name[16];
    CHECK(prctl(PR_GET_NAME, name) == 0 && strncmp(name, "worker", 6) != 0);
    CHECK(getpriority(PRIO_PROCESS, 0) == 0);
    puts("ok");
}
