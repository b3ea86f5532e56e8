/* The main thread leaves first; the others go on, and the last one's end, or exit(), ends the process. */
#include "check.h"
#include <pthread.h>

static pthread_t main_thread;

static void *last(void *how)
{
    CHECK(pthread_join(main_thread, NULL) == 0);
    puts("main has left");
    fflush(stdout);
    usleep(20000);
    puts("the last thread leaves");
    fflush(stdout);
    if (strcmp(how, "exit") == 0)
        exit(7);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    main_thread = pthread_self();
    CHECK(pthread_create(&thread, NULL, last, argc > 1 ? argv[1] : "return") == 0);
    pthread_exit(NULL);
}
