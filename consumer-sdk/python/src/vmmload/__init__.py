"""Reads, while it happens, which memory pages a program run by ``vmmload run`` touches.

    import vmmload

    with vmmload.attach(4711) as consumer:
        for event in consumer:                      # until the process ends
            print(hex(event.addr), event.kind.name, event.epoch)

Many at a time, as numpy arrays: :meth:`Consumer.read`, :meth:`Consumer.batches` (also with ``async for``). Totals of all
pages: :meth:`Consumer.heat`. What changed since: :meth:`Consumer.pages_written_since`. All processes of a run:
:class:`Session`. Times are nanoseconds of CLOCK_MONOTONIC, the clock of ``time.monotonic_ns()``; timeouts are seconds;
addresses of pages are multiples of 4096.
"""

from ._consumer import MOST, Consumer, Written, attach, list, open
from ._errors import (
    Busy,
    Closed,
    Damaged,
    Denied,
    Error,
    Foreign,
    FutureEpoch,
    Incompatible,
    NotFound,
    NotReady,
    NotTracked,
    TableFull,
    TooMany,
    Unreadable,
)
from ._events import EPOCH_DTYPE, EVENT_DTYPE, PAGE_SIZE, Batch, Epoch, Event
from ._facts import (
    PROT_EXEC,
    PROT_READ,
    PROT_SHARED,
    PROT_WRITE,
    Child,
    Info,
    Mapping,
    Mappings,
    Mark,
    ProcessId,
    Status,
)
from ._follow import Follow
from ._heat import HEAT_DTYPE, NOT_WATCHED, PAGES_PER_REGION, HeatMap, HeatView
from ._native import ABI_MAJOR, lib as _lib
from ._session import Change, Session
from ._words import Counter, Kind, MappingClass, Method, State, Track, Woken

#: Version of the package and of the C library in it.
__version__: str = _lib.vmmload_version().decode()

__all__ = [
    "ABI_MAJOR",
    "EPOCH_DTYPE",
    "EVENT_DTYPE",
    "HEAT_DTYPE",
    "MOST",
    "NOT_WATCHED",
    "PAGES_PER_REGION",
    "PAGE_SIZE",
    "PROT_EXEC",
    "PROT_READ",
    "PROT_SHARED",
    "PROT_WRITE",
    "Batch",
    "Busy",
    "Change",
    "Child",
    "Closed",
    "Consumer",
    "Counter",
    "Damaged",
    "Denied",
    "Epoch",
    "Error",
    "Event",
    "Follow",
    "Foreign",
    "FutureEpoch",
    "HeatMap",
    "HeatView",
    "Incompatible",
    "Info",
    "Kind",
    "Mapping",
    "MappingClass",
    "Mappings",
    "Mark",
    "Method",
    "NotFound",
    "NotReady",
    "NotTracked",
    "ProcessId",
    "Session",
    "State",
    "Status",
    "TableFull",
    "TooMany",
    "Track",
    "Unreadable",
    "Woken",
    "Written",
    "attach",
    "list",
    "open",
]
