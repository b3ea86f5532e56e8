/* Starts another process in the way its argument names, and tells how that went. */
#include "check.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int tell(const char *how, long result)
{
    if (result == -1)
        printf("%s: %s\n", how, strerror(errno));
    else
        printf("%s: done\n", how);
    fflush(stdout);
    return result == -1 ? errno : 0;
}

static long and_wait(pid_t child)
{
    if (child == 0)
        _exit(0);
    return child == -1 ? -1 : waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    char *words[] = {"true", NULL};
    if (strcmp(how, "fork") == 0)
        return tell(how, and_wait(fork()));
    if (strcmp(how, "vfork") == 0)
        return tell(how, and_wait(vfork()));
    if (strcmp(how, "clone") == 0)
        return tell(how, and_wait((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
    if (strcmp(how, "execve") == 0)
        return tell(how, execve("/bin/true", words, environ));
    if (strcmp(how, "execveat") == 0)
        return tell(how, syscall(SYS_execveat, AT_FDCWD, "/bin/true", words, environ, 0));
    if (strcmp(how, "posix_spawn") == 0) {
        pid_t child;
        errno = posix_spawn(&child, "/bin/true", NULL, NULL, words, environ);
        return tell(how, errno ? -1 : waitpid(child, NULL, 0));
    }
    return 99;
}
