/* Code written at run time runs: RW then RX, rewritten many times, RWX, and through two views of one file. */
#include "check.h"

typedef int (*function)(void);

/* mov eax, VALUE; ret */
static void write_code(char *at, int value)
{
    at[0] = (char)0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = (char)0xc3;
}

static int run(char *at)
{
    return ((function)(uintptr_t)at)();
}

static void rewritten_between_rw_and_rx(void)
{
    char *code = map_private(PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 300; i++) {
        write_code(code, i);
        CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0 && run(code) == i);
        CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0);
    }
}

static void rewritten_in_place(void)
{
    char *code = map_private(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < 1000; i++) {
        write_code(code, i);
        CHECK(run(code) == i);
    }
}

static void written_through_another_view(void)
{
    int file = memfd_create("code", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    char *writer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *runner = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    CHECK(writer != MAP_FAILED && runner != MAP_FAILED);
    for (int i = 0; i < 300; i++) {
        write_code(writer, i);
        CHECK(run(runner) == i);
    }
}

static void over_a_page_boundary(void)
{
    char *code = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
    write_code(code + PAGE - 3, 77);
    CHECK(mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC) == 0 && run(code + PAGE - 3) == 77);
}

int main(void)
{
    rewritten_between_rw_and_rx();
    rewritten_in_place();
    written_through_another_view();
    over_a_page_boundary();
    puts("ok");
}
