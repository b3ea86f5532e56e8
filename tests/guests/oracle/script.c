/* Carries out what it reads, line by line: a letter and numbers, in pages. Reports two regions: `arena`, in
 * which mappings come and go, and `heap`, of which brk(2) moves the end. Each line is answered by a number:
 *   m FROM PAGES KIND    map (0 private, 1 shared, 2 private file, 3 shared file)
 *   u FROM PAGES         unmap                  p FROM PAGES PROT    change the protection
 *   v FROM PAGES TO      move                   d FROM PAGES         discard
 *   b PAGES              move the break         f FROM PAGES         fork a child that writes
 *   w AREA FROM PAGES STRIDE, r AREA FROM PAGES STRIDE
 *                        write or read in area 0 (arena) or 1 (heap); the answer is how many pages it may
 *   i                    nothing
 * Accesses that are not allowed are caught, and are none. */
#include "check.h"
#include <setjmp.h>
#include <sys/wait.h>

#define ARENA_PAGES 256UL
#define HEAP_PAGES 64UL

static volatile char *areas[2];
static sigjmp_buf refused;
static int files[2];
static volatile long sum;

static void refuse(int signal)
{
    (void)signal;
    siglongjmp(refused, 1);
}

static char *at(size_t page)
{
    return (char *)areas[0] + page * PAGE;
}

static long map(size_t from, size_t pages, size_t kind)
{
    int flags = MAP_FIXED | (kind % 2 ? MAP_SHARED : MAP_PRIVATE);
    int file = kind < 2 ? -1 : files[kind - 2];
    flags |= kind < 2 ? MAP_ANONYMOUS : 0;
    off_t offset = (off_t)(kind < 2 ? 0 : from * PAGE);
    return mmap(at(from), pages * PAGE, PROT_READ | PROT_WRITE, flags, file, offset) == at(from);
}

static long protect(size_t from, size_t pages, size_t which)
{
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    return mprotect(at(from), pages * PAGE, protections[which]) == 0;
}

static long move(size_t from, size_t pages, size_t to)
{
    size_t bytes = pages * PAGE;
    return mremap(at(from), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at(to)) == at(to);
}

/* One store or load for each page. */
static long access_pages(int store, volatile char *area, size_t from, size_t pages, size_t stride)
{
    static long done;
    static volatile size_t page;
    done = 0;
    for (page = from; page < from + pages; page += stride) {
        if (sigsetjmp(refused, 1))
            continue;
        if (store)
            area[page * PAGE + page] = (char)page;
        else
            sum += area[page * PAGE + page];
        done++;
    }
    return done;
}

static long fork_writer(size_t from, size_t pages)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        access_pages(1, areas[0], from, pages, 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 1;
}

static long obey(const char *line)
{
    char what;
    size_t a = 0, b = 0, c = 0, d = 0;
    CHECK(sscanf(line, "%c %zu %zu %zu %zu", &what, &a, &b, &c, &d) >= 1);
    switch (what) {
    case 'm': return map(a, b, c);
    case 'u': return munmap(at(a), b * PAGE) == 0;
    case 'p': return protect(a, b, c);
    case 'v': return move(a, b, c);
    case 'd': return madvise(at(a), b * PAGE, MADV_DONTNEED) == 0;
    case 'b': return brk((char *)areas[1] + a * PAGE) == 0;
    case 'f': return fork_writer(a, b);
    case 'w': return access_pages(1, areas[a], b, c, d);
    case 'r': return access_pages(0, areas[a], b, c, d);
    case 'i': return 1;
    default: CHECK(!"an operation this program knows");
    }
    return 0;
}

static void map_areas(void)
{
    /* Over the boundary between two page tables, so that no half is as large as a huge page. */
    char *arena = (char *)0x3000000000UL - ARENA_PAGES / 2 * PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap(arena, ARENA_PAGES * PAGE, PROT_NONE, flags, -1, 0) == arena);
    areas[0] = arena;
    uintptr_t heap = ((uintptr_t)sbrk(0) + PAGE - 1) & -PAGE;
    areas[1] = (char *)heap;
    CHECK(brk((char *)heap) == 0);
    files[0] = unnamed_file(ARENA_PAGES * PAGE), files[1] = unnamed_file(ARENA_PAGES * PAGE);
    printf("region arena %#lx %#lx\n", (unsigned long)arena, ARENA_PAGES);
    printf("region heap %#lx %#lx\nready\n", heap, HEAP_PAGES);
    fflush(stdout);
}

int main(void)
{
    /* The library is to leave the break alone. */
    static char input[PAGE], output[PAGE], line[100];
    CHECK(setvbuf(stdin, input, _IOFBF, PAGE) == 0 && setvbuf(stdout, output, _IOFBF, PAGE) == 0);
    signal(SIGSEGV, refuse);
    map_areas();
    while (fgets(line, sizeof line, stdin) && line[0] != 'q') {
        printf("%ld\n", obey(line));
        fflush(stdout);
    }
    return 0;
}
