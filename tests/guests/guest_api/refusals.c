// What vmmload refuses, and that it is taken natively: the arguments are not looked at.
#include "check.h"
#include <vmmload_guest.h>

int main(void)
{
    int inside = vmmload_inside();
    char longest[256], longer[257];
    memset(longest, 'x', 255), longest[255] = 0;
    memset(longer, 'x', 256), longer[256] = 0;
    char *memory = map_private(3 * PAGE, PROT_READ | PROT_WRITE);
    CHECK(munmap(memory + PAGE, PAGE) == 0);
    char *last = memory + PAGE - 4;
    memcpy(last, "end", 4);
#define REFUSED(error, call) CHECK((call) == (inside ? -(error) : 0))
    REFUSED(0, vmmload_mark(longest));
    REFUSED(0, vmmload_mark(last));
    REFUSED(ENAMETOOLONG, vmmload_mark(longer));
    REFUSED(EINVAL, vmmload_mark(""));
    REFUSED(EFAULT, vmmload_mark((const char *)8));
    last[3] = '!';
    REFUSED(EFAULT, vmmload_mark(last));
    REFUSED(0, vmmload_name_region(memory, 1, longest));
    REFUSED(0, vmmload_name_region(memory, 3 * PAGE, "with a gap"));
    REFUSED(ENAMETOOLONG, vmmload_name_region(memory, 1, longer));
    REFUSED(EINVAL, vmmload_name_region(memory, 1, ""));
    REFUSED(EINVAL, vmmload_name_region(memory, 0, "nothing"));
    REFUSED(EINVAL, vmmload_name_region(memory, SIZE_MAX, "everything"));
    REFUSED(EFAULT, vmmload_name_region(memory, 1, (const char *)8));
    REFUSED(ENOMEM, vmmload_name_region(memory + PAGE, PAGE, "gap"));
    return 0;
}
