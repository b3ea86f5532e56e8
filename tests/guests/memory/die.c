/* Dies of the memory fault or the exception that its argument names; never returns from it. */
#include "check.h"
#include <sys/resource.h>
#include <sys/shm.h>

#define CASE(name) if (strcmp(which, #name) == 0)

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static __attribute__((noinline)) int recurse_for_ever(volatile char *above)
{
    volatile char frame[2000];
    frame[0] = above[0];
    return recurse_for_ever(frame) + frame[0];
}

static void jump_to(char *address)
{
    address[0] = (char)0xc3; /* ret */
    ((void (*)(void))(uintptr_t)address)();
}

static char *past_the_end(int truncated_while_mapped)
{
    int file = unnamed_file(truncated_while_mapped ? 4 * PAGE : PAGE);
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED);
    if (truncated_while_mapped) {
        memory[2 * PAGE] = 1;
        CHECK(ftruncate(file, PAGE) == 0);
    }
    return memory + 2 * PAGE;
}

static char *read_only_segment(void)
{
    int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
    char *memory = shmat(id, NULL, SHM_RDONLY);
    CHECK(memory != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0 && memory[0] == 0);
    return memory;
}

static char *unmapped_after_use(void)
{
    char *memory = map_private(PAGE, PROT_READ | PROT_WRITE);
    memory[0] = 1;
    CHECK(munmap(memory, PAGE) == 0);
    return memory;
}

static char *taken_back(int protection)
{
    char *memory = map_private(PAGE, PROT_READ | PROT_WRITE);
    memory[0] = 1;
    CHECK(mprotect(memory, PAGE, protection) == 0);
    return memory;
}

static char data_of_the_program[16];
static const char constant_of_the_program[16] = "constant";

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";
    struct rlimit no_core = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
    puts("before");
    fflush(stdout);
    volatile char *null = NULL;
    volatile int nothing = 0;
    CASE(write_to_null) *null = 1;
    CASE(read_of_null) nothing = *null;
    CASE(write_to_read_only) *(volatile char *)map_private(PAGE, PROT_READ) = 1;
    CASE(read_of_inaccessible) nothing = *(volatile char *)map_private(PAGE, PROT_NONE);
    CASE(write_after_mprotect) *(volatile char *)taken_back(PROT_READ) = 1;
    CASE(read_after_mprotect) nothing = *(volatile char *)taken_back(PROT_NONE);
    CASE(read_after_munmap) nothing = *(volatile char *)unmapped_after_use();
    CASE(write_to_constant) *(volatile char *)constant_of_the_program = 1;
    CASE(write_to_code) *(volatile char *)(uintptr_t)main = 1;
    CASE(jump_to_mapping) jump_to(map_private(PAGE, PROT_READ | PROT_WRITE));
    CASE(jump_to_heap) jump_to(malloc(16));
    CASE(jump_to_data) jump_to(data_of_the_program);
    CASE(jump_to_stack) { char code[16]; jump_to(code); }
    CASE(jump_to_null) ((void (*)(void))(uintptr_t)nothing)();
    CASE(write_to_read_only_segment) *(volatile char *)read_only_segment() = 1;
    CASE(read_past_the_file) nothing = *(volatile char *)past_the_end(0);
    CASE(write_past_the_file) *(volatile char *)past_the_end(0) = 1;
    CASE(read_of_truncated_file) nothing = *(volatile char *)past_the_end(1);
    CASE(stack_overflow) nothing = recurse_for_ever(data_of_the_program);
    CASE(non_canonical_address) nothing = *(volatile char *)0x8000000000000000UL;
    CASE(kernel_address) nothing = *(volatile char *)0xffffffff81000000UL;
    CASE(undefined_instruction) __asm__ volatile("ud2");
    CASE(division_by_zero) nothing = 1000 / nothing;
    CASE(breakpoint) __asm__ volatile("int3");
    CASE(privileged_instruction) __asm__ volatile("hlt");
    CASE(port_output) __asm__ volatile("outb %%al, %%dx" ::"a"(0), "d"(0x80));
    CASE(interrupt_flag) __asm__ volatile("cli");
    CASE(unknown_interrupt) __asm__ volatile("int $0x55");
    CASE(abort) abort();
    fprintf(stderr, "FAILED: survived %s\n", which);
    return 1;
}
