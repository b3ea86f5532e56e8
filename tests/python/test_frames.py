"""What is read, in the hands of pandas and polars."""

import pandas
import polars
import vmmload
from support import TestCase, Touch
from vmmload import Kind


class Frames(TestCase):
    def test_a_batch_is_a_data_frame(self) -> None:
        with Touch(200, 2) as guest, guest.consumer() as consumer:
            guest.write(consumer, 2)
            batch = consumer.read()
            by_pandas = pandas.DataFrame(batch.events)
            by_polars = polars.DataFrame(batch.columns())
            for frame in (by_pandas, by_polars):
                self.assertEqual(tuple(frame.columns), vmmload.Event._fields)
                self.assertEqual(frame.shape[0], len(batch))
                self.assertEqual(frame["addr"].dtype, "uint64" if frame is by_pandas else polars.UInt64)
            inside = by_pandas[by_pandas["addr"].between(guest.start, guest.end, inclusive="left")]
            written = inside[inside["kind"] == Kind.WRITE].groupby("addr")["count"].sum()
            self.assertEqual(written.to_dict(), dict.fromkeys(guest.touched(), 2))
            inside = by_polars.filter(
                (polars.col("addr") >= guest.start) & (polars.col("addr") < guest.end) & (polars.col("kind") == 0)
            )
            sums = inside.group_by("addr").agg(polars.col("count").sum()).sort("addr")
            self.assertEqual(sums["addr"].to_list(), guest.touched())
            self.assertEqual(sums["count"].to_list(), [2] * len(guest.touched()))

    def test_counters_and_epochs_are_data_frames(self) -> None:
        with Touch(200, 2) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            pages = pandas.DataFrame(consumer.heat().pages()).set_index(["addr", "kind"])
            self.assertEqual(int(pages["count"].sum()), consumer.heat().total)
            epochs = pandas.DataFrame(consumer.epochs())
            self.assertEqual(tuple(epochs.columns), vmmload.Epoch._fields)
            self.assertGreaterEqual(int(epochs["touched"].sum()), 100)
