/* many_forks COUNT: children one after the other with several alive at once. Each must find the memory as it
 * was when it was forked, and each end must be reported once, as what it was. */
#include "check.h"
#include <sys/wait.h>

#define ALIVE 6
#define PAGES 8

struct child {
    pid_t pid;
    int number;
};

static struct child alive[ALIVE];
static unsigned *memory; /* One word of each page changes before each fork. */
static int *shared;

static unsigned word(int number, int page)
{
    return (unsigned)number * 2654435761u ^ (unsigned)page;
}

static void fill(int number)
{
    for (int page = 0; page < PAGES; page++)
        memory[page * PAGE / sizeof *memory] = word(number, page);
}

static int is_filled(int number)
{
    for (int page = 0; page < PAGES; page++)
        if (memory[page * PAGE / sizeof *memory] != word(number, page))
            return 0;
    return 1;
}

static void live(int number, pid_t parent)
{
    CHECK(getppid() == parent && getpid() != parent && is_filled(number));
    fill(~number);
    CHECK(is_filled(~number));
    __atomic_fetch_add(shared, number, __ATOMIC_SEQ_CST);
    if (number % 10 == 3)
        raise(SIGTERM);
    if (number % 10 == 7)
        raise(SIGHUP);
    _exit(number & 63);
}

static void check_end(int number, int status)
{
    if (number % 10 == 3)
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    else if (number % 10 == 7)
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
    else
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (number & 63));
}

/* Waits for whichever ends first, and gives its place. */
static int reap(void)
{
    int status;
    pid_t ended = wait(&status);
    CHECK(ended > 0);
    for (int place = 0; place < ALIVE; place++)
        if (alive[place].pid == ended) {
            check_end(alive[place].number, status);
            alive[place].pid = 0;
            return place;
        }
    CHECK(!"a child of ours");
    return -1;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    int count = atoi(argv[1]), sum = 0;
    pid_t parent = getpid();
    memory = (unsigned *)map_private(PAGES * PAGE, PROT_READ | PROT_WRITE);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (int number = 0; number < count; number++) {
        int place = number < ALIVE ? number : reap();
        fill(number);
        sum += number;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            live(number, parent);
        CHECK(is_filled(number));
        alive[place] = (struct child){child, number};
    }
    for (int left = count < ALIVE ? count : ALIVE; left > 0; left--)
        reap();
    CHECK_ERROR(wait(NULL), ECHILD);
    CHECK(*shared == sum);
    printf("%d children, sum %d\n", count, sum);
}
