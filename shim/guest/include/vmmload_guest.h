// Lets a program tell vmmload, from inside, what it is doing: which phase begins, what a piece of memory is called, and
// where one epoch ends and the next begins.
//
// Everything is in this header: nothing to link, no call of the C library, no allocation, no lock. It is for C11 and
// later and C++11 and later, by gcc or clang, for programs of every kind: dynamic, static, freestanding. On anything but
// 64-bit Linux on x86-64 each function does nothing, and so it does in a program that does not run in vmmload: it
// loads one int, takes one branch, and looks at none of its arguments.
//
// Whether the program runs in vmmload is asked at the first use of any function, by a system call that every kernel
// refuses with EINVAL and only vmmload answers: prctl(0x564d4d4c, 0, 0, 0, 0). The answer is kept in one variable of the
// program, and one of each shared library that includes this header. It holds as long as the program runs: it
// stays over fork(2), and a program that is executed asks anew. So vmmload_inside() before a seccomp(2) filter that
// forbids prctl is enough for all that follows in the same program or library.
//
// All functions may be called by any thread, at any time, also in a signal handler. None changes errno. Inside, each is a
// system call, which the program's own seccomp filters judge like any other prctl(2). Marks and epochs belong to the
// whole process, whichever thread makes them.
//
// Names are NUL-terminated strings of 1 to 255 bytes, which vmmload copies before the call returns. Any bytes may be in
// them; those that are not printable are shown with escapes.

#ifndef VMMLOAD_GUEST_H
#define VMMLOAD_GUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What stands between these lines is for the functions below only.

#if defined(__x86_64__) && defined(__LP64__) && defined(__linux__)

#define VMMLOAD_GUEST_ASK_ 0
#define VMMLOAD_GUEST_MARK_ 1
#define VMMLOAD_GUEST_NAME_ 2
#define VMMLOAD_GUEST_EPOCH_ 3

// 0: not asked yet; -1: not inside; above 0: inside, the version of this interface. Weak, so that all files of a program
// have one together; hidden, so that no library depends on another one that may be unloaded before it.
extern int vmmload_guest_answer_ __attribute__((weak, visibility("hidden")));
int vmmload_guest_answer_ __attribute__((weak, visibility("hidden"))) = 0;

static inline long vmmload_guest_call_(long function, uintptr_t a, uintptr_t b, uintptr_t c)
{
    long result = 157; // prctl
    __asm__ __volatile__("{movq %[b], %%r10|mov r10, %[b]}\n\t"
                         "{movq %[c], %%r8|mov r8, %[c]}\n\t"
                         "syscall"
                         : "+a"(result)
                         : "D"(0x564d4d4cL), "S"(function), "d"(a), [b] "r"(b), [c] "r"(c)
                         : "rcx", "r8", "r10", "r11", "cc", "memory");
    return result;
}

// Two threads that come here at once ask both, and are told the same.
__attribute__((cold, unused)) static int vmmload_guest_ask_(void)
{
    long answer = vmmload_guest_call_(VMMLOAD_GUEST_ASK_, 0, 0, 0);
    int kept = answer > 0 ? (int)answer : -1;
    __atomic_store_n(&vmmload_guest_answer_, kept, __ATOMIC_RELAXED);
    return kept;
}

static inline int vmmload_guest_inside_(void)
{
    int answer = __atomic_load_n(&vmmload_guest_answer_, __ATOMIC_RELAXED);
    if (__builtin_expect(answer < 0, 1))
        return 0;
    return (answer != 0 ? answer : vmmload_guest_ask_()) > 0;
}

#else

#define VMMLOAD_GUEST_MARK_ 1
#define VMMLOAD_GUEST_NAME_ 2
#define VMMLOAD_GUEST_EPOCH_ 3

static inline long vmmload_guest_call_(long function, uintptr_t a, uintptr_t b, uintptr_t c)
{
    (void)function, (void)a, (void)b, (void)c;
    return 0;
}

static inline int vmmload_guest_inside_(void)
{
    return 0;
}

#endif

// What stands above these lines is for the functions below only.

/// Whether this program runs in vmmload: 1, else 0.
///
/// Costs one system call at the first use, and a load and a branch from then on, inside as natively.
static inline int vmmload_inside(void)
{
    return vmmload_guest_inside_();
}

/// Says that a phase of the program begins now, and with it that the one before has ended. Readers get the mark with the
/// time and the number of the epoch that it falls into. The epoch goes on: to have every store before the mark in other
/// epochs than every store behind it, end the epoch right after it, with vmmload_epoch().
///
/// Returns 0, natively always. Inside, -EFAULT: `phase` cannot be read; -EINVAL: it is empty; -ENAMETOOLONG: it is longer
/// than 255 bytes.
static inline int vmmload_mark(const char *phase)
{
    if (!vmmload_guest_inside_())
        return 0;
    return (int)vmmload_guest_call_(VMMLOAD_GUEST_MARK_, (uintptr_t)phase, 0, 0);
}

/// Gives a name to the `len` bytes of memory at `addr`, for readers to show instead of that of the file or the heap that it
/// is a part of. The name holds for the whole pages, of 4,096 bytes, that any of the bytes lie in; a later name of a page
/// replaces an earlier one, and what is unmapped loses it.
///
/// Returns 0, natively always. Inside, -EFAULT: `name` cannot be read; -EINVAL: `name` is empty, or `len` is 0, or the
/// range goes beyond the end of the address space; -ENAMETOOLONG: `name` is longer than 255 bytes; -ENOMEM: nothing of
/// the range is mapped.
static inline int vmmload_name_region(const void *addr, size_t len, const char *name)
{
    if (!vmmload_guest_inside_())
        return 0;
    return (int)vmmload_guest_call_(VMMLOAD_GUEST_NAME_, (uintptr_t)addr, len, (uintptr_t)name);
}

/// Ends the epoch now, whatever is left of its interval: what is written from here on counts for the next one. All that
/// the program has stored before is published when it returns. (Of another thread that computes meanwhile and gets no
/// processor for 20 ms, the last two pages that it has stored to may be in the later epoch.)
///
/// Returns the number of the epoch that begins, which is above 0; 0 natively, or where vmmload refuses.
static inline uint64_t vmmload_begin_epoch(void)
{
    long number;
    if (!vmmload_guest_inside_())
        return 0;
    number = vmmload_guest_call_(VMMLOAD_GUEST_EPOCH_, 0, 0, 0);
    return number > 0 ? (uint64_t)number : 0;
}

/// The short name of vmmload_begin_epoch. A macro with parentheses, so that it gets along with the struct of that name in
/// vmmload.h, for a program that includes both.
#define vmmload_epoch() vmmload_begin_epoch()

#ifdef __cplusplus
}
#endif

#endif
