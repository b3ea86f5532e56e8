//! From one image to the next: what execve(2) passes on to the launcher that executes itself.
//!
//! It travels in a file in memory, so that neither arguments nor environment of the new launcher hold
//! anything of the program's: what those mean to a dynamic loader must not reach ours. The number of
//! the descriptor is the launcher's one argument.
//!
//! ```text
//! 8 bytes      MAGIC
//! 8 each       interval, track, buffer, max-overhead, children, ring-mode, ring-group (NONE: any),
//!              its user namespace, ring-size, heat-size (NONE: not chosen), call-mode,
//!              spin-budget (NONE: not chosen), summary, mask,
//!              descriptors of launcher, /proc, program and summary (NONE: there is none), is-typed
//! strings      summary's file, execfn, name, path
//! lists        argv, envp
//! number       mode of seccomp
//! list         filters: flags (NONE: installed by prctl), and the program as a string
//! numbers      of KVM: how calls arrive (NONE: nothing is known), what an armed store
//!              and an armed load take (NONE: not watched), how loads are armed
//! string       what CPUID shows
//! numbers      of the session's first process, and of the parent: its id (0: there is none), its start
//! ```
//!
//! Numbers are in the processor's order; a string is its length and its bytes, a list its length and its
//! strings.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use vmmload_consumer::Track;

use super::command;
use super::packing::{NONE, Reader, put_known, put_number, put_process, put_seccomp, put_string};
use super::seccomp::Setting;
use super::state::Descent;
use crate::cli::{CallMode, Children, RunConfig, Sharing, SummaryTarget};
use crate::host::descriptors::{self, Parked};
use crate::host::origin;
use crate::machine::Known;

const MAGIC: u64 = u64::from_le_bytes(*b"vmmlexec");
const ARGUMENT: &str = "--exec-handover=";

/// What a program is started from, by the command line or by execve(2).
#[derive(Debug)]
pub(crate) struct Launch {
    /// What the user asked for.
    pub config: RunConfig,
    /// The program and its arguments.
    pub program: command::Program,
    /// Its environment.
    pub envp: Vec<CString>,
    /// What ps(1) calls it.
    pub name: CString,
    /// Its signal mask.
    pub mask: u64,
    /// What its calls are judged by.
    pub seccomp: Setting,
    /// Where the summary goes, out of the program's way.
    pub summary: Option<File>,
    /// What an earlier image has found out about KVM.
    pub known: Option<Known>,
    /// Whom this process descends from.
    pub descent: Descent,
    /// Whether it was typed just now: what the user asked for is to be had then, or nothing is started.
    pub is_typed: bool,
}

/// Why a program could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// Not what `hand_over` writes.
    #[error(
        "{ARGUMENT}FD is how vmmload executes itself, not an option to be given. Use vmmload run"
    )]
    Format,
    /// Reading failed.
    #[error("internal error: handing a program over: {0}. Please report this line")]
    Read(#[from] io::Error),
}

/// The launcher's own executable.
static LAUNCHER: OnceLock<OwnedFd> = OnceLock::new();

/// Opens the launcher's own executable, while it can surely be found. Without it, execve(2) executes
/// programs natively.
pub(crate) fn remember_launcher() {
    let open = || {
        File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open("/proc/self/exe")
    };
    if let Ok(fd) = descriptors::open_parked::<io::Error, _>(open) {
        let _ = LAUNCHER.set(fd);
    }
}

/// The launcher's own executable, if it could be opened.
pub(crate) fn launcher() -> Option<RawFd> {
    LAUNCHER.get().map(AsRawFd::as_raw_fd)
}

/// What the next image is started from, as this image has it.
pub(crate) struct Outgoing<'a> {
    /// The user's settings.
    pub config: &'a RunConfig,
    /// The ELF file.
    pub file: &'a File,
    /// Its path.
    pub path: &'a OsStr,
    /// AT_EXECFN.
    pub execfn: &'a CStr,
    /// What ps(1) calls it.
    pub name: &'a CStr,
    /// Its arguments.
    pub argv: &'a [CString],
    /// Its environment.
    pub envp: &'a [CString],
    /// Its signal mask.
    pub mask: u64,
    /// What its calls are judged by.
    pub seccomp: &'a Setting,
    /// Where the summary goes.
    pub summary: Option<&'a File>,
    /// What is known about KVM.
    pub known: Option<Known>,
    /// Whom the next image descends from.
    pub descent: Descent,
    /// See [`Launch::is_typed`].
    pub is_typed: bool,
}

