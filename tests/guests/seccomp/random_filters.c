/* Random programs: prints which the kernel takes, and what they answer. */
#include "filters.h"

static uint64_t state;

static unsigned below(unsigned limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 16) % limit;
}

/* A number as filters have them: small, large, or a single bit. */
static unsigned number(void)
{
    switch (below(4)) {
    case 0:
        return below(40);
    case 1:
        return 1u << below(32);
    case 2:
        return -below(40);
    default:
        return below(0x10000) << 16 | below(0x10000);
    }
}

static const unsigned short arithmetic[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,
                                            BPF_AND, BPF_LSH, BPF_RSH, BPF_XOR};
static const unsigned short branches[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};

/* One instruction of the body, which `left` others follow within it. */
static struct sock_filter random_instruction(unsigned left)
{
    unsigned short source = below(2) ? BPF_X : BPF_K, code;
    switch (below(10)) {
    case 0:;
        /* But not where the call was made, which differs from run to run. */
        unsigned word = 4 + below(14);
        word = word < 16 ? word : word - 16;
        return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, word * 4);
    case 1:
        return (struct sock_filter)BPF_STMT((below(2) ? BPF_LD : BPF_LDX) | BPF_IMM, number());
    case 2:
        return (struct sock_filter)BPF_STMT(BPF_MISC | (below(2) ? BPF_TAX : BPF_TXA), 0);
    case 3:
        return (struct sock_filter)BPF_STMT((below(2) ? BPF_LD : BPF_LDX) | BPF_MEM, below(4));
    case 4:
        return (struct sock_filter)BPF_STMT((below(2) ? BPF_LD : BPF_LDX) | BPF_W | BPF_LEN, 0);
    case 5:
        return (struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, 0);
    case 6:
    case 7:
        code = branches[below(4)];
        return (struct sock_filter)BPF_JUMP(BPF_JMP | code | source, number(), below(left + 1),
                                            below(left + 1));
    default:
        code = arithmetic[below(9)];
        /* X may be 0, and then the answer is SECCOMP_RET_KILL_THREAD. */
        if (code == BPF_DIV)
            source = BPF_K;
        unsigned k = code == BPF_LSH || code == BPF_RSH ? below(32) : number() | 1;
        return (struct sock_filter)BPF_STMT(BPF_ALU | code | source, k);
    }
}

#define BODY 12

/* Answers call `nr` with an error number that the body computes. */
static int random_program(struct sock_filter *code, int nr)
{
    int at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 1, 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    for (unsigned i = 0; i < 4; i++)
        code[at++] = (struct sock_filter)BPF_STMT(below(2) ? BPF_ST : BPF_STX, i);
    for (unsigned i = 0; i < BODY; i++)
        code[at++] = random_instruction(BODY - 1 - i);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
    return at;
}

/* One change, which most often makes it wrong. */
static void damage(struct sock_filter *one)
{
    switch (below(5)) {
    case 0:
        one->code = below(256);
        break;
    case 1:
        one->code ^= 1u << below(16);
        break;
    case 2:
        one->k = number();
        break;
    default:
        one->jt = below(256);
        one->jf = below(24);
        break;
    }
}

int main(int argc, char **argv)
{
    struct sock_filter code[64];
    CHECK(argc == 2);
    state = strtoull(argv[1], NULL, 0);
    give_up_privileges();
    for (int round = 0; round < 250; round++) {
        int nr = NOBODYS_CALL + round, length = random_program(code, nr);
        /* The damaged one is never asked: it could answer anything. */
        struct sock_filter damaged[64];
        memcpy(damaged, code, sizeof code);
        damage(&damaged[3 + below(length - 3)]);
        damaged[1].k = nr + 10000;
        errno = 0;
        long answer = install(damaged, length, 0);
        printf("%d: damaged %ld %d,", round, answer, errno);
        errno = 0;
        answer = install(code, length, 0);
        printf(" whole %ld %d,", answer, errno);
        for (int i = 0; i < 3; i++) {
            unsigned long a = number(), b = number(), c = (unsigned long)number() << 32 | number();
            errno = 0;
            syscall(nr, a, b, c, 4, 5, 6UL << 60);
            printf(" %d", errno);
        }
        printf("\n");
    }
    return 0;
}
