"""`vmmload record`: what is in a recording is what was published, whatever ends it, for each engine that reads it."""

import os
import re
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Dict

import duckdb
from recording import Dump, Recorder, in_each_engine, manifest, one, record, rows, segment_gone
from support import EPOCHS_TO_SETTLE, TOUCH, Running, TestCase, Touch, wait_until

PHASES = os.environ["VMMLOAD_PHASES"]
DOCS = Path(os.environ["VMMLOAD_DOCS"])


class Recordings(TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.place = self.scratch / "recording"

    def assert_complete(self) -> None:
        """Every program has as many events as it has counted itself, and nothing was lost."""
        totals = "rows, events, total_write + total_read + total_kernel, lost, before, marks_lost"
        found = rows(self.place, "processes", f'pid, "program", {totals}')
        counted = {}
        for pid, program, row_count, events, total, *missing in found:
            self.assertEqual((events, missing), (total, [0, 0, 0]), (pid, program))
            counted[pid, program] = (row_count, events)
        columns = 'pid, "program", count(*), sum("count")'
        source = f"read_parquet('{self.place}/events/**/*.parquet')"
        there = duckdb.sql(f"select {columns} from {source} group by all").fetchall()
        expected = {key: value for key, value in counted.items() if value[0]}
        self.assertEqual({(pid, program): (n, int(total)) for pid, program, n, total in there}, expected)


class Contents(Recordings):
    def test_rows_are_those_that_dump_shows(self) -> None:
        with Touch(200, 1, ["--track=readwrite"]) as guest:
            dump = Dump(guest.pid)
            with Recorder(self.place, "--pid", str(guest.pid)) as recorder:
                recorder.wait_for_rows("processes")
                with guest.consumer() as consumer:
                    guest.write(consumer, 3)
                    for letter in "rk":
                        guest.command(letter)
                        guest.settle(consumer)
                guest.quit()
                status, messages = recorder.end()
            self.assertEqual(status, 0, messages)
        self.assert_complete()
        self.assertEqual(manifest(self.place)["end"], "complete")
        pages = [
            (p["pid"], p["epoch"], p["time_ns"], int(p["addr"], 16), p["kind"], p["count"], p["method"], p["bytes"],
             p["mapping"], 1)
            for p in dump.lines("page")
        ]
        self.assertGreater(len(pages), 1000)
        names = ["pid", "epoch", "time_ns", "addr", "kind", "count", "method", "bytes", "mapping", "pages"]
        for engine, found in in_each_engine(self.place, "events", names):
            self.assertEqual(found, Counter(pages), engine)
        names = ["pid", "epoch", "start_ns", "end_ns", "ticks", "cost_ns", "written", "read", "kernel", "touched"]
        names.append("left_alone")
        epochs = Counter(tuple(e[name] for name in names) for e in dump.lines("epoch"))
        self.assertGreater(len(epochs), 5)
        for engine, found in in_each_engine(self.place, "epochs", names):
            self.assertEqual(found, epochs, engine)
        ((offset,),) = duckdb.sql(
            f"""select distinct epoch_ns(time) - time_ns from read_parquet('{self.place}/events/**/*.parquet')"""
        ).fetchall()
        self.assertLess(abs(time.time_ns() - time.monotonic_ns() - offset), 10**9)

    def test_marks_and_named_mappings_are_those_that_dump_shows(self) -> None:
        with Running([PHASES]) as guest:
            guest.line()
            # What it has mapped so far is to be in the table for both.
            with guest.consumer() as consumer:
                goal = consumer.info.epoch + EPOCHS_TO_SETTLE
                wait_until(f"epoch {goal}", lambda: consumer.info.epoch >= goal)
            dump = Dump(guest.pid)
            with Recorder(self.place, "--pid", str(guest.pid)) as recorder:
                recorder.wait_for_rows("processes")
                guest.send("\n")
                self.assertEqual(guest.line(), "ready")
                guest.send("\n")
                self.assertEqual(recorder.end()[0], 0)
        names = ["pid", "name", "epoch", "time_ns", "thread"]
        marks = Counter(tuple(m[name] for name in names) for m in dump.lines("mark"))
        self.assertEqual(len(marks), 4)
        for engine, found in in_each_engine(self.place, "marks", names):
            self.assertEqual(found, marks, engine)
        names = ["mapping", "start", "end", "offset", "permissions", "name", "class", "thread", "born", "retired"]
        shown: Dict[Any, Any] = {}
        for m in dump.lines("map"):
            row = (m["id"], int(m["start"], 16), int(m["end"], 16), m["offset"], m["prot"], m["name"], m["class"],
                   m["thread"], m["born"], m["retired"])
            shown[row[:2]] = row
        self.assertIn("work area", str(shown))
        for engine, found in in_each_engine(self.place, "mappings", ["time", *names]):
            last = {row[1:3]: row[1:] for row in sorted(found, key=lambda row: row[0])}
            self.assertEqual(last, shown, engine)

    def test_the_shortest_program_is_recorded_from_its_first_event_to_its_last(self) -> None:
        for number in range(3):
            self.place = self.scratch / str(number)
            self.assertEqual(record(self.place, "/bin/true")[0], 0)
            self.assert_complete()
            (epochs,) = one(self.place, "processes", "epochs")
            numbers = [epoch for (epoch,) in rows(self.place, "epochs", "epoch")]
            self.assertEqual(numbers, list(range(1, epochs + 1)))
            self.assertGreater(one(self.place, "processes", "events")[0], 10)

    def test_children_and_executed_programs_are_there(self) -> None:
        script = "/bin/true; /bin/false; (exec /bin/true); exec /bin/sleep 0.1"
        self.assertEqual(record(self.place, "/bin/sh", "-c", script)[0], 0)
        self.assert_complete()
        found = rows(self.place, "processes", 'pid, "program", command, "end", status, parent_pid, session_pid')
        (first,) = [row[0] for row in found if row[5] == 0 and row[1] == 0]
        self.assertEqual({row[6] for row in found}, {first})
        of_first = sorted(row[1:5] for row in found if row[0] == first)
        self.assertEqual([row[0::2] for row in of_first], [(0, "replaced"), (1, "exited")])
        self.assertEqual(of_first[1][1], "/bin/sleep 0.1")
        ends = sorted((row[2], row[4]) for row in found if row[5] == first and row[3] == "exited")
        self.assertEqual(ends, [("/bin/false", 1), ("/bin/true", 0), ("/bin/true", 0)])
        said = manifest(self.place)
        self.assertEqual((said["processes"], said["missed"], said["status"]), (len(found), 0, 0))

    def test_a_coarser_resolution_adds_up_to_the_same(self) -> None:
        coarse = self.scratch / "coarse"
        with Touch(256, 1) as guest:
            words = ["--pid", str(guest.pid)]
            with Recorder(self.place, *words) as full, Recorder(coarse, *words, "--resolution", "1h,64K") as recorder:
                for each in (full, recorder):
                    each.wait_for_rows("processes")
                with guest.consumer() as consumer:
                    guest.write(consumer, 4)
                    guest.command("k")
                    guest.settle(consumer)
                guest.quit()
                self.assertEqual([full.end()[0], recorder.end()[0]], [0, 0])
        self.assert_complete()
        sums = 'addr >> 16, kind, method, mapping, sum("count")::long, sum(bytes)::long, count(distinct addr)'
        source = "read_parquet('{}/events/**/*.parquet') {} group by all"
        # Within an hour all is one row, unless a new hour of the clock has begun.
        expected = duckdb.sql(f"select {sums} from {source.format(self.place, '')}").fetchall()
        sums = 'addr >> 16, kind, method, mapping, sum("count")::long, sum(bytes)::long, max(pages)'
        found = duckdb.sql(f"select {sums} from {source.format(coarse, '')}").fetchall()
        self.assertEqual([row[:6] for row in sorted(found)], [row[:6] for row in sorted(expected)])
        full_rows, coarse_rows = (one(place, "processes", "rows")[0] for place in (self.place, coarse))
        self.assertLess(coarse_rows * 10, full_rows)
        if coarse_rows == len(found):
            self.assertEqual(sorted(found), sorted(expected))
        self.assertEqual(manifest(coarse)["resolution"], {"time_ns": 3600 * 10**9, "bytes": 65536})


class Ends(Recordings):
    def start(self, *options: str) -> Recorder:
        """Records the touching guest, which has proved to run."""
        recorder = Recorder(self.place, "--interval=20ms", *options, "--", TOUCH, "64", "1")
        recorder.line()
        recorder.send("w")
        self.assertEqual(recorder.line(), "done w")
        return recorder

    def test_control_c_ends_the_command_and_the_recording_with_it(self) -> None:
        with self.start() as recorder:
            os.killpg(recorder.child.pid, signal.SIGINT)
            status, messages = recorder.end()
        self.assertEqual(status, -signal.SIGINT, messages)
        said = manifest(self.place)
        self.assertEqual((said["end"], said["status"]), ("complete", 130))
        self.assertEqual(one(self.place, "processes", '"end", status'), ("signaled", signal.SIGINT))
        self.assert_complete()

    def test_what_is_sent_to_the_recorder_alone_is_passed_on(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self.place = self.scratch / str(number)
            with self.start() as recorder:
                recorder.child.send_signal(number)
                self.assertEqual(recorder.end()[0], -number)
            self.assertEqual(one(self.place, "processes", '"end", status'), ("signaled", number))

    def test_control_c_ends_the_recording_of_a_process_alone(self) -> None:
        with Touch(64, 1) as guest:
            with Recorder(self.place, "--pid", str(guest.pid)) as recorder:
                recorder.wait_for_rows("processes")
                recorder.child.send_signal(signal.SIGINT)
                status, messages = recorder.end()
            self.assertEqual(status, 0, messages)
            guest.command("w")
            guest.quit()
        said = manifest(self.place)
        self.assertEqual((said["end"], said["reason"]), ("stopped", "SIGINT asked for it"))
        self.assertEqual(one(self.place, "processes", '"end"'), ("running",))

    def test_what_a_killed_program_has_published_is_kept(self) -> None:
        with self.start() as recorder:
            (pid,) = one(self.place, "processes", "pid")
            # What the recorder has was published.
            wait_until("event", lambda: one(self.place, "processes", "events")[0] >= 64)
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(recorder.end()[0], -signal.SIGKILL)
            segment_gone(pid)
        self.assertEqual(one(self.place, "processes", '"end"'), ("died",))
        self.assertEqual((manifest(self.place)["end"], manifest(self.place)["status"]), ("complete", 137))
        self.assertGreaterEqual(len(rows(self.place, "events", "addr")), 64)

    def test_a_recorder_that_is_killed_leaves_complete_files_and_a_program_that_goes_on(self) -> None:
        with self.start() as recorder:
            (pid,) = one(self.place, "processes", "pid")
            wait_until("event in a file", lambda: one(self.place, "processes", "events")[0])
            recorder.child.kill()
            recorder.child.wait()
            found = rows(self.place, "events", "count(*), sum(\"count\")")
            row = one(self.place, "processes", 'rows, events, "end", last_ns > attached_ns')
            self.assertEqual(row, (*found[0], "running", True))
            said = manifest(self.place)
            self.assertEqual((said["end"], said["recorder"]["pid"]), ("unfinished", recorder.child.pid))
            recorder.send("w")
            self.assertEqual(recorder.line(), "done w")
            os.kill(pid, signal.SIGKILL)
            wait_until("end", lambda: not Path(f"/proc/{pid}").exists())
            segment_gone(pid)

    def test_after_its_time_the_recording_ends_and_the_command_goes_on(self) -> None:
        with self.start("--for", "200ms") as recorder:
            wait_until("end of the recording", lambda: manifest(self.place)["end"] != "unfinished")
            recorder.send("w")
            self.assertEqual(recorder.line(), "done w")
            recorder.send("q")
            self.assertEqual(recorder.end()[0], 0)
        said = manifest(self.place)
        self.assertEqual((said["end"], said["reason"]), ("stopped", "--for 200ms was over"))


class Documentation(Recordings):
    def test_what_the_documentation_asks_can_be_asked(self) -> None:
        for name, letters in (("before", "wwk"), ("after", "w")):
            place = self.scratch / name
            with Recorder(place, "--interval=20ms", "--", TOUCH, "64", "1") as recorder:
                recorder.line()
                for letter in letters:
                    recorder.send(letter)
                    recorder.line()
                recorder.send("q")
                self.assertEqual(recorder.end()[0], 0)
        text = DOCS.read_text()
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.scratch)
        queries = re.findall(r"```sql\n-- DuckDB\n(.*?)```", text, re.DOTALL)
        self.assertGreaterEqual(len(queries), 4)
        for query in queries:
            for statement in filter(str.strip, query.split(";")):
                self.assertTrue(duckdb.sql(statement).fetchall(), statement)
        scripts = re.findall(r"```python\n(import (?:polars|pandas).*?)```", text, re.DOTALL)
        self.assertGreaterEqual(len(scripts), 2)
        for script in scripts:
            names: Dict[str, Any] = {}
            exec(script, names)
            self.assertGreater(len(names["result"]), 0, script)
