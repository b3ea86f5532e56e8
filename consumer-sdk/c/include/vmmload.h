// Reads, while it happens, which memory pages a process started with `vmmload run` touches.
//
// A consumer reads what vmmload publishes about one process. It may be made by one thread and used by another, and
// several threads may each have their own. Functions that take it as const may run at the same time in several
// threads; each of the others needs it alone. With each function stands which kind it is.
//
// No function prints or exits, and errno has no meaning here: what fails returns a negative code,
// -VMMLOAD_E_..., and vmmload_last_error has the text. NULL is allowed wherever a pointer is asked for, and does what
// its comment says. Anything else must be a pointer to as much memory as the comment says. Structs have no padding, and
// their reserved fields are 0.
//
// The first attach installs a handler for SIGBUS, unless the program says not to: see vmmload_leave_sigbus_alone.
//
// Made by `VMMLOAD_BLESS=1 cargo test -p vmmload-consumer-c --test header` from the sources: do not edit.

#ifndef VMMLOAD_H
#define VMMLOAD_H

#include <stddef.h>
#include <stdint.h>

/// One reader of what is published about one process, with a cursor of its own.
typedef struct vmmload_consumer vmmload_consumer;

/// An argument is NULL that must not be, or makes no sense.
#define VMMLOAD_E_ARGUMENT 1

/// There is no such process in vmmload, or no such file.
#define VMMLOAD_E_NOT_FOUND 2

/// The segment cannot be opened or mapped, for a reason that the text has.
#define VMMLOAD_E_OPEN 3

/// The file is not one that only the user in question can have written, so it is not trusted.
#define VMMLOAD_E_FOREIGN 4

/// The segment is being made: try again in a moment.
#define VMMLOAD_E_NOT_READY 5

/// The file is no segment.
#define VMMLOAD_E_MAGIC 6

/// The segment is of another major version than this library.
#define VMMLOAD_E_VERSION 7

/// The segment contradicts itself: it is damaged.
#define VMMLOAD_E_LAYOUT 8

/// The process was started with `--track none`, so nobody watches what it writes.
#define VMMLOAD_E_NOT_TRACKED 9

/// Events are missing from the heat table, for want of room: what was written cannot be told.
#define VMMLOAD_E_TABLE_FULL 10

/// The epoch has not ended yet.
#define VMMLOAD_E_FUTURE 11

/// The process changed its mappings too often to be copied: try again.
#define VMMLOAD_E_BUSY 12

/// This process has as many segments attached as one can.
#define VMMLOAD_E_TOO_MANY 13

/// Something else, which a later library may have a number for.
#define VMMLOAD_E_OTHER 14

/// This user may not open the segment: only the one who started the process, and root, may, unless it is shared
/// (vmmload run --ring-mode, --ring-group).
#define VMMLOAD_E_DENIED 15

/// In the rights of a mapping: it may be read.
#define VMMLOAD_PROT_READ 1

/// It may be written.
#define VMMLOAD_PROT_WRITE 2

/// It may be executed.
#define VMMLOAD_PROT_EXEC 4

/// Stores are visible to other processes that map the same object.
#define VMMLOAD_PROT_SHARED 8

/// Class of a mapping: private memory without a file.
#define VMMLOAD_CLASS_ANONYMOUS 0

/// A file; the name is its path.
#define VMMLOAD_CLASS_FILE 1

/// What brk(2) moves the end of.
#define VMMLOAD_CLASS_HEAP 2

/// The stack of the first thread.
#define VMMLOAD_CLASS_STACK 3

/// The stack of another thread.
#define VMMLOAD_CLASS_THREAD_STACK 4

/// Memory without a file in the file system that several processes can map.
#define VMMLOAD_CLASS_SHARED 5

/// A device.
#define VMMLOAD_CLASS_DEVICE 6

/// Pages of the kernel's own, such as [vdso].
#define VMMLOAD_CLASS_KERNEL 7

/// Room for the name in vmmload_mark_record: at most 1,020 bytes of it, and NULs behind them.
#define VMMLOAD_MARK_ROOM 1024

/// What a change is: the process is a member now; its records are there from its start on. A process comes once for
/// each program that it executes.
#define VMMLOAD_CAME 1

