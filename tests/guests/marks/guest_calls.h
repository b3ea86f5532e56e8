/* The calls by which a program talks to the vmmload around it, as bare prctl(2). */
#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H
#include "../check.h"
#include <sys/prctl.h>

#define VMMLOAD_OPTION 0x564d4d4c
enum { ASK, MARK, NAME, EPOCH };

static inline long guest_call(long function, unsigned long a, unsigned long b, unsigned long c)
{
    return syscall(SYS_prctl, VMMLOAD_OPTION, function, a, b, c);
}

static inline long mark(const char *name)
{
    return guest_call(MARK, (unsigned long)name, 0, 0);
}

static inline long name_region(const void *start, size_t bytes, const char *name)
{
    return guest_call(NAME, (unsigned long)start, bytes, (unsigned long)name);
}

static inline long end_epoch(void)
{
    return guest_call(EPOCH, 0, 0, 0);
}

/* Begins a phase: what was stored before is in epochs up to the mark's, what follows in later ones. */
static inline void begin(const char *name)
{
    CHECK(mark(name) == 0);
    CHECK(end_epoch() > 0);
}

/* Stores to the given number of pages. */
static inline void store(char *memory, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        ((volatile char *)memory)[i * PAGE] = 1;
}
#endif
