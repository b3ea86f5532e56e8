/* The end of a mapped file: bytes after it are zero, pages appear when it grows, content goes when it shrinks. */
#include "check.h"

/* The kernel meets the same end: EFAULT where the program would die of SIGBUS. */
static int kernel_can_read(char *byte)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    int done = write(ends[1], byte, 1) == 1;
    CHECK(done || errno == EFAULT);
    close(ends[0]), close(ends[1]);
    return done;
}

int main(void)
{
    int file = unnamed_file(0);
    CHECK(write(file, "content", 7) == 7);
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED && memcmp(memory, "content", 7) == 0);
    CHECK(all_bytes(memory + 7, PAGE - 7, 0) && !kernel_can_read(memory + PAGE));

    for (int i = 0; i < 100; i++) {
        CHECK(ftruncate(file, 3 * PAGE) == 0);
        CHECK(((volatile char *)memory)[2 * PAGE] == 0 && !kernel_can_read(memory + 3 * PAGE));
        memory[2 * PAGE] = 'g';
        CHECK(ftruncate(file, PAGE + 1) == 0);
        CHECK(!kernel_can_read(memory + 2 * PAGE) && kernel_can_read(memory + PAGE));
    }
    CHECK(memcmp(memory, "content", 7) == 0);
    puts("ok");
}
