"""What a segment tells beside its events: the process, its state, its mappings."""

import ctypes
import os
import weakref
from dataclasses import dataclass
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union, overload

from . import _native
from ._events import Event
from ._native import lib
from ._words import Counter, Kind, MappingClass, State, Track

#: Bits of :attr:`Mapping.prot`.
PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SHARED = 1, 2, 4, 8


class ProcessId(NamedTuple):
    """A process, whatever becomes of its pid."""

    #: Its id.
    pid: int
    #: When it started, in clock ticks since boot (field 22 of /proc/PID/stat).
    start: int


class Child(NamedTuple):
    """A process that another one has forked."""

    #: Which; a pid or start of 0 is one that the parent could not tell.
    process: ProcessId
    #: When, CLOCK_MONOTONIC nanoseconds.
    time_ns: int


class Mark(NamedTuple):
    """Something that the program has said: what it begins to do, as a rule."""

    #: What. Empty where there was no room for the name (:attr:`Info.names_dropped`).
    name: str
    #: When, CLOCK_MONOTONIC nanoseconds. Marks are in the order of their times.
    time_ns: int
    #: The epoch that was running. Stores before the mark that had not been looked at yet belong to the same one, unless the
    #: program has ended the epoch before.
    epoch: int
    #: The thread that said it.
    thread: int


@dataclass(frozen=True)
class Status:
    """What has become of a process."""

    state: State
    #: The exit status, or the number of the signal that killed it; else 0.
    detail: int = 0

    @property
    def running(self) -> bool:
        """Whether more may follow."""
        return self.state is State.RUNNING

    @property
    def shell_status(self) -> Optional[int]:
        """What a shell would show: the exit status, or 128 plus the signal; None where neither is known."""
        if self.state is State.EXITED:
            return self.detail
        return 128 + self.detail if self.state is State.SIGNALED else None

    def __str__(self) -> str:
        words = self.state.name.lower()
        return f"{words} {self.detail}" if self.state in (State.EXITED, State.SIGNALED) else words


@dataclass(frozen=True)
class Info:
    """A segment's facts and counts at one moment. Times are nanoseconds."""

    #: The process.
    process: ProcessId
    #: The wrapped process that forked it, if one did.
    parent: Optional[ProcessId]
    #: The first process of its ``vmmload run``.
    session: ProcessId
    #: The user it was started by.
    uid: int
    #: Its arguments, of which the first 256 bytes are known.
    command: Tuple[str, ...]
    #: When it was started, CLOCK_MONOTONIC.
    start_ns: int
    #: When it was started, since 1970.
    started_ns: int
    #: Time since then.
    age_ns: int
    #: Length of an epoch.
    interval_ns: int
    #: Per cent of the program's time that tracking may take; epochs go on until it does not take more.
    max_overhead: int
    #: Entries of each vCPU's dirty ring; 0: no tracking.
    buffer: int
    #: Which accesses are watched; a plain number where this version does not know it.
    track: Union[Track, int]
    #: Current epoch.
    epoch: int
    #: Start of an epoch not older than that, CLOCK_MONOTONIC.
    epoch_ns: int
    #: Events of each kind since the start.
    totals: Dict[Kind, int]
    #: Distinct pages with at least one event.
    pages: int
    #: Records published, the lost and dropped ones included.
    published: int
    #: Records for which the ring had no memory.
    ring_dropped: int
    #: Events missing from the heat table, but not from ``totals``.
    heat_dropped: int
    #: How often the name of a mapping or a mark did not fit.
    names_dropped: int
    #: What vmmload counts about its own work.
    counters: Dict[Counter, int]

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid


def process_of(native: _native.Process) -> ProcessId:
    return ProcessId(native.pid, native.start)


def _track_of(number: int) -> Union[Track, int]:
    try:
        return Track(number)
    except ValueError:
        return number


