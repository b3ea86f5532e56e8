"""The package says what vmmload.h says: structs, constants, functions."""

import ctypes
import os
import re
import subprocess
import tempfile
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import vmmload
from support import TestCase
from vmmload import _errors, _events, _native

HEADER = Path(os.environ["VMMLOAD_HEADER"])
STRUCTS: Dict[str, List[Tuple[str, int]]] = {
    name: [(field[0], getattr(struct, field[0]).offset) for field in struct._fields_] + [("", ctypes.sizeof(struct))]
    for name, struct in {
        "vmmload_process": _native.Process,
        "vmmload_child": _native.Child,
        "vmmload_mark_record": _native.Mark,
        "vmmload_info": _native.Info,
        "vmmload_mapping": _native.Mapping,
        "vmmload_event": _native.Event,
        "vmmload_heat_view": _native.HeatView,
        "vmmload_written": _native.Written,
        "vmmload_change": _native.Change,
    }.items()
}


def constants() -> Dict[str, int]:
    defined = re.findall(r"^#define VMMLOAD_(\w+) (\d+|UINT32_MAX)$", HEADER.read_text(), re.MULTILINE)
    return {name: 0xFFFF_FFFF if value == "UINT32_MAX" else int(value) for name, value in defined}


class Interface(TestCase):
    def test_structs_lie_in_memory_as_c_has_them(self) -> None:
        layouts = dict(STRUCTS)
        for name, dtype in [("vmmload_event", vmmload.EVENT_DTYPE), ("vmmload_epoch", vmmload.EPOCH_DTYPE)]:
            assert dtype.fields is not None and dtype.names is not None
            layouts[f"struct {name}"] = [(field, dtype.fields[field][1]) for field in dtype.names] + [("", dtype.itemsize)]
        lines = [
            f'printf("%zu\\n", {f"offsetof({struct}, {field})" if field else f"sizeof({struct})"});'
            for struct, fields in layouts.items()
            for field, _ in fields
        ]
        source = f'#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{\n' + "\n".join(lines) + "\n}\n"
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory) / "layouts"
            compiler = [os.environ["VMMLOAD_CC"], "-Wall", "-Werror", "-x", "c", "-", "-o", str(program)]
            subprocess.run(compiler, input=source, text=True, check=True)
            said = subprocess.run([program], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
        expected = [(struct, field, offset) for struct, fields in layouts.items() for field, offset in fields]
        self.assertEqual([(struct, field, int(found)) for (struct, field, _), found in zip(expected, said)], expected)
        self.assertEqual(len(said), len(expected))

    def test_words_have_the_numbers_that_c_has(self) -> None:
        defined = constants()
        families: List[Tuple[str, "type[IntEnum]"]] = [
            ("KIND_", vmmload.Kind),
            ("METHOD_", vmmload.Method),
            ("CLASS_", vmmload.MappingClass),
            ("TRACK_", vmmload.Track),
            ("COUNTER_", vmmload.Counter),
        ]
        for prefix, words in families:
            said = {name[len(prefix) :]: value for name, value in defined.items() if name.startswith(prefix)}
            said.pop("UNKNOWN", None)
            self.assertEqual({word.name: word.value for word in words}, said)
        for word in (*vmmload.State, *vmmload.Woken):
            self.assertEqual(defined[word.name], word.value)
        rights = {name: value for name, value in defined.items() if name.startswith("PROT_")}
        self.assertEqual(rights, {name: getattr(vmmload, name) for name in rights})
        codes = {name: value for name, value in defined.items() if name.startswith("E_")}
        self.assertEqual(codes, {name: getattr(_native, name) for name in codes})
        self.assertEqual(len(set(codes.values())), len(codes), "two of them mean the same")
        without_type = {_native.E_ARGUMENT, _native.E_OTHER}
        self.assertEqual(set(codes.values()) - set(_errors._BY_CODE), without_type)
        self.assertEqual((defined["UNWATCHED"], defined["ABI_MAJOR"]), (vmmload.NOT_WATCHED, vmmload.ABI_MAJOR))

    def test_functions_are_those_of_c(self) -> None:
        declared = set(re.findall(r"^[\w\s*]*\b(vmmload_\w+)\(", HEADER.read_text(), re.MULTILINE))
        self.assertEqual(set(_native._FUNCTIONS) - declared, set())

    def test_package_and_library_are_of_one_version(self) -> None:
        self.assertEqual(metadata.version("vmmload"), vmmload.__version__)

    def test_arrays_of_the_heat_table_are_little_endian_words(self) -> None:
        self.assertEqual(np.dtype("<u8"), np.dtype(np.uint64))
        self.assertEqual(_events.PAGE_SIZE, 4096)
