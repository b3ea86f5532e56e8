/* A child by fork has a copy of everything, and nothing that either does afterwards reaches the other. */
#include "check.h"
#include <sys/wait.h>

static int global = 1;

static int status_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void memory_is_a_copy_and_shared_memory_is_not(void)
{
    int local = 2, *heap = malloc(sizeof *heap);
    char *private = map_private(64 * PAGE, PROT_READ | PROT_WRITE);
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(heap != NULL && shared != MAP_FAILED);
    *heap = 3;
    memset(private, 4, 64 * PAGE);
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(getppid() == parent && getpid() != parent);
        CHECK(global == 1 && local == 2 && *heap == 3 && all_bytes(private, 64 * PAGE, 4));
        global = local = *heap = 9;
        memset(private, 9, 64 * PAGE);
        CHECK(munmap(private + PAGE, PAGE) == 0);
        strcpy(shared, "from the child");
        _exit(17);
    }
    int status = status_of(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 17);
    CHECK(global == 1 && local == 2 && *heap == 3 && all_bytes(private, 64 * PAGE, 4));
    CHECK(strcmp(shared, "from the child") == 0);
    free(heap);
}

static void child_can_do_everything_with_its_memory(void)
{
    pid_t child = fork();
    if (child == 0) {
        char *memory = map_private(300 * PAGE, PROT_READ | PROT_WRITE);
        memset(memory, 1, 300 * PAGE);
        CHECK(mremap(memory, 300 * PAGE, 600 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
        char *more = sbrk(100 * PAGE);
        CHECK(more != (void *)-1);
        memset(more, 2, 100 * PAGE);
        char deep[400 * PAGE];
        memset(deep, 3, sizeof deep);
        CHECK(all_bytes(deep, sizeof deep, 3) && all_bytes(more, 100 * PAGE, 2));
        exit(0);
    }
    CHECK(status_of(child) == 0);
}

static void children_have_children(int depth)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (depth > 0)
            children_have_children(depth - 1);
        _exit(depth);
    }
    CHECK(WEXITSTATUS(status_of(child)) == depth);
}

static void many_follow_one_another_and_live_at_once(void)
{
    int end = part_of(100);
    for (int i = 0; i < end; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            _exit(i & 63);
        CHECK(WEXITSTATUS(status_of(child)) == (i & 63));
    }
    int sum = 0;
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            usleep(1000);
            _exit(i);
        }
    }
    for (int i = 0; i < 10; i++) {
        int status;
        CHECK(wait(&status) > 0 && WIFEXITED(status));
        sum += WEXITSTATUS(status);
    }
    CHECK(sum == 45);
    CHECK_ERROR(wait(NULL), ECHILD);
}

static void child_can_die_of_a_signal(void)
{
    int signals[] = {SIGKILL, SIGTERM, SIGABRT, SIGSEGV};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (signals[i] == SIGSEGV)
                *(volatile int *)8 = 1;
            raise(signals[i]);
            _exit(1);
        }
        int status = status_of(child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
    }
}

static void descriptors_are_shared_and_numbers_are_the_lowest(void)
{
    int ends[2], file = unnamed_file(0);
    char byte;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(write(file, "four", 4) == 4 && close(ends[0]) == 0);
        int next = dup(0);
        CHECK(next == ends[0] && close(next) == 0);
        CHECK(write(ends[1], "x", 1) == 1);
        _exit(0);
    }
    CHECK(close(ends[1]) == 0 && read(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 0);
    CHECK(status_of(child) == 0 && lseek(file, 0, SEEK_CUR) == 4);
    close(ends[0]), close(file);
}

int main(void)
{
    memory_is_a_copy_and_shared_memory_is_not();
    child_can_do_everything_with_its_memory();
    children_have_children(6);
    many_follow_one_another_and_live_at_once();
    child_can_die_of_a_signal();
    descriptors_are_shared_and_numbers_are_the_lowest();
    puts("ok");
}
