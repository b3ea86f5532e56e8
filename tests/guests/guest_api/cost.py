"""Times what a mark takes, and an empty call beside it: `key nanoseconds` lines, and in all at the end."""

import os
import statistics
import time
from timeit import Timer

import vmmload_guest


def started_ns() -> int:
    """When this process was started, before Python was: nanoseconds of CLOCK_BOOTTIME."""
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Empty:
    """What a module with an empty function looks like to its callers."""

    @staticmethod
    def mark(phase: str) -> None:
        pass


for key, module in ("mark_ns", vmmload_guest), ("empty_ns", Empty):
    calls = 20 if vmmload_guest.inside() and key == "mark_ns" else 100_000
    timer = Timer("module.mark('a phase')", globals={"module": module})
    print(key, statistics.median(timer.repeat(15, calls)) / calls * 1e9)
print("total_ns", time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started_ns())
