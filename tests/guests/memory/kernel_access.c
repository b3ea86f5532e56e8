/* System calls read and fill the program's memory under the program's own rights. */
#include "check.h"
#include <sys/stat.h>
#include <sys/uio.h>

static int zero;

static void fills_fresh_pages(void)
{
    char *memory = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(read(zero, memory, 64 * PAGE) == (ssize_t)(64 * PAGE));
    CHECK(all_bytes(memory, 64 * PAGE, 0));
    int random = open("/dev/urandom", O_RDONLY);
    CHECK(read(random, memory, PAGE) == (ssize_t)PAGE && !all_bytes(memory, PAGE, 0));
    close(random);
}

static void sees_what_was_just_written(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < 200; i++) {
        char *memory = map_private(2 * PAGE, PROT_READ | PROT_WRITE), back[10];
        memcpy(memory + PAGE - 4, "straddle!", 10); /* over a page boundary */
        CHECK(write(ends[1], memory + PAGE - 4, 10) == 10);
        CHECK(read(ends[0], back, 10) == 10 && memcmp(back, "straddle!", 10) == 0);
        CHECK(munmap(memory, 2 * PAGE) == 0);
    }
}

static void bad_pointers_are_errors(void)
{
    char *read_only = map_private(PAGE, PROT_READ), *none = map_private(PAGE, PROT_NONE);
    struct stat *bad = (struct stat *)8;
    CHECK_ERROR(syscall(SYS_read, zero, NULL, 1), EFAULT);
    CHECK_ERROR(read(zero, read_only, 1), EFAULT);
    CHECK_ERROR(read(zero, none, 1), EFAULT);
    CHECK_ERROR(syscall(SYS_fstat, zero, bad), EFAULT);
    CHECK_ERROR(syscall(SYS_openat, AT_FDCWD, none, O_RDONLY), EFAULT);
    CHECK_ERROR(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY), EFAULT);
    CHECK_ERROR(read(zero, (void *)0xffffffff81000000UL, 1), EFAULT);
    CHECK_ERROR(read(zero, (void *)0x800000000000UL, 1), EFAULT);
    CHECK_ERROR(syscall(SYS_clock_gettime, CLOCK_REALTIME, read_only), EFAULT);
}

static void partial_transfers_stop_at_the_bad_page(void)
{
    char *memory = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(mprotect(memory + PAGE, PAGE, PROT_NONE) == 0);
    CHECK(read(zero, memory, 2 * PAGE) == (ssize_t)PAGE);
    struct iovec parts[] = {{memory, PAGE}, {memory + PAGE, PAGE}};
    CHECK(readv(zero, parts, 2) == (ssize_t)PAGE);
}

int main(void)
{
    zero = open("/dev/zero", O_RDONLY);
    CHECK(zero >= 0);
    fills_fresh_pages();
    sees_what_was_just_written();
    bad_pointers_are_errors();
    partial_transfers_stop_at_the_bad_page();
    puts("ok");
}
