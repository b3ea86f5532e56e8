/* The main stack grows to its limit, by the program's stores and by the kernel's. */
#include "check.h"
#include <sys/resource.h>

/* Recurses in frames of about 4 KiB until so many bytes are in use; every frame keeps its content. */
static __attribute__((noinline)) long descend(long bytes)
{
    volatile char frame[4000];
    if (bytes <= 0)
        return 0;
    frame[0] = frame[3999] = (char)bytes;
    long below = descend(bytes - 4096);
    CHECK(frame[0] == (char)bytes && frame[3999] == (char)bytes);
    return below + 1;
}

/* The kernel is the first to touch this much of the stack. */
static __attribute__((noinline)) void kernel_fills_the_stack(void)
{
    char buffer[256 * 1024];
    int zero = open("/dev/zero", O_RDONLY);
    ssize_t got = read(zero, buffer, sizeof buffer);
    CHECK(got == (ssize_t)sizeof buffer && buffer[0] == 0 && buffer[sizeof buffer - 1] == 0);
    close(zero);
}

static __attribute__((noinline)) void skips_guard_sized_steps(void)
{
    volatile char buffer[1500 * 1024];
    buffer[0] = 1;
    CHECK(buffer[0] == 1);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        struct rlimit limit = {64UL << 20, RLIM_INFINITY};
        CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
    }
    long mebibytes = argc > 1 ? atol(argv[1]) : 7;
    kernel_fills_the_stack();
    skips_guard_sized_steps();
    printf("frames: %ld\n", descend(mebibytes << 20));
    printf("frames: %ld\n", descend(mebibytes << 20));
}
