//! Which file under /proc a descriptor or a path leads to, however it was reached.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::sync::OnceLock;

use super::descriptors::Parked;
use super::relay;

/// A file that the kernel keeps for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcFile {
    /// The process.
    pub pid: u32,
    /// Its name in the process's directory, or in that of one of its threads.
    pub name: String,
}

/// What stat(2) tells a file by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// What an open descriptor may turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file or directory that some kernel file system makes up, perhaps procfs.
    Virtual,
    /// The launcher's own executable.
    Launcher,
    /// Any other file.
    Other,
}

/// What `fd` is, at the cost of one call.
pub(crate) fn kind(fd: RawFd) -> Kind {
    let Some(stat) = stat(fd) else {
        return Kind::Other;
    };
    let is_known = matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
    if libc::major(stat.st_dev) == 0 && stat.st_blocks == 0 && is_known {
        return Kind::Virtual;
    }
    match launcher() == Some(identity(&stat)) {
        true => Kind::Launcher,
        false => Kind::Other,
    }
}

/// The file of a process that `fd` is open on.
pub(crate) fn of_descriptor(fd: RawFd) -> Option<ProcFile> {
    if !is_in_procfs(fd) {
        return None;
    }
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    parse(path.to_str()?)
}

/// The file of a process that `path`, relative to `directory`, names without following a link at its end.
pub(crate) fn of_path(directory: RawFd, path: &CStr) -> Option<ProcFile> {
    let open = || {
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let args = [
            directory as u64,
            path.as_ptr() as u64,
            flags as u64,
            0,
            0,
            0,
        ];
        // SAFETY: `path` is a string for the call; a descriptor that is returned is new.
        let fd = relay::check(unsafe { relay::raw(libc::SYS_openat, args) })
            .map_err(io::Error::from_raw_os_error)?;
        // SAFETY: as above.
        Ok(unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd as RawFd) })
    };
    let link = Parked::open(open).ok()?;
    of_descriptor(std::os::fd::AsRawFd::as_raw_fd(link.file()))
}

/// The components from the right, so that it does not matter where procfs is mounted.
fn parse(path: &str) -> Option<ProcFile> {
    let mut parts = path.rsplit('/');
    let file = |pid, name: &str| ProcFile {
        pid,
        name: name.to_owned(),
    };
    let name = parts.next()?;
    let id: u32 = parts.next()?.parse().ok()?;
    let is_thread = parts.next() == Some("task");
    match parts.next().map(str::parse::<u32>) {
        Some(Ok(pid)) if is_thread => Some(file(pid, name)),
        _ => Some(file(id, name)),
    }
}

/// What the kernel shows in the file at `path`, if this process may see it.
pub(crate) fn text(path: &str) -> Option<String> {
    let file = Parked::open(|| File::open(path)).ok()?;
    let mut bytes = Vec::new();
    file.file().read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into()))
}

/// The process that `id`, a process or one of its threads, belongs to.
pub(crate) fn process_of(id: u32) -> u32 {
    let own = std::process::id();
    if id == own || std::fs::exists(format!("/proc/self/task/{id}")).unwrap_or(false) {
        return own;
    }
    let status = text(&format!("/proc/{id}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.and_then(|g| g.trim().parse().ok()).unwrap_or(id)
}

/// Whether `pid` executes the same launcher as this process.
pub(crate) fn executes_launcher(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(facts) = std::fs::metadata(format!("/proc/{pid}/exe")) else {
        return false;
    };
    let theirs = Identity {
        device: facts.dev(),
        inode: facts.ino(),
    };
    launcher() == Some(theirs)
}

fn launcher() -> Option<Identity> {
    static LAUNCHER: OnceLock<Option<Identity>> = OnceLock::new();
    *LAUNCHER.get_or_init(|| {
        use std::os::unix::fs::MetadataExt;
        let facts = std::fs::metadata("/proc/self/exe").ok()?;
        Some(Identity {
            device: facts.dev(),
            inode: facts.ino(),
        })
    })
}

fn identity(stat: &libc::stat) -> Identity {
    Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

fn stat(fd: RawFd) -> Option<libc::stat> {
    // SAFETY: all-zero is a valid stat, which holds numbers only; it is writable for the call.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let args = [fd as u64, &raw mut stat as u64, 0, 0, 0, 0];
        (relay::raw(libc::SYS_fstat, args) == 0).then_some(stat)
    }
}

fn is_in_procfs(fd: RawFd) -> bool {
    // SAFETY: all-zero is a valid statfs, which holds numbers only; it is writable for the call.
    unsafe {
        let mut facts: libc::statfs = std::mem::zeroed();
        let args = [fd as u64, &raw mut facts as u64, 0, 0, 0, 0];
        relay::raw(libc::SYS_fstatfs, args) == 0 && facts.f_type == libc::PROC_SUPER_MAGIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_of_a_process_or_of_its_thread() {
        let named = |path| parse(path).map(|f| (f.pid, f.name));
        assert_eq!(named("/proc/42/maps"), Some((42, "maps".into())));
        assert_eq!(named("/proc/42/task/43/fd"), Some((42, "fd".into())));
        assert_eq!(named("/mnt/proc/42/exe"), Some((42, "exe".into())));
        assert_eq!(named("/proc/meminfo"), None);
        assert_eq!(named("/proc/sys/kernel/ostype"), None);
    }

    #[test]
    fn a_file_is_recognised_however_it_is_reached() {
        let own = std::process::id();
        for path in [
            c"/proc/self/exe",
            c"/proc/thread-self/exe",
            c"/proc/../proc/self/exe",
        ] {
            let file = of_path(libc::AT_FDCWD, path).expect("a file under /proc");
            assert_eq!((file.pid, &*file.name), (own, "exe"));
        }
        assert_eq!(of_path(libc::AT_FDCWD, c"/etc/passwd"), None);
    }
}
