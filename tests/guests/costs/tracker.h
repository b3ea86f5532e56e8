/* Tracks, within the process itself and without a VM, which pages of one buffer are written in each
 * epoch. Three ways: not at all; by userfaultfd, where the kernel resolves each write-protection fault by
 * itself and PAGEMAP_SCAN collects and protects again; by mprotect and a handler of SIGSEGV.
 * Each page that was written becomes a record in a ring, as in vmmload's segment. */
#ifndef TRACKER_H
#define TRACKER_H
#include "check.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

/* Of Linux 6.7; older headers have none of it. */
#define FEATURE_WP_UNPOPULATED (1ULL << 13)
#define FEATURE_WP_ASYNC (1ULL << 15)
#define IS_WRITTEN (1ULL << 1)
#define SCAN_WP_MATCHING (1ULL << 0)
#define SCAN_CHECK_WPASYNC (1ULL << 1)

struct scanned {
    uint64_t start, end, categories;
};

struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_PAGES _IOWR('f', 16, struct scan)

/* Records kept, as many as vmmload's ring has. */
#define RECORDS 65536UL

struct record {
    uint64_t address, time_ns;
    uint32_t epoch, count;
};

enum tracker { TRACK_NOTHING, TRACK_USERFAULTFD, TRACK_MPROTECT };

static struct {
    enum tracker how;
    char *buffer;
    size_t bytes;
    long interval_ns;
    int faults, pages, stop;
    pthread_t thread;
    _Atomic uint64_t records;
    _Atomic uint32_t epoch;
    struct record ring[RECORDS];
} tracking;

static int64_t now_ns(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void record_page(uint64_t address, int64_t time_ns)
{
    uint64_t number = atomic_fetch_add(&tracking.records, 1);
    tracking.ring[number % RECORDS] = (struct record){
        .address = address, .time_ns = (uint64_t)time_ns, .epoch = tracking.epoch, .count = 1};
}

/* Prints why this kernel or this user cannot, and ends. */
static void cannot(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    _exit(1);
}

/* Records what was written since the last time, and protects it again, in one pass. */
static void scan_pages(int keep)
{
    static struct scanned found[512];
    struct scan scan = {.size = sizeof scan,
                        .flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
                        .end = (uint64_t)tracking.buffer + tracking.bytes,
                        .vec = (uint64_t)found,
                        .vec_len = sizeof found / sizeof *found,
                        .category_mask = IS_WRITTEN,
                        .return_mask = IS_WRITTEN};
    scan.walk_end = (uint64_t)tracking.buffer;
    int64_t time_ns = now_ns();
    while (scan.walk_end < scan.end) {
        scan.start = scan.walk_end;
        int ranges = ioctl(tracking.pages, SCAN_PAGES, &scan);
        if (ranges < 0)
            cannot("PAGEMAP_SCAN with PM_SCAN_WP_MATCHING (Linux 6.7)");
        for (int i = 0; keep && i < ranges; i++)
            for (uint64_t at = found[i].start; at < found[i].end; at += PAGE)
                record_page(at, time_ns);
    }
}

static void begin_userfaultfd(void)
{
    tracking.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (tracking.faults < 0)
        cannot("userfaultfd");
    struct uffdio_api api = {.api = UFFD_API, .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED};
    if (ioctl(tracking.faults, UFFDIO_API, &api) != 0)
        cannot("userfaultfd with UFFD_FEATURE_WP_ASYNC (Linux 6.7)");
    struct uffdio_register region = {.range = {(uint64_t)tracking.buffer, tracking.bytes},
                                     .mode = UFFDIO_REGISTER_MODE_WP};
    if (ioctl(tracking.faults, UFFDIO_REGISTER, &region) != 0)
        cannot("UFFDIO_REGISTER for write protection");
    tracking.pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    CHECK(tracking.pages >= 0);
    scan_pages(0);
}

static void written(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    uintptr_t page = (uintptr_t)info->si_addr & ~(PAGE - 1);
    if (page - (uintptr_t)tracking.buffer >= tracking.bytes) {
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    record_page(page, now_ns());
    CHECK(mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void begin_mprotect(void)
{
    struct sigaction action = {.sa_sigaction = written, .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK(mprotect(tracking.buffer, tracking.bytes, PROT_READ) == 0);
}

static void end_epoch(void)
{
    if (tracking.how == TRACK_USERFAULTFD)
        scan_pages(1);
    else
        CHECK(mprotect(tracking.buffer, tracking.bytes, PROT_READ) == 0);
    tracking.epoch++;
}

/* Moments an interval apart; those that were missed are left out. */
static void *end_epochs(void *unused)
{
    int64_t next = now_ns();
    for (;;) {
        int64_t now = now_ns();
        next += ((now - next) / tracking.interval_ns + 1) * tracking.interval_ns;
        struct timespec rest = {(next - now) / 1000000000, (next - now) % 1000000000};
        struct pollfd stop = {.fd = tracking.stop, .events = POLLIN};
        int ready = ppoll(&stop, 1, &rest, NULL);
        CHECK(ready >= 0);
        if (ready > 0)
            return unused;
        end_epoch();
    }
}

/* All pages are armed, and the first epoch begins. */
static void begin_tracking(char *buffer, size_t bytes, const char *how, long interval_ms)
{
    tracking.buffer = buffer;
    tracking.bytes = bytes;
    tracking.interval_ns = interval_ms * 1000000;
    if (strcmp(how, "userfaultfd") == 0)
        tracking.how = TRACK_USERFAULTFD;
    else if (strcmp(how, "mprotect") == 0)
        tracking.how = TRACK_MPROTECT;
    else
        return;
    CHECK(interval_ms > 0);
    tracking.stop = eventfd(0, EFD_CLOEXEC);
    CHECK(tracking.stop >= 0);
    memset(tracking.ring, 0, sizeof tracking.ring);
    if (tracking.how == TRACK_USERFAULTFD)
        begin_userfaultfd();
    else
        begin_mprotect();
    CHECK(pthread_create(&tracking.thread, NULL, end_epochs, NULL) == 0);
}

/* Ends the last epoch, and says what was seen. */
static void end_tracking(void)
{
    if (tracking.how == TRACK_NOTHING)
        return;
    uint64_t one = 1;
    CHECK(write(tracking.stop, &one, sizeof one) == sizeof one);
    CHECK(pthread_join(tracking.thread, NULL) == 0);
    end_epoch();
    CHECK(mprotect(tracking.buffer, tracking.bytes, PROT_READ | PROT_WRITE) == 0);
    printf("epochs %u\nevents %lu\n", tracking.epoch, (unsigned long)tracking.records);
}

/* read(2) into memory that is tracked. Pages protected by mprotect are not writable for the kernel,
 * either: the call fails with EFAULT, or ends early where an epoch ends meanwhile, and the program has to
 * touch them itself and try again. */
static ssize_t tracked_pread(int file, char *into, size_t bytes, off_t at)
{
    for (;;) {
        ssize_t got = pread(file, into, bytes, at);
        if (got == (ssize_t)bytes || (got < 0 && errno != EFAULT) || tracking.how != TRACK_MPROTECT)
            return got;
        for (size_t i = 0; i < bytes; i += PAGE)
            *(volatile char *)(into + i) = 0;
    }
}

#endif
