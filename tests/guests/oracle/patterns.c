/* Accesses memory in one pattern, named by the argument, and leaves. See bare.h. */
#include "bare.h"

static uint64_t seed = 0x9e3779b97f4a7c15;

static size_t below(size_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % limit;
}

static long total;

static void load(volatile char *at)
{
    total += *at;
}

static void sequential(void)
{
    volatile char *buffer = fixed_buffer(300);
    wait_for_go();
    for (size_t at = 0; at < 300 * PAGE; at += 512)
        buffer[at] = (char)at;
}

static void strided(void)
{
    volatile char *buffer = fixed_buffer(2100);
    wait_for_go();
    for (size_t page = 3; page < 2100; page += 7)
        *(volatile long *)(buffer + page * PAGE + 4088) = (long)page;
}

static void random_places(void)
{
    volatile char *buffer = fixed_buffer(2048);
    wait_for_go();
    for (int i = 0; i < 1500; i++) {
        size_t at = below(2048 * PAGE);
        if (i % 3)
            buffer[at] = (char)i;
        else
            load(buffer + at);
    }
}

static void hammer(void)
{
    volatile char *buffer = fixed_buffer(64);
    wait_for_go();
    for (int i = 0; i < 30000; i++)
        buffer[37 * PAGE + (size_t)i % PAGE] = (char)i;
}

static void set_break(char *end)
{
    CHECK(call(SYS_brk, (long)end, 0, 0, 0, 0, 0) == (long)end);
}

static void heap(void)
{
    long now = call(SYS_brk, 0, 0, 0, 0, 0, 0);
    char *base = (char *)((now + 4095) & -4096);
    region("heap", base, 256);
    wait_for_go();
    for (size_t round = 1; round <= 6; round++) {
        set_break(base + 40 * round * PAGE);
        for (size_t page = 0; page < 40 * round; page += 3 * round)
            base[page * PAGE + round] = 1;
        set_break(base + 20 * round * PAGE);
        for (size_t page = 1; page < 20 * round; page += 11)
            load(base + page * PAGE);
    }
}

static void remapped(void)
{
    volatile char *buffer = fixed_buffer(64);
    wait_for_go();
    for (size_t page = 0; page < 64; page += 4)
        buffer[page * PAGE] = 1;
    CHECK(call(SYS_munmap, (long)(buffer + 16 * PAGE), 32 * PAGE, 0, 0, 0, 0) == 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    map_at((char *)buffer + 16 * PAGE, 32 * PAGE, PROT_READ | PROT_WRITE, flags, -1);
    for (size_t page = 17; page < 48; page += 6)
        buffer[page * PAGE] = 2;
    for (size_t page = 18; page < 48; page += 6)
        load(buffer + page * PAGE);
}

/* A page in each 2 MiB of 1 GiB: each other one is written. */
static void sparse(void)
{
    volatile char *buffer = fixed_buffer(512 * 512);
    wait_for_go();
    for (size_t region = 0; region < 512; region++) {
        volatile char *at = buffer + (region * 512 + region * 37 % 512) * PAGE + region;
        if (region % 2)
            *at = 1;
        else
            load(at);
    }
}

static void reads_only(void)
{
    volatile char *buffer = fixed_buffer(1024);
    wait_for_go();
    for (size_t page = 0; page < 1024; page += 3)
        load(buffer + page * PAGE + page);
}

static void read_then_write(void)
{
    volatile char *buffer = fixed_buffer(512);
    wait_for_go();
    for (int round = 0; round < 3; round++) {
        for (size_t page = 0; page < 512; page += 2)
            load(buffer + page * PAGE);
        for (size_t page = 0; page < 512; page += 10)
            buffer[page * PAGE + 8] += 1;
    }
}

/* Zeros stored over zeros are stores, too. */
static void same_value(void)
{
    volatile char *buffer = fixed_buffer(128);
    wait_for_go();
    for (size_t page = 0; page < 128; page += 5)
        buffer[page * PAGE] = 0;
    for (size_t page = 1; page < 128; page += 5)
        buffer[page * PAGE] = buffer[page * PAGE];
}

static void unaligned(void)
{
    volatile char *buffer = fixed_buffer(256);
    wait_for_go();
    for (size_t page = 4; page < 250; page += 12) {
        char *end = (char *)buffer + page * PAGE;
        /* Across the boundary, up to it, and across it by one byte on either side. */
        __asm__ volatile("movq %1, -4(%0)\n"
                         "movq %1, %c2-8(%0)\n"
                         "movw %w1, %c3-1(%0)\n"
                         "movups %%xmm0, %c4-15(%0)\n"
                         "movups %%xmm0, %c5-1(%0)\n"
                         :
                         : "r"(end), "r"(page), "i"(2 * PAGE), "i"(4 * PAGE), "i"(6 * PAGE),
                           "i"(8 * PAGE)
                         : "memory");
    }
}

static void fill(volatile char *at, size_t bytes)
{
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(7) : "memory");
}

