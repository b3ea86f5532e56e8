/* Cuts a segment short under its reader: which must live, and be told; unless SIGBUS is left alone, which then ends it.
 *
 * Arguments: a segment's file, which this program cuts, and a word if SIGBUS is to be left alone. */
#include "check.h"
#include <unistd.h>

int main(int argc, char **argv)
{
    vmmload_consumer *consumer;
    vmmload_event events[64];
    vmmload_heat heat[64];
    vmmload_heat_view view;
    uint64_t lost, sum = 0;

    CHECK(argc >= 2);
    if (argc > 2)
        vmmload_leave_sigbus_alone();
    CHECK(vmmload_open(argv[1], &consumer) == 0);
    CHECK(vmmload_status(consumer, NULL) != VMMLOAD_TRUNCATED);
    size_t known = vmmload_heat_read(consumer, heat, 64);
    vmmload_heat_words(consumer, &view);
    CHECK(known > 0 && view.used > 0 && view.cells[0] != 0);
    CHECK(truncate(argv[1], 4096) == 0);

    vmmload_read(consumer, events, 64, &lost);
    for (size_t i = 0; i < 512 * view.used; i++)
        sum += view.cells[i];
    CHECK(sum == 0 && vmmload_heat_read(consumer, heat, 64) == 0);
    CHECK(vmmload_status(consumer, NULL) == VMMLOAD_TRUNCATED);
    CHECK(vmmload_wait(consumer, -1) >= 0);
    vmmload_mappings_free(vmmload_mappings_copy(consumer));
    vmmload_detach(consumer);
    puts("lives");
    return 0;
}
