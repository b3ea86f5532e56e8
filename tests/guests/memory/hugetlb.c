/* Huge pages of hugetlbfs: lengths are rounded and unaligned unmapping refused, or there are none. */
#include "check.h"

#define HUGE (2UL << 20)

int main(void)
{
    char *memory = mmap(NULL, HUGE + PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);
    if (memory == MAP_FAILED) {
        printf("none: %s\n", strerror(errno));
        return 0;
    }
    memset(memory, 7, 2 * HUGE);
    CHECK(memory[0] == 7 && memory[2 * HUGE - 1] == 7);
    CHECK_ERROR(munmap(memory, HUGE + PAGE), EINVAL);
    CHECK(mprotect(memory + HUGE, HUGE, PROT_READ) == 0 && memory[HUGE] == 7);
    CHECK(munmap(memory, HUGE) == 0 && memory[HUGE] == 7);
    CHECK(munmap(memory + HUGE, HUGE) == 0);
    puts("two huge pages");
}
