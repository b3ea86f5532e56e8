/* Filters judge frequent calls, of all threads and from the moment on that they are installed; a trap tells where the
 * call is. */
#include "code.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucontext.h>

static pid_t parent;

/* Answers `answer` to call `number` if its first argument is `first`, or -1, and lets all others through. */
static void answer_call_with(unsigned number, unsigned first, unsigned answer, unsigned flags)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, -1U, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    /* Whatever the first argument is. */
    if (first == -1U)
        code[3] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA | BPF_K, 1);
    struct sock_fprog program = {7, code};
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0);
}

static void errors(void)
{
    char byte;
    int first = open_null(O_RDWR), second = open_null(O_RDWR);
    struct effort effort_ = effort(50000, 0.2);
    while (goes_on(&effort_))
        CHECK(getppid() == parent && write(first, "x", 1) == 1 && write(second, "x", 1) == 1);
    answer_call_with(SYS_getppid, -1U, SECCOMP_RET_ERRNO | EXDEV, 0);
    answer_call_with(SYS_write, (unsigned)first, SECCOMP_RET_ERRNO | EDOM, 0);
    effort_ = effort(50000, 0.4);
    while (goes_on(&effort_)) {
        CHECK_ERROR(syscall(SYS_getppid), EXDEV);
        CHECK(getppid() == -EXDEV && getpid() > 0);
        CHECK_ERROR(write(first, "x", 1), EDOM);
        CHECK(write(second, "x", 1) == 1 && read(second, &byte, 1) == 0);
    }
    puts("errors");
}

static volatile long expected_address, seen;

static void note(int signal, siginfo_t *info, void *context)
{
    gregset_t *registers = &((ucontext_t *)context)->uc_mcontext.gregs;
    CHECK(signal == SIGSYS && info->si_syscall == SYS_getppid && info->si_arch == AUDIT_ARCH_X86_64);
    CHECK((long)info->si_call_addr == expected_address && (*registers)[REG_RIP] == expected_address);
    CHECK((*registers)[REG_RAX] == SYS_getppid);
    seen++;
    (*registers)[REG_RAX] = 4711;
}

/* Where the call was is where the program has it, though it was frequent before it was filtered. */
static void traps(void)
{
    unsigned char page[PAGE];
    page_of(page, SYS_getppid, 2);
    int file = file_with(page, O_RDONLY);
    unsigned char *code = map_code(NULL, file, MAP_PRIVATE);
    run_hot(code, parent);
    handle(SIGSYS, note, 0);
    answer_call_with(SYS_getppid, -1U, SECCOMP_RET_TRAP, 0);
    expected_address = (long)code + 2 + 5 + 2;
    struct effort effort_ = effort(1000, 0.4);
    while (goes_on(&effort_)) {
        long before = seen;
        CHECK(run(code) == 4711 && seen == before + 1);
    }
    puts("traps");
}

static volatile int installed, stop;

static void *call(void *unused)
{
    while (!stop) {
        int before = installed;
        long answer = syscall(SYS_getppid);
        CHECK(answer == parent || (answer == -1 && errno == EXDEV));
        CHECK(!before || answer == -1);
    }
    return unused;
}

/* All threads are filtered at once. */
static void all_threads(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = start(call, NULL);
    usleep(100000);
    answer_call_with(SYS_getppid, -1U, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_TSYNC);
    installed = 1;
    usleep(100000);
    stop = 1;
    for (int i = 0; i < 3; i++)
        end_of(threads[i]);
    puts("all threads");
}

static void kills(void)
{
    struct effort effort_ = effort(50000, 0.2);
    while (goes_on(&effort_))
        CHECK(getppid() > 0);
    answer_call_with(SYS_getppid, -1U, SECCOMP_RET_KILL_PROCESS, 0);
    getppid();
}

int main(void)
{
    void (*const all[])(void) = {errors, traps, all_threads, kills};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    for (int i = 0; i < 4; i++) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            parent = getppid();
            all[i]();
            fflush(stdout);
            _exit(i);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        printf("%#x\n", status & ~0x80); /* Whether there was a core dump is the limits' affair. */
    }
}
