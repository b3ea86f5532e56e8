/* Makes system calls that write into a buffer of its own, which it otherwise only reads, and tells what they
 * must have written, a line `ADDRESS BYTES` for each span.
 * Arguments: pages of the buffer, 1. Commands, one letter each on standard input, answered by such lines and
 * then `done LETTER`:
 *   b  write the beacon page          f  files                         s  sockets
 *   w  waiting                        p  processes and memory          e  calls about the caller itself
 *   g  signal frames                  t  threads                       n  calls that write nothing
 *   m  many small reads               u  calls of which it is not known what they write
 *   c  fork a child that waits         x  end it
 *   q  leave */
#include "check.h"
#include <linux/futex.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>

#define SLOT 4 /* pages for each call */

static char *buffer, *beacon, *next;
static size_t pages;
static char zeros[64];

/* Memory that no call has been given yet, which the processor has read. */
static char *slot(void)
{
    char *mine = next;
    next += SLOT * PAGE;
    CHECK(next <= buffer + pages * PAGE);
    for (size_t i = 0; i < SLOT; i++)
        CHECK(*(volatile char *)(mine + i * PAGE) == 0);
    return mine;
}

static void expect(const void *start, size_t bytes)
{
    printf("%#lx %zu\n", (unsigned long)start, bytes);
}

/* The call must succeed, and write so many bytes. */
static void wrote(const void *start, size_t bytes, long result)
{
    CHECK(result >= 0);
    expect(start, bytes);
}

static void files(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    char *at = slot() + 100;
    wrote(at, 5000, syscall(SYS_read, zero, at, 5000));
    at = slot();
    wrote(at, 3 * PAGE, syscall(SYS_pread64, zero, at, 3 * PAGE, 0));
    at = slot();
    struct iovec parts[3] = {{at, 3}, {at + 4090, 10}, {at + 2 * PAGE, 100}};
    CHECK(syscall(SYS_readv, zero, parts, 3) == 113);
    expect(at, 3), expect(at + 4090, 10), expect(at + 2 * PAGE, 100);
    close(zero);
    at = slot();
    wrote(at, 1000, syscall(SYS_getrandom, at, 1000, 0));
    at = slot();
    long length = syscall(SYS_getcwd, at, PAGE);
    wrote(at, (size_t)length, length);
    at = slot();
    int root = open("/", O_RDONLY | O_DIRECTORY);
    length = syscall(SYS_getdents64, root, at, PAGE);
    wrote(at, (size_t)length, length);
    close(root);
    at = slot() + PAGE - 100;
    wrote(at, sizeof(struct stat), syscall(SYS_fstat, 0, at));
    at = slot();
    wrote(at, 256, syscall(SYS_statx, AT_FDCWD, "/", 0, 0xfff, at));
    at = slot();
    wrote(at, 8, syscall(SYS_pipe2, at, 0));
    int *ends = (int *)at;
    CHECK(write(ends[1], "seven b", 7) == 7);
    at = slot();
    wrote(at, 4, syscall(SYS_ioctl, ends[0], FIONREAD, at));
    at = slot();
    wrote(at, 7, syscall(SYS_read, ends[0], at, PAGE));
    close(ends[0]), close(ends[1]);
}

static void sockets(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(to, (struct sockaddr *)&any, size) == 0);
    CHECK(getsockname(to, (struct sockaddr *)&any, &size) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(sendto(from, "datagram", 8, 0, (struct sockaddr *)&any, size) == 8);
    char *at = slot();
    socklen_t *room = (socklen_t *)(at + 2 * PAGE);
    *room = 7;
    wrote(at, 7, syscall(SYS_getsockname, to, at, room));
    expect(room, 4);
    at = slot();
    room = (socklen_t *)(at + 2 * PAGE);
    *room = 100;
    wrote(at, 8, syscall(SYS_recvfrom, to, at, PAGE, 0, at + PAGE, room));
    expect(at + PAGE, 16), expect(room, 4);
    at = slot();
    struct iovec parts[2] = {{at, 5}, {at + PAGE, 5}};
    struct msghdr *header = (struct msghdr *)(at + 2 * PAGE);
    header->msg_iov = parts, header->msg_iovlen = 2;
    CHECK(syscall(SYS_recvmsg, to, header, 0) == 8);
    expect(at, 5), expect(at + PAGE, 3);
    expect(&header->msg_flags, 4), expect(&header->msg_controllen, 8);
    close(to), close(from);
    at = slot();
    wrote(at, 8, syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, at));
    close(((int *)at)[0]), close(((int *)at)[1]);
}

