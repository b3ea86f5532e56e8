"""Events as they are read: one at a time, many at a time, by one reader and by several."""

import os
import threading
from typing import List

import numpy as np
import vmmload
from support import TestCase, Touch, dump
from vmmload import Event, Kind, Method


class Reading(TestCase):
    def test_events_are_those_that_dump_shows(self) -> None:
        with Touch(300, 3) as guest, guest.consumer() as consumer:
            guest.write(consumer, 2)
            guest.command("k")
            guest.settle(consumer)
            batch = consumer.read()
            shown = [record for record in dump(guest.pid) if record["type"] == "page"]
            self.assertEqual(batch.lost, 0)
            words = [
                {
                    "type": "page",
                    "pid": guest.pid,
                    "epoch": event.epoch,
                    "time_ns": event.time_ns,
                    "addr": hex(event.addr),
                    "kind": event.kind.name.lower(),
                    "count": event.count,
                    "method": event.method.name.lower().replace("_", "-"),
                    "bytes": event.bytes,
                    "mapping": event.mapping,
                }
                for event in batch
            ]
            self.assertGreater(len(words), 300)
            self.assertEqual(words, shown[: len(words)])

    def test_each_written_page_is_one_event_of_its_kind_and_mapping(self) -> None:
        with Touch(300, 3) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            guest.command("k")
            guest.settle(consumer)
            mappings = consumer.mappings()
            inside = [event for event in consumer.read() if guest.is_inside(event.addr)]
            written = [event for event in inside if event.kind is Kind.WRITE]
            filled = [event for event in inside if event.kind is Kind.KERNEL]
            self.assertEqual(sorted(event.addr for event in written), guest.touched())
            self.assertEqual(sorted(event.addr for event in filled), guest.touched())
            self.assertEqual({event.bytes for event in filled}, {16})
            self.assertEqual({event.method for event in inside}, {Method.DIRTY_RING, Method.RELAY})
            for event in inside:
                mapping = mappings.of(event)
                assert mapping is not None
                self.assertEqual(mapping, mappings.at(event.addr))
                self.assertEqual((mapping.start, mapping.end), (guest.start, guest.end))
                self.assertEqual(mapping.permissions, "rw-p")
                self.assertIn(event.addr, mapping)
            self.assertFalse(consumer.has_changed(mappings))
            self.assertIn("[stack]", [mapping.name for mapping in mappings])
            self.assertIsNone(mappings.at(0))

    def test_iteration_gives_all_events_and_ends_with_the_process(self) -> None:
        with Touch(200) as guest, guest.consumer() as consumer, guest.consumer() as other:
            guest.write(consumer)
            ended = threading.Timer(0.3, guest.quit)
            ended.start()
            events = list(consumer)
            ended.join()
            self.assertEqual(events, list(other.read()))
            self.assertEqual(len([event for event in events if guest.is_inside(event.addr)]), 200)
            self.assertEqual(str(consumer.status), "exited 0")
            self.assertEqual(consumer.lost, 0)
            self.assertIs([consumer.wait(), consumer.wait()][1], vmmload.Woken.OVER)

    def test_batches_by_columns_records_and_elements_are_the_same(self) -> None:
        with Touch(50) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            batch = consumer.read()
            columns = batch.columns()
            self.assertEqual(tuple(columns), Event._fields)
            for event, record, *values in zip(batch, batch.events, *columns.values()):
                self.assertEqual(tuple(event), tuple(record.tolist()))
                self.assertEqual(list(event), values)
            for column in columns.values():
                self.assertTrue(column.flags.c_contiguous)

    def test_the_cursor_moves_by_what_was_read_and_where_it_is_told(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            first = consumer.read(10)
            self.assertEqual((len(first), consumer.position), (10, 10))
            rest = consumer.read()
            self.assertEqual(consumer.position, 10 + len(rest))
            self.assertFalse(consumer.read())
            consumer.rewind()
            self.assertEqual(list(consumer.read()), [*first, *rest])
            consumer.rewind()
            consumer.skip_to_now()
            self.assertFalse(consumer.read())
            self.assertEqual(consumer.position, consumer.info.published)

    def test_an_array_of_the_callers_is_filled_in_place_or_refused(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            own = np.zeros(40, vmmload.EVENT_DTYPE)
            batch = consumer.read(into=own)
            self.assertEqual(len(batch), 40)
            self.assertTrue(np.shares_memory(batch.events, own))
            self.assertFalse(np.shares_memory(consumer.read(40).events, consumer.read(40).events))
            before = consumer.position
            for refused in (np.zeros(4), np.zeros((4, 4), vmmload.EVENT_DTYPE), own[::2]):
                with self.assertRaises(TypeError):
                    consumer.read(into=refused)
            own.flags.writeable = False
            with self.assertRaises(ValueError):
                consumer.read(into=own)
            with self.assertRaises(ValueError):
                consumer.read(0)
            self.assertEqual(consumer.position, before)

    def test_threads_that_share_a_consumer_share_the_events_out(self) -> None:
        with Touch(4000) as guest, guest.consumer() as consumer, guest.consumer() as other:
            guest.write(consumer)
            found: List[List[Event]] = [[] for _ in range(4)]

            def read(events: List[Event]) -> None:
                for batch in iter(lambda: consumer.read(7), None):
                    if not batch:
                        return
                    events.extend(batch)

            threads = [threading.Thread(target=read, args=(events,)) for events in found]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            everything = list(other.read())
            shared = sorted(event for events in found for event in events)
            self.assertEqual(len(shared), len(everything))
            self.assertEqual(shared, sorted(everything))

    def test_a_forked_child_reads_on_by_itself(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            consumer.read(20)
            expected = consumer.info.published - 20
            child = os.fork()
            if child == 0:
                # Nothing of the test runner's may run here.
                try:
                    os._exit(0 if len(consumer.read()) == expected else 1)
                finally:
                    os._exit(2)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(len(consumer.read()), expected, "the child's reading moved the parent's cursor")


class Facts(TestCase):
    def test_a_process_is_told_with_its_command_and_what_it_did(self) -> None:
        with Touch(100, options=["--buffer=1024"]) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            info = consumer.info
            self.assertIn(guest.pid, vmmload.list())
            self.assertEqual((info.pid, consumer.pid, info.uid), (guest.pid, guest.pid, os.getuid()))
            self.assertEqual(info.command[1:], ("100", "1"))
            self.assertEqual((info.interval_ns, info.buffer, info.track), (20_000_000, 1024, vmmload.Track.WRITE))
            self.assertEqual((info.session, info.parent), (info.process, None))
            self.assertGreaterEqual(info.totals[Kind.WRITE], 100)
            self.assertEqual(info.published, len(consumer.read()))
            self.assertGreater(info.counters[vmmload.Counter.VM_EXITS], 0)
            self.assertEqual(consumer.children(), [])
            self.assertEqual(consumer.status, vmmload.Status(vmmload.State.RUNNING))

    def test_epochs_tell_what_was_touched_in_each(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            epochs = consumer.epochs()
            one_by_one = list(iter(consumer.next_epoch, None))
            self.assertGreaterEqual(len(one_by_one), len(epochs))
            for name in vmmload.Epoch._fields:
                known = [getattr(epoch, name) for epoch in one_by_one[: len(epochs)]]
                self.assertEqual(epochs[name].tolist(), known)
            events = consumer.read()
            for epoch in one_by_one:
                pages = {event.addr for event in events if event.epoch == epoch.number}
                self.assertEqual(epoch.touched, len(pages))
                self.assertGreater(epoch.end_ns, epoch.start_ns)

    def test_a_closed_consumer_says_so(self) -> None:
        with Touch() as guest:
            with guest.consumer() as consumer:
                pass
            for use in (consumer.read, consumer.heat, consumer.mappings, consumer.wait, lambda: list(consumer)):
                with self.assertRaisesRegex(vmmload.Closed, f"process {guest.pid} is closed"):
                    use()
            self.assertIn("closed", repr(consumer))
            consumer.close()
