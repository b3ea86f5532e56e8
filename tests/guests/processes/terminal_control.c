/* The controlling terminal: who may read and write, who is stopped, interrupted and hung up. */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master, terminal, ends[2];

static void say(char word)
{
    CHECK(write(ends[1], &word, 1) == 1);
}

static char hear(void)
{
    char word;
    CHECK(read(ends[0], &word, 1) == 1);
    return word;
}

static pid_t start(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    return child;
}

static int status_of(pid_t child, int options)
{
    int status;
    CHECK(waitpid(child, &status, options) == child);
    return status;
}

/* Also from the background, where SIGTTOU would be the answer. */
static void bring_forward(pid_t group)
{
    sigset_t blocked, old;
    sigemptyset(&blocked), sigaddset(&blocked, SIGTTOU);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, &old) == 0);
    CHECK(tcsetpgrp(terminal, group) == 0 && tcgetpgrp(terminal) == group);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static void open_terminal(void)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    CHECK_ERROR(open("/dev/tty", O_RDWR), ENXIO);
    terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(terminal >= 0);
    CHECK_ERROR(tcgetpgrp(terminal), ENOTTY);
    CHECK(ioctl(terminal, TIOCSCTTY, 0) == 0);
    CHECK(tcgetpgrp(terminal) == getpgrp() && tcgetsid(terminal) == getsid(0));
    int own = open("/dev/tty", O_RDWR);
    CHECK(own >= 0 && close(own) == 0);
}

static void get_line(void)
{
    char line[8];
    _exit(read(terminal, line, sizeof line) == 3 && memcmp(line, "ab\n", 3) == 0 ? 0 : 1);
}

static void put_line(void)
{
    _exit(write(terminal, "x\n", 2) == 2 ? 0 : 1);
}

static void change_settings(void)
{
    struct termios settings;
    CHECK(tcgetattr(terminal, &settings) == 0);
    _exit(tcsetattr(terminal, TCSANOW, &settings) == 0 ? 0 : 1);
}

static void come_forward(void)
{
    _exit(tcsetpgrp(terminal, getpgrp()) == 0 ? 0 : 1);
}

/* In a group of its own, in the background. */
static pid_t start_behind(void (*act)(void))
{
    pid_t child = start();
    if (child == 0) {
        CHECK(setpgid(0, 0) == 0);
        act();
    }
    return child;
}

static void background_is_stopped(void (*act)(void), int signal)
{
    pid_t child = start_behind(act);
    int status = status_of(child, WUNTRACED);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == signal);
    bring_forward(child);
    if (act == get_line)
        CHECK(write(master, "ab\n", 3) == 3);
    CHECK(kill(-child, SIGCONT) == 0);
    CHECK(status_of(child, 0) == 0);
    bring_forward(getpgrp());
}

