/* Calls every function with NULL, and opens what is no segment, or a damaged one. Nothing of that may end the program.
 *
 * Arguments: an expected code and a file, as often as you like; with code 0 the file is opened and everything in it is
 * used. */
#include "check.h"

#define NONE ((vmmload_consumer *)NULL)
#define NO_MAPPINGS ((vmmload_mappings *)NULL)
#define NO_SESSION ((vmmload_session *)NULL)

static void call_with_null_for_objects(void)
{
    vmmload_event event;
    vmmload_epoch epoch;
    vmmload_info info;
    vmmload_heat heat;
    vmmload_heat_view view;
    vmmload_mapping mapping;
    vmmload_child child;
    vmmload_mark_record mark;
    vmmload_change change;
    vmmload_process process;
    vmmload_written written;
    uint64_t lost = 7, page;
    int detail = 7;

    memset(&event, 0, sizeof event);
    vmmload_detach(NULL);
    vmmload_mappings_free(NULL);
    vmmload_session_close(NULL);
    CHECK(vmmload_read(NULL, &event, 1, &lost) == 0 && lost == 0);
    CHECK(vmmload_wait(NULL, -1) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_position(NULL) == 0 && vmmload_pid(NULL) == 0);
    vmmload_skip_to_now(NULL);
    vmmload_rewind(NULL);
    CHECK(vmmload_next_epoch(NULL, &epoch) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_next_child(NULL, &child) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_children(NULL, &child, 1) == 0);
    CHECK(vmmload_next_mark(NULL, &mark) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_marks(NULL, &mark, 1) == 0 && vmmload_marks_lost(NULL) == 0);
    CHECK(vmmload_status(NULL, &detail) == -VMMLOAD_E_ARGUMENT && detail == 0);
    CHECK(vmmload_get_info(NULL, &info, sizeof info) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_clone(NULL) == NULL && vmmload_epochs(NULL, &epoch, 1) == 0);
    CHECK(vmmload_heat_read(NULL, &heat, 1) == 0);
    vmmload_heat_words(NULL, &view);
    CHECK(view.used == 0 && view.regions == NULL && view.cells == NULL);
    CHECK(vmmload_pages_written_since(NULL, 0, &page, 1, &written) == -VMMLOAD_E_ARGUMENT);
    CHECK(strcmp(vmmload_last_error(), "consumer is NULL") == 0 && written.epoch == 0);
    CHECK(vmmload_mappings_copy(NULL) == NULL && vmmload_mappings_stale(NULL, NULL) == 1);
    CHECK(vmmload_mappings_count(NULL) == 0 && vmmload_mappings_truncated(NULL) == 0);
    CHECK(vmmload_mappings_get(NO_MAPPINGS, 0, &mapping, sizeof mapping) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_mappings_find(NULL, 0, &mapping, sizeof mapping) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_mappings_of(NULL, &event, &mapping, sizeof mapping) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_session_refresh(NULL) == 0 && vmmload_session_count(NULL) == 0);
    CHECK(vmmload_session_change(NO_SESSION, 0, &change) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_session_member(NULL, 0) == NULL && vmmload_session_missed(NULL) == 0);
    CHECK(vmmload_session_wait(NULL, -1) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_session_first(NULL, &process) == -VMMLOAD_E_ARGUMENT);
}

static void open_what_is_not_there(void)
{
    vmmload_consumer *consumer = (vmmload_consumer *)&consumer;
    vmmload_session *session = (vmmload_session *)&session;
    CHECK(vmmload_attach(UINT32_MAX, &consumer) == -VMMLOAD_E_NOT_FOUND && consumer == NULL);
    CHECK(strstr(vmmload_last_error(), "/dev/shm/vmmload-4294967295"));
    CHECK(vmmload_attach(0, &consumer) == -VMMLOAD_E_NOT_FOUND);
    CHECK(vmmload_attach(1, NULL) == -VMMLOAD_E_ARGUMENT);
    CHECK(strcmp(vmmload_last_error(), "out is NULL") == 0);
    CHECK(vmmload_open(NULL, &consumer) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_open("", &consumer) == -VMMLOAD_E_NOT_FOUND);
    CHECK(vmmload_open("/dev/null", &consumer) == -VMMLOAD_E_FOREIGN && consumer == NULL);
    CHECK(vmmload_open("/dev/null", NULL) == -VMMLOAD_E_ARGUMENT);
    CHECK(vmmload_session_of(UINT32_MAX, &session) == -VMMLOAD_E_NOT_FOUND && session == NULL);
    CHECK(vmmload_session_of(1, NULL) == -VMMLOAD_E_ARGUMENT);
}

