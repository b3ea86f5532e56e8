/* Thousands of random mapping operations in a small arena agree with a model of every page. */
#include "check.h"

#define PAGES 512

enum state { UNMAPPED, NONE, READABLE, WRITABLE };

static char *arena;
static enum state state[PAGES];
static unsigned char tag[PAGES];
static uint64_t seed = 88172645463325252ULL;
static int zero_source, sink[2];

static unsigned draw(unsigned below)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed >> 20) % below;
}

static int protection(enum state s)
{
    return s == NONE ? PROT_NONE : s == READABLE ? PROT_READ : PROT_READ | PROT_WRITE;
}

static void set(unsigned from, unsigned pages, enum state s, int forget)
{
    for (unsigned i = from; i < from + pages; i++) {
        state[i] = s;
        if (forget)
            tag[i] = 0;
    }
}

static int all_mapped(unsigned from, unsigned pages)
{
    for (unsigned i = from; i < from + pages; i++)
        if (state[i] == UNMAPPED)
            return 0;
    return 1;
}

static void map(unsigned from, unsigned pages)
{
    enum state s = (enum state)(NONE + draw(3));
    char *at = arena + from * PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    CHECK(mmap(at, pages * PAGE, protection(s), flags, -1, 0) == at);
    set(from, pages, s, 1);
}

static void unmap(unsigned from, unsigned pages)
{
    CHECK(munmap(arena + from * PAGE, pages * PAGE) == 0);
    set(from, pages, UNMAPPED, 1);
}

static void protect(unsigned from, unsigned pages)
{
    if (!all_mapped(from, pages))
        return;
    enum state s = (enum state)(NONE + draw(3));
    CHECK(mprotect(arena + from * PAGE, pages * PAGE, protection(s)) == 0);
    set(from, pages, s, 0);
}

static void forget(unsigned from, unsigned pages)
{
    if (!all_mapped(from, pages))
        return;
    CHECK(madvise(arena + from * PAGE, pages * PAGE, MADV_DONTNEED) == 0);
    memset(tag + from, 0, pages);
}

/* Moves one page over another. */
static void move(unsigned from, unsigned to)
{
    if (from == to || state[from] == UNMAPPED)
        return;
    char *place = arena + to * PAGE;
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    CHECK(mremap(arena + from * PAGE, PAGE, PAGE, flags, place) == place);
    state[to] = state[from], tag[to] = tag[from];
    state[from] = UNMAPPED, tag[from] = 0;
}

static void write_tag(unsigned page)
{
    if (state[page] == WRITABLE)
        ((volatile unsigned char *)arena)[page * PAGE] = tag[page] = (unsigned char)draw(256);
}

/* What is readable has its tag; what is not, the kernel cannot read either. */
static void verify(unsigned page)
{
    unsigned char *byte = (unsigned char *)arena + page * PAGE;
    if (state[page] == READABLE || state[page] == WRITABLE) {
        CHECK(*(volatile unsigned char *)byte == tag[page]);
    } else {
        CHECK_ERROR(write(sink[1], byte, 1), EFAULT);
    }
    if (state[page] != WRITABLE)
        CHECK_ERROR(read(zero_source, byte, 1), EFAULT);
}

int main(void)
{
    arena = map_private(PAGES * PAGE, PROT_NONE);
    set(0, PAGES, NONE, 1);
    zero_source = open("/dev/zero", O_RDONLY);
    CHECK(pipe(sink) == 0);
    int rounds = part_of(6000);
    for (int round = 0; round < rounds; round++) {
        unsigned from = draw(PAGES), longest = draw(8) ? 16 : PAGES;
        unsigned room = PAGES - from, pages = 1 + draw(room < longest ? room : longest);
        switch (draw(8)) {
        case 0: case 1: map(from, pages); break;
        case 2: unmap(from, pages > 16 ? 16 : pages); break;
        case 3: protect(from, pages); break;
        case 4: forget(from, pages); break;
        case 5: move(from, draw(PAGES)); break;
        default: for (unsigned i = from; i < from + pages; i++) write_tag(i);
        }
        verify(from);
        verify(draw(PAGES));
    }
    for (unsigned i = 0; i < PAGES; i++)
        verify(i);
    puts("ok");
}
