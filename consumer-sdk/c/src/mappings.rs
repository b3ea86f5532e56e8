//! What is mapped where in the process.

use crate::error::{Failure, VMMLOAD_E_BUSY, code_of};
use crate::pointers::{self, Plain};
use crate::types::Event;
use core::ffi::{c_char, c_int};
use sdk::Consumer;

/// In the rights of a mapping: it may be read.
pub const VMMLOAD_PROT_READ: u32 = 1;
/// It may be written.
pub const VMMLOAD_PROT_WRITE: u32 = 2;
/// It may be executed.
pub const VMMLOAD_PROT_EXEC: u32 = 4;
/// Stores are visible to other processes that map the same object.
pub const VMMLOAD_PROT_SHARED: u32 = 8;

/// Class of a mapping: private memory without a file.
pub const VMMLOAD_CLASS_ANONYMOUS: u32 = 0;
/// A file; the name is its path.
pub const VMMLOAD_CLASS_FILE: u32 = 1;
/// What brk(2) moves the end of.
pub const VMMLOAD_CLASS_HEAP: u32 = 2;
/// The stack of the first thread.
pub const VMMLOAD_CLASS_STACK: u32 = 3;
/// The stack of another thread.
pub const VMMLOAD_CLASS_THREAD_STACK: u32 = 4;
/// Memory without a file in the file system that several processes can map.
pub const VMMLOAD_CLASS_SHARED: u32 = 5;
/// A device.
pub const VMMLOAD_CLASS_DEVICE: u32 = 6;
/// Pages of the kernel's own, such as [vdso].
pub const VMMLOAD_CLASS_KERNEL: u32 = 7;

const _: () = {
    use sdk::MappingClass as Class;
    assert!(VMMLOAD_PROT_READ == sdk::PROT_READ && VMMLOAD_PROT_WRITE == sdk::PROT_WRITE);
    assert!(VMMLOAD_PROT_EXEC == sdk::PROT_EXEC && VMMLOAD_PROT_SHARED == sdk::PROT_SHARED);
    assert!(
        VMMLOAD_CLASS_ANONYMOUS == Class::Anonymous as u32
            && VMMLOAD_CLASS_FILE == Class::File as u32
    );
    assert!(VMMLOAD_CLASS_HEAP == Class::Heap as u32 && VMMLOAD_CLASS_STACK == Class::Stack as u32);
    assert!(VMMLOAD_CLASS_THREAD_STACK == Class::ThreadStack as u32);
    assert!(
        VMMLOAD_CLASS_SHARED == Class::Shared as u32
            && VMMLOAD_CLASS_DEVICE == Class::Device as u32
    );
    assert!(VMMLOAD_CLASS_KERNEL == Class::Kernel as u32);
};

/// A copy of a process's mappings, ordered by address, and behind them those that had events and are gone.
#[derive(Debug)]
pub struct Mappings {
    /// Each name ends with its only NUL, for C.
    copy: sdk::Mappings,
}

/// One mapping. Later versions of the library add to its end: always pass its size, as your compiler knows it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Offset in the mapped file, bytes.
    pub offset: u64,
    /// File path, [heap] and the like, or "" for anonymous memory; never NULL. Valid until vmmload_mappings_free.
    pub name: *const c_char,
    /// Identity, never used again for another mapping of the process. What is left of a mapping that was cut, grew or
    /// changed its rights keeps it.
    pub id: u32,
    /// VMMLOAD_PROT_READ and its like, or-ed.
    pub prot: u32,
    /// VMMLOAD_CLASS_ANONYMOUS or one of those that follow it.
    pub mapping_class: u32,
    /// The thread whose stack it is, for VMMLOAD_CLASS_THREAD_STACK; else 0.
    pub thread: u32,
    /// Epoch in which it came.
    pub born: u32,
    /// Epoch in which it went; 0: it is there.
    pub retired: u32,
}

// SAFETY: four words and six halves of one: no padding, as its size shows.
unsafe impl Plain for Mapping {}
const _: () = assert!(size_of::<Mapping>() == 4 * 8 + 6 * 4);

impl Mappings {
    fn new(mut copy: sdk::Mappings) -> Self {
        for mapping in copy.entries.iter_mut().chain(&mut copy.retired) {
            let end = mapping.name.find('\0').unwrap_or(mapping.name.len());
            mapping.name.truncate(end);
            mapping.name.push('\0');
        }
        Self { copy }
    }

    /// Like [`sdk::Mappings::of`], for an event that came from C, with numbers that may be anything.
    fn of(&self, event: &Event) -> Option<&sdk::Mapping> {
        let hit = sdk::Event {
            addr: event.addr,
            kind: sdk::Kind::Write,
            method: sdk::Method::DirtyRing,
            time_ns: event.time_ns,
            epoch: event.epoch,
            count: event.count,
            bytes: event.bytes,
            mapping: event.mapping,
        };
        self.copy.of(&hit)
    }

