/* Scheduling, root directory, capabilities and users: what the host's thread has is the program's. */
#include "check.h"
#include <linux/capability.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int status_of_child(void (*f)(void))
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        f();
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void scheduling(void)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
        unsigned seen;
        CHECK(syscall(SYS_getcpu, &seen, NULL, NULL) == 0 && (int)seen == cpu);
        CHECK(sched_getcpu() == cpu);
    }
    CPU_ZERO(&one);
    CHECK_ERROR(sched_setaffinity(0, sizeof one, &one), EINVAL);
    struct sched_param none = {0}, some = {1};
    CHECK(sched_setscheduler(0, SCHED_BATCH, &none) == 0 && sched_getscheduler(0) == SCHED_BATCH);
    CHECK_ERROR(sched_setscheduler(0, SCHED_BATCH, &some), EINVAL);
    printf("first in, first out: %d,", sched_setscheduler(0, SCHED_FIFO, &some));
    printf(" now %d,", sched_getscheduler(0));
    CHECK(sched_setscheduler(0, SCHED_OTHER, &none) == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, 7) == 0 && getpriority(PRIO_PROCESS, 0) == 7);
    printf(" nicer %d\n", setpriority(PRIO_PROCESS, 0, 3));
    sched_yield();
}

static void capabilities(unsigned *effective, unsigned *permitted)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    CHECK(syscall(SYS_capget, &header, sets) == 0);
    *effective = sets[0].effective;
    *permitted = sets[0].permitted;
}

static void nothing_may_be_done(void)
{
    unsigned effective, permitted;
    capabilities(&effective, &permitted);
    CHECK(effective == 0 && permitted == 0);
    CHECK_ERROR(chroot("/"), EPERM);
    CHECK_ERROR(sethostname("x", 1), EPERM);
    CHECK(status_of_child((void (*)(void))getpid) == 0);
}

static void without_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0}, old = {0, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    CHECK_ERROR(syscall(SYS_capget, &old, none), EINVAL);
    CHECK(old.version == _LINUX_CAPABILITY_VERSION_3);
    printf("bounding set: %d,", prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
    printf(" then %d\n", prctl(PR_CAPBSET_READ, CAP_SYS_TIME, 0, 0, 0));
    CHECK(syscall(SYS_capset, &header, none) == 0);
    nothing_may_be_done();
    execl("/bin/sh", "sh", "-c", "id -u", NULL);
}

static void as_nobody(void)
{
    if (getuid() != 0)
        return;
    CHECK(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0);
    CHECK(setresuid(65534, 65534, 65534) == 0);
    CHECK_ERROR(setuid(0), EPERM);
    nothing_may_be_done();
    CHECK(status_of_child(nothing_may_be_done) == 0);
    CHECK_ERROR(open("/etc/shadow", O_RDONLY), EACCES);
    execl("/bin/sh", "sh", "-c", "id -u; id -g; /bin/true && echo true", NULL);
}

static void in_another_root(void)
{
    if (getuid() != 0)
        return;
    char directory[] = "/tmp/vmmload-root-XXXXXX";
    CHECK(mkdtemp(directory) != NULL && chroot(directory) == 0 && chdir("/") == 0);
    CHECK_ERROR(open("/bin/sh", O_RDONLY), ENOENT);
    CHECK(mkdir("/here", 0755) == 0 && rmdir("/here") == 0);
    CHECK(status_of_child((void (*)(void))getpid) == 0);
    CHECK_ERROR(execl("/bin/sh", "sh", NULL), ENOENT);
}

int main(void)
{
    void (*all[])(void) = {scheduling, without_capabilities, as_nobody, in_another_root};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        printf("%u: %#x\n", i, status_of_child(all[i]));
    return system("rmdir /tmp/vmmload-root-?????? 2>/dev/null") == -1;
}
