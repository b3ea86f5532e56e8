/* Prints what execve alone decides: the names by which a program was started, its executable, and that nothing was
 * used up before main. */
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    int at_start = errno;
    char name[17] = {0}, link[4096] = {0}, head[EI_NIDENT];
    for (int i = 0; i < argc; i++)
        printf("argument [%s]\n", argv[i]);
    CHECK(prctl(PR_GET_NAME, name) == 0);
    CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0);
    int file = open("/proc/self/exe", O_RDONLY);
    if (file >= 0)
        CHECK(read(file, head, sizeof head) == sizeof head && memcmp(head, ELFMAG, SELFMAG) == 0);
    printf("execfn %s, name %s, executable %s, descriptor %d\n", (char *)getauxval(AT_EXECFN), name, link, file);
    printf("errno %d, alarm %s, secure %lu\n", at_start, alarm(0) ? "set" : "none", getauxval(AT_SECURE));
    FILE *command = fopen("/proc/self/cmdline", "r");
    size_t bytes = fread(link, 1, sizeof link, command), all = 0;
    for (int i = 0; i < argc; i++)
        all += strlen(argv[i]) + 1;
    printf("%zu bytes of command line, %zu of them arguments\n", bytes, all);
    sigset_t pending;
    CHECK(sigpending(&pending) == 0);
    printf("pending SIGUSR1: %d\n", sigismember(&pending, SIGUSR1));
}
