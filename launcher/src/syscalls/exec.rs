//! execve and execveat: the launcher executes itself, and the new one wraps the new program.
//!
//! Everything that can fail is tried first, while the old image can still be told. Then its segment
//! ends, and the host's execve does what only the kernel can: it ends the other threads, closes what
//! is to be closed, and keeps process id, limits, ignored and waiting signals.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vmmload_consumer::End;

use super::exec_arguments::Arguments;
use super::threads::own_call;
use super::{Outcome, check, proc_links, seccomp};
use crate::host::descriptors::Parked;
use crate::host::relay::{self, Call};
use crate::host::{descriptors, guest_memory, origin, signals as host, threads};
use crate::process::executable::{self, Found, Named, Verdict};
use crate::process::handover::{self, Outgoing};
use crate::process::stack::rlimit;
use crate::process::state::Role;
use crate::process::thread::GuestThread;
use crate::process::{lifecycle, signals};

/// execveat(2) that only checks, since Linux 6.14; libc does not name it yet.
const AT_EXECVE_CHECK: i32 = 0x10000;

const LONGEST_PATH: usize = libc::PATH_MAX as usize;

/// The new launcher's dynamic loader. Behind a chroot there may be none.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Bytes that a launcher may have to write to its segment's file at once.
const SEGMENT: u64 = 16 << 20;

/// The call, whichever of the two it is.
struct Request {
    /// SYS_execve or SYS_execveat.
    nr: libc::c_long,
    directory: i32,
    path: u64,
    argv: u64,
    envp: u64,
    flags: i32,
}

/// execve(2).
pub(super) fn execve(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [path, argv, envp, ..] = call.args;
    let request = Request {
        nr: libc::SYS_execve,
        directory: libc::AT_FDCWD,
        path,
        argv,
        envp,
        flags: 0,
    };
    exec(thread, request)
}

/// execveat(2).
pub(super) fn execveat(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [directory, path, argv, envp, flags, _] = call.args;
    let request = Request {
        nr: libc::SYS_execveat,
        directory: directory as i32,
        path,
        argv,
        envp,
        flags: flags as i32,
    };
    exec(thread, request)
}

fn exec(thread: &mut GuestThread, mut request: Request) -> Outcome {
    // From here on signals wait in the kernel, which passes them on to the new image. One that this
    // thread has taken already is the old image's.
    host::set_mask(u64::MAX);
    if thread.pending.is_noted() {
        return Outcome::NotBegun;
    }
    // What a process that shares its parent's memory allocates must be free before its image goes.
    let answer = match prepare(thread, &mut request) {
        Ok(Next::Checked) => Ok(0),
        Ok(Next::Wrapped(launcher)) => execute_launcher(thread, &launcher),
        Ok(Next::Natively) => execute_natively(thread, &request),
        Err(errno) => Err(errno),
    };
    thread.set_signal_mask(thread.signals.mask);
    Outcome::from_result(answer)
}

/// What is left to do once everything that can fail was tried.
enum Next {
    /// Nothing: it was a mere check.
    Checked,
    /// The launcher executes itself.
    Wrapped(Launcher),
    /// The program is left to the kernel.
    Natively,
}

/// The launcher's executable, and its one argument.
struct Launcher {
    executable: RawFd,
    argument: handover::Argument,
}

