"""One reader of one process's segment."""

import ctypes
import os
import time
from functools import partial
from types import TracebackType
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Type, Union

import numpy as np
import numpy.typing as npt

from . import _native
from ._errors import Closed, raise_last
from ._events import EPOCH_DTYPE, EVENT_DTYPE, Batch, Epoch, Event, epochs_of
from ._facts import Child, Info, Mappings, Mark, ProcessId, Status, info_of, mark_of, process_of
from ._follow import SLICE, Follow
from ._handle import Handle, address_of
from ._heat import HeatMap, HeatView
from ._native import lib
from ._words import State, Woken

#: Events that :meth:`Consumer.read` gives at most, unless told otherwise: as many as vmmload's ring holds.
MOST = 65536


class Written(NamedTuple):
    """The answer of :meth:`Consumer.pages_written_since`."""

    #: Addresses of the pages, in ascending order.
    pages: "npt.NDArray[np.uint64]"
    #: Ask for what was written since this epoch the next time.
    epoch: int
    #: System calls so far of which it is not known what the kernel wrote for them.
    unknown_calls: int


class Consumer:
    """Follows one process, with a cursor of its own, beginning with the oldest record that is still there.

    It never slows, blocks or disturbs the process, and goes on working after the process has ended. Made by
    :func:`attach` and :func:`open`. Use it in a ``with`` statement, or close it, or forget it.

    *Threads*: every method may be called from any thread. *Fork*: the child has a consumer of its own, whose cursor goes on
    from where the parent's was.
    """

    def __init__(self, handle: Handle) -> None:
        self._owned: Optional[Handle] = handle
        self._scratch: Optional["npt.NDArray[np.void]"] = None
        self._lost = 0
        self._waiter: Optional[Callable[[float], Woken]] = None
        self._process = info_of(self._read_info()).process

    @property
    def _handle(self) -> Handle:
        if self._owned is None:
            raise Closed(f"the consumer of process {self._process.pid} is closed; attach again")
        return self._owned

    def close(self) -> None:
        """Ends its use. The segment stays mapped until the last array of :meth:`heat_view` is gone."""
        self._owned = self._waiter = None

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._owned is None else str(self.status)
        return f"<vmmload.Consumer: process {self.pid}, {state}>"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def process(self) -> ProcessId:
        """The process, whatever becomes of its pid."""
        return self._process

    # Events

    def read(self, max: int = MOST, *, into: Optional["npt.NDArray[np.void]"] = None) -> Batch:
        """The next events, at most ``max``, without waiting; none when there is nothing new.

        The events are the caller's own copy. To save that, give an array ``into`` which they are read (of
        :data:`EVENT_DTYPE`, one-dimensional, contiguous): then ``Batch.events`` is its front part, good until the array
        is used again.
        """
        if into is not None:
            return self._fill(into)
        if max < 1:
            raise ValueError(f"no events can be read into room for {max}")
        # Taken while it is used: a signal handler may read, too.
        scratch, self._scratch = self._scratch, None
        if scratch is None or len(scratch) < max:
            scratch = np.empty(max, EVENT_DTYPE)
        batch = self._fill(scratch[:max])
        self._scratch = scratch
        return Batch(batch.events.copy(), batch.lost)

    def _fill(self, events: "npt.NDArray[np.void]") -> Batch:
        if events.dtype != EVENT_DTYPE or events.ndim != 1 or not events.flags.c_contiguous:
            raise TypeError("events are read into a contiguous array of one dimension and EVENT_DTYPE")
        if not events.flags.writeable:
            raise ValueError("events cannot be read into a read-only array")
        lost = ctypes.c_uint64()
        read = self._ask(lib.vmmload_read, address_of(events), len(events), ctypes.byref(lost))
        self._lost += lost.value
        return Batch(events[:read], lost.value)

    @property
    def lost(self) -> int:
        """Records that this consumer was told it lost, so far: also those lost while iterating."""
        return self._lost

    def batches(self, max: int = MOST) -> Follow[Batch]:
        """Batches of at most ``max`` events until the process ends: ``for`` and ``async for`` both work."""

        def poll() -> Optional[Batch]:
            return self.read(max) or None

        return Follow(poll, self._sleeper())

    def __iter__(self) -> Iterator[Event]:
        """One event at a time until the process ends, sleeping while there is none. :attr:`lost` tells what was
        lost."""
        for batch in self.batches():
            yield from batch

    @property
    def position(self) -> int:
        """Position of the record that comes next: grows by one for each delivered or lost one."""
        return self._ask(lib.vmmload_position)

    def skip_to_now(self) -> None:
        """Moves behind the newest record, epoch and mark: only what comes from now on is delivered."""
        self._call(lib.vmmload_skip_to_now)

    def rewind(self) -> None:
        """Moves back to the oldest record, epoch and mark that are still there."""
        self._call(lib.vmmload_rewind)

    # Epochs

    def epochs(self) -> "npt.NDArray[np.void]":
        """The finished epochs that are still there, oldest first, whatever was read: a structured array of
        :data:`EPOCH_DTYPE`."""
        found = np.empty(0, EPOCH_DTYPE)
        there = self._ask(lib.vmmload_epochs, None, 0)
        while there > len(found):
            found = np.empty(there + 16, EPOCH_DTYPE)
            there = self._ask(lib.vmmload_epochs, address_of(found), len(found))
        return found[:there].copy()

    def next_epoch(self) -> Optional[Epoch]:
        """The next finished epoch, all of whose events can be read; None when no other has ended yet."""
        found = np.empty(1, EPOCH_DTYPE)
        there = self._ask(lib.vmmload_next_epoch, address_of(found))
        return next(epochs_of(found)) if there else None

    def follow_epochs(self) -> Follow[Epoch]:
        """Each epoch when it has ended, until the process ends: ``for`` and ``async for`` both work."""
        return Follow(self.next_epoch, self._sleeper())

    # Marks

    def marks(self) -> List[Mark]:
        """The marks that the program has made, oldest first, whatever was read: as many as are remembered."""
        capacity = 64
        while True:
            found = (_native.Mark * capacity)()
            there = self._ask(lib.vmmload_marks, found, capacity)
            if there <= capacity:
                return [mark_of(mark) for mark in found[:there]]
            capacity = there + 16

    def next_mark(self) -> Optional[Mark]:
        """The next mark; None when the program has made no other yet. :attr:`marks_lost` tells what was lost before it."""
        found = _native.Mark()
        there = self._ask(lib.vmmload_next_mark, ctypes.byref(found))
        return mark_of(found) if there else None

    @property
    def marks_lost(self) -> int:
        """How many marks :meth:`next_mark` has passed over so far, because they were overwritten before it came to them, or
        had no memory to be written to."""
        return self._ask(lib.vmmload_marks_lost)

    def follow_marks(self) -> Follow[Mark]:
        """Each mark soon after it was made, until the process ends: ``for`` and ``async for`` both work."""
        return Follow(self.next_mark, self._sleeper())

    # Counters

    def heat(self) -> HeatMap:
        """A snapshot of the counters of every page since the process started."""
        return HeatMap.of_view(self.heat_view(), self._process)

    def heat_view(self) -> HeatView:
        """The counters as they are in shared memory, without a copy; they change while they are looked at."""
        return HeatView(self._handle)

    def pages_written_since(self, epoch: int) -> Written:
        """The pages that were, or may have been, written in or after an epoch, by the program or for it.

        Raises :class:`NotTracked`, :class:`TableFull` or :class:`FutureEpoch` where that is not known.
        """
        if not 0 <= epoch < 2**32:
            raise ValueError(f"{epoch} is no number of an epoch")
        written, pages = _native.Written(), np.empty(1024, np.uint64)
        function = lib.vmmload_pages_written_since
        while True:
            there: int = self._call(function, epoch, address_of(pages), len(pages), ctypes.byref(written))
            if there < 0:
                raise_last(there, missing=written.missing)
            if there <= len(pages):
                return Written(pages[:there].copy(), written.epoch, written.unknown_calls)
            pages = np.empty(there + there // 8, np.uint64)

    # The process

    def mappings(self) -> Mappings:
        """The process's mappings as they are now. Raises :class:`Busy` in the rare case that they change all the
        time."""
        pointer: Optional[int] = self._call(lib.vmmload_mappings_copy)
        if pointer is None:
            raise_last(-_native.E_BUSY)
        return Mappings(pointer)

    def has_changed(self, mappings: Mappings) -> bool:
        """Whether the mappings have changed since this copy was made. Costs next to nothing."""
        return self._ask(lib.vmmload_mappings_stale, mappings.pointer) != 0

    @property
    def info(self) -> Info:
        """The segment's facts and counts as they are now."""
        return info_of(self._read_info())

    def _read_info(self) -> _native.Info:
        native = _native.Info()
        self._ask(lib.vmmload_get_info, ctypes.byref(native), ctypes.sizeof(native))
        return native

    @property
    def status(self) -> Status:
        """Whether the process runs, or how it has ended. Events may still be waiting after the end."""
        detail = ctypes.c_int()
        return Status(State(self._ask(lib.vmmload_status, ctypes.byref(detail))), detail.value)

    def children(self) -> List[Child]:
        """The wrapped processes that this one has forked, oldest first: as many as are remembered."""
        capacity = 64
        while True:
            found = (_native.Child * capacity)()
            there = self._ask(lib.vmmload_children, found, capacity)
            if there <= capacity:
                return [Child(process_of(child.process), child.time_ns) for child in found[:there]]
            capacity = there + 16

    # Waiting

    def wait(self, timeout: Optional[float] = None) -> Woken:
        """Sleeps until an epoch or the process ends, or a child or mark comes, for at most ``timeout`` seconds. Other threads
        go on meanwhile, and Ctrl-C works.

        What was published since the last call counts, whether it was read or not: read until there is nothing more after
        each :attr:`Woken.NEWS`. :attr:`Woken.OVER` says that nothing will follow what is there.
        """
        waiter = self._waiter = self._waiter or self._sleeper()
        return wait_in_slices(waiter, timeout)

    def _sleeper(self) -> Callable[[float], Woken]:
        """Something that sleeps for so many seconds, until there is news since it last returned.

        It has a consumer of its own, so that it neither holds up those who read, nor takes news from each other.
        """
        pointer = self._call(lib.vmmload_clone)
        if not pointer:
            raise MemoryError
        return partial(_sleep, Handle(pointer, lib.vmmload_detach))

    # Calls

    def _call(self, function: Any, *arguments: Any) -> Any:
        # The local variable keeps the consumer alive until the function returns, whoever closes it meanwhile.
        handle = self._handle
        with handle.lock:
            return function(handle.pointer, *arguments)

    def _ask(self, function: Any, *arguments: Any) -> int:
        code: int = self._call(function, *arguments)
        if code < 0:
            raise_last(code)
        return code


def _sleep(handle: Handle, seconds: float) -> Woken:
    code: int = lib.vmmload_wait(handle.pointer, int(seconds * 1e9))
    if code < 0:
        raise_last(code)
    return Woken(code)


def wait_in_slices(sleep: Callable[[float], Woken], timeout: Optional[float]) -> Woken:
    """Sleeps in pieces between which the interpreter can act on signals."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = SLICE if end is None else max(0.0, end - time.monotonic())
        woken = sleep(min(left, SLICE))
        if woken is not Woken.TIMED_OUT or (end is not None and left <= SLICE):
            return woken


def _consumer(function: Any, what: Any) -> Consumer:
    pointer = ctypes.c_void_p()
    code: int = function(what, ctypes.byref(pointer))
    if code < 0 or pointer.value is None:
        raise_last(code)
    return Consumer(Handle(pointer.value, lib.vmmload_detach))


def attach(pid: int) -> Consumer:
    """A consumer of a process that ``vmmload run`` started, or that such a process did.

    Raises :class:`NotFound`, :class:`Denied`, :class:`Foreign`, :class:`NotReady`, :class:`Incompatible`,
    :class:`Damaged` or :class:`Unreadable`.
    """
    if not 0 <= pid < 2**32:
        raise ValueError(f"{pid} is no process id")
    return _consumer(lib.vmmload_attach, ctypes.c_uint32(pid))


def open(path: Union[str, bytes, "os.PathLike[str]"]) -> Consumer:
    """A consumer of a segment's file, such as ``/dev/shm/vmmload-4711`` or a copy of it. Raises what :func:`attach`
    does."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a path has no NUL in it")
    return _consumer(lib.vmmload_open, ctypes.c_char_p(name))


def list() -> List[int]:
    """The pids of this user's processes that run in vmmload now, in ascending order."""
    capacity = 64
    while True:
        pids = (ctypes.c_uint32 * capacity)()
        there: int = lib.vmmload_list(pids, capacity)
        if there <= capacity:
            return [int(pid) for pid in pids[:there]]
        capacity = there + 16