/// What a change is: the process has ended, or executes another program. It is still a member, so that what is left can
/// be read, until the next refresh.
#define VMMLOAD_WENT 2

/// The number of this interface: the shared library is libvmmload_consumer.so.1.
#define VMMLOAD_ABI_MAJOR 1

/// Kind of an event: the program stored to the page.
#define VMMLOAD_KIND_WRITE 0

/// Kind of an event: the program loaded from the page and was not seen to store to it.
#define VMMLOAD_KIND_READ 1

/// Kind of an event: the kernel filled the page for the program, as read(2) does.
#define VMMLOAD_KIND_KERNEL 2

/// How an event was seen: an entry of a virtual processor's dirty ring.
#define VMMLOAD_METHOD_DIRTY_RING 0

/// How an event was seen: an accessed bit in the page tables.
#define VMMLOAD_METHOD_ACCESSED_BIT 1

/// How an event was seen: the system call that filled the page.
#define VMMLOAD_METHOD_RELAY 2

/// The process runs.
#define VMMLOAD_RUNNING 0

/// The process exited; the detail is its status, 0 to 255.
#define VMMLOAD_EXITED 1

/// A signal killed the process; the detail is its number.
#define VMMLOAD_SIGNALED 2

/// The process executes another program, in vmmload, too, and goes on with a new segment of the same name: attach again.
#define VMMLOAD_REPLACED 3

/// The process executes another program, which is not watched.
#define VMMLOAD_NATIVE 4

/// The process is gone without having said so, as after SIGKILL. The last epoch may be missing.
#define VMMLOAD_DIED 5

/// Somebody made the segment's file shorter. It cannot be read any more.
#define VMMLOAD_TRUNCATED 6

/// There is nothing new.
#define VMMLOAD_TIMED_OUT 0

/// There is something new; vmmload_wait says what that is.
#define VMMLOAD_NEWS 1

/// The process has ended, and there is nothing new: nothing will come any more.
#define VMMLOAD_OVER 2

/// In place of the epoch of a page's last event: it is not watched for stores at present, because it was written in many
/// epochs in a row. Take it for written.
#define VMMLOAD_UNWATCHED UINT32_MAX

/// What is watched: nothing.
#define VMMLOAD_TRACK_NONE 0

/// What is watched: stores.
#define VMMLOAD_TRACK_WRITE 1

/// What is watched: stores and loads.
#define VMMLOAD_TRACK_READWRITE 2

/// What is watched: something that this library does not know.
#define VMMLOAD_TRACK_UNKNOWN UINT32_MAX

/// Index into the counters of vmmload_info: system calls executed on the host with the program's own arguments.
#define VMMLOAD_COUNTER_SYSCALLS_RELAYED 0

/// Index: system calls answered by vmmload itself.
#define VMMLOAD_COUNTER_SYSCALLS_EMULATED 1

/// Index: returns from the VM, for any reason.
#define VMMLOAD_COUNTER_VM_EXITS 2

/// Index: exits because of a page fault.
#define VMMLOAD_COUNTER_PAGE_FAULT_EXITS 3

/// Index: exits because a dirty ring was full.
#define VMMLOAD_COUNTER_RING_FULL_EXITS 4

/// Index: signals handled.
#define VMMLOAD_COUNTER_SIGNALS 5

/// Index: threads started, the first one included.
#define VMMLOAD_COUNTER_THREADS_STARTED 6

/// Index: virtual processors created.
#define VMMLOAD_COUNTER_VCPUS 7

/// Index: intervals by which epochs went on, so that tracking keeps within its limit.
#define VMMLOAD_COUNTER_STRETCHED_TICKS 8

/// Index: bytes that the kernel wrote for the program in system calls.
#define VMMLOAD_COUNTER_KERNEL_BYTES 9

/// Index: system calls of which it is not known what the kernel wrote for them.
#define VMMLOAD_COUNTER_UNKNOWN_CALLS 10

/// Index: system calls, relayed or emulated, for which the VM was not left.
#define VMMLOAD_COUNTER_CALLS_WITHOUT_EXIT 11