/// Tries everything that can fail.
fn prepare(thread: &mut GuestThread, request: &mut Request) -> Result<Next, i32> {
    let known = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | AT_EXECVE_CHECK;
    if request.flags & !known != 0 {
        return Err(libc::EINVAL);
    }
    if descriptors::is_ours(request.directory as u64) {
        return Err(libc::EBADF);
    }
    let path = read_path(request.path)?;
    let own = proc_links::target(thread, request.directory, request.path);
    if let Some(own) = &own {
        request.path = own.as_ptr() as u64;
    }
    let wants_check = request.flags & AT_EXECVE_CHECK != 0;
    let by_dentry = match request.ask_kernel() {
        // The flag is unknown to this kernel: without its help, then.
        Err(libc::EINVAL) if !wants_check => false,
        Err(errno) => return Err(errno),
        Ok(()) if wants_check => return Ok(Next::Checked),
        Ok(()) => true,
    };
    let mut named = request.named(path)?;
    if let Some(own) = own {
        named.path = own;
    }
    let mut arguments = Arguments::read(request.argv, request.envp, &named.execfn)?;
    let argv = std::mem::take(&mut arguments.argv);
    match executable::find(&named, argv)? {
        Verdict::Wrapped(found)
            if thread.process.wraps_programs() && can_wrap_here(thread.process.role) =>
        {
            if !arguments.have_room_for(&found.argv) {
                return Err(libc::E2BIG);
            }
            let name = name_of(&named, &found, by_dentry);
            hand_over(thread, &named.execfn, &name, found, &arguments.envp).map(Next::Wrapped)
        }
        _ => {
            seccomp::can_be_installed(thread)?;
            Ok(Next::Natively)
        }
    }
}

fn read_path(addr: u64) -> Result<CString, i32> {
    let mut path = Vec::new();
    let mut byte = [0u8; 256];
    loop {
        let at = addr.wrapping_add(path.len() as u64);
        // Up to the next multiple, which never crosses into a page that may not be there.
        let len = byte.len() - at as usize % byte.len();
        guest_memory::read_bytes(at, &mut byte[..len]).map_err(|_| libc::EFAULT)?;
        let end = byte[..len].iter().position(|&b| b == 0);
        path.extend(&byte[..end.unwrap_or(len)]);
        if path.len() >= LONGEST_PATH {
            return Err(libc::ENAMETOOLONG);
        }
        if end.is_some() {
            return CString::new(path).map_err(|_| libc::EFAULT);
        }
    }
}

impl Request {
    /// Has the kernel check path, permissions, writers and arguments, if it is one that can.
    fn ask_kernel(&self) -> Result<(), i32> {
        self.execveat(self.flags | AT_EXECVE_CHECK)
    }

    fn execveat(&self, flags: i32) -> Result<(), i32> {
        let args = [
            self.directory as u64,
            self.path,
            self.argv,
            self.envp,
            flags as u64,
            0,
        ];
        // SAFETY: the pointers are the program's, which the kernel checks. Either this only asks, or it
        // replaces the process, whose segment has ended.
        check(unsafe { relay::raw(libc::SYS_execveat, args) }).map(drop)
    }

    /// Makes the call itself, as the program made it: it is the one that its filters let through.
    fn execute(&self) -> Result<(), i32> {
        match self.nr {
            libc::SYS_execve => {
                own_call(self.nr, [self.path, self.argv, self.envp, 0, 0, 0]).map(drop)
            }
            _ => self.execveat(self.flags),
        }
    }

    /// What `path` names, with the names that an interpreter is given for it.
    fn named(&self, path: CString) -> Result<Named, i32> {
        if path.is_empty() && self.flags & libc::AT_EMPTY_PATH == 0 {
            return Err(libc::ENOENT);
        }
        let by_descriptor = self.directory != libc::AT_FDCWD && !path.as_bytes().starts_with(b"/");
        let mut execfn = path.clone();
        if by_descriptor {
            let mut shown = format!("/dev/fd/{}", self.directory).into_bytes();
            if !path.is_empty() {
                shown.push(b'/');
                shown.extend(path.as_bytes());
            }
            execfn = CString::new(shown).unwrap_or_default();
        }
        Ok(Named {
            directory: self.directory,
            path,
            flags: self.flags,
            execfn,
            closes: by_descriptor && descriptors::closes_on_exec(self.directory),
        })
    }
}

/// What ps(1) shows: the last part of the name it was executed by; of what was executed by its
/// descriptor alone, kernels that can check (`by_dentry`) show the file's own name.
fn name_of(named: &Named, found: &Found, by_dentry: bool) -> CString {
    let itself = named.path.is_empty() && by_dentry;
    let name = match found.path.file_name() {
        Some(name) if itself => name.as_encoded_bytes(),
        _ => named.execfn.as_bytes(),
    };
    let name = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    CString::new(name).unwrap_or_default()
}

