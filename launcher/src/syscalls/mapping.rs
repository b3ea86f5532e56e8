//! mmap, munmap, mprotect, mremap: the host's mappings, the table and the guest's entries together.

use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use super::{Outcome, check, errno};
use crate::guest::layout::{PAGE, USER_END};
use crate::host::relay::{self, Call};
use crate::process::mappings::{Backing, Mapping, Mappings, Prot, host_prot};
use crate::process::memory::{Memory, page_up};
use crate::process::state::World;
use crate::process::thread::GuestThread;

/// f_type of hugetlbfs (linux/magic.h).
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;

/// Makes a call on the host that concerns the program's memory only, as its callers checked.
pub(super) fn host_call(nr: libc::c_long, args: [u64; 6]) -> Result<u64, i32> {
    // SAFETY: the callers have checked that the range is the program's or free.
    check(unsafe { relay::raw(nr, args) })
}

fn errno_of(e: io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::ENOMEM)
}

/// The whole pages that a fixed request means.
fn fixed_range(addr: u64, len: u64) -> Result<Range<u64>, i32> {
    if !addr.is_multiple_of(PAGE) {
        return Err(libc::EINVAL);
    }
    let end = page_up(len)
        .and_then(|len| addr.checked_add(len))
        .ok_or(libc::ENOMEM)?;
    // The guest has 4-level page tables: as on a processor without more.
    if end > USER_END {
        Err(libc::ENOMEM)
    } else {
        Ok(addr..end)
    }
}

/// mmap(2).
pub(super) fn mmap(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(map(thread.process, call))
}

fn map(world: &World, call: &Call) -> Result<u64, i32> {
    let memory = &world.memory;
    let [mut addr, len, prot, flags, fd, offset] = call.args;
    let flag = |f: i32| flags & f as u64 != 0;
    if len == 0 || len > USER_END {
        return Err(if len == 0 { libc::EINVAL } else { libc::ENOMEM });
    }
    let replaces = flag(libc::MAP_FIXED) && !flag(libc::MAP_FIXED_NOREPLACE);
    if flag(libc::MAP_FIXED) || flag(libc::MAP_FIXED_NOREPLACE) {
        fixed_range(addr, len)?;
    } else if addr.checked_add(len).is_none_or(|end| end > USER_END) {
        // A hint that the guest cannot reach: as no hint.
        addr = 0;
    }
    let mapping = describe(memory, prot, flags, fd);
    let len = page_up_to(len, granule(flags, fd)).ok_or(libc::ENOMEM)?;
    let mut table = memory.write();
    let mut claimed = Vec::new();
    if replaces {
        let range = fixed_range(addr, len)?;
        claimed = memory.claim(&table, &range).map_err(errno_of)?;
        world.retire(&table, &range);
    }
    let wanted = [addr, call.args[1], host_prot(prot), flags, fd, offset];
    match host_call(libc::SYS_mmap, wanted) {
        Ok(start) => {
            let start = match start == addr {
                // Where the program wanted it.
                true => start,
                false => apart(memory, &table, start..start + len, flags),
            };
            let (range, mapping) = (start..start + len, placed(mapping, start, offset));
            memory.offer(&range, &mapping);
            table.insert(range, mapping);
            Ok(start)
        }
        Err(e) => {
            memory.release(claimed);
            Err(e)
        }
    }
}

/// Moves the new mapping at `range` away from memory of the launcher's that begins right at its end, and
/// gives its start: a call that is given a buffer across that end must fail there, not go on in ours.
fn apart(memory: &Memory, table: &Mappings, range: Range<u64>, flags: u64) -> u64 {
    let (start, len) = (range.start, range.end - range.start);
    if table.at(range.end).is_some() || !memory.is_against_ours(range.end) {
        return start;
    }
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let kind = kind as u64 | flags & libc::MAP_32BIT as u64;
    // One page more, which stays behind as the guard.
    let Ok(place) = host_call(libc::SYS_mmap, [0, len + PAGE, 0, kind, u64::MAX, 0]) else {
        return start;
    };
    let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    if host_call(libc::SYS_mremap, [start, len, len, how, place, 0]).is_err() {
        // Pages of another size: it stays.
        let _ = host_call(libc::SYS_munmap, [place, len + PAGE, 0, 0, 0, 0]);
        return start;
    }
    memory.add_guard(place + len);
    place
}

/// The mapping that a successful mmap makes, but for its place.
fn describe(memory: &Memory, prot: u64, flags: u64, fd: u64) -> Mapping {
    let anonymous = flags & libc::MAP_ANONYMOUS as u64 != 0;
    let kind = flags & libc::MAP_TYPE as u64;
    let backing = if anonymous {
        Backing::Anonymous
    } else {
        Backing::File {
            path: descriptor_path(fd as i32).into(),
            bias: 0,
        }
    };
    Mapping {
        shared: kind == libc::MAP_SHARED as u64 || kind == libc::MAP_SHARED_VALIDATE as u64,
        grows_down: flags & libc::MAP_GROWSDOWN as u64 != 0,
        backing,
        ..Mapping::anonymous(memory.effective_prot(prot))
    }
}

