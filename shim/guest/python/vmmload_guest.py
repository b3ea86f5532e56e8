"""Lets a program tell vmmload, from inside, what it is doing: which phase begins, what a piece of memory is called, and
where one epoch ends and the next begins.

    import vmmload_guest

    table = bytearray(1 << 20)
    vmmload_guest.name_region(table, "table")
    with vmmload_guest.phase("fill"):
        table[:] = bytes(1 << 20)

One file without dependencies: install it or copy it. Whether the program runs in vmmload is asked once, when the module
is imported, by a system call that every kernel refuses and only vmmload answers. Where it does not, each function is one
that does nothing with its arguments, and costs what calling an empty function costs. The answer stays over ``os.fork``.

Inside, each call is a system call, for which other threads are not held up. Marks and epochs belong to the whole process,
whichever thread makes them. Names are ``str``, which is encoded as a path is, or ``bytes``: 1 to 255 bytes without NUL.
What vmmload refuses, and only that, is an ``OSError``: a program that never runs in vmmload never sees one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterator, TypeVar, Union, cast

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    from typing_extensions import Buffer

    class Array(Protocol):
        """A numpy array, which types know as a buffer since Python 3.12 only."""

        @property
        def __array_interface__(self) -> dict[str, Any]: ...

__all__ = ["epoch", "inside", "mark", "name_region", "phase"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Name = Union[str, bytes]

# The system call that vmmload answers, and its functions.
_OPTION = 0x564D4D4C
_ASK, _MARK, _NAME, _EPOCH = range(4)


def _system_call() -> Callable[..., int] | None:
    """The C library's prctl(2), by which a program talks to vmmload; None where there cannot be a vmmload."""
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError):
        # A Python without ctypes, or linked statically, cannot ask.
        return None
    prctl.restype = ctypes.c_int
    # The last two are an address or a name.
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    return cast("Callable[..., int]", prctl)


_prctl = _system_call()
_inside = _prctl is not None and _prctl(_OPTION, _ASK, None, 0, None) > 0


def _or_else(nothing: Callable[..., object]) -> Callable[[_Function], _Function]:
    """Outside of vmmload, the decorated function is `nothing`, with the same documentation."""

    def choose(function: _Function) -> _Function:
        return function if _inside else cast(_Function, functools.update_wrapper(nothing, function))

    return choose


def _call(function: int, *arguments: object) -> int:
    import ctypes

    assert _prctl is not None
    result = _prctl(_OPTION, function, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _bytes_of(name: _Name) -> bytes:
    encoded = os.fsencode(name)
    if b"\0" in encoded:
        raise ValueError("a name cannot have a NUL in it")
    return encoded


@functools.lru_cache(maxsize=None)
def _buffer_type() -> type[Any]:
    """CPython's Py_buffer, which is the same in every version."""
    from ctypes import Structure, c_char_p, c_int, c_ssize_t, c_void_p

    class PyBuffer(Structure):
        _fields_ = [
            ("buf", c_void_p),
            ("obj", c_void_p),
            ("len", c_ssize_t),
            ("itemsize", c_ssize_t),
            ("readonly", c_int),
            ("ndim", c_int),
            ("format", c_char_p),
            ("shape", c_void_p),
            ("strides", c_void_p),
            ("suboffsets", c_void_p),
            ("internal", c_void_p),
        ]

    return PyBuffer


@contextlib.contextmanager
def _exported(memory: Buffer | Array) -> Iterator[tuple[int, int]]:
    """Address and size of a buffer, which stays where it is meanwhile. A memoryview would not tell the address, and what
    ctypes has for that is for writable memory only."""
    from ctypes import byref, py_object, pythonapi

    # Contiguous, in either order of its dimensions.
    any_contiguous = 0x98
    view = _buffer_type()()
    pythonapi.PyObject_GetBuffer(py_object(memory), byref(view), any_contiguous)
    try:
        yield view.buf or 0, view.len
    finally:
        pythonapi.PyBuffer_Release(byref(view))


def inside() -> bool:
    """Whether this program runs in vmmload."""
    return _inside


@_or_else(lambda phase: None)
def mark(phase: _Name) -> None:
    """Says that a phase of the program begins now, and with it that the one before has ended.

    Readers get the mark with the time and the number of the epoch that it falls into. The epoch goes on: to have every
    write before the mark in other epochs than every write behind it, end the epoch right after it.
    """
    import ctypes

    _call(_MARK, ctypes.cast(ctypes.c_char_p(_bytes_of(phase)), ctypes.c_void_p), 0, None)


@_or_else(lambda memory, name, length=None: None)
def name_region(memory: Buffer | Array | int, name: _Name, length: int | None = None) -> None:
    """Gives a name to memory, for readers to show instead of that of the file or the heap that it is a part of.

    ``memory`` is anything with a buffer that is contiguous, such as a ``bytearray``, an ``mmap``, a ``memoryview`` or a
    numpy array, or the address of ``length`` bytes. The name holds for the whole pages, of 4,096 bytes, that any of the
    bytes lie in. A later name of a page replaces an earlier one, and what is unmapped loses it: it is the memory that
    has the name, not the object.

    Inside, ``OSError`` with ``EINVAL``: nothing lies there, as in an empty buffer; with ``ENOMEM``: it is not mapped.
    ``BufferError``, or of numpy ``ValueError``: the buffer has gaps.
    """
    encoded = _bytes_of(name)
    if isinstance(memory, int):
        if length is None:
            raise TypeError("an address needs a length")
        _call(_NAME, memory, length, encoded)
        return
    if length is not None:
        raise TypeError("only an address takes a length; use memoryview(...)[:length]")
    with _exported(memory) as (address, size):
        _call(_NAME, address, size, encoded)


@_or_else(lambda: 0)
def epoch() -> int:
    """Ends the epoch now, whatever is left of its interval: what is written from here on counts for the next one.

    All that this thread has written before is published when it returns. (Of other threads that run at that moment, the
    last two pages that each has written to may be in the later epoch.)

    Returns the number of the epoch that begins, which is above 0. 0: not in vmmload, or vmmload refuses.
    """
    assert _prctl is not None
    return max(0, _prctl(_OPTION, _EPOCH, None, 0, None))


class phase(contextlib.ContextDecorator):
    """A phase that begins where the block begins and ends where it ends, however it ends; also a decorator.

    It is two marks: ``NAME``, then ``end of NAME``. So they need no memory of what was going on before, and phases of
    several threads or tasks may overlap; a reader that wants to nest them finds both ends. Up to 248 bytes of name.
    """

    __slots__ = ("_name",)

    def __init__(self, name: _Name) -> None:
        self._name = name

    @_or_else(lambda self: self)
    def __enter__(self) -> phase:
        if len(_bytes_of(self._name)) > 255 - len(b"end of "):
            import errno

            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        mark(self._name)
        return self

    @_or_else(lambda self, kind, error, traceback: None)
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        mark(b"end of " + _bytes_of(self._name))
