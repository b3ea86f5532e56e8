/* A bit of everything for readers of the segment: a child, marks, and a name. */
#include "guest_calls.h"
#include <sys/wait.h>

int main(void)
{
    char *memory = map_private(32 * PAGE, PROT_READ | PROT_WRITE);
    if (fork() == 0)
        _exit(0);
    CHECK(wait(NULL) > 0);
    begin("load");
    CHECK(name_region(memory, 30 * PAGE, "caf\xc3\xa9") == 0);
    store(memory, 30);
    begin("run");
    begin("load");
    puts("ready");
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
