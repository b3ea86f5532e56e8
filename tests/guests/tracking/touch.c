/* Touches pages on command, so that a test knows exactly which events must appear.
 * Arguments: pages, stride and, if not 1,000, calls. Commands, one letter each on standard input, each answered by a line:
 *   b  write the beacon page          w  write every stride-th page of the buffer once
 *   r  read every page                k  let the kernel fill every stride-th page
 *   t  four threads write every stride-th page, each in its own quarter
 *   h  two threads hand a turn to each other 4,000 times through memory, without a system call; with
 *      its turn, each writes a page of its own, until every stride-th page is written
 *   n  make so many system calls      o  read one byte so many times      i  nothing but the answer
 *   c  write every stride-th page once, with a system call after each       q  leave */
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

#define HANDOVERS 4000

static volatile char *buffer, *beacon;
static size_t pages, stride, calls = 1000;

static void write_pages(size_t from, size_t to)
{
    for (size_t i = (from + stride - 1) / stride * stride; i < to; i += stride)
        buffer[i * PAGE] = (char)(i + 1);
}

static void *write_quarter(void *number)
{
    size_t quarter = (size_t)(long)number;
    write_pages(pages * quarter / 4, pages * (quarter + 1) / 4);
    return NULL;
}

static void write_by_threads(void)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, write_quarter, (void *)i) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Whose turn it is: the first thread's with an even number. No `pause` in the loop: it may leave the VM. */
static atomic_long turn;

static void *take_turns(void *number)
{
    long mine = (long)number;
    for (; mine < HANDOVERS; mine += 2) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != mine)
            ;
        size_t page = (size_t)mine * stride;
        if (page < pages)
            buffer[page * PAGE] = (char)(page + 1);
        atomic_store_explicit(&turn, mine + 1, memory_order_release);
    }
    return NULL;
}

static void hand_over(void)
{
    pthread_t other;
    atomic_store(&turn, 0);
    CHECK((pages + stride - 1) / stride <= HANDOVERS);
    CHECK(pthread_create(&other, NULL, take_turns, (void *)1) == 0);
    take_turns((void *)0);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(turn == HANDOVERS);
}

static void make_calls(void)
{
    for (size_t i = 0; i < calls; i++)
        syscall(SYS_getppid);
}

static void read_bytes(void)
{
    static char byte;
    int zero = open("/dev/zero", O_RDONLY);
    for (size_t i = 0; i < calls; i++)
        CHECK(read(zero, &byte, 1) == 1);
    close(zero);
}

static void write_and_call(void)
{
    for (size_t i = 0; i < pages; i += stride) {
        buffer[i * PAGE] = (char)(i + 1);
        syscall(SYS_getppid);
    }
}

static void read_pages(void)
{
    long sum = 0;
    for (size_t i = 0; i < pages; i++)
        sum += buffer[i * PAGE + 7];
    CHECK(sum == 0);
}

static void let_the_kernel_fill(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    for (size_t i = 0; i < pages; i += stride)
        CHECK(read(zero, (char *)buffer + i * PAGE, 16) == 16);
    close(zero);
}

/* Guard pages on both sides keep the buffer a mapping of its own; huge pages would join its pages. */
static volatile char *guarded(size_t count)
{
    char *memory = map_private((count + 2) * PAGE, PROT_NONE);
    CHECK(mprotect(memory + PAGE, count * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(madvise(memory + PAGE, count * PAGE, MADV_NOHUGEPAGE) == 0);
    return memory + PAGE;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3 || argc == 4);
    pages = strtoul(argv[1], NULL, 10), stride = strtoul(argv[2], NULL, 10);
    if (argc == 4)
        calls = strtoul(argv[3], NULL, 10);
    buffer = guarded(pages), beacon = guarded(1);
    printf("%#lx %#lx\n", (unsigned long)buffer, (unsigned long)beacon);
    fflush(stdout);
    char command = 0;
    while (read(0, &command, 1) == 1 && command != 'q') {
        switch (command) {
        case 'b': *beacon = 1; break;
        case 'w': write_pages(0, pages); break;
        case 't': write_by_threads(); break;
        case 'r': read_pages(); break;
        case 'k': let_the_kernel_fill(); break;
        case 'h': hand_over(); break;
        case 'n': make_calls(); break;
        case 'o': read_bytes(); break;
        case 'c': write_and_call(); break;
        case 'i': break;
        default: CHECK(!"a command this program knows");
        }
        printf("done %c\n", command);
        fflush(stdout);
    }
}
