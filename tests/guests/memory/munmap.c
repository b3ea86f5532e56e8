/* munmap: whole, part, hole, over several mappings, of nothing, and refused when misaligned. */
#include "check.h"

/* Whether the kernel knows the page: asks without touching it. */
static int is_mapped(char *page)
{
    unsigned char resident;
    return mincore(page, PAGE, &resident) == 0;
}

int main(void)
{
    char *memory = map_private(8 * PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 8; i++)
        memory[(size_t)i * PAGE] = (char)('a' + i);

    CHECK(munmap(memory, PAGE) == 0 && !is_mapped(memory) && memory[PAGE] == 'b');
    CHECK(munmap(memory + 7 * PAGE, PAGE) == 0 && !is_mapped(memory + 7 * PAGE));
    CHECK(munmap(memory + 3 * PAGE, PAGE) == 0 && !is_mapped(memory + 3 * PAGE));
    CHECK(memory[2 * PAGE] == 'c' && memory[4 * PAGE] == 'e' && memory[6 * PAGE] == 'g');

    CHECK(munmap(memory + 3 * PAGE, PAGE) == 0); /* of nothing: succeeds */
    CHECK(munmap(memory, 8 * PAGE) == 0);        /* over mappings and holes */
    for (int i = 0; i < 8; i++)
        CHECK(!is_mapped(memory + (size_t)i * PAGE));

    char *again = mmap(memory, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(again == memory && all_bytes(memory, 8 * PAGE, 0));
    CHECK(munmap(memory, 1) == 0 && !is_mapped(memory) && is_mapped(memory + PAGE));

    CHECK_ERROR(munmap(memory + 1, PAGE), EINVAL);
    CHECK_ERROR(munmap(memory, 0), EINVAL);
    CHECK_ERROR(munmap(memory, -1UL), EINVAL);
    CHECK_ERROR(munmap((void *)(1UL << 47), PAGE), EINVAL);
    CHECK(munmap((void *)(1UL << 46), 1UL << 20) == 0);

    /* Freed memory is usable again, over and over. */
    for (int i = 0; i < 500; i++) {
        char *page = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
        CHECK(page[0] == 0 && page[63 * PAGE] == 0);
        page[0] = page[63 * PAGE] = 1;
        CHECK(munmap(page, 64 * PAGE) == 0);
    }
    puts("ok");
}
