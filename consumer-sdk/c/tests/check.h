/* What both test programs need. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmmload.h>

/* Ends the program with what did not hold, and what the library says of it. */
#define CHECK(condition)                                                                             \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            fprintf(stderr, "%s:%d: %s does not hold; last error: %s\n", __FILE__, __LINE__,         \
                    #condition, vmmload_last_error());                                               \
            exit(1);                                                                                 \
        }                                                                                            \
    } while (0)

/* Memory for so many things; never none. */
static inline void *memory(size_t count, size_t size)
{
    void *start = calloc(count + 1, size);
    CHECK(start != NULL);
    return start;
}

#endif
