/* Writes memory of all kinds, and takes it away, names it and maps it again: which mapping has which event? The
 * argument names the scene. Reports its regions, and waits for a byte before each step. */
#include "check.h"
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define FEW 4UL
#define ANYWHERE NULL

static char data[FEW * PAGE] __attribute__((aligned(PAGE))) = {1};

static void region(const char *name, const volatile void *start, size_t pages)
{
    printf("region %s %#lx %#lx\n", name, (unsigned long)start, pages);
}

static void step(const char *answer)
{
    char byte;
    puts(answer);
    fflush(stdout);
    CHECK(read(0, &byte, 1) == 1);
}

static void write_pages(volatile char *buffer, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        buffer[i * PAGE + i] = (char)(i + 1);
}

/* A kernel that is built without names refuses this. */
static void name(void *memory, size_t pages, const char *name)
{
    int status = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, pages * PAGE, name);
    CHECK(status == 0 || errno == EINVAL);
}

static char *map(void *where, size_t pages, int flags, int file)
{
    char *memory = mmap(where, pages * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    CHECK(memory != MAP_FAILED && (!where || memory == where));
    return memory;
}

static char *anonymous(void *where, size_t pages, int more)
{
    return map(where, pages, MAP_PRIVATE | MAP_ANONYMOUS | more, -1);
}

static void written(const char *name, char *memory)
{
    region(name, memory, FEW);
    write_pages(memory, 0, FEW);
}

/* Where in its file the program keeps `address`. */
static int find_offset(struct dl_phdr_info *info, size_t size, void *offset)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        size_t inside = (uintptr_t)data - info->dlpi_addr - part->p_vaddr;
        if (part->p_type == PT_LOAD && inside < part->p_filesz) {
            *(size_t *)offset = part->p_offset + inside;
            return 1;
        }
    }
    return 0;
}

struct on_stack {
    pid_t thread;
    char *start;
};

static char *page_above(char *address)
{
    return (char *)(((uintptr_t)address + PAGE - 1) & -PAGE);
}

static void *use_stack(void *argument)
{
    char frame[(FEW + 1) * PAGE];
    struct on_stack *here = argument;
    here->thread = gettid();
    here->start = page_above(frame);
    write_pages(here->start, 0, FEW);
    return NULL;
}

static struct on_stack run_thread(void)
{
    struct on_stack here;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_stack, &here) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return here;
}

static void shared_places(void)
{
    written("shared", map(ANYWHERE, FEW, MAP_SHARED | MAP_ANONYMOUS, -1));
    int memory = memfd_create("some", 0);
    CHECK(memory >= 0 && ftruncate(memory, FEW * PAGE) == 0);
    written("memfd", map(ANYWHERE, FEW, MAP_SHARED, memory));
    int zero = open("/dev/zero", O_RDWR);
    CHECK(zero >= 0);
    written("zero", map(ANYWHERE, FEW, MAP_SHARED, zero));
    int segment = shmget(IPC_PRIVATE, FEW * PAGE, IPC_CREAT | 0600);
    CHECK(segment >= 0);
    char *attached = shmat(segment, NULL, 0);
    CHECK(attached != (char *)-1 && shmctl(segment, IPC_RMID, NULL) == 0);
    written("segment", attached);
}

/* Two threads, one after the other, on one stack. */
static void places(void)
{
    char frame[(FEW + 1) * PAGE];
    size_t offset = 0;
    char answer[100];
    CHECK(dl_iterate_phdr(find_offset, &offset) == 1);
    written("data", data);
    CHECK(sbrk((intptr_t)(-(uintptr_t)sbrk(0) & (PAGE - 1))) != (void *)-1);
    written("heap", sbrk(FEW * PAGE));
    written("stack", page_above(frame));
    char *named = anonymous(ANYWHERE, FEW, 0);
    name(named, FEW, "own name");
    written("named", named);
    written("anonymous", anonymous((void *)0x2000000000UL, FEW, MAP_FIXED_NOREPLACE));
    shared_places();
    struct on_stack first = run_thread(), second = run_thread();
    CHECK(first.start == second.start && first.thread != second.thread);
    region("thread", first.start, FEW);
    step("ready");
    sprintf(answer, "%d %d %zu", first.thread, second.thread, offset);
    step(answer);
}

enum way { UNMAPPED, COVERED, MOVED };

