/* The same pages in one round after the other, each of which is a phase. */
#include "guest_calls.h"

int main(void)
{
    int rounds = part_of(150);
    char *memory = map_private(5 * PAGE, PROT_READ | PROT_WRITE);
    begin("begin");
    for (int i = 0; i < rounds; i++) {
        store(memory, 5);
        begin("round");
    }
    printf("%lx %d\n", (unsigned long)memory, rounds);
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
