//! One process's segment: attach, read, ask, detach.

use crate::error::{Failure, code_of};
use crate::pointers::{self, Plain};
use crate::types::{Child, Epoch, Event, Info, status_and_detail, timeout, woken};
use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use sdk::{Batch, Consumer};

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
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_attach(
    pid: u32,
    out: Option<&mut MaybeUninit<Option<Box<Consumer>>>>,
) -> c_int {
    code_of(hand_out(out, || Ok(Consumer::attach(pid)?)))
}

/// Like vmmload_attach, with the segment's file, such as /dev/shm/vmmload-4711, or a copy of it.
///
/// Returns what vmmload_attach does.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_open(
    path: *const c_char,
    out: Option<&mut MaybeUninit<Option<Box<Consumer>>>>,
) -> c_int {
    code_of(hand_out(out, || {
        // SAFETY: the header asks for NULL or a string.
        let path = unsafe { pointers::path(path) }.ok_or_else(|| Failure::null("path"))?;
        Ok(Consumer::open(path)?)
    }))
}

fn hand_out(
    out: Option<&mut MaybeUninit<Option<Box<Consumer>>>>,
    make: impl FnOnce() -> Result<Consumer, Failure>,
) -> Result<c_int, Failure> {
    let out = out.ok_or_else(|| Failure::null("out"))?.write(None);
    *out = Some(Box::new(make()?));
    Ok(0)
}

/// Gives a consumer back, and all that it lent. NULL is fine.
///
/// Threads: any, but no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_detach(consumer: Option<Box<Consumer>>) {
    drop(consumer);
}

/// Reads records, oldest first, into the array events of so many elements. Never waits.
///
/// Returns how many were read. Fewer than capacity mean that there is nothing new just now. In *lost comes how many
/// records will never be delivered to this consumer, because they were overwritten before it came to them, had no
/// memory to be written to, or are of a kind that this library does not know: exactly those before, between and
/// behind the ones read. lost may be NULL. With NULL for consumer or events it reads nothing.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_read(
    consumer: Option<&mut Consumer>,
    events: *mut Event,
    capacity: usize,
    lost: Option<&mut MaybeUninit<u64>>,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` events.
    let slots = unsafe { pointers::array(events, capacity) };
    let batch = consumer.map_or_else(Batch::default, |consumer| read(consumer, slots));
    if let Some(lost) = lost {
        lost.write(batch.lost);
    }
    batch.read
}

/// Reads through a buffer of its own: memory of the caller's may hold no events yet, and what C calls reserved must be
/// zeroes.
fn read(consumer: &mut Consumer, slots: &mut [MaybeUninit<Event>]) -> Batch {
    const STEP: usize = 128;
    let mut buffer = [sdk::Event::default(); STEP];
    let mut all = Batch::default();
    for slots in slots.chunks_mut(STEP) {
        let buffer = &mut buffer[..slots.len()];
        let batch = consumer.read(buffer);
        let read = buffer[..batch.read].iter();
        slots.iter_mut().zip(read).for_each(|(slot, &event)| {
            slot.write(event.into());
        });
        all.read += batch.read;
        all.lost += batch.lost;
        if batch.read < slots.len() {
            break;
        }
    }
    all
}

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
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_wait(consumer: Option<&Consumer>, timeout_ns: i64) -> c_int {
    code_of(
        consumer
            .map(|consumer| woken(consumer.wait(timeout(timeout_ns))))
            .ok_or_else(|| Failure::null("consumer")),
    )
}

/// Position of the record that comes next: grows by one for each that is read or lost. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_position(consumer: Option<&Consumer>) -> u64 {
    consumer.map_or(0, Consumer::position)
}

/// Moves behind the newest record, epoch, child and mark: only what comes from now on will be read.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_skip_to_now(consumer: Option<&mut Consumer>) {
    if let Some(consumer) = consumer {
        consumer.skip_to_now();
    }
}

/// Moves back to the oldest record, epoch, child and mark that are still there.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_rewind(consumer: Option<&mut Consumer>) {
    if let Some(consumer) = consumer {
        consumer.rewind();
    }
}

/// Puts the next finished epoch into *out. All its records were published before: who then reads on with vmmload_read
/// will not meet a record of it that was not there already.
///
/// Returns 1, or 0 when no other epoch has ended yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_next_epoch(
    consumer: Option<&mut Consumer>,
    out: Option<&mut MaybeUninit<Epoch>>,
) -> c_int {
    code_of((|| {
        let consumer = consumer.ok_or_else(|| Failure::null("consumer"))?;
        let out = out.ok_or_else(|| Failure::null("out"))?;
        let epoch = consumer.next_epoch().map(|epoch| out.write(epoch.into()));
        Ok(c_int::from(epoch.is_some()))
    })())
}

/// Puts the next process that this one has forked into *out. A child has a segment of its own, once it has begun: attach
/// to its pid, or use a vmmload_session.
///
/// Returns 1, or 0 when there is no other yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_next_child(
    consumer: Option<&mut Consumer>,
    out: Option<&mut MaybeUninit<Child>>,
) -> c_int {
    code_of((|| {
        let consumer = consumer.ok_or_else(|| Failure::null("consumer"))?;
        let out = out.ok_or_else(|| Failure::null("out"))?;
        let child = consumer.next_child().map(|child| out.write(child.into()));
        Ok(c_int::from(child.is_some()))
    })())
}

/// Copies the processes that this one has forked, oldest first, into the array out of so many elements: those that are still
/// in their ring.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_children(
    consumer: Option<&Consumer>,
    out: *mut Child,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` children.
    let slots = unsafe { pointers::array(out, capacity) };
    let children = consumer.map(Consumer::children).unwrap_or_default();
    pointers::fill(slots, children.into_iter().map(Child::from))
}

/// What has become of the process. Records may still be waiting after it has ended. The exit status or the signal comes
/// in *detail, 0 for everything else; detail may be NULL.
///
/// Returns VMMLOAD_RUNNING, VMMLOAD_EXITED, VMMLOAD_SIGNALED, VMMLOAD_REPLACED, VMMLOAD_NATIVE, VMMLOAD_DIED,
/// VMMLOAD_TRUNCATED, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_status(
    consumer: Option<&Consumer>,
    detail: Option<&mut MaybeUninit<c_int>>,
) -> c_int {
    let found = consumer
        .map(|consumer| status_and_detail(consumer.status()))
        .ok_or_else(|| Failure::null("consumer"));
    if let Some(detail) = detail {
        detail.write(found.map_or(0, |(_, detail)| detail));
    }
    code_of(found.map(|(status, _)| status))
}

/// Pid of the process; 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_pid(consumer: Option<&Consumer>) -> u32 {
    consumer.map_or(0, Consumer::pid)
}

// SAFETY: words, then half as large ones in pairs, then bytes, a multiple of eight: no padding. Its size is checked below.
unsafe impl Plain for Info {}
const _: () = assert!(size_of::<Info>() == 8 * (13 + 16 + 3 * 2) + 4 * 8 + 264);

/// Puts the segment's facts and counts as they are now into *out, of size bytes: pass sizeof(vmmload_info).
///
/// Returns 0 or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_get_info(
    consumer: Option<&Consumer>,
    out: *mut Info,
    size: usize,
) -> c_int {
    code_of((|| {
        let consumer = consumer.ok_or_else(|| Failure::null("consumer"))?;
        let info = Info::new(consumer.id(), &consumer.info());
        // SAFETY: the header asks for NULL or `size` bytes.
        match unsafe { pointers::copy_sized(info, out, size) } {
            true => Ok(0),
            false => Err(Failure::null("out")),
        }
    })())
}