static void copy(volatile char *to, volatile char *from, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void string_instructions(void)
{
    volatile char *buffer = fixed_buffer(256);
    wait_for_go();
    fill(buffer + 3 * PAGE + 100, 3 * PAGE);
    fill(buffer + 10 * PAGE, PAGE);
    fill(buffer + 20 * PAGE, 0);
    copy(buffer + 30 * PAGE + 4095, buffer + 60 * PAGE, PAGE + 2);
    copy(buffer + 80 * PAGE, buffer + 100 * PAGE, 0);
    /* Downwards, eight bytes at a time, from the last of page 121. */
    volatile char *last = buffer + 122 * PAGE - 8;
    size_t words = 513;
    __asm__ volatile("std\n rep stosq\n cld" : "+D"(last), "+c"(words) : "a"(1L) : "memory");
    volatile char *a = buffer + 140 * PAGE, *b = buffer + 150 * PAGE;
    size_t bytes = 2 * PAGE;
    __asm__ volatile("repe cmpsb" : "+D"(a), "+S"(b), "+c"(bytes) : : "cc", "memory");
    volatile char *scanned = buffer + 170 * PAGE;
    bytes = PAGE + 1;
    __asm__ volatile("repe scasb" : "+D"(scanned), "+c"(bytes) : "a"(0) : "cc", "memory");
    volatile char *read = buffer + 180 * PAGE + 4095;
    __asm__ volatile("lodsb" : "+S"(read) : : "rax", "memory");
}

static int has_avx(void)
{
    uint32_t a = 1, b, c = 0, d, low, high;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c & 1u << 27) || !(c & 1u << 28))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 6) == 6;
}

/* The same bytes, whatever the processor has. */
static void store_32_bytes(volatile char *at, int avx)
{
    if (avx)
        __asm__ volatile("vmovups %%ymm0, (%0)\n vzeroupper" : : "r"(at) : "memory");
    else
        __asm__ volatile("movups %%xmm0, (%0)\n movups %%xmm0, 16(%0)" : : "r"(at) : "memory");
}

static void vectors(void)
{
    volatile char *buffer = fixed_buffer(256);
    int avx = has_avx();
    wait_for_go();
    for (size_t page = 0; page < 240; page += 8) {
        volatile char *at = buffer + page * PAGE;
        __asm__ volatile("movaps %%xmm0, (%0)\n"
                         "movntdq %%xmm0, %c1(%0)\n"
                         "movnti %%rax, %c2(%0)\n"
                         "movhps %%xmm0, %c3-4(%0)\n"
                         :
                         : "r"(at), "i"(PAGE), "i"(2 * PAGE + 8), "i"(4 * PAGE)
                         : "memory");
        store_32_bytes(at + 5 * PAGE, avx);
        store_32_bytes(at + 7 * PAGE - 16, avx);
    }
    __asm__ volatile("sfence" ::: "memory");
}

/* The processor writes the destination of a comparison that fails, too: the old value. */
static void atomics(void)
{
    volatile char *buffer = fixed_buffer(128);
    wait_for_go();
    long one = 1, two = 2, bit = 8 * 40 * (long)PAGE + 5;
    volatile char *at = buffer;
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(one) : "r"(at) : "cc", "memory");
    at += 4 * PAGE;
    __asm__ volatile("xchgq %0, (%1)" : "+r"(two) : "r"(at) : "memory");
    at += 4 * PAGE;
    __asm__ volatile("lock cmpxchgq %0, (%1)" : : "r"(two), "r"(at), "a"(77L) : "cc", "memory");
    at += 4 * PAGE;
    __asm__ volatile("lock incl (%0)" : : "r"(at) : "cc", "memory");
    at += 4 * PAGE;
    /* A bit 40 pages behind the operand's own address. */
    __asm__ volatile("btsq %0, (%1)" : : "r"(bit), "r"(at) : "cc", "memory");
    at += 4 * PAGE;
    /* Its result is used: an instrument need not know of a load that nobody wants. */
    char set;
    __asm__ volatile("btq %1, (%2)\n setc %0" : "=r"(set) : "r"(bit), "r"(at) : "cc", "memory");
    total += set;
    at += 4 * PAGE;
    __asm__ volatile("notq (%0)\n negl %c1(%0)" : : "r"(at), "i"(PAGE) : "cc", "memory");
}

