/* What only 32-bit and 16-bit code needs: prints how each is refused. */
#include "check.h"
#include <asm/ldt.h>
#include <sys/wait.h>

static void *saw;

static void leave(int signal, siginfo_t *info, void *context)
{
    (void)context;
    saw = info->si_addr;
    printf("int 0x80: signal %d, code %d\n", signal, info->si_code);
    fflush(stdout);
    _exit(0);
}

int main(void)
{
    struct user_desc segment = {.limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1};
    for (int i = 0; i < 2; i++)
        printf("modify_ldt: %s\n", syscall(SYS_modify_ldt, 1, &segment, sizeof segment) == -1
                                       ? strerror(errno)
                                       : "works");
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    long answer = 20; /* getpid of 32-bit programs */
    __asm__ volatile("int $0x80" : "+a"(answer)::"r8", "r9", "r10", "r11", "memory");
    printf("int 0x80: %s\n", answer == getpid() ? "works" : "gave something else");
    return 0;
}