/// Writes everything down. Gives the file, and the launcher's argument that names it.
///
/// # Errors
/// What creating or writing the file says.
pub(crate) fn pack(outgoing: &Outgoing) -> io::Result<(Parked, Argument)> {
    let parked = Parked::memory(c"vmmload-exec")?;
    let mut file = parked.file();
    file.write_all(&encode(outgoing))?;
    let mut argument = Argument([0; ARGUMENT.len() + LONGEST_NUMBER + 1]);
    write!(&mut argument.0[..], "{ARGUMENT}{}", file.as_raw_fd())?;
    Ok((parked, argument))
}

/// The argument that makes a launcher take a program over, NUL-terminated.
pub(crate) struct Argument([u8; ARGUMENT.len() + LONGEST_NUMBER + 1]);

/// Digits of the highest descriptor.
const LONGEST_NUMBER: usize = 10;

impl Argument {
    /// As execve(2) takes it.
    pub(crate) fn as_ptr(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }
}

/// Has the descriptors that are named in `pack`'s file stay open in the next image.
pub(crate) fn keep_open(outgoing: &Outgoing, packed: &Parked) {
    descriptors::keep_over_exec(packed.file());
    descriptors::keep_over_exec(outgoing.file);
    let _ = outgoing.summary.map(descriptors::keep_over_exec);
    let _ = LAUNCHER.get().map(descriptors::keep_over_exec);
    let _ = origin::descriptor().map(|proc| descriptors::keep_over_exec(&proc));
}

fn encode(outgoing: &Outgoing) -> Vec<u8> {
    let config = outgoing.config;
    let (kind, target) = match &config.summary {
        None => (0, OsStr::new("")),
        Some(SummaryTarget::Stderr) => (1, OsStr::new("")),
        Some(SummaryTarget::File(path)) => (2, path.as_os_str()),
    };
    let descriptor = |fd: Option<RawFd>| fd.map_or(NONE, |fd| fd as u64);
    let mut out = Vec::new();
    for number in [
        MAGIC,
        u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX),
        config.track as u64,
        config.buffer.into(),
        config.max_overhead.into(),
        u64::from(config.children == Children::Follow),
        config.sharing.mode.into(),
        config.sharing.group.map_or(NONE, u64::from),
        config.sharing.namespace.unwrap_or(NONE),
        config.ring_size.into(),
        config.heat_size.map_or(NONE, u64::from),
        config.call_mode as u64,
        config.spin_budget.map_or(NONE, u64::from),
        kind,
        outgoing.mask,
        descriptor(launcher()),
        descriptor(origin::descriptor()),
        outgoing.file.as_raw_fd() as u64,
        descriptor(outgoing.summary.map(AsRawFd::as_raw_fd)),
        u64::from(outgoing.is_typed),
    ] {
        put_number(&mut out, number);
    }
    put_string(&mut out, target.as_bytes());
    put_string(&mut out, outgoing.execfn.to_bytes());
    put_string(&mut out, outgoing.name.to_bytes());
    put_string(&mut out, outgoing.path.as_bytes());
    for list in [outgoing.argv, outgoing.envp] {
        put_number(&mut out, list.len() as u64);
        list.iter().for_each(|s| put_string(&mut out, s.as_bytes()));
    }
    put_seccomp(&mut out, outgoing.seccomp);
    put_known(&mut out, outgoing.known.as_ref());
    put_process(&mut out, outgoing.descent.session);
    put_process(&mut out, outgoing.descent.parent);
    out
}

/// The descriptor that the launcher was started to take a program over from, if that is what it was
/// started for.
pub(crate) fn descriptor(args: &[OsString]) -> Option<RawFd> {
    match args {
        [_, argument] => argument.to_str()?.strip_prefix(ARGUMENT)?.parse().ok(),
        _ => None,
    }
}

/// Reads what [`pack`] wrote.
///
/// # Errors
/// See [`TakeOverError`].
pub(crate) fn take_over(fd: RawFd) -> Result<Launch, TakeOverError> {
    if fd <= libc::STDERR_FILENO {
        return Err(TakeOverError::Format);
    }
    let file = File::from(descriptors::adopt(fd).map_err(|_| TakeOverError::Format)?);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    decode(&bytes).ok_or(TakeOverError::Format)
}

