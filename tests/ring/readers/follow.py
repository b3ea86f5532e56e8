"""A reader that checks every record, as src/follow.rs does: follow.py FILE"""

import sys

import numpy as np
import vmmload


def check(events: np.ndarray, before: int, after: int) -> None:
    position = events["mapping"].astype(np.uint64)
    mixed = position * np.uint64(0x9E3779B97F4A7C15)
    epoch = (position >> np.uint64(20)) + np.uint64(1)
    expected = {
        "addr": np.uint64(0x7F0000000000) + (mixed >> np.uint64(54)) % np.uint64(1024) * np.uint64(4096),
        "time_ns": epoch * np.uint64(1000003),
        "epoch": epoch,
        "count": position % np.uint64(8) + np.uint64(1),
        "bytes": mixed >> np.uint64(32),
        "kind": position % np.uint64(3),
        "method": position % np.uint64(3),
    }
    for name, values in expected.items():
        assert (events[name] == values).all(), f"torn or misplaced: {name}"
    assert (position[1:] > position[:-1]).all(), "out of order"
    assert before <= position[0] and position[-1] < after, "from elsewhere"


def main(file: str) -> None:
    with vmmload.open(file) as consumer:
        start = consumer.position
        buffer = np.empty(65536, vmmload.EVENT_DTYPE)
        read = 0
        print("attached", flush=True)
        while True:
            before = consumer.position
            events = consumer.read(into=buffer).events
            read += len(events)
            if len(events):
                check(events, before, consumer.position)
            elif consumer.wait() == vmmload.Woken.OVER:
                break
        print(f"start {start} read {read} lost {consumer.lost} published {consumer.info.published}")


main(sys.argv[1])
