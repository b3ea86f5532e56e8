"""What the program itself says it does."""

import asyncio
import sys
import threading
from typing import List

import vmmload
from support import Running, TestCase, dump, wait_until
from vmmload import Mark, State

#: Names of the marks that the guest makes, one for each line that it reads.
GUEST = """
import sys, vmmload_guest
print("ready", flush=True)
for line in sys.stdin:
    with vmmload_guest.phase(line.strip()):
        print("done", flush=True)
"""


class Program(Running):
    """A Python program in vmmload that makes two marks for each line."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-c", GUEST])
        assert self.line() == "ready"

    def phase(self, name: str) -> None:
        self.send(f"{name}\n")
        assert self.line() == "done"

    def end(self) -> None:
        assert self.child.stdin
        self.child.stdin.close()


class Marks(TestCase):
    def test_marks_are_those_that_dump_shows(self) -> None:
        with Program() as guest, vmmload.attach(guest.pid) as consumer:
            for name in ("load", "r\xe9sum\xe9", "load"):
                guest.phase(name)
            marks = wait_until("marks", lambda: found if len(found := consumer.marks()) == 6 else None)
            self.assertEqual([mark.name for mark in marks[:2]], ["load", "end of load"])
            self.assertEqual({mark.thread for mark in marks}, {guest.pid})
            words = [
                {
                    "type": "mark",
                    "pid": guest.pid,
                    "name": mark.name,
                    "epoch": mark.epoch,
                    "time_ns": mark.time_ns,
                    "thread": mark.thread,
                }
                for mark in marks
            ]
            self.assertEqual(words, [record for record in dump(guest.pid) if record["type"] == "mark"])
            self.assertEqual([consumer.next_mark() for _ in marks], marks)
            self.assertIsNone(consumer.next_mark())
            self.assertEqual(consumer.marks(), marks)
            consumer.rewind()
            self.assertEqual(consumer.next_mark(), marks[0])
            consumer.skip_to_now()
            guest.phase("more")
            self.assertEqual(wait_until("mark", consumer.next_mark).name, "more")
            self.assertEqual(consumer.marks_lost, 0)

    def test_marks_are_followed_to_the_end(self) -> None:
        with Program() as guest, vmmload.attach(guest.pid) as consumer:
            followed: List[Mark] = []

            async def follow() -> None:
                async for mark in consumer.follow_marks():
                    followed.append(mark)

            thread = threading.Thread(target=lambda: asyncio.run(follow()))
            thread.start()
            for number in range(5):
                guest.phase(f"phase {number}")
                wait_until("marks", lambda: len(followed) >= 2 * number + 1)
            guest.end()
            thread.join()
            expected = [name for number in range(5) for name in (f"phase {number}", f"end of phase {number}")]
            self.assertEqual([mark.name for mark in followed], expected)
            self.assertEqual(consumer.status.state, State.EXITED)
            consumer.rewind()
            self.assertEqual(list(consumer.follow_marks()), followed)
