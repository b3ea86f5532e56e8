/* Threads that use one consumer at the same time, as far as it is const, and threads with a consumer of their own.
 *
 * Arguments: the pid. Prints "attached", and goes on until the process has ended; then how many events each thread with a
 * consumer of its own has read. */
#include "check.h"
#include <pthread.h>

#define SHARING 3
#define OWNERS 3

static const vmmload_consumer *shared;
static uint32_t pid;

/* Each asks everything that may be asked at the same time; errors are each thread's own. */
static void *ask(void *number)
{
    vmmload_consumer *nobody;
    char expected[32];
    uint32_t nobodys = 4294967200u + (uint32_t)(size_t)number;
    snprintf(expected, sizeof expected, "vmmload-%" PRIu32 ";", nobodys);
    do {
        static vmmload_heat heat[SHARING][1024];
        uint64_t pages[1024];
        vmmload_heat_view view;
        vmmload_info info;
        vmmload_written written;
        CHECK(vmmload_attach(nobodys, &nobody) == -VMMLOAD_E_NOT_FOUND);
        CHECK(vmmload_get_info(shared, &info, sizeof info) == 0 && info.process.pid == pid);
        CHECK(vmmload_heat_read(shared, heat[(size_t)number], 1024) > 0);
        vmmload_heat_words(shared, &view);
        CHECK(view.used > 0 && vmmload_position(shared) == 0);
        CHECK(vmmload_pages_written_since(shared, 0, pages, 1024, &written) > 0);
        vmmload_mappings *mappings = vmmload_mappings_copy(shared);
        CHECK(!mappings || vmmload_mappings_count(mappings) > 0);
        vmmload_mappings_free(mappings);
        CHECK(strstr(vmmload_last_error(), mappings ? expected : "mappings"));
        CHECK(vmmload_wait(shared, 10000000) >= 0);
    } while (vmmload_status(shared, NULL) == VMMLOAD_RUNNING);
    return NULL;
}

static void *own(void *number)
{
    vmmload_consumer *mine;
    vmmload_event events[7];
    uint64_t lost, *total = (uint64_t *)number;
    CHECK(vmmload_attach(pid, &mine) == 0);
    while (vmmload_wait(mine, -1) == VMMLOAD_NEWS) {
        size_t read = vmmload_read(mine, events, 7, &lost);
        CHECK(lost == 0);
        for (size_t i = 0; i < read; i++)
            *total += events[i].count;
    }
    vmmload_detach(mine);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[SHARING + OWNERS];
    uint64_t totals[OWNERS] = {0};
    vmmload_consumer *consumer;

    CHECK(argc == 2);
    pid = (uint32_t)strtoul(argv[1], NULL, 10);
    CHECK(vmmload_attach(pid, &consumer) == 0);
    shared = consumer;
    while (vmmload_heat_read(shared, NULL, 0) == 0) /* Its first epoch may not have ended yet. */
        CHECK(vmmload_wait(shared, -1) == VMMLOAD_NEWS);
    for (size_t i = 0; i < SHARING; i++)
        CHECK(pthread_create(&threads[i], NULL, ask, (void *)i) == 0);
    for (size_t i = 0; i < OWNERS; i++)
        CHECK(pthread_create(&threads[SHARING + i], NULL, own, &totals[i]) == 0);
    puts("attached");
    fflush(stdout);
    for (size_t i = 0; i < SHARING + OWNERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(strcmp(vmmload_last_error(), "") == 0);
    vmmload_detach(consumer);
    for (size_t i = 0; i < OWNERS; i++)
        printf("%" PRIu64 "\n", totals[i]);
    return 0;
}
