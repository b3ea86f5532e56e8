/* threads WANTED [DESCRIPTORS]: starts threads until one cannot be had, which must fail as at a limit of the
 * kernel's, and leave everything else as it was. */
#include "check.h"
#include <linux/capability.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ran;

static void *wait_for_the_end(void *unused)
{
    pthread_mutex_lock(&lock);
    ran++;
    pthread_mutex_unlock(&lock);
    return unused;
}

/* Only few descriptors, and no right to have more. */
static void limit_descriptors(unsigned long number)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    struct rlimit limit = {number, number};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(syscall(SYS_capset, &header, none) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    int wanted = atoi(argv[1]), started = 0, error = 0;
    pthread_t *threads = calloc((size_t)wanted, sizeof *threads);
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 << 10) == 0);
    if (argc > 2)
        limit_descriptors(strtoul(argv[2], NULL, 0));
    pthread_mutex_lock(&lock);
    while (started < wanted && !error) {
        error = pthread_create(&threads[started], &small, wait_for_the_end, NULL);
        started += !error;
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < started; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(ran == started);
    /* What one thread has given back another can have. */
    CHECK(pthread_create(&threads[0], NULL, wait_for_the_end, NULL) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    printf("%s: %s\n", started < wanted ? "some" : "all", strerror(error));
    return 0;
}
