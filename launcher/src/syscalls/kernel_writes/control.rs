//! Calls that are many in one: what they write depends on a command. And those of file systems and
//! security modules that tell a length of their own.

use vmmload_guest::protocol;

use super::effect::Writes;
use crate::host::guest_memory;

/// prctl(2): options that store something, and its bytes (linux/prctl.h).
const PRCTL_STORES: [(u64, u64); 8] = [
    (libc::PR_GET_PDEATHSIG as u64, 4),
    (libc::PR_GET_UNALIGN as u64, 4),
    (libc::PR_GET_FPEMU as u64, 4),
    (libc::PR_GET_NAME as u64, 16),
    (libc::PR_GET_TSC as u64, 4),
    (libc::PR_GET_CHILD_SUBREAPER as u64, 4),
    (libc::PR_GET_TID_ADDRESS as u64, 8),
    (74, 8), // PR_GET_SHADOW_STACK_STATUS
];
const PR_SET_MM_MAP_SIZE: u64 = 15;
const PR_SCHED_CORE: u64 = 62;
const PR_GET_AUXV: u64 = 0x4155_5856;
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SET_PTRACER: u64 = 0x5961_6d61;
/// The last option that is known here.
const PR_LAST: u64 = 78;

// asm/prctl.h
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
const ARCH_GET_CPUID: u64 = 0x1011;
const ARCH_SET_CPUID: u64 = 0x1012;
const ARCH_GET_XCOMP_SUPP: u64 = 0x1021;
const ARCH_GET_XCOMP_PERM: u64 = 0x1022;
const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
const ARCH_GET_XCOMP_GUEST_PERM: u64 = 0x1024;
const ARCH_REQ_XCOMP_GUEST_PERM: u64 = 0x1025;
const ARCH_GET_UNTAG_MASK: u64 = 0x4001;
const ARCH_ENABLE_TAGGED_ADDR: u64 = 0x4002;
const ARCH_GET_MAX_TAG_BITS: u64 = 0x4003;

// linux/fcntl.h
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_GET_RW_HINT: i32 = 1035;
const F_GET_FILE_RW_HINT: i32 = 1037;
/// struct flock.
const FLOCK: u64 = 32;

// linux/futex.h
const FUTEX_WAKE_OP: i32 = 5;
const FUTEX_LOCK_PI: i32 = 6;
const FUTEX_UNLOCK_PI: i32 = 7;
const FUTEX_TRYLOCK_PI: i32 = 8;
const FUTEX_CMP_REQUEUE_PI: i32 = 12;
const FUTEX_LOCK_PI2: i32 = 13;
/// FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_FLAGS: i32 = 128 | 256;

/// seccomp(2): struct seccomp_notif_sizes.
const SECCOMP_GET_NOTIF_SIZES: u64 = 3;
/// name_to_handle_at(2): an id of 8 bytes, instead of 4.
const AT_HANDLE_MNT_ID_UNIQUE: u64 = 1;

/// prctl(2).
pub(super) fn prctl(w: &mut Writes<'_>) {
    let Some(returned) = w.returned() else { return };
    let option = w.arg(0) as u32 as u64;
    if let Some((_, bytes)) = PRCTL_STORES.iter().find(|(of, _)| *of == option) {
        return w.span(w.arg(1), *bytes);
    }
    match option {
        PR_GET_AUXV => w.span(w.arg(1), returned.min(w.arg(2))),
        PR_SCHED_CORE if w.arg(1) == 0 => w.span(w.arg(4), 8),
        _ if option == libc::PR_SET_MM as u64 && w.arg(1) == PR_SET_MM_MAP_SIZE => {
            w.span(w.arg(2), 4);
        }
        PR_SET_VMA | PR_SET_PTRACER | protocol::OPTION | 0..=PR_LAST => {}
        _ => w.unknown(),
    }
}

/// arch_prctl(2).
pub(super) fn arch_prctl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    match w.arg(0) {
        ARCH_GET_FS
        | ARCH_GET_GS
        | ARCH_GET_XCOMP_SUPP
        | ARCH_GET_XCOMP_PERM
        | ARCH_GET_XCOMP_GUEST_PERM
        | ARCH_GET_UNTAG_MASK
        | ARCH_GET_MAX_TAG_BITS => w.span(w.arg(1), 8),
        ARCH_SET_GS
        | ARCH_SET_FS
        | ARCH_GET_CPUID
        | ARCH_SET_CPUID
        | ARCH_REQ_XCOMP_PERM
        | ARCH_REQ_XCOMP_GUEST_PERM
        | ARCH_ENABLE_TAGGED_ADDR => {}
        _ => w.unknown(),
    }
}

