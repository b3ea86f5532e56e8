/* Threads map, touch, resize and free memory all at once; nobody's content is disturbed. */
#include "check.h"
#include <pthread.h>

#define THREADS 8
#define BLOCKS 64

static void fill(char *block, size_t bytes, char value)
{
    if (bytes > 0)
        memset(block, value, bytes);
}

static void *work(void *argument)
{
    uint64_t seed = (uint64_t)(long)argument * 2654435761u + 1;
    char *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0};
    int rounds = part_of(3000);
    for (int i = 0; i < rounds; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        int slot = (int)(seed >> 33) % BLOCKS;
        size_t bytes = (seed >> 40) % (i % 50 == 0 ? 1 << 20 : 8000);
        CHECK(all_bytes(blocks[slot], sizes[slot], (char)(slot + 1)));
        char *block = realloc(blocks[slot], bytes + 1);
        CHECK(block != NULL);
        fill(block, bytes, (char)(slot + 1));
        blocks[slot] = block, sizes[slot] = bytes;
    }
    for (int slot = 0; slot < BLOCKS; slot++) {
        CHECK(all_bytes(blocks[slot], sizes[slot], (char)(slot + 1)));
        free(blocks[slot]);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    puts("ok");
}
