/* Short filters, and how they are installed. */
#ifndef FILTERS_H
#define FILTERS_H
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif

/* A call that no kernel has, and its neighbours. */
#define NOBODYS_CALL 4000

static inline long seccomp(unsigned operation, unsigned flags, void *argument)
{
    return syscall(SYS_seccomp, operation, flags, argument);
}

static inline long install(struct sock_filter *code, unsigned short length, unsigned flags)
{
    struct sock_fprog program = {length, code};
    return seccomp(SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* Answers `answer` to call `number` and lets all others through. */
static inline long answer_call_with(int number, unsigned answer, unsigned flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return install(code, 4, flags);
}

static inline void give_up_privileges(void)
{
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

/* The status with which a child ends that calls f. */
static inline int status_of_child(void (*f)(void))
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        f();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status & ~0x80; /* Whether there was a core dump is the limits' affair. */
}
#endif
