/* What system calls cost: alone, and handing over between two threads or processes.
 * cost NAME MILLISECONDS goes on for about that long and prints the nanoseconds of a round, which are the
 * mean and not the quickest: time that the program waits for a processor is part of what its calls cost. */
#include "check.h"
#include <arpa/inet.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Rounds between two looks at the clock take this long, natively long enough for it not to count. */
#define BATCH_NS 1e6

static int file, there[2], back[2];
static char page[PAGE];

static double now(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Alone. */

static void nothing(void)
{
}

static void zero(void)
{
    file = open("/dev/zero", O_RDONLY);
    CHECK(file >= 0);
}

static void null(void)
{
    file = open_null(O_WRONLY);
}

static void one_page(void)
{
    file = unnamed_file(PAGE);
    CHECK(pwrite(file, page, PAGE, 0) == PAGE);
}

static void call_getppid(void)
{
    CHECK(getppid() > 0);
}

static void call_read(void)
{
    CHECK(read(file, page, 1) == 1);
}

static void call_write(void)
{
    CHECK(write(file, page, 1) == 1);
}

static void call_fstat(void)
{
    struct stat status;
    CHECK(fstat(file, &status) == 0);
}

static void call_lseek(void)
{
    CHECK(lseek(file, 0, SEEK_SET) == 0);
}

static void call_pread(void)
{
    CHECK(pread(file, page, PAGE, 0) == PAGE);
}

static void open_close(void)
{
    int opened = open("/etc/passwd", O_RDONLY);
    CHECK(opened >= 0 && close(opened) == 0);
}

/* By two pipes. The other side ends when the pipe to it is closed. */

static void *echo(void *unused)
{
    char byte;
    while (read(there[0], &byte, 1) == 1)
        CHECK(write(back[1], &byte, 1) == 1);
    return unused;
}

static pthread_t thread;
static pid_t child;

static void make_pipes(void)
{
    CHECK(pipe(there) == 0 && pipe(back) == 0);
}

static void pipes_to_thread(void)
{
    make_pipes();
    CHECK(pthread_create(&thread, NULL, echo, NULL) == 0);
}

static void pipes_to_process(void)
{
    make_pipes();
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(there[1]);
        echo(NULL);
        _exit(0);
    }
}

static void ping(void)
{
    char byte = 1;
    CHECK(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1);
}

static void end_thread(void)
{
    close(there[1]);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void reap(void)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void end_process(void)
{
    close(there[1]);
    reap();
}

/* By a futex: whose turn it is. */

enum { OURS, THEIRS, END };
static int turn = OURS;

static void give(int whom)
{
    __atomic_store_n(&turn, whom, __ATOMIC_SEQ_CST);
    CHECK(syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) >= 0);
}

/* Returns whose turn it is once it is no longer theirs or ours, as told. */
static int wait_while(int whom)
{
    int whose;
    while ((whose = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) == whom)
        CHECK(syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, whom, NULL, NULL, 0) == 0 ||
              errno == EAGAIN || errno == EINTR);
    return whose;
}

static void *take_turns(void *unused)
{
    while (wait_while(OURS) != END)
        give(OURS);
    return unused;
}

static void start_turns(void)
{
    CHECK(pthread_create(&thread, NULL, take_turns, NULL) == 0);
}

static void hand_over(void)
{
    give(THEIRS);
    wait_while(THEIRS);
}

static void end_turns(void)
{
    give(END);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* By a connection over loopback, each side waiting in epoll. */

static int connection, events;

static int epoll_of(int socket)
{
    int made = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event readable = {.events = EPOLLIN};
    CHECK(made >= 0 && epoll_ctl(made, EPOLL_CTL_ADD, socket, &readable) == 0);
    return made;
}

static ssize_t receive(void)
{
    struct epoll_event event;
    CHECK(epoll_wait(events, &event, 1, -1) == 1);
    return recv(connection, page, 64, 0);
}

static void serve(int listener)
{
    connection = accept(listener, NULL, NULL);
    CHECK(connection >= 0);
    events = epoll_of(connection);
    while (receive() > 0)
        CHECK(send(connection, page, 64, 0) == 64);
    _exit(0);
}

static void connect_to_process(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0);
    CHECK(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        serve(listener);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connection >= 0 && connect(connection, (struct sockaddr *)&address, size) == 0);
    events = epoll_of(connection);
}

static void ask(void)
{
    CHECK(send(connection, page, 64, 0) == 64 && receive() == 64);
}

static void disconnect(void)
{
    close(connection);
    reap();
}

static const struct workload {
    const char *name;
    void (*begin)(void), (*round)(void), (*end)(void);
} WORKLOADS[] = {
    {"getppid", nothing, call_getppid, nothing},
    {"read", zero, call_read, nothing},
    {"write", null, call_write, nothing},
    {"fstat", one_page, call_fstat, nothing},
    {"lseek", one_page, call_lseek, nothing},
    {"pread", one_page, call_pread, nothing},
    {"open-close", nothing, open_close, nothing},
    {"pipe-threads", pipes_to_thread, ping, end_thread},
    {"pipe-processes", pipes_to_process, ping, end_process},
    {"futex", start_turns, hand_over, end_turns},
    {"epoll", connect_to_process, ask, disconnect},
};

static double batch(void (*round)(void), long rounds)
{
    double started = now();
    for (long i = 0; i < rounds; i++)
        round();
    return now() - started;
}

/* Batches become as long as they should be before anything counts: by then all pages are there. */
static double mean_of(void (*round)(void), double at_least)
{
    long rounds = 1;
    while (batch(round, rounds) < BATCH_NS)
        rounds *= 2;
    double spent = 0, done = 0;
    while (spent < at_least) {
        spent += batch(round, rounds);
        done += rounds;
    }
    return spent / done;
}

int main(int count_of_arguments, char **arguments)
{
    double started = now();
    CHECK(count_of_arguments == 3);
    for (size_t i = 0; i < sizeof WORKLOADS / sizeof *WORKLOADS; i++) {
        const struct workload *it = &WORKLOADS[i];
        if (strcmp(arguments[1], it->name) != 0)
            continue;
        it->begin();
        printf("round_ns %.2f\n", mean_of(it->round, atof(arguments[2]) * 1e6));
        it->end();
        printf("total_ns %.0f\n", now() - started);
        return 0;
    }
    fprintf(stderr, "no workload %s\n", arguments[1]);
    return 1;
}