/// Number of counters of vmmload_info; those behind the last index above are 0.
#define VMMLOAD_COUNTERS 16

/// Room for the command in vmmload_info: at most 256 bytes of it, and at least one NUL behind them.
#define VMMLOAD_COMMAND_ROOM 264

/// A copy of a process's mappings, ordered by address, and behind them those that had events and are gone.
typedef struct vmmload_mappings vmmload_mappings;

/// All processes of one `vmmload run`: the first one, its children, theirs, and the programs that they execute. Each has
/// a vmmload_consumer, which belongs to the session.
typedef struct vmmload_session vmmload_session;

/// One observation: count accesses to one page, seen in one epoch.
typedef struct vmmload_event {
    /// Address of the 4 KiB page.
    uint64_t addr;
    /// Start of the epoch it was published in, nanoseconds of CLOCK_MONOTONIC.
    uint64_t time_ns;
    /// Number of that epoch.
    uint32_t epoch;
    /// How many events this record stands for.
    uint32_t count;
    /// Identity of what was mapped there at that time (the id of a vmmload_mapping); 0 where nothing is known to have been.
    uint32_t mapping;
    /// Bytes that the kernel wrote in the page, for VMMLOAD_KIND_KERNEL; 0 for the others, since processors do not tell.
    uint32_t bytes;
    /// VMMLOAD_KIND_WRITE, VMMLOAD_KIND_READ or VMMLOAD_KIND_KERNEL. Records of other kinds count as lost.
    uint8_t kind;
    /// VMMLOAD_METHOD_DIRTY_RING, VMMLOAD_METHOD_ACCESSED_BIT or VMMLOAD_METHOD_RELAY.
    uint8_t method;
    /// 0.
    uint8_t reserved[6];
} vmmload_event;

/// One finished epoch, and what tracking did in it. Times are nanoseconds of CLOCK_MONOTONIC.
typedef struct vmmload_epoch {
    /// When it began.
    uint64_t start_ns;
    /// When it ended. Its events were published by then.
    uint64_t end_ns;
    /// How much of the program's time tracking took, by estimate, nanoseconds.
    uint64_t cost_ns;
    /// Its number. Gaps are epochs that were overwritten before they were read, or that found no memory.
    uint32_t number;
    /// Intervals that it lasted: more than one where tracking would have cost too much, and 0 where the end of the
    /// process cut it short.
    uint32_t ticks;
    /// Pages with a write event in it.
    uint32_t written;
    /// Pages with a read event in it.
    uint32_t read;
    /// Pages with a kernel event in it.
    uint32_t kernel;
    /// Distinct pages with any event in it: the working set.
    uint32_t touched;
    /// Pages that were not watched for stores in it, because they had been written in many epochs in a row.
    uint32_t left_alone;
    /// 0.
    uint32_t reserved;
} vmmload_epoch;

/// A process, whatever becomes of its pid.
typedef struct vmmload_process {
    /// Its pid; 0: no process.
    uint32_t pid;
    /// 0.
    uint32_t reserved;
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    uint64_t start;
} vmmload_process;

/// A process in vmmload that another one has forked.
typedef struct vmmload_child {
    /// Which; a pid or start of 0 is one that the parent could not tell.
    struct vmmload_process process;
    /// When, nanoseconds of CLOCK_MONOTONIC.
    uint64_t time_ns;
} vmmload_child;

