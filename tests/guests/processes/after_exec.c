/* Prints what an execve leaves of the process: identity, names, threads, timers, waiting signals. */
#include "check.h"
#include <dirent.h>
#include <elf.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/time.h>

static void show_link(const char *path)
{
    char target[4096];
    ssize_t length = readlink(path, target, sizeof target - 1);
    CHECK(length > 0);
    target[length] = 0;
    printf("%s -> %s\n", path, target);
}

static void show_file(const char *path)
{
    char text[65536];
    int file = open(path, O_RDONLY);
    CHECK(file >= 0);
    ssize_t length = read(file, text, sizeof text);
    CHECK(length >= 0 && close(file) == 0);
    printf("%s:", path);
    for (ssize_t i = 0; i < length; i++)
        printf(text[i] >= ' ' ? "%c" : "\\%d", text[i]);
    puts("");
}

int main(int argc, char **argv)
{
    char name[17] = "";
    unsigned long pending;
    struct itimerval timer;
    CHECK(prctl(PR_GET_NAME, name) == 0 && getitimer(ITIMER_REAL, &timer) == 0);
    printf("%d arguments, first [%s], name [%s], execfn [%s]\n", argc, argc ? argv[0] : "none", name,
           (char *)getauxval(AT_EXECFN));
    printf("leader %d, secure %lu\n", getpid() == (int)syscall(SYS_gettid), getauxval(AT_SECURE));
    show_link("/proc/self/exe");
    show_file("/proc/self/cmdline");
    show_file("/proc/self/comm");
    CHECK(syscall(SYS_rt_sigpending, &pending, 8) == 0);
    printf("pending %#lx, timer %s\n", pending, timer.it_value.tv_sec > 0 ? "runs" : "is off");
}