static void who_must_not_be_stopped_is_refused(void)
{
    pid_t child = start();
    if (child == 0) {
        char byte;
        CHECK(setpgid(0, 0) == 0 && signal(SIGTTIN, SIG_IGN) != SIG_ERR);
        CHECK_ERROR(read(terminal, &byte, 1), EIO);
        CHECK(signal(SIGTTOU, SIG_IGN) != SIG_ERR && write(terminal, "y", 1) == 1);
        change_settings();
    }
    CHECK(status_of(child, 0) == 0);
    child = start();
    if (child == 0) {
        sigset_t blocked;
        sigemptyset(&blocked), sigaddset(&blocked, SIGTTOU);
        CHECK(setpgid(0, 0) == 0 && sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
        CHECK(tcsetpgrp(terminal, getpgrp()) == 0);
        CHECK(tcsetpgrp(terminal, getppid()) == 0);
        CHECK_ERROR(tcsetpgrp(terminal, 1 << 22), ESRCH);
        _exit(0);
    }
    CHECK(status_of(child, 0) == 0 && tcgetpgrp(terminal) == getpgrp());
}

static volatile sig_atomic_t hung_up;

static void on_signal(int signal)
{
    hung_up |= signal == SIGHUP;
    say(signal == SIGTTIN ? 'i' : signal == SIGWINCH ? 'w' : signal == SIGHUP ? 'h' : signal == SIGCONT ? 'c' : '?');
}

static void handle(int signal)
{
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void handler_interrupts_the_read(void)
{
    pid_t child = start();
    if (child == 0) {
        char byte;
        CHECK(setpgid(0, 0) == 0);
        handle(SIGTTIN);
        CHECK_ERROR(read(terminal, &byte, 1), EINTR);
        _exit(0);
    }
    CHECK(hear() == 'i' && status_of(child, 0) == 0);
}

static void wait_in_front(void)
{
    bring_forward(getpgrp());
    handle(SIGWINCH);
    say('r');
    for (;;)
        pause();
}

static void keys_reach_the_foreground(void)
{
    pid_t child = start_behind(wait_in_front);
    CHECK(hear() == 'r');
    struct winsize size = {.ws_row = 33, .ws_col = 77};
    CHECK(ioctl(master, TIOCSWINSZ, &size) == 0 && hear() == 'w');
    CHECK(write(master, "\x1a", 1) == 1); /* ^Z */
    int status = status_of(child, WUNTRACED);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    CHECK(kill(child, SIGCONT) == 0 && WIFCONTINUED(status_of(child, WCONTINUED)));
    CHECK(write(master, "\x03", 1) == 1); /* ^C */
    status = status_of(child, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    bring_forward(getpgrp());
}

static void output_stops_where_asked(void)
{
    struct termios settings;
    CHECK(tcgetattr(terminal, &settings) == 0);
    settings.c_lflag |= TOSTOP;
    CHECK(tcsetattr(terminal, TCSANOW, &settings) == 0);
    background_is_stopped(put_line, SIGTTOU);
}

/* Its leader's end takes the terminal from the session. */
static void lead_and_end(void)
{
    CHECK(setsid() == getpid());
    open_terminal();
    output_stops_where_asked();
    background_is_stopped(get_line, SIGTTIN);
    background_is_stopped(change_settings, SIGTTOU);
    background_is_stopped(come_forward, SIGTTOU);
    who_must_not_be_stopped_is_refused();
    handler_interrupts_the_read();
    keys_reach_the_foreground();
    pid_t leader = getpid(), in_front = start();
    if (in_front == 0) {
        alarm(40);
        handle(SIGHUP), handle(SIGCONT);
        say('r');
        /* The signal comes first, then the terminal is taken away, and then the leader is gone. */
        while (!hung_up || getppid() == leader)
            usleep(1000);
        CHECK_ERROR(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_ERROR(tcgetpgrp(terminal), ENOTTY);
        say('e');
        _exit(0);
    }
    CHECK(hear() == 'r');
    _exit(0);
}

static void closing_the_master_hangs_up(void)
{
    pid_t leader = start();
    if (leader == 0) {
        CHECK(setsid() == getpid());
        open_terminal();
        close(terminal);
        say('r');
        close(master);
        for (;;)
            pause();
    }
    CHECK(hear() == 'r');
    int status = status_of(leader, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
}

static void terminal_can_be_given_up(void)
{
    pid_t leader = start();
    if (leader == 0) {
        CHECK(setsid() == getpid());
        open_terminal();
        signal(SIGHUP, SIG_IGN);
        CHECK(ioctl(terminal, TIOCNOTTY) == 0);
        CHECK_ERROR(open("/dev/tty", O_RDWR), ENXIO);
        _exit(0);
    }
    CHECK(status_of(leader, 0) == 0);
}

int main(void)
{
    CHECK(pipe(ends) == 0);
    alarm(50); /* Else a wrong stop would never end. */
    pid_t leader = start();
    if (leader == 0)
        lead_and_end();
    CHECK(status_of(leader, 0) == 0);
    char word;
    do
        word = hear();
    while (word == 'c' || word == 'h');
    CHECK(word == 'e');
    terminal_can_be_given_up();
    closing_the_master_hangs_up();
    puts("ok");
}
