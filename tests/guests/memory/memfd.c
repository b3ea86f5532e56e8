/* Memory files: mapped, resized, punched, sealed, and the errors that seals give. */
#include "check.h"

int main(void)
{
    int file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(file >= 0 && ftruncate(file, 4 * PAGE) == 0);
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 'm', 4 * PAGE);
    char bytes[4 * PAGE];
    CHECK(pread(file, bytes, sizeof bytes, 0) == sizeof bytes && all_bytes(bytes, sizeof bytes, 'm'));
    CHECK(lseek(file, PAGE, SEEK_SET) == (off_t)PAGE && write(file, "written", 7) == 7);
    CHECK(memcmp(memory + PAGE, "written", 7) == 0);

    CHECK(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    CHECK_ERROR(ftruncate(file, PAGE), EPERM);
    CHECK_ERROR(ftruncate(file, 8 * PAGE), EPERM);
    CHECK_ERROR(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    memory[0] = 'n';
    CHECK(munmap(memory, 4 * PAGE) == 0);

    CHECK(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    CHECK_ERROR(write(file, "x", 1), EPERM);
    CHECK_ERROR(fcntl(file, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_ERROR(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), EPERM);
    char *reader = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(reader != MAP_FAILED && reader[0] == 'n' && reader[2 * PAGE] == 'm');
    CHECK(mprotect(reader, PAGE, PROT_READ | PROT_WRITE) == 0);
    reader[0] = 'p';
    CHECK(pread(file, bytes, 1, 0) == 1 && bytes[0] == 'n');
    puts("ok");
}
