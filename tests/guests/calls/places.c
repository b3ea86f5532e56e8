/* Calls from all the places that code may be at: each frequent, each called by the other ways there are, each changed
 * as far as it may be changed, and the files below unchanged. */
#include "code.h"
#include <dlfcn.h>
#include <sys/wait.h>

static long parent, self;

static void in_the_library(void)
{
    int file = unnamed_file(0);
    char bytes[8];
    CHECK(write(file, "01234567", 8) == 8);
    struct effort effort_ = effort(20000, 0.3);
    while (goes_on(&effort_)) {
        CHECK(getppid() == parent && getpid() == self);
        CHECK(lseek(file, 2, SEEK_SET) == 2 && read(file, bytes, 8) == 6 && bytes[0] == '2');
    }
    close(file);
}

static __attribute__((noinline)) long own_call(void)
{
    long result;
    __asm__ volatile("mov $110, %%eax\nsyscall" : "=a"(result)::"rcx", "r11", "memory");
    return result;
}

static void in_own_text(void)
{
    run_hot((void *)own_call, parent);
}

/* Generated, and generated anew all the time, into memory that stays writable. */
static void in_writable_memory(void)
{
    unsigned char *code = (unsigned char *)map_private(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    unsigned char page[PAGE];
    struct effort effort_ = effort(2000, 0.4);
    for (int i = 0; goes_on(&effort_); i++) {
        unsigned number = i % 2 ? SYS_getppid : SYS_getpid;
        page_of(page, number, i % 7);
        memcpy(code, page, PAGE);
        for (int j = 0; j < 20; j++)
            CHECK(run(code) == (i % 2 ? parent : self));
        CHECK(memcmp(code, page, PAGE) == 0);
    }
    CHECK(munmap(code, PAGE) == 0);
}

/* What another mapping of the file, or a write to it, changes is called at once. */
static void in_shared_files(void)
{
    unsigned char page[PAGE];
    page_of(page, SYS_getppid, 0);
    int file = file_with(page, O_RDWR);
    unsigned char *code = map_code(NULL, file, MAP_SHARED);
    unsigned char *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(writable != MAP_FAILED);
    run_hot(code, parent);
    CHECK(memcmp(code, page, PAGE) == 0 && memcmp(writable, page, PAGE) == 0 && is_unchanged(file, page));
    page_of(page, SYS_getpid, 3);
    memcpy(writable, page, PAGE);
    run_hot(code, self);
    page_of(page, SYS_getppid, 5);
    CHECK(pwrite(file, page, PAGE, 0) == (ssize_t)PAGE);
    run_hot(code, parent);
    CHECK(memcmp(code, page, PAGE) == 0 && is_unchanged(file, page));
    CHECK(munmap(code, PAGE) == 0 && munmap(writable, PAGE) == 0 && close(file) == 0);
}

/* Hot first, then made writable: it has what the file has, and is changed as the program wants it. */
static void in_private_files_rewritten(void)
{
    unsigned char page[PAGE], other[PAGE];
    page_of(page, SYS_getppid, 2);
    page_of(other, SYS_getpid, 1);
    int file = file_with(page, O_RDONLY);
    for (int i = 0; i < 3; i++) {
        unsigned char *code = map_code(NULL, file, MAP_PRIVATE);
        run_hot(code, parent);
        CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE | (i == 1 ? PROT_EXEC : 0)) == 0);
        CHECK(memcmp(code, page, PAGE) == 0);
        /* As debuggers and just-in-time compilers do, a part, or all. */
        if (i == 2)
            memcpy(code + 3, &(unsigned){SYS_getpid}, 4);
        else
            memcpy(code, other, PAGE);
        if (i == 1)
            run_hot(code, self);
        CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
        run_hot(code, self);
        CHECK(is_unchanged(file, page) && munmap(code, PAGE) == 0);
    }
    CHECK(close(file) == 0);
}

