//! The program's part of what the kernel counts for a wrapped process, as stat, statm and status under
//! /proc show it (proc(5)): without the launcher's memory, threads, descriptors and handlers.

use std::fmt::Write;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::view::{Area, Owned, areas};
use crate::guest::layout::PAGE;
use crate::host::descriptors::Parked;

/// Numbers of a wrapped process that the kernel counts otherwise, in bytes where not said otherwise.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Mapped.
    size: u64,
    /// Private and writable, without the stack.
    data: u64,
    /// The first thread's stack.
    stack: u64,
    /// The executable's code.
    code: u64,
    /// All other code.
    libraries: u64,
    code_range: Range<u64>,
    /// What the launcher has in memory.
    launcher: Resident,
    /// Threads of the launcher's own.
    pub helpers: u64,
    /// Set of signals with a handler; None where only the process itself knows.
    pub caught: Option<u64>,
    /// Where brk(2) began; None where only the process itself knows.
    pub heap: Option<u64>,
    /// The highest descriptor; None where it is not told.
    pub highest_descriptor: Option<u64>,
}

/// Bytes in memory, by kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Resident {
    anonymous: u64,
    file: u64,
    shared: u64,
}

impl Resident {
    fn all(&self) -> u64 {
        self.anonymous + self.file + self.shared
    }
}

impl Counts {
    /// Adds up what `maps` has for process `pid`, whose program is `executable`.
    pub(crate) fn of(pid: u32, maps: &str, owned: &Owned, executable: &str) -> Self {
        let mut counts = Self::default();
        for area in areas(maps) {
            for part in area.parts(owned).iter().filter(|p| p.name != "[vsyscall]") {
                counts.add(part, executable);
            }
        }
        counts.launcher = launcher_resident(pid, maps, owned);
        counts
    }

    fn add(&mut self, part: &Area<'_>, executable: &str) {
        self.size += part.size();
        let has = |right| part.rights.contains(right);
        if part.name == "[stack]" {
            self.stack += part.size();
        } else if has('w') && has('p') {
            self.data += part.size();
        } else if has('x') && part.name == executable {
            if self.code == 0 {
                self.code_range = part.range.clone();
            }
            self.code += part.size();
        } else if has('x') && !has('w') {
            self.libraries += part.size();
        }
    }

    /// The line of /proc/PID/stat.
    pub(crate) fn stat(&self, host: &str) -> Option<String> {
        let (name, fields) = host.trim_end().rsplit_once(") ")?;
        let mut fields: Vec<String> = fields.split(' ').map(str::to_owned).collect();
        let mut replace = |number: usize, new: &dyn Fn(u64) -> u64| {
            // Field 3 is the first behind the name.
            let field = fields.get_mut(number - 3);
            if let Some(field) = field
                && let Ok(old) = field.parse()
            {
                *field = new(old).to_string();
            }
        };
        replace(20, &|threads| threads - self.helpers.min(threads));
        replace(23, &|_| self.size);
        let launcher = self.launcher.all() / PAGE;
        replace(24, &|resident| resident.saturating_sub(launcher));
        // Zero where the kernel does not tell.
        replace(26, &|old| if old > 1 { self.code_range.start } else { old });
        replace(27, &|old| if old > 1 { self.code_range.end } else { old });
        replace(34, &|old| self.caught.map_or(old, |set| set & 0x7fff_ffff));
        replace(47, &|old| match self.heap {
            Some(heap) if old != 0 => heap,
            _ => old,
        });
        Some(format!("{name}) {}\n", fields.join(" ")))
    }

    /// The line of /proc/PID/statm, in pages.
    pub(crate) fn statm(&self, host: &str) -> Option<String> {
        let old: Vec<u64> = host
            .split(' ')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        let [_, resident, shared, ..] = old[..] else {
            return None;
        };
        let launcher = &self.launcher;
        Some(format!(
            "{} {} {} {} 0 {} 0\n",
            self.size / PAGE,
            resident.saturating_sub(launcher.all() / PAGE),
            shared.saturating_sub((launcher.file + launcher.shared) / PAGE),
            self.code / PAGE,
            (self.data + self.stack) / PAGE,
        ))
    }

