/* Holds buffers of which each page's accesses are known, while the kernel is given reasons to take pages
 * away from every table that shows them.
 *
 * Regions: `written`, `read` and `never` (mapped, not touched), each with pages in the same 2 MiB as the
 * others'; `file` (a private mapping, read) and `aligned` (2 MiB, may become a huge page). Commands, one
 * letter each, answered by `done LETTER`:
 *   w  write the written pages           r  read the pages of all buffers but the untouched ones
 *   f  fork ten times                    p  toggle protections
 *   c  advise that all is cold           o  advise that all is to be paged out
 *   d  discard what lies between         h  make a huge page of the aligned memory
 *   s  let equal pages be merged         q  leave */
#include "check.h"
#include <sys/wait.h>

#define PAGES 300UL
#define HUGE (2UL << 20)

static volatile char *written, *only_read, *never, *between, *file, *aligned;
static long sum;

static void region(const char *name, const volatile char *start, size_t pages)
{
    printf("region %s %#lx %#lx\n", name, (unsigned long)start, pages);
}

static void each_buffer(void (*f)(char *, size_t))
{
    f((char *)written, PAGES), f((char *)only_read, PAGES), f((char *)never, PAGES);
    f((char *)file, PAGES), f((char *)aligned, 512);
}

static void write_pages(void)
{
    for (size_t i = 0; i < PAGES; i++)
        written[i * PAGE] = (char)i;
    for (size_t i = 0; i < 512; i += 2)
        aligned[i * PAGE] = 1;
}

static void read_pages(void)
{
    for (size_t i = 0; i < PAGES; i++)
        sum += written[i * PAGE] + only_read[i * PAGE] + file[i * PAGE];
    for (size_t i = 0; i < 512; i++)
        sum += aligned[i * PAGE];
}

static void fork_often(void)
{
    for (int i = 0; i < part_of(10); i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
}

static void toggle(char *buffer, size_t pages)
{
    for (int i = 0; i < 10; i++) {
        CHECK(mprotect(buffer, pages * PAGE, PROT_READ) == 0);
        CHECK(mprotect(buffer, pages * PAGE, i % 2 ? PROT_NONE : PROT_READ) == 0);
        CHECK(mprotect(buffer, pages * PAGE, PROT_READ | PROT_WRITE) == 0);
    }
}

static void cool(char *buffer, size_t pages)
{
    CHECK(madvise(buffer, pages * PAGE, MADV_COLD) == 0);
}

static void page_out(char *buffer, size_t pages)
{
    CHECK(madvise(buffer, pages * PAGE, MADV_PAGEOUT) == 0);
}

static void let_merge(char *buffer, size_t pages)
{
    CHECK(madvise(buffer, pages * PAGE, MADV_MERGEABLE) == 0);
}

/* Memory between the buffers comes and goes, in the same entries of upper tables. */
static void discard(void)
{
    for (int i = 0; i < 10; i++) {
        memset((char *)between, i, 16 * PAGE);
        CHECK(madvise((char *)between, 16 * PAGE, MADV_DONTNEED) == 0);
    }
}

static void make_huge(void)
{
    CHECK(madvise((char *)aligned, HUGE, MADV_HUGEPAGE) == 0);
    /* Where huge pages are off, or none is free, there is none. */
    madvise((char *)aligned, HUGE, 25 /* MADV_COLLAPSE */);
}

static void map_buffers(void)
{
    char *memory = map_private((3 * PAGES + 16) * PAGE, PROT_READ | PROT_WRITE);
    CHECK(madvise(memory, (3 * PAGES + 16) * PAGE, MADV_NOHUGEPAGE) == 0);
    written = memory, only_read = memory + PAGES * PAGE, between = only_read + PAGES * PAGE;
    never = between + 16 * PAGE;
    int data = unnamed_file(PAGES * PAGE);
    file = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, data, 0);
    CHECK(file != MAP_FAILED);
    char *larger = map_private(2 * HUGE, PROT_READ | PROT_WRITE);
    aligned = (char *)(((uintptr_t)larger + HUGE - 1) & -HUGE);
    region("written", written, PAGES);
    region("read", only_read, PAGES);
    region("never", never, PAGES);
    region("file", file, PAGES);
    region("aligned", aligned, 512);
}

static void obey(char command)
{
    switch (command) {
    case 'w': write_pages(); break;
    case 'r': read_pages(); break;
    case 'f': fork_often(); break;
    case 'p': each_buffer(toggle); break;
    case 'c': each_buffer(cool); break;
    case 'o': each_buffer(page_out); break;
    case 'd': discard(); break;
    case 'h': make_huge(); break;
    case 's': each_buffer(let_merge); break;
    default: CHECK(!"a command this program knows");
    }
}

int main(void)
{
    char command = 0;
    map_buffers();
    puts("ready");
    fflush(stdout);
    while (read(0, &command, 1) == 1 && command != 'q') {
        obey(command);
        printf("done %c\n", command);
        fflush(stdout);
    }
    return 0;
}
