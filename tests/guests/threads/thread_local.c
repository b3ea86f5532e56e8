/* Initialised, zeroed and aligned thread-local variables are right in every thread from the start. */
#include "check.h"
#include <pthread.h>

static __thread int initialised[4] = {1, 2, 3, 4};
static __thread char zeroed[100];
static __thread struct { char bytes[64]; } aligned __attribute__((aligned(64)));
static __thread const char *text = "thread-local";
static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
    CHECK(value != NULL);
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_SEQ_CST);
}

static void is_fresh(void)
{
    CHECK(initialised[0] == 1 && initialised[3] == 4 && all_bytes(zeroed, sizeof zeroed, 0));
    CHECK((uintptr_t)&aligned % 64 == 0 && strcmp(text, "thread-local") == 0);
    CHECK(pthread_getspecific(key) == NULL && errno == 0);
}

static void *work(void *number)
{
    is_fresh();
    initialised[3] = zeroed[0] = aligned.bytes[63] = 77;
    text = "changed";
    errno = (int)(long)number;
    CHECK(pthread_setspecific(key, "value") == 0);
    getppid();
    CHECK(errno == (int)(long)number);
    return &initialised[3];
}

int main(void)
{
    CHECK(pthread_key_create(&key, destroy) == 0);
    is_fresh();
    for (long i = 0; i < 50; i++) {
        pthread_t threads[4];
        void *where[4];
        for (int j = 0; j < 4; j++)
            CHECK(pthread_create(&threads[j], NULL, work, (void *)(i + 1)) == 0);
        for (int j = 0; j < 4; j++)
            CHECK(pthread_join(threads[j], &where[j]) == 0 && where[j] != &initialised[3]);
        is_fresh();
    }
    printf("destroyed: %d\n", destroyed);
}
