// Follows a process and all that descend from it: who comes, who goes, and how many events each one had.
//
//   c++ follow_tree.cpp $(pkg-config --cflags --libs vmmload-consumer) -o follow_tree
//   ./follow_tree PID
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <utility>
#include <vector>
#include <vmmload.h>

namespace {

// A pid alone may belong to another process later.
using Process = std::pair<uint32_t, uint64_t>;

struct Totals {
    uint64_t events = 0, lost = 0;
};

Process identity(const vmmload_process &process)
{
    return Process(process.pid, process.start);
}

// Reads all that a member has to tell, and adds it up for its process, whatever programs that executes.
void read_all(vmmload_consumer *member, std::map<Process, Totals> &totals)
{
    static std::vector<vmmload_event> events(4096);
    vmmload_info info;
    vmmload_get_info(member, &info, sizeof info);
    Totals &mine = totals[identity(info.process)];
    for (;;) {
        uint64_t lost;
        size_t read = vmmload_read(member, events.data(), events.size(), &lost);
        for (size_t i = 0; i < read; i++)
            mine.events += events[i].count;
        mine.lost += lost;
        if (read < events.size())
            return;
    }
}

void print_end(const vmmload_change &change)
{
    switch (change.status) {
    case VMMLOAD_EXITED: std::cout << "exit status " << change.detail; break;
    case VMMLOAD_SIGNALED: std::cout << "signal " << change.detail; break;
    case VMMLOAD_REPLACED: std::cout << "another program"; break;
    case VMMLOAD_NATIVE: std::cout << "a program that is not watched"; break;
    default: std::cout << "died"; break;
    }
}

void print(const vmmload_change &change, const Totals &totals)
{
    std::cout << change.process.pid;
    if (change.change == VMMLOAD_CAME) {
        std::cout << " came" << std::endl;
        return;
    }
    std::cout << " went, ";
    print_end(change);
    std::cout << ": " << totals.events << " events, " << totals.lost << " lost" << std::endl;
}

void follow(vmmload_session *session)
{
    std::map<Process, Totals> totals;
    std::cout << vmmload_session_count(session) << " there" << std::endl;
    do {
        size_t changes = vmmload_session_refresh(session);
        // Those that went are still members, until the next refresh.
        for (size_t i = 0; vmmload_consumer *member = vmmload_session_member(session, i); i++)
            read_all(member, totals);
        vmmload_change change;
        for (size_t i = 0; i < changes && vmmload_session_change(session, i, &change) == 1; i++)
            print(change, totals[identity(change.process)]);
    } while (vmmload_session_wait(session, -1) != VMMLOAD_OVER);
    std::cout << vmmload_session_missed(session) << " came and went unseen" << std::endl;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::cerr << "usage: follow_tree PID" << std::endl;
        return EXIT_FAILURE;
    }
    vmmload_session *opened;
    if (vmmload_session_of(static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)), &opened) < 0) {
        std::cerr << "follow_tree: " << vmmload_last_error() << std::endl;
        return EXIT_FAILURE;
    }
    std::unique_ptr<vmmload_session, void (*)(vmmload_session *)> session(opened, vmmload_session_close);
    follow(session.get());
    return EXIT_SUCCESS;
}
