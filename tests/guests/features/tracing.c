/* Who traces whom: tracing [traceme|attach|seize|others]. */
#include "check.h"
#include <sys/ptrace.h>
#include <sys/wait.h>

static void answer(const char *name, long answer_)
{
    printf("%s: %s\n", name, answer_ == -1 ? strerror(errno) : "works");
    fflush(stdout);
}

int main(void)
{
    pid_t child = fork();
    if (child == 0) {
        answer("traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
        _exit(5);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 5 << 8);
    answer("attach to nobody", ptrace(PTRACE_ATTACH, child, NULL, NULL));
    child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    answer("attach", ptrace(PTRACE_ATTACH, child, NULL, NULL));
    answer("seize", ptrace(PTRACE_SEIZE, child, NULL, NULL));
    answer("peek", ptrace(PTRACE_PEEKDATA, child, &child, NULL));
    answer("continue", ptrace(PTRACE_CONT, child, NULL, NULL));
    answer("detach", ptrace(PTRACE_DETACH, child, NULL, NULL));
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}
