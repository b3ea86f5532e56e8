/* System V shared memory: attached twice, at a fixed address, over a mapping, detached, refused. */
#include "check.h"
#include <sys/shm.h>

static int segment(size_t bytes)
{
    int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

/* Attached segments live on after this; nothing stays behind when a check fails later. */
static void remove_when_detached(int id)
{
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static int is_mapped(char *page)
{
    unsigned char resident;
    return mincore(page, PAGE, &resident) == 0;
}

int main(void)
{
    int id = segment(4 * PAGE + 100);
    char *first = shmat(id, NULL, 0), *second = shmat(id, NULL, 0);
    char *reader = shmat(id, NULL, SHM_RDONLY);
    CHECK(first != (void *)-1 && second != (void *)-1 && reader != (void *)-1 && first != second);
    CHECK(all_bytes(first, 5 * PAGE, 0));
    first[5 * PAGE - 1] = 'x';
    CHECK(second[5 * PAGE - 1] == 'x' && reader[5 * PAGE - 1] == 'x');
    CHECK_ERROR(read(open("/dev/zero", O_RDONLY), reader, 1), EFAULT);

    char *place = map_private(16 * PAGE, PROT_READ | PROT_WRITE);
    memset(place, 'p', 16 * PAGE);
    CHECK_ERROR(shmat(id, place + 4 * PAGE, 0), EINVAL);
    CHECK(shmat(id, place + 4 * PAGE, SHM_REMAP) == place + 4 * PAGE);
    CHECK(place[9 * PAGE - 1] == 'x' && place[4 * PAGE - 1] == 'p' && place[9 * PAGE] == 'p');
    CHECK(munmap(place + 10 * PAGE, 6 * PAGE) == 0);
    CHECK(shmat(id, place + 10 * PAGE, 0) == place + 10 * PAGE);
    CHECK(shmdt(place + 10 * PAGE) == 0);
    CHECK(shmat(id, place + 10 * PAGE + 77, SHM_RND) == place + 10 * PAGE);
    CHECK_ERROR(shmat(id, place + 10 * PAGE + 77, 0), EINVAL);
    CHECK_ERROR(shmat(id, NULL, SHM_REMAP), EINVAL);

    struct shmid_ds state;
    CHECK(shmctl(id, IPC_STAT, &state) == 0 && state.shm_nattch == 5);
    remove_when_detached(id);
    CHECK_ERROR(shmdt(first + PAGE), EINVAL);
    CHECK_ERROR(shmdt(first + 1), EINVAL);
    CHECK(shmdt(first) == 0 && !is_mapped(first) && !is_mapped(first + 4 * PAGE));
    CHECK_ERROR(shmdt(first), EINVAL);
    CHECK(second[5 * PAGE - 1] == 'x');
    CHECK(munmap(second + PAGE, PAGE) == 0 && shmdt(second) == 0);
    CHECK(!is_mapped(second) && !is_mapped(second + 4 * PAGE));
    CHECK(shmdt(place + 4 * PAGE) == 0 && place[4 * PAGE - 1] == 'p' && !is_mapped(place + 4 * PAGE));
    CHECK(shmdt(reader) == 0 && shmdt(place + 10 * PAGE) == 0);
    CHECK_ERROR(shmat(id, NULL, 0), EINVAL);
    puts("ok");
}
