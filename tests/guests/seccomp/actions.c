/* What each action does to a call, and to the thread and process that made it. */
#include "filters.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <sys/time.h>

static volatile siginfo_t seen;
static volatile long seen_rax, seen_rip;

static void note(int signal, siginfo_t *info, void *context)
{
    CHECK(signal == SIGSYS);
    seen = *info;
    gregset_t *regs = &((ucontext_t *)context)->uc_mcontext.gregs;
    seen_rax = (*regs)[REG_RAX];
    seen_rip = (*regs)[REG_RIP];
    (*regs)[REG_RAX] = 4711;
}

static void catch_sigsys(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
}

static void errors_are_returned_and_the_call_is_not_made(void)
{
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, 0) == 0);
    CHECK_ERROR(syscall(SYS_getppid), EXDEV);
    CHECK(answer_call_with(SYS_getpgrp, SECCOMP_RET_ERRNO, 0) == 0);
    CHECK(syscall(SYS_getpgrp) == 0);
    CHECK(answer_call_with(SYS_getsid, SECCOMP_RET_ERRNO | 0xffff, 0) == 0);
    CHECK_ERROR(syscall(SYS_getsid, 0), 4095);
    /* Emulated calls, too. */
    CHECK(answer_call_with(SYS_munmap, SECCOMP_RET_ERRNO | ENOTTY, 0) == 0);
    char *memory = map_private(PAGE, PROT_READ | PROT_WRITE);
    CHECK_ERROR(munmap(memory, PAGE), ENOTTY);
    memory[0] = 1;
    /* A newer filter of the same action wins, a sharper one always. */
    CHECK(answer_call_with(SYS_getsid, SECCOMP_RET_ERRNO | EDOM, 0) == 0);
    CHECK_ERROR(syscall(SYS_getsid, 0), EDOM);
    CHECK(answer_call_with(SYS_getsid, SECCOMP_RET_LOG, SECCOMP_FILTER_FLAG_LOG) == 0);
    CHECK(answer_call_with(SYS_getsid, SECCOMP_RET_TRACE | 5, SECCOMP_FILTER_FLAG_SPEC_ALLOW) == 0);
    CHECK_ERROR(syscall(SYS_getsid, 0), EDOM);
    CHECK(answer_call_with(SYS_gettid, SECCOMP_RET_LOG, 0) == 0);
    CHECK(syscall(SYS_gettid) == getpid());
    CHECK(answer_call_with(SYS_getuid, SECCOMP_RET_TRACE | 5, 0) == 0);
    CHECK_ERROR(syscall(SYS_getuid), ENOSYS);
    CHECK(answer_call_with(SYS_getgid, SECCOMP_RET_USER_NOTIF, 0) == 0);
    CHECK_ERROR(syscall(SYS_getgid), ENOSYS);
}

static void traps_tell_the_handler_what_was_called(void)
{
    catch_sigsys();
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_TRAP | 0x123, 0) == 0);
    CHECK(syscall(SYS_getppid) == 4711);
    CHECK(seen.si_code == 1 && seen.si_errno == 0x123 && seen.si_syscall == SYS_getppid);
    CHECK(seen.si_arch == AUDIT_ARCH_X86_64);
    CHECK((long)seen.si_call_addr == seen_rip && seen_rax == SYS_getppid);
    CHECK(((unsigned char *)seen_rip)[-2] == 0x0f && ((unsigned char *)seen_rip)[-1] == 0x05);
    /* Numbers have 32 bits. */
    CHECK(answer_call_with(-5, SECCOMP_RET_TRAP, 0) == 0);
    CHECK(syscall(0x1234567800000000L | (unsigned)-5) == 4711);
    CHECK(seen.si_syscall == -5 && seen.si_errno == 0);
}

static void trap_with_the_signal_blocked(void)
{
    catch_sigsys();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_TRAP, 0) == 0);
    syscall(SYS_getppid);
}

static void trap_with_the_signal_ignored(void)
{
    signal(SIGSYS, SIG_IGN);
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_TRAP, 0) == 0);
    syscall(SYS_getppid);
}

static void killed_with_a_handler(unsigned action)
{
    catch_sigsys();
    CHECK(answer_call_with(SYS_getppid, action, 0) == 0);
    syscall(SYS_getppid);
}

static void killed_as_thread(void) { killed_with_a_handler(SECCOMP_RET_KILL_THREAD); }
static void killed_as_process(void) { killed_with_a_handler(SECCOMP_RET_KILL_PROCESS); }
static void killed_by_an_unknown_action(void) { killed_with_a_handler(0x00010000); }

