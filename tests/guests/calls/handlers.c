/* Handlers that call themselves, on a stack of their own, and handlers that are left by a jump in the middle of calls. */
#include "calls.h"
#include <setjmp.h>

static char alternate[64 * 1024];
static volatile long handled;
static int log_ends[2], file;
static long interval;

static void on_alternate_stack(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, NULL) == 0);
}

/* Calls of many kinds, and what they say is right in a handler, too. */
static void call_a_lot(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    char here, byte = 'x';
    int error = errno;
    stack_t stack;
    CHECK(&here > alternate && &here < alternate + sizeof alternate);
    CHECK(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK));
    CHECK(getpid() == own_tid());
    CHECK(write(log_ends[1], &byte, 1) == 1 && read(log_ends[0], &byte, 1) == 1 && byte == 'x');
    CHECK_ERROR(read(-1, &byte, 1), EBADF);
    struct timespec time;
    CHECK(syscall(SYS_clock_gettime, CLOCK_REALTIME, &time) == 0 && time.tv_sec > 0);
    handled++;
    errno = error;
}

static void calling(void)
{
    handle(SIGALRM, call_a_lot, SA_ONSTACK | SA_RESTART);
    pid_t parent = getppid();
    char byte;
    struct effort effort_ = effort(200000, 0.8);
    set_alarm_every(interval);
    while (goes_on(&effort_) || handled < 20) {
        errno = 77;
        CHECK(getppid() == parent && errno == 77);
        CHECK_ERROR(write(-1, &byte, 1), EBADF);
        CHECK(pread(file, &byte, 1, 3) == 1 && byte == 'd');
    }
    set_alarm_every(0);
    puts("handlers called");
}

/* Handlers in handlers: each of another number, and all of them call. */
static volatile int depth, deepest;

static void nest(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    depth++;
    deepest = depth > deepest ? depth : deepest;
    if (signal < SIGRTMIN + 9)
        CHECK(raise(signal + 1) == 0);
    CHECK(getpid() == own_tid());
    depth--;
}

static void nested(void)
{
    for (int i = 0; i < 10; i++)
        handle(SIGRTMIN + i, nest, 0);
    for (int round = part_of(60); round > 0; round--) {
        deepest = 0;
        CHECK(raise(SIGRTMIN) == 0 && depth == 0 && deepest == 10);
    }
    puts("ten deep");
}

static sigjmp_buf back;
static volatile sig_atomic_t may_jump;

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    handled++;
    if (may_jump) {
        may_jump = 0;
        siglongjmp(back, 1);
    }
}

/* A call that was left by a jump was made, or was not; nothing is made twice. */
static void jumping(int flags)
{
    static volatile long certain, jumps;
    handle(SIGALRM, jump, flags);
    certain = jumps = handled = 0;
    CHECK(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    struct effort effort_ = effort(100000, 0.7);
    set_alarm_every(interval);
    while (goes_on(&effort_) || jumps < 20) {
        if (sigsetjmp(back, 1) == 0) {
            may_jump = 1;
            for (int i = 0; i < 10; i++) {
                CHECK(write(file, "x", 1) == 1);
                certain++;
            }
            may_jump = 0;
        } else {
            jumps++;
            off_t made = lseek(file, 0, SEEK_CUR);
            CHECK(made == certain || made == certain + 1);
            certain = made;
        }
    }
    set_alarm_every(0);
    CHECK(lseek(file, 0, SEEK_END) == certain);
    sigset_t mask;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGALRM));
    puts("left by jumps");
}

/* Out of calls that wait, from the alternate stack, which is then free again. */
static void jumping_out_of_waits(void)
{
    static volatile long jumps;
    char byte;
    handle(SIGALRM, jump, SA_ONSTACK | SA_RESTART);
    struct effort effort_ = effort(300, 0.4);
    while (goes_on(&effort_) || jumps < 10) {
        if (sigsetjmp(back, 1) == 0) {
            may_jump = 1;
            struct itimerval once = {{0, 0}, {0, interval}};
            CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
            CHECK(read(log_ends[0], &byte, 1) == 1);
            CHECK(!"nobody writes");
        }
        jumps++;
        stack_t stack;
        CHECK(sigaltstack(NULL, &stack) == 0 && stack.ss_flags == 0);
        CHECK(write(log_ends[1], "y", 1) == 1 && read(log_ends[0], &byte, 1) == 1 && byte == 'y');
    }
    puts("left by jumps out of waits");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2 && pipe(log_ends) == 0);
    file = unnamed_file(0);
    CHECK(pwrite(file, "abcdefgh", 8, 0) == 8);
    interval = bearable_interval();
    on_alternate_stack();
    if (strcmp(argv[1], "calling") == 0) {
        calling();
        nested();
    } else {
        jumping(0);
        jumping(SA_ONSTACK | SA_RESTART);
        jumping_out_of_waits();
    }
}
