//! The program's part of what the kernel tells of a wrapped process: its mappings, as maps, smaps,
//! smaps_rollup and numa_maps under /proc show them (proc(5)), without the launcher's.
//!
//! The kernel's own text is the source, so whatever it knows of a mapping is there; the table of
//! mappings says what of it is the program's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use vmmload_consumer::{Consumer, MappingClass};

use super::mappings::Mappings;

/// The column where the kernel begins names.
const NAME_COLUMN: usize = 73;
/// The page of legacy calls, which every process has.
const VSYSCALL: &str = "[vsyscall]";

/// What the kernel calls these in a process of its own, and cannot in ours.
const HEAP: &str = "[heap]";
const STACK: &str = "[stack]";

/// A range of addresses that is the program's. Its name where the kernel does not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    range: Range<u64>,
    label: Option<&'static str>,
}

/// Everything in an address space that is the program's, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owned(Vec<Piece>);

impl Owned {
    /// What a process of this table has.
    pub(crate) fn of_table(table: &Mappings) -> Self {
        Self::collect(table.iter().map(|(range, m)| (range.clone(), m.class())))
    }

    /// What the wrapped process `pid` has published.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let published = Consumer::attach(pid).ok()?.mappings()?;
        let entries = published.entries.iter();
        Some(Self::collect(entries.map(|m| (m.start..m.end, m.class))))
    }

    /// How many mappings of files in `maps` are not the program's: as many in each process of one launcher,
    /// unless what was published is out of date.
    pub(crate) fn strange_files(&self, maps: &str) -> usize {
        areas(maps)
            .filter(|a| a.name.starts_with('/') && !a.is_shared_memory())
            .filter(|a| !self.touches(&a.range))
            .count()
    }

    /// By class: names may be the program's own.
    fn collect(entries: impl Iterator<Item = (Range<u64>, MappingClass)>) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for (range, class) in entries {
            let label = match class {
                MappingClass::Heap => Some(HEAP),
                MappingClass::Stack => Some(STACK),
                _ => None,
            };
            match pieces.last_mut() {
                Some(last) if last.range.end == range.start && last.label == label => {
                    last.range.end = range.end;
                }
                _ => pieces.push(Piece { range, label }),
            }
        }
        Self(pieces)
    }

    /// Whether any of `range` is the program's.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        self.within(range).next().is_some()
    }

    fn within<'a>(&'a self, range: &'a Range<u64>) -> impl Iterator<Item = Piece> + 'a {
        let first = self.0.partition_point(|p| p.range.end <= range.start);
        let reached = self.0[first..].iter();
        reached
            .take_while(|p| p.range.start < range.end)
            .map(|p| Piece {
                range: p.range.start.max(range.start)..p.range.end.min(range.end),
                label: p.label,
            })
    }
}

/// A line of /proc/PID/maps.
#[derive(Debug, Clone)]
pub(crate) struct Area<'a> {
    /// Addresses.
    pub range: Range<u64>,
    /// Such as `rw-p`.
    pub rights: &'a str,
    offset: u64,
    device: &'a str,
    inode: &'a str,
    /// File, or in brackets.
    pub name: &'a str,
}

