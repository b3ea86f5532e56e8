/* mincore, mlock, munlock, mlockall and msync tell and do the same; gaps are refused. */
#include "check.h"
#include <sys/resource.h>

static int resident_pages(char *memory, size_t pages)
{
    unsigned char state[64];
    CHECK(pages <= sizeof state && mincore(memory, pages * PAGE, state) == 0);
    int count = 0;
    for (size_t i = 0; i < pages; i++)
        count += state[i] & 1;
    return count;
}

static void mincore_sees_what_was_touched(void)
{
    char *memory = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(madvise(memory, 64 * PAGE, MADV_NOHUGEPAGE) == 0);
    CHECK(resident_pages(memory, 64) == 0);
    for (size_t i = 0; i < 64; i += 2)
        memory[i * PAGE] = 1;
    int touched = resident_pages(memory, 64);
    CHECK(touched >= 32);
    CHECK(madvise(memory, 64 * PAGE, MADV_DONTNEED) == 0 && resident_pages(memory, 64) == 0);
    CHECK_ERROR(mincore(memory + 1, PAGE, (unsigned char *)memory), EINVAL);
    CHECK_ERROR(mincore(memory, PAGE, NULL), EFAULT);
}

static void locked_memory_is_resident(void)
{
    char *memory = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(mlock(memory, 16 * PAGE) == 0 && resident_pages(memory, 16) == 16);
    memory[5 * PAGE] = 'l';
    CHECK(munlock(memory, 16 * PAGE) == 0 && memory[5 * PAGE] == 'l');
    CHECK(munmap(memory + 4 * PAGE, PAGE) == 0);
    CHECK_ERROR(mlock(memory, 16 * PAGE), ENOMEM);
}

static void synced_memory_reaches_the_file(void)
{
    int file = unnamed_file(2 * PAGE);
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memory[PAGE] = 's';
    CHECK(msync(memory, 2 * PAGE, MS_SYNC) == 0 && msync(memory, PAGE, MS_ASYNC) == 0);
    char byte;
    CHECK(pread(file, &byte, 1, PAGE) == 1 && byte == 's');
    CHECK_ERROR(msync(memory + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_ERROR(msync(memory, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK(munmap(memory, PAGE) == 0);
    CHECK_ERROR(msync(memory, 2 * PAGE, MS_SYNC), ENOMEM);
}

int main(void)
{
    mincore_sees_what_was_touched();
    locked_memory_is_resident();
    synced_memory_reaches_the_file();
    puts("ok");
}
