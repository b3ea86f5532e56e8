/* Writes until the reader is gone; then SIGPIPE ends it, or a failed write shows with status 3. */
#include "check.h"

int main(void)
{
    static char block[65536];
    memset(block, 'y', sizeof block);
    while (write(1, block, sizeof block) > 0)
        ;
    return errno == EPIPE ? 3 : 4;
}
