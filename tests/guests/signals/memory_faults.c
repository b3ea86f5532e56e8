/* Faults reach handlers with address and code; a handler may jump away, repair the page or skip the instruction. */
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile sig_atomic_t code, number_seen, repaired;
static void *volatile address;
static char *repairable;

static void escape(int number, siginfo_t *information, void *context)
{
    (void)context;
    number_seen = number, code = information->si_code, address = information->si_addr;
    siglongjmp(back, 1);
}

static void repair(int number, siginfo_t *information, void *context)
{
    (void)number, (void)context;
    char *page = (char *)((uintptr_t)information->si_addr & -PAGE);
    CHECK(page >= repairable && page < repairable + 64 * PAGE);
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
    repaired++;
}

static void skip(int number, siginfo_t *information, void *context)
{
    (void)number, (void)information;
    ucontext_t *state = context;
    state->uc_mcontext.gregs[REG_RIP] += 2; /* the length of ud2 */
    state->uc_mcontext.gregs[REG_RAX] = 77;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(number, &action, NULL) == 0);
}

#define FAULTS(statement, expected_number, expected_code, expected_address)                        \
    do {                                                                                           \
        number_seen = 0;                                                                           \
        if (sigsetjmp(back, 1) == 0) {                                                             \
            statement;                                                                             \
        }                                                                                          \
        CHECK(number_seen == (expected_number) && code == (expected_code));                        \
        CHECK(address == (void *)(expected_address));                                              \
    } while (0)

static void accesses_are_told_apart(void)
{
    volatile char *read_only = map_private(PAGE, PROT_READ), *none = map_private(PAGE, PROT_NONE);
    volatile char *gone = map_private(PAGE, PROT_READ);
    CHECK(munmap((void *)gone, PAGE) == 0);
    for (int i = 0; i < 20; i++) {
        FAULTS(*(volatile char *)NULL = 1, SIGSEGV, SEGV_MAPERR, NULL);
        FAULTS(read_only[5] = 1, SIGSEGV, SEGV_ACCERR, read_only + 5);
        FAULTS((void)none[7], SIGSEGV, SEGV_ACCERR, none + 7);
        FAULTS((void)gone[9], SIGSEGV, SEGV_MAPERR, gone + 9);
        FAULTS(((void (*)(void))(uintptr_t)read_only)(), SIGSEGV, SEGV_ACCERR, read_only);
        FAULTS((void)*(volatile char *)(1UL << 63), SIGSEGV, SI_KERNEL, NULL);
    }
}

static void file_end_is_a_bus_error(void)
{
    volatile int file = unnamed_file(100);
    volatile char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED);
    FAULTS((void)memory[PAGE + 3], SIGBUS, BUS_ADRERR, memory + PAGE + 3);
    FAULTS(memory[PAGE + 4] = 1, SIGBUS, BUS_ADRERR, memory + PAGE + 4);
    CHECK(ftruncate(file, 2 * PAGE) == 0);
    memory[PAGE + 3] = 'n';
    CHECK(memory[PAGE + 3] == 'n');
}

/* The write barrier of garbage collectors and of checkpointing programs. */
static void repaired_pages_take_the_write(void)
{
    repairable = map_private(64 * PAGE, PROT_READ);
    handle(SIGSEGV, repair);
    for (size_t i = 0; i < 64; i++) {
        ((volatile char *)repairable)[i * PAGE + 8] = (char)(i + 1);
        ((volatile char *)repairable)[i * PAGE + 9] = 1;
    }
    for (size_t i = 0; i < 64; i++)
        CHECK(repairable[i * PAGE + 8] == (char)(i + 1));
    CHECK(repaired == 64);
}

static void instructions_are_told_apart(void)
{
    volatile int zero = 0;
    number_seen = 0;
    if (sigsetjmp(back, 1) == 0)
        zero = 1000 / zero;
    CHECK(number_seen == SIGFPE && code == FPE_INTDIV && address != NULL);
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("ud2");
    CHECK(number_seen == SIGILL && code == ILL_ILLOPN && address != NULL);
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("int3");
    CHECK(number_seen == SIGTRAP && code == SI_KERNEL);
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("hlt");
    CHECK(number_seen == SIGSEGV && code == SI_KERNEL && address == NULL);
}

static void handler_can_change_registers(void)
{
    long result = 1;
    handle(SIGILL, skip);
    __asm__ volatile("ud2" : "+a"(result));
    CHECK(result == 77);
}

int main(void)
{
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        handle(numbers[i], escape);
    accesses_are_told_apart();
    file_end_is_a_bus_error();
    instructions_are_told_apart();
    handler_can_change_registers();
    repaired_pages_take_the_write();
    puts("ok");
}
