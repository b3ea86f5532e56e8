/* Keys of a terminal stop and interrupt a program that does nothing but call, with all its threads. */
#include "calls.h"
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static volatile long *counters; /* Seen by all processes. */
static pid_t parent;

static void *count(void *number)
{
    for (;;) {
        CHECK(getppid() == parent);
        counters[(uintptr_t)number]++;
    }
    return NULL;
}

/* The job that has the terminal. */
static void be_the_job(void)
{
    parent = getppid();
    CHECK(setpgid(0, 0) == 0);
    CHECK(signal(SIGTTOU, SIG_IGN) != SIG_ERR && tcsetpgrp(0, getpid()) == 0 && signal(SIGTTOU, SIG_DFL) != SIG_ERR);
    start(count, (void *)1);
    count(NULL);
}

static int goes_on_counting(void)
{
    long first = counters[0], second = counters[1];
    for (double end = now() + 20; now() < end; usleep(1000))
        if (counters[0] > first && counters[1] > second)
            return 1;
    return 0;
}

static int stands_still(void)
{
    long first = counters[0], second = counters[1];
    usleep(150000);
    return counters[0] == first && counters[1] == second;
}

static void type(int master, char key)
{
    CHECK(write(master, &key, 1) == 1);
}

/* What a shell does with a job. */
static void be_the_session(int master)
{
    CHECK(setsid() == getpid());
    int terminal = open(ptsname(master), O_RDWR);
    CHECK(terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0 && dup2(terminal, 0) == 0);
    CHECK(signal(SIGTTOU, SIG_IGN) != SIG_ERR);
    int status;
    pid_t job = fork();
    CHECK(job >= 0);
    if (job == 0)
        be_the_job();
    CHECK(goes_on_counting());
    for (int i = 0; i < 4; i++) {
        type(master, 'Z' & 0x1f);
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
        CHECK(stands_still() && tcsetpgrp(0, job) == 0 && kill(-job, SIGCONT) == 0);
        CHECK(waitpid(job, &status, WCONTINUED) == job && WIFCONTINUED(status) && goes_on_counting());
    }
    type(master, 'C' & 0x1f);
    CHECK(waitpid(job, &status, 0) == job && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    _exit(0);
}

int main(void)
{
    counters = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int master = posix_openpt(O_RDWR | O_NOCTTY), status;
    CHECK(counters != MAP_FAILED && master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    pid_t session = fork();
    CHECK(session >= 0);
    if (session == 0)
        be_the_session(master);
    CHECK(waitpid(session, &status, 0) == session && status == 0);
    puts("stopped and interrupted");
}
