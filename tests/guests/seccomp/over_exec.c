/* over_exec HOW PROGRAM [ARG...]: executes a program behind filters. `over_exec check` is one that says
 * what is left of them. */
#include "filters.h"

static void check(void)
{
    errno = 0;
    long answer = syscall(SYS_getsid, 0);
    printf("getsid %s %s,", answer < 0 ? "fails" : "succeeds", strerror(errno));
    errno = 0;
    answer = syscall(NOBODYS_CALL);
    printf(" nobody's call fails %s,", strerror(errno));
    printf(" no_new_privs %d, mode %d,", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
           prctl(PR_GET_SECCOMP));
    /* What came last is asked first, and may add to the others. */
    answer = answer_call_with(NOBODYS_CALL, SECCOMP_RET_ERRNO | EDOM, 0);
    printf(" one more %s,", answer == 0 ? "is taken" : strerror(errno));
    errno = 0;
    syscall(NOBODYS_CALL);
    printf(" then %s\n", strerror(errno));
    fflush(stdout);
}

/* Two filters, the first by prctl(2), the second of which lets neither through but seccomp(2). */
static void install_both(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(answer_call_with(SYS_execveat, SECCOMP_RET_KILL_PROCESS, 0) == 0);
    CHECK(answer_call_with(NOBODYS_CALL, SECCOMP_RET_ERRNO | EUCLEAN, 0) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    if (strcmp(argv[1], "check") == 0) {
        check();
        return 0;
    }
    if (strcmp(argv[1], "privileged") != 0)
        give_up_privileges();
    if (strcmp(argv[1], "strict-arguments") == 0) {
        /* execve(2) may be called, but of all its uses only with two null arguments. */
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        CHECK(install(code, 6, 0) == 0);
        CHECK_ERROR(execv(argv[2], argv + 2), ENOTTY);
        execve(argv[2], argv + 2, NULL);
    } else {
        install_both();
        execv(argv[2], argv + 2);
    }
    perror(argv[2]);
    return 1;
}
