/* Very many marks: of one name, then of more names than there is room for. */
#include "guest_calls.h"

int main(void)
{
    char *memory = map_private(4 * PAGE, PROT_READ | PROT_WRITE);
    int marks = part_of(20000), names = 2500;
    puts("begin");
    fflush(stdout);
    CHECK(getchar() == '\n');
    for (int i = 0; i < marks; i++)
        CHECK(mark("frame") == 0);
    printf("%d\n", marks);
    fflush(stdout);
    CHECK(getchar() == '\n');
    for (int i = 0; i < names; i++) {
        char name[256];
        snprintf(name, sizeof name, "%0255d", i);
        CHECK(mark(name) == 0);
    }
    CHECK(mark("frame") == 0);
    CHECK(name_region(memory, PAGE, "named late") == 0);
    store(memory, 1);
    CHECK(end_epoch() > 0);
    printf("%d\n", names);
    fflush(stdout);
    CHECK(getchar() == '\n');
    return 0;
}
