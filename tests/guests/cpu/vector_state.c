/* AVX2 and AVX-512 work where the processor says so, and their registers survive calls and page faults. */
#include "check.h"
#include <immintrin.h>

/* Fills all registers, does something that leaves the processor, and stores them all again. */
#define ROUND_TRIP(WIDTH, MOVE, REGISTER)                                                          \
    __asm__ volatile(MOVE " 0*" WIDTH "(%[in]), " REGISTER "0\n\t"                                 \
                     MOVE " 1*" WIDTH "(%[in]), " REGISTER "1\n\t"                                 \
                     MOVE " 2*" WIDTH "(%[in]), " REGISTER "7\n\t"                                 \
                     MOVE " 3*" WIDTH "(%[in]), " REGISTER "15\n\t"                                \
                     "mov $39, %%eax\n\tsyscall\n\t"                                               \
                     "movb $1, (%[fresh])\n\t"                                                     \
                     MOVE " " REGISTER "0, 0*" WIDTH "(%[out])\n\t"                                \
                     MOVE " " REGISTER "1, 1*" WIDTH "(%[out])\n\t"                                \
                     MOVE " " REGISTER "7, 2*" WIDTH "(%[out])\n\t"                                \
                     MOVE " " REGISTER "15, 3*" WIDTH "(%[out])"                                   \
                     :                                                                             \
                     : [in] "r"(in), [out] "r"(out), [fresh] "r"(fresh)                            \
                     : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm15")

static char in[4 * 64], out[4 * 64];

static void different_every_time(int round)
{
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)(i * 7 + (size_t)round * 13 + 1);
    memset(out, 0, sizeof out);
}

__attribute__((target("avx2"))) static void avx2_survives(char *fresh)
{
    ROUND_TRIP("32", "vmovdqu", "%%ymm");
    CHECK(memcmp(in, out, 4 * 32) == 0);
}

/* The upper 16 registers and the masks have state components of their own. */
__attribute__((target("avx512f,avx512bw"))) static void avx512_survives(char *fresh)
{
    ROUND_TRIP("64", "vmovdqu64", "%%zmm");
    CHECK(memcmp(in, out, 4 * 64) == 0);
    uint64_t mask = 0x123456789abcdef0, seen = 0;
    __asm__ volatile("vmovdqu64 (%[in]), %%zmm31\n\tkmovq %[mask], %%k3\n\t"
                     "mov $39, %%eax\n\tsyscall\n\tmovb $2, 4096(%[fresh])\n\t"
                     "kmovq %%k3, %[seen]\n\tvmovdqu64 %%zmm31, 64(%[out])"
                     : [seen] "=&r"(seen)
                     : [in] "r"(in), [out] "r"(out), [mask] "r"(mask), [fresh] "r"(fresh)
                     : "rax", "rcx", "r11", "memory", "xmm31", "k3");
    CHECK(seen == mask && memcmp(in, out + 64, 64) == 0);
}

__attribute__((target("avx2"))) static long long avx2_sum(const int *numbers, int count)
{
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < count; i += 8)
        sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const __m256i *)(numbers + i)));
    int parts[8];
    long long total = 0;
    _mm256_storeu_si256((__m256i *)parts, sum);
    for (int i = 0; i < 8; i++)
        total += parts[i];
    return total;
}

int main(void)
{
    static int numbers[80000];
    long long plain = 0;
    for (int i = 0; i < 80000; i++)
        plain += numbers[i] = i % 1000;
    int has_avx2 = __builtin_cpu_supports("avx2"), has_avx512 = __builtin_cpu_supports("avx512bw");
    for (int round = 0; round < 500; round++) {
        char *fresh = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
        different_every_time(round);
        if (has_avx2)
            avx2_survives(fresh);
        if (has_avx512)
            avx512_survives(fresh);
        CHECK(munmap(fresh, 2 * PAGE) == 0);
    }
    if (has_avx2)
        CHECK(avx2_sum(numbers, 80000) == plain);
    printf("avx2 %d, avx512bw %d, sum %lld\n", !!has_avx2, !!has_avx512, plain);
}
