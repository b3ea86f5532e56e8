/* Prints every argument and every environment variable, byte by byte and in their order. */
#include "check.h"
#include <ctype.h>

static void show(const char *kind, const char *text)
{
    printf("%s [", kind);
    for (; *text; text++)
        printf(isprint((unsigned char)*text) ? "%c" : "\\x%02x", (unsigned char)*text);
    puts("]");
}

int main(int argc, char **argv, char **envp)
{
    printf("%d arguments\n", argc);
    for (int i = 0; i < argc; i++)
        show("argument", argv[i]);
    for (; *envp; envp++)
        show("variable", *envp);
}
