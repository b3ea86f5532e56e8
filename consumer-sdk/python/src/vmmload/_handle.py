"""What owns the C library's objects, and lets go of them when nothing uses them any more."""

import ctypes
import itertools
import os
import threading
import weakref
from typing import Any, Callable, List, Optional, Tuple

import numpy as np
import numpy.typing as npt


class Handle:
    """A pointer of the C library.

    Every call under way and every view of the segment's memory holds a reference to its handle. What it points to is
    given back with the last of them, however early the consumer itself is closed or forgotten.
    """

    def __init__(self, pointer: int, give_back: Callable[[int], Any]) -> None:
        #: What the C functions take.
        self.pointer = pointer
        #: Held while the cursor moves: one thread at a time.
        self.lock = threading.RLock()
        # Not at the end of the interpreter, when threads may still wait in the library: the kernel cleans up.
        weakref.finalize(self, give_back, pointer).atexit = False
        self.number = next(_numbers)
        _handles.add(self)


_numbers = itertools.count()
_handles: "weakref.WeakSet[Handle]" = weakref.WeakSet()
_held: List[Handle] = []


def _all_handles() -> List[Handle]:
    while True:
        try:
            return list(_handles)
        except RuntimeError:
            # Another thread has made one meanwhile.
            continue


def _before_fork() -> None:
    """Lets no thread be in the middle of a read: the child has that thread's half-moved cursor, but not the thread."""
    # In the order in which they were made: who holds a session's lock may wait for that of a new member.
    _held.extend(sorted(_all_handles(), key=lambda handle: handle.number))
    for handle in _held:
        handle.lock.acquire()


def _after_fork() -> None:
    for handle in _held:
        handle.lock.release()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class _Lent:
    """Memory of a handle, as numpy asks for it. Arrays made of it hold it, and so the handle."""

    def __init__(self, handle: Handle, address: int, shape: Tuple[int, ...]) -> None:
        self.handle = handle
        self.__array_interface__ = {"version": 3, "data": (address, True), "shape": shape, "typestr": "<u8"}


def words_at(handle: Handle, address: Optional[int], shape: Tuple[int, ...]) -> "npt.NDArray[np.uint64]":
    """A read-only array over words that the C library lends."""
    if not address or 0 in shape:
        return np.empty(shape, np.uint64)
    return np.asarray(_Lent(handle, address, shape))


def address_of(array: "npt.NDArray[Any]") -> ctypes.c_void_p:
    """Where a C function is to write."""
    return ctypes.c_void_p(array.ctypes.data)
