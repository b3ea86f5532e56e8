"""Counters of pages: snapshots, views of the shared memory, and what was written since."""

import gc
import weakref
from typing import List

import numpy as np
import vmmload
from support import PAGE, TestCase, Touch, segment
from vmmload import Kind


def counts(heat: vmmload.HeatMap, guest: Touch, kind: Kind) -> "dict[int, int]":
    pages = heat.of_kind(kind).pages()
    return {addr: count for addr, count, *_ in pages.tolist() if guest.is_inside(addr)}


class Snapshots(TestCase):
    def test_counts_are_the_epochs_in_which_pages_were_written(self) -> None:
        with Touch(1500, 7) as guest, guest.consumer() as consumer:
            guest.write(consumer, 2)
            heat = consumer.heat()
            self.assertEqual(counts(heat, guest, Kind.WRITE), dict.fromkeys(guest.touched(), 2))
            self.assertEqual(counts(heat, guest, Kind.KERNEL), {})
            guest.command("k")
            guest.settle(consumer)
            later = consumer.heat()
            self.assertEqual(counts(later - heat, guest, Kind.WRITE), {})
            self.assertEqual(counts(later - heat, guest, Kind.KERNEL), dict.fromkeys(guest.touched(), 1))
            self.assertEqual(later.count(guest.start), 3)
            self.assertEqual(later.count(guest.start + 5, Kind.WRITE), 2)
            self.assertEqual(later.count(guest.start + PAGE), 0)
            self.assertEqual(later.total, sum(consumer.info.totals.values()))
            self.assertEqual(len(np.unique(later.pages()["addr"])), consumer.info.pages)

    def test_a_mapping_has_its_own_pages_alone(self) -> None:
        with Touch(1500, 7) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            heat = consumer.heat()
            mapping = consumer.mappings().at(guest.start)
            assert mapping is not None
            pages = heat.of(mapping).pages()
            self.assertEqual(pages["addr"].tolist(), guest.touched())
            self.assertEqual(heat.of(mapping).total, len(guest.touched()))
            others = [heat.of(other).total for other in consumer.mappings() if other != mapping and not other.retired]
            self.assertEqual(heat.total, len(guest.touched()) + sum(others))

    def test_the_hottest_pages_come_first(self) -> None:
        with Touch(30) as guest, guest.consumer() as consumer:
            guest.write(consumer, 3)
            hottest = consumer.heat().hottest(10)
            everything = consumer.heat().pages()
            self.assertEqual(len(hottest), 10)
            ranked = sorted(everything.tolist(), key=lambda page: (-page[1], page[0], page[3]))
            self.assertEqual(hottest.tolist(), ranked[:10])

    def test_the_parts_of_a_snapshot_fit_together(self) -> None:
        with Touch(1500) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            heat, view = consumer.heat(), consumer.heat_view()
            self.assertEqual(heat.counts.shape, (len(heat), vmmload.PAGES_PER_REGION))
            self.assertEqual((heat.counts.dtype, heat.epochs.dtype), (np.uint32, np.uint32))
            for map_part, view_part in [
                (heat.counts, view.counts),
                (heat.epochs, view.epochs),
                (heat.addresses, view.addresses),
                (heat.kinds, view.kinds),
            ]:
                order = np.lexsort((view.kinds, view.addresses))
                self.assertTrue(np.array_equal(map_part, view_part[order]))
            self.assertEqual(set(heat.kinds.tolist()) - set(Kind), set())
            self.assertTrue((heat.epochs[heat.counts > 0] > 0).all())
            self.assertTrue((view.region_epochs >= view.epochs.max(axis=1)).all())

    def test_snapshots_of_two_processes_have_no_difference(self) -> None:
        with Touch() as one, Touch() as other:
            with self.assertRaises(ValueError):
                one.consumer().heat() - other.consumer().heat()


class Views(TestCase):
    def test_a_view_is_the_shared_memory_itself_and_cannot_be_written(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            view = consumer.heat_view()
            region, page = guest.start >> 21 << 21, guest.start // PAGE % vmmload.PAGES_PER_REGION
            row = int(np.flatnonzero((view.addresses == region) & (view.kinds == Kind.WRITE))[0])
            count, epoch = int(view.counts[row, page]), int(view.epochs[row, page])
            guest.write(consumer)
            self.assertEqual(int(view.counts[row, page]), count + 1)
            self.assertGreater(int(view.epochs[row, page]), epoch)
            self.assertEqual(int(view.words[row, page]), int(view.epochs[row, page]) << 32 | count + 1)
            for array in (view.words, view.counts, view.epochs, view.keys, view.region_epochs):
                self.assertFalse(array.flags.writeable)
                with self.assertRaises(ValueError):
                    array.flags.writeable = True
                with self.assertRaises(ValueError):
                    array[...] = 0

    def test_an_array_outlives_its_view_its_consumer_and_the_process(self) -> None:
        def slice_of(guest: Touch) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]":
            consumer = guest.consumer()
            guest.write(consumer)
            row = consumer.heat_view().counts[1:].T
            handles.append(weakref.ref(consumer._handle))
            consumer.close()
            return row

        handles: List["weakref.ref[object]"] = []
        with Touch(100) as guest:
            part = slice_of(guest)
            gc.collect()
            guest.quit()
            self.assertFalse(segment(guest.pid).exists())
            self.assertIsNotNone(handles[0](), "nothing keeps the memory mapped")
            self.assertGreaterEqual(int(part.sum()), 90)
            del part
            gc.collect()
            self.assertIsNone(handles[0](), "the memory stays mapped for ever")


class WrittenSince(TestCase):
    def written(self, guest: Touch, consumer: vmmload.Consumer, epoch: int) -> "tuple[list[int], int]":
        answer = consumer.pages_written_since(epoch)
        self.assertEqual(answer.unknown_calls, 0)
        self.assertEqual(answer.pages.dtype, np.uint64)
        return [page for page in answer.pages.tolist() if guest.is_inside(page)], answer.epoch

    def test_pages_are_told_once_after_they_were_written(self) -> None:
        with Touch(6000, 3) as guest, guest.consumer() as consumer:
            # As many as do not fit at the first attempt.
            guest.write(consumer)
            pages, epoch = self.written(guest, consumer, 0)
            self.assertEqual(pages, guest.touched())
            for command in "wk":
                guest.settle(consumer)
                pages, epoch = self.written(guest, consumer, epoch)
                self.assertEqual(pages, [])
                guest.command(command)
                guest.settle(consumer)
                pages, epoch = self.written(guest, consumer, epoch)
                self.assertEqual(pages, guest.touched())
            guest.command("r")
            guest.settle(consumer)
            self.assertEqual(self.written(guest, consumer, epoch)[0], [])
            everything = consumer.pages_written_since(0).pages
            self.assertTrue((everything[1:] > everything[:-1]).all())

    def test_what_cannot_be_told_is_an_error_of_its_own(self) -> None:
        with Touch() as guest, guest.consumer() as consumer:
            with self.assertRaisesRegex(vmmload.FutureEpoch, "epoch 1000000 "):
                consumer.pages_written_since(1_000_000)
            for impossible in (-1, 2**32):
                with self.assertRaises(ValueError):
                    consumer.pages_written_since(impossible)
        with Touch(options=["--track=none"]) as guest, guest.consumer() as consumer:
            with self.assertRaisesRegex(vmmload.NotTracked, "--track none"):
                consumer.pages_written_since(0)
