/* A call changes rax, rcx and r11 and nothing else: not the other registers, the flags, the vectors or the red zone,
 * however often it is made from one place and whatever signal comes between. */
#include "calls.h"

enum { RBX, RBP, RDX, RSI, RDI, R8, R9, R10, R12, R13, R14, R15, FLAGS, RESULT, RED_ZONE, COUNT = RED_ZONE + 16 };

typedef void calling(const uint64_t *in, uint64_t *out);
calling call_getppid, call_anything, call_by_library, call_with_xmm, call_with_ymm, call_with_zmm;
uint64_t saved_out, the_number;

/* Each loads all registers from what rdi points to, calls, and stores them to what rsi points to. The red zone is
 * filled, too. All memory is aligned, as the flag that checks that may be set. */
#define SAVE "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n  mov %rsi, saved_out(%rip)\n"
#define WORD(n) "  mov 112+8*" #n "(%rdi), %rax\n  mov %rax, -8-8*" #n "(%rsp)\n"
#define FILL WORD(0) WORD(1) WORD(2) WORD(3) WORD(4) WORD(5) WORD(6) WORD(7) WORD(8) WORD(9) WORD(10) WORD(11) \
    WORD(12) WORD(13) WORD(14) WORD(15)
#define BACK(n) "  mov -8-8*" #n "(%rsp), %rcx\n  mov %rcx, 112+8*" #n "(%rax)\n"
#define EMPTY BACK(0) BACK(1) BACK(2) BACK(3) BACK(4) BACK(5) BACK(6) BACK(7) BACK(8) BACK(9) BACK(10) BACK(11) \
    BACK(12) BACK(13) BACK(14) BACK(15)
#define LOAD "  mov 0(%rdi), %rbx\n  mov 8(%rdi), %rbp\n  mov 16(%rdi), %rdx\n  mov 24(%rdi), %rsi\n" \
    "  mov 40(%rdi), %r8\n  mov 48(%rdi), %r9\n  mov 56(%rdi), %r10\n  mov 64(%rdi), %r12\n" \
    "  mov 72(%rdi), %r13\n  mov 80(%rdi), %r14\n  mov 88(%rdi), %r15\n" \
    "  push 96(%rdi)\n  popfq\n"
#define STORE "  mov %rax, the_result(%rip)\n  mov saved_out(%rip), %rax\n" \
    "  mov %rbx, 0(%rax)\n  mov %rbp, 8(%rax)\n  mov %rdx, 16(%rax)\n  mov %rsi, 24(%rax)\n" \
    "  mov %rdi, 32(%rax)\n  mov %r8, 40(%rax)\n  mov %r9, 48(%rax)\n  mov %r10, 56(%rax)\n" \
    "  mov %r12, 64(%rax)\n  mov %r13, 72(%rax)\n  mov %r14, 80(%rax)\n  mov %r15, 88(%rax)\n"
#define KEEP_FLAGS "  lea -128(%rsp), %rsp\n  pushfq\n  pop 96(%rax)\n  push $0x202\n  popfq\n  lea 128(%rsp), %rsp\n"
#define RESTORE "  mov the_result(%rip), %rcx\n  mov %rcx, 104(%rax)\n" \
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n  ret\n"
/* The flags are loaded before the red zone is filled, as that needs the stack. No mov changes them. */
#define THROUGH(call) SAVE LOAD FILL "  mov 32(%rdi), %rdi\n" call STORE EMPTY KEEP_FLAGS RESTORE

__asm__(".data\n.balign 8\nthe_result: .quad 0\n.text\n"
        ".globl call_getppid, call_anything, call_by_library\n"
        "call_getppid:\n" THROUGH("  mov $110, %eax\n  syscall\n")
        "call_anything:\n" THROUGH("  mov the_number(%rip), %rax\n  syscall\n")
        /* A function of the library may change more, but none of those that belong to its caller. */
        "call_by_library:\n"
        SAVE LOAD "  push $0x202\n  popfq\n  sub $8, %rsp\n  mov 32(%rdi), %rdi\n  call getppid@PLT\n  add $8, %rsp\n"
        STORE RESTORE);

