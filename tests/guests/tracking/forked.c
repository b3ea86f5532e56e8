/* Writes all pages of a buffer, then forks a child that writes them again, and says who and where:
 *   CHILD-PID BUFFER
 * Both wait for the end of standard input. Argument: pages. */
#include "check.h"
#include <sys/wait.h>

static void write_pages(volatile char *buffer, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        buffer[i * PAGE] = (char)(i + 1);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    size_t pages = strtoul(argv[1], NULL, 10);
    char *buffer = map_private(pages * PAGE, PROT_READ | PROT_WRITE), byte;
    CHECK(madvise(buffer, pages * PAGE, MADV_NOHUGEPAGE) == 0);
    write_pages(buffer, pages);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        write_pages(buffer, pages);
        printf("%d %#lx\n", getpid(), (unsigned long)buffer);
        fflush(stdout);
        CHECK(read(0, &byte, 1) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
