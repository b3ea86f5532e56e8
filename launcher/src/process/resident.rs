//! Maps the pages of a file that are in the page cache anyway, as the kernel's own fault-around does.
//!
//! A page that the host has mapped costs the guest a quarter of the fault that it costs otherwise
//! where KVM keeps shadow page tables, because KVM then maps its neighbours along with it.

use std::ops::Range;

use crate::guest::layout::PAGE;
use crate::guest::page_tables::LEAF_SPAN;
use crate::host::relay;

/// Pages looked at in one go: what one leaf table maps.
const PAGES: usize = (LEAF_SPAN / PAGE) as usize;

/// Whether there is a page at `addr`, in the host's table or in the cache of the file.
pub(super) fn is_there(addr: u64) -> bool {
    let mut resident = 0u8;
    let args = [addr & !(PAGE - 1), PAGE, &raw mut resident as u64, 0, 0, 0];
    // SAFETY: mincore writes one byte for the one page, and `resident` is one.
    unsafe { relay::raw(libc::SYS_mincore, args) != 0 || resident & 1 != 0 }
}

/// Maps what is in the page cache of the program's file mapping at `range`, at most one leaf
/// table's span. Never reads from the file, never writes to memory.
pub(super) fn map(range: &Range<u64>) {
    let pages = ((range.end - range.start) / PAGE) as usize;
    let mut resident = [0u8; PAGES];
    let Some(resident) = resident.get_mut(..pages) else {
        return;
    };
    let args = [
        range.start,
        range.end - range.start,
        resident.as_mut_ptr() as u64,
        0,
        0,
        0,
    ];
    // SAFETY: mincore writes one byte for each page of the range, and `resident` has as many.
    if unsafe { relay::raw(libc::SYS_mincore, args) } != 0 {
        return;
    }
    let mut start = 0;
    while let Some(first) = resident[start..].iter().position(|&r| r & 1 != 0) {
        let first = start + first;
        let len = resident[first..]
            .iter()
            .take_while(|&&r| r & 1 != 0)
            .count();
        let at = range.start + first as u64 * PAGE;
        let args = [
            at,
            len as u64 * PAGE,
            libc::MADV_POPULATE_READ as u64,
            0,
            0,
            0,
        ];
        // SAFETY: the range is the program's; mapping what is in the cache changes no content.
        unsafe { relay::raw(libc::SYS_madvise, args) };
        start = first + len;
    }
}