/* Another mapping at the same address, 8 pages. */
static void replaced(enum way way)
{
    char *buffer = anonymous(ANYWHERE, 8, 0);
    name(buffer, 8, "first");
    region("buffer", buffer, 8);
    step("ready");
    write_pages(buffer, 0, 8);
    step("done");
    if (way == UNMAPPED)
        CHECK(munmap(buffer, 8 * PAGE) == 0);
    if (way == MOVED)
        CHECK(mremap(buffer, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
    CHECK(anonymous(buffer, 8, way == COVERED ? MAP_FIXED : MAP_FIXED_NOREPLACE) == buffer);
    name(buffer, 8, "second");
    write_pages(buffer, 0, 8);
    step("done");
}

static void unmapped(void)
{
    replaced(UNMAPPED);
}

static void covered(void)
{
    replaced(COVERED);
}

static void moved(void)
{
    replaced(MOVED);
}

/* The end of the heap is given back, and taken again; its first page stays. */
static void shrunk(void)
{
    static char output[PAGE];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    CHECK(sbrk((intptr_t)(-(uintptr_t)sbrk(0) & (PAGE - 1)) + (intptr_t)PAGE) != (void *)-1);
    char *buffer = sbrk(8 * PAGE);
    CHECK(buffer != (char *)-1);
    region("buffer", buffer, 8);
    step("ready");
    write_pages(buffer, 0, 8);
    step("done");
    CHECK(brk(buffer) == 0 && brk(buffer + 8 * PAGE) == 0);
    CHECK(all_bytes(buffer, 8 * PAGE, 0));
    write_pages(buffer, 0, 8);
    step("done");
}

/* All is written, then half of it named, and half of that named again. The other buffer is named as a whole. */
static void named_in_parts(void)
{
    char *buffer = anonymous(ANYWHERE, 8, 0), *whole = anonymous((void *)0x2000000000UL, 8, 0);
    region("buffer", buffer, 8);
    region("whole", whole, 8);
    step("ready");
    write_pages(buffer, 0, 8);
    name(buffer + 4 * PAGE, 4, "half");
    write_pages(buffer, 0, 8);
    name(buffer + 4 * PAGE, 2, "quarter");
    name(buffer + 6 * PAGE, 2, "half");
    write_pages(buffer, 0, 8);
    write_pages(whole, 0, 8);
    name(whole, 8, "whole");
    write_pages(whole, 0, 8);
    step("done");
}

/* Maps, names, writes, cuts and unmaps. Not more than ever so many: the table remembers no more. */
static void *change(void *number)
{
    for (int i = 0; i < part_of(200); i++) {
        size_t pages = 3 + (size_t)i % 5;
        char text[40];
        snprintf(text, sizeof text, "thread %ld, %d", (long)number, i);
        int flags = i % 4 ? MAP_PRIVATE : MAP_SHARED;
        char *memory = map(ANYWHERE, pages, flags | MAP_ANONYMOUS, -1);
        if (i % 3 == 0)
            write_pages(memory, 0, pages);
        name(memory, pages, text);
        write_pages(memory, 0, pages);
        if (i % 2)
            CHECK(munmap(memory + PAGE, PAGE) == 0);
        if (i % 5 == 0)
            usleep(5000);
        write_pages(memory, 2, pages);
        CHECK(munmap(memory, pages * PAGE) == 0);
        usleep(1000);
    }
    return NULL;
}

static void changing(void)
{
    pthread_t threads[2];
    step("ready");
    for (long i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, change, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static int is_told_to_end(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One page all the time, another every 50 ms. */
static void rates(void)
{
    volatile char *buffer = anonymous(ANYWHERE, 2, 0);
    region("buffer", buffer, 2);
    step("ready");
    double next = seconds();
    while (!is_told_to_end()) {
        for (int i = 0; i < 10000; i++)
            buffer[0]++;
        if (seconds() < next)
            continue;
        buffer[PAGE]++;
        next = seconds() + 0.05;
    }
}

/* All pages all the time. */
static void busy(void)
{
    char *buffer = anonymous(ANYWHERE, 600, 0);
    region("buffer", buffer, 600);
    step("ready");
    while (!is_told_to_end())
        for (int i = 0; i < 20; i++)
            write_pages(buffer, 0, 600);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenes[] = {
    {"places", places},     {"unmapped", unmapped}, {"covered", covered},
    {"moved", moved},       {"shrunk", shrunk},     {"named-in-parts", named_in_parts},
    {"changing", changing}, {"rates", rates},       {"busy", busy},
};

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (strcmp(argv[1], scenes[i].name) == 0) {
            scenes[i].run();
            return 0;
        }
    CHECK(!"a scene of this name");
}
