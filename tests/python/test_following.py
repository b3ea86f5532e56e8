"""Waiting for what comes: sleeping, with asyncio, until the process ends or is killed."""

import asyncio
import os
import signal
import threading
import time
from typing import List

import vmmload
from support import TestCase, Touch, patience, wait_until
from vmmload import State, Woken


class Waiting(TestCase):
    def test_a_wait_ends_with_news_in_time_or_with_the_process(self) -> None:
        with Touch(interval="10s") as guest, guest.consumer() as consumer:
            consumer.wait(0)
            begun = time.monotonic()
            self.assertIs(consumer.wait(0.25), Woken.TIMED_OUT)
            self.assertGreaterEqual(time.monotonic() - begun, 0.25)
            threading.Timer(0.1, guest.quit).start()
            self.assertIn(consumer.wait(), (Woken.NEWS, Woken.OVER))
            wait_until("end", lambda: not consumer.status.running)
            wait_until("end of news", lambda: consumer.wait(0) is Woken.OVER)

    def test_sleeping_costs_next_to_nothing(self) -> None:
        with Touch(interval="100ms") as guest, guest.consumer() as consumer:
            threading.Timer(1.5, guest.quit).start()
            begun, used = time.monotonic(), time.process_time()
            for _ in consumer:
                pass
            slept, used = time.monotonic() - begun, time.process_time() - used
            self.assertLess(used, slept / 4, "who waits uses the processor")

    def test_events_of_a_killed_process_are_read_to_the_end(self) -> None:
        with Touch(100) as guest, guest.consumer() as consumer:
            guest.write(consumer)
            threading.Timer(0.2, guest.kill).start()
            events = [event for event in consumer if guest.is_inside(event.addr)]
            self.assertEqual(sorted(event.addr for event in events), guest.touched())
            self.assertIs(consumer.status.state, State.DIED)
            self.assertIsNone(consumer.status.shell_status)

    def test_a_signal_that_ends_the_process_is_told(self) -> None:
        with Touch() as guest, guest.consumer() as consumer:
            os.kill(guest.pid, signal.SIGTERM)
            list(consumer)
            self.assertEqual(consumer.status, vmmload.Status(State.SIGNALED, signal.SIGTERM))
            self.assertEqual(consumer.status.shell_status, 128 + signal.SIGTERM)

    def test_ctrl_c_interrupts_iteration(self) -> None:
        with Touch(interval="10s") as guest, guest.consumer() as consumer:
            me = os.getpid()
            threading.Timer(0.3, lambda: os.kill(me, signal.SIGINT)).start()
            begun = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                for _ in consumer:
                    pass
            self.assertLess(time.monotonic() - begun, patience(5))

    def test_two_followers_of_one_consumer_do_not_keep_each_other_awake(self) -> None:
        with Touch(interval="100ms") as guest, guest.consumer() as consumer:
            # Epochs are read once and then left alone.
            epoch = next(iter(consumer.follow_epochs()))
            self.assertEqual(epoch.number, 1)
            threading.Timer(1, guest.quit).start()
            begun, used = time.monotonic(), time.process_time()
            for _ in consumer.batches():
                pass
            self.assertLess(time.process_time() - used, (time.monotonic() - begun) / 4)


class Asyncio(TestCase):
    def test_batches_come_while_the_loop_does_other_things_and_end_with_the_process(self) -> None:
        async def main(guest: Touch, consumer: vmmload.Consumer) -> List[int]:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.01)
                    ticks += 1

            ticking = asyncio.ensure_future(tick())
            pages: List[int] = []
            async for batch in consumer.batches():
                found = [event.addr for event in batch if guest.is_inside(event.addr)]
                pages += found
                if len(found) and len(pages) == 100:
                    asyncio.get_running_loop().call_later(0.3, guest.quit)
            ticking.cancel()
            self.assertGreater(ticks, 5)
            return pages

        with Touch(100) as guest, guest.consumer() as consumer:
            guest.command("w")
            pages = asyncio.run(asyncio.wait_for(main(guest, consumer), patience(30)))
            self.assertEqual(sorted(pages), guest.touched())

    def test_epochs_can_be_followed_beside_events(self) -> None:
        async def main(guest: Touch, consumer: vmmload.Consumer) -> None:
            async def count() -> int:
                return sum([len(batch) async for batch in consumer.batches()])

            async def touched() -> int:
                return sum([epoch.touched async for epoch in consumer.follow_epochs()])

            asyncio.get_running_loop().call_later(0.5, guest.quit)
            events, pages = await asyncio.wait_for(asyncio.gather(count(), touched()), patience(30))
            self.assertEqual(events, consumer.info.published)
            # A page of two kinds is one page of its epoch.
            self.assertGreaterEqual(events, pages)
            self.assertGreaterEqual(pages, 100)

        with Touch(100) as guest, guest.consumer() as consumer:
            guest.command("w")
            asyncio.run(main(guest, consumer))

    def test_a_cancelled_wait_ends_at_once_and_loses_nothing(self) -> None:
        async def main(guest: Touch, consumer: vmmload.Consumer) -> None:
            batches = consumer.batches()
            first = await batches.__anext__()
            self.assertTrue(first)
            with self.assertRaises(asyncio.TimeoutError):
                # Epochs are long: nothing comes.
                while True:
                    await asyncio.wait_for(batches.__anext__(), 0.3)
            task = asyncio.ensure_future(batches.__anext__())
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.sleep(0)
            self.assertTrue(task.cancelled(), "it waits for the thread that sleeps")
            read = consumer.position
            guest.command("w")
            asyncio.get_running_loop().call_later(0.1, guest.quit)
            rest = [event async for batch in batches for event in batch]
            self.assertEqual(sorted(event.addr for event in rest if guest.is_inside(event.addr)), guest.touched())
            self.assertEqual(consumer.position, read + len(rest))
            self.assertEqual(consumer.lost, 0)

        with Touch(100, interval="2s") as guest, guest.consumer() as consumer:
            asyncio.run(asyncio.wait_for(main(guest, consumer), patience(30)))
