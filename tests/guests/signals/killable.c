/* A fatal signal ends a wait that no handler would interrupt: for a page that nobody provides, in a call. */
#include "check.h"
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static int ends[2];

static void *wait_for_page(void *page)
{
    CHECK(read(ends[0], page, 1) == 1);
    _exit(3);
}

static void hang_and_die(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    char *page = map_private(PAGE, PROT_READ | PROT_WRITE);
    int descriptor = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    pthread_t thread;
    sigset_t set;
    if (descriptor < 0)
        _exit(kill(getpid(), SIGTERM)); /* not permitted to this user */
    struct uffdio_register area = {.range = {(uintptr_t)page, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(ioctl(descriptor, UFFDIO_API, &api) == 0 && ioctl(descriptor, UFFDIO_REGISTER, &area) == 0);
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    CHECK(pthread_create(&thread, NULL, wait_for_page, page) == 0);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    usleep(100000);
    CHECK(kill(getpid(), SIGTERM) == 0);
    sleep(10);
    _exit(4);
}

int main(void)
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        hang_and_die();
    CHECK(waitpid(child, &status, 0) == child);
    printf("died %d of %s\n", WIFSIGNALED(status), strsignal(WTERMSIG(status)));
}