/// A segment's facts and counts at one moment. Later versions of the library add to its end: always pass its size, as
/// your compiler knows it.
typedef struct vmmload_info {
    /// When the process was started, nanoseconds of CLOCK_MONOTONIC; the times of records are on that clock.
    uint64_t start_ns;
    /// When it was started, nanoseconds since 1970.
    uint64_t started_ns;
    /// Time since it was started, nanoseconds.
    uint64_t age_ns;
    /// Length of an epoch as it was asked for, nanoseconds.
    uint64_t interval_ns;
    /// Start of an epoch not older than the field epoch, nanoseconds of CLOCK_MONOTONIC.
    uint64_t epoch_ns;
    /// Write events since the start.
    uint64_t written;
    /// Read events since the start.
    uint64_t read;
    /// Kernel events since the start.
    uint64_t kernel;
    /// Distinct pages with at least one event, of those that the heat table has room for.
    uint64_t pages;
    /// Records published, the lost and dropped ones included.
    uint64_t published;
    /// Records for which the ring had no memory.
    uint64_t ring_dropped;
    /// Events missing from the heat table, but not from written, read and kernel.
    uint64_t heat_dropped;
    /// How often the name of a mapping or a mark did not fit.
    uint64_t names_dropped;
    /// What vmmload counts about its own work; the indices are VMMLOAD_COUNTER_SYSCALLS_RELAYED and those that follow it.
    uint64_t counters[VMMLOAD_COUNTERS];
    /// The process.
    struct vmmload_process process;
    /// The process in vmmload that forked it; pid 0: none did.
    struct vmmload_process parent;
    /// The first process of the `vmmload run` that it descends from: itself, if it is that one.
    struct vmmload_process session;
    /// The user it was started by.
    uint32_t uid;
    /// VMMLOAD_TRACK_NONE, VMMLOAD_TRACK_WRITE, VMMLOAD_TRACK_READWRITE or VMMLOAD_TRACK_UNKNOWN.
    uint32_t track;
    /// The current epoch.
    uint32_t epoch;
    /// Per cent of the program's time that tracking may take; epochs go on until it does not take more.
    uint32_t max_overhead;
    /// Entries of each virtual processor's dirty ring.
    uint32_t buffer;
    /// Bytes of the command.
    uint32_t command_len;
    /// 0.
    uint32_t reserved[2];
    /// The command's arguments with a NUL between them, and NULs to the end.
    char command[VMMLOAD_COMMAND_ROOM];
} vmmload_info;

/// The total of one page and kind since the process started.
typedef struct vmmload_heat {
    /// Address of the 4 KiB page.
    uint64_t addr;
    /// Number of events; it counts up to 2^32 - 1.
    uint64_t count;
    /// Epoch of the last one, or later, when the page's contents were given back to the system; VMMLOAD_UNWATCHED while
    /// stores there go unseen, for a page that is written all the time.
    uint32_t epoch;
    /// VMMLOAD_KIND_WRITE, VMMLOAD_KIND_READ or VMMLOAD_KIND_KERNEL.
    uint8_t kind;
    /// 0.
    uint8_t reserved[3];
} vmmload_heat;

/// The heat table itself, in the shared memory: without a copy, and changing while the process runs. Read each word
/// with one load, such as __atomic_load_n(&cell, __ATOMIC_RELAXED), and never write: that memory is read-only.
typedef struct vmmload_heat_view {
    /// Two words for each region of 2 MiB and kind, in the order in which they were first touched:
    /// address >> 21 << 2 | kind, then the last epoch in which any of its pages changed. NULL where used is 0.
    const uint64_t *regions;
    /// 512 words for each of them, one for each page: the number of events in the low 32 bits, and in the high 32 bits
    /// the epoch, as in vmmload_heat. NULL where used is 0.
    const uint64_t *cells;
    /// How many regions there are.
    size_t used;
} vmmload_heat_view;

/// What vmmload_pages_written_since tells besides the pages.
typedef struct vmmload_written {
    /// System calls so far of which it is not known where the kernel wrote for them: where this grows, pages may be
    /// missing. The summary of `vmmload run` names them.
    uint64_t unknown_calls;
    /// With -VMMLOAD_E_TABLE_FULL: how many events are missing from the heat table.
    uint64_t missing;
    /// What to ask with next time, so that nothing is missed in between: the last epoch that had ended.
    uint32_t epoch;
    /// 0.
    uint32_t reserved;
} vmmload_written;

/// One mapping. Later versions of the library add to its end: always pass its size, as your compiler knows it.
typedef struct vmmload_mapping {
    /// First address.
    uint64_t start;
    /// First address behind it.
    uint64_t end;
    /// Offset in the mapped file, bytes.
    uint64_t offset;
    /// File path, [heap] and the like, or "" for anonymous memory; never NULL. Valid until vmmload_mappings_free.
    const char *name;
    /// Identity, never used again for another mapping of the process. What is left of a mapping that was cut, grew or
    /// changed its rights keeps it.
    uint32_t id;
    /// VMMLOAD_PROT_READ and its like, or-ed.
    uint32_t prot;
    /// VMMLOAD_CLASS_ANONYMOUS or one of those that follow it.
    uint32_t mapping_class;
    /// The thread whose stack it is, for VMMLOAD_CLASS_THREAD_STACK; else 0.
    uint32_t thread;
    /// Epoch in which it came.
    uint32_t born;
    /// Epoch in which it went; 0: it is there.
    uint32_t retired;
} vmmload_mapping;

