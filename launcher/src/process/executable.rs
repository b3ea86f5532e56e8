//! The file that execve(2) names, found and judged as fs/exec.c does: with its error numbers, and
//! before anything has changed.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::command;
use super::image::{self, Runs};
use super::script;
use crate::host::descriptors::Parked;

/// What execveat(2) names.
#[derive(Debug)]
pub(crate) struct Named {
    /// Where a relative path begins.
    pub directory: RawFd,
    /// The path.
    pub path: CString,
    /// AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW.
    pub flags: i32,
    /// What AT_EXECFN shows and an interpreter is given.
    pub execfn: CString,
    /// Whether `execfn` names a descriptor that an interpreter would find closed.
    pub closes: bool,
}

/// A program that can be wrapped.
pub(crate) struct Found {
    /// The ELF file.
    pub file: Parked,
    /// Its path.
    pub path: PathBuf,
    /// The arguments, with those that `#!` lines put in front.
    pub argv: Vec<CString>,
}

/// How the named file is to be executed.
pub(crate) enum Verdict {
    /// In a VM again.
    Wrapped(Found),
    /// By the kernel alone: a program with rights of its own, one that cannot be read, or one that
    /// this kind of VM has no mode for.
    Natively,
}

/// Follows `#!` lines from `named` to a program, and looks whether it can be executed.
///
/// # Errors
/// The error number of execve(2).
pub(crate) fn find(named: &Named, mut argv: Vec<CString>) -> Result<Verdict, i32> {
    let mut file = open(named.directory, &named.path, named.flags)?;
    let mut shown = named.execfn.clone();
    for _ in 0..=script::DEEPEST {
        let Some(readable) = file else {
            return Ok(Verdict::Natively);
        };
        let head = script::head(readable.file()).map_err(errno)?;
        let Some((interpreter, argument)) = script::line(&head) else {
            return judge(readable, shown, argv);
        };
        if named.closes {
            return Err(libc::ENOENT);
        }
        let interpreter = c_string(interpreter);
        let mut front = vec![interpreter.clone()];
        front.extend(argument.map(c_string));
        front.push(shown);
        argv.splice(..argv.len().min(1), front);
        file = open(libc::AT_FDCWD, &interpreter, 0)?;
        shown = interpreter;
    }
    Err(libc::ELOOP)
}

fn judge(file: Parked, shown: CString, argv: Vec<CString>) -> Result<Verdict, i32> {
    let shown = PathBuf::from(OsStr::from_bytes(shown.as_bytes()));
    let path = path_of(&file).unwrap_or(shown);
    if image::probe(file.file(), &path)? == Runs::Natively || gains_rights(file.file()) {
        return Ok(Verdict::Natively);
    }
    Ok(Verdict::Wrapped(Found { file, path, argv }))
}

/// The path of an open file, where /proc tells.
fn path_of(file: &Parked) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.file().as_raw_fd())).ok()
}

/// Opens what is to be executed, for reading; None if it may be executed but not be read.
///
/// # Errors
/// The error number of execve(2).
pub(crate) fn open(directory: RawFd, path: &CStr, flags: i32) -> Result<Option<Parked>, i32> {
    let handle = Parked::open(|| handle(directory, path, flags)).map_err(errno)?;
    let metadata = handle.file().metadata().map_err(errno)?;
    if metadata.is_symlink() {
        return Err(libc::ELOOP);
    }
    if !metadata.is_file() || !may_execute(handle.file()) {
        return Err(libc::EACCES);
    }
    let link = format!("/proc/self/fd/{}", handle.file().as_raw_fd());
    Ok(Parked::open(|| File::open(link)).ok())
}

/// A descriptor for the file as such, whatever its permissions.
fn handle(directory: RawFd, path: &CStr, flags: i32) -> io::Result<OwnedFd> {
    let nofollow = match flags & libc::AT_SYMLINK_NOFOLLOW {
        0 => 0,
        _ => libc::O_NOFOLLOW,
    };
    let itself = path.is_empty() && flags & libc::AT_EMPTY_PATH != 0;
    // SAFETY: `path` is a NUL-terminated string for the call; a descriptor that is returned is new.
    unsafe {
        let fd = match directory {
            libc::AT_FDCWD if itself => libc::open(c".".as_ptr(), libc::O_PATH | libc::O_CLOEXEC),
            _ if itself => libc::fcntl(directory, libc::F_DUPFD_CLOEXEC, 0),
            _ => libc::openat(
                directory,
                path.as_ptr(),
                libc::O_PATH | libc::O_CLOEXEC | nofollow,
            ),
        };
        match fd {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Whether this user may execute the file, and its file system has programs.
fn may_execute(file: &File) -> bool {
    let empty = c"".as_ptr() as u64;
    let flags = (libc::AT_EMPTY_PATH | libc::AT_EACCESS) as u64;
    let fd = file.as_raw_fd() as u64;
    let args = [fd, empty, libc::X_OK as u64, flags, 0, 0];
    // SAFETY: the call reads the empty string only.
    let allowed = unsafe { crate::host::relay::raw(libc::SYS_faccessat2, args) } == 0;
    allowed && !command::is_noexec(file)
}

/// Whether the kernel gives a program that it starts from this file rights that others have not.
fn gains_rights(file: &File) -> bool {
    if command::changes_identity(file) {
        return true;
    }
    let name = c"security.capability".as_ptr();
    // SAFETY: with size 0 the call only asks for the attribute's size.
    let capable = unsafe { libc::fgetxattr(file.as_raw_fd(), name, std::ptr::null_mut(), 0) } > 0;
    // To root, a file's capabilities add nothing.
    capable && effective_user() != 0
}

/// geteuid(2).
pub(crate) fn effective_user() -> u32 {
    // SAFETY: only asks.
    unsafe { libc::geteuid() }
}

fn c_string(bytes: &[u8]) -> CString {
    // `script::line` stops at a NUL.
    CString::new(bytes).unwrap_or_default()
}

fn errno(e: io::Error) -> i32 {
    e.raw_os_error().unwrap_or(libc::EIO)
}