static long __attribute__((noinline)) recurse(int depth)
{
    volatile char frame[3 * PAGE];
    frame[depth] = (char)depth;
    return depth ? recurse(depth - 1) + frame[depth] : 0;
}

/* Reads pages of a frame that nothing was ever stored to. */
static long __attribute__((noinline)) read_frame(size_t first)
{
    volatile char frame[200 * PAGE];
    long sum = 0;
    for (size_t page = first; page < 60; page += 2)
        sum += (volatile char)*(frame + page * PAGE);
    return sum;
}

/* 400 KiB of frames; of each, parts are never written. Then an area that is only read. */
static void deep_stack(void)
{
    wait_for_go();
    total += recurse(33);
    char byte = 0;
    __asm__ volatile("" : "+r"(byte));
    total += read_frame((size_t)byte);
}

static char data[32 * PAGE] __attribute__((aligned(4096))) = {1};
static char zeros[32 * PAGE] __attribute__((aligned(4096)));
static const char constants[16 * PAGE] __attribute__((aligned(4096))) = {1};

static void globals(void)
{
    wait_for_go();
    volatile char *of_data = data, *of_zeros = zeros;
    volatile const char *of_constants = constants;
    for (size_t page = 0; page < 32; page += 3)
        of_data[page * PAGE + page] = 2, load(of_data + (page + 1) % 32 * PAGE);
    for (size_t page = 0; page < 32; page += 5)
        of_zeros[page * PAGE + page] = 2, load(of_zeros + (page + 1) % 32 * PAGE);
    for (size_t page = 0; page < 16; page += 2)
        total += of_constants[page * PAGE];
}

static void write_and_read(volatile char *buffer, size_t pages)
{
    for (size_t page = 0; page < pages; page += 4)
        buffer[page * PAGE + page] = 1;
    for (size_t page = 1; page < pages; page += 4)
        load(buffer + page * PAGE + page);
    for (size_t page = 2; page < pages; page += 4)
        load(buffer + page * PAGE), buffer[page * PAGE] = 1;
}

static void file_mapping(int kind)
{
    int file = unnamed_file(100);
    volatile char *buffer = map_at(FIXED, 100 * PAGE, PROT_READ | PROT_WRITE, kind, file);
    wait_for_go();
    write_and_read(buffer, 100);
    /* What the kernel stores into the file is no store of the program's. */
    for (size_t page = 3; page < 100; page += 8)
        CHECK(call(SYS_pwrite64, file, (long)"text", 4, (long)(page * PAGE), 0, 0) == 4);
    if (kind == MAP_SHARED)
        CHECK(buffer[3 * PAGE] == 't');
}

static void private_file(void)
{
    file_mapping(MAP_PRIVATE);
}

static void shared_file(void)
{
    file_mapping(MAP_SHARED);
}

static void shared_memory(void)
{
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    volatile char *buffer = map_at(FIXED, 100 * PAGE, PROT_READ | PROT_WRITE, flags, -1);
    wait_for_go();
    write_and_read(buffer, 100);
}

/* The kernel fills pages; the program stores to some of them before, to some after, to some never. */
static void filled_by_kernel(void)
{
    volatile char *buffer = fixed_buffer(128);
    long zero = call(SYS_open, (long)"/dev/zero", O_RDONLY, 0, 0, 0, 0);
    CHECK(zero >= 0);
    wait_for_go();
    for (size_t page = 0; page < 64; page += 8)
        buffer[page * PAGE] = 1;
    for (size_t page = 0; page < 64; page += 4)
        CHECK(call(SYS_read, zero, (long)(buffer + page * PAGE), 5000, 0, 0, 0) == 5000);
    for (size_t page = 4; page < 64; page += 16)
        buffer[page * PAGE] = 1;
    for (size_t page = 12; page < 64; page += 16)
        load(buffer + page * PAGE);
    CHECK(call(SYS_uname, (long)(buffer + 100 * PAGE), 0, 0, 0, 0, 0) == 0);
    CHECK(call(SYS_fstat, 0, (long)(buffer + 104 * PAGE), 0, 0, 0, 0) == 0);
    CHECK(call(SYS_clock_gettime, 0, (long)(buffer + 108 * PAGE), 0, 0, 0, 0) == 0);
}