fn placed(mut mapping: Mapping, start: u64, offset: u64) -> Mapping {
    if let Backing::File { bias, .. } = &mut mapping.backing {
        *bias = offset.wrapping_sub(start);
    }
    mapping
}

/// The path of a descriptor, as /proc/PID/maps would show it.
fn descriptor_path(fd: i32) -> String {
    let link = format!("/proc/thread-self/fd/{fd}");
    std::fs::read_link(link)
        .map(|path| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned())
        .unwrap_or_default()
}

/// The unit that the kernel rounds a mapping's length to: the size of its pages.
fn granule(flags: u64, fd: u64) -> u64 {
    if flags & libc::MAP_ANONYMOUS as u64 == 0 {
        return hugetlbfs_page(fd as i32).unwrap_or(PAGE);
    }
    if flags & libc::MAP_HUGETLB as u64 == 0 {
        return PAGE;
    }
    match (flags >> libc::MAP_HUGE_SHIFT) & 0x3f {
        0 => default_huge_page(),
        shift => 1 << shift,
    }
}

fn hugetlbfs_page(fd: i32) -> Option<u64> {
    let mut fs = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `fs` is writable for the whole call, and zeroed memory is a valid statfs.
    let fs = unsafe {
        if libc::fstatfs(fd, fs.as_mut_ptr()) != 0 {
            return None;
        }
        fs.assume_init()
    };
    (fs.f_type == HUGETLBFS_MAGIC).then_some(fs.f_bsize as u64)
}