def info_of(native: _native.Info) -> Info:
    # Not `native.command`, which ends at the first NUL: they stand between the arguments.
    at = ctypes.addressof(native) + _native.Info.command.offset
    command = ctypes.string_at(at, min(native.command_len, _native.Info.command.size))
    return Info(
        process=process_of(native.process),
        parent=process_of(native.parent) if native.parent.pid else None,
        session=process_of(native.session),
        uid=native.uid,
        command=tuple(os.fsdecode(word) for word in command.rstrip(b"\0").split(b"\0")) if command else (),
        start_ns=native.start_ns,
        started_ns=native.started_ns,
        age_ns=native.age_ns,
        interval_ns=native.interval_ns,
        max_overhead=native.max_overhead,
        buffer=native.buffer,
        track=_track_of(native.track),
        epoch=native.epoch,
        epoch_ns=native.epoch_ns,
        totals={Kind.WRITE: native.written, Kind.READ: native.read, Kind.KERNEL: native.kernel},
        pages=native.pages,
        published=native.published,
        ring_dropped=native.ring_dropped,
        heat_dropped=native.heat_dropped,
        names_dropped=native.names_dropped,
        counters={counter: native.counters[counter] for counter in Counter},
    )


def mark_of(native: _native.Mark) -> Mark:
    return Mark(native.name.decode("utf-8", "replace"), native.time_ns, native.epoch, native.thread)


@dataclass(frozen=True)
class Mapping:
    """What the program has, or had, at a range of addresses."""

    #: First address.
    start: int
    #: First address behind it.
    end: int
    #: Offset in the mapped file, bytes.
    offset: int
    #: :data:`PROT_READ` and its like, or-ed.
    prot: int
    #: File path, ``[heap]`` and the like, or empty.
    name: str
    #: Never used again for another mapping of the process; the parts of one that was cut share it.
    id: int
    #: What lies behind it.
    kind: MappingClass
    #: The thread whose stack it is, for :attr:`MappingClass.THREAD_STACK`; else 0.
    thread: int
    #: Epoch in which it came.
    born: int
    #: Epoch in which it went; 0: it is there.
    retired: int

    def __len__(self) -> int:
        """Bytes."""
        return self.end - self.start

    def __contains__(self, addr: int) -> bool:
        return self.start <= addr < self.end

    @property
    def permissions(self) -> str:
        """Permissions as /proc/PID/maps shows them, such as ``rw-p``."""
        flags = zip("rwx", (PROT_READ, PROT_WRITE, PROT_EXEC))
        shown = "".join(letter if self.prot & bit else "-" for letter, bit in flags)
        return shown + ("s" if self.prot & PROT_SHARED else "p")


def _mapping_of(native: _native.Mapping) -> Mapping:
    known = native.mapping_class in MappingClass._value2member_map_
    return Mapping(
        start=native.start,
        end=native.end,
        offset=native.offset,
        prot=native.prot,
        name=(native.name or b"").decode("utf-8", "replace"),
        id=native.id,
        kind=MappingClass(native.mapping_class) if known else MappingClass.ANONYMOUS,
        thread=native.thread,
        born=native.born,
        retired=native.retired,
    )


class Mappings(Sequence[Mapping]):
    """A copy of the table of mappings: those that are there, by address, then those that had events and are
    gone, the latest last."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        weakref.finalize(self, lib.vmmload_mappings_free, pointer).atexit = False
        self._all = tuple(self._listed())

    def _listed(self) -> Iterator[Mapping]:
        for index in range(lib.vmmload_mappings_count(self._pointer)):
            mapping = self._asked(lib.vmmload_mappings_get, ctypes.c_size_t(index))
            if mapping is not None:
                yield mapping

    def _asked(self, function: Any, what: Any) -> Optional[Mapping]:
        native = _native.Mapping()
        found: int = function(self._pointer, what, ctypes.byref(native), ctypes.sizeof(native))
        return _mapping_of(native) if found > 0 else None

    @property
    def pointer(self) -> int:
        """What the C functions take."""
        return self._pointer

    @property
    def truncated(self) -> bool:
        """Whether there was no room for those with the highest addresses."""
        return bool(lib.vmmload_mappings_truncated(self._pointer))

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Mapping: ...

    @overload
    def __getitem__(self, index: slice) -> Tuple[Mapping, ...]: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[Mapping, Tuple[Mapping, ...]]:
        return self._all[index]

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._all)

    def at(self, addr: int) -> Optional[Mapping]:
        """What was mapped at an address when the copy was made."""
        return self._asked(lib.vmmload_mappings_find, ctypes.c_uint64(addr))

    def of(self, event: Event) -> Optional[Mapping]:
        """What an event hit, whether it is still there or not. None where it is not known, or was forgotten."""
        asked = _native.Event(addr=event.addr, epoch=event.epoch, mapping=event.mapping, kind=event.kind)
        return self._asked(lib.vmmload_mappings_of, ctypes.byref(asked))
