/* Stores to the same pages all the time until a signal comes, then to a few of them in a phase of its own. */
#include "guest_calls.h"

enum { PAGES = 600 };
static volatile sig_atomic_t enough;

static void stop(int signal)
{
    enough = signal;
}

int main(void)
{
    char *memory = map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    CHECK(signal(SIGUSR1, stop) != SIG_ERR);
    printf("%lx\n", (unsigned long)memory);
    fflush(stdout);
    begin("busy");
    while (!enough)
        store(memory, PAGES);
    begin("quiet");
    store(memory + 10 * PAGE, 3);
    begin("end");
    puts("ready");
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
