/* Prints every open descriptor with its flags and kind, and the numbers that new ones get. */
#include "check.h"
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const char *kind(int descriptor)
{
    struct stat state;
    CHECK(fstat(descriptor, &state) == 0);
    return S_ISREG(state.st_mode) ? "file" : S_ISFIFO(state.st_mode) ? "pipe" : S_ISCHR(state.st_mode) ? "device"
         : S_ISSOCK(state.st_mode) ? "socket" : "other";
}

int main(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int highest = limit.rlim_cur > 4096 ? 4096 : (int)limit.rlim_cur;
    for (int i = 0; i < highest; i++) {
        int flags = fcntl(i, F_GETFD);
        if (flags >= 0)
            printf("%d: %s, close-on-exec %d, status %#x\n", i, kind(i), flags, fcntl(i, F_GETFL));
    }
    int ends[2], file = open("/", O_RDONLY);
    CHECK(pipe(ends) == 0);
    printf("new: file %d, pipe %d %d, duplicate %d, socket %d, at least 100: %d\n", file, ends[0], ends[1],
           dup(file), socket(AF_UNIX, SOCK_STREAM, 0), fcntl(file, F_DUPFD, 100));
}
