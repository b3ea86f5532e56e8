//! What matters outside of KVM: kernel, modules, limits, shared memory.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::host::filesystem;

/// The kernel's modules for KVM: parameters and their values, by module.
pub(crate) type Modules = BTreeMap<String, BTreeMap<String, String>>;

/// Resource limits of this process; None: unlimited, or not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Hard RLIMIT_NOFILE: each thread of a program takes one descriptor for its vCPU.
    pub descriptors: Option<u64>,
    /// RLIMIT_AS in bytes.
    pub address_space: Option<u64>,
    /// RLIMIT_NPROC: threads of this user.
    pub threads: Option<u64>,
    /// Hard RLIMIT_FSIZE in bytes: `run` raises its own as far as that.
    pub file_size: Option<u64>,
}

/// As `uname -r` has it.
pub(crate) fn kernel_release() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

/// The parameters of every module of KVM that this user may read.
pub(crate) fn modules() -> Modules {
    let mut modules = Modules::new();
    for module in fs::read_dir("/sys/module").into_iter().flatten().flatten() {
        let name = module.file_name().to_string_lossy().into_owned();
        if name == "kvm" || name.starts_with("kvm_") {
            modules.insert(name, parameters(&module.path().join("parameters")));
        }
    }
    modules
}

fn parameters(directory: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let value = |file: fs::DirEntry| {
        let value = fs::read_to_string(file.path()).ok()?;
        let name = file.file_name().to_string_lossy().into_owned();
        Some((name, value.trim().to_owned()))
    };
    files.filter_map(value).collect()
}

/// The limits that matter.
pub(crate) fn limits() -> Limits {
    limits_of(&fs::read_to_string("/proc/self/limits").unwrap_or_default())
}

/// Reads /proc/PID/limits: name, soft limit, hard limit, unit, in columns.
fn limits_of(text: &str) -> Limits {
    let column = |name: &str, column: usize| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().nth(column)?.parse().ok()
    };
    Limits {
        descriptors: column("Max open files", 1),
        address_space: column("Max address space", 0),
        threads: column("Max processes", 0),
        file_size: column("Max file size", 1),
    }
}

/// Bytes left in /dev/shm, where this user may make files.
///
/// # Errors
/// Why there can be no file.
pub(crate) fn shared_memory() -> io::Result<u64> {
    // A file without a name: nobody sees it, and it is gone at once.
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open("/dev/shm")?;
    filesystem::room(c"/dev/shm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_off_their_columns() {
        let text = "\
Limit                     Soft Limit           Hard Limit           Units
Max file size             unlimited            unlimited            bytes
Max processes             3842                 4000                 processes
Max open files            1024                 524288               files
Max address space         unlimited            unlimited            bytes
";
        let expected = Limits {
            descriptors: Some(524_288),
            threads: Some(3842),
            ..Limits::default()
        };
        assert_eq!(limits_of(text), expected);
        assert_eq!(limits_of(""), Limits::default());
    }
}
