/* Memory that may be written but, by its rights alone, not read: the processor lets it be read. */
#include "check.h"

int main(void)
{
    volatile char *page = mmap(NULL, 2 * PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    CHECK(page[PAGE] == 0);
    page[0] = 'w';
    CHECK(page[0] == 'w');

    /* Never touched before its rights changed. */
    volatile char *later = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(later != MAP_FAILED && mprotect((void *)later, PAGE, PROT_WRITE) == 0);
    CHECK(later[1] == 0);
    later[1] = 'l';
    CHECK(later[1] == 'l');

    /* Rights taken from memory that has content. */
    memset((void *)page, 'x', PAGE);
    CHECK(mprotect((void *)page, 2 * PAGE, PROT_WRITE) == 0 && page[7] == 'x');

    /* The kernel, too. */
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], (void *)page, 10) == 10);
    CHECK(read(ends[0], (void *)later, 10) == 10 && later[9] == 'x');
    puts("ok");
}
