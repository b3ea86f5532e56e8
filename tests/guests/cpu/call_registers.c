/* A system call changes rax, rcx and r11 and nothing else: registers, flags, red zone; unknown calls fail. */
#include "check.h"

struct registers {
    uint64_t rbx, rbp, rdx, rsi, rdi, r8, r9, r10, r12, r13, r14, r15, flags;
};

void call_with(uint64_t number, const struct registers *in, struct registers *out, uint64_t *rax);
extern uint64_t call_rcx, call_r11, call_red_zone;
extern const char call_return[];

/* Keeps its own state in memory, as every register is loaded. */
__asm__(".data\n"
        "call_saved: .quad 0,0,0\n"
        ".globl call_rcx, call_r11, call_red_zone, call_return, call_with\n"
        "call_rcx: .quad 0\ncall_r11: .quad 0\ncall_red_zone: .quad 0\n"
        ".text\n"
        "call_with:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  mov %rdx, call_saved(%rip)\n  mov %rcx, call_saved+8(%rip)\n"
        "  mov %rdi, %rax\n  mov %rsi, %rcx\n"
        "  push 96(%rcx)\n  popfq\n"
        "  mov 0(%rcx), %rbx\n  mov 8(%rcx), %rbp\n  mov 16(%rcx), %rdx\n  mov 24(%rcx), %rsi\n"
        "  mov 32(%rcx), %rdi\n  mov 40(%rcx), %r8\n  mov 48(%rcx), %r9\n  mov 56(%rcx), %r10\n"
        "  mov 64(%rcx), %r12\n  mov 72(%rcx), %r13\n  mov 80(%rcx), %r14\n  mov 88(%rcx), %r15\n"
        "  movq $0x5a5a, -8(%rsp)\n  movq $0x6b6b, -128(%rsp)\n"
        "  syscall\n"
        "call_return:\n"
        "  mov %rcx, call_rcx(%rip)\n  mov %r11, call_r11(%rip)\n"
        "  mov -8(%rsp), %r11\n  mov -128(%rsp), %rcx\n"
        "  lea (%r11,%rcx), %rcx\n  mov %rcx, call_red_zone(%rip)\n"
        "  mov call_saved(%rip), %rcx\n"
        "  mov %rbx, 0(%rcx)\n  mov %rbp, 8(%rcx)\n  mov %rdx, 16(%rcx)\n  mov %rsi, 24(%rcx)\n"
        "  mov %rdi, 32(%rcx)\n  mov %r8, 40(%rcx)\n  mov %r9, 48(%rcx)\n  mov %r10, 56(%rcx)\n"
        "  mov %r12, 64(%rcx)\n  mov %r13, 72(%rcx)\n  mov %r14, 80(%rcx)\n  mov %r15, 88(%rcx)\n"
        "  pushfq\n  pop 96(%rcx)\n  cld\n"
        "  mov call_saved+8(%rip), %rcx\n  mov %rax, (%rcx)\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

#define FLAGS (0x8d5UL | 0x400UL) /* carry, parity, adjust, zero, sign, overflow, direction */

static uint64_t call(uint64_t number, uint64_t flags)
{
    struct registers in = {.rbx = 0x1111111111111111, .rbp = 0x2222222222222222, .rdx = 0x3333,
                           .rsi = 0x4444444444444444, .rdi = 0x55, .r8 = 0x6666666666666666,
                           .r9 = 0x7777777777777777, .r10 = 0x8888888888888888,
                           .r12 = 0x9999999999999999, .r13 = 0xaaaaaaaaaaaaaaaa,
                           .r14 = 0xbbbbbbbbbbbbbbbb, .r15 = 0xcccccccccccccccc,
                           .flags = 0x202 | flags};
    struct registers out = {0};
    uint64_t rax = 0;
    call_with(number, &in, &out, &rax);
    CHECK((in.flags & FLAGS) == (out.flags & FLAGS));
    CHECK(call_r11 == in.flags && call_rcx == (uint64_t)call_return);
    CHECK(call_red_zone == 0x5a5a + 0x6b6b);
    in.flags = out.flags;
    CHECK(memcmp(&in, &out, sizeof in) == 0);
    return rax;
}

int main(void)
{
    for (int i = 0; i < 50; i++) {
        CHECK(call(SYS_getpid, 0) == (uint64_t)getpid());
        CHECK(call(SYS_getpid, FLAGS) == (uint64_t)getpid());
        CHECK(call(SYS_getppid, 0x401) == (uint64_t)getppid());
        CHECK(call(SYS_munmap, 0x41) == (uint64_t)-EINVAL); /* of 0x55: misaligned */
        CHECK(call(SYS_mprotect, 0x80) == (uint64_t)-EINVAL);
        CHECK(call(SYS_brk, 0x800) == (uint64_t)sbrk(0));
    }
    CHECK(call(9999, 0) == (uint64_t)-ENOSYS && call(UINT64_MAX, 0) == (uint64_t)-ENOSYS);
    CHECK(call(400, 0) == (uint64_t)-ENOSYS && call(0x40000000 + 9999, 0) == (uint64_t)-ENOSYS);
    puts("ok");
}
