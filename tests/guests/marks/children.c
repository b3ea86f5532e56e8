/* Marks of children: one by fork, one by vfork, and one that executes another program. */
#include "guest_calls.h"
#include <sys/wait.h>

static void wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    char *memory = map_private(4 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(name_region(memory, 4 * PAGE, "inherited") == 0);
    CHECK(mark("before fork") == 0);
    pid_t vforked = vfork();
    if (vforked == 0) {
        if (mark("in vfork") != 0 || end_epoch() < 2)
            _exit(1);
        _exit(0);
    }
    wait_for(vforked);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(mark("in child") == 0);
        store(memory, 3);
        CHECK(end_epoch() > 1);
        printf("%d %d\n", (int)getpid(), (int)vforked);
        fflush(stdout);
        CHECK(getchar() != EOF);
        return 0;
    }
    CHECK(mark("after fork") == 0);
    wait_for(child);
    return 0;
}
