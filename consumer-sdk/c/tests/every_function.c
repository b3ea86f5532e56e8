/* Calls every function of the library for a wrapped process, and checks that what they say agrees.
 *
 * Arguments: the pid, and a word if SIGBUS is to be left alone. Prints "attached" and follows; then the process is expected to be ended by whoever started
 * it, with status 0. Prints the events and losses that it has read, and how many totals there are. */
#include "check.h"

static vmmload_event *events;
static size_t events_used, events_room;
static uint64_t events_lost;

static void read_on(vmmload_consumer *consumer)
{
    size_t read;
    do {
        if (events_room - events_used < 300) {
            events_room = events_room * 2 + 1000;
            events = (vmmload_event *)realloc(events, events_room * sizeof *events);
            CHECK(events != NULL);
        }
        /* What is not written by the library must not look like an event. */
        memset(events + events_used, 0xff, 300 * sizeof *events);
        uint64_t lost = 77, before = vmmload_position(consumer);
        read = vmmload_read(consumer, events + events_used, 300, &lost);
        CHECK(vmmload_position(consumer) == before + read + lost);
        CHECK(read == 300 || events[events_used + read].reserved[5] == 0xff);
        for (size_t i = events_used; i < events_used + read; i++) {
            static const uint8_t zeroes[6] = {0};
            CHECK(memcmp(events[i].reserved, zeroes, 6) == 0);
            CHECK(events[i].kind <= VMMLOAD_KIND_KERNEL && events[i].method <= VMMLOAD_METHOD_RELAY);
            CHECK(events[i].addr % 4096 == 0 && events[i].epoch > 0 && events[i].count > 0);
        }
        events_used += read;
        events_lost += lost;
    } while (read > 0);
}

static void check_facts(const vmmload_consumer *consumer, uint32_t pid)
{
    vmmload_info info, part;
    CHECK(vmmload_get_info(consumer, &info, sizeof info) == 0);
    CHECK(info.process.pid == pid && info.process.start > 0 && vmmload_pid(consumer) == pid);
    CHECK(info.session.pid == pid && info.session.start == info.process.start && info.parent.pid == 0);
    CHECK(info.track == VMMLOAD_TRACK_WRITE && info.interval_ns > 0 && info.age_ns > 0);
    CHECK(info.started_ns > UINT64_C(1700000000000000000) && info.start_ns > 0 && info.epoch > 0);
    CHECK(info.command_len > 0 && info.command_len <= 256 && info.command[info.command_len] == 0);
    CHECK(strlen(info.command) < info.command_len); /* It has arguments. */
    CHECK(info.written > 0 && info.pages > 0 && info.published > 0);
    CHECK(info.counters[VMMLOAD_COUNTER_THREADS_STARTED] >= 1);
    CHECK(info.counters[VMMLOAD_COUNTER_SYSCALLS_RELAYED] > 0);

    /* A caller with an older header, which knows the first two fields, and one with a newer one. */
    memset(&part, 0x55, sizeof part);
    CHECK(vmmload_get_info(consumer, &part, 16) == 0);
    CHECK(part.start_ns == info.start_ns && part.started_ns == info.started_ns);
    CHECK(part.age_ns == UINT64_C(0x5555555555555555));
    struct { vmmload_info known; uint64_t newer[2]; } more;
    memset(&more, 0x55, sizeof more);
    CHECK(vmmload_get_info(consumer, &more.known, sizeof more) == 0);
    CHECK(more.known.process.pid == pid && more.newer[0] == 0 && more.newer[1] == 0);
}

static uint64_t word(const uint64_t *address)
{
    return __atomic_load_n(address, __ATOMIC_RELAXED);
}

