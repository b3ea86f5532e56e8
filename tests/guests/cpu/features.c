/* The processor's features that programs choose their code by, and their use of them. */
#include "check.h"
#include <cpuid.h>
#include <immintrin.h>
#include <x86intrin.h>

#define SHOW(feature) printf(#feature " %d\n", !!__builtin_cpu_supports(#feature))

__attribute__((target("sse4.2"))) static unsigned checksum(void)
{
    return _mm_crc32_u32(0, 0x12345678);
}

__attribute__((target("aes,sse2"))) static int aes_round(void)
{
    __m128i block = _mm_aesenc_si128(_mm_set1_epi8(0x35), _mm_set1_epi8(0x5a));
    return _mm_cvtsi128_si32(block);
}

__attribute__((target("bmi2"))) static unsigned deposited(void)
{
    return _pdep_u32(0xff, 0x0f0f0f0f);
}

__attribute__((target("rdrnd"))) static int random_works(void)
{
    unsigned long long value;
    for (int i = 0; i < 100; i++)
        if (_rdrand64_step(&value))
            return 1;
    return 0;
}

__attribute__((target("xsave"))) static unsigned long long enabled_states(void)
{
    return _xgetbv(0);
}

int main(void)
{
    unsigned a, b, c, d;
    SHOW(sse2), SHOW(sse3), SHOW(ssse3), SHOW(sse4.1), SHOW(sse4.2), SHOW(popcnt), SHOW(aes);
    SHOW(pclmul), SHOW(avx), SHOW(avx2), SHOW(fma), SHOW(bmi), SHOW(bmi2), SHOW(avx512f);
    SHOW(avx512bw), SHOW(avx512vl), SHOW(avx512vnni);
    CHECK(__get_cpuid(1, &a, &b, &c, &d));
    /* XSAVE is usable where the kernel has enabled it; whether the processor has it all the same is
     * for kernels to know. */
    printf("osxsave %d, rdrand %d\n", !!(c & bit_OSXSAVE), !!(c & bit_RDRND));
    if (c & bit_OSXSAVE)
        printf("enabled states %#llx\n", enabled_states() & 0xe7);
    if (__builtin_cpu_supports("sse4.2"))
        printf("checksum %08x\n", checksum());
    if (__builtin_cpu_supports("aes"))
        printf("aes %08x\n", (unsigned)aes_round());
    if (__builtin_cpu_supports("bmi2"))
        printf("deposited %08x\n", deposited());
    if (c & bit_RDRND)
        printf("random %s\n", random_works() ? "works" : "never ready");
}
