/* What every guest shares: checks that name what failed, and a few short names. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

/* Ends the whole program with status 1 and a line that says what did not hold. */
#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "FAILED line %d: %s (errno: %s)\n", __LINE__, #condition,             \
                    strerror(errno));                                                             \
            _exit(1);                                                                             \
        }                                                                                         \
    } while (0)

/* The call must fail, and with this error. */
#define CHECK_ERROR(call, error)                                                                  \
    do {                                                                                          \
        errno = 0;                                                                                \
        long result_ = (long)(call);                                                              \
        if (result_ != -1 || errno != (error)) {                                                  \
            fprintf(stderr, "FAILED line %d: %s gave %s, not " #error "\n", __LINE__, #call,      \
                    result_ == -1 ? strerror(errno) : "success");                                 \
            _exit(1);                                                                             \
        }                                                                                         \
    } while (0)

/* An amount of work as this machine can do it: an emulated one does a part only. */
static inline int part_of(int amount)
{
    const char *divisor = getenv("VMMLOAD_WORK_DIVISOR");
    int share = divisor ? atoi(divisor) : 1;
    CHECK(share > 0);
    return amount / share > 0 ? amount / share : 1;
}

/* Private anonymous memory at an address of the kernel's choice. */
static inline char *map_private(size_t bytes, int protection)
{
    char *memory = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Whether all bytes have one value. */
static inline int all_bytes(const char *memory, size_t bytes, char value)
{
    for (size_t i = 0; i < bytes; i++)
        if (memory[i] != value)
            return 0;
    return 1;
}

/* An unnamed file of the given size in the current directory's file system, or in memory. */
static inline int unnamed_file(size_t bytes)
{
    int file = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0)
        file = memfd_create("file", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, (off_t)bytes) == 0);
    return file;
}

static inline int open_null(int flags)
{
    int file = open("/dev/null", flags);
    CHECK(file >= 0);
    return file;
}

#endif
