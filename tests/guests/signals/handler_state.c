/* A handler may use every register; the interrupted computation never notices. */
#include "check.h"
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <sys/time.h>

static volatile sig_atomic_t count;
static volatile double wasted;

/* Uses up general, x87, SSE and (where present) AVX state, and the rounding mode. */
static void disturb(int number)
{
    volatile long double value = 3;
    double numbers[16];
    for (int i = 0; i < 16; i++)
        numbers[i] = sqrt(i + (double)number) * 1.5;
    for (int i = 0; i < 16; i++)
        wasted += numbers[i] + (double)sqrtl(value + i);
    fesetround(FE_UPWARD);
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    count++;
}

/* A sum whose every intermediate lives in registers. */
static __attribute__((noinline)) double sum(void)
{
    double a = 0, b = 1, c = 2, d = 3;
    long double e = 0;
    for (int i = 0; i < 300000; i++) {
        a += 1.0 / (i + 1), b += a * 0.5, c = c * 0.999 + b, d = d * 0.5 + c;
        e += 1.0L / (i + 1);
    }
    return a + b + c + d + (double)e;
}

static __attribute__((noinline)) uint64_t mix(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
    for (int i = 0; i < 1000000; i++) {
        a = a * 31 + b, b ^= a >> 7, c += b * 17, d = (d << 5 | d >> 59) ^ c;
        e = e * 13 + d + (a < c), f ^= e + (uint64_t)i;
    }
    return a ^ b ^ c ^ d ^ e ^ f;
}

int main(void)
{
    struct itimerval often = {{0, 1000}, {0, 1000}};
    double expected_sum = sum();
    uint64_t expected_mix = mix();
    CHECK(signal(SIGALRM, disturb) != SIG_ERR && setitimer(ITIMER_REAL, &often, NULL) == 0);
    int enough = part_of(100);
    while (count < enough) {
        CHECK(sum() == expected_sum && mix() == expected_mix);
        CHECK(fegetround() == FE_TONEAREST);
    }
    printf("%a %016llx\n", expected_sum, (unsigned long long)expected_mix);
}
