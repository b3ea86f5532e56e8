//! What becomes of SIGBUS: mended in a segment, and elsewhere what it was before the first attach.
//!
//! Each case is a process of its own, because how a signal is handled belongs to a whole process.

use super::{pair, path_of, small, unique_name, write};
use crate::wire::field;
use crate::{AttachError, Consumer, Item, Kind, SegmentWriter, Status, sys};
use std::ffi::c_int;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, io, process, ptr};

/// Names the case to a test binary that runs one.
const CASE: &str = "VMMLOAD_SIGBUS_CASE";
/// A status that nothing else ends with.
const HANDLED: i32 = 77;

/// Runs a case in a process of its own.
fn run(case: &str) -> ExitStatus {
    finish(Command::new(env::current_exe().unwrap()), case)
}

/// The same, for a command that runs the binary of the tests with further arguments.
fn finish(mut command: Command, case: &str) -> ExitStatus {
    command.args(["--exact", "tests::sigbus::one_case", "--include-ignored"]);
    command.env(CASE, case).status().unwrap()
}

/// Runs a case where /dev/shm has 256 KiB, or `None` where this user cannot mount one.
fn run_in_little_memory(case: &str) -> Option<ExitStatus> {
    const MOUNT: &str = "mount -t tmpfs -o size=256k none /dev/shm && exec \"$@\"";
    let within = |program: &Path| {
        let mut command = Command::new("unshare");
        if sys::effective_uid() != 0 {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "/bin/sh", "-c", MOUNT, "sh"]);
        command.arg(program);
        command
    };
    let mounts = within(Path::new("/bin/true")).status();
    mounts
        .is_ok_and(|status| status.success())
        .then(|| finish(within(&env::current_exe().unwrap()), case))
}

#[test]
#[ignore = "the process that the other tests start"]
fn one_case() {
    match env::var(CASE).as_deref() {
        Ok("default") => default(),
        Ok("ignored") => ignored(),
        Ok("sent") => sent(),
        Ok("plain") => handled(plain as *const () as usize, 0),
        Ok("informed") => handled(informed as *const () as usize, libc::SA_SIGINFO),
        Ok("once") => handled(returning as *const () as usize, libc::SA_RESETHAND),
        Ok("alone") => left_alone(),
        Ok("many") => too_many(),
        Ok("full") => full(),
        _ => {}
    }
}

/// Attaches to a segment that is cut short, reads it, and leaves it.
fn survive_a_cut() {
    let (mut writer, mut consumer) = pair(&small(1024));
    write(&mut writer, 0, Kind::Write, 1);
    let file = File::options().write(true).open(consumer.path()).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(consumer.next(), None);
    assert_eq!(consumer.status(), Status::Truncated);
}

/// Reads a page that no file is behind, and that is no segment's.
fn fault_elsewhere() -> u8 {
    let path = path_of(&unique_name());
    let file = File::create_new(&path).unwrap();
    fs::remove_file(&path).unwrap();
    file.set_len(4096).unwrap();
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe {
        let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
        libc::mmap(ptr::null_mut(), 4096, read, shared, file.as_raw_fd(), 0)
    };
    assert_ne!(page, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    file.set_len(0).unwrap();
    // SAFETY: mapped for reading; that the read raises SIGBUS is what is asked for.
    unsafe { page.cast::<u8>().read_volatile() }
}

fn handle_with(handler: usize, flags: c_int) {
    // SAFETY: all zeroes is a value of that plain C structure, and `handler` the address of a function of the
    // type that the flags say, or one of the two words for none.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (action.sa_sigaction, action.sa_flags) = (handler, flags);
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()), 0);
    }
}

extern "C" fn plain(signal: c_int) {
    let right = signal == libc::SIGBUS;
    // SAFETY: ends the process.
    unsafe { libc::_exit(if right { HANDLED } else { 1 }) };
}

