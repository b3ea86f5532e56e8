"""The C library: where it is, and its functions with their types, as in ``vmmload.h``."""

import ctypes
import sys
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Dict, List, Tuple

#: The segment's major version that this package is written for.
ABI_MAJOR = 1

# VMMLOAD_E_...
E_ARGUMENT, E_NOT_FOUND, E_OPEN, E_FOREIGN, E_NOT_READY, E_MAGIC, E_VERSION, E_LAYOUT = range(1, 9)
E_NOT_TRACKED, E_TABLE_FULL, E_FUTURE, E_BUSY, E_TOO_MANY, E_OTHER, E_DENIED = range(9, 16)


class Process(ctypes.Structure):
    """``vmmload_process``"""

    _fields_ = [("pid", c_uint32), ("reserved", c_uint32), ("start", c_uint64)]


class Child(ctypes.Structure):
    """``vmmload_child``"""

    _fields_ = [("process", Process), ("time_ns", c_uint64)]


class Mark(ctypes.Structure):
    """``vmmload_mark_record``"""

    _fields_ = [
        ("time_ns", c_uint64),
        ("epoch", c_uint32),
        ("thread", c_uint32),
        ("name_len", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char * 1024),
    ]


class Info(ctypes.Structure):
    """``vmmload_info``"""

    _fields_ = [
        ("start_ns", c_uint64),
        ("started_ns", c_uint64),
        ("age_ns", c_uint64),
        ("interval_ns", c_uint64),
        ("epoch_ns", c_uint64),
        ("written", c_uint64),
        ("read", c_uint64),
        ("kernel", c_uint64),
        ("pages", c_uint64),
        ("published", c_uint64),
        ("ring_dropped", c_uint64),
        ("heat_dropped", c_uint64),
        ("names_dropped", c_uint64),
        ("counters", c_uint64 * 16),
        ("process", Process),
        ("parent", Process),
        ("session", Process),
        ("uid", c_uint32),
        ("track", c_uint32),
        ("epoch", c_uint32),
        ("max_overhead", c_uint32),
        ("buffer", c_uint32),
        ("command_len", c_uint32),
        ("reserved", c_uint32 * 2),
        ("command", c_char * 264),
    ]


class Mapping(ctypes.Structure):
    """``vmmload_mapping``"""

    _fields_ = [
        ("start", c_uint64),
        ("end", c_uint64),
        ("offset", c_uint64),
        ("name", c_char_p),
        ("id", c_uint32),
        ("prot", c_uint32),
        ("mapping_class", c_uint32),
        ("thread", c_uint32),
        ("born", c_uint32),
        ("retired", c_uint32),
    ]


class Event(ctypes.Structure):
    """``vmmload_event``; many at a time are in a numpy array of the same layout."""

    _fields_ = [
        ("addr", c_uint64),
        ("time_ns", c_uint64),
        ("epoch", c_uint32),
        ("count", c_uint32),
        ("mapping", c_uint32),
        ("bytes", c_uint32),
        ("kind", c_uint8),
        ("method", c_uint8),
        ("reserved", c_uint8 * 6),
    ]


class HeatView(ctypes.Structure):
    """``vmmload_heat_view``"""

    _fields_ = [("regions", c_void_p), ("cells", c_void_p), ("used", c_size_t)]


class Written(ctypes.Structure):
    """``vmmload_written``"""

    _fields_ = [("unknown_calls", c_uint64), ("missing", c_uint64), ("epoch", c_uint32), ("reserved", c_uint32)]


class Change(ctypes.Structure):
    """``vmmload_change``"""

    _fields_ = [
        ("process", Process),
        ("change", c_int),
        ("status", c_int),
        ("detail", c_int),
        ("reserved", c_uint32),
    ]


_CONSUMER = _MAPPINGS = _SESSION = _ARRAY = c_void_p

_FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "vmmload_version": (c_char_p, []),
    "vmmload_abi_major": (c_uint32, []),
    "vmmload_last_error": (c_char_p, []),
    "vmmload_attach": (c_int, [c_uint32, POINTER(_CONSUMER)]),
    "vmmload_open": (c_int, [c_char_p, POINTER(_CONSUMER)]),
    "vmmload_detach": (None, [_CONSUMER]),
    "vmmload_read": (c_size_t, [_CONSUMER, _ARRAY, c_size_t, POINTER(c_uint64)]),
    "vmmload_clone": (_CONSUMER, [_CONSUMER]),
    "vmmload_wait": (c_int, [_CONSUMER, c_int64]),
    "vmmload_position": (c_uint64, [_CONSUMER]),
    "vmmload_skip_to_now": (None, [_CONSUMER]),
    "vmmload_rewind": (None, [_CONSUMER]),
    "vmmload_next_epoch": (c_int, [_CONSUMER, _ARRAY]),
    "vmmload_epochs": (c_size_t, [_CONSUMER, _ARRAY, c_size_t]),
    "vmmload_status": (c_int, [_CONSUMER, POINTER(c_int)]),
    "vmmload_get_info": (c_int, [_CONSUMER, POINTER(Info), c_size_t]),
    "vmmload_heat_words": (None, [_CONSUMER, POINTER(HeatView)]),
    "vmmload_pages_written_since": (c_int64, [_CONSUMER, c_uint32, _ARRAY, c_size_t, POINTER(Written)]),
    "vmmload_mappings_copy": (_MAPPINGS, [_CONSUMER]),
    "vmmload_mappings_stale": (c_int, [_CONSUMER, _MAPPINGS]),
    "vmmload_mappings_truncated": (c_int, [_MAPPINGS]),
    "vmmload_mappings_count": (c_size_t, [_MAPPINGS]),
    "vmmload_mappings_get": (c_int, [_MAPPINGS, c_size_t, POINTER(Mapping), c_size_t]),
    "vmmload_mappings_find": (c_int, [_MAPPINGS, c_uint64, POINTER(Mapping), c_size_t]),
    "vmmload_mappings_of": (c_int, [_MAPPINGS, POINTER(Event), POINTER(Mapping), c_size_t]),
    "vmmload_mappings_free": (None, [_MAPPINGS]),
    "vmmload_list": (c_size_t, [_ARRAY, c_size_t]),
    "vmmload_children": (c_size_t, [_CONSUMER, _ARRAY, c_size_t]),
    "vmmload_next_mark": (c_int, [_CONSUMER, POINTER(Mark)]),
    "vmmload_marks": (c_size_t, [_CONSUMER, _ARRAY, c_size_t]),
    "vmmload_marks_lost": (c_uint64, [_CONSUMER]),
    "vmmload_session_of": (c_int, [c_uint32, POINTER(_SESSION)]),
    "vmmload_session_first": (c_int, [_SESSION, POINTER(Process)]),
    "vmmload_session_refresh": (c_size_t, [_SESSION]),
    "vmmload_session_change": (c_int, [_SESSION, c_size_t, POINTER(Change)]),
    "vmmload_session_count": (c_size_t, [_SESSION]),
    "vmmload_session_member": (_CONSUMER, [_SESSION, c_size_t]),
    "vmmload_session_wait": (c_int, [_SESSION, c_int64]),
    "vmmload_session_missed": (c_uint64, [_SESSION]),
    "vmmload_session_close": (None, [_SESSION]),
}


def _load() -> ctypes.CDLL:
    path = Path(__file__).with_name("libvmmload_consumer.so")
    if sys.byteorder != "little" or ctypes.sizeof(c_void_p) != 8:
        raise ImportError("vmmload is for Linux on x86-64")
    if not path.exists():
        raise ImportError(
            f"{path} is missing: the package was not installed but only found. Install it from a clone of the "
            "repository: pip install ./consumer-sdk/python"
        )
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    found = library.vmmload_abi_major()
    if found != ABI_MAJOR:
        raise ImportError(
            f"{path} reads version {found} of the segment, and this package is for version {ABI_MAJOR}: install both "
            "from the same release"
        )
    return library


#: The loaded library. Calls release the interpreter's lock while they run.
lib = _load()
