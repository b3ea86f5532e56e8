//! Totals of pages since the process started.

use crate::error::Failure;
use crate::pointers::{array, fill};
use crate::types::Heat;
use core::mem::MaybeUninit;
use core::ptr;
use sdk::{Consumer, WrittenError};

/// The heat table itself, in the shared memory: without a copy, and changing while the process runs. Read each word
/// with one load, such as __atomic_load_n(&cell, __ATOMIC_RELAXED), and never write: that memory is read-only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HeatView {
    /// Two words for each region of 2 MiB and kind, in the order in which they were first touched:
    /// address >> 21 << 2 | kind, then the last epoch in which any of its pages changed. NULL where used is 0.
    pub regions: *const u64,
    /// 512 words for each of them, one for each page: the number of events in the low 32 bits, and in the high 32 bits
    /// the epoch, as in vmmload_heat. NULL where used is 0.
    pub cells: *const u64,
    /// How many regions there are.
    pub used: usize,
}

/// What vmmload_pages_written_since tells besides the pages.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Written {
    /// System calls so far of which it is not known where the kernel wrote for them: where this grows, pages may be
    /// missing. The summary of `vmmload run` names them.
    pub unknown_calls: u64,
    /// With -VMMLOAD_E_TABLE_FULL: how many events are missing from the heat table.
    pub missing: u64,
    /// What to ask with next time, so that nothing is missed in between: the last epoch that had ended.
    pub epoch: u32,
    /// 0.
    pub reserved: u32,
}

/// Copies the totals of all touched pages since the process started into the array out of so many elements, in no
/// particular order. A page that was touched in two ways comes twice.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied, and out may be NULL to
/// ask for the number alone. Between two calls there may be more of them. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_heat_read(
    consumer: Option<&Consumer>,
    out: *mut Heat,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` totals.
    let slots = unsafe { array(out, capacity) };
    consumer.map_or(0, |consumer| fill(slots, consumer.heat().map(Heat::from)))
}

/// Shows the heat table as it lies in the shared memory, in *out. With NULL for consumer it shows an empty one.
///
/// The pointers are valid until vmmload_detach. They stay the same, but regions come: call again to see those, too.
/// Should somebody cut the segment's file short, which vmmload never does, there are zeroes (see
/// vmmload_leave_sigbus_alone).
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_heat_words(
    consumer: Option<&Consumer>,
    out: Option<&mut MaybeUninit<HeatView>>,
) {
    let Some(out) = out else {
        return;
    };
    let words = consumer.map(Consumer::heat_words);
    let used = words.map_or(0, |words| words.regions.len());
    out.write(match words {
        Some(words) if used > 0 => HeatView {
            regions: words.regions.as_ptr().cast(),
            cells: words.cells.as_ptr().cast(),
            used,
        },
        _ => HeatView {
            regions: ptr::null(),
            cells: ptr::null(),
            used: 0,
        },
    });
}

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
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_pages_written_since(
    consumer: Option<&Consumer>,
    epoch: u32,
    pages: *mut u64,
    capacity: usize,
    out: Option<&mut MaybeUninit<Written>>,
) -> i64 {
    let Some(consumer) = consumer else {
        out.map(|out| out.write(Written::default()));
        return Failure::null("consumer").code().into();
    };
    let found = consumer.pages_written_since(epoch);
    let told = match &found {
        Ok(found) => Written {
            unknown_calls: found.unknown_calls,
            epoch: found.epoch,
            ..Written::default()
        },
        Err(WrittenError::TableFull { missing }) => Written {
            missing: *missing,
            ..Written::default()
        },
        Err(_) => Written::default(),
    };
    out.map(|out| out.write(told));
    match found {
        Ok(found) => {
            // SAFETY: the header asks for NULL or room for `capacity` addresses.
            let slots = unsafe { array(pages, capacity) };
            fill(slots, found.pages.into_iter()) as i64
        }
        Err(error) => Failure::from(error).code().into(),
    }
}
