// No C library: starts at _start, exits with what it was told.
#include <vmmload_guest.h>

__attribute__((noreturn, used)) static void start(void)
{
    int inside = vmmload_inside();
    int status = vmmload_mark("bare") != 0 || vmmload_name_region(&inside, sizeof inside, "stack") != 0
        || (vmmload_epoch() > 0) != inside;
    __asm__ volatile("syscall" : : "a"(231L), "D"((long)status) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

__attribute__((naked)) void _start(void)
{
    __asm__("and $-16, %rsp\n\tcall start");
}
