//! The other calls that change memory: brk, madvise, shmat, shmdt, remap_file_pages, personality.

use std::ops::Range;

use super::mapping::{failed, host_call};
use super::{Outcome, check};
use crate::guest::layout::{PAGE, USER_END};
use crate::host::relay::{self, Call};
use crate::process::mappings::{Backing, Identity, Mapping};
use crate::process::memory::{page_up, reserve};
use crate::process::stack;
use crate::process::state::World;
use crate::process::thread::GuestThread;

/// brk(2): a region of our own, since the process's real one is the launcher's.
pub(super) fn brk(thread: &mut GuestThread, call: &Call) -> Outcome {
    let world: &World = thread.process;
    let mut heap = world.memory.heap();
    let wanted = call.args[0];
    // Like the kernel's, this never fails: it returns where the break is.
    if wanted >= heap.start && move_break(world, heap.start, heap.end, wanted).is_some() {
        heap.end = wanted;
    }
    Outcome::Return(heap.end)
}

fn move_break(world: &World, start: u64, from: u64, to: u64) -> Option<()> {
    let memory = &world.memory;
    let (old, new) = (page_up(from)?, page_up(to)?);
    let mut table = memory.write();
    if new < old {
        world.retire(&table, &(new..old));
        for part in table.mapped(new..old) {
            let args = [part.start, part.end - part.start, 0, 0, 0, 0];
            host_call(libc::SYS_munmap, args).ok()?;
            table.remove(part);
        }
    } else if new > old {
        if new > USER_END
            || new - start > stack::rlimit(libc::RLIMIT_DATA)
            || reserve(&(old..new)).is_err()
        {
            return None;
        }
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as u64;
        let args = [old, new - old, prot, flags, u64::MAX, 0];
        if host_call(libc::SYS_mmap, args).is_err() {
            memory.release(std::iter::once(old..new));
            return None;
        }
        let grows = old.checked_sub(1).and_then(|at| table.at(at));
        // What the program has named is a mapping of its own, and does not grow.
        let grows = grows.filter(|(_, m)| m.backing == Backing::Heap && m.region.is_none());
        let mapping = Mapping {
            identity: grows.map_or_else(Identity::default, |(_, heap)| heap.identity),
            backing: Backing::Heap,
            ..Mapping::anonymous(memory.effective_prot(prot))
        };
        memory.offer(&(old..new), &mapping);
        table.insert(old..new, mapping);
    }
    Some(())
}

/// madvise(2), for the program's own mappings within the range: the launcher's are holes.
pub(super) fn madvise(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [addr, len, advice, ..] = call.args;
    let end = page_up(len).and_then(|len| addr.checked_add(len));
    let Some(end) = end.filter(|_| addr % PAGE == 0 && len > 0) else {
        return thread.relay(call);
    };
    // Held until the host call is done, so that nothing of ours comes to lie in the range.
    let table = thread.process.memory.read();
    let gives_back = GIVE_BACK.contains(&(advice as i32));
    if table.covers(addr..end) {
        let outcome = thread.relay(call);
        if gives_back {
            thread.process.tracker.discard(&(addr..end));
        }
        return outcome;
    }
    // The kernel refuses an unknown advice before it looks at the range.
    if let Err(e) = host_call(libc::SYS_madvise, [addr, 0, advice, 0, 0, 0]) {
        return failed(e);
    }
    for part in table.mapped(addr..end) {
        let args = [part.start, part.end - part.start, advice, 0, 0, 0];
        if let Err(e) = host_call(libc::SYS_madvise, args) {
            return failed(e);
        }
        if gives_back {
            thread.process.tracker.discard(&part);
        }
    }
    failed(libc::ENOMEM)
}

/// Advice after which pages may read as they did before they were ever stored to.
const GIVE_BACK: [i32; 4] = [
    libc::MADV_DONTNEED,
    libc::MADV_FREE,
    libc::MADV_REMOVE,
    MADV_DONTNEED_LOCKED,
];

/// asm-generic/mman-common.h.
const MADV_DONTNEED_LOCKED: i32 = 24;

/// shmat(2).
pub(super) fn shmat(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(attach(thread.process, call))
}

