/* Threads, descriptors, signals, sizes and strings of the process are those of the program alone. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>

static char text[1 << 16];

static void slurp(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, text, sizeof text - 1);
    CHECK(file >= 0 && length >= 0 && close(file) == 0);
    text[length] = 0;
}

static unsigned long fact(const char *key, int base)
{
    slurp("/proc/self/status");
    char *at = strstr(text, key);
    CHECK(at);
    return strtoul(at + strlen(key), NULL, base);
}

/* Field of /proc/self/stat, as proc(5) counts them, from 3 on. */
static unsigned long field(int number)
{
    slurp("/proc/self/stat");
    char *at = strrchr(text, ')');
    for (int i = 2; i < number; i++)
        CHECK((at = strchr(at, ' ')) && at++);
    return strtoul(at, NULL, 10);
}

static unsigned long statm(int number)
{
    slurp("/proc/self/statm");
    char *at = text;
    for (int i = 0; i < number; i++)
        CHECK((at = strchr(at, ' ')) && at++);
    return strtoul(at, NULL, 10);
}

static int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    CHECK(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory);
    CHECK(closedir(directory) == 0);
    return count;
}

static void *idle(void *gate)
{
    pthread_barrier_wait(gate);
    pthread_barrier_wait(gate);
    return NULL;
}

static void threads_are_counted(void)
{
    pthread_barrier_t gate;
    pthread_t threads[3];
    CHECK(fact("Threads:", 10) == 1 && field(20) == 1 && entries("/proc/self/task") == 1);
    CHECK(pthread_barrier_init(&gate, NULL, 4) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, idle, &gate) == 0);
    pthread_barrier_wait(&gate);
    CHECK(fact("Threads:", 10) == 4 && field(20) == 4 && entries("/proc/self/task") == 4);
    pthread_barrier_wait(&gate);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void descriptors_are_listed(void)
{
    int before = entries("/proc/self/fd");
    int low = dup(0), high = fcntl(0, F_DUPFD, 100);
    CHECK(low >= 0 && high == 100 && entries("/proc/self/fd") == before + 2);
    CHECK(entries("/proc/self/fdinfo") == before + 2 && entries("/proc/thread-self/fd") == before + 2);
    CHECK(fact("FDSize:", 10) == 128 || fact("FDSize:", 10) == 256);
    slurp("/proc/self/fdinfo/100");
    CHECK(strncmp(text, "pos:\t", 5) == 0 && close(low) == 0 && close(high) == 0);
}

static void handler(int number)
{
    (void)number;
}

static void signals_are_told(void)
{
    unsigned long before = fact("SigCgt:", 16);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(signal(SIGUSR1, handler) == SIG_DFL && signal(SIGHUP, SIG_IGN) != SIG_ERR);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGUSR2) == 0);
    CHECK(fact("SigCgt:", 16) == (before | 1UL << (SIGUSR1 - 1)));
    CHECK(field(34) == (fact("SigCgt:", 16) & 0x7fffffff)); /* without the real-time ones */
    CHECK(fact("SigBlk:", 16) == 1UL << (SIGUSR2 - 1) && fact("SigPnd:", 16) == 1UL << (SIGUSR2 - 1));
    CHECK(fact("SigIgn:", 16) & 1UL << (SIGHUP - 1));
}

static void memory_is_measured(void)
{
    enum { MEBIBYTES = 8 };
    unsigned long size = fact("VmSize:", 10), resident = fact("VmRSS:", 10), pages = statm(0);
    CHECK(size < 20000 && resident < 6000 && field(23) / 1024 < 20000 && field(24) * 4 < 6000);
    CHECK(labs((long)(pages * 4 - size)) < 100 && statm(1) * 4 < 6000 && statm(2) <= statm(1));
    char *memory = map_private(MEBIBYTES << 20, PROT_READ | PROT_WRITE);
    memset(memory, 1, MEBIBYTES << 20);
    unsigned long more = MEBIBYTES << 10, slack = 512;
    CHECK(fact("VmSize:", 10) - size >= more && fact("VmSize:", 10) - size <= more + slack);
    CHECK(fact("VmRSS:", 10) - resident + slack >= more && fact("VmRSS:", 10) - resident <= more + slack);
    CHECK((statm(0) - pages) * 4 >= more && (statm(0) - pages) * 4 <= more + slack);
    CHECK(fact("VmHWM:", 10) + slack >= fact("VmRSS:", 10) && fact("VmPeak:", 10) >= fact("VmSize:", 10));
    CHECK(field(26) <= (uintptr_t)&memory_is_measured && field(27) > (uintptr_t)&memory_is_measured);
}

static void strings_are_shown(int argc, char **argv)
{
    size_t length = 0;
    slurp("/proc/self/cmdline");
    for (int i = 0; i < argc; i++) {
        CHECK(strcmp(text + length, argv[i]) == 0);
        length += strlen(argv[i]) + 1;
    }
    slurp("/proc/self/environ");
    CHECK(strcmp(text, environ[0]) == 0);
    slurp("/proc/self/comm");
    const char *name = strrchr(argv[0], '/') + 1;
    size_t shown = strlen(name) < 15 ? strlen(name) : 15;
    CHECK(strncmp(text, name, shown) == 0 && strcmp(text + shown, "\n") == 0);
    CHECK(prctl(PR_SET_NAME, "another name") == 0);
    slurp("/proc/self/comm");
    CHECK(strcmp(text, "another name\n") == 0);
    slurp("/proc/self/stat");
    CHECK(strstr(text, "(another name) R"));
    strcpy(argv[1], "B");
    slurp("/proc/self/cmdline");
    CHECK(text[strlen(argv[0]) + 1] == 'B');
}

/* As daemons give themselves another title, where the kernel lets them. */
static void title_can_be_set(void)
{
    static char title[20];
    strcpy(title, "a title");
    struct prctl_mm_map map = {
        .start_code = field(26), .end_code = field(27), .start_data = field(45), .end_data = field(46),
        .start_brk = field(47), .brk = (uintptr_t)sbrk(0), .start_stack = field(28),
        .arg_start = (uintptr_t)title, .arg_end = (uintptr_t)title + strlen(title) + 1,
        .env_start = field(50), .env_end = field(51), .exe_fd = (uint32_t)-1,
    };
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) != 0)
        return;
    CHECK(field(48) == (uintptr_t)title && field(49) == map.arg_end && field(47) == map.start_brk);
    char *end = sbrk(PAGE);
    CHECK(end == (char *)map.brk && (*end = 1));
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    memory_is_measured(); /* first: threads leave stacks */
    threads_are_counted();
    descriptors_are_listed();
    signals_are_told();
    strings_are_shown(argc, argv);
    title_can_be_set();
    puts("ok");
}
