// A shared library that uses the header for itself.
#include <vmmload_guest.h>

int mark_in_library(const char *phase)
{
    return vmmload_mark(phase) | (vmmload_inside() << 1);
}
