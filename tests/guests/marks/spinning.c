/* One thread stores in rounds and never leaves the guest; the other one ends an epoch after each round. */
#include "guest_calls.h"
#include <pthread.h>
#include <stdatomic.h>

enum { STORED = 8 };
static char *memory;
static int rounds;
static atomic_int begun, done;

static void *work(void *unused)
{
    (void)unused;
    for (int round = 1; round <= rounds; round++) {
        while (begun < round)
            ;
        store(memory + (size_t)round * STORED * PAGE, STORED);
        done = round;
    }
    while (begun <= rounds)
        ;
    return NULL;
}

int main(void)
{
    rounds = part_of(100);
    size_t pages = (size_t)(rounds + 1) * STORED;
    memory = map_private(pages * PAGE, PROT_READ | PROT_WRITE);
    store(memory, pages);
    CHECK(end_epoch() > 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    for (int round = 1; round <= rounds; round++) {
        begun = round;
        while (done < round)
            ;
        begin("round");
    }
    begun = rounds + 1;
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(end_epoch() > 0);
    printf("%lx %d\n", (unsigned long)memory, rounds);
    fflush(stdout);
    CHECK(getchar() != EOF);
    return 0;
}