/* The copy of all totals has exactly what the table itself has, in the same order. Returns the copy. */
static vmmload_heat *check_heat(const vmmload_consumer *consumer, size_t *count)
{
    size_t known = vmmload_heat_read(consumer, NULL, 0), next = 0;
    vmmload_heat *heat = (vmmload_heat *)memory(known, sizeof *heat);
    heat[known].addr = 1;
    CHECK(vmmload_heat_read(consumer, heat, known / 2) == known);
    CHECK(heat[known / 2].addr == 0);
    CHECK(vmmload_heat_read(consumer, heat, known) == known && heat[known].addr == 1);

    vmmload_heat_view view;
    vmmload_heat_words(consumer, &view);
    for (size_t region = 0; region < view.used; region++) {
        uint64_t key = word(&view.regions[2 * region]);
        uint32_t last = 0;
        for (size_t page = 0; page < 512; page++) {
            uint64_t cell = word(&view.cells[512 * region + page]);
            if ((uint32_t)cell == 0)
                continue;
            CHECK(next < known);
            CHECK(heat[next].addr == (key >> 2 << 21) + 4096 * page && heat[next].kind == (key & 3));
            CHECK(heat[next].count == (uint32_t)cell && heat[next].epoch == cell >> 32);
            CHECK(heat[next].reserved[0] == 0 && heat[next].reserved[2] == 0);
            last = heat[next].epoch > last ? heat[next].epoch : last;
            next++;
        }
        CHECK(word(&view.regions[2 * region + 1]) >= last);
    }
    CHECK(next == known && known > 0);
    *count = known;
    return heat;
}

