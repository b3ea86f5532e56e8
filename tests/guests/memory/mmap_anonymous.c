/* Anonymous memory: zero at first, keeps what is written, any length; wrong requests are refused. */
#include "check.h"

static void is_zero_and_keeps_what_is_written(int flags, size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && (uintptr_t)memory % PAGE == 0);
    CHECK(all_bytes(memory, bytes, 0));
    for (size_t i = 0; i < bytes; i += PAGE)
        memory[i] = (char)(i / PAGE + 1);
    for (size_t i = 0; i < bytes; i += PAGE)
        CHECK(memory[i] == (char)(i / PAGE + 1));
    CHECK(munmap(memory, bytes) == 0);
}

static void length_is_rounded_up_to_pages(void)
{
    char *memory = map_private(PAGE + 1, PROT_READ | PROT_WRITE);
    memory[2 * PAGE - 1] = 1;
    CHECK(munmap(memory, 2 * PAGE) == 0);
}

static void no_reserve_gives_more_than_the_machine_has(void)
{
    size_t bytes = 64UL << 30;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 4UL << 30)
        memory[i] = 1;
    CHECK(memory[0] == 1 && memory[PAGE] == 0 && memory[60UL << 30] == 1);
    CHECK(munmap(memory, bytes) == 0);
}

static void wrong_requests_are_refused(void)
{
    int private = MAP_PRIVATE | MAP_ANONYMOUS;
    CHECK_ERROR(mmap(NULL, 0, PROT_READ, private, -1, 0), EINVAL);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERROR(mmap((void *)0x10000123, PAGE, PROT_READ, private | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERROR(mmap(NULL, -PAGE, PROT_READ, private, -1, 0), ENOMEM);
    CHECK_ERROR(mmap(NULL, 1UL << 47, PROT_READ, private, -1, 0), ENOMEM);
    CHECK_ERROR(mmap((void *)(1UL << 47), PAGE, PROT_READ, private | MAP_FIXED, -1, 0), ENOMEM);
}

static void free_hint_is_honoured_and_taken_hint_is_not(void)
{
    char *memory = map_private(4 * PAGE, PROT_READ | PROT_WRITE);
    memory[0] = 7;
    CHECK(munmap(memory + 2 * PAGE, PAGE) == 0);
    char *hinted = mmap(memory + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(hinted == memory + 2 * PAGE);
    char *moved = mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(moved != MAP_FAILED && moved != memory && memory[0] == 7);
}

/* Not every machine has huge pages to give; what the kernel says must be the same. */
static void huge_pages_are_asked_for(void)
{
    char *memory = mmap(NULL, 2UL << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    printf("huge page: %s\n", memory == MAP_FAILED ? strerror(errno) : "given");
    if (memory != MAP_FAILED)
        CHECK(munmap(memory, 2UL << 20) == 0);
}

int main(void)
{
    is_zero_and_keeps_what_is_written(MAP_PRIVATE, 1);
    is_zero_and_keeps_what_is_written(MAP_PRIVATE, 16UL << 20);
    is_zero_and_keeps_what_is_written(MAP_SHARED, 5 * PAGE + 3);
    is_zero_and_keeps_what_is_written(MAP_PRIVATE | MAP_POPULATE, 1UL << 20);
    is_zero_and_keeps_what_is_written(MAP_SHARED | MAP_POPULATE, 1UL << 20);
    length_is_rounded_up_to_pages();
    no_reserve_gives_more_than_the_machine_has();
    wrong_requests_are_refused();
    free_hint_is_honoured_and_taken_hint_is_not();
    huge_pages_are_asked_for();
    puts("ok");
}
