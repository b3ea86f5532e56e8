"""Events and epochs: one at a time as named tuples, many at a time as numpy structured arrays."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, NamedTuple, Tuple

import numpy as np
import numpy.typing as npt

from ._words import Kind, Method

#: Bytes of a page; addresses of events are multiples of it.
PAGE_SIZE = 4096

_KINDS: Tuple[Kind, ...] = tuple(Kind)
_METHODS: Tuple[Method, ...] = tuple(Method)


def _layout(itemsize: int, **fields: Tuple[str, int]) -> "np.dtype[np.void]":
    return np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": itemsize,
        }
    )


#: Layout of ``vmmload_event``: the fields of :class:`Event`, in its order.
EVENT_DTYPE: "np.dtype[np.void]" = _layout(
    40,
    addr=("<u8", 0),
    time_ns=("<u8", 8),
    epoch=("<u4", 16),
    count=("<u4", 20),
    mapping=("<u4", 24),
    bytes=("<u4", 28),
    kind=("u1", 32),
    method=("u1", 33),
)

#: Layout of ``vmmload_epoch``: the fields of :class:`Epoch`.
EPOCH_DTYPE: "np.dtype[np.void]" = _layout(
    56,
    number=("<u4", 24),
    start_ns=("<u8", 0),
    end_ns=("<u8", 8),
    cost_ns=("<u8", 16),
    ticks=("<u4", 28),
    written=("<u4", 32),
    read=("<u4", 36),
    kernel=("<u4", 40),
    touched=("<u4", 44),
    left_alone=("<u4", 48),
)


class Event(NamedTuple):
    """One page, touched in one epoch."""

    #: Address of the page, a multiple of 4096.
    addr: int
    #: Start of the epoch, CLOCK_MONOTONIC nanoseconds (``time.monotonic_ns()``).
    time_ns: int
    #: Number of the epoch; they count from 1.
    epoch: int
    #: How often it was seen, at least 1.
    count: int  # type: ignore[assignment]
    #: :attr:`Mapping.id` of what was mapped there; 0: not known.
    mapping: int
    #: Bytes that the kernel wrote in the page, for :attr:`Kind.KERNEL`; else 0.
    bytes: int
    #: Who touched it.
    kind: Kind
    #: What observed it.
    method: Method


class Epoch(NamedTuple):
    """A finished epoch: what was touched in it, and what watching it has cost."""

    #: Its number; they count from 1.
    number: int
    #: Its start, CLOCK_MONOTONIC nanoseconds.
    start_ns: int
    #: Its end, CLOCK_MONOTONIC nanoseconds.
    end_ns: int
    #: Nanoseconds of the program's time that tracking took, by estimate.
    cost_ns: int
    #: Intervals that it lasted.
    ticks: int
    #: Pages with a write event.
    written: int
    #: Pages with a read event.
    read: int
    #: Pages with a kernel event.
    kernel: int
    #: Pages with any event: the working set, in pages of 4 KiB.
    touched: int
    #: Pages that were not watched for stores.
    left_alone: int


def events_of(array: "npt.NDArray[np.void]") -> Iterator[Event]:
    """The elements of an array of :data:`EVENT_DTYPE`."""
    for addr, time_ns, epoch, count, mapping, size, kind, method in array.tolist():
        yield Event(addr, time_ns, epoch, count, mapping, size, _KINDS[kind], _METHODS[method])


def epochs_of(array: "npt.NDArray[np.void]") -> Iterator[Epoch]:
    """The elements of an array of :data:`EPOCH_DTYPE`."""
    return map(Epoch._make, array.tolist())


@dataclass(frozen=True, eq=False)
class Batch:
    """Events that came together, oldest first. Iterating gives an :class:`Event` each."""

    #: Structured array of :data:`EVENT_DTYPE`: ``pandas.DataFrame(batch.events)``.
    events: "npt.NDArray[np.void]"
    #: Records that this consumer will never get, exactly: those overwritten before it came to them. They were
    #: lost before, between or behind these events.
    lost: int

    def __len__(self) -> int:
        return len(self.events)

    def __bool__(self) -> bool:
        """Whether it tells anything: events, or that some were lost."""
        return len(self.events) > 0 or self.lost > 0

    def __iter__(self) -> Iterator[Event]:
        return events_of(self.events)

    def columns(self) -> Dict[str, "npt.NDArray[Any]"]:
        """One contiguous array for each field, copied: ``polars.DataFrame(batch.columns())``."""
        names = self.events.dtype.names or ()
        return {name: np.ascontiguousarray(self.events[name]) for name in names}
