/* What a handler changes in its context is what the interrupted code goes on with: registers, vectors, flags. */
#include "check.h"
#include <immintrin.h>
#include <ucontext.h>

static void (*edit)(ucontext_t *);

static void enter(int number, siginfo_t *information, void *context)
{
    (void)number, (void)information;
    edit(context);
}

static void skip(ucontext_t *context)
{
    context->uc_mcontext.gregs[REG_RIP] += 2; /* the length of ud2 */
}

static void edit_registers(ucontext_t *context)
{
    greg_t *r = context->uc_mcontext.gregs;
    int all[] = {REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
                 REG_RDI, REG_RSI, REG_RDX, REG_RAX, REG_RCX};
    for (int i = 0; i < 13; i++)
        r[all[i]] = r[all[i]] * 3 + i;
    r[REG_EFL] ^= 0xcd5; /* OF DF SF ZF AF PF CF */
    skip(context);
}

static void general_registers(void)
{
    uint64_t out[14] = {0}, *at = out;
    edit = edit_registers;
    __asm__ volatile(
        "push %%rbx; mov %0, %%rbx\n"
        "mov $1, %%eax; mov $2, %%ecx; mov $3, %%edx; mov $4, %%esi; mov $5, %%edi; mov $6, %%r8d\n"
        "mov $7, %%r9d; mov $8, %%r10d; mov $9, %%r11d; mov $10, %%r12d; mov $11, %%r13d\n"
        "mov $12, %%r14d; mov $13, %%r15d; xor %%eax, %%eax; mov $1, %%eax\n"
        "ud2\n"
        "mov %%rax, (%%rbx); mov %%rcx, 8(%%rbx); mov %%rdx, 16(%%rbx); mov %%rsi, 24(%%rbx)\n"
        "mov %%rdi, 32(%%rbx); mov %%r8, 40(%%rbx); mov %%r9, 48(%%rbx); mov %%r10, 56(%%rbx)\n"
        "mov %%r11, 64(%%rbx); mov %%r12, 72(%%rbx); mov %%r13, 80(%%rbx); mov %%r14, 88(%%rbx)\n"
        "mov %%r15, 96(%%rbx); pushfq; pop 104(%%rbx); cld; pop %%rbx"
        : "+a"(at)::"rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
          "memory", "cc");
    for (int i = 0; i < 14; i++)
        printf("%llx ", (unsigned long long)(i == 13 ? out[i] & 0xcd5 : out[i]));
    puts("");
}

static void edit_vectors(ucontext_t *context)
{
    struct _libc_fpstate *state = context->uc_mcontext.fpregs;
    uint32_t *words = (uint32_t *)state;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++)
            state->_xmm[i].element[j] ^= 0x5a5a0000u + (unsigned)i;
    state->mxcsr = 0x3f80; /* round down */
    state->cwd = 0x77f;
    /* The software-reserved bytes tell that there is more, and how much. */
    CHECK(words[116] == 0x46505853);
    uint32_t size = words[120];
    uint64_t features = *(uint64_t *)&words[118], *present = (uint64_t *)((char *)state + 512);
    CHECK(*(uint32_t *)((char *)state + size) == 0x46505845 && size + 4 == words[117]);
    if (features & 4) {
        *present |= 4;
        memset((char *)state + 576, 0x33, 256); /* upper halves of ymm0 to ymm15 */
    }
    skip(context);
}

__attribute__((target("avx"))) static void upper_halves(unsigned char *into)
{
    __asm__ volatile("vxorps %%ymm3, %%ymm3, %%ymm3; ud2; vmovups %%ymm3, (%0)" ::"r"(into)
                     : "xmm3", "memory");
}

static void vector_registers(void)
{
    unsigned control;
    unsigned short word;
    unsigned char values[32] = {0};
    edit = edit_vectors;
    if (__builtin_cpu_supports("avx"))
        upper_halves(values);
    else
        __asm__ volatile("xorps %%xmm3, %%xmm3; ud2; movups %%xmm3, (%0)" ::"r"(values) : "xmm3", "memory");
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(control), "=m"(word));
    printf("mxcsr %#x control %#x ymm3", control, word);
    for (int i = 0; i < 32; i++)
        printf(" %02x", values[i]);
    puts("");
    control = 0x1f80, word = 0x37f;
    __asm__ volatile("ldmxcsr %0; fldcw %1" ::"m"(control), "m"(word));
}

static void only_old_state(ucontext_t *context)
{
    ((uint32_t *)context->uc_mcontext.fpregs)[116] = 0; /* as from a program that knows FXSAVE alone */
    context->uc_mcontext.fpregs->_xmm[3].element[0] = 0x1234;
    skip(context);
}

static void no_state(ucontext_t *context)
{
    context->uc_mcontext.fpregs = NULL;
    skip(context);
}

static void old_frames(void)
{
    uint32_t low = 0;
    unsigned control = 0x5f80;
    edit = only_old_state;
    __asm__ volatile("pcmpeqd %%xmm3, %%xmm3; ud2; movd %%xmm3, %0" : "=r"(low)::"xmm3", "memory");
    printf("FXSAVE alone: %x\n", low);
    edit = no_state;
    __asm__ volatile("ldmxcsr %1; pcmpeqd %%xmm3, %%xmm3; ud2; movd %%xmm3, %0; stmxcsr %1"
                     : "=r"(low), "+m"(control)::"xmm3", "memory");
    printf("none: %x mxcsr %x\n", low, control);
    control = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(control));
}

static void change_mask(ucontext_t *context)
{
    sigaddset(&context->uc_sigmask, SIGUSR2);
    sigaddset(&context->uc_sigmask, SIGKILL);
    skip(context);
}

static void mask_of_the_context(void)
{
    sigset_t now;
    edit = change_mask;
    __asm__ volatile("ud2");
    CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGKILL));
    CHECK(!sigismember(&now, SIGILL));
}

static void tell_stack(ucontext_t *context)
{
    char here;
    printf("flags %#lx link %p stack %d frame aligned %d\n", context->uc_flags, (void *)context->uc_link,
           context->uc_stack.ss_flags, (int)((uintptr_t)context & 15));
    printf("red zone %d segments %llx\n", (uintptr_t)&here + 128 < (uintptr_t)context->uc_mcontext.gregs[REG_RSP],
           (unsigned long long)context->uc_mcontext.gregs[REG_CSGSFS]);
    skip(context);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = enter, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGILL, &action, NULL) == 0);
    general_registers();
    vector_registers();
    old_frames();
    mask_of_the_context();
    edit = tell_stack;
    __asm__ volatile("ud2");
}
