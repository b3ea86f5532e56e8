/* What a handler is told of each processor exception: signal, code, address, trap number, error code, and
 * what the kernel makes of instructions that a program may not execute. */
#include "check.h"
#include <fenv.h>
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf back;
static char stack[1 << 16];
static volatile uintptr_t expected; /* what addresses are told relative to */
static volatile int told;

static void tell(int number, siginfo_t *information, void *context)
{
    __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "cc", "memory"); /* AC stays set here */
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t address = (uintptr_t)information->si_addr, rip = (uintptr_t)registers[REG_RIP];
    printf("%s code %d trap %lld error %#llx address %s", strsignal(number), information->si_code,
           registers[REG_TRAPNO], registers[REG_ERR],
           address == 0 ? "none" : address == rip ? "of the instruction" : "");
    if (address != 0 && address != rip)
        printf("%+ld", (long)(address - expected));
    if (registers[REG_TRAPNO] == 14)
        printf(" cr2 %+ld", (long)((uintptr_t)registers[REG_CR2] - expected));
    printf(" flags %#llx\n", registers[REG_EFL] & 0x50100);
    told++;
    siglongjmp(back, 1);
}

#define TELL(name, statement)                                                                      \
    do {                                                                                           \
        printf("%s: ", name);                                                                      \
        told = 0;                                                                                  \
        if (sigsetjmp(back, 1) == 0) {                                                             \
            statement;                                                                             \
        }                                                                                          \
        if (!told)                                                                                 \
            puts("nothing");                                                                       \
        __asm__ volatile("pushfq; andl $~0x40100, (%%rsp); popfq; cld; fninit" ::: "cc", "memory"); \
        fesetenv(FE_DFL_ENV);                                                                      \
    } while (0)

#define DO(instructions) __asm__ volatile(instructions ::: "rax", "rcx", "rdx", "memory", "cc")

static void page_faults(void)
{
    volatile char *none = NULL, *gone = map_private(PAGE, PROT_READ), *read_only = map_private(PAGE, PROT_READ);
    volatile char *closed = map_private(PAGE, PROT_NONE), *data = map_private(PAGE, PROT_READ | PROT_WRITE);
    int file = unnamed_file(10);
    volatile char *short_file = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    volatile char *private_file = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(munmap((void *)gone, PAGE) == 0);
    TELL("read null", (void)*none);
    TELL("write null", *none = 1);
    TELL("call null", ((void (*)(void))(uintptr_t)none)());
    expected = (uintptr_t)gone;
    TELL("read gone", (void)gone[7]);
    TELL("write gone", gone[8] = 1);
    expected = (uintptr_t)read_only;
    TELL("write read-only untouched", read_only[8] = 1);
    (void)read_only[0];
    TELL("write read-only", read_only[9] = 1);
    TELL("execute data", ((void (*)(void))(uintptr_t)read_only)());
    expected = (uintptr_t)closed;
    TELL("read closed", (void)closed[5]);
    TELL("write closed", closed[5] = 1);
    data[0] = 1;
    expected = (uintptr_t)data;
    TELL("execute written", ((void (*)(void))(uintptr_t)data)());
    expected = (uintptr_t)short_file;
    TELL("read past the file", (void)short_file[PAGE + 3]);
    TELL("write past the file", short_file[PAGE + 3] = 1);
    expected = (uintptr_t)private_file;
    TELL("write past the file, private", private_file[PAGE + 3] = 1);
    expected = 0xffffffff81000000;
    TELL("read the kernel", (void)*(volatile char *)expected);
    TELL("write the kernel", *(volatile char *)expected = 1);
    TELL("read not canonical", (void)*(volatile char *)(1UL << 47));
    TELL("write not canonical", *(volatile char *)(0xdeadUL << 48) = 1);
    TELL("call not canonical", ((void (*)(void))(1UL << 62))());
    TELL("stack not canonical", DO("mov %%rsp, %%rcx; mov $0x1234567890abcdef, %%rax; mov %%rax, %%rsp;"
                                   "pop %%rdx; mov %%rcx, %%rsp"));
}

