"""Writes a recording with so many random events, laid out as `vmmload record` does, to measure how long a report takes.

    python3 tests/scripts/synthetic_recording.py DIR EVENTS [PAGES]

Needs pyarrow and numpy. PAGES is how many pages the program touches, 1,000,000 (3.8 GiB) by default: a tenth of them
often, the others now and then. Each epoch has 20,000 events.
"""

import json
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PID = 4711
IN_EPOCH = 20_000
ROWS_OF_A_FILE = 4_000_000
INTERVAL_NS = 100_000_000
START_NS = 1_000_000_000_000
HEAP, ELSEWHERE = 0x5555_0000_0000, 0x7FFF_0000_0000
TIME = pa.timestamp("ns", tz="UTC")
#: Columns with large, changing numbers, which a dictionary would not make smaller.
DELTAS = ["time", "time_ns", "addr"]


def table(columns: Dict[str, Any], rows: int) -> pa.Table:
    def same(value: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), rows)

    common = {
        "recording": same("synthetic", pa.string()),
        "pid": same(PID, pa.uint32()),
        "program": same(0, pa.uint32()),
    }
    return pa.table({**common, **columns})


def put(directory: Path, name: str, part: int, content: pa.Table) -> None:
    place = directory / name / f"process={PID}-0"
    place.mkdir(parents=True, exist_ok=True)
    dictionary = [column for column in content.column_names if column not in DELTAS]
    encoding = {name: "DELTA_BINARY_PACKED" for name in content.column_names if name in DELTAS}
    pq.write_table(
        content,
        place / f"part-{part:06}.parquet",
        compression="zstd",
        row_group_size=1 << 20,
        use_dictionary=dictionary,
        column_encoding=encoding,
    )


def events(first: int, rows: int, pages: int, random: np.random.Generator) -> pa.Table:
    epoch = (np.arange(first, first + rows) // IN_EPOCH + 1).astype(np.uint32)
    time_ns = START_NS + (epoch.astype(np.int64) - 1) * INTERVAL_NS
    hot = random.random(rows) < 0.9
    page = np.where(hot, random.integers(0, pages // 10, rows), random.integers(0, pages, rows))
    # Within an epoch in the order of addresses, in runs, about as the harvester finds them.
    page = np.sort(page.reshape(-1, 500), axis=1).reshape(-1)
    half = pages // 2
    addr = np.where(page < half, HEAP + page * 4096, ELSEWHERE + (page - half) * 4096)
    kind = pa.DictionaryArray.from_arrays(
        pa.array((random.random(rows) < 0.05).astype(np.int32) * 2),
        pa.array(["write", "read", "kernel"]),
    )
    one = pa.array(np.ones(rows, np.int64))
    columns = {
        "time": pa.array(time_ns).cast(TIME),
        "time_ns": pa.array(time_ns),
        "epoch": pa.array(epoch),
        "addr": pa.array(addr.astype(np.int64)),
        "kind": kind.cast(pa.string()),
        "method": pa.repeat(pa.scalar("dirty-ring"), rows),
        "count": one,
        "pages": one,
        "bytes": pa.array(np.zeros(rows, np.int64)),
        "mapping": pa.array(np.where(page < half, 1, 2).astype(np.uint32)),
    }
    return table(columns, rows)


def epochs(count: int) -> pa.Table:
    start = START_NS + np.arange(count, dtype=np.int64) * INTERVAL_NS
    small = {
        "ticks": np.ones(count, np.uint32),
        "written": np.full(count, IN_EPOCH, np.uint32),
        "read": np.zeros(count, np.uint32),
        "kernel": np.zeros(count, np.uint32),
        "touched": np.full(count, IN_EPOCH, np.uint32),
        "left_alone": np.zeros(count, np.uint32),
    }
    columns = {
        "time": pa.array(start).cast(TIME),
        "epoch": pa.array(np.arange(1, count + 1, dtype=np.uint32)),
        "start_ns": pa.array(start),
        "end_ns": pa.array(start + INTERVAL_NS),
        "cost_ns": pa.array(np.full(count, INTERVAL_NS // 10, np.int64)),
        **{name: pa.array(values) for name, values in small.items()},
        "lost": pa.array(np.zeros(count, np.int64)),
    }
    return table(columns, count)


def mappings(pages: int) -> pa.Table:
    bytes_of_each = pages // 2 * 4096
    starts = [HEAP, ELSEWHERE]
    columns = {
        "time": pa.array([0, 0], TIME),
        "mapping": pa.array([1, 2], pa.uint32()),
        "start": pa.array(starts, pa.int64()),
        "end": pa.array([start + bytes_of_each for start in starts], pa.int64()),
        "offset": pa.array([0, 0], pa.int64()),
        "permissions": pa.array(["rw-p", "rw-p"]),
        "name": pa.array(["[heap]", ""]),
        "class": pa.array(["heap", "anonymous"]),
        "thread": pa.array([0, 0], pa.uint32()),
        "born": pa.array([1, 1], pa.uint32()),
        "retired": pa.array([0, 0], pa.uint32()),
    }
    return table(columns, 2)


def manifest(rows: int) -> Dict[str, Any]:
    return {
        "format": "vmmload-recording 1.0",
        "recording": "synthetic",
        "vmmload": "0.1.0",
        "what": f"{rows:,} random events",
        "began": "2025-01-01T00:00:00Z",
        "ended": None,
        "end": "unfinished",
        "reason": None,
        "status": None,
        "resolution": None,
        "rows": rows,
        "lost": 0,
        "processes": 1,
        "missed": 0,
        "machine": {"host": "", "kernel": "", "processor": "", "processors": 1, "memory": 0},
        "recorder": None,
    }


def main() -> None:
    directory, rows = Path(sys.argv[1]), int(sys.argv[2].replace(",", ""))
    pages = int(sys.argv[3].replace(",", "")) if len(sys.argv) > 3 else 1_000_000
    if rows % IN_EPOCH or pages % 20:
        sys.exit(f"EVENTS must be a multiple of {IN_EPOCH:,}, and PAGES of 20")
    directory.mkdir(parents=True)
    random = np.random.default_rng(1)
    for part, first in enumerate(range(0, rows, ROWS_OF_A_FILE)):
        some = min(ROWS_OF_A_FILE, rows - first)
        put(directory, "events", part, events(first, some, pages, random))
    put(directory, "epochs", 0, epochs(rows // IN_EPOCH))
    put(directory, "mappings", 0, mappings(pages))
    (directory / "recording.json").write_text(json.dumps(manifest(rows), indent=2))


if __name__ == "__main__":
    main()