    /// The lines of /proc/PID/status.
    pub(crate) fn status(&self, host: &str) -> String {
        let find = |key: &str| {
            let line = host.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|v| {
                v.trim_start_matches(':')
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
        };
        let host_size: u64 = find("VmSize").unwrap_or(0);
        let mut text = String::with_capacity(host.len());
        for line in host.lines() {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.split_whitespace().next().unwrap_or("");
            let Some(new) = self.fact(key, value, host_size) else {
                let _ = writeln!(text, "{line}");
                continue;
            };
            let _ = match key {
                "SigCgt" => writeln!(text, "{key}:\t{new:016x}"),
                "Threads" | "FDSize" => writeln!(text, "{key}:\t{new}"),
                _ => writeln!(text, "{key}:\t{new:>8} kB"),
            };
        }
        text
    }

    /// What a line of status says natively, where that is another number.
    fn fact(&self, key: &str, value: &str, host_size: u64) -> Option<u64> {
        let old = || value.parse::<u64>().ok();
        let launcher = &self.launcher;
        let without = |bytes: u64| Some(old()?.saturating_sub(bytes / 1024));
        match key {
            "VmSize" => Some(self.size / 1024),
            "VmPeak" => Some(self.size / 1024 + old()?.saturating_sub(host_size)),
            "VmHWM" | "VmRSS" => without(launcher.all()),
            "RssAnon" => without(launcher.anonymous),
            "RssFile" => without(launcher.file),
            "RssShmem" => without(launcher.shared),
            "VmData" => Some(self.data / 1024),
            "VmStk" => Some(self.stack / 1024),
            "VmExe" => Some(self.code / 1024),
            "VmLib" => Some(self.libraries / 1024),
            "Threads" => Some(old()?.saturating_sub(self.helpers)),
            "SigCgt" => self.caught,
            "FDSize" => self.highest_descriptor.map(table_size),
            _ => None,
        }
    }
}

/// How long the kernel's table is that has room for descriptor `highest` (alloc_fdtable).
fn table_size(highest: u64) -> u64 {
    match highest {
        0..64 => 64,
        n => (n / 128 + 1).next_power_of_two() * 128,
    }
}

/// What of the memory between the program's is there (pagemap, admin-guide/mm/pagemap.rst).
fn launcher_resident(pid: u32, maps: &str, owned: &Owned) -> Resident {
    let mut resident = Resident::default();
    let Ok(pagemap) = Parked::open(|| File::open(format!("/proc/{pid}/pagemap"))) else {
        return resident;
    };
    for area in areas(maps).filter(|a| !a.name.starts_with("[v")) {
        let mut start = area.range.start;
        for part in area.parts(owned) {
            count(
                pagemap.file(),
                &area,
                start..part.range.start,
                &mut resident,
            );
            start = part.range.end;
        }
        count(pagemap.file(), &area, start..area.range.end, &mut resident);
    }
    resident
}

fn count(pagemap: &File, area: &Area<'_>, range: Range<u64>, resident: &mut Resident) {
    const ENTRIES: u64 = 4096;
    const PRESENT: u64 = 1 << 63;
    const FILE: u64 = 1 << 61;
    let mut bytes = vec![0; (ENTRIES * 8) as usize];
    let mut page = range.start / PAGE;
    while page < range.end / PAGE {
        let pages = ENTRIES.min(range.end / PAGE - page);
        let bytes = &mut bytes[..(pages * 8) as usize];
        if pagemap.read_exact_at(bytes, page * 8).is_err() {
            return;
        }
        for entry in bytes.chunks_exact(8) {
            let entry = u64::from_ne_bytes(entry.try_into().unwrap_or_default());
            let kind = match area.name.starts_with("/dev/shm/") {
                _ if entry & PRESENT == 0 => continue,
                true => &mut resident.shared,
                false if entry & FILE != 0 => &mut resident.file,
                false => &mut resident.anonymous,
            };
            *kind += PAGE;
        }
        page += pages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts {
            size: 40 << 10,
            data: 8 << 10,
            stack: 4 << 10,
            launcher: Resident {
                anonymous: 4 << 10,
                file: 8 << 10,
                shared: 0,
            },
            helpers: 1,
            caught: Some(2),
            highest_descriptor: Some(70),
            ..Counts::default()
        }
    }

    #[test]
    fn numbers_of_the_launcher_are_taken_off() {
        let host = "Name:\tx\nFDSize:\t32768\nVmSize:\t     100 kB\nVmRSS:\t      20 kB\nThreads:\t3\n\
                    SigCgt:\tffffffffffffffff\n";
        let expected = "Name:\tx\nFDSize:\t128\nVmSize:\t      40 kB\nVmRSS:\t       8 kB\n\
                        Threads:\t2\nSigCgt:\t0000000000000002\n";
        assert_eq!(counts().status(host), expected);
        assert_eq!(
            counts().statm("25 9 5 3 0 9 0\n").as_deref(),
            Some("10 6 3 0 0 3 0\n")
        );
    }

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        let fields: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let host = format!("7 (a) b) S {}\n", fields.join(" "));
        let text = counts().stat(&host).unwrap();
        assert!(text.starts_with("7 (a) b) S 4 5 "), "{text}");
        let fields: Vec<&str> = text.split(' ').collect();
        assert_eq!(fields[20], "19", "{text}");
        assert_eq!(fields[23], (40 << 10).to_string(), "{text}");
    }
}