static void forbidden_instructions(void)
{
    TELL("ud2", DO("ud2"));
    TELL("int3", DO("int3"));
    TELL("int 3", DO(".byte 0xcd, 3"));
    TELL("int 4", DO(".byte 0xcd, 4"));
    TELL("int 14", DO(".byte 0xcd, 14"));
    TELL("int 0x81", DO(".byte 0xcd, 0x81"));
    TELL("icebp", DO(".byte 0xf1"));
    TELL("hlt", DO("hlt"));
    TELL("cli", DO("cli"));
    TELL("in", DO("mov $0x80, %%dx; in %%dx, %%al"));
    TELL("out", DO("mov $0x80, %%dx; out %%al, %%dx"));
    TELL("rdmsr", DO("mov $0x10, %%ecx; rdmsr"));
    TELL("mov cr0", DO("mov %%cr0, %%rax"));
    TELL("mov cr3", DO("mov %%rax, %%cr3"));
    TELL("mov dr7", DO("mov %%dr7, %%rax"));
    TELL("invd", DO("invd"));
    TELL("swapgs", DO("swapgs"));
    TELL("sysret", DO("sysretq"));
    TELL("bad selector", DO("mov $0x1234, %%eax; mov %%ax, %%fs"));
    TELL("invalid opcode 06", DO(".byte 0x06"));
    TELL("too long", DO(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90"));
    TELL("lock nop", DO(".byte 0xf0, 0x90"));
}

static void arithmetic(void)
{
    static double tiny = 1e-300, one = 1, zero = 0, huge = 1e300;
    static unsigned control;
    static unsigned short word;
    TELL("divide by zero", DO("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"));
    TELL("divide overflow", DO("mov $1, %%edx; xor %%eax, %%eax; mov $1, %%ecx; div %%ecx"));
    unsigned masks[] = {0x80, 0x200, 0x400, 0x800, 0x1000};
    for (volatile int i = 0; i < 5; i++) {
        char name[32];
        control = 0x1f80 & ~masks[i];
        snprintf(name, sizeof name, "sse %d", i);
        TELL(name, __asm__ volatile("ldmxcsr %0" ::"m"(control));
             __asm__ volatile("movsd %0, %%xmm0; divsd %1, %%xmm0" ::"m"(zero), "m"(zero) : "xmm0");
             __asm__ volatile("movsd %0, %%xmm0; divsd %1, %%xmm0" ::"m"(one), "m"(zero) : "xmm0");
             __asm__ volatile("movsd %0, %%xmm0; mulsd %0, %%xmm0" ::"m"(huge) : "xmm0");
             __asm__ volatile("movsd %0, %%xmm0; mulsd %0, %%xmm0" ::"m"(tiny) : "xmm0");
             __asm__ volatile("movsd %0, %%xmm0; divsd %1, %%xmm0" ::"m"(one), "m"(huge) : "xmm0"));
        static const unsigned short x87[] = {1, 4, 8, 16, 32};
        word = 0x37f & ~x87[i];
        snprintf(name, sizeof name, "x87 %d", i);
        TELL(name, __asm__ volatile("fldcw %0" ::"m"(word));
             __asm__ volatile("fldz; fldz; fdivrp; fwait; fstp %%st(0)" :::);
             __asm__ volatile("fldz; fld1; fdivp; fwait; fstp %%st(0)" :::);
             __asm__ volatile("fldl %0; fmull %0; fstps %1; fwait" ::"m"(huge), "m"(control));
             __asm__ volatile("fldl %0; fmull %0; fstps %1; fwait" ::"m"(tiny), "m"(control));
             __asm__ volatile("fld1; fdivl %0; fstps %1; fwait" ::"m"(huge), "m"(control)));
    }
}

static void alignment(void)
{
    static char bytes[64] __attribute__((aligned(64)));
    TELL("alignment check", __asm__ volatile("pushfq; orl $0x40000, (%%rsp); popfq; mov 1(%0), %%eax;"
                                             "pushfq; andl $~0x40000, (%%rsp); popfq" ::"r"(bytes)
                                             : "rax", "memory", "cc"));
    TELL("aligned sse", __asm__ volatile("movaps 1(%0), %%xmm0" ::"r"(bytes) : "xmm0"));
}

int main(void)
{
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaltstack(&alternate, NULL) == 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(sigaction(numbers[i], &action, NULL) == 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    page_faults();
    forbidden_instructions();
    arithmetic();
    alignment();
}
