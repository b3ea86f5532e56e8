/* Where a thread is in a call is told by its stack as natively, and a call that can be cancelled is. */
#include "calls.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

static volatile int traces, traces_from_library;
static int file;
static pid_t parent;

/* A section of its own, whose begin and end the linker names. */
extern const char __start_of_calls[], __stop_of_calls[];

static __attribute__((noinline, noclone, section("of_calls"))) void call_and_call(struct effort *effort_)
{
    char byte;
    while (goes_on(effort_) || traces < 30) {
        CHECK(getppid() == parent);
        CHECK(pread(file, &byte, 1, 0) == 1 && byte == 'x');
        CHECK(lseek(file, 0, SEEK_SET) == 0 && read(file, &byte, 1) == 1);
    }
}

static void trace(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    void *addresses[64], *rip = (void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    Dl_info place;
    int count = backtrace(addresses, 64), found = 0, interrupted = 0;
    for (int i = 0; i < count; i++) {
        found += (const char *)addresses[i] > __start_of_calls && (const char *)addresses[i] < __stop_of_calls;
        interrupted += addresses[i] == rip;
    }
    CHECK(count >= 4 && count < 64 && found == 1 && interrupted == 1);
    /* All code that is interrupted belongs to a file, or is the kernel's page. */
    CHECK(dladdr(rip, &place) != 0 && place.dli_fname != NULL);
    traces_from_library += strstr(place.dli_fname, "libc") != NULL;
    traces++;
}

static void traced(void)
{
    void *addresses[4];
    CHECK(backtrace(addresses, 4) > 0); /* Loads what it needs, which a handler must not. */
    file = unnamed_file(0);
    CHECK(write(file, "x", 1) == 1);
    handle(SIGALRM, trace, SA_RESTART);
    struct effort effort_ = effort(300000, 1);
    set_alarm_every(bearable_interval() * 2);
    call_and_call(&effort_);
    set_alarm_every(0);
    CHECK(traces_from_library > 0);
    puts("traced");
}

static int ends[2], cleaned;
static volatile int is_ready;

static void clean(void *what)
{
    *(int *)what += 1;
}

/* Reads a lot, then what never comes. */
static void *read_until_cancelled(void *unused)
{
    char byte;
    pthread_cleanup_push(clean, &cleaned);
    for (int i = 0; i < 300; i++)
        CHECK(write(ends[1], "y", 1) == 1 && read(ends[0], &byte, 1) == 1);
    is_ready = 1;
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(!"nobody writes");
    pthread_cleanup_pop(1);
    return unused;
}

/* Without waiting: it is cancelled at one of its calls, somewhere. */
static void *read_for_ever(void *unused)
{
    char byte;
    pthread_cleanup_push(clean, &cleaned);
    for (;;) {
        CHECK(pread(file, &byte, 1, 0) == 1);
        is_ready = 1;
    }
    pthread_cleanup_pop(1);
    return unused;
}

static void cancelled(void)
{
    CHECK(pipe(ends) == 0);
    file = unnamed_file(1);
    void *(*const runs[])(void *) = {read_until_cancelled, read_for_ever};
    for (int i = 0; i < 20; i++) {
        is_ready = cleaned = 0;
        pthread_t thread = start(runs[i % 2], NULL);
        while (!is_ready)
            usleep(500);
        usleep(i % 5 * 1000);
        CHECK(pthread_cancel(thread) == 0 && end_of(thread) == PTHREAD_CANCELED && cleaned == 1);
    }
    puts("cancelled");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    parent = getppid();
    if (strcmp(argv[1], "traced") == 0)
        traced();
    else
        cancelled();
}