/// Something that the program has said, with vmmload_mark of vmmload_guest.h or its like: what it begins to do, as a rule.
typedef struct vmmload_mark_record {
    /// When, nanoseconds of CLOCK_MONOTONIC. Marks are in the order of their times.
    uint64_t time_ns;
    /// The epoch that was running. Stores before the mark that had not been looked at yet belong to the same one, unless
    /// the program has ended the epoch before.
    uint32_t epoch;
    /// The thread that said it.
    uint32_t thread;
    /// Bytes of the name; 0 where there was no room for it (names_dropped of vmmload_info).
    uint32_t name_len;
    /// 0.
    uint32_t reserved;
    /// The name, UTF-8, and NULs to the end.
    char name[VMMLOAD_MARK_ROOM];
} vmmload_mark_record;

/// What a refresh has found.
typedef struct vmmload_change {
    /// Of which process.
    struct vmmload_process process;
    /// VMMLOAD_CAME or VMMLOAD_WENT.
    int change;
    /// For VMMLOAD_WENT what vmmload_status returns; else VMMLOAD_RUNNING.
    int status;
    /// The detail of that status.
    int detail;
    /// 0.
    uint32_t reserved;
} vmmload_change;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// Attaches to the segment of a process that `vmmload run` started, beginning with the oldest record still there, and
/// puts a new consumer into *out; NULL where that fails.
///
/// The consumer never slows, blocks or disturbs the process. It stays good after the process has ended. Give it back
/// with vmmload_detach.
///
/// Returns 0, -VMMLOAD_E_ARGUMENT, -VMMLOAD_E_NOT_FOUND, -VMMLOAD_E_DENIED, -VMMLOAD_E_OPEN, -VMMLOAD_E_FOREIGN,
/// -VMMLOAD_E_NOT_READY, -VMMLOAD_E_MAGIC, -VMMLOAD_E_VERSION, -VMMLOAD_E_LAYOUT or -VMMLOAD_E_TOO_MANY.
///
/// Threads: any.
int vmmload_attach(uint32_t pid, vmmload_consumer **out);

/// Like vmmload_attach, with the segment's file, such as /dev/shm/vmmload-4711, or a copy of it.
///
/// Returns what vmmload_attach does.
///
/// Threads: any.
int vmmload_open(const char *path, vmmload_consumer **out);

/// Gives a consumer back, and all that it lent. NULL is fine.
///
/// Threads: any, but no other function may be using this consumer.
void vmmload_detach(vmmload_consumer *consumer);

/// Reads records, oldest first, into the array events of so many elements. Never waits.
///
/// Returns how many were read. Fewer than capacity mean that there is nothing new just now. In *lost comes how many
/// records will never be delivered to this consumer, because they were overwritten before it came to them, had no
/// memory to be written to, or are of a kind that this library does not know: exactly those before, between and
/// behind the ones read. lost may be NULL. With NULL for consumer or events it reads nothing.
///
/// Threads: one at a time, and no other function may be using this consumer.
size_t vmmload_read(vmmload_consumer *consumer, struct vmmload_event *events, size_t capacity, uint64_t *lost);

/// Sleeps until there is something new, for timeout_ns nanoseconds at most; without end where that is negative.
///
/// Something new is whatever is left unread of the kinds (records, epochs, children, marks) that this consumer has ever
/// been asked for; and besides, told once, each epoch that has ended and each child or mark that has come. So who reads
/// only totals, or only epochs, sleeps from epoch to epoch.
///
/// Records are announced at the end of their epoch. The process is not slowed by those who sleep. One that was
/// killed is noticed within an epoch, or a second where epochs are longer. A signal handler runs meanwhile, but does not end
/// the sleep.
///
/// Returns VMMLOAD_NEWS, VMMLOAD_TIMED_OUT, VMMLOAD_OVER or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const consumer. What is told once is told to at least one of
/// those that wait with the same consumer: give each a vmmload_clone if each must hear it.
int vmmload_wait(const vmmload_consumer *consumer, int64_t timeout_ns);

