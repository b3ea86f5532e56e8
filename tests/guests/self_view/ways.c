/* However a program gets to its files under /proc, it sees itself there. */
#include "check.h"
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *self;
static struct stat executable;

static void shows_my_maps(int file)
{
    static char text[1 << 16];
    ssize_t length, all = 0;
    CHECK(file >= 0);
    while ((length = read(file, text + all, sizeof text - 1 - (size_t)all)) > 0)
        all += length;
    CHECK(all > 0 && strstr(text, self) && !strstr(text, "anon_inode") && !strstr(text, "/vmmload\n"));
    CHECK(close(file) == 0);
}

static void is_my_executable(int file)
{
    struct stat found;
    CHECK(file >= 0 && fstat(file, &found) == 0 && found.st_ino == executable.st_ino);
    CHECK(close(file) == 0);
}

static void by_path(const char *format, int id)
{
    char path[128], link[4096];
    struct stat found;
    struct statx detailed;
    snprintf(path, sizeof path, format, id, "maps");
    shows_my_maps(open(path, O_RDONLY));
    snprintf(path, sizeof path, format, id, "exe");
    is_my_executable(open(path, O_RDONLY));
    is_my_executable(open(path, O_PATH | O_CLOEXEC));
    memset(link, 0, sizeof link);
    CHECK(readlink(path, link, sizeof link) == (ssize_t)strlen(self) && strcmp(link, self) == 0);
    memset(link, 0, sizeof link);
    CHECK(readlink(path, link, 5) == 5 && strncmp(link, self, 5) == 0 && link[5] == 0);
    CHECK(stat(path, &found) == 0 && found.st_ino == executable.st_ino);
    CHECK(syscall(SYS_stat, path, &found) == 0 && found.st_ino == executable.st_ino);
    CHECK(lstat(path, &found) == 0 && S_ISLNK(found.st_mode));
    CHECK(statx(AT_FDCWD, path, 0, STATX_INO, &detailed) == 0 && detailed.stx_ino == executable.st_ino);
    CHECK(access(path, X_OK) == 0 && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0);
    CHECK_ERROR(open(path, O_RDONLY | O_NOFOLLOW), ELOOP);
}

static void from_directories(void)
{
    char link[4096] = "";
    struct stat found;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};
    int proc = open("/proc", O_PATH | O_DIRECTORY), own = open("/proc/self", O_RDONLY | O_DIRECTORY);
    CHECK(proc >= 0 && own >= 0);
    shows_my_maps(openat(proc, "self/maps", O_RDONLY));
    shows_my_maps(openat(own, "maps", O_RDONLY));
    shows_my_maps(openat(own, "./task/../maps", O_RDONLY));
    shows_my_maps((int)syscall(SYS_openat2, own, "maps", &how, sizeof how));
    CHECK(fcntl((int)syscall(SYS_openat2, own, "smaps", &how, sizeof how), F_GETFD) == FD_CLOEXEC);
    is_my_executable((int)syscall(SYS_openat2, proc, "thread-self/exe", &how, sizeof how));
    is_my_executable(openat(own, "exe", O_RDONLY));
    CHECK(readlinkat(own, "exe", link, sizeof link) > 0 && strcmp(link, self) == 0);
    CHECK(fstatat(proc, "self/exe", &found, 0) == 0 && found.st_ino == executable.st_ino);
    int maps = open("/proc/self/maps", O_PATH);
    CHECK(snprintf(link, sizeof link, "/proc/self/fd/%d", maps) > 0);
    shows_my_maps(open(link, O_RDONLY));
    CHECK(fchdir(own) == 0);
    shows_my_maps(open("maps", O_RDONLY));
    is_my_executable(open("exe", O_RDONLY));
    CHECK(chdir("/") == 0);
    shows_my_maps(open("proc/self/maps", O_RDONLY));
    CHECK(fcntl(open("/proc/self/maps", O_RDONLY | O_CLOEXEC), F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(open("/proc/self/maps", O_RDONLY), F_GETFD) == 0);
}

static void refused_as_always(void)
{
    CHECK_ERROR(open("/proc/self/exe", O_RDWR), ETXTBSY);
    CHECK_ERROR(open("/proc/self/maps/x", O_RDONLY), ENOTDIR);
    CHECK_ERROR(open("/proc/0/maps", O_RDONLY), ENOENT);
    int file = open("/proc/self/maps", O_RDONLY);
    char byte = 'x';
    CHECK_ERROR(write(file, &byte, 1), EBADF);
    CHECK(read(file, &byte, 1) == 1 && byte != 'x' && lseek(file, 0, SEEK_SET) == 0);
}

static void executes_itself(char *const arguments[])
{
    char link[64];
    int status;
    for (int how = 0; how < 3; how++) {
        snprintf(link, sizeof link, "/proc/%d/exe", getpid());
        pid_t child = fork();
        if (child == 0) {
            if (how == 0)
                execl("/proc/self/exe", "again", "end", NULL);
            else if (how == 1)
                execl(link, "again", "end", NULL);
            else
                syscall(SYS_execveat, open("/proc/self", O_PATH), "exe", arguments, environ, 0);
            _exit(1);
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 9);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 9;
    CHECK((self = realpath(argv[0], NULL)) && stat(self, &executable) == 0);
    by_path("/proc/self/%2$s", 0);
    by_path("/proc/thread-self/%2$s", 0);
    by_path("/proc/%1$d/%2$s", getpid());
    by_path("/proc/self/task/%1$d/%2$s", gettid());
    by_path("//proc/./self/../self/%2$s", 0);
    from_directories();
    refused_as_always();
    char *again[] = {argv[0], "end", NULL};
    executes_itself(again);
    puts("ok");
}