/// Whether a launcher that starts now, as this user and with this root directory, finds what it needs.
/// A program that has given up rights or changed its root may have made that impossible for it.
fn can_wrap_here(role: Role) -> bool {
    let kvm = || {
        std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
    };
    let user = executable::effective_user();
    let replaces_segment = || {
        let segment = std::fs::metadata(format!("/dev/shm/vmmload-{}", origin::pid()));
        segment.is_ok_and(|segment| user == 0 || segment.uid() == user)
    };
    handover::launcher().is_some()
        // The segment of this image, if it has one, must make room for the next one.
        && (role == Role::Sharer || replaces_segment())
        && Path::new(LOADER).exists()
        && rlimit(libc::RLIMIT_FSIZE) >= SEGMENT
        && threads::can_be_started()
        && descriptors::Parked::open(kvm).is_ok()
}

/// Writes down what a new launcher needs for wrapping `found`.
fn hand_over(
    thread: &mut GuestThread,
    execfn: &CStr,
    name: &CStr,
    found: Found,
    envp: &[CString],
) -> Result<Launcher, i32> {
    let process = thread.process;
    let next = process.next_run()?;
    let next_summary = next.as_ref().and_then(|next| next.summary.as_ref());
    let next_summary = next_summary.map(Parked::file);
    let outgoing = Outgoing {
        config: next.as_ref().map_or(&process.config, |next| &next.config),
        file: found.file.file(),
        path: found.path.as_os_str(),
        execfn,
        name,
        argv: &found.argv,
        envp,
        mask: thread.signals.mask,
        seccomp: thread.seccomp.setting(),
        summary: next_summary.or(process.summary.as_ref()),
        known: process.machine.known(),
        descent: process.descent_of_next(),
        is_typed: next.is_some(),
    };
    let executable = handover::launcher().ok_or(libc::ENOENT)?;
    let (packed, argument) =
        handover::pack(&outgoing).map_err(|e| e.raw_os_error().unwrap_or(libc::ENOMEM))?;
    let launcher = Launcher {
        executable,
        argument,
    };
    // The last moment to fail in the old image's sight.
    match launcher.call(AT_EXECVE_CHECK) {
        Ok(()) | Err(libc::EINVAL) => {}
        Err(errno) => return Err(errno),
    }
    handover::keep_open(&outgoing, &packed);
    // The next image takes them over.
    std::mem::forget((packed, found.file, next));
    Ok(launcher)
}

impl Launcher {
    fn call(&self, flags: i32) -> Result<(), i32> {
        let argv = [
            c"vmmload".as_ptr(),
            self.argument.as_ptr(),
            std::ptr::null(),
        ];
        let envp = [std::ptr::null::<libc::c_char>()];
        let itself = Request {
            nr: libc::SYS_execveat,
            directory: self.executable,
            path: c"".as_ptr() as u64,
            argv: argv.as_ptr() as u64,
            envp: envp.as_ptr() as u64,
            flags: libc::AT_EMPTY_PATH,
        };
        itself.execveat(itself.flags | flags)
    }
}

/// Replaces this image by a new launcher with the program in it.
fn execute_launcher(thread: &GuestThread, launcher: &Launcher) -> ! {
    let process = thread.process;
    if process.role == Role::Sharer {
        // From here on it has a segment of its own, which its parent's readers are to find.
        process.tracker.child_came(origin::own());
    }
    lifecycle::end_image(process, End::Replaced);
    let failed = launcher.call(0);
    lifecycle::not_replaced(failed.err().unwrap_or(0))
}

/// Leaves the program to the kernel: this process is wrapped no longer.
fn execute_natively(thread: &mut GuestThread, request: &Request) -> ! {
    lifecycle::end_image(thread.process, End::Native);
    // A signal that comes in the last moment must meet what the new image will have.
    signals::forget_handlers();
    host::set_mask(thread.signals.mask);
    let filtered = seccomp::install(thread.seccomp.setting());
    let failed = filtered.and_then(|()| request.execute());
    lifecycle::not_replaced(failed.err().unwrap_or(0))
}
