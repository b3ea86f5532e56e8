"""Programs that run in vmmload while a test reads what they do.

The harness (tests/tests/sdk_python.rs) names the programs in the environment: VMMLOAD_BIN, VMMLOAD_TOUCH (the guest of
tests/guests/tracking/touch.c) and VMMLOAD_CC.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

import vmmload

VMMLOAD = os.environ["VMMLOAD_BIN"]
TOUCH = os.environ["VMMLOAD_TOUCH"]
PAGE = vmmload.PAGE_SIZE
#: Epochs after which all that a waiting guest did was harvested: the first may have begun before.
EPOCHS_TO_SETTLE = 3


def patience(seconds: float) -> float:
    """A limit of time as it is on this machine."""
    return seconds * int(os.environ.get("VMMLOAD_PATIENCE", "1"))


def wait_until(what: str, done: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + patience(seconds)
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"no {what} in {patience(seconds)} s")
        time.sleep(0.002)


def segment(pid: int) -> Path:
    return Path(f"/dev/shm/vmmload-{pid}")


class Running:
    """A command in vmmload. Killed with its group at the end of the `with` statement, if it still runs."""

    def __init__(self, command: Sequence[str], options: Sequence[str] = (), interval: str = "20ms") -> None:
        self.child = subprocess.Popen(
            [VMMLOAD, "run", f"--interval={interval}", *options, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.child.pid

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.child.poll() is None:
            self.kill()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                pipe.close()

    def line(self) -> str:
        assert self.child.stdout
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(f"{self.child.args} ended: {self.child.wait()}")
        return line.rstrip("\n")

    def send(self, text: str) -> None:
        assert self.child.stdin
        self.child.stdin.write(text)
        self.child.stdin.flush()

    def kill(self) -> None:
        """kill -9, and what vmmload cannot do any more then: remove the segment."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()
        segment(self.pid).unlink(missing_ok=True)

    def consumer(self) -> vmmload.Consumer:
        """Attaches as soon as the segment is ready."""
        with contextlib.suppress(vmmload.NotFound, vmmload.NotReady):
            return vmmload.attach(self.pid)

        def attached() -> Any:
            with contextlib.suppress(vmmload.NotFound, vmmload.NotReady):
                return vmmload.attach(self.pid)
            return None

        found: vmmload.Consumer = wait_until(f"segment of process {self.pid}", attached)
        return found


class Touch(Running):
    """The guest that touches pages on command."""

    def __init__(
        self, pages: int = 64, stride: int = 1, options: Sequence[str] = (), interval: str = "20ms"
    ) -> None:
        super().__init__([TOUCH, str(pages), str(stride)], options, interval)
        self.stride = stride
        self.start = int(self.line().split()[0], 16)
        self.end = self.start + pages * PAGE

    def __enter__(self) -> "Touch":
        return self

    def command(self, letter: str) -> None:
        self.send(letter)
        answer = self.line()
        assert answer == f"done {letter}", answer

    def settle(self, consumer: vmmload.Consumer) -> None:
        """Waits until all that the guest has done was published."""
        goal = consumer.info.epoch + EPOCHS_TO_SETTLE
        wait_until(f"epoch {goal}", lambda: consumer.info.epoch >= goal)

    def write(self, consumer: vmmload.Consumer, times: int = 1) -> None:
        """Writes each stride-th page of the buffer, so many times, each seen apart."""
        for _ in range(times):
            self.command("w")
            self.settle(consumer)

    def touched(self) -> List[int]:
        """The pages that commands touch."""
        return list(range(self.start, self.end, self.stride * PAGE))

    def is_inside(self, addr: int) -> bool:
        return self.start <= addr < self.end

    def quit(self) -> None:
        self.send("q")
        self.child.wait(patience(20))


def dump(pid: int) -> Iterator[Dict[str, Any]]:
    """What `vmmload dump` has about a process now."""
    done = subprocess.run(
        [VMMLOAD, "dump", str(pid), "--format", "json"], stdout=subprocess.PIPE, check=True, timeout=patience(30)
    )
    return map(json.loads, done.stdout.splitlines())


class TestCase(unittest.TestCase):
    """Shows long differences in full."""

    maxDiff = 2000
