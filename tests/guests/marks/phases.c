/* Phases with a known number of pages each. Prints where the memory is, and waits for a line at the end. */
#include "guest_calls.h"

int main(void)
{
    char *memory = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(name_region(memory, 64 * PAGE, "work area") == 0);
    printf("%lx\n", (unsigned long)memory);
    fflush(stdout);
    CHECK(getchar() != EOF);
    begin("load");
    store(memory, 7);
    begin("run");
    store(memory, 23);
    begin("write out");
    store(memory + 60 * PAGE, 2);
    begin("done");
    puts("ready");
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
