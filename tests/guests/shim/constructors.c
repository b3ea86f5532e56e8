/* A program with code that runs before main: each piece runs once, whoever loads it. */
#include "check.h"

static void say(const char *text)
{
    CHECK(write(1, text, strlen(text)) > 0);
}

static void before_all_libraries(void)
{
    say("preinit\n");
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = before_all_libraries;

__attribute__((constructor(101))) static void early(void)
{
    say("constructor\n");
}

__attribute__((destructor)) static void late(void)
{
    say("destructor\n");
}

int main(void)
{
    say("main\n");
}