impl<'a> Area<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (rights, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let (device, rest) = rest.split_once(' ')?;
        let (inode, name) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Self {
            range: hex(start)?..hex(end)?,
            rights,
            offset: hex(offset)?,
            device,
            inode,
            name: name.trim_start_matches(' '),
        })
    }

    /// The parts of it that are the program's, named as natively.
    pub(crate) fn parts(&self, owned: &Owned) -> Vec<Area<'a>> {
        if self.name == VSYSCALL {
            return vec![self.clone()];
        }
        let parts = owned.within(&self.range).map(|piece| Area {
            offset: match self.inode {
                "0" => self.offset,
                _ => self.offset + (piece.range.start - self.range.start),
            },
            name: match (piece.label, self.name) {
                (Some(label), _) => label,
                (None, HEAP | STACK) => "",
                (None, name) => name,
            },
            range: piece.range,
            ..*self
        });
        parts.collect()
    }

    fn write(&self, text: &mut String) {
        let start = text.len();
        let _ = write!(
            text,
            "{:08x}-{:08x} {} {:08x} {} {} ",
            self.range.start, self.range.end, self.rights, self.offset, self.device, self.inode,
        );
        while !self.name.is_empty() && text.len() - start < NAME_COLUMN {
            text.push(' ');
        }
        text.push_str(self.name);
        text.push('\n');
    }

    fn is_shared_memory(&self) -> bool {
        let shared = ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero"];
        shared.iter().any(|prefix| self.name.starts_with(prefix))
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Every mapping of the process in `maps`, the launcher's too.
pub(crate) fn areas(maps: &str) -> impl Iterator<Item = Area<'_>> {
    maps.lines().filter_map(Area::parse)
}

/// The file that is mapped at `addr`.
pub(crate) fn file_at(maps: &str, addr: u64) -> Option<Area<'_>> {
    areas(maps).find(|a| a.range.contains(&addr) && a.name.starts_with('/'))
}

/// /proc/PID/maps.
pub(crate) fn maps(host: &str, owned: &Owned) -> String {
    let mut text = String::with_capacity(host.len());
    for area in areas(host) {
        for part in area.parts(owned) {
            part.write(&mut text);
        }
    }
    text
}

/// /proc/PID/smaps: each mapping is followed by lines that tell of it.
pub(crate) fn smaps(host: &str, owned: &Owned) -> String {
    let mut text = String::with_capacity(host.len());
    let mut lines = host.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(area) = Area::parse(line) else {
            continue;
        };
        let mut facts = Vec::new();
        while let Some(fact) = lines.next_if(|line| Area::parse(line).is_none()) {
            facts.push(fact);
        }
        for part in area.parts(owned) {
            part.write(&mut text);
            for fact in &facts {
                write_fact(&mut text, fact, part.size() / 1024);
            }
        }
    }
    text
}

/// Where the kernel has joined the launcher's memory with the program's, no number is beyond the size of
/// the program's part.
fn write_fact(text: &mut String, fact: &str, most: u64) {
    let counted = kilobytes(fact).filter(|(key, kb)| !key.ends_with("PageSize") && *kb > most);
    let _ = match counted {
        Some((key, _)) => writeln!(text, "{:<16}{most:>8} kB", format!("{key}:")),
        None => writeln!(text, "{fact}"),
    };
}

/// A line such as `Rss:   12 kB`.
pub(crate) fn kilobytes(line: &str) -> Option<(&str, u64)> {
    let (key, value) = line.split_once(':')?;
    Some((key, value.trim().strip_suffix(" kB")?.parse().ok()?))
}

/// /proc/PID/smaps_rollup: the sums over `smaps`, which is the program's part already.
pub(crate) fn rollup(host: &str, smaps: &str) -> String {
    let mut ends = areas(smaps).filter(|a| a.name != VSYSCALL);
    let Some(first) = ends.next() else {
        return String::new();
    };
    let last = ends.last().map_or(first.range.end, |a| a.range.end);
    let mut text = String::new();
    Area {
        range: first.range.start..last,
        rights: "---p",
        offset: 0,
        device: "00:00",
        inode: "0",
        name: "[rollup]",
    }
    .write(&mut text);
    let sums = Sums::of(smaps);
    for (key, _) in host.lines().filter_map(kilobytes) {
        let sum = sums.get(key);
        let _ = writeln!(text, "{:<16}{sum:>8} kB", format!("{key}:"));
    }
    text
}

/// Sums over the mappings of smaps.
#[derive(Default)]
struct Sums<'a> {
    each: BTreeMap<&'a str, u64>,
    anonymous: u64,
    shared: u64,
}

