"""All processes of one ``vmmload run``, as they come and go."""

import ctypes
from functools import partial
from types import TracebackType
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple, Type

from . import _native
from ._consumer import MOST, Consumer, wait_in_slices
from ._errors import Closed, raise_last
from ._events import Batch
from ._facts import ProcessId, Status, process_of
from ._follow import Follow
from ._handle import Handle
from ._native import lib
from ._words import State, Woken


class Change(NamedTuple):
    """A process that came or went."""

    #: Which. A process comes once for each program that it executes.
    process: ProcessId
    #: How it ended; :attr:`State.RUNNING` for one that came.
    status: Status

    @property
    def came(self) -> bool:
        """Whether it came: it is a member now, and its records are there from its start on."""
        return self.status.running


class Session:
    """The first process of a ``vmmload run``, its children, theirs, and the programs that they execute: of the run
    that process ``pid`` belongs to.

    Raises what :func:`attach` does. Each member is a :class:`Consumer`, which may be kept for longer than the session.
    Methods may be called from any thread, and wait for each other; so may ``refresh``, for a tenth of a second, where a
    wait in another thread was cancelled.
    """

    def __init__(self, pid: int) -> None:
        self._owned: Optional[Handle] = None
        self._members: List[Consumer] = []
        self._went: List[bool] = []
        if not 0 <= pid < 2**32:
            raise ValueError(f"{pid} is no process id")
        pointer = ctypes.c_void_p()
        code: int = lib.vmmload_session_of(pid, ctypes.byref(pointer))
        if code < 0 or pointer.value is None:
            raise_last(code)
        self._owned = Handle(pointer.value, lib.vmmload_session_close)
        first = _native.Process()
        self._call(lib.vmmload_session_first, ctypes.byref(first))
        self._process = process_of(first)
        self._add_members()

    @property
    def process(self) -> ProcessId:
        """The first process, whether it is still there or not."""
        return self._process

    def close(self) -> None:
        """Ends its use. Members stay good."""
        self._owned = None
        self._members, self._went = [], []

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<vmmload.Session: of process {self._process.pid}, {len(self._members)} members>"

    @property
    def members(self) -> Tuple[Consumer, ...]:
        """The processes that run, and those whose end the last refresh has found, in the order in which they were
        found."""
        return tuple(self._members)

    @property
    def missed(self) -> int:
        """Processes, or programs that they executed, that came and went between two refreshes, so that nothing of them
        could be read; as far as that is known."""
        return self._call(lib.vmmload_session_missed)

    def refresh(self) -> List[Change]:
        """Attaches to the processes that came, reports those that have ended, and lets go of those that the refresh before
        had reported: read what they left before."""
        with self._handle.lock:
            self._members = [member for member, went in zip(self._members, self._went) if not went]
            self._went = [False] * len(self._members)
            changes = list(self._changes(self._call(lib.vmmload_session_refresh)))
            self._note_ends([change.process for change in changes if not change.came])
            self._add_members()
        return changes

    def _changes(self, number: int) -> Iterator[Change]:
        for index in range(number):
            native = _native.Change()
            if self._call(lib.vmmload_session_change, index, ctypes.byref(native)):
                yield Change(process_of(native.process), Status(State(native.status), native.detail))

    def _note_ends(self, processes: List[ProcessId]) -> None:
        """Ends are reported in the order of the members. One process can be two of them: before and after an execve."""
        ends = iter(processes)
        ended = next(ends, None)
        for index, member in enumerate(self._members):
            if member.process == ended:
                self._went[index] = True
                ended = next(ends, None)

    def _add_members(self) -> None:
        """New ones are behind those that were there before."""
        for index in range(len(self._members), self._call(lib.vmmload_session_count)):
            handle = self._handle
            lent: Optional[int] = lib.vmmload_session_member(handle.pointer, index)
            pointer: Optional[int] = lib.vmmload_clone(lent)
            if pointer is not None:
                self._members.append(Consumer(Handle(pointer, lib.vmmload_detach)))
                self._went.append(False)

    def wait(self, timeout: Optional[float] = None) -> Woken:
        """Sleeps until one of the processes publishes something, a process comes or goes, or ``timeout`` seconds are over.
        :attr:`Woken.OVER` when no process is left. Call :meth:`refresh` after each :attr:`Woken.NEWS`."""
        return wait_in_slices(self._sleep, timeout)

    def _sleep(self, seconds: float) -> Woken:
        return Woken(self._call(lib.vmmload_session_wait, int(seconds * 1e9)))

    def batches(
        self, max: int = MOST, on_change: Optional[Callable[[Change], object]] = None
    ) -> Follow[Tuple[Consumer, Batch]]:
        """Batches of events with the process each is of, until no process is left: ``for`` and ``async for`` both work.

        Refreshes by itself, and tells what came and went to ``on_change``.
        """
        return Follow(self._turns(max, on_change).__next__, self._sleep)

    def _turns(
        self, max: int, on_change: Optional[Callable[[Change], object]]
    ) -> Iterator[Optional[Tuple[Consumer, Batch]]]:
        """Looks who came and went, then reads all that each member has; None behind each such turn, without end."""
        while True:
            for change in self.refresh():
                if on_change is not None:
                    on_change(change)
            for member in self.members:
                read = max
                while read == max:
                    batch = member.read(max)
                    read = len(batch)
                    if batch:
                        yield member, batch
            yield None

    @property
    def _handle(self) -> Handle:
        if self._owned is None:
            raise Closed("the session is closed; open another one")
        return self._owned

    def _call(self, function: Any, *arguments: Any) -> int:
        handle = self._handle
        with handle.lock:
            code: int = function(handle.pointer, *arguments)
        if code < 0:
            raise_last(code)
        return code
