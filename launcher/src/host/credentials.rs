//! The calling thread's rights, as far as the kernel makes calls depend on them that are emulated.

use super::relay;

/// linux/capability.h
const VERSION_3: u32 = 0x2008_0522;
const CAP_SYS_ADMIN: u32 = 21;

/// Whether the thread may do in its user namespace what CAP_SYS_ADMIN allows.
pub(crate) fn may_administer() -> bool {
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable ones, of the lower and the upper 32.
    let mut sets = [0u32; 6];
    let args = [header.as_ptr() as u64, sets.as_mut_ptr() as u64, 0, 0, 0, 0];
    // SAFETY: the header is readable, and the sets writable as version 3 has them.
    let answer = unsafe { relay::raw(libc::SYS_capget, args) };
    answer == 0 && sets[0] & 1 << CAP_SYS_ADMIN != 0
}

/// Whether the thread can gain no privileges by executing a program.
pub(crate) fn has_no_new_privs() -> bool {
    let args = [libc::PR_GET_NO_NEW_PRIVS as u64, 0, 0, 0, 0, 0];
    // SAFETY: this option reads no memory.
    unsafe { relay::raw(libc::SYS_prctl, args) == 1 }
}

/// Gives that up for good.
pub(crate) fn set_no_new_privs() {
    let args = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0];
    // SAFETY: this option reads no memory.
    unsafe { relay::raw(libc::SYS_prctl, args) };
}
