/* Prints the marks of a process or a segment's file, whichever the argument is, read one by one, and checks that a copy of
 * all of them says the same. */
#include "check.h"

int main(int argc, char **argv)
{
    vmmload_consumer *consumer;
    CHECK(argc == 2);
    if (argv[1][0] == '/')
        CHECK(vmmload_open(argv[1], &consumer) == 0);
    else
        CHECK(vmmload_attach((uint32_t)strtoul(argv[1], NULL, 10), &consumer) == 0);

    size_t count = vmmload_marks(consumer, NULL, 0);
    vmmload_mark_record *all = (vmmload_mark_record *)memory(count, sizeof *all), mark;
    CHECK(vmmload_marks(consumer, all, count / 2) == count && all[count / 2].time_ns == 0);
    CHECK(vmmload_marks(consumer, all, count) == count);
    for (size_t i = 0; i < count; i++) {
        memset(&mark, 0xff, sizeof mark);
        CHECK(vmmload_next_mark(consumer, &mark) == 1);
        CHECK(memcmp(&mark, &all[i], sizeof mark) == 0);
        CHECK(mark.reserved == 0 && strlen(mark.name) == mark.name_len);
        printf("%" PRIu64 " %" PRIu32 " %" PRIu32 " %s\n", mark.time_ns, mark.epoch, mark.thread, mark.name);
    }
    CHECK(vmmload_next_mark(consumer, &mark) == 0);
    printf("%" PRIu64 " lost\n", vmmload_marks_lost(consumer));
    vmmload_rewind(consumer);
    CHECK(vmmload_next_mark(consumer, &mark) == (count > 0));
    vmmload_skip_to_now(consumer);
    CHECK(vmmload_next_mark(consumer, &mark) == 0);
    vmmload_detach(consumer);
    free(all);
    return 0;
}
