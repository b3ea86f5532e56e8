/* A thread that blocks in a system call holds up nobody: read, accept, poll, futex, sleep, flock. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

static int pipes[3][2], listener, locked, done;

static void finished(void)
{
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static void *reads(void *unused)
{
    char byte;
    CHECK(read(pipes[0][0], &byte, 1) == 1 && byte == 'r');
    finished();
    return unused;
}

static void *polls(void *unused)
{
    struct pollfd waited = {pipes[1][0], POLLIN, 0};
    CHECK(poll(&waited, 1, -1) == 1 && (waited.revents & POLLIN));
    finished();
    return unused;
}

static void *accepts(void *unused)
{
    int connection = accept(listener, NULL, NULL);
    CHECK(connection >= 0);
    finished();
    return unused;
}

static void *locks(void *path)
{
    int file = open(path, O_RDWR);
    CHECK(file >= 0 && flock(file, LOCK_EX) == 0);
    finished();
    return NULL;
}

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0"};
static socklen_t address_length;

static void listen_for_one(void)
{
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    /* Binding to no name gives a fresh one: two runs at once never meet. */
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
    address_length = sizeof address;
    CHECK(getsockname(listener, (struct sockaddr *)&address, &address_length) == 0);
    CHECK(listen(listener, 1) == 0);
}

int main(void)
{
    char path[] = "/tmp/vmmload-blocking-XXXXXX";
    pthread_t threads[4];
    for (int i = 0; i < 3; i++)
        CHECK(pipe(pipes[i]) == 0);
    listen_for_one();
    locked = mkstemp(path);
    CHECK(locked >= 0 && flock(locked, LOCK_EX) == 0);
    CHECK(pthread_create(&threads[0], NULL, reads, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, polls, NULL) == 0);
    CHECK(pthread_create(&threads[2], NULL, accepts, NULL) == 0);
    CHECK(pthread_create(&threads[3], NULL, locks, path) == 0);
    usleep(50000);

    /* All four are blocked; this thread computes, calls and maps. */
    for (int i = 0; i < 100; i++) {
        char *memory = map_private(PAGE, PROT_READ | PROT_WRITE);
        memory[0] = 1;
        CHECK(getppid() >= 0 && munmap(memory, PAGE) == 0);
    }
    CHECK(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == 0);
    CHECK(write(pipes[0][1], "r", 1) == 1 && write(pipes[1][1], "p", 1) == 1);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(client, (struct sockaddr *)&address, address_length) == 0);
    CHECK(flock(locked, LOCK_UN) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(unlink(path) == 0);
    printf("unblocked: %d\n", done);
}
