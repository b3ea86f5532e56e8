//! Called by the name of another command, through a link: wraps the next command of that name in PATH.
//!
//! The command is to find what it would find without the links. So the directory of the links is left out of its PATH,
//! and where its first argument is the link's path, it becomes the command's: programs that look for themselves by
//! either (Python, gcc) would find vmmload.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::{self, Settings, SettingsError};
use crate::entry::Inherited;
use crate::natively::{self, Native};
use crate::process::command::{self, CommandError};
use crate::session::{self, RunError, Start};

/// What this process's executable is.
const OWN: &str = "/proc/self/exe";

/// Where the kernel says a file is that was executed by its descriptor.
const BY_DESCRIPTOR: &str = "/dev/fd";

/// What vmmload is called, also where that is a link to a file of another name, as an installation of several versions
/// side by side has it.
const VMMLOAD: &str = "vmmload";

/// The link by which vmmload was called.
#[derive(Debug)]
pub(crate) struct Called {
    /// Its path.
    link: PathBuf,
    /// Its last part: the command's name.
    name: OsString,
}

/// The link by which this process was started, if it was one. The kernel's own word for what it started counts, not the
/// first argument, which may be anything; only for a script's interpreter that is the link's path, and for a file that
/// was executed by its descriptor, which has no path: then it is what a shell would find by that name.
pub(crate) fn called(inherited: &Inherited) -> Option<Called> {
    let first = inherited.args.first()?;
    let first = match first.as_bytes().contains(&b'/') {
        true => Some(PathBuf::from(first)),
        false if !inherited.execfn.starts_with(BY_DESCRIPTOR) => None,
        false => command::search(first, inherited.variable("PATH")).ok(),
    };
    [Some(inherited.execfn.clone()), first]
        .into_iter()
        .flatten()
        .find(|path| is_link_to_us(path))
        .and_then(|link| {
            let name = link.file_name()?.to_os_string();
            Some(Called { link, name })
        })
}

/// Wraps the command that is meant. Returns only if it could not be started, with the exit status.
pub(crate) fn run(called: &Called, inherited: &Inherited) -> i32 {
    let asked = || -> Result<(bool, Settings), SettingsError> {
        let required = cli::is_required(&inherited.envp)?;
        Ok((required, Settings::from_environment(&inherited.envp)?))
    };
    let start = || -> Result<(bool, Settings, Start), RunError> {
        let (required, settings) = asked()?;
        Ok((required, settings, called.start(inherited)?))
    };
    match start() {
        Err(error) => session::failed(&error),
        Ok((required, settings, start)) => {
            let error = session::start_or_nest(settings, &start, None, inherited);
            let native = Native {
                name: &start.path,
                path: command::c_string(start.path.as_os_str()),
                argv: &start.argv,
                envp: &start.envp,
            };
            natively::instead(&error, required, &native)
        }
    }
}

impl Called {
    /// The command, with the environment that it would have without the link.
    fn start(&self, inherited: &Inherited) -> Result<Start, CommandError> {
        let path = inherited.variable("PATH");
        let found = next(&self.link, &self.name, path)?;
        let mut argv = command::c_strings(&inherited.args);
        if argv[0].as_bytes().contains(&b'/') && is_link_to_us(Path::new(&inherited.args[0])) {
            argv[0] = command::c_string(found.as_os_str());
        }
        let directory = directory_of(&self.link);
        let mut envp = inherited.envp.clone();
        for string in &mut envp {
            if let Some(path) = string.as_bytes().strip_prefix(b"PATH=")
                && has_only_links_to_us(&directory)
            {
                *string = joined(b"PATH=", &without(OsStr::from_bytes(path), &directory));
            } else if string.as_bytes().strip_prefix(b"_=")
                == Some(self.link.as_os_str().as_bytes())
            {
                // A shell's note of what it started.
                *string = joined(b"_=", found.as_os_str());
            }
        }
        Ok(Start {
            path: found,
            argv,
            envp,
        })
    }
}

fn joined(name: &[u8], value: &OsStr) -> CString {
    CString::new([name, value.as_bytes()].concat()).unwrap_or_default()
}

/// The command `name` behind the directory of `link` in `path`, or else anywhere in it: never a vmmload.
///
/// # Errors
/// There is none.
fn next(link: &Path, name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    let directory = directory_of(link);
    let path = path.unwrap_or(OsStr::new(command::DEFAULT_PATH));
    let elements: Vec<&[u8]> = path.as_bytes().split(|&b| b == b':').collect();
    let own = elements.iter().position(|e| is_directory(e, &directory));
    let behind = own.map_or(0, |own| own + 1);
    let order = elements[behind..].iter().chain(&elements[..behind]);
    let candidates = order.map(|element| command::in_directory(element, name));
    candidates
        .filter(|candidate| !is_vmmload(candidate))
        .find(|candidate| command::check_executable(candidate).is_ok())
        .ok_or_else(|| CommandError::NoOther {
            name: name.to_os_string(),
            link: link.to_path_buf(),
        })
}

/// The command `name` that a link in `directory` would wrap, for the PATH of this process.
///
/// # Errors
/// There is none.
pub(crate) fn behind(directory: &Path, name: &OsStr) -> Result<PathBuf, CommandError> {
    let path = std::env::var_os("PATH");
    next(&directory.join(name), name, path.as_deref())
}

/// `path` without the elements that are `directory`.
fn without(path: &OsStr, directory: &Path) -> OsString {
    let elements = path.as_bytes().split(|&b| b == b':');
    let kept: Vec<&[u8]> = elements.filter(|e| !is_directory(e, directory)).collect();
    OsString::from_vec(kept.join(&b':'))
}

fn directory_of(link: &Path) -> PathBuf {
    match link.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Whether an element of PATH is that directory. An empty one is the current.
fn is_directory(element: &[u8], directory: &Path) -> bool {
    let element = match element {
        b"" => Path::new("."),
        _ => Path::new(OsStr::from_bytes(element)),
    };
    identity(element).is_some_and(|element| identity(directory) == Some(element))
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The name of this executable's file.
pub(crate) fn own_name() -> OsString {
    let path = fs::read_link(OWN).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().as_bytes();
    // Of a file that was replaced since.
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    OsString::from_vec(name.to_vec())
}

/// Whether who calls a command of that name means vmmload.
pub(crate) fn is_our_name(name: &OsStr) -> bool {
    name == VMMLOAD || name == own_name()
}

/// Whether `path` is a link by another name to this very executable.
fn is_link_to_us(path: &Path) -> bool {
    let is_magic = path.starts_with("/proc") || path.starts_with(BY_DESCRIPTOR);
    !is_magic
        && !path.file_name().is_some_and(is_our_name)
        && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
        && identity(path) == identity(Path::new(OWN))
}

/// Whether `path` is this executable, or another vmmload, or a link to one, or was one before it went away.
pub(crate) fn is_vmmload(path: &Path) -> bool {
    if identity(path).is_some_and(|file| identity(Path::new(OWN)) == Some(file)) {
        return true;
    }
    let target = fs::canonicalize(path).or_else(|_| fs::read_link(path));
    target.is_ok_and(|target| target.file_name() == Some(&own_name()))
}

/// Whether nothing is in `directory` but links to vmmload.
pub(crate) fn has_only_links_to_us(directory: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.all(|entry| {
        entry.is_ok_and(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_symlink()) && is_vmmload(&entry.path())
        })
    })
}
