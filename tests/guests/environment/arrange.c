/* Prepares process state that a shell cannot express, then becomes the command after "--".
 * Items: fd=N close=N ignore=SIG block=SIG umask=OCTAL nice=N env=NAME=VALUE limit=WHICH:SOFT:HARD
 * pipefd=N. The first env= item replaces the whole environment. */
#include "check.h"
#include <sys/resource.h>
#include <sys/stat.h>

extern char **environ;
static char *environment[1000];
static int variables;

/* A readable descriptor, or one end of a pipe, at exactly this number. */
static void open_at(int number, int make_pipe)
{
    int ends[2];
    CHECK(!make_pipe || pipe2(ends, O_CLOEXEC) == 0);
    int file = make_pipe ? ends[0] : open("/dev/zero", O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    if (file == number)
        CHECK(fcntl(file, F_SETFD, 0) == 0);
    else
        CHECK(dup2(file, number) == number);
}

static void limit(const char *text)
{
    int which;
    long soft, hard;
    CHECK(sscanf(text, "%d:%ld:%ld", &which, &soft, &hard) == 3);
    struct rlimit value = {(rlim_t)soft, (rlim_t)hard};
    CHECK(setrlimit((__rlimit_resource_t)which, &value) == 0);
}

static void block(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

static void arrange(char *item)
{
    char *value = strchr(item, '=');
    CHECK(value != NULL);
    *value++ = 0;
    int number = atoi(value);
    if (strcmp(item, "fd") == 0)
        open_at(number, 0);
    else if (strcmp(item, "pipefd") == 0)
        open_at(number, 1);
    else if (strcmp(item, "close") == 0)
        close(number);
    else if (strcmp(item, "ignore") == 0)
        CHECK(signal(number, SIG_IGN) != SIG_ERR);
    else if (strcmp(item, "block") == 0)
        block(number);
    else if (strcmp(item, "umask") == 0)
        umask((mode_t)strtol(value, NULL, 8));
    else if (strcmp(item, "nice") == 0)
        CHECK(setpriority(PRIO_PROCESS, 0, number) == 0);
    else if (strcmp(item, "env") == 0)
        environment[variables++] = value;
    else if (strcmp(item, "limit") == 0)
        limit(value);
    else
        CHECK(!"an item this program knows");
}

int main(int argc, char **argv)
{
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++)
        arrange(argv[at]);
    CHECK(at + 1 < argc);
    execvpe(argv[at + 1], argv + at + 1, variables ? environment : environ);
    CHECK(!"the command can be executed");
}
