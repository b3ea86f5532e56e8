//! The machine that a recording is made on, and who makes it.

use crate::recording::manifest::{MachineFacts, Recorder};
use std::fs;

/// What /proc says of the machine; what it does not say is empty.
pub(crate) fn facts() -> MachineFacts {
    let line = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    MachineFacts {
        host: line("/proc/sys/kernel/hostname"),
        kernel: line("/proc/sys/kernel/osrelease"),
        processor: field(&processors, "model name")
            .unwrap_or_default()
            .to_owned(),
        processors: std::thread::available_parallelism().map_or(0, |number| number.get() as u32),
        memory: field(&memory, "MemTotal").and_then(kib).unwrap_or(0),
    }
}

/// This process.
pub(crate) fn recorder() -> Option<Recorder> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let start_ticks = start_ticks(&stat)?;
    Some(Recorder {
        pid: std::process::id(),
        start_ticks,
    })
}

/// The value behind `NAME` and a colon.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim())
}

fn kib(text: &str) -> Option<u64> {
    let number: u64 = text.strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

/// Field 22 of proc_pid_stat(5); the name in the second may have any characters in it.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_understood() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2: fast\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 2: fast"));
        assert_eq!(kib("16 kB"), Some(16 << 10));
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(stat), Some(4711));
        assert!(recorder().is_some_and(|recorder| recorder.start_ticks > 0));
        assert!(facts().memory > 0);
    }
}