extern "C" fn informed(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel's siginfo and context, handed on.
    unsafe {
        let page = (*info).si_addr() as u64;
        let rip = (*context).uc_mcontext.gregs[libc::REG_RIP as usize];
        let right = page != 0 && rip != 0 && (*info).si_code == libc::BUS_ADRERR;
        libc::_exit(if right && signal == libc::SIGBUS {
            HANDLED
        } else {
            1
        });
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn returning(_: c_int) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn default() {
    handle_with(libc::SIG_DFL, 0);
    survive_a_cut();
    fault_elsewhere();
}

fn ignored() {
    handle_with(libc::SIG_IGN, 0);
    survive_a_cut();
    // SAFETY: a signal to this very thread.
    unsafe { libc::raise(libc::SIGBUS) };
    survive_a_cut();
    fault_elsewhere();
}

fn sent() {
    handle_with(libc::SIG_DFL, 0);
    survive_a_cut();
    // SAFETY: a signal to this very thread.
    unsafe { libc::raise(libc::SIGBUS) };
}

fn handled(handler: usize, flags: c_int) {
    handle_with(handler, flags);
    survive_a_cut();
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
    if flags & libc::SA_RESETHAND != 0 {
        // SAFETY: a signal to this very thread.
        unsafe { libc::raise(libc::SIGBUS) };
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        survive_a_cut();
    }
    fault_elsewhere();
}

fn action() -> (usize, c_int) {
    // SAFETY: all zeroes is a value of that plain C structure, which the call fills.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGBUS, ptr::null(), &mut now), 0);
        (now.sa_sigaction, now.sa_flags)
    }
}

fn left_alone() {
    crate::leave_sigbus_alone();
    let before = action();
    let (writer, consumer) = pair(&small(1024));
    assert_eq!(consumer.status(), Status::Running);
    assert_eq!(action(), before);
    drop(writer);
    process::exit(HANDLED);
}

/// Reads what the header says is in use and what was never written, where there is no memory for it.
fn full() {
    let (mut writer, mut consumer) = pair(&small(1024));
    write(&mut writer, 0, Kind::Write, 1);
    let file = File::options().write(true).open(consumer.path()).unwrap();
    let used = field!(heat_used) as u64 * 8;
    file.write_all_at(&64u64.to_le_bytes(), used).unwrap();
    let mut rest = File::create_new(path_of(&unique_name())).unwrap();
    while rest.write_all(&[1; 4096]).is_ok() {}
    assert_eq!(consumer.status(), Status::Running);
    assert_eq!(consumer.heat().map(|cell| cell.count).sum::<u64>(), 1);
    assert_eq!(consumer.status(), Status::Truncated);
    assert!(matches!(consumer.next(), Some(Item::Event(_))));
    process::exit(HANDLED);
}

fn too_many() {
    let name = unique_name();
    let writer = SegmentWriter::create_named(&small(64), &name).unwrap();
    let open = || Consumer::open(&path_of(&name));
    let mut attached: Vec<Consumer> = (0..4096).map(|_| open().unwrap()).collect();
    let refused = open().unwrap_err();
    assert!(matches!(refused, AttachError::TooMany { .. }), "{refused}");
    attached.pop();
    open().unwrap();
    drop(writer);
    process::exit(HANDLED);
}

#[test]
fn a_fault_elsewhere_ends_the_process_as_if_nobody_were_attached() {
    for case in ["default", "ignored", "sent", "once"] {
        assert_eq!(run(case).signal(), Some(libc::SIGBUS), "{case}");
    }
}

#[test]
fn a_fault_elsewhere_goes_to_the_handler_that_was_there() {
    for case in ["plain", "informed"] {
        assert_eq!(run(case).code(), Some(HANDLED), "{case}");
    }
}

#[test]
fn who_asks_for_it_keeps_sigbus_as_it_is() {
    assert_eq!(run("alone").code(), Some(HANDLED));
}

#[test]
fn holes_of_a_segment_on_a_full_file_system_read_as_zeroes() {
    let Some(status) = run_in_little_memory("full") else {
        assert!(env::var_os("CI").is_none(), "cannot mount over /dev/shm");
        return eprintln!("SKIPPED: no mount over /dev/shm");
    };
    assert_eq!(status.code(), Some(HANDLED));
}

#[test]
fn one_attach_too_many_is_refused_by_name_and_a_detach_makes_room() {
    assert_eq!(run("many").code(), Some(HANDLED));
}
