/* Patterns of a program with the C library and threads, named by the argument. Only the regions that it
 * reports are compared: what the library does elsewhere depends on the processor that it finds. */
#include "check.h"
#include <malloc.h>
#include <pthread.h>

#define STACK_PAGES 32UL

static uint64_t seed = 0x9e3779b97f4a7c15;

static size_t below(size_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % limit;
}

static void region(const char *name, const volatile void *start, size_t pages)
{
    printf("region %s %#lx %#lx\n", name, (unsigned long)start, pages);
}

static void wait_for_go(void)
{
    char byte;
    puts("ready");
    fflush(stdout);
    CHECK(read(0, &byte, 1) == 1 && byte == 'g');
}

/* Memory at an address where nothing of the program's start ever was. */
static char *reported(const char *name, size_t pages)
{
    static uintptr_t next = 0x2000000000UL;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    char *memory = mmap((void *)next, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK(memory == (char *)next);
    next += 2 * pages * PAGE;
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    region(name, memory, pages);
    return memory;
}

/* A ring of slots, each a page, through which one thread hands pages to another. */
#define SLOTS 16
struct ring {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t produced, consumed, rounds;
    char *slots, *results;
};

static void *produce(void *argument)
{
    struct ring *ring = argument;
    for (size_t i = 0; i < ring->rounds; i++) {
        pthread_mutex_lock(&ring->lock);
        while (ring->produced - ring->consumed == SLOTS)
            pthread_cond_wait(&ring->changed, &ring->lock);
        ring->slots[i % SLOTS * 2 * PAGE + i] = (char)i;
        ring->produced++;
        pthread_cond_broadcast(&ring->changed);
        pthread_mutex_unlock(&ring->lock);
    }
    return NULL;
}

/* Reads every slot, and writes a page of results for every third. */
static void *consume(void *argument)
{
    struct ring *ring = argument;
    for (size_t i = 0; i < ring->rounds; i++) {
        pthread_mutex_lock(&ring->lock);
        while (ring->produced == ring->consumed)
            pthread_cond_wait(&ring->changed, &ring->lock);
        char value = ((volatile char *)ring->slots)[i % SLOTS * 2 * PAGE + i];
        CHECK(value == (char)i);
        if (i % 3 == 0)
            ring->results[i * PAGE] = value;
        ring->consumed++;
        pthread_cond_broadcast(&ring->changed);
        pthread_mutex_unlock(&ring->lock);
    }
    return NULL;
}

static pthread_t on_stack(char *stack, void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stack, STACK_PAGES * PAGE) == 0);
    CHECK(pthread_create(&thread, &attributes, function, argument) == 0);
    return thread;
}

static void producers_and_consumers(void)
{
    static const char *const names[] = {"ring", "results", "producer", "consumer"};
    struct ring *ring = (struct ring *)reported("head", 1);
    char *memory[4];
    for (int i = 0; i < 4; i++)
        memory[i] = reported(names[i], i == 1 ? 64 : STACK_PAGES);
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->changed, NULL);
    ring->rounds = 64, ring->slots = memory[0], ring->results = memory[1];
    wait_for_go();
    pthread_t producer = on_stack(memory[2], produce, ring);
    pthread_t consumer = on_stack(memory[3], consume, ring);
    CHECK(pthread_join(producer, NULL) == 0 && pthread_join(consumer, NULL) == 0);
}

static __thread char own[6 * PAGE];

static long __attribute__((noinline)) recurse(int depth)
{
    volatile char frame[2 * PAGE];
    frame[depth] = (char)depth;
    return depth ? recurse(depth - 1) + frame[depth] : 0;
}

/* Each thread writes some pages of its stack and one of its own variables. */
static void *use_stack(void *number)
{
    long mine = (long)number;
    CHECK(recurse(2 + (int)mine) >= 0);
    ((volatile char *)own)[(size_t)(mine + 1) * PAGE] = 1;
    return NULL;
}