static void ignore(int signal)
{
    (void)signal;
}

static void waiting(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    char *at = slot();
    struct pollfd *list = (struct pollfd *)at;
    for (int i = 0; i < 600; i++)
        list[i] = (struct pollfd){ends[0], POLLIN, 0};
    CHECK(syscall(SYS_poll, list, 600, 0) == 600);
    expect(at, 1024), expect(at + PAGE, 176);
    at = slot();
    fd_set *set = (fd_set *)at;
    FD_SET(ends[0], set);
    struct timeval *limit = (struct timeval *)(at + PAGE);
    limit->tv_sec = 10;
    wrote(at, 8, syscall(SYS_select, ends[0] + 1, set, NULL, NULL, limit));
    expect(limit, 16);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    at = slot();
    wrote(at, 12, syscall(SYS_epoll_wait, epoll, at, 10, 1000));
    close(epoll), close(ends[0]), close(ends[1]);
    struct sigaction action = {.sa_handler = ignore};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    alarm(1);
    struct timespec hour = {3600, 0};
    at = slot();
    CHECK_ERROR(syscall(SYS_nanosleep, &hour, at), EINTR);
    expect(at, 16);
    at = slot();
    wrote(at, 16, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, at));
}

static void processes(void)
{
    char *at = slot();
    wrote(at, 390, syscall(SYS_uname, at));
    at = slot();
    wrote(at, sizeof(struct rusage), syscall(SYS_getrusage, RUSAGE_SELF, at));
    at = slot();
    wrote(at, 3, syscall(SYS_mincore, buffer, 3 * PAGE, at));
    at = slot();
    long bytes = syscall(SYS_sched_getaffinity, 0, 1024, at);
    wrote(at, (size_t)bytes, bytes);
    at = slot();
    wrote(at, 16, prctl(PR_GET_NAME, at));
    at = slot();
    *(int *)at = 0;
    wrote(at, 4, syscall(SYS_futex, zeros, FUTEX_WAKE_OP, 1, 1, at, FUTEX_OP(FUTEX_OP_SET, 5, 0, 0)));
    at = slot();
    long child = syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, NULL, at, NULL, 0);
    if (child == 0)
        _exit(3);
    wrote(at, 4, child);
    at = slot();
    wrote(at, 28 - 4, syscall(SYS_waitid, P_PID, child, at, WEXITED | WNOWAIT, at + PAGE));
    expect(at + PAGE, sizeof(struct rusage));
    at = slot();
    CHECK(syscall(SYS_wait4, child, at, 0, at + PAGE) == child);
    expect(at, 4), expect(at + PAGE, sizeof(struct rusage));
}

/* These are emulated: they write what the kernel would. */
static void about_the_caller(void)
{
    char *at = slot();
    wrote(at, 32, syscall(SYS_rt_sigaction, SIGUSR1, NULL, at, 8));
    at = slot();
    wrote(at, 8, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, at, 8));
    at = slot();
    wrote(at, sizeof(stack_t), syscall(SYS_sigaltstack, NULL, at));
    at = slot();
    wrote(at, 16, syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, at));
    at = slot();
    wrote(at, 8, syscall(SYS_arch_prctl, 0x1003, at));
    at = slot();
    long length = syscall(SYS_readlink, "/proc/self/exe", at, PAGE);
    wrote(at, (size_t)length, length);
    at = slot();
    wrote(at, sizeof(struct stat), syscall(SYS_stat, "/proc/self/exe", at));
}

static void *seen_context, *seen_vectors;
static size_t vector_bytes;

static void look(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    ucontext_t *here = context;
    seen_context = context, seen_vectors = here->uc_mcontext.fpregs;
    /* struct _fpx_sw_bytes: the size of the whole area is its second word. */
    vector_bytes = *(uint32_t *)((char *)seen_vectors + 464 + 4);
}

static void frames(void)
{
    next += SLOT * PAGE;
    stack_t stack = {.ss_sp = slot() - SLOT * PAGE, .ss_size = 2 * SLOT * PAGE};
    CHECK(sigaltstack(&stack, NULL) == 0);
    struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(raise(SIGUSR1) == 0);
    /* Return address, struct ucontext up to its mask, struct siginfo. */
    expect((char *)seen_context - 8, 440), expect(seen_vectors, vector_bytes);
}

