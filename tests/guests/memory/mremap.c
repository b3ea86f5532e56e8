/* mremap in all its forms: grow, move, fixed, shrink, DONTUNMAP, duplicate of shared memory, errors. */
#include "check.h"

static char *filled(size_t pages)
{
    char *memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < pages; i++)
        memset(memory + i * PAGE, 'a' + (int)(i % 26), PAGE);
    return memory;
}

static void has_pages(const char *memory, size_t first, size_t pages)
{
    for (size_t i = first; i < pages; i++)
        CHECK(all_bytes(memory + i * PAGE, PAGE, (char)('a' + i % 26)));
}

static int is_mapped(char *page)
{
    unsigned char resident;
    return mincore(page, PAGE, &resident) == 0;
}

static void grows_in_place_where_there_is_room(void)
{
    char *memory = filled(8);
    CHECK(munmap(memory + 4 * PAGE, 4 * PAGE) == 0);
    CHECK(mremap(memory, 4 * PAGE, 8 * PAGE, 0) == memory);
    has_pages(memory, 0, 4);
    CHECK(all_bytes(memory + 4 * PAGE, 4 * PAGE, 0));
    memory[8 * PAGE - 1] = 1;
    char *blocked = filled(2);
    CHECK_ERROR(mremap(blocked, PAGE, 2 * PAGE, 0), ENOMEM);
    has_pages(blocked, 0, 2);
}

static void moves_where_there_is_none(void)
{
    char *memory = filled(6);
    char *moved = mremap(memory, 4 * PAGE, 4000 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved != memory);
    has_pages(moved, 0, 4);
    CHECK(all_bytes(moved + 4 * PAGE, 3996 * PAGE, 0));
    CHECK(!is_mapped(memory) && !is_mapped(memory + 3 * PAGE));
    has_pages(memory, 4, 6);
    moved[0] = 'x';
    CHECK(mremap(moved, 4000 * PAGE, PAGE, 0) == moved && moved[0] == 'x');
    CHECK(!is_mapped(moved + PAGE) && !is_mapped(moved + 3999 * PAGE));
}

static void goes_to_a_fixed_address(void)
{
    char *memory = filled(4), *place = filled(6);
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    CHECK(mremap(memory + PAGE, 2 * PAGE, 2 * PAGE, flags, place + 2 * PAGE) == place + 2 * PAGE);
    CHECK(place[PAGE] == 'b' && place[2 * PAGE] == 'b' && place[3 * PAGE] == 'c' && place[4 * PAGE] == 'e');
    CHECK(!is_mapped(memory + PAGE) && memory[0] == 'a' && memory[3 * PAGE] == 'd');
    CHECK_ERROR(mremap(memory, PAGE, PAGE, flags, memory), EINVAL);
    CHECK_ERROR(mremap(memory, PAGE, PAGE, flags, place + 1), EINVAL);
    CHECK_ERROR(mremap(memory, PAGE, PAGE, MREMAP_FIXED, place), EINVAL);
}

static void leaves_an_empty_mapping_behind(void)
{
    char *memory = filled(3);
    char *moved = mremap(memory, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(moved != MAP_FAILED && moved != memory);
    has_pages(moved, 0, 3);
    CHECK(is_mapped(memory) && all_bytes(memory, 3 * PAGE, 0));
    memory[0] = 1;
    CHECK(moved[0] == 'a');
}

static void duplicates_shared_memory(void)
{
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    char *twin = mremap(memory, 0, 2 * PAGE, MREMAP_MAYMOVE);
    CHECK(twin != MAP_FAILED && twin != memory);
    memory[PAGE] = 'q';
    CHECK(twin[PAGE] == 'q');
    twin[0] = 'r';
    CHECK(memory[0] == 'r' && munmap(memory, 2 * PAGE) == 0 && twin[PAGE] == 'q');
    CHECK_ERROR(mremap(filled(1), 0, PAGE, MREMAP_MAYMOVE), EINVAL);
}

static void keeps_rights_and_file(void)
{
    int file = unnamed_file(3 * PAGE);
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED && pwrite(file, "z", 1, 2 * PAGE) == 1);
    char *moved = mremap(memory, 3 * PAGE, 300 * PAGE, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED && moved[2 * PAGE] == 'z');
    CHECK(pwrite(file, "y", 1, PAGE) == 1 && moved[PAGE] == 'y');
    CHECK_ERROR(read(open("/dev/zero", O_RDONLY), moved, 1), EFAULT);
}

static void wrong_requests_are_refused(void)
{
    char *memory = filled(4);
    CHECK_ERROR(mremap(memory + 1, PAGE, PAGE, 0), EINVAL);
    CHECK_ERROR(mremap(memory, PAGE, 0, 0), EINVAL);
    CHECK_ERROR(mremap(memory, PAGE, PAGE, 64), EINVAL);
    CHECK(munmap(memory + 2 * PAGE, PAGE) == 0);
    CHECK_ERROR(mremap(memory, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERROR(mremap(memory + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
}

/* What realloc does to a big block. */
static void grows_step_by_step(void)
{
    size_t bytes = PAGE;
    char *memory = map_private(bytes, PROT_READ | PROT_WRITE);
    for (int step = 0; step < 14; step++) {
        memset(memory + bytes / 2, step, bytes / 2);
        memory = mremap(memory, bytes, 2 * bytes, MREMAP_MAYMOVE);
        CHECK(memory != MAP_FAILED && memory[bytes - 1] == step && memory[bytes] == 0);
        bytes *= 2;
    }
}

static void refused_requests_change_nothing(void)
{
    char *memory = filled(4);
    CHECK_ERROR(syscall(SYS_mremap, memory, 4 * PAGE, PAGE, 0x80, 0), EINVAL);
    has_pages(memory, 0, 4);
    CHECK_ERROR(syscall(SYS_mremap, -PAGE, 0, PAGE, MREMAP_MAYMOVE, 0), EFAULT);
}

static void shrinks_over_a_hole(void)
{
    char *memory = filled(6);
    CHECK(munmap(memory + 2 * PAGE, 2 * PAGE) == 0);
    CHECK(mremap(memory, 6 * PAGE, PAGE, 0) == memory);
    has_pages(memory, 0, 1);
    CHECK(!is_mapped(memory + PAGE) && !is_mapped(memory + 4 * PAGE));
}

int main(void)
{
    grows_in_place_where_there_is_room();
    moves_where_there_is_none();
    goes_to_a_fixed_address();
    leaves_an_empty_mapping_behind();
    duplicates_shared_memory();
    keeps_rights_and_file();
    wrong_requests_are_refused();
    grows_step_by_step();
    refused_requests_change_nothing();
    shrinks_over_a_hole();
    puts("ok");
}