static int by_number(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

/* Since the start: the pages with write or kernel events, each once. */
static void check_written(const vmmload_consumer *consumer, const vmmload_heat *heat, size_t count)
{
    uint64_t *expected = (uint64_t *)memory(count, sizeof *expected);
    uint64_t *found = (uint64_t *)memory(count, sizeof *found);
    size_t written = 0, distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (heat[i].kind != VMMLOAD_KIND_READ)
            expected[written++] = heat[i].addr;
    qsort(expected, written, sizeof *expected, by_number);
    for (size_t i = 0; i < written; i++)
        if (distinct == 0 || expected[distinct - 1] != expected[i])
            expected[distinct++] = expected[i];

    vmmload_written told;
    CHECK(vmmload_pages_written_since(consumer, 0, NULL, 0, NULL) == (int64_t)distinct);
    CHECK(vmmload_pages_written_since(consumer, 0, found, distinct - 1, &told) == (int64_t)distinct);
    CHECK(found[distinct - 1] == 0 && told.epoch > 0 && told.missing == 0 && told.reserved == 0);
    CHECK(vmmload_pages_written_since(consumer, 0, found, count, &told) == (int64_t)distinct);
    CHECK(memcmp(found, expected, distinct * sizeof *found) == 0);
    CHECK(vmmload_pages_written_since(consumer, told.epoch + 1, found, count, &told) == -VMMLOAD_E_FUTURE);
    CHECK(strstr(vmmload_last_error(), "has not ended yet") && told.epoch == 0);
    free(expected);
    free(found);
}

static void check_mappings(const vmmload_consumer *consumer)
{
    vmmload_mappings *mappings = vmmload_mappings_copy(consumer);
    CHECK(mappings != NULL && vmmload_mappings_stale(consumer, mappings) == 0);
    CHECK(vmmload_mappings_truncated(mappings) == 0);
    size_t count = vmmload_mappings_count(mappings), there = 0, named = 0, known = 0;
    vmmload_mapping mapping, other, last;
    memset(&last, 0, sizeof last);
    for (size_t i = 0; i < count; i++) {
        CHECK(vmmload_mappings_get(mappings, i, &mapping, sizeof mapping) == 1);
        CHECK(mapping.start < mapping.end && mapping.id > 0 && mapping.name != NULL);
        CHECK(mapping.mapping_class <= VMMLOAD_CLASS_KERNEL && mapping.prot < 16);
        named += strlen(mapping.name) > 0;
        if (mapping.retired)
            continue;
        CHECK(there++ == i && mapping.start >= last.end);
        CHECK(vmmload_mappings_find(mappings, mapping.end - 1, &other, sizeof other) == 1);
        CHECK(memcmp(&mapping, &other, sizeof other) == 0);
        last = mapping;
    }
    CHECK(there > 3 && named > 3);
    CHECK(vmmload_mappings_get(mappings, count, &mapping, sizeof mapping) == 0);
    CHECK(vmmload_mappings_get(mappings, SIZE_MAX, &mapping, sizeof mapping) == 0);
    CHECK(vmmload_mappings_find(mappings, last.end, &mapping, sizeof mapping) == 0);
    for (size_t i = 0; i < events_used; i++) {
        if (vmmload_mappings_of(mappings, &events[i], &mapping, sizeof mapping) == 0)
            continue;
        CHECK(mapping.id == events[i].mapping);
        CHECK(mapping.start <= events[i].addr && events[i].addr < mapping.end);
        known++;
    }
    CHECK(known > 0);
    vmmload_mappings_free(mappings);
}

/* Everything that the process has published, once more, from the start and from behind. */
static void check_rewinding(vmmload_consumer *consumer)
{
    size_t before = events_used, epochs = 0;
    vmmload_epoch epoch, last, all[4096];
    size_t finished = vmmload_epochs(consumer, all, 4096);
    CHECK(finished <= 4096 && vmmload_epochs(consumer, NULL, 0) == finished);
    memset(&last, 0, sizeof last);
    while (vmmload_next_epoch(consumer, &epoch) == 1) {
        CHECK(epoch.number > last.number && epoch.start_ns <= epoch.end_ns);
        CHECK(epoch.start_ns >= last.end_ns && epoch.reserved == 0);
        CHECK(last.number == 0 || last.ticks > 0); /* Only the last one may have been cut short. */
        CHECK(epochs < finished && memcmp(&epoch, &all[epochs++], sizeof epoch) == 0);
        last = epoch;
    }
    CHECK(last.number > 0 && epochs == finished);
    CHECK(vmmload_position(consumer) == before + events_lost);
    vmmload_rewind(consumer);
    if (events_lost == 0) {
        read_on(consumer);
        CHECK(events_used == 2 * before);
        CHECK(memcmp(events, events + before, before * sizeof *events) == 0);
        events_used = before;
        vmmload_rewind(consumer);
    }
    CHECK(vmmload_next_epoch(consumer, &epoch) == 1);
    vmmload_skip_to_now(consumer);
    uint64_t lost = 1;
    CHECK(vmmload_read(consumer, events, events_room, &lost) == 0 && lost == 0);
    CHECK(vmmload_next_epoch(consumer, &epoch) == 0);
}

static void check_list(uint32_t pid)
{
    uint32_t pids[1000], first[1] = {0};
    size_t count = vmmload_list(pids, 1000), found = 0;
    for (size_t i = 0; i < count && i < 1000; i++) {
        found += pids[i] == pid;
        CHECK(i == 0 || pids[i] > pids[i - 1]);
    }
    CHECK(found == 1);
    CHECK(vmmload_list(NULL, 0) > 0 && vmmload_list(first, 1) > 0 && first[0] > 0);
}

/* It makes none; a program that does has a test of its own. */
static void check_marks(vmmload_consumer *consumer)
{
    vmmload_mark_record mark;
    CHECK(vmmload_marks(consumer, &mark, 1) == 0 && vmmload_next_mark(consumer, &mark) == 0);
    CHECK(vmmload_marks_lost(consumer) == 0);
}

static void check_children(vmmload_consumer *consumer)
{
    vmmload_child child;
    CHECK(vmmload_children(consumer, &child, 1) == 0); /* It starts none; a tree has a test of its own. */
    CHECK(vmmload_next_child(consumer, &child) == 0);
}

/* Goes on from the same place, with a cursor of its own, without a file, and outlives the first one. */
static void check_clone(vmmload_consumer *consumer)
{
    vmmload_event first, second;
    CHECK(vmmload_read(consumer, &first, 1, NULL) == 1);
    vmmload_consumer *one = vmmload_clone(consumer), *other = vmmload_clone(one);
    CHECK(one != NULL && other != NULL && vmmload_position(one) == vmmload_position(consumer));
    CHECK(vmmload_read(one, &first, 1, NULL) == 1);
    vmmload_detach(one);
    CHECK(vmmload_read(other, &second, 1, NULL) == 1 && memcmp(&first, &second, sizeof first) == 0);
    vmmload_detach(other);
}

/* The session of a process that is alone, from now to its end. */
static void follow_session(vmmload_session *session, uint32_t pid)
{
    vmmload_change change;
    vmmload_process first;
    size_t went = 0;
    int woken;
    CHECK(vmmload_session_first(session, &first) == 0 && first.pid == pid && first.start > 0);
    CHECK(vmmload_session_count(session) == 1);
    vmmload_consumer *member = vmmload_session_member(session, 0);
    CHECK(vmmload_pid(member) == pid && vmmload_session_member(session, 1) == NULL);
    do {
        /* It is let go of by the refresh behind the one that tells of its end. Until then it stays where it is. */
        vmmload_consumer *expected = went ? NULL : member;
        size_t changes = vmmload_session_refresh(session);
        for (size_t i = 0; i < changes; i++, went++) {
            CHECK(vmmload_session_change(session, i, &change) == 1);
            CHECK(change.change == VMMLOAD_WENT && change.process.pid == pid && change.reserved == 0);
            CHECK(change.status == VMMLOAD_EXITED && change.detail == 0);
        }
        CHECK(vmmload_session_change(session, changes, &change) == 0);
        CHECK(vmmload_session_member(session, 0) == expected);
        if (expected)
            read_on(expected);
        woken = vmmload_session_wait(session, -1);
        CHECK(woken == VMMLOAD_NEWS || woken == VMMLOAD_OVER);
    } while (woken == VMMLOAD_NEWS);
    CHECK(went == 1 && vmmload_session_missed(session) == 0);
    CHECK(vmmload_session_refresh(session) == 0 && vmmload_session_count(session) == 0);
    CHECK(vmmload_session_member(session, 0) == NULL);
}

int main(int argc, char **argv)
{
    vmmload_consumer *consumer, *by_path;
    vmmload_session *session;
    char path[64];
    int status, detail = 99;

    CHECK(argc >= 2);
    if (argc > 2)
        vmmload_leave_sigbus_alone();
    uint32_t pid = (uint32_t)strtoul(argv[1], NULL, 10);
    CHECK(vmmload_abi_major() == VMMLOAD_ABI_MAJOR && strchr(vmmload_version(), '.'));
    CHECK(vmmload_attach(pid, &consumer) == 0);
    snprintf(path, sizeof path, "/dev/shm/vmmload-%" PRIu32, pid);
    CHECK(vmmload_open(path, &by_path) == 0);
    CHECK(vmmload_session_of(pid, &session) == 0);
    CHECK(vmmload_status(consumer, &detail) == VMMLOAD_RUNNING && detail == 0);
    CHECK(vmmload_wait(consumer, -1) == VMMLOAD_NEWS);
    check_list(pid);
    check_children(by_path);
    check_marks(by_path);
    check_clone(by_path);
    vmmload_skip_to_now(by_path);
    vmmload_detach(by_path);
    puts("attached");
    fflush(stdout);

    follow_session(session, pid);
    vmmload_session_close(session);
    size_t in_session = events_used;
    CHECK(vmmload_wait(consumer, 0) == VMMLOAD_NEWS);
    do
        read_on(consumer);
    while ((status = vmmload_wait(consumer, 1000000000)) == VMMLOAD_NEWS);
    CHECK(status == VMMLOAD_OVER && vmmload_status(consumer, NULL) == VMMLOAD_EXITED);
    CHECK(events_lost > 0 || events_used == 2 * in_session);
    CHECK(events_lost > 0 || memcmp(events, events + in_session, in_session * sizeof *events) == 0);
    memmove(events, events + in_session, in_session * sizeof *events);
    events_used = in_session;

    size_t count;
    vmmload_heat *heat = check_heat(consumer, &count);
    check_written(consumer, heat, count);
    check_facts(consumer, pid);
    check_mappings(consumer);
    check_rewinding(consumer);
    printf("%zu events, %" PRIu64 " lost, %zu totals\n", events_used, events_lost, count);
    vmmload_detach(consumer);
    free(heat);
    free(events);
    return 0;
}
