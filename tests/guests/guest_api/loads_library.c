// Loads a shared library, uses it, unloads it and goes on, twice: program and library each have an answer of their own.
#include "check.h"
#include <dlfcn.h>
#include <vmmload_guest.h>

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    int inside = vmmload_inside();
    for (int round = 0; round < 2; round++) {
        void *library = dlopen(argv[1], RTLD_NOW);
        CHECK(library != NULL);
        int (*mark)(const char *);
        *(void **)&mark = dlsym(library, "mark_in_library");
        CHECK(mark != NULL);
        CHECK(mark("in the library") == inside << 1 && mark("again") == inside << 1);
        CHECK(dlclose(library) == 0);
        CHECK(vmmload_mark("in the program") == 0 && vmmload_inside() == inside);
    }
    return 0;
}