static int run(void *at)
{
    int zero = open("/dev/zero", O_RDONLY);
    CHECK(read(zero, (char *)at + PAGE, 6000) == 6000);
    return close(zero);
}

static void threads(void)
{
    char *at = slot(), *word = slot();
    char *stack = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    int id = clone(run, stack + 16 * PAGE, flags, at, at, NULL, word);
    CHECK(id > 0);
    expect(at, 4), expect(at + PAGE, 6000);
    while (__atomic_load_n((int *)word, __ATOMIC_ACQUIRE) == id)
        syscall(SYS_futex, word, FUTEX_WAIT, id, NULL, NULL, 0);
    /* Stored when it began, and cleared when it ended. */
    expect(word, 4), expect(word, 4);
}

static long child;

/* The kernel stores the child's id in the child's memory. */
static void fork_one(void)
{
    char *at = slot(), begun;
    int ends[2];
    CHECK(pipe(ends) == 0);
    child = syscall(SYS_clone, CLONE_CHILD_SETTID | SIGCHLD, NULL, NULL, at, 0);
    if (child == 0) {
        printf("%d %#lx\n", getpid(), (unsigned long)at);
        fflush(stdout);
        CHECK(write(ends[1], "b", 1) == 1);
        for (;;)
            pause();
    }
    CHECK(child > 0 && read(ends[0], &begun, 1) == 1);
    close(ends[0]), close(ends[1]);
}

static void end_child(void)
{
    CHECK(kill((pid_t)child, SIGKILL) == 0 && waitpid((pid_t)child, NULL, 0) == child);
}

static void nothing(void)
{
    char *at = slot();
    char *sealed = slot();
    CHECK(mprotect(sealed, PAGE, PROT_READ) == 0);
    CHECK_ERROR(syscall(SYS_read, -1, at, PAGE), EBADF);
    CHECK_ERROR(syscall(SYS_uname, sealed), EFAULT);
    CHECK_ERROR(syscall(SYS_wait4, 1, at, 0, at), ECHILD);
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], at, PAGE) == (ssize_t)PAGE);
    CHECK(close(ends[1]) == 0 && lseek(ends[0], 0, SEEK_SET) == -1);
    close(ends[0]);
    int null = open_null(O_RDONLY);
    CHECK(read(null, at, PAGE) == 0);
    close(null);
}

static void many(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    char *at = slot();
    for (int i = 0; i < 5000; i++)
        CHECK(read(zero, at + i % 3 * PAGE, 2) == 2);
    expect(at, 3334), expect(at + PAGE, 3334), expect(at + 2 * PAGE, 3332);
    close(zero);
}

static void unknown(void)
{
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    uint32_t link[2] = {0xa}; /* ETHTOOL_GLINK */
    struct ifreq request = {.ifr_name = "lo", .ifr_data = (char *)link};
    for (int i = 0; i < 3; i++)
        CHECK(ioctl(any, 0x8946, &request) == 0);
    close(any);
}

static char *guarded(size_t count)
{
    char *memory = map_private((count + 2) * PAGE, PROT_NONE);
    CHECK(mprotect(memory + PAGE, count * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(madvise(memory + PAGE, count * PAGE, MADV_NOHUGEPAGE) == 0);
    return memory + PAGE;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    pages = strtoul(argv[1], NULL, 10);
    next = buffer = guarded(pages), beacon = guarded(1);
    printf("%#lx %#lx\n", (unsigned long)buffer, (unsigned long)beacon);
    fflush(stdout);
    char command = 0;
    while (read(0, &command, 1) == 1 && command != 'q') {
        switch (command) {
        case 'b': *(volatile char *)beacon = 1; break;
        case 'f': files(); break;
        case 's': sockets(); break;
        case 'w': waiting(); break;
        case 'p': processes(); break;
        case 'e': about_the_caller(); break;
        case 'g': frames(); break;
        case 't': threads(); break;
        case 'n': nothing(); break;
        case 'm': many(); break;
        case 'u': unknown(); break;
        case 'c': fork_one(); break;
        case 'x': end_child(); break;
        default: CHECK(!"a command this program knows");
        }
        printf("done %c\n", command);
        fflush(stdout);
    }
}