/// Position of the record that comes next: grows by one for each that is read or lost. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
uint64_t vmmload_position(const vmmload_consumer *consumer);

/// Moves behind the newest record, epoch, child and mark: only what comes from now on will be read.
///
/// Threads: one at a time, and no other function may be using this consumer.
void vmmload_skip_to_now(vmmload_consumer *consumer);

/// Moves back to the oldest record, epoch, child and mark that are still there.
///
/// Threads: one at a time, and no other function may be using this consumer.
void vmmload_rewind(vmmload_consumer *consumer);

/// Puts the next finished epoch into *out. All its records were published before: who then reads on with vmmload_read
/// will not meet a record of it that was not there already.
///
/// Returns 1, or 0 when no other epoch has ended yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
int vmmload_next_epoch(vmmload_consumer *consumer, struct vmmload_epoch *out);

/// Puts the next process that this one has forked into *out. A child has a segment of its own, once it has begun: attach
/// to its pid, or use a vmmload_session.
///
/// Returns 1, or 0 when there is no other yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
int vmmload_next_child(vmmload_consumer *consumer, struct vmmload_child *out);

/// Copies the processes that this one has forked, oldest first, into the array out of so many elements: those that are still
/// in their ring.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
size_t vmmload_children(const vmmload_consumer *consumer, struct vmmload_child *out, size_t capacity);

/// What has become of the process. Records may still be waiting after it has ended. The exit status or the signal comes
/// in *detail, 0 for everything else; detail may be NULL.
///
/// Returns VMMLOAD_RUNNING, VMMLOAD_EXITED, VMMLOAD_SIGNALED, VMMLOAD_REPLACED, VMMLOAD_NATIVE, VMMLOAD_DIED,
/// VMMLOAD_TRUNCATED, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const consumer.
int vmmload_status(const vmmload_consumer *consumer, int *detail);

/// Pid of the process; 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
uint32_t vmmload_pid(const vmmload_consumer *consumer);

/// Puts the segment's facts and counts as they are now into *out, of size bytes: pass sizeof(vmmload_info).
///
/// Returns 0 or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const consumer.
int vmmload_get_info(const vmmload_consumer *consumer, struct vmmload_info *out, size_t size);

/// Another consumer of the same segment, which goes on from the same place with a cursor of its own: for another
/// thread, for example one that waits. It shares the first one's memory, needs no file to be there, and outlives it: also
/// a member of a session. Give it back with vmmload_detach.
///
/// Returns NULL for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
vmmload_consumer *vmmload_clone(const vmmload_consumer *consumer);

/// Copies the finished epochs that are still in their ring, oldest first, into the array out of so many elements, whatever
/// was read: vmmload_next_epoch goes on where it was.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
size_t vmmload_epochs(const vmmload_consumer *consumer, struct vmmload_epoch *out, size_t capacity);

/// What went wrong in the last function of this library that failed in the calling thread, in English, with
/// what to do about it. UTF-8, ended by a NUL, at most 1,023 bytes; empty where nothing has failed yet. A
/// function that succeeds does not change it.
///
/// The text is valid until a function of this library fails in the same thread, or the thread ends.
///
/// Threads: any; each has a text of its own.
const char *vmmload_last_error(void);

/// The version of this library, such as "0.1.0". Valid for ever.
///
/// Threads: any.
const char *vmmload_version(void);

/// The VMMLOAD_ABI_MAJOR that this library was built with, also the number in the shared library's name. Within
/// one number, functions and constants are added and none is changed or taken away.
///
/// Threads: any.
uint32_t vmmload_abi_major(void);

/// Copies the totals of all touched pages since the process started into the array out of so many elements, in no
/// particular order. A page that was touched in two ways comes twice.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied, and out may be NULL to
/// ask for the number alone. Between two calls there may be more of them. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
size_t vmmload_heat_read(const vmmload_consumer *consumer, struct vmmload_heat *out, size_t capacity);