/// fcntl(2).
pub(super) fn fcntl(w: &mut Writes<'_>) {
    if w.returned().is_none() {
        return;
    }
    let bytes = match w.arg(1) as i32 {
        libc::F_GETLK | libc::F_OFD_GETLK => FLOCK,
        F_GETOWN_EX | F_GETOWNER_UIDS | F_GET_RW_HINT | F_GET_FILE_RW_HINT => 8,
        _ => 0,
    };
    w.span(w.arg(2), bytes);
}

/// futex(2): the word, where the kernel itself changes it.
pub(super) fn futex(w: &mut Writes<'_>) {
    let Some(returned) = w.returned() else { return };
    match w.arg(1) as i32 & !FUTEX_FLAGS {
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_UNLOCK_PI | FUTEX_TRYLOCK_PI => w.span(w.arg(0), 4),
        FUTEX_WAKE_OP => w.span(w.arg(4), 4),
        FUTEX_CMP_REQUEUE_PI if returned > 0 => w.span(w.arg(4), 4),
        _ => {}
    }
}

/// seccomp(2).
pub(super) fn seccomp(w: &mut Writes<'_>) {
    if w.returned().is_some() && w.arg(0) == SECCOMP_GET_NOTIF_SIZES {
        w.span(w.arg(2), 6);
    }
}

/// sysfs(2): the name of a kind of file system.
pub(super) fn sysfs(w: &mut Writes<'_>) {
    if w.returned().is_none() || w.arg(0) != 2 {
        return;
    }
    let mut buffer = [0; 64];
    match guest_memory::read_string(w.arg(2), &mut buffer) {
        Some(name) => w.span(w.arg(2), name.len() as u64 + 1),
        None => w.unknown(),
    }
}

/// getxattr(2), listxattr(2) and their kin: into argument `buffer`, unless the next one, its size, is zero
/// and so only the length is asked for.
pub(super) fn names(w: &mut Writes<'_>, buffer: usize) {
    if let Some(bytes) = w.returned()
        && w.arg(buffer + 1) != 0
    {
        w.span(w.arg(buffer), bytes);
    }
}

/// getxattrat(2): where a struct xattr_args says.
pub(super) fn getxattrat(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned()
        && let Some([value, size]) = w.read::<[u64; 2]>(w.arg(4))
        && size as u32 != 0
    {
        w.span(value, bytes);
    }
}

/// file_getattr(2): all that was asked for, zeros behind what the kernel knows.
pub(super) fn file_getattr(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        w.span(w.arg(2), w.arg(3));
    }
}

/// name_to_handle_at(2): the handle and the mount's id. If there is no room, only how much is needed.
pub(super) fn name_to_handle_at(w: &mut Writes<'_>) {
    let handle = w.arg(2);
    let bytes = match w.result {
        Ok(_) => w.read::<u32>(handle).unwrap_or(0).into(),
        Err(libc::EOVERFLOW) => 0,
        Err(_) => return,
    };
    w.span(handle, 8 + bytes);
    let is_wide = w.arg(4) & AT_HANDLE_MNT_ID_UNIQUE != 0;
    w.span(w.arg(3), if is_wide { 8 } else { 4 });
}

/// statmount(2): as many bytes as the first word says.
pub(super) fn statmount(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        let bytes: u32 = w.read(w.arg(1)).unwrap_or(0);
        w.span(w.arg(1), bytes.into());
    }
}

/// lsm_get_self_attr(2): the attributes, and their length even if there is no room, or none of them.
pub(super) fn lsm_get_self_attr(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        let bytes: u32 = w.read(w.arg(2)).unwrap_or(0);
        w.span(w.arg(1), bytes.into());
    }
    if let Ok(_) | Err(libc::E2BIG | libc::EOPNOTSUPP) = w.result {
        w.span(w.arg(2), 4);
    }
}

/// lsm_list_modules(2): the modules' ids, and their length even if there is no room.
pub(super) fn lsm_list_modules(w: &mut Writes<'_>) {
    if let Some(count) = w.returned() {
        w.span(w.arg(0), 8 * count);
    }
    if w.returned().is_some() || w.result == Err(libc::E2BIG) {
        w.span(w.arg(1), 4);
    }
}
