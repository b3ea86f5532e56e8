/* MAP_FIXED replaces what is there and nothing else; MAP_FIXED_NOREPLACE replaces nothing. */
#include "check.h"

static char *fixed(char *address, size_t bytes, int protection, int more)
{
    return mmap(address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
}

static char *filled(size_t pages)
{
    char *memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < pages; i++)
        memset(memory + i * PAGE, 'a' + (int)i, PAGE);
    return memory;
}

static void middle_is_replaced_and_neighbours_stay(void)
{
    char *memory = filled(5);
    CHECK(fixed(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) == memory + 2 * PAGE);
    CHECK(memory[PAGE] == 'b' && all_bytes(memory + 2 * PAGE, PAGE, 0) && memory[3 * PAGE] == 'd');
    memory[2 * PAGE] = 'X';
    CHECK(memory[2 * PAGE] == 'X' && memory[2 * PAGE - 1] == 'b');
}

static void gap_is_filled(void)
{
    char *memory = filled(5);
    CHECK(munmap(memory + PAGE, 3 * PAGE) == 0);
    CHECK(fixed(memory + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) == memory + 2 * PAGE);
    memory[2 * PAGE] = 1;
    CHECK(fixed(memory, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) == memory);
    CHECK(all_bytes(memory, 5 * PAGE, 0));
}

static void file_replaces_memory_and_back(void)
{
    char *memory = filled(3);
    int file = unnamed_file(PAGE);
    CHECK(pwrite(file, "file", 4, 0) == 4);
    int flags = MAP_SHARED | MAP_FIXED;
    CHECK(mmap(memory + PAGE, PAGE, PROT_READ | PROT_WRITE, flags, file, 0) == memory + PAGE);
    CHECK(memcmp(memory + PAGE, "file", 4) == 0 && memory[2 * PAGE] == 'c');
    CHECK(fixed(memory + PAGE, PAGE, PROT_READ, MAP_FIXED) == memory + PAGE && memory[PAGE] == 0);
    close(file);
}

/* The same page changes its owner many times: no stale translation may show the old one. */
static void replaced_page_never_shows_its_past(void)
{
    volatile char *memory = filled(1);
    for (int i = 0; i < 300; i++) {
        memory[0] = 'X';
        CHECK(fixed((char *)memory, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) == memory);
        CHECK(memory[0] == 0);
    }
}

static void no_replace_refuses_any_overlap(void)
{
    char *memory = filled(4);
    CHECK(munmap(memory, PAGE) == 0 && munmap(memory + 3 * PAGE, PAGE) == 0);
    int protection = PROT_READ | PROT_WRITE;
    CHECK_ERROR(fixed(memory + PAGE, PAGE, protection, MAP_FIXED_NOREPLACE), EEXIST);
    CHECK_ERROR(fixed(memory, 2 * PAGE, protection, MAP_FIXED_NOREPLACE), EEXIST);
    CHECK_ERROR(fixed(memory + 2 * PAGE, 2 * PAGE, protection, MAP_FIXED_NOREPLACE), EEXIST);
    CHECK_ERROR(fixed(memory, 4 * PAGE, protection, MAP_FIXED_NOREPLACE), EEXIST);
    CHECK(memory[PAGE] == 'b' && memory[2 * PAGE] == 'c');
    CHECK(fixed(memory, PAGE, protection, MAP_FIXED_NOREPLACE) == memory && memory[0] == 0);
}

int main(void)
{
    middle_is_replaced_and_neighbours_stay();
    gap_is_filled();
    file_replaces_memory_and_back();
    replaced_page_never_shows_its_past();
    no_replace_refuses_any_overlap();
    puts("ok");
}