static void use_mappings(const vmmload_consumer *consumer, const vmmload_event *events, size_t read)
{
    vmmload_mappings *mappings = vmmload_mappings_copy(consumer);
    vmmload_mapping mapping;
    size_t length = 0;
    vmmload_mappings_stale(consumer, mappings);
    vmmload_mappings_truncated(mappings);
    for (size_t i = 0; i < vmmload_mappings_count(mappings); i++) {
        CHECK(vmmload_mappings_get(mappings, i, &mapping, sizeof mapping) == 1);
        length += strlen(mapping.name);
        vmmload_mappings_find(mappings, mapping.start, &mapping, sizeof mapping);
        CHECK(vmmload_mappings_get(mappings, i, NULL, 0) == -VMMLOAD_E_ARGUMENT);
        CHECK(vmmload_mappings_get(mappings, i, &mapping, 0) == -VMMLOAD_E_ARGUMENT);
    }
    for (size_t i = 0; i < read; i++)
        vmmload_mappings_of(mappings, &events[i], &mapping, sizeof mapping);
    CHECK(mappings == NULL || vmmload_mappings_of(mappings, NULL, &mapping, 1) == -VMMLOAD_E_ARGUMENT);
    CHECK(length < 100000000);
    vmmload_mappings_free(mappings);
}

static void use_heat(const vmmload_consumer *consumer)
{
    static vmmload_heat heat[64];
    uint64_t pages[64], sum = 0;
    vmmload_heat_view view;
    vmmload_written written;
    vmmload_heat_read(consumer, heat, 64);
    vmmload_heat_words(consumer, &view);
    vmmload_heat_words(consumer, NULL);
    for (size_t i = 0; i < view.used * 2; i++)
        sum += view.regions[i];
    for (size_t i = 0; i < view.used * 512; i++)
        sum += view.cells[i];
    vmmload_pages_written_since(consumer, 0, pages, 64, &written);
    vmmload_pages_written_since(consumer, (uint32_t)sum, NULL, 5, NULL);
}

/* All there is, with NULL wherever something would be written to, too. */
static void use(vmmload_consumer *consumer)
{
    static vmmload_event events[256];
    vmmload_epoch epoch;
    vmmload_child child[3];
    static vmmload_mark_record mark[3];
    vmmload_info info;
    uint64_t lost;
    int detail;
    size_t read = vmmload_read(consumer, events, 256, &lost);
    CHECK(read <= 256);
    CHECK(vmmload_read(consumer, NULL, 256, &lost) == 0 && lost == 0);
    vmmload_read(consumer, events, 2, NULL);
    use_mappings(consumer, events, read);
    use_heat(consumer);
    for (int i = 0; i < 5000 && vmmload_next_epoch(consumer, &epoch) == 1; i++)
        ;
    CHECK(vmmload_next_epoch(consumer, NULL) == -VMMLOAD_E_ARGUMENT);
    for (int i = 0; i < 5000 && vmmload_next_child(consumer, child) == 1; i++)
        ;
    CHECK(vmmload_next_child(consumer, NULL) == -VMMLOAD_E_ARGUMENT);
    vmmload_children(consumer, child, 3);
    vmmload_children(consumer, NULL, 3);
    for (int i = 0; i < 5000 && vmmload_next_mark(consumer, mark) == 1; i++)
        CHECK(mark->name_len < VMMLOAD_MARK_ROOM && strlen(mark->name) == mark->name_len);
    CHECK(vmmload_next_mark(consumer, NULL) == -VMMLOAD_E_ARGUMENT);
    vmmload_marks(consumer, mark, 3);
    vmmload_marks(consumer, NULL, 3);
    vmmload_marks_lost(consumer);
    vmmload_epochs(consumer, &epoch, 1);
    vmmload_detach(vmmload_clone(consumer));
    CHECK(vmmload_status(consumer, NULL) == vmmload_status(consumer, &detail));
    CHECK(vmmload_get_info(consumer, &info, sizeof info) == 0);
    CHECK(vmmload_get_info(consumer, NULL, sizeof info) == -VMMLOAD_E_ARGUMENT);
    CHECK(info.command[sizeof info.command - 1] == 0);
    CHECK(vmmload_wait(consumer, 0) >= 0);
    vmmload_skip_to_now(consumer);
    vmmload_rewind(consumer);
    vmmload_position(consumer);
    vmmload_pid(consumer);
}

int main(int argc, char **argv)
{
    int used = 0;
    CHECK(strcmp(vmmload_last_error(), "") == 0);
    vmmload_leave_sigbus_alone();
    call_with_null_for_objects();
    open_what_is_not_there();
    for (int i = 1; i + 1 < argc; i += 2) {
        vmmload_consumer *consumer;
        int expected = atoi(argv[i]), code = vmmload_open(argv[i + 1], &consumer);
        if (expected != 0 && code != -expected) {
            fprintf(stderr, "%s: %d, not -%d: %s\n", argv[i + 1], code, expected, vmmload_last_error());
            return 1;
        }
        CHECK((code == 0) == (consumer != NULL));
        CHECK(code == 0 || strlen(vmmload_last_error()) > 10);
        if (consumer) {
            use(consumer);
            used++;
        }
        vmmload_detach(consumer);
    }
    printf("%d used\n", used);
    return 0;
}
