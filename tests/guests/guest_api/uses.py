"""Everything of the module, and what vmmload refuses: natively nothing is. Prints what it has marked and named, as hexadecimal
addresses and names; waits until its standard input ends."""

import ctypes
import errno
import gc
import mmap
import sys
from typing import Any, Callable, List, Optional, Tuple

import vmmload_guest
from vmmload_guest import mark, name_region, phase

INSIDE = vmmload_guest.inside()
PAGE = mmap.PAGESIZE
marked: List[str] = []
named: List[Tuple[int, str]] = []


def refused(code: int, call: Callable[[], Any]) -> None:
    try:
        call()
    except OSError as error:
        assert INSIDE and error.errno == code and error.strerror, error
    else:
        assert not INSIDE


def raises(kinds: Any, call: Callable[[], Any]) -> None:
    """What is wrong with the arguments themselves is not looked for natively."""
    try:
        call()
    except kinds:
        assert INSIDE
    else:
        assert not INSIDE


def marks(*names: str) -> None:
    marked.extend(names)


mark("as a str: \xe4")
mark(b"as bytes")
mark("x" * 255)
marks("as a str: \xe4", "as bytes", "x" * 255)
refused(errno.ENAMETOOLONG, lambda: mark("x" * 256))
refused(errno.EINVAL, lambda: mark(""))
raises(ValueError, lambda: mark("a\0b"))

with phase("outer"):
    with phase("inner") as inner:
        assert isinstance(inner, phase)
    try:
        with phase("failing"):
            raise KeyError
    except KeyError:
        pass
marks("outer", "inner", "end of inner", "failing", "end of failing", "end of outer")


@phase("decorated")
def decorated(number: int) -> int:
    """Its documentation stays."""
    return number + 1


assert decorated(1) == 2 and decorated(2) == 3 and decorated.__doc__ == "Its documentation stays."
marks("decorated", "end of decorated", "decorated", "end of decorated")
with phase("y" * 248):
    marks("y" * 248, "end of " + "y" * 248)
refused(errno.ENAMETOOLONG, phase("y" * 249).__enter__)


def named_buffer(buffer: Any, name: str, address: Optional[int] = None) -> None:
    name_region(buffer, name)
    if address is None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    named.append((address, name))


kept: List[Any] = [bytearray(3 * PAGE), mmap.mmap(-1, 2 * PAGE), mmap.mmap(-1, 2 * PAGE), mmap.mmap(-1, 2 * PAGE)]
named_buffer(kept[0], "a bytearray")
named_buffer(kept[1], "an mmap")
address = ctypes.addressof(ctypes.c_char.from_buffer(kept[2]))
name_region(address, "an address", 2 * PAGE)
name_region(address + PAGE, "an address, named again", length=1)
named += [(address, "an address"), (address + PAGE, "an address, named again")]
named_buffer(memoryview(kept[3])[PAGE:], "a part")
constant = bytes(3 * PAGE)
name_region(constant, "bytes")
try:
    import numpy
except ImportError:
    pass
else:
    arrays: List[Any] = [numpy.zeros((64, 64, 8)), numpy.zeros((64, 64, 8), order="F")]
    for number, array in enumerate(arrays):
        array.flags.writeable = False
        named_buffer(array, f"array {number} of numpy", array.ctypes.data)
    kept += arrays
    # By its own type: mypy sees that it is taken.
    name_region(numpy.zeros(1000), "not kept")
    raises((BufferError, ValueError), lambda: name_region(numpy.zeros(1000)[::2], "with gaps"))
refused(errno.EINVAL, lambda: name_region(b"", "nothing"))
refused(errno.EINVAL, lambda: name_region(address, "nothing", 0))
refused(errno.ENAMETOOLONG, lambda: name_region(constant, "x" * 256))
refused(errno.ENOMEM, lambda: name_region(64 * PAGE, "not mapped", PAGE))
raises(TypeError, lambda: name_region(address, "an address without a length"))
raises(TypeError, lambda: name_region(constant, "bytes with a length", 1))
# The buffers were given back: what is still exported cannot change its size.
gc.collect()
shrinking = bytearray(5000)
name_region(shrinking, "shrinking")
shrinking.clear()

first, second = vmmload_guest.epoch(), vmmload_guest.epoch()
assert 0 < first < second if INSIDE else first == second == 0
for function in (mark, name_region, vmmload_guest.epoch):
    assert function.__doc__ and function.__module__ == "vmmload_guest", function

print(len(marked), len(named) if INSIDE else 0)
if INSIDE:
    for name in marked:
        print(name)
    for address, name in named:
        print(f"{address:x} {name}")
sys.stdout.flush()
sys.stdin.read()
