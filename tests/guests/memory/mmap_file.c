/* File mappings: shared writes reach the file, private ones do not; offsets, rights and errors. */
#include "check.h"

static char read_byte(int file, off_t offset)
{
    char byte = 0;
    CHECK(pread(file, &byte, 1, offset) == 1);
    return byte;
}

static int file_of_pages(int pages)
{
    int file = unnamed_file(0);
    char page[PAGE];
    for (int i = 0; i < pages; i++) {
        memset(page, 'a' + i, PAGE);
        CHECK(write(file, page, PAGE) == (ssize_t)PAGE);
    }
    return file;
}

static void shared_writes_go_both_ways(void)
{
    int file = file_of_pages(4);
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED && memory[0] == 'a' && memory[3 * PAGE] == 'd');
    memory[PAGE + 5] = 'X';
    CHECK(read_byte(file, PAGE + 5) == 'X');
    CHECK(pwrite(file, "Y", 1, 2 * PAGE + 7) == 1 && memory[2 * PAGE + 7] == 'Y');
    char *second = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, PAGE);
    CHECK(second != MAP_FAILED && second[5] == 'X');
    memory[PAGE + 6] = 'Z';
    CHECK(second[6] == 'Z');
    CHECK(munmap(memory, 4 * PAGE) == 0 && read_byte(file, PAGE + 5) == 'X');
    CHECK(close(file) == 0 && second[0] == 'b');
}

static void private_writes_stay_private(void)
{
    int file = file_of_pages(3);
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(memory != MAP_FAILED);
    memory[PAGE] = 'X';
    CHECK(memory[PAGE] == 'X' && memory[PAGE + 1] == 'b' && read_byte(file, PAGE) == 'b');
    CHECK(pwrite(file, "Y", 1, 2 * PAGE) == 1 && memory[2 * PAGE] == 'Y');
    CHECK(pwrite(file, "Y", 1, PAGE + 1) == 1 && memory[PAGE + 1] == 'b');
    close(file);
}

/* A page that was read through the mapping before it is written must change where it is read. */
static void private_page_read_first_can_be_written(void)
{
    int file = file_of_pages(1);
    volatile char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    CHECK(memory[9] == 'a');
    memory[9] = 'q';
    CHECK(memory[9] == 'q' && memory[10] == 'a' && read_byte(file, 9) == 'a');
    close(file);
}

static void wrong_requests_are_refused(void)
{
    int file = file_of_pages(2), readable = open("/bin/sh", O_RDONLY), null = open_null(O_WRONLY);
    CHECK(readable >= 0);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 1), EINVAL);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 987, 0), EBADF);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, readable, 0), EACCES);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, null, 0), EACCES);
    char *memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readable, 0);
    CHECK(memory != MAP_FAILED && memcmp(memory, "\177ELF", 4) == 0);
    CHECK_ERROR(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), EACCES);
    close(file), close(readable), close(null);
}

static void device_zero_gives_zeroes(void)
{
    int zero = open("/dev/zero", O_RDWR);
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    CHECK(memory != MAP_FAILED && all_bytes(memory, 2 * PAGE, 0));
    memory[PAGE] = 1;
    CHECK(memory[PAGE] == 1 && munmap(memory, 2 * PAGE) == 0);
    close(zero);
}

int main(void)
{
    shared_writes_go_both_ways();
    private_writes_stay_private();
    private_page_read_first_can_be_written();
    wrong_requests_are_refused();
    device_zero_gives_zeroes();
    puts("ok");
}
