/* Which calls go on after a handler and which fail with EINTR: with SA_RESTART, and without. */
#include "check.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static volatile sig_atomic_t first, second;
static int ends[2], sockets[2], full[2], listener, epoll, event, timer, queue, semaphores, locked, child;
static uint32_t word;
static const struct timespec long_time = {20, 0};
static char byte;

static void note(int number)
{
    if (number == SIGALRM)
        first++;
    else
        second++;
}

#define CALLS(call)                                                                                \
    call(read, read(ends[0], &byte, 1))                                                            \
    call(write, write(full[1], full, sizeof full))                                                 \
    call(recv, recv(sockets[0], &byte, 1, 0))                                                      \
    call(accept, accept(listener, NULL, NULL))                                                     \
    call(eventfd, read(event, &(uint64_t){0}, 8))                                                  \
    call(timerfd, read(timer, &(uint64_t){0}, 8))                                                  \
    call(poll, poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 20000))                               \
    call(ppoll, ppoll(NULL, 0, &long_time, NULL))                                                  \
    call(select, select(0, NULL, NULL, NULL, &(struct timeval){20, 0}))                            \
    call(pselect, pselect(0, NULL, NULL, NULL, &long_time, NULL))                                  \
    call(epoll_wait, epoll_wait(epoll, &(struct epoll_event){0}, 1, 20000))                        \
    call(nanosleep, nanosleep(&long_time, NULL))                                                   \
    call(clock_nanosleep, -(errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL)))        \
    call(futex, syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0))                           \
    call(futex_timed, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &long_time, NULL, 0))               \
    call(pause, pause())                                                                           \
    call(sigsuspend, sigsuspend(&(sigset_t){0}))                                                   \
    call(sigtimedwait, sigtimedwait(&(sigset_t){{1}}, NULL, &long_time))                           \
    call(waitpid, waitpid(child, NULL, 0))                                                         \
    call(waitid, waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED))                             \
    call(flock, flock(locked, LOCK_EX))                                                            \
    call(fcntl_lock, fcntl(locked, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK}))              \
    call(msgrcv, msgrcv(queue, &(struct { long type; char text[8]; }){0}, 8, 0, 0))                \
    call(semop, semop(semaphores, &(struct sembuf){0, -1, 0}, 1))                                  \
    call(open_fifo, open("fifo", O_RDONLY))

/* The first signal comes while the call waits, the second a moment later: without SA_RESTART. */
#define TRY(name, statement)                                                                       \
    do {                                                                                           \
        first = second = 0;                                                                        \
        start(&one, 30);                                                                           \
        start(&two, 90);                                                                           \
        errno = 0;                                                                                 \
        long result = (long)(statement);                                                           \
        int error = errno;                                                                         \
        printf(" " #name " %s: %ld %s\n", second ? "went on" : "ended", result < 0 ? -1 : result,  \
               result < 0 ? strerrorname_np(error) : "");                                          \
        while (!second)                                                                            \
            usleep(1000);                                                                          \
    } while (0);

static timer_t one, two;

static void start(timer_t *which, long milliseconds)
{
    struct itimerspec once = {.it_value = {0, milliseconds * 1000000}};
    CHECK(timer_settime(*which, 0, &once, NULL) == 0);
}

static void prepare(void)
{
    struct sockaddr_storage none = {.ss_family = AF_UNIX};
    CHECK(pipe(ends) == 0 && pipe(full) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    CHECK(fcntl(full[1], F_SETFL, O_NONBLOCK) == 0);
    static char much[1 << 16];
    while (write(full[1], much, sizeof much) > 0)
        ;
    CHECK(fcntl(full[1], F_SETFL, 0) == 0);
    CHECK((listener = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    CHECK(bind(listener, (void *)&none, sizeof(sa_family_t)) == 0 && listen(listener, 1) == 0);
    epoll = epoll_create1(0), event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    queue = msgget(IPC_PRIVATE, 0600), semaphores = semget(IPC_PRIVATE, 1, 0600);
    char name[] = "/tmp/lock-XXXXXX";
    int other = mkstemp(name);
    locked = open(name, O_RDWR);
    CHECK(other >= 0 && locked >= 0 && unlink(name) == 0 && flock(other, LOCK_EX) == 0);
    CHECK(fcntl(other, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK}) == 0);
    CHECK((child = fork()) >= 0);
    if (child == 0) {
        sleep(20);
        _exit(0);
    }
    char directory[] = "/tmp/fifo-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0 && mkfifo("fifo", 0600) == 0);
}

static void clean(void)
{
    char directory[100];
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(semaphores, 0, IPC_RMID) == 0);
    CHECK(unlink("fifo") == 0 && getcwd(directory, sizeof directory) && rmdir(directory) == 0);
}

int main(void)
{
    struct sigaction action = {.sa_handler = note};
    struct sigevent event_one = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct sigevent event_two = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    prepare();
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(timer_create(CLOCK_MONOTONIC, &event_one, &one) == 0);
    CHECK(timer_create(CLOCK_MONOTONIC, &event_two, &two) == 0);
    for (int restart = 0; restart < 2; restart++) {
        puts(restart ? "SA_RESTART" : "plain");
        action.sa_flags = restart ? SA_RESTART : 0;
        CHECK(sigaction(SIGALRM, &action, NULL) == 0);
        CALLS(TRY)
    }
    clean();
}