fn attach(world: &World, call: &Call) -> Result<u64, i32> {
    let memory = &world.memory;
    let [id, addr, flags, ..] = call.args;
    let flag = |f: i32| flags & f as u64 != 0;
    let bytes = segment_bytes(id as i32);
    let mut table = memory.write();
    let mut claimed = Vec::new();
    if let (Some(bytes), true) = (bytes, flag(libc::SHM_REMAP) && addr != 0) {
        // SHMLBA is a page on x86.
        let start = if flag(libc::SHM_RND) {
            addr & !(PAGE - 1)
        } else {
            addr
        };
        let range = start..start.checked_add(bytes).ok_or(libc::EINVAL)?;
        if start % PAGE == 0 {
            claimed = memory.claim(&table, &range).map_err(|_| libc::EINVAL)?;
            world.retire(&table, &range);
        }
    }
    let start = host_call(libc::SYS_shmat, call.args).inspect_err(|_| memory.release(claimed))?;
    let bytes = bytes.or_else(|| segment_bytes(id as i32)).unwrap_or(PAGE);
    let write = if flag(libc::SHM_RDONLY) {
        0
    } else {
        libc::PROT_WRITE
    };
    let execute = if flag(SHM_EXEC) { libc::PROT_EXEC } else { 0 };
    let prot = memory.effective_prot((libc::PROT_READ | write | execute) as u64);
    let backing = Backing::Segment {
        id: id as i32,
        base: start,
    };
    table.insert(
        start..start + bytes,
        Mapping {
            shared: true,
            backing,
            ..Mapping::anonymous(prot)
        },
    );
    Ok(start)
}

/// Attach executable (linux/shm.h).
const SHM_EXEC: i32 = 0o100_000;

fn segment_bytes(id: i32) -> Option<u64> {
    let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: `status` is writable for the whole call, and zeroed memory is a valid shmid_ds.
    let status = unsafe {
        if libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    page_up(status.shm_segsz as u64)
}

/// shmdt(2).
pub(super) fn shmdt(thread: &mut GuestThread, call: &Call) -> Outcome {
    let memory = &thread.process.memory;
    let addr = call.args[0];
    let mut table = memory.write();
    let parts: Vec<Range<u64>> = table
        .iter()
        .filter(|(_, m)| matches!(m.backing, Backing::Segment { base, .. } if base == addr))
        .map(|(range, _)| range.clone())
        .collect();
    if parts.is_empty() {
        return failed(libc::EINVAL);
    }
    for part in &parts {
        thread.process.retire(&table, part);
    }
    let result = host_call(libc::SYS_shmdt, call.args);
    if result.is_ok() {
        for part in parts {
            table.remove(part);
        }
    }
    Outcome::from_result(result)
}

/// remap_file_pages(2): a new offset for a part of a shared file mapping.
pub(super) fn remap_file_pages(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [addr, len, _, page, ..] = call.args;
    let memory = &thread.process.memory;
    let start = addr & !(PAGE - 1);
    let Some(end) = start.checked_add(len & !(PAGE - 1)) else {
        return failed(libc::EINVAL);
    };
    let mut table = memory.write();
    if !table.covers(start..end) {
        return failed(libc::EINVAL);
    }
    thread.process.retire(&table, &(start..end));
    let result = host_call(libc::SYS_remap_file_pages, call.args);
    if result.is_ok() {
        for piece in table.pieces(start..end) {
            let mut mapping = piece.mapping;
            mapping.identity = Identity::default();
            if let Backing::File { bias, .. } = &mut mapping.backing {
                *bias = page.wrapping_mul(PAGE).wrapping_sub(start);
            }
            table.insert(piece.range, mapping);
        }
    }
    Outcome::from_result(result)
}

/// personality(2): READ_IMPLIES_EXEC changes what later mappings allow.
pub(super) fn personality(thread: &mut GuestThread, call: &Call) -> Outcome {
    // SAFETY: the call touches no memory.
    let result = check(unsafe { relay::raw(libc::SYS_personality, call.args) });
    thread.process.memory.personality_changed();
    Outcome::from_result(result)
}
