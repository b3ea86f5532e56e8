/* Names of memory of every kind. Prints a line for each piece that is to have a name, and waits for a line. */
#include "guest_calls.h"

static char before[1 << 18], after[1 << 18];

static void read_maps(char *into)
{
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t have = 0;
    for (ssize_t more; (more = read(file, into + have, sizeof before - 1 - have)) > 0;)
        have += (size_t)more;
    into[have] = 0;
    CHECK(have > 0 && close(file) == 0);
}

/* To be found under this name: pages `first` to `end` of the memory. */
static void expect(const char *name, const char *memory, size_t first, size_t end)
{
    unsigned long base = (unsigned long)memory & ~(PAGE - 1);
    printf("%lx %lx %s\n", base + first * PAGE, base + end * PAGE, name);
}

int main(void)
{
    char on_stack[100];
    char *unaligned = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    char *overlapping = map_private(8 * PAGE, PROT_READ | PROT_WRITE);
    char *holed = map_private(8 * PAGE, PROT_READ | PROT_WRITE);
    char *moving = map_private(4 * PAGE, PROT_READ | PROT_WRITE);
    char *going = map_private(6 * PAGE, PROT_READ | PROT_WRITE);
    char *anonymous = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
    char *protected = map_private(PAGE, PROT_READ | PROT_WRITE);
    char *shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char *file = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, program, 0);
    char *heap = sbrk(0);
    CHECK(shared != MAP_FAILED && file != MAP_FAILED && sbrk(8 * PAGE) == heap);
    heap = (char *)(((unsigned long)heap + PAGE - 1) & ~(PAGE - 1));
    CHECK(munmap(holed + 3 * PAGE, 2 * PAGE) == 0);
    store(unaligned, 16);
    store(heap, 4);
    store(file, 3);

    read_maps(before);
    CHECK(name_region(unaligned + 100, 10, "tiny") == 0);
    CHECK(name_region(unaligned + 2 * PAGE - 1, 2, "two pages") == 0);
    CHECK(name_region(overlapping, 6 * PAGE, "first") == 0);
    CHECK(name_region(overlapping + 3 * PAGE, 5 * PAGE, "second") == 0);
    CHECK(name_region(holed, 8 * PAGE, "holed") == 0);
    CHECK(name_region(moving, 4 * PAGE, "moving") == 0);
    CHECK(name_region(going, 6 * PAGE, "going") == 0);
    CHECK(name_region(anonymous, 2 * PAGE, "ours") == 0);
    CHECK(name_region(protected, PAGE, "protected") == 0);
    CHECK(name_region(shared, 2 * PAGE, "shared \xf0\x9f\xa6\x80") == 0);
    CHECK(name_region(file + PAGE, PAGE, "table of constants") == 0);
    CHECK(name_region(heap + PAGE, 2 * PAGE, "pool") == 0);
    CHECK(name_region(on_stack, sizeof on_stack, "buffer") == 0);
    CHECK(name_region((void *)main, 1, "code") == 0);
    read_maps(after);
    CHECK(strcmp(before, after) == 0);

    store(unaligned, 16);
    store(heap, 4);
    store(file, 3);
    moving = mremap(moving, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    CHECK(moving != MAP_FAILED);
    CHECK(munmap(going + PAGE, 2 * PAGE) == 0);
    CHECK(mmap(going + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == going + PAGE);
    CHECK(madvise(anonymous, PAGE, MADV_DONTNEED) == 0);
    CHECK(mprotect(protected, PAGE, PROT_NONE) == 0);
    /* The kernel may be built without that. */
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, anonymous, 2 * PAGE, "theirs");

    expect("tiny", unaligned, 0, 1);
    expect("two pages", unaligned, 1, 3);
    expect("first", overlapping, 0, 3);
    expect("second", overlapping, 3, 8);
    expect("holed", holed, 0, 3);
    expect("holed", holed, 5, 8);
    expect("moving", moving, 0, 64);
    expect("going", going, 0, 1);
    expect("going", going, 3, 6);
    expect("ours", anonymous, 0, 2);
    expect("protected", protected, 0, 1);
    expect("shared \xf0\x9f\xa6\x80", shared, 0, 2);
    expect("table of constants", file, 1, 2);
    expect("pool", heap, 1, 3);
    expect("buffer", on_stack, 0, ((unsigned long)on_stack % PAGE + sizeof on_stack - 1) / PAGE + 1);
    expect("code", (char *)(void *)main, 0, 1);
    puts("ready");
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