/// Shows the heat table as it lies in the shared memory, in *out. With NULL for consumer it shows an empty one.
///
/// The pointers are valid until vmmload_detach. They stay the same, but regions come: call again to see those, too.
/// Should somebody cut the segment's file short, which vmmload never does, there are zeroes (see
/// vmmload_leave_sigbus_alone).
///
/// Threads: several at once, with functions that take a const consumer.
void vmmload_heat_words(const vmmload_consumer *consumer, struct vmmload_heat_view *out);

/// Copies the addresses of the pages that the program, or the kernel for it, wrote after an epoch had ended, in ascending
/// order, into the array pages of so many elements; with epoch 0 all since the start. In *out comes with which epoch to ask
/// next time; out may be NULL.
///
/// None is missing: a page that was stored to before the end of the epoch in *out is here, or was in the answer to
/// an earlier question. Not even a late reader, or one that lost records, misses any. Pages whose memory was given back
/// (munmap(2), brk(2), MADV_DONTNEED) are here, too, if they ever had events, since they read as zeroes when they come
/// again; so are pages that are not watched for a while because they are written all the time. Pages of the running epoch
/// may be here already, and then are in the next answer, too. Who copies pages must copy them after this call.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied, and you may ask again
/// with the same epoch. Or -VMMLOAD_E_ARGUMENT, -VMMLOAD_E_NOT_TRACKED, -VMMLOAD_E_TABLE_FULL or -VMMLOAD_E_FUTURE.
///
/// Threads: several at once, with functions that take a const consumer.
int64_t vmmload_pages_written_since(const vmmload_consumer *consumer, uint32_t epoch, uint64_t *pages, size_t capacity, struct vmmload_written *out);

/// Copies the process's mappings. Give the copy back with vmmload_mappings_free; it does not need the consumer.
///
/// Returns NULL for NULL, and in the rare case that the mappings changed during each of many attempts to copy them
/// (VMMLOAD_E_BUSY): use an earlier copy, or ask again.
///
/// Threads: several at once, with functions that take a const consumer.
struct vmmload_mappings *vmmload_mappings_copy(const vmmload_consumer *consumer);

/// Whether the process's mappings have changed since the copy was made: 1 or 0. Costs one load. 1 where either is NULL.
///
/// Threads: several at once, with functions that take a const consumer.
int vmmload_mappings_stale(const vmmload_consumer *consumer, const struct vmmload_mappings *mappings);

/// How many mappings there are in the copy, those that are gone included. 0 for NULL.
///
/// Threads: several at once.
size_t vmmload_mappings_count(const struct vmmload_mappings *mappings);

/// Whether the process has more mappings than its segment has room for: 1 or 0. Those with the highest addresses are missing
/// then.
///
/// Threads: several at once.
int vmmload_mappings_truncated(const struct vmmload_mappings *mappings);

/// Puts a mapping into *out, of size bytes: pass sizeof(vmmload_mapping). Those that are there come first, ordered by
/// address; those that are gone (retired is not 0) follow, the latest last.
///
/// Returns 1, or 0 where there are no more, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
int vmmload_mappings_get(const struct vmmload_mappings *mappings, size_t index, struct vmmload_mapping *out, size_t size);

/// Puts the mapping that contains an address now into *out, of size bytes: pass sizeof(vmmload_mapping).
///
/// Returns 1, or 0 where nothing is mapped, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
int vmmload_mappings_find(const struct vmmload_mappings *mappings, uint64_t addr, struct vmmload_mapping *out, size_t size);

/// Puts the mapping that an event hit, whether it is still there or not, into *out, of size bytes: pass
/// sizeof(vmmload_mapping).
///
/// Returns 1, or 0 where it is not known, or was forgotten, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
int vmmload_mappings_of(const struct vmmload_mappings *mappings, const struct vmmload_event *event, struct vmmload_mapping *out, size_t size);

/// Gives a copy back. NULL is fine.
///
/// Threads: any, but no other function may be using this copy.
void vmmload_mappings_free(struct vmmload_mappings *mappings);

