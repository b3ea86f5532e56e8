/* counter FILE THREADS: threads that call, and count their calls in FILE, which others can see. */
#include "calls.h"

static volatile uint64_t *counters;
static pid_t parent;

static void *count(void *number)
{
    for (pid_t tid = own_tid();;) {
        CHECK(getppid() == parent && own_tid() == tid);
        counters[(uintptr_t)number]++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    int file = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    counters = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(counters != MAP_FAILED);
    parent = getppid();
    for (int i = 1; i < atoi(argv[2]); i++)
        start(count, (void *)(uintptr_t)i);
    puts("ready");
    fflush(stdout);
    count(NULL);
}
