/* repeat WHAT: for each number on standard input does WHAT so many times, then prints the processes that it
 * started. A test looks in between at what the process holds. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

#define AT_ONCE 4

static void *nothing(void *argument)
{
    volatile char stack[16 * PAGE];
    stack[0] = stack[8 * PAGE] = 1;
    return argument;
}

static void threads(void)
{
    pthread_t started[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        CHECK(pthread_create(&started[i], NULL, nothing, NULL) == 0);
    for (int i = 0; i < AT_ONCE; i++)
        CHECK(pthread_join(started[i], NULL) == 0);
}

static void forks(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(3);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
    printf("%d ", child);
}

static void *waits(void *forever)
{
    for (;;)
        pause();
    return forever;
}

/* Another thread is there, which the kernel ends. */
static void execute(const char *what, int left)
{
    char number[20];
    pthread_t other;
    snprintf(number, sizeof number, "%d", left);
    CHECK(pthread_create(&other, NULL, waits, NULL) == 0);
    execl("/proc/self/exe", "repeat", what, number, NULL);
    CHECK(!"execl returns");
}

/* Byte by byte: what follows is the next image's. */
static int next_number(void)
{
    int number = 0;
    char digit;
    while (read(0, &digit, 1) == 1) {
        if (digit == '\n')
            return number;
        number = number * 10 + digit - '0';
    }
    exit(0);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    setlinebuf(stdout);
    int left = argc > 2 ? atoi(argv[2]) : next_number();
    for (;; left = next_number()) {
        for (; left > 0; left--) {
            if (strcmp(argv[1], "threads") == 0)
                threads();
            else if (strcmp(argv[1], "forks") == 0)
                forks();
            else
                execute(argv[1], left - 1);
        }
        puts("done");
    }
}
