/* What personality(2) changes, here and in the program that is executed next. */
#include "check.h"
#include <sys/personality.h>
#include <sys/utsname.h>

static unsigned now(void) { return (unsigned)personality(0xffffffff); }

static int can_execute(char *code)
{
    /* ret */
    *code = (char)0xc3;
    ((void (*)(void))code)();
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        int local;
        struct utsname name;
        CHECK(uname(&name) == 0);
        printf("%s: %#x, machine %s, release begins %c\n", argv[1], now(), name.machine,
               name.release[0]);
        /* Where everything is must not change from run to run, wherever that be. */
        void *now_[] = {&local, (void *)main, malloc(1), (void *)printf, map_private(PAGE, 3)};
        void *before_[5];
        int fd = atoi(argv[2]);
        if (!(now() & ADDR_NO_RANDOMIZE))
            return 0;
        if (pread(fd, before_, sizeof before_, 0) == sizeof before_)
            CHECK(memcmp(now_, before_, sizeof now_) == 0);
        CHECK(pwrite(fd, now_, sizeof now_, 0) == sizeof now_);
        return 0;
    }
    unsigned before = now();
    CHECK(personality(before | READ_IMPLIES_EXEC) == (int)before);
    CHECK(now() == (before | READ_IMPLIES_EXEC));
    CHECK(can_execute(map_private(PAGE, PROT_READ | PROT_WRITE)));
    CHECK(personality(before) >= 0);
    fflush(stdout);
    static const unsigned all[] = {0,
                                   ADDR_NO_RANDOMIZE | UNAME26,
                                   ADDR_NO_RANDOMIZE | UNAME26,
                                   UNAME26,
                                   ADDR_COMPAT_LAYOUT,
                                   STICKY_TIMEOUTS,
                                   MMAP_PAGE_ZERO | UNAME26,
                                   PER_LINUX32};
    char text[32], file[16];
    snprintf(file, sizeof file, "%ld", syscall(SYS_memfd_create, "addresses", 0));
    CHECK(argc == 1);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(personality(all[i]) >= 0);
        snprintf(text, sizeof text, "%#x", all[i]);
        pid_t child = fork();
        if (child == 0) {
            execl("/proc/self/exe", argv[0], text, file, NULL);
            _exit(1);
        }
        int status;
        extern pid_t waitpid(pid_t, int *, int);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}
