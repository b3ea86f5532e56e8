/* A stop and a continuation without any handler: which calls go on with the time that is left, and which end. */
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

static const struct timespec span = {0, 400000000};
static uint32_t word;
static int sockets[2], ends[2];

static long call(int which)
{
    struct timeval time = {0, 400000};
    struct timespec until;
    switch (which) {
    case 0:
        return nanosleep(&span, NULL);
    case 1:
        return -(errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL));
    case 2:
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 400000000;
        until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
        return -(errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    case 3:
        return poll(NULL, 0, 400);
    case 4:
        return ppoll(NULL, 0, &span, NULL);
    case 5:
        return select(0, NULL, NULL, NULL, &time);
    case 6:
        return epoll_wait(epoll_create1(0), &(struct epoll_event){0}, 1, 400);
    case 7:
        return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &span, NULL, 0);
    case 8:
        return sigtimedwait(&(sigset_t){{1}}, NULL, &span);
    case 9:
        CHECK(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
        return recv(sockets[0], &word, 1, 0);
    default:
        return read(ends[0], &word, 1);
    }
}

static int tell(int which)
{
    struct timespec before, after;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    errno = 0;
    long result = call(which);
    int error = errno;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    long passed = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    printf("call %d: %ld %s %s\n", which, result < 0 ? -1 : result, error ? strerrorname_np(error) : "",
           passed < 390 ? "early" : "in time");
    fflush(stdout);
    return 0;
}

static volatile sig_atomic_t woken;

static void note(int number)
{
    (void)number;
    woken++;
}

static void stop_during(int which, int handled)
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
        if (handled)
            CHECK(sigaction(SIGCONT, &action, NULL) == 0);
        tell(which);
        CHECK(woken == handled);
        _exit(0);
    }
    usleep(120000);
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    usleep(30000);
    CHECK(kill(child, SIGCONT) == 0);
    if (which == 10) {
        usleep(450000);
        CHECK(write(ends[1], "w", 1) == 1);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int handled = 0; handled < 2; handled++)
        for (int which = 0; which <= 10; which++)
            stop_during(which, handled);
}
