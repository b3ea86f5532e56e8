/* Prints what a process inherits or starts with: directory, limits, ids, priorities, name and more. */
#include "check.h"
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void limits(void)
{
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit value;
        CHECK(getrlimit((__rlimit_resource_t)i, &value) == 0);
        printf("limit %d: %lld %lld\n", i, (long long)value.rlim_cur, (long long)value.rlim_max);
    }
}

static void identity(void)
{
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0);
    printf("user %d %d %d\n", real, effective, saved);
    CHECK(getresgid(&real, &effective, &saved) == 0);
    printf("group %d %d %d\n", real, effective, saved);
    printf("leads its group: %d, its session: %d\n", getpgrp() == getpid(), getsid(0) == getpid());
    printf("supplementary groups: %d\n", getgroups(0, NULL));
}

static void process_attributes(void)
{
    char name[17] = "";
    CHECK(prctl(PR_GET_NAME, name) == 0);
    printf("name %s\n", name);
    printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    printf("no new privileges %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("death signal %d\n", (prctl(PR_GET_PDEATHSIG, name), name[0]));
    printf("timer slack %d\n", prctl(PR_GET_TIMERSLACK));
    printf("subreaper %d\n", (prctl(PR_GET_CHILD_SUBREAPER, name), name[0]));
    printf("keeps capabilities %d\n", prctl(PR_GET_KEEPCAPS));
    printf("secure computing %d\n", prctl(PR_GET_SECCOMP));
    printf("personality %#x\n", personality(0xffffffff));
    printf("locked memory %d\n", mlockall(0) == -1 ? errno : 0);
}

static void scheduling(void)
{
    cpu_set_t processors;
    CHECK(sched_getaffinity(0, sizeof processors, &processors) == 0);
    printf("nice %d, policy %d, processors %d\n", getpriority(PRIO_PROCESS, 0),
           sched_getscheduler(0), CPU_COUNT(&processors));
}

static void alarms(void)
{
    stack_t stack;
    CHECK(sigaltstack(NULL, &stack) == 0);
    printf("alarm %u, alternate stack %s\n", alarm(0), stack.ss_flags & SS_DISABLE ? "off" : "on");
}

int main(void)
{
    char directory[4096];
    printf("directory %s\n", getcwd(directory, sizeof directory));
    mode_t mask = umask(0);
    printf("umask %03o\n", mask);
    limits();
    identity();
    process_attributes();
    scheduling();
    alarms();
    CHECK(getppid() > 0);
    puts("ok");
}
