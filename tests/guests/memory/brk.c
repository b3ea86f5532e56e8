/* The break grows with zeroed memory, shrinks for good, and refuses what is impossible. */
#include "check.h"
#include <sys/resource.h>

static char *raw_brk(char *to)
{
    return (char *)syscall(SYS_brk, to);
}

int main(void)
{
    char *start = sbrk(0);
    CHECK(start != (void *)-1 && raw_brk(NULL) == start);
    char *page = (char *)(((uintptr_t)start + PAGE - 1) & -PAGE);
    CHECK(brk(page + 64 * PAGE) == 0 && sbrk(0) == page + 64 * PAGE);
    CHECK(all_bytes(page, 64 * PAGE, 0));
    memset(page, 'b', 64 * PAGE);

    /* Shrunk memory is gone, and zero when it comes again. */
    CHECK(brk(page + 10 * PAGE) == 0 && page[10 * PAGE - 1] == 'b');
    unsigned char resident;
    CHECK_ERROR(mincore(page + 10 * PAGE, PAGE, &resident), ENOMEM);
    CHECK(brk(page + 20 * PAGE) == 0 && all_bytes(page + 10 * PAGE, 10 * PAGE, 0));

    /* In bytes, not pages. */
    CHECK(brk(page + 20 * PAGE + 5) == 0 && sbrk(0) == page + 20 * PAGE + 5);
    page[20 * PAGE + 4] = 1;
    CHECK(sbrk(11) == page + 20 * PAGE + 5 && sbrk(0) == page + 20 * PAGE + 16);

    /* Below its start and beyond everything: the break stays where it is. */
    char *now = sbrk(0);
    CHECK(raw_brk(start - 64 * PAGE - (1UL << 20)) == now || raw_brk(NULL) == now);
    CHECK(raw_brk((char *)(1UL << 47)) == now);
    CHECK_ERROR(brk((char *)(1UL << 47)), ENOMEM);

    /* 256 MiB, page by page at the ends. */
    CHECK(brk(page + (256UL << 20)) == 0);
    page[(256UL << 20) - 1] = 'e';
    CHECK(page[(256UL << 20) - 1] == 'e' && page[128UL << 20] == 0);
    CHECK(brk(start) == 0 && sbrk(0) == start);

    /* RLIMIT_DATA bounds it. */
    struct rlimit limit = {1UL << 20, 1UL << 20};
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    CHECK_ERROR(brk(start + (64UL << 20)), ENOMEM);
    CHECK(sbrk(0) == start);
    puts("ok");
}
