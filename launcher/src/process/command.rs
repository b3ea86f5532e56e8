//! From a command's name to the ELF file to load: PATH, permissions, `#!` lines.
//!
//! Follows execvp(3); `script` reads the `#!` lines.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::script;

/// Why a command cannot be executed. `code` follows env(1): 127 not found, 126 otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// No such file, in PATH or at the path given.
    #[error("{}: not found{hint}. Check the spelling, or give the path of the file", name.display())]
    NotFound {
        /// As it was typed.
        name: OsString,
        /// Where it was looked for.
        hint: &'static str,
    },
    /// What a script's `#!` line names.
    #[error("{}: its interpreter {source}", script.display())]
    Interpreter {
        /// The script.
        script: PathBuf,
        /// What is wrong with the interpreter.
        source: Box<CommandError>,
    },
    /// Called through a link, behind which there is none.
    #[error(
        "{}: there is no other command of this name in PATH. Install it, or remove the link: vmmload link --remove {} {0}",
        name.display(), link.parent().unwrap_or(Path::new(".")).display()
    )]
    NoOther {
        /// Of the command.
        name: OsString,
        /// The link.
        link: PathBuf,
    },
    /// There, but not executable for this user.
    #[error("{}: cannot be executed: {source}. {remedy}", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Executable, but nothing that runs here.
    #[error("{}: {what}. {remedy}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl CommandError {
    /// Exit status as env(1) has it.
    pub(crate) fn code(&self) -> i32 {
        match self {
            CommandError::NotFound { .. } | CommandError::NoOther { .. } => NOT_FOUND,
            CommandError::Interpreter { source, .. } => source.code(),
            _ => 126,
        }
    }
}

/// The exit status where there is no such file.
pub(crate) const NOT_FOUND: i32 = 127;

/// A program ready to be loaded.
#[derive(Debug)]
pub(crate) struct Program {
    /// The ELF file, open for reading.
    pub file: File,
    /// Its path, as it was found.
    pub path: PathBuf,
    /// What AT_EXECFN shows: the path of the command, even when that is a script.
    pub execfn: CString,
    /// The arguments, with those that `#!` lines put in front.
    pub argv: Vec<CString>,
}

/// What execvp(3) uses where PATH is not set.
pub(crate) const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Everything that must be loaded to run the command at `found` with these arguments.
///
/// # Errors
/// See [`CommandError`].
pub(crate) fn load(found: PathBuf, mut argv: Vec<CString>) -> Result<Program, CommandError> {
    let execfn = c_string(found.as_os_str());
    let mut path = found;
    let mut script = None;
    for _ in 0..=script::DEEPEST {
        let file = open(&path).map_err(|error| of_script(script.take(), error))?;
        let head = read_head(&file, &path)?;
        if let Some((interpreter, argument)) = script::line(&head) {
            let mut front = vec![c_string(OsStr::from_bytes(interpreter))];
            front.extend(argument.map(|a| c_string(OsStr::from_bytes(a))));
            front.push(c_string(path.as_os_str()));
            argv.splice(..argv.len().min(1), front);
            let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
            script = Some(std::mem::replace(&mut path, interpreter));
            continue;
        }
        if !head.starts_with(b"\x7fELF") && path.as_os_str() == OsStr::from_bytes(execfn.to_bytes())
        {
            // execvp(3): what the kernel cannot execute is a script for the shell.
            check_text(&head, &path)?;
            argv.splice(..1, [c_string(OsStr::new("/bin/sh")), execfn.clone()]);
            path = PathBuf::from("/bin/sh");
            continue;
        }
        refuse_set_id(&file, &path)?;
        return Ok(Program {
            file,
            path,
            execfn,
            argv,
        });
    }
    let what = format!(
        "its #! interpreters are nested more than {} deep",
        script::DEEPEST
    );
    Err(CommandError::Format {
        path,
        what,
        remedy: "Name a program as the interpreter",
    })
}

/// An error told with the script that asks for the file, if one does.
fn of_script(script: Option<PathBuf>, error: CommandError) -> CommandError {
    match script {
        Some(script) => CommandError::Interpreter {
            script,
            source: Box::new(error),
        },
        None => error,
    }
}

/// Words of a command line, as execve(2) takes them.
pub(crate) fn c_strings(words: &[OsString]) -> Vec<CString> {
    words.iter().map(|word| c_string(word)).collect()
}

/// A word of a command line or a path, as execve(2) takes it.
pub(crate) fn c_string(s: &OsStr) -> CString {
    // Arguments come from C strings and paths from them, so there is no NUL to stop at.
    let bytes: Vec<u8> = s
        .as_bytes()
        .iter()
        .copied()
        .take_while(|&b| b != 0)
        .collect();
    CString::new(bytes).unwrap_or_default()
}

/// The file that `name` means, looked up in `path` where it has no slash.
///
/// # Errors
/// See [`CommandError`].
pub(crate) fn search(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let missing = || CommandError::NotFound {
        name: name.to_os_string(),
        hint: " in PATH",
    };
    if name.is_empty() {
        return Err(missing());
    }
    let mut denied = None;
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    for directory in path.as_bytes().split(|&b| b == b':') {
        let candidate = in_directory(directory, name);
        match check_executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
                denied.get_or_insert((candidate, e));
            }
            Err(_) => {}
        }
    }
    Err(denied.map_or_else(missing, |(path, source)| denied_error(path, source)))
}

