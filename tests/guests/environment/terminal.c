/* The controlling terminal is the program's: kind, size, modes, foreground group, /dev/tty. */
#include "check.h"
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
    for (int i = 0; i < 3; i++)
        printf("descriptor %d is %s terminal\n", i, isatty(i) ? "a" : "no");
    struct termios modes;
    struct winsize size;
    if (tcgetattr(0, &modes) == 0 && ioctl(0, TIOCGWINSZ, &size) == 0) {
        printf("modes %x %x %x, size %d %d\n", modes.c_iflag, modes.c_oflag, modes.c_lflag, size.ws_row, size.ws_col);
        printf("foreground: %d\n", tcgetpgrp(0) == getpgrp());
        printf("session: %d\n", tcgetsid(0) == getsid(0));
        size.ws_col = 99;
        CHECK(ioctl(0, TIOCSWINSZ, &size) == 0 && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col == 99);
    }
    int terminal = open("/dev/tty", O_RDWR);
    printf("/dev/tty %s\n", terminal >= 0 ? "opens" : "does not open");
}
