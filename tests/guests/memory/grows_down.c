/* A MAP_GROWSDOWN mapping grows towards lower addresses when it is touched just below. */
#include "check.h"

int main(void)
{
    size_t room = 16UL << 20;
    char *area = map_private(room, PROT_NONE);
    char *start = area + room - 2 * PAGE;
    CHECK(munmap(area, room) == 0);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED;
    CHECK(mmap(start, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == start);
    for (size_t down = 0; down < 256; down++)
        start[-(ptrdiff_t)(down * PAGE) - 1] = (char)down;
    for (size_t down = 0; down < 256; down++)
        CHECK(start[-(ptrdiff_t)(down * PAGE) - 1] == (char)down);
    puts("ok");
}