/* Divides by the call's first argument. */
static void division(unsigned long divisor)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NOBODYS_CALL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_IMM, 100),
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    CHECK(install(code, 9, 0) == 0);
    CHECK_ERROR(syscall(NOBODYS_CALL, divisor), 14);
}

static void division_by_a_number(void) { division(7); }
static void division_by_zero(void) { division(1UL << 32); }

static pthread_t leader;

static void *call_getppid(void *unused)
{
    syscall(SYS_getppid);
    return unused;
}

static void another_thread_is_killed_alone(void)
{
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call_getppid, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    _exit(33);
}

static void *outlive_the_leader(void *unused)
{
    CHECK(pthread_join(leader, NULL) == 0);
    syscall(SYS_exit, 5);
    return unused;
}

static void leader_is_killed_alone(void)
{
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0) == 0);
    leader = pthread_self();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, outlive_the_leader, NULL) == 0);
    syscall(SYS_getppid);
}

static void another_thread_kills_all(void)
{
    CHECK(answer_call_with(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call_getppid, NULL) == 0);
    pthread_join(thread, NULL);
    _exit(33);
}

static void strict(void (*then)(void))
{
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    CHECK(write(1, "strict\n", 7) == 7);
    then();
    syscall(SYS_exit, 44);
}

static void nothing(void) {}
static void ask_for_own_id(void) { syscall(SYS_getpid); }
static void in_strict_mode(void) { strict(nothing); }
static void beyond_strict_mode(void) { strict(ask_for_own_id); }
static void end_the_process(void) { _exit(0); }
static void exit_group_in_strict_mode(void) { strict(end_the_process); }

static void filters_after_strict_mode(void)
{
    CHECK(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL) == 0);
    answer_call_with(SYS_getppid, SECCOMP_RET_ALLOW, 0);
}

static void *become_strict_and_die(void *unused)
{
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    syscall(SYS_getpid);
    return unused;
}

static void strictness_of_one_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, become_strict_and_die, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(prctl(PR_GET_SECCOMP) == 0);
    _exit(55);
}

static long (*const time_)(long *) = (long (*)(long *))0xffffffffff600400;

static void call_legacy_time(void) { time_(NULL); }

/* The legacy page: its calls are filtered like all others, where the host has it. */
static void calls_into_the_vsyscall_page(void)
{
    if (status_of_child(call_legacy_time) == SIGSEGV)
        return;
    long (*gettimeofday_)(void *, void *) = (long (*)(void *, void *))0xffffffffff600000;
    long (*getcpu_)(unsigned *, unsigned *, void *) = (void *)0xffffffffff600800;
    struct timeval now = {0};
    unsigned cpu = -1;
    CHECK(time_(NULL) > 1000000000 && gettimeofday_(&now, NULL) == 0 && now.tv_sec > 1000000000);
    CHECK(getcpu_(&cpu, NULL, NULL) == 0 && cpu < 100000);
    CHECK(answer_call_with(SYS_time, SECCOMP_RET_ERRNO | EDOM, 0) == 0);
    CHECK(time_(NULL) == -EDOM);
    catch_sigsys();
    CHECK(answer_call_with(SYS_gettimeofday, SECCOMP_RET_TRAP | 3, 0) == 0);
    CHECK(gettimeofday_(&now, NULL) == 4711);
    CHECK((unsigned long)seen.si_call_addr == 0xffffffffff600000 && seen.si_errno == 3);
    CHECK(answer_call_with(SYS_getcpu, SECCOMP_RET_KILL_PROCESS, 0) == 0);
    getcpu_(&cpu, NULL, NULL);
}

int main(void)
{
    give_up_privileges();
    struct {
        const char *name;
        void (*f)(void);
    } all[] = {
        {"errors", errors_are_returned_and_the_call_is_not_made},
        {"traps", traps_tell_the_handler_what_was_called},
        {"blocked trap", trap_with_the_signal_blocked},
        {"ignored trap", trap_with_the_signal_ignored},
        {"kill thread", killed_as_thread},
        {"kill process", killed_as_process},
        {"unknown action", killed_by_an_unknown_action},
        {"division", division_by_a_number},
        {"division by zero", division_by_zero},
        {"kill another", another_thread_is_killed_alone},
        {"kill leader", leader_is_killed_alone},
        {"another kills", another_thread_kills_all},
        {"strict", in_strict_mode},
        {"beyond strict", beyond_strict_mode},
        {"exit_group in strict", exit_group_in_strict_mode},
        {"filter after strict", filters_after_strict_mode},
        {"one strict thread", strictness_of_one_thread},
        {"vsyscall page", calls_into_the_vsyscall_page},
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        printf("%s: %#x\n", all[i].name, status_of_child(all[i].f));
    return 0;
}
