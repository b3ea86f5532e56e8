//! Buffers, vectors, and what tells of memory itself.

use super::effect::Writes;
use crate::guest::layout::PAGE;
use crate::host::questions;

/// struct iocb: offsets of its key and its operation.
const IOCB_KEY: u64 = 8;
const IOCB_OPERATION: u64 = 16;
/// Operations that read into memory (linux/aio_abi.h): IOCB_CMD_PREAD and IOCB_CMD_PREADV.
const READS: [u16; 2] = [0, 7];

/// readv(2), preadv(2), preadv2(2), and the local side of process_vm_readv(2).
pub(super) fn read_into_vector(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned() {
        w.vector(w.arg(1), w.arg(2), bytes);
    }
}

/// process_vm_writev(2): of this process's own memory, nothing but what it writes to itself.
pub(super) fn write_to_process(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned()
        && questions::is_own_thread(w.arg(0))
    {
        w.vector(w.arg(3), w.arg(4), bytes);
    }
}

/// vmsplice(2): out of a pipe into memory, if the descriptor is the end to read from.
pub(super) fn vmsplice(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned()
        && questions::is_for_reading(w.arg(0))
    {
        w.vector(w.arg(1), w.arg(2), bytes);
    }
}

/// sendfile(2): the offset, even if nothing was sent.
pub(super) fn sendfile(w: &mut Writes<'_>) {
    if w.result != Err(libc::EFAULT) {
        w.span(w.arg(2), 8);
    }
}

/// copy_file_range(2): both offsets, if anything was copied.
pub(super) fn copy_file_range(w: &mut Writes<'_>) {
    if w.returned().is_some_and(|bytes| bytes > 0) {
        w.span(w.arg(1), 8);
        w.span(w.arg(3), 8);
    }
}

/// mincore(2): a byte for each page.
pub(super) fn mincore(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        w.span(w.arg(2), w.arg(1).div_ceil(PAGE));
    }
}

/// get_mempolicy(2): the policy, and a set of nodes in words of 64, less one bit than asked for.
pub(super) fn get_mempolicy(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        w.span(w.arg(0), 4);
        w.span(w.arg(1), w.arg(2).saturating_sub(1).div_ceil(64) * 8);
    }
}

/// move_pages(2): what became of each page.
pub(super) fn move_pages(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        w.span(w.arg(4), w.arg(1).saturating_mul(4));
    }
}

/// io_submit(2): a key in each request; and whenever a read is done, its buffer.
pub(super) fn io_submit(w: &mut Writes<'_>) {
    let Some(count) = w.returned() else { return };
    for n in 0..count {
        let Some(iocb) = w.read::<u64>(w.arg(2).wrapping_add(8 * n)) else {
            return;
        };
        w.span(iocb.wrapping_add(IOCB_KEY), 4);
        let operation: Option<u16> = w.read(iocb.wrapping_add(IOCB_OPERATION));
        if operation.is_some_and(|operation| READS.contains(&operation)) {
            w.unknown();
        }
    }
}
