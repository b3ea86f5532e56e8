/* Says "ready" and waits: "pause" in the kernel, "spin" in user code, "read" for a line that it repeats. */
#include "check.h"
#include <sys/resource.h>

int main(int argc, char **argv)
{
    struct rlimit no_core = {0, 0};
    const char *how = argc > 1 ? argv[1] : "pause";
    CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
    setvbuf(stdout, NULL, _IONBF, 0);
    puts("ready");
    if (strcmp(how, "spin") == 0)
        for (volatile unsigned long i = 0;; i++)
            ;
    char line[100];
    while (strcmp(how, "read") == 0 && fgets(line, sizeof line, stdin))
        fputs(line, stdout);
    while (strcmp(how, "pause") == 0)
        pause();
}