static void protections(void)
{
    volatile char *buffer = fixed_buffer(96);
    wait_for_go();
    long size = 96 * PAGE;
    for (size_t page = 0; page < 96; page += 6)
        buffer[page * PAGE] = 1;
    CHECK(call(SYS_mprotect, (long)buffer, size, PROT_READ, 0, 0, 0) == 0);
    for (size_t page = 1; page < 96; page += 6)
        load(buffer + page * PAGE);
    CHECK(call(SYS_mprotect, (long)buffer, size, PROT_READ | PROT_WRITE, 0, 0, 0) == 0);
    for (size_t page = 2; page < 96; page += 6)
        buffer[page * PAGE] = 1;
    CHECK(call(SYS_mprotect, (long)buffer, size, PROT_NONE, 0, 0, 0) == 0);
    CHECK(call(SYS_mprotect, (long)buffer, size, PROT_READ | PROT_WRITE, 0, 0, 0) == 0);
    for (size_t page = 3; page < 96; page += 6)
        load(buffer + page * PAGE), buffer[page * PAGE] = 1;
}

/* Drops pages and writes some of them, and others, again. */
static void discarded(void)
{
    volatile char *buffer = fixed_buffer(96);
    wait_for_go();
    for (size_t page = 0; page < 96; page += 4)
        buffer[page * PAGE] = 1;
    CHECK(call(SYS_madvise, (long)(buffer + 8 * PAGE), 60 * PAGE, MADV_DONTNEED, 0, 0, 0) == 0);
    for (size_t page = 12; page < 60; page += 6)
        buffer[page * PAGE] = 1;
    for (size_t page = 13; page < 60; page += 6)
        load(buffer + page * PAGE);
}

/* Moves a mapping, whose pages are then written at the new place. */
static void moved(void)
{
    volatile char *buffer = fixed_buffer(64);
    char *goal = (char *)FIXED + (64UL << 20);
    wait_for_go();
    for (size_t page = 0; page < 64; page += 4)
        buffer[page * PAGE] = 1;
    long got = call(SYS_mremap, (long)buffer, 64 * PAGE, 96 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                    (long)goal, 0);
    CHECK(got == (long)goal);
    for (size_t page = 2; page < 96; page += 8)
        goal[page * PAGE] = 1;
    for (size_t page = 3; page < 96; page += 8)
        load(goal + page * PAGE);
}

/* Where the kernel chooses: in holes that whoever set the process up has left behind. Nothing is written. */
static void holes(void)
{
    volatile char *buffers[64];
    char name[] = "hole-00";
    for (int i = 0; i < 64; i++) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS;
        buffers[i] = map_at(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, flags, -1);
        name[5] = (char)('0' + i / 10), name[6] = (char)('0' + i % 10);
        region(name, (void *)buffers[i], 16);
    }
    wait_for_go();
    for (int i = 0; i < 64; i++)
        for (size_t page = (size_t)i % 2; page < 16; page += 2)
            load(buffers[i] + page * PAGE);
}

static char **given;

/* The kernel has written the arguments; the program changes one. */
static void arguments(void)
{
    region("argument", (void *)((uintptr_t)given[1] & -PAGE), 1);
    wait_for_go();
    *(volatile char *)given[1] = 'A';
}

static const struct {
    const char *name;
    void (*run)(void);
} patterns[] = {
    {"sequential", sequential},     {"strided", strided},
    {"random", random_places},      {"hammer", hammer},
    {"heap", heap},                 {"remapped", remapped},
    {"sparse", sparse},             {"reads-only", reads_only},
    {"read-then-write", read_then_write}, {"same-value", same_value},
    {"unaligned", unaligned},       {"strings", string_instructions},
    {"vectors", vectors},           {"atomics", atomics},
    {"stack", deep_stack},          {"globals", globals},
    {"private-file", private_file}, {"shared-file", shared_file},
    {"shared-memory", shared_memory}, {"kernel", filled_by_kernel},
    {"protections", protections},   {"discarded", discarded},
    {"moved", moved},               {"arguments", arguments},
    {"holes", holes},
};

void start(long *stack)
{
    given = (char **)(stack + 1);
    CHECK(stack[0] >= 2);
    char *base = (char *)((uintptr_t)stack & -PAGE);
    region("stack", base - STACK_PAGES * PAGE, STACK_PAGES);
    /* Above: what the kernel has written. How much that is depends on the environment. */
    region("above", base, 64);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (same(given[1], patterns[i].name)) {
            patterns[i].run();
            leave(0);
        }
    CHECK(!"a pattern of this name");
}
