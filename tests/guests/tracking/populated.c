/* Has 2,000 pages of memory that the kernel has populated, reads 300 of them and writes 200 others. */
#include "check.h"

#define PAGES 2000

int main(void)
{
    volatile char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(memory != MAP_FAILED);
    long sum = 0;
    for (size_t i = 0; i < 300; i++)
        sum += memory[i * PAGE];
    CHECK(sum == 0);
    for (size_t i = 300; i < 500; i++)
        memory[i * PAGE] = 1;
}