    fn get(&self, index: usize) -> Option<&sdk::Mapping> {
        let behind = index.checked_sub(self.copy.entries.len());
        match behind {
            Some(behind) => self.copy.retired.get(behind),
            None => self.copy.entries.get(index),
        }
    }
}

impl From<&sdk::Mapping> for Mapping {
    fn from(mapping: &sdk::Mapping) -> Self {
        Self {
            start: mapping.start,
            end: mapping.end,
            offset: mapping.offset,
            name: mapping.name.as_ptr().cast(),
            id: mapping.id,
            prot: mapping.prot,
            mapping_class: mapping.class as u32,
            thread: mapping.thread,
            born: mapping.born,
            retired: mapping.retired,
        }
    }
}

/// Copies the process's mappings. Give the copy back with vmmload_mappings_free; it does not need the consumer.
///
/// Returns NULL for NULL, and in the rare case that the mappings changed during each of many attempts to copy them
/// (VMMLOAD_E_BUSY): use an earlier copy, or ask again.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_copy(consumer: Option<&Consumer>) -> Option<Box<Mappings>> {
    let Some(consumer) = consumer else {
        Failure::null("consumer");
        return None;
    };
    let copy = consumer.mappings();
    if copy.is_none() {
        let text = "the process keeps changing its mappings; ask again, or use an earlier copy";
        Failure::new(VMMLOAD_E_BUSY, text);
    }
    copy.map(|copy| Box::new(Mappings::new(copy)))
}

/// Whether the process's mappings have changed since the copy was made: 1 or 0. Costs one load. 1 where either is NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_stale(
    consumer: Option<&Consumer>,
    mappings: Option<&Mappings>,
) -> c_int {
    let now = consumer.map(Consumer::mappings_version);
    let then = mappings.map(|mappings| mappings.copy.version);
    c_int::from(now.is_none() || now != then)
}

/// How many mappings there are in the copy, those that are gone included. 0 for NULL.
///
/// Threads: several at once.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_count(mappings: Option<&Mappings>) -> usize {
    mappings.map_or(0, |mappings| {
        mappings.copy.entries.len() + mappings.copy.retired.len()
    })
}

/// Whether the process has more mappings than its segment has room for: 1 or 0. Those with the highest addresses are missing
/// then.
///
/// Threads: several at once.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_truncated(mappings: Option<&Mappings>) -> c_int {
    mappings.map_or(0, |mappings| c_int::from(mappings.copy.truncated))
}

/// Puts a mapping into *out, of size bytes: pass sizeof(vmmload_mapping). Those that are there come first, ordered by
/// address; those that are gone (retired is not 0) follow, the latest last.
///
/// Returns 1, or 0 where there are no more, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_get(
    mappings: Option<&Mappings>,
    index: usize,
    out: *mut Mapping,
    size: usize,
) -> c_int {
    // SAFETY: the header asks for NULL or `size` bytes.
    unsafe { look_up(mappings, out, size, |mappings| mappings.get(index)) }
}

/// Puts the mapping that contains an address now into *out, of size bytes: pass sizeof(vmmload_mapping).
///
/// Returns 1, or 0 where nothing is mapped, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_find(
    mappings: Option<&Mappings>,
    addr: u64,
    out: *mut Mapping,
    size: usize,
) -> c_int {
    // SAFETY: the header asks for NULL or `size` bytes.
    unsafe { look_up(mappings, out, size, |mappings| mappings.copy.find(addr)) }
}

/// Puts the mapping that an event hit, whether it is still there or not, into *out, of size bytes: pass
/// sizeof(vmmload_mapping).
///
/// Returns 1, or 0 where it is not known, or was forgotten, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: several at once.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_of(
    mappings: Option<&Mappings>,
    event: Option<&Event>,
    out: *mut Mapping,
    size: usize,
) -> c_int {
    let Some(event) = event else {
        return Failure::null("event").code();
    };
    // SAFETY: the header asks for NULL or `size` bytes.
    unsafe { look_up(mappings, out, size, |mappings| mappings.of(event)) }
}

/// # Safety
/// As in [`pointers::copy_sized`].
unsafe fn look_up<'m>(
    mappings: Option<&'m Mappings>,
    out: *mut Mapping,
    size: usize,
    find: impl FnOnce(&'m Mappings) -> Option<&'m sdk::Mapping>,
) -> c_int {
    code_of((|| {
        let mappings = mappings.ok_or_else(|| Failure::null("mappings"))?;
        let Some(found) = find(mappings) else {
            return Ok(0);
        };
        // SAFETY: the caller vouches for `out`.
        match unsafe { pointers::copy_sized(Mapping::from(found), out, size) } {
            true => Ok(1),
            false => Err(Failure::null("out")),
        }
    })())
}

/// Gives a copy back. NULL is fine.
///
/// Threads: any, but no other function may be using this copy.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_mappings_free(mappings: Option<Box<Mappings>>) {
    drop(mappings);
}
