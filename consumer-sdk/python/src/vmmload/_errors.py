"""What can go wrong, by type. The texts are the C library's and say what to do."""

from typing import Any, Dict, NoReturn, Optional, Type

from . import _native


class Error(Exception):
    """Everything that this package raises of its own.

    ``code`` is the number that the C library gave (``VMMLOAD_E...`` in ``vmmload.h``), 0 where Python itself found
    the fault.
    """

    code: int = 0


class NotFound(Error):
    """There is no such segment: the process is gone, or does not run in vmmload."""


class Denied(Error):
    """This user may not read the segment: it belongs to another one."""


class Foreign(Error):
    """The file may have been made or changed by somebody else, so it is not trusted."""


class NotReady(Error):
    """The segment is still being set up. Try again in a moment."""


class Incompatible(Error):
    """The segment was written by another major version of vmmload."""


class Damaged(Error):
    """The file is no segment, or one that contradicts itself."""


class Unreadable(Error):
    """The kernel refused to open or map the file for another reason, which the text has."""


class NotTracked(Error):
    """The process runs with ``--track none``: nobody looks which pages it writes."""


class TableFull(Error):
    """The table of counters had no room for some pages, so it cannot be told which were written.

    ``missing`` is how many events are missing from it.
    """

    missing: int = 0


class FutureEpoch(Error):
    """The epoch that was asked about has not begun yet."""


class Busy(Error):
    """The table of mappings changed during each attempt to copy it. Try again."""


class TooMany(Error):
    """This process has as many segments attached as one can."""


class Closed(Error, ValueError):
    """The consumer or session was closed before."""


_BY_CODE: Dict[int, Type[Error]] = {
    _native.E_NOT_FOUND: NotFound,
    _native.E_OPEN: Unreadable,
    _native.E_DENIED: Denied,
    _native.E_FOREIGN: Foreign,
    _native.E_NOT_READY: NotReady,
    _native.E_MAGIC: Damaged,
    _native.E_VERSION: Incompatible,
    _native.E_LAYOUT: Damaged,
    _native.E_NOT_TRACKED: NotTracked,
    _native.E_TABLE_FULL: TableFull,
    _native.E_FUTURE: FutureEpoch,
    _native.E_BUSY: Busy,
    _native.E_TOO_MANY: TooMany,
}


def raise_last(code: int, **facts: Any) -> NoReturn:
    """Raises the calling thread's last error, whose negative code a function has returned."""
    text: Optional[bytes] = _native.lib.vmmload_last_error()
    error = _BY_CODE.get(-code, Error)((text or b"").decode("utf-8", "replace"))
    error.code = -code
    for name, value in facts.items():
        setattr(error, name, value)
    raise error