impl<'a> Sums<'a> {
    fn of(smaps: &'a str) -> Self {
        let mut sums = Self::default();
        let (mut in_shared, mut pss) = (false, 0);
        for line in smaps.lines() {
            if let Some(area) = Area::parse(line) {
                in_shared = area.is_shared_memory();
                continue;
            }
            let Some((key, kb)) = kilobytes(line) else {
                continue;
            };
            *sums.each.entry(key).or_default() += kb;
            match key {
                "Pss" => pss = kb,
                // Of a mapping's own pages, each counts in full unless a fork shares it.
                "Anonymous" if !in_shared => sums.anonymous += kb.min(pss),
                "Anonymous" => sums.shared += pss,
                _ => {}
            }
        }
        sums
    }

    /// The kernel tells anonymous memory, files and shared memory apart in the sums only.
    fn get(&self, key: &str) -> u64 {
        let each = |key| self.each.get(key).copied().unwrap_or(0);
        match key {
            "Pss_Anon" => self.anonymous,
            "Pss_Shmem" => self.shared,
            "Pss_File" => each("Pss").saturating_sub(self.anonymous + self.shared),
            _ => each(key),
        }
    }
}

/// /proc/PID/numa_maps: a line for each mapping, by its start alone.
pub(crate) fn numa_maps(host: &str, maps: &str, owned: &Owned) -> String {
    let mut text = String::with_capacity(host.len());
    for line in host.lines() {
        let Some((start, facts)) = line.split_once(' ') else {
            continue;
        };
        let start = u64::from_str_radix(start, 16).unwrap_or(0);
        let Some(area) = areas(maps).find(|a| a.range.start == start) else {
            continue;
        };
        for part in area.parts(owned) {
            let mut words: Vec<&str> = facts
                .split(' ')
                .filter(|word| !matches!(*word, "heap" | "stack"))
                .collect();
            if matches!(part.name, HEAP | STACK) {
                words.insert(1, part.name.trim_matches(['[', ']']));
            }
            let _ = writeln!(text, "{:08x} {}", part.range.start, words.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "\
1000-3000 r--p 00001000 fe:00 7                                          /bin/x y
3000-9000 rw-p 00000000 00:00 0                                          [heap]
9000-a000 rw-s 00000000 00:10 9                                          anon_inode:kvm-vcpu:0
";

    fn owned() -> Owned {
        let mine = [
            (0x2000..0x3000, MappingClass::File),
            (0x3000..0x4000, MappingClass::Anonymous),
        ];
        let heap = [(0x4000..0x5000, MappingClass::Heap)];
        Owned::collect(mine.into_iter().chain(heap))
    }

    #[test]
    fn only_the_programs_part_of_a_mapping_is_shown() {
        let text = maps(HOST, &owned());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("00002000-00003000 r--p 00002000 fe:00 7 "));
        assert!(lines[0].ends_with(" /bin/x y") && lines[0].find('/') == Some(NAME_COLUMN));
        assert_eq!(lines[1], "00003000-00004000 rw-p 00000000 00:00 0 ");
        assert!(lines[2].starts_with("00004000-00005000 ") && lines[2].ends_with(" [heap]"));
    }

    #[test]
    fn facts_of_a_mapping_go_with_it_and_are_summed() {
        let host = "\
3000-9000 rw-p 00000000 00:00 0 
Rss:                  24 kB
VmFlags: rd wr
9000-a000 rw-s 00000000 00:10 9                                          anon_inode:kvm-vcpu:0
Rss:                   4 kB
";
        let text = smaps(host, &owned());
        assert_eq!(
            text.matches("Rss:                   4 kB").count(),
            2,
            "{text}"
        );
        assert_eq!(text.matches("VmFlags: rd wr").count(), 2, "{text}");
        let sums = rollup("Rss:  1 kB\n", &text);
        assert!(sums.starts_with("00003000-00005000 ---p "), "{sums}");
        assert!(
            sums.ends_with("[rollup]\nRss:                   8 kB\n"),
            "{sums}"
        );
    }
}
