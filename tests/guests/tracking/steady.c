/* Writes the same pages again and again, until it is killed: in every epoch these have an event, and no others of the
 * mapping [anon:steady]. Arguments: pages, and milliseconds between two rounds. Says the buffer's address first. */
#include "check.h"
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    size_t pages = strtoul(argv[1], NULL, 10), pause_ms = strtoul(argv[2], NULL, 10);
    /* Guard pages on both sides keep it a mapping of its own; huge pages would join its pages. Twice as many pages as are
     * written: the others stay untouched. */
    char *memory = mmap(NULL, (2 * pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    volatile char *buffer = memory + PAGE;
    CHECK(mprotect(memory + PAGE, 2 * pages * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(madvise(memory + PAGE, 2 * pages * PAGE, MADV_NOHUGEPAGE) == 0);
    /* Kernels that know no names refuse; vmmload shows it all the same. */
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory + PAGE, 2 * pages * PAGE, "steady");
    printf("%#lx\n", (unsigned long)buffer);
    fflush(stdout);
    struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000};
    for (char round = 0;; round++) {
        for (size_t i = 0; i < pages; i++)
            buffer[i * PAGE] = round;
        nanosleep(&pause, NULL);
    }
}
