"""Drives an interactive shell on a pseudo-terminal and prints what became of each step.

Arguments: the command that starts the shell.
"""
import os
import pty
import select
import signal
import sys
import time

PATIENCE = 30


class Terminal:
    """A command on a pseudo-terminal, and what it has shown that was not looked at yet."""

    def __init__(self, argv):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # As a terminal would start it, whatever the tests were started with.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
            os.environ.update(PS1="$ ", TERM="dumb", HISTFILE="/dev/null")
            os.execvp(argv[0], argv)

    def wait_for(self, text):
        """Whether `text` is shown in time; what comes before it is forgotten."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            if time.monotonic() > end:
                print("shown instead:", self.shown[-400:])
                return False
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.fd, 4096)
                except OSError:
                    return False
        self.shown = self.shown[self.shown.index(text) + len(text):]
        return True

    def type(self, text):
        os.write(self.fd, text)


def started(parent):
    """Waits until the shell has a child whose program is sleep."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as file:
                    name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
            except OSError:
                continue
            if name == "sleep" and int(rest.split()[1]) == parent and rest[0] == "S":
                return True
        time.sleep(0.02)
    return False


def job_is_in_front(shell):
    """Waits until another than the shell has the terminal: before, keys would reach the shell."""
    end = time.monotonic() + PATIENCE
    while os.tcgetpgrp(shell.fd) == shell.pid and time.monotonic() < end:
        time.sleep(0.02)


shell = Terminal(sys.argv[1:])
print("prompt", shell.wait_for(b"$ "))
shell.type(b"sleep 1000\n")
print("started", started(shell.pid))
job_is_in_front(shell)
shell.type(b"\x1a")
print("Ctrl-Z stops it", shell.wait_for(b"Stopped"))
shell.type(b"jobs\n")
print("jobs lists it", shell.wait_for(b"Stopped") and shell.wait_for(b"sleep 1000"))
shell.type(b"bg\n")
print("bg continues it", shell.wait_for(b"sleep 1000 &") and started(shell.pid))
shell.type(b"jobs\n")
print("jobs knows", shell.wait_for(b"Running"))
shell.type(b"fg\n")
print("fg brings it back", shell.wait_for(b"sleep 1000\r\n"))
job_is_in_front(shell)
shell.type(b"\x03")
shell.type(b"echo status=$?\n")
print("Ctrl-C ends it", shell.wait_for(b"status=130"))
shell.type(b"cat | cat\n")
job_is_in_front(shell)
shell.type(b"hello\n")
print("a pipeline reads the terminal", shell.wait_for(b"hello\r\nhello"))
shell.type(b"\x04")
shell.type(b"trap 'echo caught' USR1; kill -USR1 $$; echo after\n")
print("traps run", shell.wait_for(b"caught\r\nafter"))
shell.type(b"exit 5\n")
print("exit", os.waitstatus_to_exitcode(os.waitpid(shell.pid, 0)[1]))
