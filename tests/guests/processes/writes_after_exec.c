/* Executes itself at a word from standard input, and then writes to pages whose addresses it tells. */
#include "check.h"

int main(int argc, char **argv)
{
    char word;
    if (argc == 1) {
        puts("ready");
        fflush(stdout);
        CHECK(read(0, &word, 1) == 1);
        execl("/proc/self/exe", argv[0], "again", NULL);
        CHECK(!"execl works");
    }
    char *pages = map_private(8 * PAGE, PROT_READ | PROT_WRITE);
    printf("%p\n", (void *)pages);
    fflush(stdout);
    /* Whoever looks has the time to attach before there is anything to see. */
    CHECK(read(0, &word, 1) == 1);
    for (int i = 0; i < 8; i++)
        pages[i * PAGE] = 1;
    puts("written");
    fflush(stdout);
    while (read(0, &word, 1) == 1)
        ;
}