static unsigned sum_of(const unsigned char *bytes, size_t length)
{
    unsigned sum = 1;
    for (size_t i = 0; i < length; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

/* Text that was writable once, and whose bytes the program looks at, is left as it is. */
static void in_text_under_observation(void)
{
    unsigned char *text = (unsigned char *)((uintptr_t)own_call & ~(PAGE - 1));
    CHECK(mprotect(text, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    unsigned sum = sum_of(text, PAGE);
    struct effort effort_ = effort(2000, 0.3);
    while (goes_on(&effort_)) {
        for (int i = 0; i < 10; i++)
            CHECK(own_call() == parent);
        CHECK(sum_of(text, PAGE) == sum);
    }
    CHECK(mprotect(text, PAGE, PROT_READ | PROT_EXEC) == 0);
    run_hot((void *)own_call, parent);
}

/* Entered behind the number, or before it, in turn. */
static void entered_in_the_middle(void)
{
    unsigned char page[PAGE];
    page_of(page, SYS_getppid, 0);
    int file = file_with(page, O_RDONLY);
    unsigned char *code = map_code(NULL, file, MAP_PRIVATE);
    run_hot(code, parent);
    struct effort effort_ = effort(20000, 0.3);
    while (goes_on(&effort_)) {
        long result = SYS_getpid;
        /* A call pushes, so the red zone is left out. */
        __asm__ volatile("sub $128, %%rsp\ncall *%1\nadd $128, %%rsp"
                         : "+a"(result) : "r"(code + 5) : "rcx", "r11", "memory", "cc");
        CHECK(result == self && run(code) == parent);
    }
    CHECK(munmap(code, PAGE) == 0 && close(file) == 0);
}

/* One file's code after another's at the same address. */
static void one_after_the_other(void)
{
    unsigned char pages[2][PAGE];
    int files[2];
    page_of(pages[0], SYS_getppid, 0);
    page_of(pages[1], SYS_getpid, 4);
    for (int i = 0; i < 2; i++)
        files[i] = file_with(pages[i], O_RDONLY);
    unsigned char *place = (unsigned char *)map_private(PAGE, PROT_NONE);
    struct effort effort_ = effort(300, 0.8);
    for (int i = 0; goes_on(&effort_); i++) {
        map_code(place, files[i % 2], MAP_PRIVATE);
        for (int j = 0; j < (i % 3 ? 10 : 300); j++)
            CHECK(run(place) == (i % 2 ? self : parent));
        if (i % 5 == 0) {
            CHECK(munmap(place, PAGE) == 0);
            CHECK(mmap(place, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == place);
        }
    }
    CHECK(is_unchanged(files[0], pages[0]) && is_unchanged(files[1], pages[1]) && munmap(place, PAGE) == 0);
    close(files[0]);
    close(files[1]);
}

/* A second C library, loaded, called and unloaded again and again. */
static void loaded_and_unloaded(void)
{
    struct effort effort_ = effort(40, 1.5);
    while (goes_on(&effort_)) {
        void *library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
        CHECK(library != NULL);
        pid_t (*ask)(void);
        *(void **)&ask = dlsym(library, "getppid");
        CHECK(ask != NULL && ask != getppid);
        for (int i = 0; i < 400; i++)
            CHECK(ask() == parent);
        CHECK(dlclose(library) == 0);
    }
}

static void moved_and_protected(void)
{
    unsigned char page[PAGE];
    page_of(page, SYS_getppid, 1);
    int file = file_with(page, O_RDONLY);
    unsigned char *code = map_code(NULL, file, MAP_PRIVATE);
    run_hot(code, parent);
    for (int i = part_of(20); i > 0; i--) {
        unsigned char *to = (unsigned char *)map_private(PAGE, PROT_NONE);
        CHECK(mremap(code, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
        code = to;
        for (int j = 0; j < 50; j++)
            CHECK(run(code) == parent);
        CHECK(mprotect(code, PAGE, PROT_NONE) == 0 && mprotect(code, PAGE, PROT_READ) == 0);
        CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0 && run(code) == parent);
        /* Thrown away, it comes back from the file. */
        CHECK(madvise(code, PAGE, MADV_DONTNEED) == 0 && run(code) == parent);
    }
    CHECK(is_unchanged(file, page) && munmap(code, PAGE) == 0 && close(file) == 0);
}

/* A child has the same code, and may change its own. */
static void in_children(void)
{
    unsigned char page[PAGE], other[PAGE];
    page_of(page, SYS_getppid, 0);
    page_of(other, SYS_getpid, 0);
    int file = file_with(page, O_RDONLY);
    unsigned char *code = map_code(NULL, file, MAP_PRIVATE);
    run_hot(code, parent);
    for (int i = 0; i < 6; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            run_hot(code, self);
            CHECK(own_call() == self && getppid() == self);
            CHECK(mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0 && memcmp(code, page, PAGE) == 0);
            memcpy(code, other, PAGE);
            CHECK(mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0);
            run_hot(code, getpid());
            _exit(i);
        }
        int status;
        for (int j = 0; j < 100; j++)
            CHECK(run(code) == parent && own_call() == parent);
        CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i && WIFEXITED(status));
    }
    CHECK(is_unchanged(file, page) && munmap(code, PAGE) == 0 && close(file) == 0);
}

static unsigned sum_of_file(const char *path)
{
    static unsigned char bytes[1 << 16];
    unsigned sum = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    for (ssize_t count; (count = read(file, bytes, sizeof bytes)) > 0;)
        sum = sum * 17 + sum_of(bytes, (size_t)count);
    CHECK(close(file) == 0);
    return sum;
}

/* The lines of what is mapped from files that can be executed. */
static size_t mapped_text(char *lines, size_t most)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    size_t length = 0;
    CHECK(maps != NULL);
    for (char line[4096 + 200]; fgets(line, sizeof line, maps) != NULL;)
        if (strchr(line, '/') != NULL && strstr(line, "r-xp") != NULL) {
            CHECK(length + strlen(line) < most);
            strcpy(lines + length, line);
            length += strlen(line);
        }
    fclose(maps);
    return length;
}

static const char *path_of_library(void)
{
    Dl_info info;
    CHECK(dladdr((void *)getppid, &info) != 0);
    return info.dli_fname;
}

static void files_and_mappings_stay(void)
{
    static char before[20000], after[20000];
    unsigned library = sum_of_file(path_of_library()), own = sum_of_file("/proc/self/exe");
    CHECK(mapped_text(before, sizeof before) > 0);
    in_the_library();
    in_own_text();
    CHECK(mapped_text(after, sizeof after) > 0 && strcmp(before, after) == 0);
    CHECK(sum_of_file(path_of_library()) == library && sum_of_file("/proc/self/exe") == own);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {{"library", in_the_library}, {"own", in_own_text}, {"writable", in_writable_memory},
               {"shared", in_shared_files}, {"rewritten", in_private_files_rewritten},
               {"observed", in_text_under_observation}, {"middle", entered_in_the_middle},
               {"replaced", one_after_the_other}, {"loaded", loaded_and_unloaded},
               {"moved", moved_and_protected}, {"children", in_children}, {"files", files_and_mappings_stay}};
    CHECK(argc == 2);
    parent = getppid();
    self = getpid();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(argv[1], all[i].name) == 0 || strcmp(argv[1], "all") == 0)
            all[i].run();
    puts("as it should be");
}
