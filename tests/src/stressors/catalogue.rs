//! Which stressors there are, what each needs to stay small, and which are not run.

use std::process::Command;

/// Stressors that change the machine that they run on, with what they change.
const LEFT_OUT: &[(&str, &str)] = &[
    ("bad-ioctl", "sends random requests to every device"),
    ("cpu-online", "takes processors away from everything else"),
    ("dev", "opens every device, the machine's watchdog included"),
    ("forkheavy", "fills the file system for a moment"),
    ("memhotplug", "takes memory away from everything else"),
    ("mmapfork", "fills all memory"),
    ("oom-pipe", "drives the machine out of memory"),
    ("reboot", "asks the kernel to reboot"),
    ("resources", "fills the file system for a moment"),
    ("smi", "raises system management interrupts"),
    ("swap", "adds swap space to the machine and takes it away"),
    ("sysfs", "changes settings of the kernel and of its devices"),
    ("watchdog", "arms the machine's watchdog"),
];

/// Sizes that fit a machine which does other work, too.
const BOUNDS: &[(&str, &[&str])] = &[
    ("bigheap", &["--bigheap-growth", "64K"]),
    ("clone", &["--clone-max", "32"]),
    ("copy-file", &["--copy-file-bytes", "128M"]),
    ("dirdeep", &["--dirdeep-inodes", "200"]),
    ("exec", &["--exec-max", "8"]),
    ("fallocate", &["--fallocate-bytes", "16M"]),
    ("fiemap", &["--fiemap-bytes", "16M"]),
    ("hdd", &["--hdd-bytes", "16M"]),
    ("iomix", &["--iomix-bytes", "16M"]),
    ("malloc", &["--malloc-bytes", "64M"]),
    ("memrate", &["--memrate-bytes", "16M"]),
    ("mmap", &["--mmap-bytes", "64M"]),
    ("mremap", &["--mremap-bytes", "8M"]),
    ("msync", &["--msync-bytes", "4M"]),
    ("readahead", &["--readahead-bytes", "16M"]),
    ("revio", &["--revio-bytes", "16M"]),
    ("seek", &["--seek-size", "16M"]),
    ("shm", &["--shm-bytes", "1M"]),
    ("shm-sysv", &["--shm-sysv-bytes", "1M"]),
    ("stream", &["--stream-l3-size", "4M"]),
    ("sync-file", &["--sync-file-bytes", "16M"]),
    ("userfaultfd", &["--userfaultfd-bytes", "4M"]),
    ("vm", &["--vm-bytes", "64M"]),
    ("vm-rw", &["--vm-rw-bytes", "16M"]),
    ("vm-splice", &["--vm-splice-bytes", "1M"]),
    ("zombie", &["--zombie-max", "32"]),
];

/// Why stressors that pass natively do not pass inside, where more is known than a run tells.
const KNOWN: &[(&str, &str)] = &[
    (
        "far-branch",
        "slow: its code lies on 384 pages far apart, on which a KVM in software takes thousands of faults a second",
    ),
    (
        "madvise",
        "slow: it reads /proc/self/smaps a thousand times, which takes 20 ms each time",
    ),
    (
        "secretmem",
        "memfd_secret(2) keeps memory from the kernel, and so from KVM; there is none inside",
    ),
    (
        "usersyscall",
        "PR_SET_SYSCALL_USER_DISPATCH would dispatch the launcher's calls, so there is none inside",
    ),
    (
        "vm-segv",
        "waits for a child that it traces, and tracing is refused inside",
    ),
];

/// Why a stressor does not pass inside, as far as that is known.
#[must_use]
pub fn known_reason(name: &str) -> Option<&'static str> {
    let entry = KNOWN.iter().find(|(known, _)| *known == name)?;
    Some(entry.1)
}

/// Why a stressor is not run; `None` if it is.
#[must_use]
pub fn why_left_out(name: &str) -> Option<&'static str> {
    let entry = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name)?;
    Some(entry.1)
}

/// The options that keep a stressor small.
pub(super) fn bounds(name: &str) -> &'static [&'static str] {
    let entry = BOUNDS.iter().find(|(bounded, _)| *bounded == name);
    entry.map_or(&[], |(_, options)| options)
}

/// Every stressor that this stress-ng has.
///
/// # Errors
/// When it cannot be started.
pub(super) fn names(stress_ng: &str) -> Result<Vec<String>, String> {
    let output = Command::new(stress_ng).arg("--stressors").output();
    let output = output.map_err(|cause| format!("{stress_ng}: {cause}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
