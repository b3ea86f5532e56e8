/* What a program without the C library needs: a first function, system calls, and lines of output.
 *
 * Every page that such a program writes is written by its own source: nothing of a loader or a library
 * happens before or after, so that the whole process can be compared. The stack begins at a page
 * boundary, whatever the kernel put above it: pages below are then the same ones, counted from there. */
#ifndef BARE_H
#define BARE_H
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096UL
/* Pages of the stack that are reported. */
#define STACK_PAGES 512UL
/* Where buffers are mapped: the same address in every run. */
#define FIXED ((void *)0x2000000000UL)

static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline void leave(int status)
{
    for (;;)
        call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void say(const char *text)
{
    if (call(SYS_write, 1, (long)text, (long)length(text), 0, 0, 0) < 0)
        leave(3);
}

/* Ends the program with status 1 and a line that says what did not hold. */
#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            static const char text[] = "FAILED: " #condition "\n";                                \
            call(SYS_write, 2, (long)text, sizeof text - 1, 0, 0, 0);                             \
            leave(1);                                                                             \
        }                                                                                         \
    } while (0)

static void say_hexadecimal(uint64_t value)
{
    char text[20] = " 0x";
    for (int i = 0; i < 16; i++)
        text[3 + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    text[19] = 0;
    say(text);
}

/* Reports memory that lies at another address in another run: `region NAME START PAGES`. */
static void region(const char *name, void *start, size_t pages)
{
    say("region ");
    say(name);
    say_hexadecimal((uint64_t)start);
    say_hexadecimal(pages);
    say("\n");
}

/* Filled by the kernel, read by the program. */
static char gate[PAGE] __attribute__((aligned(4096)));

/* All regions are reported; waits until the reader wants the program to go on. */
static void wait_for_go(void)
{
    say("ready\n");
    CHECK(call(SYS_read, 0, (long)gate, 1, 0, 0, 0) == 1 && gate[0] == 'g');
}

static char *map_at(void *where, size_t bytes, int protection, int flags, int file)
{
    int hint = where && !(flags & MAP_FIXED) ? MAP_FIXED_NOREPLACE : 0;
    long got = call(SYS_mmap, (long)where, (long)bytes, protection, flags | hint, file, 0);
    CHECK(!where || got == (long)where);
    CHECK(got > 0);
    return (char *)got;
}

/* Fresh memory at the fixed address, whose pages are never joined to huge ones. */
static volatile char *fixed_buffer(size_t pages)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    char *memory = map_at(FIXED, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1);
    call(SYS_madvise, (long)memory, (long)(pages * PAGE), MADV_NOHUGEPAGE, 0, 0, 0);
    return memory;
}

/* An unnamed file of so many pages, on a disk where there is one. */
static int unnamed_file(size_t pages)
{
    long file = call(SYS_open, (long)".", O_TMPFILE | O_RDWR, 0600, 0, 0, 0);
    if (file < 0)
        file = call(SYS_memfd_create, (long)"file", 0, 0, 0, 0, 0);
    CHECK(file >= 0 && call(SYS_ftruncate, file, (long)(pages * PAGE), 0, 0, 0, 0) == 0);
    return (int)file;
}

void start(long *stack);

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rdi\n"
        "    and $-4096, %rsp\n"
        "    xor %ebp, %ebp\n"
        "    call start\n"
        "    hlt\n");

#endif
