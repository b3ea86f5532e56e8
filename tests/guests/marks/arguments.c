/* What the calls say to arguments of all kinds. Outside, the kernel knows none of them. */
#include "guest_calls.h"

#define CHECK_CALL(call, error)                                                                   \
    do {                                                                                          \
        CHECK_ERROR(call, inside ? (error) : EINVAL);                                             \
    } while (0)

int main(void)
{
    int inside = guest_call(ASK, 0, 0, 0) == 1;
    char *memory = map_private(4 * PAGE, PROT_READ | PROT_WRITE);
    char *unreadable = map_private(PAGE, PROT_NONE);
    /* A name that ends with its page, a string without an end there, and nothing behind: so no mapping may come later. */
    char *edge = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(munmap(edge + PAGE, PAGE) == 0);
    memset(edge, 'e', PAGE - 1);
    char *last = edge + PAGE - 5;
    char longest[257];
    memset(longest, 'l', sizeof longest);
    longest[256] = 0;

    CHECK_CALL(mark(NULL), EFAULT);
    CHECK_CALL(mark((char *)-1), EFAULT);
    CHECK_CALL(mark((char *)0xffff888000000000), EFAULT);
    CHECK_CALL(mark(unreadable), EFAULT);
    CHECK_CALL(mark(""), EINVAL);
    CHECK_CALL(mark(longest), ENAMETOOLONG);
    edge[PAGE - 1] = 'x';
    CHECK_CALL(mark(last), EFAULT);
    CHECK_CALL(mark(edge), ENAMETOOLONG);

    CHECK_CALL(name_region(memory, 0, "n"), EINVAL);
    CHECK_CALL(name_region(memory, -1UL, "n"), EINVAL);
    CHECK_CALL(name_region(memory, PAGE, ""), EINVAL);
    CHECK_CALL(name_region(memory, PAGE, NULL), EFAULT);
    CHECK_CALL(name_region(memory, PAGE, longest), ENAMETOOLONG);
    CHECK_CALL(name_region(edge + PAGE, 1, "n"), ENOMEM);
    CHECK_CALL(name_region(NULL, 100, "n"), ENOMEM);
    CHECK_CALL(name_region((void *)0xffff888000000000, PAGE, "n"), ENOMEM);
    CHECK_CALL(guest_call(5, 0, 0, 0), EINVAL);
    CHECK_CALL(guest_call(-1, 0, 0, 0), EINVAL);
    CHECK_CALL(guest_call(1L << 32 | MARK, (unsigned long)"n", 0, 0), EINVAL);
    if (inside) {
        edge[PAGE - 1] = 0;
        longest[255] = 0;
        CHECK(mark(last) == 0);
        CHECK(mark(longest) == 0);
        CHECK(mark("caf\xe9 \x1b[2J") == 0);
        CHECK(name_region(memory + 1, 1, longest) == 0);
        long first = end_epoch();
        CHECK(first > 1 && end_epoch() > first);
    } else {
        CHECK_ERROR(mark("name"), EINVAL);
        CHECK_ERROR(name_region(memory, PAGE, "name"), EINVAL);
        CHECK_ERROR(end_epoch(), EINVAL);
    }
    puts("done");
    fflush(stdout);
    (void)getchar();
    return 0;
}
