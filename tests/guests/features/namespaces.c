/* unshare and setns, those that are for a process of one thread among them. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static int status_of_child(void (*f)(void))
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        f();
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status & ~0x80;
}

static ino_t namespace_of(const char *which)
{
    char path[64];
    struct stat stat_;
    snprintf(path, sizeof path, "/proc/self/ns/%s", which);
    CHECK(stat(path, &stat_) == 0);
    return stat_.st_ino;
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static int opened(const char *path)
{
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    return fd;
}

/* The program is still all there: memory, threads, children. */
static void *add_one(void *number)
{
    ++*(int *)number;
    return number;
}

static void goes_on(void)
{
    char *memory = map_private(100 * PAGE, PROT_READ | PROT_WRITE);
    memset(memory, 1, 100 * PAGE);
    int number = 1;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, add_one, &number) == 0);
    CHECK(pthread_join(thread, NULL) == 0 && number == 2);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(all_bytes(memory, 100 * PAGE, 1) ? 6 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 6 << 8);
}

static void new_user(void)
{
    char map[64];
    unsigned user = getuid();
    ino_t before = namespace_of("user");
    CHECK(unshare(CLONE_NEWUSER) == 0);
    CHECK(namespace_of("user") != before);
    printf("user %u of its own, ", getuid());
    snprintf(map, sizeof map, "0 %u 1", user);
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", map);
    printf("then %u\n", getuid());
    CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1);
    CHECK(unshare(CLONE_NEWNS) == 0);
    CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    goes_on();
}

static void many_at_once(void)
{
    int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
                CLONE_NEWCGROUP | CLONE_FILES | CLONE_SYSVSEM;
    CHECK(unshare(flags) == 0);
    CHECK(sethostname("inside", 6) == 0);
    goes_on();
}

static void first_of_its_namespace(void)
{
    CHECK(getpid() == 1);
    goes_on();
    _exit(9);
}

static void user_and_ids(void)
{
    CHECK_ERROR(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_SETTLS), EINVAL);
    ino_t user = namespace_of("user");
    CHECK(unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0);
    CHECK(namespace_of("user") != user && getpid() != 1);
    printf("first child %#x\n", status_of_child(first_of_its_namespace));
    pthread_t thread;
    int number = 0;
    /* No thread, nor a second first process. */
    printf("a thread: %s\n", strerror(pthread_create(&thread, NULL, add_one, &number)));
    printf("a fork: %s\n", fork() == -1 ? strerror(errno) : "works");
}

static void own_copies(void)
{
    CHECK(unshare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS | CLONE_FILES) == 0);
    CHECK(unshare(0) == 0);
    CHECK_ERROR(unshare(1), EINVAL);
    goes_on();
}

static void in_a_vfork_child(void)
{
    ino_t before = namespace_of("user");
    static volatile ino_t there;
    pid_t child = vfork();
    if (child == 0) {
        if (unshare(CLONE_NEWUSER) != 0)
            _exit(1);
        there = namespace_of("user");
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(there != before && namespace_of("user") == before);
    CHECK(unshare(CLONE_NEWUSER) == 0 && namespace_of("user") != before);
    goes_on();
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void with_another_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    CHECK_ERROR(unshare(CLONE_NEWUSER), EINVAL);
    CHECK_ERROR(unshare(CLONE_VM), EINVAL);
    CHECK_ERROR(setns(opened("/proc/self/ns/mnt"), CLONE_NEWNS), EINVAL);
}

/* A process in namespaces of its own, which others enter. */
static void entered(void)
{
    int told[2], asked[2];
    CHECK(pipe(told) == 0 && pipe(asked) == 0);
    pid_t other = fork();
    char byte;
    if (other == 0) {
        close(asked[1]);
        CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS) == 0);
        CHECK(sethostname("other", 5) == 0);
        CHECK(write(told[1], "x", 1) == 1);
        _exit((int)read(asked[0], &byte, 1));
    }
    CHECK(read(told[0], &byte, 1) == 1);
    const char *names[] = {"user", "mnt", "uts"};
    int types[] = {CLONE_NEWUSER, CLONE_NEWNS, 0};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/ns/%s", other, names[i]);
        int fd = opened(path);
        ino_t before = namespace_of(names[i]);
        CHECK_ERROR(setns(fd, CLONE_NEWNET), EINVAL);
        CHECK(setns(fd, types[i]) == 0);
        CHECK(namespace_of(names[i]) != before);
        if (types[i] == CLONE_NEWUSER)
            CHECK_ERROR(setns(fd, types[i]), EINVAL);
    }
    char name[16];
    CHECK(gethostname(name, sizeof name) == 0 && strcmp(name, "other") == 0);
    CHECK_ERROR(setns(-1, CLONE_NEWUSER), EBADF);
    CHECK_ERROR(setns(opened("/dev/null"), CLONE_NEWUSER), EINVAL);
    goes_on();
    CHECK(close(asked[1]) == 0);
}

static void by_pidfd(void)
{
    int told[2];
    CHECK(pipe(told) == 0);
    pid_t other = fork();
    char byte;
    if (other == 0) {
        CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS) == 0);
        CHECK(write(told[1], "x", 1) == 1);
        for (;;)
            pause();
    }
    CHECK(read(told[0], &byte, 1) == 1);
    int fd = (int)syscall(SYS_pidfd_open, other, 0);
    CHECK(fd >= 0);
    CHECK_ERROR(setns(fd, 0), EINVAL);
    ino_t user = namespace_of("user"), uts = namespace_of("uts");
    CHECK(setns(fd, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID) == 0);
    CHECK(namespace_of("user") != user && namespace_of("uts") != uts);
    goes_on();
    CHECK(kill(other, SIGKILL) == 0 && waitpid(other, NULL, 0) == other);
}

int main(void)
{
    void (*all[])(void) = {new_user,            many_at_once, user_and_ids, own_copies,
                           with_another_thread, entered,      by_pidfd,     in_a_vfork_child};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        printf("%u: %#x\n", i, status_of_child(all[i]));
    return 0;
}
