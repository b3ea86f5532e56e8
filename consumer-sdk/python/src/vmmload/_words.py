"""The words for what a segment says, with their numbers."""

from enum import IntEnum


class Kind(IntEnum):
    """Who touched a page, and how."""

    #: The program stored to the page.
    WRITE = 0
    #: The program read the page and was not seen to write it (only with ``--track readwrite``).
    READ = 1
    #: The host kernel wrote the page for the program, as read(2) does.
    KERNEL = 2


class Method(IntEnum):
    """What observed an event."""

    #: An entry of a vCPU's dirty ring.
    DIRTY_RING = 0
    #: An accessed bit found set in the guest's page tables.
    ACCESSED_BIT = 1
    #: The relay of a system call that fills memory.
    RELAY = 2


class MappingClass(IntEnum):
    """What lies behind a mapping."""

    #: Private memory without a file.
    ANONYMOUS = 0
    #: A file; the name is its path.
    FILE = 1
    #: What brk(2) moves the end of.
    HEAP = 2
    #: The stack of the first thread.
    STACK = 3
    #: The stack of another thread.
    THREAD_STACK = 4
    #: Memory without a file in the file system that several processes can map.
    SHARED = 5
    #: A device.
    DEVICE = 6
    #: Pages of the kernel's own, such as ``[vdso]``.
    KERNEL = 7


class Track(IntEnum):
    """Which accesses vmmload was asked to watch."""

    #: None: the segment has mappings and counters only.
    NONE = 0
    #: Stores.
    WRITE = 1
    #: Stores and loads.
    READWRITE = 2


class Counter(IntEnum):
    """What vmmload counts about its own work."""

    #: System calls executed on the host with the program's own arguments.
    SYSCALLS_RELAYED = 0
    #: System calls answered by vmmload.
    SYSCALLS_EMULATED = 1
    #: Returns from the VM to vmmload, for any reason.
    VM_EXITS = 2
    #: Exits because of a page fault.
    PAGE_FAULT_EXITS = 3
    #: Exits because a dirty ring was full.
    RING_FULL_EXITS = 4
    #: Signals handled.
    SIGNALS = 5
    #: Threads started, the first one included.
    THREADS_STARTED = 6
    #: Virtual processors created.
    VCPUS = 7
    #: Intervals over which epochs went on, so that tracking takes no more than its share of the time.
    STRETCHED_TICKS = 8
    #: Bytes that the kernel wrote for the program in relayed calls.
    KERNEL_BYTES = 9
    #: Calls of which it is not known what the kernel wrote for them.
    UNKNOWN_CALLS = 10
    #: System calls, relayed or emulated, for which the VM was not left.
    CALLS_WITHOUT_EXIT = 11


class Woken(IntEnum):
    """Why a wait is over."""

    #: The time was over and nothing had happened.
    TIMED_OUT = 0
    #: There may be something new.
    NEWS = 1
    #: The process has ended, or goes on with another program or natively: nothing will follow what is there.
    OVER = 2


class State(IntEnum):
    """What has become of a process."""

    #: It runs.
    RUNNING = 0
    #: It exited.
    EXITED = 1
    #: A signal killed it, and everything it did was published.
    SIGNALED = 2
    #: It executes another program, which is wrapped, too, and has a new segment under the same pid.
    REPLACED = 3
    #: It executes another program, which is not wrapped: the process goes on without a segment.
    NATIVE = 4
    #: It is gone without having said so, as after SIGKILL. The last epoch may be missing.
    DIED = 5
    #: Somebody has cut the segment's file: what was behind the cut cannot be read any more.
    TRUNCATED = 6
