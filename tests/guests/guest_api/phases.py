"""Does what phases.c does, in Python."""

import mmap
import sys

import vmmload_guest

PAGE = 4096
marks = int(sys.argv[1]) if len(sys.argv) > 1 else 1

table = mmap.mmap(-1, 3 * PAGE, mmap.MAP_PRIVATE)
for _ in range(1, marks):
    vmmload_guest.mark("again and again")
vmmload_guest.mark("load")
vmmload_guest.name_region(memoryview(table)[PAGE // 2 :][:PAGE], "table of \xe4")
table[0] = 1
epoch = vmmload_guest.epoch()
table[PAGE] = 1
following = vmmload_guest.epoch()
vmmload_guest.mark("compute")

inside = vmmload_guest.inside()
address = 0
if inside:
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(table))
print(f"inside {int(inside)}")
print(f"epochs {epoch} {following}")
print(f"table {address:#x}", flush=True)
sys.stdin.read()
