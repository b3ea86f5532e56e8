/* Daemons close every descriptor, or lay their own over all of them: the program goes on working. */
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>

static void *work(void *argument)
{
    *(long *)argument += 1;
    return NULL;
}

/* Memory, files, threads and calls all still work. */
static void goes_on_working(const char *after)
{
    char *memory = map_private(1UL << 20, PROT_READ | PROT_WRITE);
    memset(memory, 'g', 1UL << 20);
    CHECK(mprotect(memory, PAGE, PROT_READ) == 0 && munmap(memory, 1UL << 20) == 0);
    int file = open("/dev/zero", O_RDONLY);
    printf("%s: next descriptor %d\n", after, file);
    char byte = 1;
    CHECK(file < 0 || (read(file, &byte, 1) == 1 && byte == 0 && close(file) == 0));
    long done = 0;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, &done) == 0 && pthread_join(thread, NULL) == 0);
    }
    CHECK(done == 3);
}

static int highest(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur > 20000 ? 20000 : (int)limit.rlim_cur;
}

static void close_each(void)
{
    int closed = 0;
    for (int i = 3; i < highest(); i++)
        closed += close(i) == 0;
    printf("closed one by one: %d\n", closed);
}

/* Every number can be had, whoever else may have used it. */
static void lay_over_each(void)
{
    int null = open_null(O_RDWR);
    for (int i = 3; i < highest(); i++)
        CHECK(i == null || dup2(null, i) == i);
    for (int i = 3; i < highest(); i++)
        CHECK(fcntl(i, F_GETFD) >= 0);
    CHECK_ERROR(dup2(null, highest()), EBADF);
    CHECK_ERROR(dup(null), EMFILE);
}

int main(void)
{
    CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
    goes_on_working("close_range");
    close_each();
    goes_on_working("close");
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= 20000);
    lay_over_each();
    goes_on_working("dup2");
    CHECK(syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) == 0);
    CHECK(fcntl(100, F_GETFD) == FD_CLOEXEC);
    CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
    CHECK_ERROR(syscall(SYS_close_range, 10, 3, 0), EINVAL);
    goes_on_working("close_range again");
    limit.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    goes_on_working("a lower limit");
    puts("ok");
}