/// Puts the next mark into *out: something that the program says it does.
///
/// Returns 1, or 0 when there is no other yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
int vmmload_next_mark(vmmload_consumer *consumer, struct vmmload_mark_record *out);

/// How many marks vmmload_next_mark has passed over so far, because they were overwritten before it came to them, or had no
/// memory to be written to. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
uint64_t vmmload_marks_lost(const vmmload_consumer *consumer);

/// Copies the marks that are still in their ring, oldest first, into the array out of so many elements, whatever was read:
/// vmmload_next_mark goes on where it was.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
size_t vmmload_marks(const vmmload_consumer *consumer, struct vmmload_mark_record *out, size_t capacity);

/// Copies the pids of this user's processes that run in vmmload now into the array pids of so many elements, in ascending
/// order.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied.
///
/// Threads: any.
size_t vmmload_list(uint32_t *pids, size_t capacity);

/// Makes the library leave the signals of this program as they are; call it before anything is attached.
///
/// Otherwise the first attach installs a handler for SIGBUS, once: should somebody cut a segment's file short while it is
/// read, the reader finds zeroes, and vmmload_status is VMMLOAD_TRUNCATED. Without it, that ends the program. What does
/// not happen in a segment is passed on to the handler that was there before. A handler that is installed later takes the
/// place of this one, and has to call it for what is none of its own. No thread that reads may block SIGBUS.
///
/// Threads: any.
void vmmload_leave_sigbus_alone(void);

/// Opens the session that a process belongs to, with all its processes that are there now, into *out; NULL where that
/// fails. Give it back with vmmload_session_close.
///
/// Returns what vmmload_attach does.
///
/// Threads: any.
int vmmload_session_of(uint32_t pid, struct vmmload_session **out);

/// Attaches to the processes that came, notes those that have ended, and lets go of those that the refresh before had noted:
/// their consumers are detached. Call it now and then, for example whenever vmmload_session_wait returns.
///
/// Returns how many changes there are for vmmload_session_change to show. 0 for NULL.
///
/// Threads: one at a time, and no other function may be using this session or a member.
size_t vmmload_session_refresh(struct vmmload_session *session);

/// Puts one of the changes that the last refresh has found into *out.
///
/// Returns 1, or 0 where there are no more, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const session.
int vmmload_session_change(const struct vmmload_session *session, size_t index, struct vmmload_change *out);

/// How many members there are: processes that run, and those whose end the last refresh has found. 0 for NULL.
///
/// Threads: several at once, with functions that take a const session.
size_t vmmload_session_count(const struct vmmload_session *session);

/// The consumer of a member, in the order in which they were found. NULL where there are no more, and for NULL.
///
/// It belongs to the session: do not detach it. It is valid until the member has gone: until the refresh behind the one
/// that found its end, or vmmload_session_close.
///
/// Threads: one at a time, and no other function may be using this session. Members themselves are consumers like any
/// other: different threads may use different ones.
vmmload_consumer *vmmload_session_member(struct vmmload_session *session, size_t index);

/// Sleeps until one of the processes has something to read, a process came or went, or timeout_ns nanoseconds are over;
/// without end where that is negative. VMMLOAD_OVER means that no process is left.
///
/// Returns VMMLOAD_NEWS, VMMLOAD_TIMED_OUT, VMMLOAD_OVER or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this session or a member.
int vmmload_session_wait(struct vmmload_session *session, int64_t timeout_ns);

/// How many processes came and went between two refreshes, so that nothing of them could be read. Those of which only
/// their parents' ring of children could tell, and whose record there was overwritten, are not among them. 0 for NULL.
///
/// Threads: several at once, with functions that take a const session.
uint64_t vmmload_session_missed(const struct vmmload_session *session);

/// Puts the first process, whether it is still there or not, into *out.
///
/// Returns 0 or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const session.
int vmmload_session_first(const struct vmmload_session *session, struct vmmload_process *out);

/// Gives a session back, with the consumers of its members. NULL is fine.
///
/// Threads: any, but no other function may be using this session or a member.
void vmmload_session_close(struct vmmload_session *session);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VMMLOAD_H */
