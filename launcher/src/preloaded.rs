//! A program that the kernel has started and the preload library hands over: it is wrapped as it was started, or goes
//! on natively.
//!
//! The library executes the launcher with
//!
//! ```text
//! argv   vmmload  --preload-handover=FD  name  execfn  argv[0]  argv[1] ...
//! envp   VMMLOAD_HANDOVER=PID, then each string of the environment behind a `_`
//! ```
//!
//! `FD` is the program's file. See `shim/src/handover.rs`.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::{self, Settings, SettingsError};
use crate::entry::Inherited;
use crate::host::{descriptors, messages};
use crate::natively::{self, Native};
use crate::process::command::{self, Program};
use crate::process::lifecycle::OWN_FAILURE;
use crate::session;

const ARGUMENT: &str = "--preload-handover=";

/// Its value is the process's id: what the library has started, nobody typed.
const MARK: &[u8] = b"VMMLOAD_HANDOVER=";

/// What stands before each string of the environment.
const DISGUISE: &[u8] = b"_";

/// A program as the kernel had started it.
struct Started {
    /// What ps(1) calls it.
    name: CString,
    execfn: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// As the kernel shows it, also when the file is no more.
    path: PathBuf,
    /// The file, where no path leads to it.
    hidden: Option<File>,
}

/// The descriptor of the program that was handed over, if the launcher was started for that.
pub(crate) fn descriptor(args: &[OsString]) -> Option<RawFd> {
    args.get(1)?.to_str()?.strip_prefix(ARGUMENT)?.parse().ok()
}

/// Goes on with it. Returns the exit status if it could not be started in any way.
pub(crate) fn go_on(descriptor: RawFd, inherited: &Inherited) -> i32 {
    let Some((started, file)) = Started::take(descriptor, inherited) else {
        messages::say(&format!(
            "{ARGUMENT}FD is how the preload library starts vmmload, not an option to be given. Use vmmload run"
        ));
        return OWN_FAILURE;
    };
    let (required, settings) = match settings(&started.envp) {
        Ok(settings) => settings,
        Err(error) => return session::failed(&error.into()),
    };
    let load = || Ok(started.program(file));
    let name = Some(started.name.as_c_str());
    let error = session::wrap(settings, load, name, &started.envp, None, inherited);
    let native = Native {
        name: &started.path,
        path: started.path_to_execute(),
        argv: &started.argv,
        envp: &started.envp,
    };
    natively::instead(&error, required, &native)
}

fn settings(envp: &[CString]) -> Result<(bool, Settings), SettingsError> {
    Ok((cli::is_required(envp)?, Settings::from_environment(envp)?))
}

impl Started {
    /// Reads what the library has written; `None` if that was not it.
    fn take(descriptor: RawFd, inherited: &Inherited) -> Option<(Self, File)> {
        let mark = [MARK, std::process::id().to_string().as_bytes()].concat();
        if !inherited.envp.iter().any(|s| s.as_bytes() == mark) {
            return None;
        }
        // First of all: until then it has a number of the program's.
        let file = File::from(descriptors::move_away(descriptor).ok()?);
        let plain = |s: &CString| CString::new(s.as_bytes().strip_prefix(DISGUISE)?).ok();
        let mut strings = command::c_strings(inherited.args.get(2..)?).into_iter();
        let path = fs::read_link(link(&file)).unwrap_or_else(|_| link(&file));
        let hidden = match is_at(&file, &path) {
            true => None,
            false => {
                let copy = descriptors::open_parked::<io::Error, _>(|| file.try_clone());
                Some(copy.ok()?.into())
            }
        };
        let started = Self {
            name: strings.next()?,
            execfn: strings.next()?,
            argv: strings.collect(),
            envp: inherited.envp.iter().filter_map(plain).collect(),
            path,
            hidden,
        };
        Some((started, file))
    }

    /// What the VM is to be loaded with.
    fn program(&self, file: File) -> Program {
        Program {
            file,
            path: self.path.clone(),
            execfn: self.execfn.clone(),
            argv: self.argv.clone(),
        }
    }

    /// By the name by which it was executed, where that still is the file: ps(1) shows that.
    fn path_to_execute(&self) -> CString {
        let execfn = Path::new(OsStr::from_bytes(self.execfn.as_bytes()));
        let path = match &self.hidden {
            Some(file) => link(file),
            None => self.path.clone(),
        };
        let is_same = File::open(&path).is_ok_and(|file| is_at(&file, execfn));
        command::c_string(if is_same { execfn } else { &path }.as_os_str())
    }
}

fn link(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn is_at(file: &File, path: &Path) -> bool {
    let [own, its] = [file.metadata(), fs::metadata(path)];
    matches!((own, its), (Ok(own), Ok(its)) if (own.dev(), own.ino()) == (its.dev(), its.ino()))
}
