/* io_uring without a library: prints what works, so that both kernels can be held against each other. */
#include "check.h"
#include <linux/io_uring.h>
#include <sys/wait.h>

struct ring {
    int fd;
    struct io_uring_params params;
    char *sq, *cq;
    struct io_uring_sqe *sqes;
};

static int set_up(struct ring *ring, unsigned entries, unsigned flags)
{
    memset(ring, 0, sizeof *ring);
    ring->params.flags = flags;
    ring->params.sq_thread_idle = 50;
    ring->fd = (int)syscall(SYS_io_uring_setup, entries, &ring->params);
    if (ring->fd < 0)
        return -errno;
    struct io_uring_params *p = &ring->params;
    size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    int flags_ = MAP_SHARED | MAP_POPULATE;
    ring->sq = mmap(NULL, sq, PROT_READ | PROT_WRITE, flags_, ring->fd, IORING_OFF_SQ_RING);
    ring->cq = mmap(NULL, cq, PROT_READ | PROT_WRITE, flags_, ring->fd, IORING_OFF_CQ_RING);
    ring->sqes = mmap(NULL, p->sq_entries * sizeof *ring->sqes, PROT_READ | PROT_WRITE, flags_,
                      ring->fd, IORING_OFF_SQES);
    CHECK(ring->sq != MAP_FAILED && ring->cq != MAP_FAILED && ring->sqes != MAP_FAILED);
    return 0;
}

/* Submits one request and waits for its result. */
static int result_of(struct ring *ring, struct io_uring_sqe request)
{
    unsigned *tail = (unsigned *)(ring->sq + ring->params.sq_off.tail), at;
    unsigned mask = *(unsigned *)(ring->sq + ring->params.sq_off.ring_mask);
    unsigned *head = (unsigned *)(ring->cq + ring->params.cq_off.head);
    unsigned *end = (unsigned *)(ring->cq + ring->params.cq_off.tail);
    static unsigned long serial;
    at = *tail & mask;
    request.user_data = ++serial;
    ring->sqes[at] = request;
    ((unsigned *)(ring->sq + ring->params.sq_off.array))[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    unsigned flags = IORING_ENTER_GETEVENTS, submit = 1;
    if (ring->params.flags & IORING_SETUP_SQPOLL) {
        flags |= IORING_ENTER_SQ_WAKEUP;
        submit = 0;
    }
    while (*head == __atomic_load_n(end, __ATOMIC_ACQUIRE)) {
        long entered = syscall(SYS_io_uring_enter, ring->fd, submit, 1, flags, NULL, 0);
        CHECK(entered >= 0 || errno == EINTR);
        submit = 0;
    }
    struct io_uring_cqe *cqes = (struct io_uring_cqe *)(ring->cq + ring->params.cq_off.cqes);
    struct io_uring_cqe *done = &cqes[*head & *(unsigned *)(ring->cq + ring->params.cq_off.ring_mask)];
    CHECK(done->user_data == serial);
    int result = done->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

static struct io_uring_sqe transfer(int opcode, int fd, void *memory, unsigned bytes, long offset)
{
    return (struct io_uring_sqe){
        .opcode = opcode, .fd = fd, .addr = (uintptr_t)memory, .len = bytes, .off = offset};
}

static void reads_and_writes(struct ring *ring, const char *name)
{
    int fd = (int)syscall(SYS_memfd_create, "file", 0);
    char *from = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    memset(from, 7, 64 * PAGE);
    printf("%s: write %d,", name, result_of(ring, transfer(IORING_OP_WRITE, fd, from, 64 * PAGE, 0)));
    /* Into pages that nobody has touched, and others that were just given back. */
    char *into = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    printf(" read %d,", result_of(ring, transfer(IORING_OP_READ, fd, into, 64 * PAGE, 0)));
    CHECK(all_bytes(into, 64 * PAGE, 7));
    CHECK(madvise(into, 64 * PAGE, MADV_DONTNEED) == 0 && all_bytes(into, 64 * PAGE, 0));
    printf(" again %d,", result_of(ring, transfer(IORING_OP_READ, fd, into, 3 * PAGE, 62 * PAGE)));
    CHECK(all_bytes(into, 2 * PAGE, 7) && all_bytes(into + 2 * PAGE, 62 * PAGE, 0));
    printf(" bad address %d,", result_of(ring, transfer(IORING_OP_READ, fd, (void *)8, 10, 0)));
    CHECK(mprotect(into, PAGE, PROT_READ) == 0);
    printf(" read-only %d,", result_of(ring, transfer(IORING_OP_READ, fd, into, 10, 0)));
    printf(" bad descriptor %d\n", result_of(ring, transfer(IORING_OP_READ, 999, into, 10, 0)));
}

static void waits(struct ring *ring)
{
    struct __kernel_timespec time = {0, 20 * 1000 * 1000};
    struct io_uring_sqe timeout = transfer(IORING_OP_TIMEOUT, -1, &time, 1, 0);
    printf("timeout %d,", result_of(ring, timeout));
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(20000);
        _exit(write(ends[1], "x", 1) != 1);
    }
    char byte = 0;
    printf(" pipe %d,", result_of(ring, transfer(IORING_OP_READ, ends[0], &byte, 1, -1)));
    CHECK(byte == 'x' && waitpid(child, NULL, 0) == child);
    struct io_uring_sqe poll = {.opcode = IORING_OP_POLL_ADD, .fd = ends[1], .poll32_events = 4};
    printf(" poll %d\n", result_of(ring, poll));
}

static void fixed_buffers(struct ring *ring)
{
    struct { void *base; size_t bytes; } memory = {map_private(4 * PAGE, 3), 4 * PAGE};
    long answer = syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &memory, 1);
    printf("registered %ld,", answer);
    int zero = open("/dev/urandom", O_RDONLY);
    struct io_uring_sqe read = transfer(IORING_OP_READ_FIXED, zero, memory.base, PAGE, 0);
    printf(" read %d\n", result_of(ring, read));
    CHECK(!all_bytes(memory.base, PAGE, 0));
    close(ring->fd);
}

int main(void)
{
    struct ring plain, polling;
    int answer = set_up(&plain, 8, 0);
    printf("plain %d\n", answer);
    if (answer == 0) {
        reads_and_writes(&plain, "plain");
        waits(&plain);
        fixed_buffers(&plain);
    }
    answer = set_up(&polling, 8, IORING_SETUP_SQPOLL);
    printf("polling %d\n", answer);
    if (answer == 0)
        reads_and_writes(&polling, "polling");
    printf("too many %d\n", set_up(&plain, 1u << 20, 0));
    return 0;
}
