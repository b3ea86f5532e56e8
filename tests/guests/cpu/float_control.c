/* The x87 control word and MXCSR start as the ABI says, survive calls and faults, and new threads inherit them. */
#include "check.h"
#include <fenv.h>
#include <pthread.h>
#include <xmmintrin.h>

static unsigned short x87_control(void)
{
    unsigned short word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

/* Sums that differ with the rounding mode, in both units. */
static void rounds(int mode, const char *name)
{
    volatile double third = 1.0, divisor = 3.0;
    volatile long double long_third = 1.0L, long_divisor = 3.0L;
    CHECK(fesetround(mode) == 0);
    getppid();
    char *fresh = map_private(PAGE, PROT_READ | PROT_WRITE);
    fresh[0] = 1;
    CHECK(munmap(fresh, PAGE) == 0 && fegetround() == mode);
    printf("%s: %a %La, control %04x %08x\n", name, third / divisor, long_third / long_divisor,
           x87_control(), _mm_getcsr() & ~0x3fu);
}

static void *show_inherited(void *unused)
{
    printf("in a new thread: control %04x %08x\n", x87_control(), _mm_getcsr() & ~0x3fu);
    return unused;
}

/* The eight x87 registers themselves, across a call. */
static void x87_stack_survives(void)
{
    double a = 0, b = 0;
    __asm__ volatile("fldpi\n\tfld1\n\tmov $39, %%eax\n\tsyscall\n\tfstpl %0\n\tfstpl %1"
                     : "=m"(a), "=m"(b)
                     :
                     : "rax", "rcx", "r11", "memory", "st");
    CHECK(a == 1.0 && b > 3.14159265 && b < 3.14159266);
}

static void fxsave_and_fxrstor_agree(void)
{
    static char first[512] __attribute__((aligned(16))), second[512] __attribute__((aligned(16)));
    __asm__ volatile("fxsave %0\n\tmov $39, %%eax\n\tsyscall\n\tfxsave %1\n\tfxrstor %0"
                     : "+m"(first), "=m"(second)
                     :
                     : "rax", "rcx", "r11", "memory");
    CHECK(memcmp(first, second, 416) == 0); /* the rest is the system's to use */
}

int main(void)
{
    pthread_t thread;
    printf("at the start: control %04x %08x\n", x87_control(), _mm_getcsr());
    rounds(FE_TONEAREST, "nearest");
    rounds(FE_UPWARD, "upward");
    rounds(FE_DOWNWARD, "downward");
    rounds(FE_TOWARDZERO, "toward zero");
    _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
    CHECK(pthread_create(&thread, NULL, show_inherited, NULL) == 0 && pthread_join(thread, NULL) == 0);
    volatile float tiny = 1e-38f;
    printf("denormals flushed: %s\n", tiny * 0.01f == 0 ? "yes" : "no");
    CHECK(fesetenv(FE_DFL_ENV) == 0);
    x87_stack_survives();
    fxsave_and_fxrstor_agree();
    puts("ok");
}