static void thread_stacks(void)
{
    static const char *const names[] = {"first", "second", "third"};
    char *stacks[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        stacks[i] = reported(names[i], STACK_PAGES);
    wait_for_go();
    for (long i = 0; i < 3; i++)
        threads[i] = on_stack(stacks[i], use_stack, (void *)i);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* The heap begins at a page boundary, and takes large blocks, too; its top is given back. */
static char *start_heap(void)
{
    char *now = sbrk(0);
    CHECK(sbrk((intptr_t)(-(uintptr_t)now & (PAGE - 1))) != (void *)-1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, 64 << 10));
    CHECK(mallopt(M_TOP_PAD, 16 << 10));
    char *start = sbrk(0);
    region("heap", start, 1024);
    return start;
}

static void allocations(void)
{
    static char *blocks[64];
    start_heap();
    wait_for_go();
    for (int i = 0; i < 600; i++) {
        size_t which = below(64), bytes = below(i % 7 ? 3000 : 60000) + 1;
        free(blocks[which]);
        blocks[which] = i % 5 ? malloc(bytes) : NULL;
        /* Not all of a block is written. */
        if (blocks[which])
            blocks[which][below(bytes)] = (char)i;
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
}

static void library_functions(void)
{
    char *from = reported("from", 64), *to = reported("to", 64), *text = reported("text", 16);
    memset(from, 7, 20 * PAGE);
    wait_for_go();
    memcpy(to + 100, from, 3 * PAGE);
    memmove(to + 10 * PAGE, to + 10 * PAGE + 300, 4 * PAGE);
    memset(to + 20 * PAGE + 4095, 1, PAGE + 2);
    memset(to + 30 * PAGE, 1, below(1));
    memcpy(to + 40 * PAGE + 4090, from + 30 * PAGE, 6);
    CHECK(memcmp(to + 44 * PAGE, to + 48 * PAGE, 2 * PAGE) == 0);
    memset(text, 'a', 2 * PAGE);
    strcpy(text + 4 * PAGE + 10, text);
    CHECK(strlen(text + 4 * PAGE + 10) == 2 * PAGE);
    snprintf(text + 9 * PAGE - 2, 2 * PAGE, "%d and %s", 12345, "more");
}

static int order(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void sorting(void)
{
    int *numbers = (int *)reported("numbers", 4);
    size_t count = 4 * PAGE / sizeof *numbers;
    start_heap();
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int)below(1000000);
    wait_for_go();
    qsort(numbers, count, sizeof *numbers, order);
    CHECK(numbers[0] <= numbers[1]);
}

/* Standard output's kin: buffers that the library writes, and pages that only the kernel fills. */
static void buffered_files(void)
{
    char *buffer = reported("buffer", 8), *read = reported("read", 32);
    FILE *file = fdopen(unnamed_file(0), "w+");
    CHECK(file && setvbuf(file, buffer, _IOFBF, 8 * PAGE) == 0);
    wait_for_go();
    for (int i = 0; i < 5000; i++)
        CHECK(fprintf(file, "line %d\n", i) > 0);
    rewind(file);
    CHECK(fgets(read, PAGE, file) == read);
    CHECK(pread(fileno(file), read + 4 * PAGE, 8 * PAGE, 0) == 8 * PAGE);
    read[6 * PAGE] = 'x';
}

static const struct {
    const char *name;
    void (*run)(void);
} patterns[] = {
    {"threads", producers_and_consumers}, {"thread-stacks", thread_stacks},
    {"allocations", allocations},         {"library", library_functions},
    {"sorting", sorting},                 {"files", buffered_files},
};

int main(int argc, char **argv)
{
    static char output[PAGE];
    CHECK(argc == 2 && setvbuf(stdout, output, _IOFBF, sizeof output) == 0);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(argv[1], patterns[i].name) == 0) {
            patterns[i].run();
            return 0;
        }
    CHECK(!"a pattern of this name");
}
