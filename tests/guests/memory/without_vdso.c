/* A program may unmap the pages that the kernel mapped for the clock: all else goes on. */
#include "check.h"
#include <pthread.h>

static void *nothing(void *argument)
{
    return argument;
}

/* Reads the map first: the C library may hold a file open until then. */
static size_t find(unsigned long from[8], unsigned long to[8])
{
    char line[256];
    size_t found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "[vvar") != NULL || strstr(line, "[vdso]") != NULL)
            found += sscanf(line, "%lx-%lx", &from[found], &to[found]) == 2;
    fclose(maps);
    return found;
}

int main(void)
{
    unsigned long from[8], to[8];
    pthread_t thread;
    struct timespec moment = {0, 300000000};
    size_t found = find(from, to);
    CHECK(found >= 2);
    for (size_t i = 0; i < found; i++)
        CHECK(munmap((void *)from[i], to[i] - from[i]) == 0);
    CHECK(syscall(SYS_nanosleep, &moment, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    puts("ok");
}
