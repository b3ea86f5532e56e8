/* Ends as asked: "exit N", "raise N" (its own thread), "kill N" (its own process), "return". */
#include "check.h"
#include <sys/resource.h>

int main(int argc, char **argv)
{
    struct rlimit no_core = {0, 0};
    int number = argc > 2 ? atoi(argv[2]) : 0;
    CHECK(argc == 3 && setrlimit(RLIMIT_CORE, &no_core) == 0);
    printf("%s %d\n", argv[1], number);
    fprintf(stderr, "before the end\n");
    fflush(stdout);
    if (strcmp(argv[1], "exit") == 0)
        exit(number);
    if (strcmp(argv[1], "_exit") == 0)
        syscall(SYS_exit, number);
    if (strcmp(argv[1], "return") == 0)
        return number;
    if (strcmp(argv[1], "raise") == 0)
        CHECK(raise(number) == 0);
    if (strcmp(argv[1], "kill") == 0)
        CHECK(kill(getpid(), number) == 0);
    puts("survived");
}
