"""A reader that was written from consumer-sdk/ABI.md and nothing else, with Python's own modules.

    python3 reader.py FILE

It prints one JSON object with all that the segment says. The words of a mapping are loaded one at a time; on x86-64
that is a load with acquire ordering.
"""

import json
import mmap
import os
import stat
import struct
import sys

HEADER = struct.Struct("<8sQQIIIIQQIIQIIQQIIQIIQQQQQQQIIII256sQQQIIQII")
NAMES = (
    "magic version file_len page_size header_len pid uid writer_start interval_ns track command_len ring_offset "
    "ring_records event_size regions_offset cells_offset heat_pages pages_per_region maps_offset map_entries map_size "
    "strings_offset string_bytes start_monotonic_ns start_realtime_ns parent_pid parent_start epochs_offset "
    "epoch_records epoch_size max_overhead buffer command session_pid session_start links_offset link_records link_size "
    "marks_offset mark_records mark_size"
).split()
CHANGING = {
    "ring_head": 512, "ring_backed": 576, "heat_used": 592, "heat_dropped": 600, "end": 656, "maps_version": 664,
    "maps_state": 672, "strings_used": 688, "epochs_head": 832, "epochs_backed": 840, "links_head": 848,
    "links_backed": 856, "epoch_done": 872, "marks_head": 880, "marks_backed": 888,
}
ALL_ONES = 2**64 - 1


def up(size):
    return (size + 4095) // 4096 * 4096


class Segment:
    def __init__(self, path):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        facts = os.fstat(file)
        assert stat.S_ISREG(facts.st_mode) and not facts.st_mode & 0o022, "others may have written this"
        assert facts.st_uid in (0, os.geteuid()), "not mine"
        assert facts.st_size >= 4096, "not ready"
        self.memory = mmap.mmap(file, facts.st_size, mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(file)
        version = self.word(8)
        self.header = h = dict(zip(NAMES, HEADER.unpack_from(self.memory)))
        assert h["magic"] == b"vmmload\0" and version >> 32 == 1, "not mine to read"
        sizes = {"page_size": 4096, "event_size": 40, "epoch_size": 64, "link_size": 32, "map_size": 56}
        assert all(h[name] == size for name, size in sizes.items())
        assert h["pages_per_region"] == 512 and h["header_len"] >= 896 and h["file_len"] == facts.st_size
        parts = [
            ("ring_offset", 40 * h["ring_records"]), ("epochs_offset", 64 * h["epoch_records"]),
            ("links_offset", 32 * h["link_records"]), ("regions_offset", 16 * h["heat_pages"]),
            ("cells_offset", 4096 * h["heat_pages"]), ("maps_offset", 2 * up(56 * h["map_entries"])),
            ("strings_offset", h["string_bytes"]),
        ]
        if h["mark_records"]:
            assert h["mark_size"] == 32
            parts.append(("marks_offset", 32 * h["mark_records"]))
        end = 4096
        for name, size in parts:
            assert h[name] == end, name
            end += up(size)
        assert h["file_len"] >= end

    def word(self, offset):
        return struct.unpack_from("<Q", self.memory, offset)[0]

    def field(self, name):
        return self.word(CHANGING[name])

    def ring(self, name, size):
        """The records of a ring, as lists of words behind their sequence, and how many were lost."""
        records = self.header[{"ring": "ring", "epochs": "epoch", "links": "link", "marks": "mark"}[name] + "_records"]
        if not records:
            return [], 0
        position = max(0, self.field(name + "_head") - records)
        found, lost = [], 0
        while position < (head := self.field(name + "_head")):
            slot = self.header[name + "_offset"] + position % records * size
            if head - position > records:
                sequence = ALL_ONES
            elif position % records >= self.field(name + "_backed"):
                sequence = 0
            else:
                sequence = self.word(slot)
            words = None
            if sequence == position + 1:
                words = [self.word(slot + 8 * i) for i in range(1, size // 8)]
                sequence = self.word(slot)
            if sequence == position + 1:
                found.append(words)
                position += 1
            elif sequence < position + 1:
                lost, position = lost + 1, position + 1
            else:
                on = max(position + 1, self.field(name + "_head") - records // 2)
                lost, position = lost + on - position, on
        return found, lost

    def heat(self):
        """Address and kind, count and epoch of each page with events."""
        for region in range(min(self.field("heat_used"), self.header["heat_pages"])):
            key = self.word(self.header["regions_offset"] + 16 * region)
            for page in range(512):
                cell = self.word(self.header["cells_offset"] + 4096 * region + 8 * page)
                if cell & 0xFFFFFFFF:
                    yield (key >> 2 << 21) + (page << 12), key & 3, cell & 0xFFFFFFFF, cell >> 32

    def written_since(self, epoch):
        done = self.field("epoch_done")
        pages = {addr for addr, kind, _, last in self.heat() if kind in (0, 2) and last > epoch}
        return sorted(pages), done

    def name(self, offset):
        if not 0 < offset < self.field("strings_used"):
            return ""
        start = self.header["strings_offset"] + offset
        return self.memory[start + 8 : start + 8 + self.word(start)].decode()

    def mappings(self):
        while True:
            version = self.field("maps_version")
            table = self.header["maps_offset"] + version % 2 * up(56 * self.header["map_entries"])
            count = self.word(CHANGING["maps_state"] + version % 2 * 8) & ~(1 << 63)
            entries = [struct.unpack_from("<QQQIIIIIIII", self.memory, table + 56 * i) for i in range(count)]
            if self.field("maps_version") == version:
                return entries


def halves(word):
    return word & 0xFFFFFFFF, word >> 32


def everything(segment):
    events, lost = segment.ring("ring", 40)
    epochs, _ = segment.ring("epochs", 64)
    links, _ = segment.ring("links", 32)
    marks, _ = segment.ring("marks", 32)
    header = segment.header
    return {
        "pid": header["pid"],
        "session": header["session_pid"],
        "command": header["command"][: header["command_len"]].decode(),
        "events": [[w[0] & ~4095, w[0] & 3, w[1], *halves(w[2]), *halves(w[3])] for w in events],
        "lost": lost,
        "epochs": [halves(words[3])[0] for words in epochs],
        "children": [pid for pid, _, _ in links],
        "marks": [[segment.name(halves(w[1])[0]), w[0], halves(w[1])[1], halves(w[2])[0]] for w in marks],
        "heat": [list(cell) for cell in segment.heat()],
        "written": segment.written_since(0)[0],
        "mappings": [[e[0], e[1], segment.name(e[4]), e[5], e[6]] for e in segment.mappings() if not e[9]],
        "end": segment.field("end"),
    }


print(json.dumps(everything(Segment(sys.argv[1]))))
