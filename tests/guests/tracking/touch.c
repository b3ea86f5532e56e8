/* Touches pages on command, so that a test knows exactly which events must appear.
 * Arguments: pages, stride. Commands, one letter each on standard input, each answered by a line:
 *   b  write the beacon page          w  write every stride-th page of the buffer once
 *   r  read every page                k  let the kernel fill every stride-th page
 *   t  four threads write every stride-th page, each in its own quarter   q  leave */
#include "check.h"
#include <pthread.h>

static volatile char *buffer, *beacon;
static size_t pages, stride;

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
    CHECK(argc == 3);
    pages = strtoul(argv[1], NULL, 10), stride = strtoul(argv[2], NULL, 10);
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
        default: CHECK(!"a command this program knows");
        }
        printf("done %c\n", command);
        fflush(stdout);
    }
}
