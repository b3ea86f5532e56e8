"""Going on until the process ends: with ``for``, sleeping, and with ``async for``, without holding up the loop."""

import asyncio
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import AsyncIterator, Callable, Generic, Iterator, Optional, TypeVar

from ._words import Woken

T = TypeVar("T")

#: Seconds that a wait stays in the library at a time: Ctrl-C and the end of the program need no longer.
SLICE = 0.1


class Follow(Generic[T]):
    """What comes, until the process has ended and everything is read. Works with ``for`` and with ``async for``.

    While there is nothing, ``for`` sleeps. With ``async for`` a thread of its own sleeps, a tenth of a second at a
    time, and the event loop goes on; cancelling works at once and loses nothing: what follows comes when the same
    object, or a new one, is asked again.
    """

    def __init__(self, poll: Callable[[], Optional[T]], wait: Callable[[float], Woken]) -> None:
        self._poll = poll
        self._wait = wait
        self._over = False
        self._sleeper: Optional[ThreadPoolExecutor] = None
        self._asleep: "Optional[Future[Woken]]" = None

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._poll()
            if item is not None:
                yield item
            elif self._over:
                return
            else:
                self._over = self._wait(SLICE) is Woken.OVER

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        # Always once through the loop: a program that writes without end must not hold up everything else.
        await asyncio.sleep(0)
        while True:
            item = self._poll()
            if item is not None:
                return item
            if self._over:
                raise StopAsyncIteration
            self._over = await self._news() is Woken.OVER

    async def _news(self) -> Woken:
        if self._asleep is None or self._asleep.done():
            # A sleep that a cancelled task has left behind is waited for, not repeated.
            self._asleep = self._executor().submit(self._wait, SLICE)
        return await asyncio.wrap_future(self._asleep)

    def _executor(self) -> ThreadPoolExecutor:
        # Not the loop's own, whose few threads others need, too.
        if self._sleeper is None:
            self._sleeper = ThreadPoolExecutor(1, thread_name_prefix="vmmload-wait")
            weakref.finalize(self, self._sleeper.shutdown, wait=False)
        return self._sleeper