/// The numbers in front, in their order.
struct Numbers {
    interval: u64,
    track: Track,
    buffer: u32,
    max_overhead: u32,
    children: Children,
    sharing: Sharing,
    ring_size: u32,
    heat_size: Option<u32>,
    call_mode: CallMode,
    spin_budget: Option<u32>,
    summary: u64,
    mask: u64,
    launcher: u64,
    proc: u64,
    file: u64,
    summary_file: u64,
    is_typed: bool,
}

fn decode(bytes: &[u8]) -> Option<Launch> {
    let mut rest = Reader(bytes);
    let numbers = decode_numbers(&mut rest)?;
    let target = rest.string()?;
    let [execfn, name] = [rest.c_string()?, rest.c_string()?];
    let path = PathBuf::from(OsStr::from_bytes(rest.string()?));
    let [argv, envp] = [rest.list()?, rest.list()?];
    let seccomp = rest.seccomp()?;
    let known = rest.known()?;
    let (session, parent) = (rest.process()?, rest.process()?);
    if !rest.0.is_empty() || argv.is_empty() {
        return None;
    }
    if let Some(launcher) = adopted(numbers.launcher)? {
        let _ = LAUNCHER.set(launcher);
    }
    if let Some(proc) = adopted(numbers.proc)? {
        origin::remember_as(proc);
    }
    let config = RunConfig {
        interval: Duration::from_nanos(numbers.interval),
        track: numbers.track,
        buffer: numbers.buffer,
        max_overhead: numbers.max_overhead,
        children: numbers.children,
        sharing: numbers.sharing,
        ring_size: numbers.ring_size,
        heat_size: numbers.heat_size,
        call_mode: numbers.call_mode,
        spin_budget: numbers.spin_budget,
        summary: match numbers.summary {
            0 => None,
            1 => Some(SummaryTarget::Stderr),
            _ => Some(SummaryTarget::File(OsStr::from_bytes(target).into())),
        },
    };
    Some(Launch {
        config,
        program: command::Program {
            file: adopted(numbers.file)??.into(),
            path,
            execfn,
            argv,
        },
        envp,
        name,
        mask: numbers.mask,
        seccomp,
        summary: adopted(numbers.summary_file)?.map(File::from),
        known,
        descent: Descent { session, parent },
        is_typed: numbers.is_typed,
    })
}

fn decode_numbers(rest: &mut Reader) -> Option<Numbers> {
    if rest.number()? != MAGIC {
        return None;
    }
    Some(Numbers {
        interval: rest.number()?,
        track: match rest.number()? {
            0 => Track::None,
            1 => Track::Write,
            2 => Track::ReadWrite,
            _ => return None,
        },
        buffer: rest.number()?.try_into().ok()?,
        max_overhead: rest.number()?.try_into().ok()?,
        children: match rest.number()? {
            0 => Children::Native,
            _ => Children::Follow,
        },
        sharing: Sharing {
            mode: rest.number()?.try_into().ok()?,
            group: optional(rest.number()?)?,
            namespace: Some(rest.number()?).filter(|&number| number != NONE),
        },
        ring_size: rest.number()?.try_into().ok()?,
        heat_size: optional(rest.number()?)?,
        call_mode: match rest.number()? {
            0 => CallMode::Auto,
            1 => CallMode::Exit,
            2 => CallMode::Spin,
            _ => return None,
        },
        spin_budget: optional(rest.number()?)?,
        summary: rest.number()?,
        mask: rest.number()?,
        launcher: rest.number()?,
        proc: rest.number()?,
        file: rest.number()?,
        summary_file: rest.number()?,
        is_typed: rest.number()? != 0,
    })
}

/// What may not be there; nothing at all for what is no such number.
fn optional(number: u64) -> Option<Option<u32>> {
    match number {
        NONE => Some(None),
        _ => number.try_into().ok().map(Some),
    }
}

/// A descriptor that was kept open, `None` for none; nothing at all if it is not open.
fn adopted(number: u64) -> Option<Option<OwnedFd>> {
    if number == NONE {
        return Some(None);
    }
    let fd = RawFd::try_from(number).ok()?;
    descriptors::adopt(fd).ok().map(Some)
}

#[cfg(test)]
mod tests;
