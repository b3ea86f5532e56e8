"""What owns the C library's objects, and lets go of them when nothing uses them any more."""

import ctypes
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

    def __init__(self, pointer: int, give_back: Optional[Callable[[int], Any]], owner: Optional["Handle"] = None):
        #: What the C functions take.
        self.pointer = pointer
        #: What the memory belongs to, where this handle is only lent.
        self.owner = owner
        #: Held while the cursor moves: one thread at a time.
        self.lock = threading.RLock()
        if give_back is not None:
            # Not at the end of the interpreter, when threads may still wait in the library: the kernel cleans up.
            weakref.finalize(self, give_back, pointer).atexit = False
        with _registry_lock:
            _handles.add(self)


_registry_lock = threading.RLock()
_handles: "weakref.WeakSet[Handle]" = weakref.WeakSet()
_held: List[Handle] = []


def _before_fork() -> None:
    """Lets no thread be in the middle of a read: the child has that thread's half-moved cursor, but not the thread."""
    _registry_lock.acquire()
    _held.extend(_handles)
    for handle in _held:
        handle.lock.acquire()


def _after_fork() -> None:
    for handle in _held:
        handle.lock.release()
    _held.clear()
    _registry_lock.release()


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
