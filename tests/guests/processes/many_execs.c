/* many_execs chain COUNT: a program that executes itself, counting down.
 * many_execs start COUNT: starts itself again and again, by posix_spawn, vfork and fork, three at once. */
#include "check.h"
#include <dirent.h>
#include <spawn.h>
#include <sys/wait.h>

#define ALIVE 3
#define SELF "/proc/self/exe"

static char *text(const char *format, long number)
{
    char *line = NULL;
    CHECK(asprintf(&line, format, number) > 0);
    return line;
}

static int descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* What was handed on: process id and descriptors stay, the environment and the arguments arrive. */
static void chain(int left, char **words)
{
    static char filled[64 * PAGE];
    CHECK(all_bytes(filled, sizeof filled, 0));
    memset(filled, 1, sizeof filled);
    CHECK(getenv("LEFT") == NULL || atoi(getenv("LEFT")) == left);
    pid_t pid = words ? atoi(words[0]) : getpid();
    int open_files = words ? atoi(words[1]) : descriptors();
    CHECK(getpid() == pid && descriptors() == open_files);
    if (left == 0)
        return;
    char *next[] = {"many_execs", "chain", text("%ld", left - 1), text("%ld", pid), text("%ld", open_files), NULL};
    char *variables[] = {text("LEFT=%ld", left - 1), NULL};
    execve(SELF, next, variables);
    CHECK(!"execve returns");
}

static pid_t start(int number)
{
    char *line[] = {"many_execs", "end", text("%ld", number), NULL};
    pid_t child;
    if (number % 3 == 0) {
        CHECK(posix_spawn(&child, SELF, NULL, NULL, line, environ) == 0);
        return child;
    }
    child = number % 3 == 1 ? vfork() : fork();
    if (child == 0) {
        execv(SELF, line);
        _exit(127);
    }
    CHECK(child > 0);
    return child;
}

static void starts(int count)
{
    pid_t alive[ALIVE] = {0};
    for (int number = 0; number < count + ALIVE; number++) {
        pid_t *place = &alive[number % ALIVE];
        int status;
        if (*place != 0)
            CHECK(waitpid(*place, &status, 0) == *place && WIFEXITED(status) &&
                  WEXITSTATUS(status) == ((number - ALIVE) & 63));
        *place = number < count ? start(number) : 0;
    }
    CHECK_ERROR(wait(NULL), ECHILD);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    int number = atoi(argv[2]);
    if (strcmp(argv[1], "end") == 0)
        return number & 63;
    if (strcmp(argv[1], "chain") == 0)
        chain(number, argc == 5 ? argv + 3 : NULL);
    else
        starts(number);
    printf("%s ok\n", argv[1]);
}