/// The command `name` in an element of PATH.
pub(crate) fn in_directory(element: &[u8], name: &OsStr) -> PathBuf {
    match element {
        // An empty element is the current directory, which execvp shows as the bare name.
        b"" => PathBuf::from(OsString::from_vec([b"./", name.as_bytes()].concat())),
        _ => Path::new(OsStr::from_bytes(element)).join(name),
    }
}

fn denied_error(path: PathBuf, source: io::Error) -> CommandError {
    let remedy = match source.raw_os_error() {
        Some(libc::EACCES) if path.is_dir() => "It is a directory: name a file in it",
        Some(libc::EACCES) => "Make it executable (chmod +x), and its file system not noexec",
        _ => "Check the path",
    };
    CommandError::Denied {
        path,
        source,
        remedy,
    }
}

/// What execve(2) asks of a file before it looks inside.
///
/// # Errors
/// EACCES, or what looking says.
pub(crate) fn check_executable(path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    let c_path = c_string(path.as_os_str());
    // SAFETY: `c_path` is a NUL-terminated string for the whole call.
    let access = unsafe {
        libc::faccessat(
            libc::AT_FDCWD,
            c_path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    };
    // To root, faccessat grants what has any x bit: the kernel's exec does the same.
    if access != 0 || !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, CommandError> {
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => CommandError::NotFound {
            name: path.into(),
            hint: "",
        },
        _ => denied_error(path.into(), source),
    };
    check_executable(path).map_err(failed)?;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path)
        .map_err(|source| CommandError::Denied {
            path: path.into(),
            source,
            remedy: "vmmload must read the program to load it: make it readable, or run it as is",
        })?;
    if is_noexec(&file) {
        return Err(denied_error(
            path.into(),
            io::Error::from_raw_os_error(libc::EACCES),
        ));
    }
    Ok(file)
}

/// Whether nothing may be executed from the file's file system.
pub(crate) fn is_noexec(file: &File) -> bool {
    let mut fs = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `fs` is writable for the whole call, and zeroed memory is a valid statvfs.
    let fs = unsafe {
        libc::fstatvfs(file.as_raw_fd(), fs.as_mut_ptr());
        fs.assume_init()
    };
    fs.f_flag & libc::ST_NOEXEC != 0
}

fn read_head(file: &File, path: &Path) -> Result<Vec<u8>, CommandError> {
    script::head(file).map_err(|source| CommandError::Denied {
        path: path.into(),
        source,
        remedy: "Check the file",
    })
}

/// Refuses what a shell would choke on: a binary file of a format that is none of ours.
fn check_text(head: &[u8], path: &Path) -> Result<(), CommandError> {
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    if head.starts_with(b"#!") || line.contains(&0) {
        return Err(CommandError::Format {
            path: path.into(),
            what: "is neither an ELF program nor a script (exec format error)".into(),
            remedy: "Name a Linux x86-64 program, or a script whose first line is #!INTERPRETER",
        });
    }
    Ok(())
}

/// A set-user-ID program would run without the identity that it needs.
fn refuse_set_id(file: &File, path: &Path) -> Result<(), CommandError> {
    if changes_identity(file) {
        return Err(CommandError::Format {
            path: path.into(),
            what: "is a set-user-ID or set-group-ID program, which only the kernel can start"
                .into(),
            remedy: "Run it without vmmload",
        });
    }
    Ok(())
}

/// Whether the kernel would start a program from this file as another user or group.
pub(crate) fn changes_identity(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| is_set_id(&metadata))
}

/// Whether a file of which this is known is started as another user or group.
pub(crate) fn is_set_id(metadata: &Metadata) -> bool {
    let mode = metadata.permissions().mode();
    // SAFETY: both calls only ask.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let changes_user = mode & libc::S_ISUID != 0 && metadata.uid() != uid;
    let group_bits = libc::S_ISGID | libc::S_IXGRP;
    let changes_group = mode & group_bits == group_bits && metadata.gid() != gid;
    changes_user || changes_group
}

/// Reads the program headers' part of a file, however the kernel would.
///
/// # Errors
/// What pread(2) says; UnexpectedEof for a file that is too short.
pub(crate) fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(argv: &[OsString], path: Option<&OsStr>) -> Result<Program, CommandError> {
        load(search(&argv[0], path)?, c_strings(argv))
    }

    #[test]
    fn a_missing_command_is_127_and_a_directory_126() {
        let missing = find(&["no-such-command-here".into()], Some(OsStr::new("/bin"))).unwrap_err();
        assert_eq!(missing.code(), 127);
        let directory = find(&["/etc".into()], None).unwrap_err();
        assert_eq!(directory.code(), 126);
        assert!(directory.to_string().contains("is a directory"));
    }

    #[test]
    fn a_script_names_its_interpreter_itself_and_then_its_arguments() {
        let dir = std::env::temp_dir().join(format!("vmmload-script-{}", std::process::id()));
        std::fs::write(&dir, "#!/bin/cat -n\n").unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = find(&[dir.clone().into(), "a b".into()], None).unwrap();
        let argv: Vec<_> = program
            .argv
            .iter()
            .map(|a| a.to_str().unwrap().to_owned())
            .collect();
        let script = dir.to_str().unwrap();
        assert_eq!(argv, ["/bin/cat", "-n", script, "a b"]);
        assert_eq!(program.execfn.to_str().unwrap(), script);
        std::fs::remove_file(dir).unwrap();
    }
}
