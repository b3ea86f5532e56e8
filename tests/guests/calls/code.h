/* Files with code that calls, made by the program itself, and functions in them. */
#ifndef CODE_H
#define CODE_H
#include "calls.h"

/* One function: the number, the call, and back, behind so many instructions that do nothing. */
static inline size_t code_of(unsigned char *code, unsigned number, int nops)
{
    size_t length = 0;
    while (nops-- > 0)
        code[length++] = 0x90;
    code[length++] = 0xb8; /* mov $number, %eax */
    memcpy(code + length, &number, 4);
    length += 4;
    code[length++] = 0x0f; /* syscall */
    code[length++] = 0x05;
    code[length++] = 0xc3; /* ret */
    return length;
}

/* A page of int3 with the function at its begin. */
static inline void page_of(unsigned char *page, unsigned number, int nops)
{
    memset(page, 0xcc, PAGE);
    code_of(page, number, nops);
}

/* A file of the current directory, with a name like any program's, open in the given way. */
static inline int file_with(const unsigned char *page, int flags)
{
    static int count;
    char name[32];
    snprintf(name, sizeof name, "code-%d", count++);
    int made = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    CHECK(made >= 0 && write(made, page, PAGE) == (ssize_t)PAGE && close(made) == 0);
    int file = open(name, flags | O_CLOEXEC);
    CHECK(file >= 0);
    return file;
}

static inline unsigned char *map_code(void *at, int file, int flags)
{
    unsigned char *code = mmap(at, PAGE, PROT_READ | PROT_EXEC, flags | (at ? MAP_FIXED : 0), file, 0);
    CHECK(code != MAP_FAILED);
    return code;
}

static inline long run(const void *code)
{
    return ((long (*)(void))(uintptr_t)code)();
}

static inline int is_unchanged(int file, const unsigned char *page)
{
    unsigned char now_[PAGE];
    return pread(file, now_, PAGE, 0) == (ssize_t)PAGE && memcmp(now_, page, PAGE) == 0;
}

/* Often enough that the place is found to be hot; `expected` each time. */
static inline void run_hot(const void *code, long expected)
{
    struct effort effort_ = effort(20000, 0.25);
    while (goes_on(&effort_))
        CHECK(run(code) == expected);
}
#endif
