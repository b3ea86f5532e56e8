/* Memory is named, moved, unmapped and given back while other threads store to it: no store is ever lost. */
#include "guest_calls.h"
#include <pthread.h>
#include <stdatomic.h>

enum { PAGES = 32, THREADS = 3 };
static char *memory;
static atomic_int stop;
static unsigned long last[THREADS];

static void *count(void *number)
{
    long thread = (long)number;
    unsigned long round = 0;
    while (!stop) {
        round++;
        for (int page = 0; page < PAGES; page++)
            ((volatile unsigned long *)(memory + page * PAGE))[thread] = round;
    }
    last[thread] = round;
    return NULL;
}

int main(void)
{
    char name[20];
    memory = map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, count, (void *)i) == 0);
    for (int i = 0; i < part_of(60); i++) {
        snprintf(name, sizeof name, "name %d", i % 7);
        CHECK(name_region(memory + i % PAGES * PAGE + i % 100, (size_t)i * 50 + 1, name) == 0);
        char *other = map_private(2 * PAGE, PROT_READ | PROT_WRITE);
        other[0] = 'x';
        CHECK(name_region(other, 2 * PAGE, name) == 0);
        CHECK(other[0] == 'x' && other[PAGE] == 0);
        other[0] = 'y';
        if (i % 3 == 0)
            CHECK(end_epoch() > 0);
        CHECK(other[0] == 'y' && munmap(other, 2 * PAGE) == 0);
        CHECK_ERROR(name_region(other, 2 * PAGE, name), ENOMEM);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        for (int page = 0; page < PAGES; page++)
            CHECK(((unsigned long *)(memory + page * PAGE))[i] == last[i]);
    CHECK(end_epoch() > 0);
    /* Once more on each page, for the reader to look for. */
    store(memory, PAGES);
    CHECK(end_epoch() > 0);
    printf("%lx\n", (unsigned long)memory);
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
