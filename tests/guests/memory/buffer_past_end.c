/* A buffer that goes on past the end of its mapping: the kernel fills what is there and no more. */
#include "check.h"
#include <pthread.h>

static void *idle(void *arg)
{
    pause();
    return arg;
}

/* Whether the program has nothing mapped at an address. */
static int nothing_at(const char *address)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char *line = NULL;
    size_t size = 0;
    int found = 0;
    CHECK(maps != NULL);
    while (getline(&line, &size, maps) > 0) {
        unsigned long start, end;
        CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
        found |= start <= (uintptr_t)address && (uintptr_t)address < end;
    }
    free(line);
    fclose(maps);
    return !found;
}

/* Mappings of several sizes, so that some lie right below whatever was mapped before. */
static void try_sizes(int zeros)
{
    for (size_t pages = 1; pages <= 40; pages += 3) {
        char *memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
        char *end = memory + pages * PAGE;
        if (nothing_at(end)) {
            memset(memory, 1, pages * PAGE);
            CHECK(read(zeros, end - 8, 4096) == 8);
            CHECK(all_bytes(end - 8, 8, 0) && end[-9] == 1);
        }
        CHECK(munmap(memory, pages * PAGE) == 0);
    }
}

int main(void)
{
    int zeros = open("/dev/zero", O_RDONLY);
    CHECK(zeros >= 0);
    try_sizes(zeros);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, idle, NULL) == 0);
        try_sizes(zeros);
    }
    puts("ok");
}
