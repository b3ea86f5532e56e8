//! The calling thread's rights, as far as the kernel makes calls depend on them that are emulated.

use super::relay;
use std::ffi::{CStr, CString};

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

/// The number of the group of this name, if there is one.
pub(crate) fn group_number(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // Groups can have thousands of members, whose names go here.
    let mut text = vec![0; 1 << 20];
    // SAFETY: an all-zero group is a valid value of that plain C structure.
    let mut group: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: name, group and text live for the call, and the length is the text's.
    unsafe {
        let (room, len) = (text.as_mut_ptr(), text.len());
        libc::getgrnam_r(name.as_ptr(), &raw mut group, room, len, &raw mut found)
    };
    (!found.is_null()).then_some(group.gr_gid)
}

/// The name of a user, or the number of one that has none.
pub(crate) fn user_name(user: u32) -> String {
    let mut text = vec![0; 1 << 16];
    // SAFETY: an all-zero passwd is a valid value of that plain C structure.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: entry and text live for the call, and the length is the text's.
    unsafe {
        let (room, len) = (text.as_mut_ptr(), text.len());
        libc::getpwuid_r(user, &raw mut entry, room, len, &raw mut found)
    };
    if found.is_null() {
        return user.to_string();
    }
    // SAFETY: a found entry's name is a string in `text`.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    name.to_string_lossy().into_owned()
}
