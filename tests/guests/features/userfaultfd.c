/* A thread that provides the pages of a region as they are touched, where userfaultfd may be used. */
#include "check.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#define PAGES 16

static int uffd;
static char *region;

static void *provide(void *unused)
{
    static char page[4096];
    for (int i = 0; i < PAGES; i++) {
        struct uffd_msg message;
        CHECK(read(uffd, &message, sizeof message) == sizeof message);
        CHECK(message.event == UFFD_EVENT_PAGEFAULT);
        unsigned long at = message.arg.pagefault.address & ~(PAGE - 1);
        memset(page, 'a' + (int)((at - (unsigned long)region) / PAGE), sizeof page);
        struct uffdio_copy copy = {.dst = at, .src = (unsigned long)page, .len = PAGE};
        CHECK(ioctl(uffd, UFFDIO_COPY, &copy) == 0);
    }
    return unused;
}

int main(void)
{
    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (uffd < 0) {
        printf("userfaultfd: %s\n", strerror(errno));
        return 0;
    }
    struct uffdio_api api = {.api = UFFD_API};
    CHECK(ioctl(uffd, UFFDIO_API, &api) == 0);
    region = map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    struct uffdio_register registered = {.range = {(unsigned long)region, PAGES * PAGE},
                                         .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(ioctl(uffd, UFFDIO_REGISTER, &registered) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, provide, NULL) == 0);
    /* Half by the program itself, half by the kernel for it. */
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < PAGES; i++) {
        char *page = region + i * PAGE, first = 0;
        if (i % 2) {
            CHECK(write(ends[1], page, 1) == 1 && read(ends[0], &first, 1) == 1);
        } else {
            first = *(volatile char *)page;
        }
        CHECK(first == 'a' + i && all_bytes(page, PAGE, (char)('a' + i)));
    }
    CHECK(pthread_join(thread, NULL) == 0);
    puts("all pages were provided");
    return 0;
}
