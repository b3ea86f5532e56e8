"""All processes of a run, as they come and go."""

import asyncio
import sys
from collections import Counter
from typing import Dict, List

import vmmload
from support import PAGE, Running, TestCase, patience, wait_until

#: Waits for a byte, forks children that dirty memory and tell where, waits for them, and executes something else.
TREE = """
import mmap, os
os.read(0, 1)
for number in range(3):
    if os.fork() == 0:
        memory = mmap.mmap(-1, 50 * 4096)
        for page in range(50):
            memory[page * 4096] = 1
        os.read(0, 1)
        os._exit(number)
for number in range(3):
    os.wait()
os.execv("/bin/sleep", ["sleep", "0.2"])
"""


class Sessions(TestCase):
    def follow(self, asynchronous: bool) -> None:
        changes: List[vmmload.Change] = []
        events: Dict[vmmload.Consumer, int] = Counter()

        def on_change(change: vmmload.Change) -> None:
            changes.append(change)
            # All children are there: let them end.
            if change.came and len(changes) == 3:
                tree.send("\n\n\n")

        async def read(session: vmmload.Session) -> None:
            async for member, batch in session.batches(on_change=on_change):
                events[member] += len(batch) + batch.lost

        with Running([sys.executable, "-c", TREE]) as tree:
            tree.consumer().close()
            with vmmload.Session(tree.pid) as session:
                self.assertEqual([member.pid for member in session.members], [tree.pid])
                tree.send("\n")
                if asynchronous:
                    asyncio.run(asyncio.wait_for(read(session), patience(60)))
                else:
                    for member, batch in session.batches(on_change=on_change):
                        events[member] += len(batch) + batch.lost
                self.check(tree, session, changes)
        self.assertEqual(len(events), 5)
        for member, count in events.items():
            self.assertEqual(count, member.info.published, f"of process {member.pid}")
            if member.pid != tree.pid:
                self.assertGreaterEqual(count, 50)
                self.assertEqual(member.info.parent, session.process)

    def check(self, tree: Running, session: vmmload.Session, changes: List[vmmload.Change]) -> None:
        self.assertEqual(session.missed, 0)
        self.assertEqual(session.process.pid, tree.pid)
        self.assertIs(session.wait(), vmmload.Woken.OVER)
        came = [change.process for change in changes if change.came]
        # The first one was there; three children, and the program that it executes.
        self.assertEqual(len(came), 4)
        self.assertIn(session.process, came)
        went = Counter(str(change.status) for change in changes if not change.came)
        self.assertEqual(went, {"exited 0": 2, "exited 1": 1, "exited 2": 1, "replaced": 1})

    def test_children_and_executed_programs_are_followed_to_their_ends(self) -> None:
        self.follow(asynchronous=False)

    def test_the_same_with_asyncio(self) -> None:
        self.follow(asynchronous=True)

    def test_a_child_whose_parent_is_gone_is_followed(self) -> None:
        with Running(["/bin/sh", "-c", "read line; (/bin/sleep 0.3; /bin/true) & exit 3"]) as tree:
            tree.consumer().close()
            with vmmload.Session(tree.pid) as session:
                tree.send("\n")
                changes: List[vmmload.Change] = []
                for _ in session.batches(on_change=changes.append):
                    pass
                # The subshell, sleep, and true: the last two by fork and execve, or by execve alone.
                ends = [str(change.status) for change in changes if not change.came]
                self.assertEqual(ends[0], "exited 3")
                self.assertEqual(ends[-1], "exited 0")
                self.assertGreaterEqual(len(ends), 3)
                self.assertEqual(session.missed, 0)
                self.assertEqual(len(ends), len([change for change in changes if change.came]) + 1)

    def test_a_member_can_be_kept_for_longer_than_the_session(self) -> None:
        with Running([sys.executable, "-c", TREE]) as tree:
            tree.consumer().close()
            with vmmload.Session(tree.pid) as session:
                tree.send("\n")

                def children() -> List[vmmload.Consumer]:
                    session.refresh()
                    found = [member for member in session.members if member.pid != tree.pid]
                    return found if len([member for member in found if member.heat().total >= 50]) == 3 else []

                kept = wait_until("children", children)
                words = [member.heat_view().words for member in kept]
                first = next(member for member in session.members if member.pid == tree.pid)
                self.assertEqual(
                    {child.process for child in first.children()}, {member.process for member in kept}
                )
            with self.assertRaises(vmmload.Closed):
                session.refresh()
            tree.send("\n\n\n")
            for member, view in zip(kept, words):
                events = list(member)
                self.assertEqual(len(events), member.info.published)
                self.assertEqual({event.addr % PAGE for event in events}, {0})
                self.assertGreater(int(view.sum()), 0)
