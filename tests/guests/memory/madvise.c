/* madvise: DONTNEED and REMOVE give zero pages again, the other advice keeps content, gaps are refused. */
#include "check.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static char *filled(size_t pages)
{
    char *memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    memset(memory, 'f', pages * PAGE);
    return memory;
}

static void dontneed_forgets_private_memory(void)
{
    char *memory = filled(8);
    CHECK(madvise(memory + 2 * PAGE, 3 * PAGE, MADV_DONTNEED) == 0);
    CHECK(all_bytes(memory, 2 * PAGE, 'f') && all_bytes(memory + 2 * PAGE, 3 * PAGE, 0));
    CHECK(all_bytes(memory + 5 * PAGE, 3 * PAGE, 'f'));
    for (int i = 0; i < 300; i++) {
        ((volatile char *)memory)[0] = 'g';
        CHECK(madvise(memory, PAGE, MADV_DONTNEED) == 0 && ((volatile char *)memory)[0] == 0);
    }
}

static void dontneed_of_a_private_file_shows_the_file_again(void)
{
    int file = unnamed_file(PAGE);
    CHECK(pwrite(file, "file", 4, 0) == 4);
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    memcpy(memory, "mine", 4);
    CHECK(madvise(memory, PAGE, MADV_DONTNEED) == 0 && memcmp(memory, "file", 4) == 0);
}

static void free_keeps_or_forgets_whole_pages(void)
{
    char *memory = filled(16);
    CHECK(madvise(memory, 16 * PAGE, MADV_FREE) == 0);
    for (size_t i = 0; i < 16; i++) {
        char *page = memory + i * PAGE;
        CHECK(all_bytes(page, PAGE, 'f') || all_bytes(page, PAGE, 0));
        memset(page, 'n', PAGE);
    }
    CHECK(all_bytes(memory, 16 * PAGE, 'n'));
}

static void remove_punches_shared_memory(void)
{
    int file = memfd_create("hole", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, 4 * PAGE) == 0);
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memset(memory, 'm', 4 * PAGE);
    CHECK(madvise(memory + PAGE, 2 * PAGE, MADV_REMOVE) == 0);
    CHECK(memory[0] == 'm' && all_bytes(memory + PAGE, 2 * PAGE, 0) && memory[3 * PAGE] == 'm');
    char byte;
    CHECK(pread(file, &byte, 1, PAGE) == 1 && byte == 0);
    CHECK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0 && memory[0] == 0);
}

static void advice_keeps_content(void)
{
    int advice[] = {MADV_NORMAL,   MADV_RANDOM, MADV_SEQUENTIAL,    MADV_WILLNEED,
                    MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD, MADV_PAGEOUT, MADV_DONTDUMP,
                    MADV_POPULATE_READ, MADV_POPULATE_WRITE};
    size_t pages = 1024;
    char *memory = filled(pages);
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) {
        int given = madvise(memory, pages * PAGE, advice[i]);
        CHECK(given == 0 || errno == EINVAL);
        CHECK(all_bytes(memory, pages * PAGE, (char)('f' + (int)i)));
        memset(memory, 'f' + (int)i + 1, pages * PAGE);
    }
    char *fresh = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    CHECK(madvise(fresh, pages * PAGE, MADV_POPULATE_WRITE) == 0);
    CHECK(all_bytes(fresh, pages * PAGE, 0));
}

static void gaps_and_wrong_requests_are_refused(void)
{
    char *memory = filled(3);
    CHECK(munmap(memory + PAGE, PAGE) == 0);
    CHECK_ERROR(madvise(memory, 3 * PAGE, MADV_DONTNEED), ENOMEM);
    CHECK(memory[0] == 0 && memory[2 * PAGE] == 0); /* both sides of the gap were advised */
    CHECK_ERROR(madvise(memory + PAGE, PAGE, MADV_WILLNEED), ENOMEM);
    CHECK_ERROR(madvise(memory + 1, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERROR(madvise(memory, PAGE, 12345), EINVAL);
    CHECK_ERROR(madvise(memory, PAGE, MADV_REMOVE), EINVAL);
    CHECK(mprotect(memory, PAGE, PROT_NONE) == 0);
    CHECK_ERROR(madvise(memory, PAGE, MADV_POPULATE_WRITE), EINVAL);
}

int main(void)
{
    dontneed_forgets_private_memory();
    dontneed_of_a_private_file_shows_the_file_again();
    free_keeps_or_forgets_whole_pages();
    remove_punches_shared_memory();
    advice_keeps_content();
    gaps_and_wrong_requests_are_refused();
    puts("ok");
}
