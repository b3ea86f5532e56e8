/* Handles each signal that an error can raise, and says so; reads a line. */
#include "check.h"

static void handle(int signal)
{
    printf("handled %d\n", signal);
    fflush(stdout);
}

int main(void)
{
    int all[] = {SIGILL, SIGSEGV, SIGBUS, SIGTRAP, SIGFPE, SIGSYS};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        signal(all[i], handle);
    puts("ready");
    fflush(stdout);
    char line[16];
    CHECK(read(0, line, sizeof line) > 0);
    puts("read");
    return 0;
}
