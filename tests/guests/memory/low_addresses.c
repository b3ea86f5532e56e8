/* Programs that insist on low or fixed addresses get them. */
#include "check.h"

static void map_at(uintptr_t address, size_t bytes)
{
    char *wanted = (char *)address;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap(wanted, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == wanted);
    CHECK(wanted[0] == 0);
    wanted[0] = wanted[bytes - 1] = 'l';
    CHECK(wanted[0] == 'l' && wanted[bytes - 1] == 'l' && munmap(wanted, bytes) == 0);
}

int main(void)
{
    /* 64 KiB is the lowest address that the kernel gives by default. */
    uintptr_t addresses[] = {0x10000,       0x20000,       0x100000,       0x200000,      0x10000000,
                             0x40000000,    0x7fff0000,    0x80000000,     0x100000000,   0x200000000,
                             0x1000000000,  0x10000000000, 0x100000000000, 0x200000000000, 0xc000000000};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        map_at(addresses[i], 3 * PAGE);
    map_at(0x10000, 0x300000);
    map_at(0xc000000000, 1UL << 30);
    puts("ok");
}
