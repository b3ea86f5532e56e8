/* Writes and reads known pages on both sides of a boundary: a fork, an exec, a mapping that goes. The
 * argument names which. Reports its regions, and waits for a byte before each step; a step that is done is
 * answered by a line, `done`, or what the reader has to know. */
#include "check.h"
#include <sys/wait.h>

static long sum;

static void region(const char *name, const volatile char *start, size_t pages)
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

static void read_pages(volatile char *buffer, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        sum += buffer[i * PAGE];
}

static char *mapped(const char *name, size_t pages, int flags, int file)
{
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    CHECK(memory != MAP_FAILED);
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    region(name, memory, pages);
    return memory;
}

static char *private(const char *name, size_t pages)
{
    return mapped(name, pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* Says `child PID` in the child, which goes on when the reader wants it to. */
static pid_t forked(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char line[40];
        snprintf(line, sizeof line, "child %d", getpid());
        step(line);
    }
    return child;
}

static void end_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* The child reads 0 to 16 and writes 16 to 32; its parent then reads 32 to 40 and writes 40 to 56. */
static void copies(void)
{
    char *buffer = private("buffer", 64);
    step("ready");
    write_pages(buffer, 0, 64);
    step("done");
    pid_t child = forked();
    if (child == 0) {
        read_pages(buffer, 0, 16);
        write_pages(buffer, 16, 32);
        step("done");
        _exit(0);
    }
    end_of(child);
    step("done");
    read_pages(buffer, 32, 40);
    write_pages(buffer, 40, 56);
}

/* Parent and child write to the same memory: the parent 0 to 20, the child 10 to 30; both read it all. */
static void shared(volatile char *buffer, size_t pages)
{
    step("ready");
    pid_t child = forked();
    if (child == 0) {
        write_pages(buffer, 10, 30);
        read_pages(buffer, 0, pages);
        step("done");
        _exit(0);
    }
    end_of(child);
    write_pages(buffer, 0, 20);
    read_pages(buffer, 0, pages);
}

static void shared_memory(void)
{
    shared(mapped("buffer", 64, MAP_SHARED | MAP_ANONYMOUS, -1), 64);
}

static void shared_file(void)
{
    shared(mapped("buffer", 64, MAP_SHARED, unnamed_file(64 * PAGE)), 64);
}

/* Written before the move: each 4th page. Behind it: each page that leaves 1. */
static void moved(void)
{
    char *buffer = private("old", 64);
    char *goal = private("new", 128);
    CHECK(munmap(goal, 128 * PAGE) == 0);
    step("ready");
    for (size_t i = 0; i < 64; i += 4)
        buffer[i * PAGE] = 1;
    char *got = mremap(buffer, 64 * PAGE, 128 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, goal);
    CHECK(got == goal);
    for (size_t i = 1; i < 128; i += 4)
        goal[i * PAGE] = 1;
    step("done");
    for (size_t i = 0; i < 128; i += 2)
        goal[i * PAGE] = 1;
}

/* Writes 0 to 32, discards 8 to 24 and reads some of them, and writes 8 to 12 later; reads the rest. */
static void discarded(void)
{
    char *buffer = private("buffer", 32);
    step("ready");
    write_pages(buffer, 0, 32);
    CHECK(madvise(buffer + 8 * PAGE, 16 * PAGE, MADV_DONTNEED) == 0);
    read_pages(buffer, 16, 20);
    step("done");
    write_pages(buffer, 8, 12);
    read_pages(buffer, 0, 32);
}

/* At one address, one mapping after the other: 0 to 8 of the first are written, 4 to 12 of the second. */
static void replaced(void)
{
    char *buffer = private("buffer", 16);
    step("ready");
    write_pages(buffer, 0, 8);
    CHECK(munmap(buffer, 16 * PAGE) == 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap(buffer, 16 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == buffer);
    write_pages(buffer, 4, 12);
    read_pages(buffer, 12, 16);
    step("done");
}

/* Writes half of its pages, executes itself, and writes a quarter of others. */
static void executed(void)
{
    char *buffer = private("buffer", 64);
    step("ready");
    write_pages(buffer, 0, 32);
    execl("/proc/self/exe", "boundaries", "image", NULL);
    CHECK(!"execl works");
}

static void image(void)
{
    char *buffer = private("buffer", 64);
    step("ready");
    write_pages(buffer, 0, 16);
}

/* A child in its parent's memory: what it writes is the parent's. */
static void borrowed(void)
{
    static char *buffer;
    buffer = private("buffer", 64);
    step("ready");
    write_pages(buffer, 0, 16);
    pid_t child = vfork();
    if (child == 0) {
        write_pages(buffer, 16, 32);
        _exit(0);
    }
    end_of(child);
    write_pages(buffer, 32, 48);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenes[] = {
    {"copies", copies},       {"shared-memory", shared_memory}, {"shared-file", shared_file},
    {"moved", moved},         {"discarded", discarded},         {"replaced", replaced},
    {"executed", executed},   {"image", image},                 {"borrowed", borrowed},
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
