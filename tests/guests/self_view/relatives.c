/* Parent and child see each other under /proc as they see themselves. */
#include "check.h"
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char text[1 << 20];

static void slurp(int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length, all = 0;
    CHECK(file >= 0);
    while ((length = read(file, text + all, sizeof text - 1 - (size_t)all)) > 0)
        all += length;
    CHECK(close(file) == 0);
    text[all] = 0;
}

static void list(int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    DIR *directory = opendir(path);
    CHECK(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    printf("%s: %d\n", name, count);
    closedir(directory);
}

static void look(const char *who, int pid)
{
    char path[64], link[PATH_MAX] = "";
    struct stat found;
    printf("%s\n", who);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    CHECK(readlink(path, link, sizeof link) > 0 && stat(path, &found) == 0);
    printf("exe: %s, %ld bytes\n", link, (long)found.st_size);
    const char *files[] = {"maps", "smaps", "numa_maps"};
    for (int i = 0; i < 3; i++) {
        if (i == 2 && access("/proc/self/numa_maps", R_OK) != 0)
            continue;
        slurp(pid, files[i]);
        if (!strstr(text, "/libc.so.6") || strstr(text, "anon_inode") || strstr(text, "/vmmload\n")) {
            fprintf(stderr, "%s of %s:\n%s", files[i], who, text);
            _exit(1);
        }
        CHECK(strstr(text, i == 2 ? " stack" : "[stack]"));
    }
    slurp(pid, "smaps_rollup");
    CHECK(strstr(text, "[rollup]") && atoi(strstr(text, "Rss:") + 4) < 6000);
    slurp(pid, "status");
    printf("threads: %d\n", atoi(strstr(text, "Threads:") + 8));
    CHECK(atoi(strstr(text, "VmSize:") + 7) < 30000 && atoi(strstr(text, "VmRSS:") + 6) < 6000);
    slurp(pid, "cmdline");
    printf("cmdline: %s\n", text);
    slurp(pid, "comm");
    printf("comm: %s", text);
    list(pid, "task");
    fflush(stdout);
}

int main(void)
{
    int go[2], feed[2], ready[2];
    char byte;
    CHECK(pipe(go) == 0 && pipe(feed) == 0 && pipe(ready) == 0);
    look("itself", getpid());
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        look("parent", getppid());
        CHECK(write(ready[1], "r", 1) == 1 && close(go[1]) == 0 && read(go[0], &byte, 1) == 0);
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    pid_t other = fork();
    CHECK(other >= 0);
    if (other == 0) {
        CHECK(dup2(feed[0], 0) == 0 && dup2(ready[1], 1) == 1);
        close(feed[1]);
        close(go[1]);
        execlp("cat", "cat", NULL);
        _exit(1);
    }
    CHECK(close(go[0]) == 0 && write(feed[1], "f", 1) == 1 && read(ready[0], &byte, 1) == 1 && byte == 'f');
    look("child", child);
    look("child with another program", other);
    list(child, "fd");
    CHECK(close(go[1]) == 0 && close(feed[1]) == 0 && wait(NULL) > 0 && wait(NULL) > 0);
    puts("ok");
}
