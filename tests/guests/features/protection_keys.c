/* Protection keys where the processor has them; otherwise everything says that it has not. */
#include "check.h"
#include <cpuid.h>
#include <setjmp.h>

static sigjmp_buf back;

static void leave(int signal)
{
    siglongjmp(back, signal);
}

/* The signal that writing to `address` raises. */
static int writing(char *address)
{
    int signal = sigsetjmp(back, 1);
    if (signal == 0)
        *(volatile char *)address = 1;
    return signal;
}

static int reading_the_register(void)
{
    int signal = sigsetjmp(back, 1);
    unsigned low, high;
    if (signal == 0)
        __asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
    return signal;
}

int main(void)
{
    unsigned a, b, c = 0, d;
    signal(SIGSEGV, leave);
    signal(SIGILL, leave);
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    int enabled = c >> 4 & 1; /* OSPKE: the system has enabled them. */
    char *page = map_private(PAGE, PROT_READ | PROT_WRITE);
    CHECK_ERROR(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
    CHECK_ERROR(syscall(SYS_pkey_alloc, 0, 4), EINVAL);
    CHECK_ERROR(syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ, 9), EINVAL);
    CHECK_ERROR(syscall(SYS_pkey_free, 9), EINVAL);
    /* The default key is everybody's. */
    CHECK(syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ, -1) == 0 && writing(page) == SIGSEGV);
    CHECK(syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ | PROT_WRITE, -1) == 0);
    CHECK(writing(page) == 0);
    long key = syscall(SYS_pkey_alloc, 0, 2 /* no writing */);
    if (!enabled) {
        CHECK(key == -1 && errno == EINVAL);
        CHECK(reading_the_register() == SIGILL);
        return 0;
    }
    CHECK(key > 0 && reading_the_register() == 0);
    CHECK(syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ | PROT_WRITE, key) == 0);
    CHECK(writing(page) == SIGSEGV);
    CHECK(syscall(SYS_pkey_free, key) == 0);
    return 0;
}
