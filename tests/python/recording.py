"""Recordings that a test makes, and their tables in three engines.

The harness (tests/tests/observe_record.rs) names vmmload-observe in VMMLOAD_OBSERVE_BIN.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import duckdb
import pandas
import polars
from support import VMMLOAD, patience, wait_until

OBSERVE = os.environ["VMMLOAD_OBSERVE_BIN"]
ENVIRONMENT = {**os.environ, "VMMLOAD_LAUNCHER": VMMLOAD}
Row = Tuple[Any, ...]


class Recorder:
    """`vmmload record`, with a process group of its own."""

    def __init__(self, place: Path, *words: str, **variables: str) -> None:
        self.place = place
        self.child = subprocess.Popen(
            [OBSERVE, "record", "-o", str(place), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**ENVIRONMENT, **variables},
        )

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe:
                pipe.close()

    def wait_for_rows(self, table: str) -> None:
        wait_until(f"row in {table}", lambda: any((self.place / table).glob("*/*.parquet")))

    def line(self) -> str:
        assert self.child.stdout
        return self.child.stdout.readline().rstrip("\n")

    def send(self, text: str) -> None:
        assert self.child.stdin
        self.child.stdin.write(text)
        self.child.stdin.flush()

    def end(self) -> Tuple[int, str]:
        """Exit status and messages, once it has ended by itself."""
        # Its input stays open: a command that reads is not to end of that.
        status = self.child.wait(patience(60))
        assert self.child.stderr
        return status, self.child.stderr.read()


def record(place: Path, *command: str, options: Sequence[str] = (), **variables: str) -> Tuple[int, str]:
    """Records a command from its beginning to its end."""
    with Recorder(place, *options, "--", *command, **variables) as recorder:
        return recorder.end()


def manifest(place: Path) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads((place / "recording.json").read_text())
    return found


def pattern(place: Path, table: str) -> str:
    return f"{place}/{table}/**/*.parquet"


def rows(place: Path, table: str, columns: str) -> List[Row]:
    """What DuckDB reads."""
    found: List[Row] = duckdb.sql(f"select {columns} from read_parquet('{pattern(place, table)}')").fetchall()
    return found


def one(place: Path, table: str, columns: str) -> Row:
    (found,) = rows(place, table, columns)
    return found


def in_each_engine(place: Path, table: str, columns: Sequence[str]) -> Iterator[Tuple[str, "Counter[Row]"]]:
    """The same rows as each engine reads them."""
    quoted = ", ".join(f'"{column}"' for column in columns)
    yield "duckdb", Counter(rows(place, table, quoted))
    by_polars = polars.scan_parquet(pattern(place, table)).select(columns).collect()
    yield "polars", Counter(by_polars.iter_rows())
    by_pandas = pandas.read_parquet(place / table)[list(columns)]
    yield "pandas", Counter(by_pandas.astype(object).itertuples(index=False, name=None))


class Dump:
    """`vmmload dump --follow`, to compare with."""

    def __init__(self, pid: int) -> None:
        self.child = subprocess.Popen(
            [VMMLOAD, "dump", str(pid), "--follow", "--format", "json"], stdout=subprocess.PIPE, text=True
        )

    def lines(self, kind: str) -> List[Dict[str, Any]]:
        """Once the process has ended."""
        if not hasattr(self, "all"):
            output, _ = self.child.communicate(timeout=patience(60))
            self.all = [json.loads(line) for line in output.splitlines()]
        return [line for line in self.all if line["type"] == kind]


def segment_gone(pid: Optional[int]) -> None:
    """Removes what a process that was killed has left."""
    Path(f"/dev/shm/vmmload-{pid}").unlink(missing_ok=True)
