"""Reads a full ring again and again, in batches: laps.py FILE LAPS"""

import sys
import time

import numpy as np
import vmmload

with vmmload.open(sys.argv[1]) as consumer:
    for name, into in ("copy_ns", None), ("batch_ns", np.empty(65536, vmmload.EVENT_DTYPE)):
        read = total = 0
        start = time.thread_time_ns()
        for _ in range(int(sys.argv[2])):
            consumer.rewind()
            while len(events := consumer.read(into=into).events):
                total += int(events["addr"].sum())
                read += len(events)
        print(name, (time.thread_time_ns() - start) / read)
