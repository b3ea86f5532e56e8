// Names memory, ends epochs and marks phases, as often as the first argument says; then waits until its standard input
// ends. C and C++, with elsewhere.c.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vmmload_guest.h>
#include "elsewhere.h"

#define PAGE 4096

int main(int argc, char **argv)
{
    long marks = argc > 1 ? atol(argv[1]) : 1;
    int failed = 0;
    char *table = (char *)mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = 12345;
    for (long i = 1; i < marks; i++)
        failed |= vmmload_mark("again and again");
    failed |= mark_elsewhere("load");
    failed |= vmmload_name_region(table + PAGE / 2, PAGE, "table of \xc3\xa4");
    table[0] = 1;
    unsigned long long epoch = vmmload_epoch();
    table[PAGE] = 1;
    unsigned long long next = vmmload_epoch();
    failed |= vmmload_mark("compute");
    if (failed || errno != 12345)
        return 1;
    int inside = vmmload_inside();
    printf("inside %d\n", inside);
    printf("epochs %llu %llu\n", epoch, next);
    printf("table 0x%lx\n", inside ? (unsigned long)table : 0);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
