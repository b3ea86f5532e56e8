/* MAP_32BIT gives addresses below 2 GiB, as many as fit. */
#include "check.h"

int main(void)
{
    for (int i = 0; i < 200; i++) {
        char *memory = mmap(NULL, 1UL << 20, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        CHECK(memory != MAP_FAILED && (uintptr_t)memory + (1UL << 20) <= 1UL << 31);
        CHECK(memory[0] == 0);
        memory[0] = memory[(1UL << 20) - 1] = 'm';
    }
    puts("ok");
}
