/* No wake-up is lost between a check and the call that waits: two processes take turns by signals alone, each
 * time with another call, and a thread is woken by signals that come at any moment. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

static volatile sig_atomic_t turns;

static void note(int number)
{
    (void)number;
    turns++;
}

/* Waits for a signal that is blocked otherwise. */
static void wait_for_turn(int how, const sigset_t *open, int epoll)
{
    struct epoll_event event;
    sigset_t set;
    int number;
    switch (how) {
    case 0:
        CHECK_ERROR(sigsuspend(open), EINTR);
        break;
    case 1:
        CHECK_ERROR(ppoll(NULL, 0, NULL, open), EINTR);
        break;
    case 2:
        CHECK_ERROR(pselect(0, NULL, NULL, NULL, NULL, open), EINTR);
        break;
    case 3:
        CHECK_ERROR(epoll_pwait(epoll, &event, 1, -1, open), EINTR);
        break;
    default:
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        CHECK(sigwait(&set, &number) == 0 && number == SIGUSR1);
        turns++;
    }
}

static void play(pid_t other, int rounds, const sigset_t *open)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 1; i <= rounds; i++) {
        while (turns < i)
            wait_for_turn(i % 5, open, epoll);
        CHECK(turns == i && (i == rounds || other == 0 || kill(other, SIGUSR1) == 0));
        if (other == 0)
            CHECK(kill(getppid(), SIGUSR1) == 0);
    }
}

static volatile int stop;

static void *pester(void *thread)
{
    while (!stop) {
        CHECK(pthread_kill(*(pthread_t *)thread, SIGUSR2) == 0);
        usleep(300);
    }
    return NULL;
}

/* Reads from a pipe in which something always comes, while signals come, too: nothing is lost or doubled. */
static void whole_transfers(void)
{
    int ends[2], rounds = part_of(1500);
    pthread_t self = pthread_self(), thread;
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0 && pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 0; i < rounds; i++)
            CHECK(write(ends[1], &i, sizeof i) == sizeof i);
        _exit(0);
    }
    CHECK(pthread_create(&thread, NULL, pester, &self) == 0);
    for (int i = 0, value; i < rounds; i++)
        CHECK(read(ends[0], &value, sizeof value) == sizeof value && value == i);
    stop = 1;
    CHECK(pthread_join(thread, NULL) == 0 && waitpid(child, NULL, 0) == child);
}

int main(void)
{
    sigset_t set, open;
    int status, rounds = part_of(500);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(signal(SIGUSR1, note) != SIG_ERR && sigprocmask(SIG_BLOCK, &set, &open) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        play(0, rounds, &open);
        _exit(0);
    }
    CHECK(kill(child, SIGUSR1) == 0);
    play(child, rounds, &open);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    whole_transfers();
    puts("ok");
}
