/* maps, smaps, smaps_rollup, numa_maps and map_files show this program's mappings, whole, and no other's. */
#include "check.h"
#include <dirent.h>
#include <sys/auxv.h>

#define SIZE (64 * PAGE)

static char text[1 << 20];

static void slurp(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length, all = 0;
    CHECK(file >= 0);
    while ((length = read(file, text + all, sizeof text - 1 - (size_t)all)) > 0)
        all += length;
    CHECK(length == 0 && all > 0 && close(file) == 0);
    text[all] = 0;
}

static void is_mine(const char *path)
{
    slurp(path);
    const char *strangers[] = {"anon_inode", "/vmmload\n", "/dev/shm/vmmload", "libgcc_s", "memfd"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (strstr(text, strangers[i])) {
            fprintf(stderr, "%s in %s:\n%s", strangers[i], path, text);
            _exit(1);
        }
}

/* The rest of the line that begins with this range of addresses. */
static const char *line_of(const char *memory, size_t size)
{
    char key[64];
    snprintf(key, sizeof key, "%08lx-%08lx ", (unsigned long)memory, (unsigned long)memory + size);
    char *line = strstr(text, key);
    CHECK(line && (line == text || line[-1] == '\n'));
    return line + strlen(key);
}

static long number_after(const char *from, const char *key)
{
    const char *at = strstr(from, key);
    CHECK(at);
    return strtol(at + strlen(key), NULL, 10);
}

static long sum_of(const char *key)
{
    long sum = 0;
    for (const char *at = text; (at = strstr(at, key)); at++)
        if (at[-1] == '\n')
            sum += strtol(at + strlen(key), NULL, 10);
    return sum;
}

static int occurrences(const char *word)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        found++;
    return found;
}

static void files_list_what_is_there(const char *memory, const char *file)
{
    char name[64];
    is_mine("/proc/self/maps");
    CHECK(strncmp(line_of(memory, SIZE), "rw-p 00000000 00:00 0 \n", 23) == 0);
    CHECK(strncmp(line_of(file, 2 * PAGE), "r--s 00001000 ", 14) == 0);
    CHECK(occurrences("[heap]") == 1 && occurrences("[stack]") == 1 && occurrences("[vdso]") == 1);
    CHECK(occurrences("/libc.so.6") >= 3 && occurrences("/libc.so.6") <= 5);
    is_mine("/proc/self/smaps");
    const char *facts = line_of(memory, SIZE);
    CHECK(number_after(facts, "Size:") == SIZE / 1024 && number_after(facts, "Rss:") == SIZE / 1024);
    CHECK(strncmp(strstr(facts, "VmFlags: "), "VmFlags: rd wr mr mw me", 23) == 0);
    long resident = sum_of("Rss:");
    is_mine("/proc/self/smaps_rollup");
    CHECK(strstr(text, " ---p 00000000 00:00 0                          [rollup]\n"));
    CHECK(labs(number_after(text, "\nRss:") - resident) <= 512);
    snprintf(name, sizeof name, "%lx default", (unsigned long)memory);
    if (access("/proc/self/numa_maps", R_OK) == 0) {
        is_mine("/proc/self/numa_maps");
        CHECK(strstr(text, name) && number_after(strstr(text, name), "anon=") == SIZE / PAGE);
    }
    snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (unsigned long)file,
             (unsigned long)file + 2 * PAGE);
    CHECK(access("/proc/self/map_files", F_OK) != 0 || readlink(name, text, sizeof text) > 0);
}

static void map_files_are_those_of_maps(void)
{
    DIR *directory = opendir("/proc/self/map_files");
    struct dirent *entry;
    int found = 0;
    if (!directory)
        return; /* a kernel without them */
    slurp("/proc/self/maps");
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        unsigned long start = strtoul(entry->d_name, NULL, 16);
        char key[32];
        snprintf(key, sizeof key, "%08lx-", start);
        CHECK(strstr(text, key));
        found++;
    }
    CHECK(found > 5 && closedir(directory) == 0);
}

/* Each line is behind the one before, and so is each address in it. */
static void maps_is_in_order(void)
{
    unsigned long last = 0, start, end;
    slurp("/proc/self/maps");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        CHECK(sscanf(line, "%lx-%lx ", &start, &end) == 2 && last <= start && start < end);
        last = end;
    }
}

int main(void)
{
    char *memory = map_private(SIZE, PROT_NONE);
    CHECK(mprotect(memory + PAGE, SIZE - 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
    char *inner = map_private(SIZE + 2 * PAGE, PROT_NONE) + PAGE;
    CHECK(mprotect(inner, SIZE, PROT_READ | PROT_WRITE) == 0);
    CHECK(madvise(inner, SIZE, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
    memset(inner, 1, SIZE);
    CHECK(malloc(10000));
    int file = unnamed_file(4 * PAGE);
    char *mapped = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, PAGE);
    CHECK(mapped != MAP_FAILED);
    files_list_what_is_there(inner, mapped);
    map_files_are_those_of_maps();
    maps_is_in_order();
    puts("ok");
}