fn default_huge_page() -> u64 {
    let kib = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("Hugepagesize:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    kib.map_or(2 << 20, |kib| kib << 10)
}

fn page_up_to(len: u64, granule: u64) -> Option<u64> {
    Some(len.checked_add(granule - 1)? & !(granule - 1))
}

/// munmap(2).
pub(super) fn munmap(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(unmap(thread.process, call.args[0], call.args[1]))
}

fn unmap(world: &World, addr: u64, len: u64) -> Result<u64, i32> {
    if !addr.is_multiple_of(PAGE) || len == 0 || addr > USER_END || len > USER_END - addr {
        return Err(libc::EINVAL);
    }
    let end = page_up(addr + len).ok_or(libc::EINVAL)?;
    unmap_range(world, &mut world.memory.write(), addr..end)?;
    Ok(0)
}

fn unmap_range(world: &World, table: &mut Mappings, range: Range<u64>) -> Result<(), i32> {
    if range.is_empty() {
        return Ok(());
    }
    // What is not the program's is not there for it.
    for part in table.mapped(range) {
        world.retire(table, &part);
        let args = [part.start, part.end - part.start, 0, 0, 0, 0];
        host_call(libc::SYS_munmap, args)?;
        table.remove(part);
    }
    Ok(())
}

/// mprotect(2) and pkey_mprotect(2).
pub(super) fn mprotect(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(protect(&thread.process.memory, call))
}

fn protect(memory: &Memory, call: &Call) -> Result<u64, i32> {
    let [addr, len, prot, ..] = call.args;
    let grows_down = prot & libc::PROT_GROWSDOWN as u64 != 0;
    // No mapping on x86 grows up.
    if prot & libc::PROT_GROWSUP as u64 != 0 || !addr.is_multiple_of(PAGE) {
        return Err(libc::EINVAL);
    }
    if len == 0 {
        return host_call(call.nr as libc::c_long, call.args);
    }
    let end = page_up(len)
        .and_then(|len| addr.checked_add(len))
        .ok_or(libc::ENOMEM)?;
    let mut table = memory.write();
    let mut at = addr;
    if grows_down {
        at = match table.at(addr) {
            Some((range, mapping)) if mapping.grows_down => range.start,
            Some(_) => return Err(libc::EINVAL),
            None => return Err(libc::ENOMEM),
        };
    }
    // The kernel goes from mapping to mapping and stops at a hole.
    while at < end {
        let (range, mapping) = table.at(at).ok_or(libc::ENOMEM)?;
        let (part, mapping) = (at..range.end.min(end), mapping.clone());
        at = part.end;
        protect_part(memory, &mut table, call, &part, mapping)?;
    }
    Ok(0)
}

fn protect_part(
    memory: &Memory,
    table: &mut Mappings,
    call: &Call,
    part: &Range<u64>,
    mapping: Mapping,
) -> Result<(), i32> {
    let new = memory.effective_prot(call.args[2]);
    let common = Prot::from_bits(u64::from(new.bits() & mapping.prot.bits()));
    if new.writable() {
        memory.call_sites().forget(part);
    }
    // Reading is implied by any right, so what stays readable keeps its entries.
    if new.readable() && mapping.prot.readable() {
        memory.protect_entries(part, common);
    } else {
        memory.drop_entries(part);
    }
    let mut args = call.args;
    (args[0], args[1]) = (part.start, part.end - part.start);
    args[2] = host_prot(args[2] & !(libc::PROT_GROWSDOWN as u64));
    host_call(call.nr as libc::c_long, args)?;
    table.insert(
        part.clone(),
        Mapping {
            prot: new,
            ..mapping
        },
    );
    if new.readable() {
        memory.protect_entries(part, new);
    }
    Ok(())
}

/// MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP: all that mremap(2) takes.
const REMAP_FLAGS: u64 = 7;

/// mremap(2).
pub(super) fn mremap(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(remap(thread.process, call))
}

/// A checked mremap request.
struct Remap {
    old: Range<u64>,
    new_len: u64,
    flags: u64,
    target: u64,
}

fn remap(world: &World, call: &Call) -> Result<u64, i32> {
    let [addr, old_len, new_len, flags, target, _] = call.args;
    if flags & !REMAP_FLAGS != 0 {
        return Err(libc::EINVAL);
    }
    let old_len = page_up(old_len).ok_or(libc::EINVAL)?;
    let new_len = page_up(new_len).ok_or(libc::EINVAL)?;
    let old_end = addr.checked_add(old_len).ok_or(libc::EINVAL)?;
    if addr % PAGE != 0 || new_len == 0 {
        return Err(libc::EINVAL);
    }
    let request = Remap {
        old: addr..old_end,
        new_len,
        flags,
        target,
    };
    let mut table = world.memory.write();
    let fixed = flags & libc::MREMAP_FIXED as u64 != 0;
    let keeps_old = flags & libc::MREMAP_DONTUNMAP as u64 != 0;
    if new_len <= old_len && !fixed && !keeps_old {
        return shrink(world, &mut table, &request);
    }
    let end = addr.checked_add(old_len.max(PAGE)).ok_or(libc::EFAULT)?;
    if !table.covers(addr..end) {
        return Err(libc::EFAULT);
    }
    let start = if fixed {
        remap_fixed(world, &table, &request, call)?
    } else if keeps_old || old_len == 0 {
        world.retire(&table, &request.old);
        host_call(libc::SYS_mremap, call.args)?
    } else {
        remap_in_place_or_move(world, &table, &request, call)?
    };
    follow(&mut table, &request, start);
    Ok(start)
}

/// To the kernel a smaller size is munmap(2) of the rest, holes included.
fn shrink(world: &World, table: &mut Mappings, request: &Remap) -> Result<u64, i32> {
    let start = request.old.start;
    table.at(start).ok_or(libc::EFAULT)?;
    unmap_range(world, table, start + request.new_len..request.old.end)?;
    Ok(start)
}

fn remap_fixed(world: &World, table: &Mappings, request: &Remap, call: &Call) -> Result<u64, i32> {
    let target = fixed_range(request.target, request.new_len).map_err(|_| libc::EINVAL)?;
    if target.start < request.old.end && request.old.start < target.end {
        return Err(libc::EINVAL);
    }
    let claimed = world.memory.claim(table, &target).map_err(errno_of)?;
    world.retire(table, &request.old);
    world.retire(table, &target);
    host_call(libc::SYS_mremap, call.args).inspect_err(|_| world.memory.release(claimed))
}

/// Staying in place keeps the entries, which is what most calls want.
fn remap_in_place_or_move(
    world: &World,
    table: &Mappings,
    request: &Remap,
    call: &Call,
) -> Result<u64, i32> {
    let mut args = call.args;
    args[3] = 0;
    match host_call(libc::SYS_mremap, args) {
        Err(libc::ENOMEM) if request.flags & libc::MREMAP_MAYMOVE as u64 != 0 => {
            world.retire(table, &request.old);
            host_call(libc::SYS_mremap, call.args)
        }
        result => result,
    }
}

/// Brings the table to what a successful mremap did.
fn follow(table: &mut Mappings, request: &Remap, start: u64) {
    let source = request.old.start..request.old.end.max(request.old.start + PAGE);
    let pieces = table.pieces(source);
    let distance = start.wrapping_sub(request.old.start);
    let new_end = start + request.new_len;
    let moved = start != request.old.start;
    let old_is_gone = request.flags & libc::MREMAP_DONTUNMAP as u64 == 0;
    if moved && old_is_gone && !request.old.is_empty() {
        table.remove(request.old.clone());
    } else if !moved {
        table.remove(new_end.min(request.old.end)..request.old.end);
    }
    table.remove(start..new_end);
    let last = pieces.len().saturating_sub(1);
    for (i, piece) in pieces.into_iter().enumerate() {
        let from = piece.range.start.wrapping_add(distance);
        let to = piece.range.end.wrapping_add(distance);
        let to = if i == last { new_end } else { to.min(new_end) };
        if from < to {
            table.insert(from..to, piece.mapping.moved(distance));
        }
    }
}

/// An error number as the kernel returns it.
pub(super) fn failed(e: i32) -> Outcome {
    Outcome::Return(errno(e))
}
