/* mprotect: takes and gives rights, splits and joins, refuses gaps; the kernel sees the same rights. */
#include "check.h"

/* Asks the kernel to write, respectively read, one byte there: EFAULT instead of a signal. */
static int kernel_can_write(char *byte)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "k", 1) == 1);
    int done = read(ends[0], byte, 1) == 1;
    CHECK(done || errno == EFAULT);
    close(ends[0]), close(ends[1]);
    return done;
}

static int kernel_can_read(char *byte)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    int done = write(ends[1], byte, 1) == 1;
    CHECK(done || errno == EFAULT);
    close(ends[0]), close(ends[1]);
    return done;
}

static void middle_of_a_mapping_changes_alone(void)
{
    char *memory = map_private(5 * PAGE, PROT_READ | PROT_WRITE);
    memset(memory, 'm', 5 * PAGE);
    CHECK(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE) == 0);
    CHECK(!kernel_can_read(memory + 2 * PAGE) && !kernel_can_write(memory + 2 * PAGE));
    memory[2 * PAGE - 1] = memory[3 * PAGE] = 'n';
    CHECK(mprotect(memory + PAGE, 3 * PAGE, PROT_READ) == 0);
    CHECK(memory[2 * PAGE] == 'm' && !kernel_can_write(memory + PAGE));
    CHECK(kernel_can_write(memory + 4 * PAGE) && kernel_can_write(memory));
    CHECK(mprotect(memory, 5 * PAGE, PROT_READ | PROT_WRITE) == 0);
    memset(memory, 'o', 5 * PAGE);
    CHECK(all_bytes(memory, 5 * PAGE, 'o'));
}

static void rights_come_and_go(void)
{
    volatile char *memory = map_private(PAGE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 300; i++) {
        memory[i] = (char)i;
        CHECK(mprotect((void *)memory, PAGE, PROT_READ) == 0 && memory[i] == (char)i);
        CHECK(!kernel_can_write((char *)memory + PAGE - 1));
        CHECK(mprotect((void *)memory, PAGE, PROT_NONE) == 0);
        CHECK(!kernel_can_read((char *)memory));
        CHECK(mprotect((void *)memory, PAGE, PROT_READ | PROT_WRITE) == 0);
    }
}

static void every_second_page_of_many(void)
{
    size_t pages = 1000;
    char *memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < pages; i++)
        memory[i * PAGE] = (char)i;
    for (size_t i = 0; i < pages; i += 2)
        CHECK(mprotect(memory + i * PAGE, PAGE, PROT_READ) == 0);
    for (size_t i = 1; i < pages; i += 2)
        memory[i * PAGE]++;
    CHECK(mprotect(memory, pages * PAGE, PROT_READ | PROT_WRITE) == 0);
    for (size_t i = 0; i < pages; i++)
        CHECK(memory[i * PAGE]++ == (char)(i + i % 2));
}

static void gaps_and_wrong_requests_are_refused(void)
{
    char *memory = map_private(3 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(munmap(memory + PAGE, PAGE) == 0);
    CHECK_ERROR(mprotect(memory, 3 * PAGE, PROT_READ), ENOMEM);
    CHECK(!kernel_can_write(memory)); /* what lies before the gap has changed */
    CHECK(kernel_can_write(memory + 2 * PAGE));
    CHECK_ERROR(mprotect(memory + PAGE, PAGE, PROT_READ), ENOMEM);
    CHECK_ERROR(mprotect(memory + 1, PAGE, PROT_READ), EINVAL);
    CHECK_ERROR(mprotect(memory, PAGE, PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    CHECK(mprotect(memory, 0, PROT_READ) == 0);
}

int main(void)
{
    middle_of_a_mapping_changes_alone();
    rights_come_and_go();
    every_second_page_of_many();
    gaps_and_wrong_requests_are_refused();
    puts("ok");
}
