/* Registers and stack at a program's very first instruction are as the ABI says. No C library here. */
#include <stddef.h>
#include <stdint.h>

__asm__(".globl _start\n"
        "_start:\n"
        "  mov %rsp, first_stack_pointer(%rip)\n"
        "  mov %rdx, first_rdx(%rip)\n"
        "  mov %rbp, first_rbp(%rip)\n"
        "  pushfq\n"
        "  pop first_flags(%rip)\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call check\n"
        "  mov %eax, %edi\n"
        "  mov $231, %eax\n"
        "  syscall\n");

uint64_t first_stack_pointer, first_rdx, first_rbp, first_flags;

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static void print(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    call(1, 1, (long)text, (long)length);
}

static int wrong(const char *what)
{
    print("FAILED: ");
    print(what);
    print("\n");
    return 1;
}

/* argc, argv, NULL, envp, NULL, auxv pairs, AT_NULL, then the strings: in this order, upwards. */
int check(uint64_t *stack)
{
    if (first_stack_pointer % 16 != 0)
        return wrong("the stack is not 16-byte aligned");
    if (first_rdx != 0)
        return wrong("rdx asks for a function at exit");
    if (first_flags & 0x400)
        return wrong("the direction flag is set");
    uint64_t argc = *stack++;
    char **argv = (char **)stack, **envp = argv + argc + 1;
    if (argc != 3 || argv[argc] != NULL)
        return wrong("argc does not count argv");
    for (uint64_t i = 1; i < argc; i++) {
        print(argv[i]);
        print("\n");
    }
    char *last = argv[argc - 1];
    for (; *envp; envp++) {
        if (*envp < last)
            return wrong("environment strings do not follow the arguments");
        last = *envp;
    }
    uint64_t *auxv = (uint64_t *)(envp + 1), seen = 0;
    for (; auxv[0] != 0; auxv += 2)
        if (auxv[0] < 64)
            seen |= 1UL << auxv[0];
    /* AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_UID, AT_SECURE, AT_RANDOM, AT_EXECFN */
    uint64_t needed = 1UL << 3 | 1UL << 4 | 1UL << 5 | 1UL << 6 | 1UL << 9 | 1UL << 11 | 1UL << 23 | 1UL << 25 | 1UL << 31;
    if ((seen & needed) != needed)
        return wrong("the auxiliary vector lacks an entry");
    if ((uint64_t)argv[0] < (uint64_t)auxv)
        return wrong("the strings lie below the vectors");
    print("ok\n");
    return 0;
}
