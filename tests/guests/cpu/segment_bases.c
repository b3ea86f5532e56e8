/* The GS and FS bases are the program's to set and read, by call and by instruction, and survive calls. */
#include "check.h"
#include <asm/prctl.h>
#include <sys/auxv.h>

static uint64_t block[2] = {0x1122334455667788, 0x99aabbccddeeff00}, other[2] = {7, 8};

static uint64_t through_gs(void)
{
    uint64_t value;
    __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
    return value;
}

static void by_call(void)
{
    unsigned long base;
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, block) == 0 && through_gs() == block[1]);
    getppid();
    CHECK(through_gs() == block[1]);
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0 && base == (uintptr_t)block);
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0 && *(unsigned long *)base == base);
    CHECK_ERROR(syscall(SYS_arch_prctl, ARCH_SET_GS, 1UL << 63), EPERM);
    CHECK_ERROR(syscall(SYS_arch_prctl, ARCH_GET_GS, NULL), EFAULT);
    CHECK_ERROR(syscall(SYS_arch_prctl, 0x4321, 0), EINVAL);
}

__attribute__((target("fsgsbase"))) static void by_instruction(void)
{
    uint64_t *base = other;
    __asm__ volatile("wrgsbase %0" ::"r"(base));
    getppid();
    CHECK(through_gs() == 8);
    __asm__ volatile("rdgsbase %0" : "=r"(base));
    CHECK(base == other);
    unsigned long by_kernel;
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &by_kernel) == 0 && by_kernel == (uintptr_t)other);
    /* The thread pointer: read, written with itself, still good for the C library. */
    unsigned long thread;
    __asm__ volatile("rdfsbase %0\n\twrfsbase %0" : "=r"(thread));
    errno = EBADF;
    CHECK(*(unsigned long *)thread == thread && errno == EBADF);
}

int main(void)
{
    by_call();
    int has_instructions = (getauxval(AT_HWCAP2) & 2) != 0;
    if (has_instructions)
        by_instruction();
    printf("instructions: %s\n", has_instructions ? "allowed" : "not allowed");
}
