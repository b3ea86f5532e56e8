/* A parent looks into its child's memory and descriptors. */
#include "check.h"
#include <linux/kcmp.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

int main(void)
{
    char *shared_address = map_private(3 * PAGE, PROT_READ | PROT_WRITE);
    int told[2], asked[2];
    char byte;
    CHECK(pipe(told) == 0 && pipe(asked) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        memset(shared_address, 'c', 2 * PAGE);
        int fd = (int)syscall(SYS_memfd_create, "child's", 0);
        CHECK(dup2(fd, 100) == 100 && write(100, "hello", 5) == 5);
        CHECK(write(told[1], "x", 1) == 1 && read(asked[0], &byte, 1) == 1);
        /* What the parent wrote, into a page that was never touched, too. */
        _exit(all_bytes(shared_address + PAGE, 2 * PAGE, 'p') ? 0 : 1);
    }
    CHECK(read(told[0], &byte, 1) == 1);
    char *copy = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
    struct iovec here = {copy, 2 * PAGE}, there = {shared_address, 2 * PAGE};
    CHECK(process_vm_readv(child, &here, 1, &there, 1, 0) == (ssize_t)(2 * PAGE));
    CHECK(all_bytes(copy, 2 * PAGE, 'c') && all_bytes(shared_address, 3 * PAGE, 0));
    memset(copy, 'p', 2 * PAGE);
    there.iov_base = shared_address + PAGE;
    CHECK(process_vm_writev(child, &here, 1, &there, 1, 0) == (ssize_t)(2 * PAGE));
    there.iov_base = (void *)8;
    CHECK_ERROR(process_vm_readv(child, &here, 1, &there, 1, 0), EFAULT);
    pid_t parent = getpid();
    printf("other files %d, other memory %d\n", syscall(SYS_kcmp, parent, child, KCMP_FILES, 0, 0) != 0,
           syscall(SYS_kcmp, parent, child, KCMP_VM, 0, 0) != 0);
    CHECK(syscall(SYS_kcmp, parent, child, KCMP_FILE, told[0], told[0]) == 0);
    int process = (int)syscall(SYS_pidfd_open, child, 0);
    int taken = (int)syscall(SYS_pidfd_getfd, process, 100, 0);
    CHECK(taken >= 0 && pread(taken, copy, 5, 0) == 5 && memcmp(copy, "hello", 5) == 0);
    CHECK_ERROR(syscall(SYS_pidfd_getfd, process, 101, 0), EBADF);
    CHECK(write(asked[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
