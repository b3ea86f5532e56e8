/* clone and clone3 without the C library's threads: stacks, return values, tid pointers and their futex. */
#include "check.h"
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>

#define THREAD_FLAGS                                                                              \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define STACK (64 * 1024)

static volatile long seen;

/* Runs without a thread-local area of its own: only raw system calls and plain memory here. */
static int child(void *argument)
{
    seen = (long)argument;
    return 0;
}

/* The kernel clears the tid at the thread's end, and wakes this futex. */
static void wait_until_cleared(volatile int *tid)
{
    int value;
    while ((value = *tid) != 0)
        syscall(SYS_futex, tid, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void clone_clears_the_child_tid(void)
{
    char *stack = map_private(STACK, PROT_READ | PROT_WRITE);
    for (long i = 1; i <= 50; i++) {
        int parent_tid = 0;
        volatile int child_tid = -1;
        /* The signal at the end means nothing for a thread, and is no error. */
        int flags = SIGCHLD | THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;
        int tid = clone(child, stack + STACK, flags, (void *)i, &parent_tid, NULL, &child_tid);
        CHECK(tid > 0 && parent_tid == tid);
        wait_until_cleared(&child_tid);
        CHECK(seen == i);
    }
}

/* clone3 returns twice: the child must not touch the parent's frame, so all of it is assembly. */
static long clone3_thread(struct clone_args *arguments, int (*function)(void *), void *argument)
{
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %[argument], %%rdi\n\t"
                     "call *%[function]\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov $60, %%eax\n\t"
                     "syscall\n\t"
                     "1:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments),
                       [function] "r"(function), [argument] "r"(argument)
                     : "rcx", "r11", "memory", "cc");
    return result;
}

static void clone3_does_the_same(void)
{
    char *stack = map_private(STACK, PROT_READ | PROT_WRITE);
    for (long i = 1; i <= 50; i++) {
        int parent_tid = 0;
        volatile int child_tid = -1;
        struct clone_args arguments = {
            .flags = THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID,
            .parent_tid = (uintptr_t)&parent_tid,
            .child_tid = (uintptr_t)&child_tid,
            .stack = (uintptr_t)stack,
            .stack_size = STACK,
        };
        long tid = clone3_thread(&arguments, child, (void *)(i * 100));
        CHECK(tid > 0 && parent_tid == tid);
        wait_until_cleared(&child_tid);
        CHECK(seen == i * 100);
    }
}

static void wrong_tid_addresses_are_no_error(void)
{
    char *stack = map_private(STACK, PROT_READ | PROT_WRITE);
    void *nowhere = (void *)PAGE;
    int flags = THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;
    seen = 0;
    CHECK(clone(child, stack + STACK, flags, (void *)7, nowhere, NULL, nowhere) > 0);
    while (seen != 7)
        usleep(1000);
}

static void wrong_requests_are_refused(void)
{
    struct clone_args arguments = {.flags = CLONE_THREAD};
    CHECK_ERROR(syscall(SYS_clone3, &arguments, sizeof arguments), EINVAL);
    CHECK_ERROR(syscall(SYS_clone3, &arguments, 8), EINVAL);
    CHECK_ERROR(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, NULL, NULL, NULL, 0), EINVAL);
    CHECK_ERROR(syscall(SYS_clone3, NULL, sizeof arguments), EFAULT);
    CHECK_ERROR(syscall(SYS_clone, THREAD_FLAGS | CLONE_SETTLS, NULL, NULL, NULL, 1UL << 63), EPERM);
}

int main(void)
{
    clone_clears_the_child_tid();
    clone3_does_the_same();
    wrong_tid_addresses_are_no_error();
    wrong_requests_are_refused();
    puts("ok");
}
