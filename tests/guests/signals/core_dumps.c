/* What a parent learns of a death by a signal: the signal, and whether memory was dumped. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

int main(void)
{
    int numbers[] = {SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGSYS, SIGXCPU, SIGTERM, SIGUSR1};
    char directory[] = "/tmp/core-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int how = 0; how < 3; how++) {
            struct rlimit limit = {how ? RLIM_INFINITY : 0, how ? RLIM_INFINITY : 0};
            int status;
            struct rlimit now;
            CHECK(getrlimit(RLIMIT_CORE, &now) == 0);
            if (how && now.rlim_max != RLIM_INFINITY)
                continue;
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                CHECK(setrlimit(RLIMIT_CORE, &limit) == 0);
                CHECK(how != 2 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
                if (numbers[i] == SIGSEGV)
                    *(volatile char *)8 = 1;
                raise(numbers[i]);
                _exit(1);
            }
            CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
            printf("%s dumped %d\n", strsignal(WTERMSIG(status)), !!WCOREDUMP(status));
        }
    fflush(stdout);
    CHECK(system("rm -f core core.*") == 0 && chdir("/") == 0 && rmdir(directory) == 0);
}