#define VECTOR(move, kind, size, n) "  " move " " #size "*" #n "(%rdi), %" kind #n "\n"
#define VECTOR_BACK(move, kind, size, n) "  " move " %" kind #n ", " #size "*" #n "(%rsi)\n"
#define ALL(m, move, kind, size) m(move, kind, size, 0) m(move, kind, size, 1) m(move, kind, size, 2) \
    m(move, kind, size, 3) m(move, kind, size, 4) m(move, kind, size, 5) m(move, kind, size, 6) \
    m(move, kind, size, 7) m(move, kind, size, 8) m(move, kind, size, 9) m(move, kind, size, 10) \
    m(move, kind, size, 11) m(move, kind, size, 12) m(move, kind, size, 13) m(move, kind, size, 14) \
    m(move, kind, size, 15)
#define WITH_VECTORS(name, move, kind, size, end) ".globl " name "\n" name ":\n" ALL(VECTOR, move, kind, size) \
    "  mov $110, %eax\n  syscall\n" ALL(VECTOR_BACK, move, kind, size) end "  ret\n"
__asm__(".text\n" WITH_VECTORS("call_with_xmm", "movdqu", "xmm", 16, "")
        WITH_VECTORS("call_with_ymm", "vmovdqu", "ymm", 32, "  vzeroupper\n")
        WITH_VECTORS("call_with_zmm", "vmovdqu64", "zmm", 64, "  vzeroupper\n"));

static volatile long alarms;

/* Uses vectors itself; plain loads and stores are aligned. */
static void disturb(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    __asm__ volatile("pxor %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15" ::: "xmm0", "xmm7", "xmm15");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    alarms++;
}

static uint64_t draw(void)
{
    static uint64_t random = 88172645463325252;
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return random;
}

/* Carry, parity, adjust, zero, sign, direction, overflow, alignment check. */
#define FREE_FLAGS 0x40cd5UL

static void general(const char *name, calling *call, int same_flags)
{
    uint64_t in[COUNT], out[COUNT], parent = (uint64_t)getppid();
    struct effort effort_ = effort(1000000, 1);
    long before = alarms;
    do {
        for (int i = 0; i < COUNT; i++)
            in[i] = draw();
        in[FLAGS] = (in[FLAGS] & FREE_FLAGS) | 0x202;
        memset(out, 0, sizeof out);
        call(in, out);
        CHECK(out[RESULT] == parent);
        if (same_flags) {
            in[RESULT] = parent;
            CHECK(memcmp(in, out, sizeof in) == 0);
        } else {
            CHECK(in[RBX] == out[RBX] && in[RBP] == out[RBP]);
            CHECK(memcmp(&in[R12], &out[R12], 4 * sizeof in[0]) == 0);
        }
    } while (goes_on(&effort_) || alarms < before + 20);
    printf("%s changes nothing\n", name);
}

static void vectors(const char *name, calling *call, size_t size)
{
    static uint64_t in[16 * 8], out[16 * 8];
    struct effort effort_ = effort(200000, 0.5);
    long before = alarms;
    do {
        for (size_t i = 0; i < 16 * size / 8; i++)
            in[i] = draw();
        memset(out, 0, sizeof out);
        call(in, out);
        CHECK(memcmp(in, out, 16 * size) == 0);
    } while (goes_on(&effort_) || alarms < before + 20);
    printf("%s stay\n", name);
}

int main(void)
{
    the_number = SYS_getppid;
    handle(SIGALRM, disturb, SA_RESTART);
    set_alarm_every(bearable_interval());
    general("a call from one place", call_getppid, 1);
    general("a call by a number in memory", call_anything, 1);
    general("a function of the library", call_by_library, 0);
    vectors("xmm", call_with_xmm, 16);
    if (__builtin_cpu_supports("avx"))
        vectors("ymm", call_with_ymm, 32);
    if (__builtin_cpu_supports("avx512f"))
        vectors("zmm", call_with_zmm, 64);
}
