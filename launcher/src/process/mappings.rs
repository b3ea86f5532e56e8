//! The table of the program's mappings: the truth about what the guest may touch.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rangemap::RangeMap;
use vmmload_consumer::MappingClass;

/// Access rights of a mapping, as mmap(2) takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prot(u8);

impl Prot {
    /// PROT_READ, PROT_WRITE and PROT_EXEC of `prot`; other bits mean nothing to the guest.
    pub(crate) fn from_bits(prot: u64) -> Self {
        Self((prot & 7) as u8)
    }

    /// The bits as mmap(2) takes them.
    pub(crate) fn bits(self) -> u32 {
        self.0.into()
    }

    /// Whether anything is allowed: on x86, writing or executing implies reading.
    pub(crate) fn readable(self) -> bool {
        self.0 != 0
    }

    /// Whether stores are allowed.
    pub(crate) fn writable(self) -> bool {
        self.0 & libc::PROT_WRITE as u8 != 0
    }

    /// Whether instruction fetches are allowed.
    pub(crate) fn executable(self) -> bool {
        self.0 & libc::PROT_EXEC as u8 != 0
    }
}

/// The rights to ask the host for where the program asks for `prot`: the processor cannot allow writing or
/// executing without reading, and KVM reaches no page whose mapping does not say so.
pub(crate) fn host_prot(prot: u64) -> u64 {
    match Prot::from_bits(prot).readable() {
        true => prot | libc::PROT_READ as u64,
        false => prot,
    }
}

/// What lies behind a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Anonymous memory.
    Anonymous,
    /// What brk(2) moves the end of.
    Heap,
    /// The first thread's stack.
    Stack,
    /// Pages of the kernel's own, such as `[vdso]`.
    Special(Arc<str>),
    /// A file, or a device. `bias` is the file offset minus the address, which stays the same
    /// for every part of a mapping.
    File {
        /// As /proc/PID/fd showed it when it was mapped.
        path: Arc<str>,
        /// Offset minus address, modulo 2^64.
        bias: u64,
    },
    /// A System V segment.
    Segment {
        /// Its identifier.
        id: i32,
        /// Where it was attached.
        base: u64,
    },
}

/// Which mapping it is, whatever is at its address before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// Never used again; 0 before the mapping is in the table.
    pub id: u32,
    /// Epoch in which it came.
    pub born: u32,
}

/// What a mapping is used for, where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// The thread whose stack it is, or 0.
    pub thread: u32,
    /// As reports show it.
    pub name: Arc<str>,
}

/// One mapping. Neighbours that are equal are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Which one it is.
    pub identity: Identity,
    /// What it is used for.
    pub label: Option<Label>,
    /// What the program itself calls it, for reports alone.
    pub region: Option<Arc<str>>,
    /// What the program may do there.
    pub prot: Prot,
    /// Changes are seen by others.
    pub shared: bool,
    /// MAP_GROWSDOWN.
    pub grows_down: bool,
    /// What lies behind it.
    pub backing: Backing,
}

impl Mapping {
    /// A private anonymous mapping.
    pub(crate) fn anonymous(prot: Prot) -> Self {
        Self {
            identity: Identity::default(),
            label: None,
            region: None,
            prot,
            shared: false,
            grows_down: false,
            backing: Backing::Anonymous,
        }
    }

    /// The name as reports show it: what the program calls it, or as /proc/PID/maps has it. Empty for private anonymous
    /// memory without one.
    pub(crate) fn name(&self) -> &str {
        if let Some(name) = &self.region {
            return name;
        }
        if let Some(label) = &self.label {
            return &label.name;
        }
        match &self.backing {
            Backing::Anonymous if self.shared => "[anon_shmem]",
            Backing::Anonymous => "",
            Backing::Heap => "[heap]",
            Backing::Stack => "[stack]",
            Backing::Special(name) | Backing::File { path: name, .. } => name,
            Backing::Segment { .. } => "[sysv shared memory]",
        }
    }

    /// What reports sort it under.
    pub(crate) fn class(&self) -> MappingClass {
        match &self.backing {
            _ if self.thread() > 0 => MappingClass::ThreadStack,
            Backing::Anonymous if self.shared => MappingClass::Shared,
            Backing::Anonymous => MappingClass::Anonymous,
            Backing::Heap => MappingClass::Heap,
            Backing::Stack => MappingClass::Stack,
            Backing::Special(_) => MappingClass::Kernel,
            Backing::Segment { .. } => MappingClass::Shared,
            Backing::File { path, .. } => class_of_file(path),
        }
    }

    /// The thread whose stack it is, or 0.
    pub(crate) fn thread(&self) -> u32 {
        self.label.as_ref().map_or(0, |label| label.thread)
    }

    /// The offset in the file at address `start`; 0 where there is no file.
    pub(crate) fn offset_at(&self, start: u64) -> u64 {
        match self.backing {
            Backing::File { bias, .. } => start.wrapping_add(bias),
            _ => 0,
        }
    }

    /// Whether the host may be unable to provide a page of it (past the end of a file).
    pub(crate) fn may_fail(&self) -> bool {
        matches!(self.backing, Backing::File { .. })
    }

    /// The same mapping after its bytes have moved up by `distance` (modulo 2^64): at other addresses it is
    /// another one.
    pub(crate) fn moved(&self, distance: u64) -> Self {
        let mut moved = self.clone();
        if distance != 0 {
            moved.identity = Identity::default();
        }
        if let Backing::File { bias, .. } = &mut moved.backing {
            *bias = bias.wrapping_sub(distance);
        }
        if let Backing::Segment { base, .. } = &mut moved.backing {
            *base = base.wrapping_add(distance);
        }
        moved
    }
}

/// What is behind a path, as far as the path says it.
fn class_of_file(path: &str) -> MappingClass {
    const SHARED: [&str; 4] = ["/memfd:", "/dev/shm/", "/dev/zero", "/SYSV"];
    match path {
        path if SHARED.iter().any(|start| path.starts_with(start)) => MappingClass::Shared,
        path if path.starts_with("/dev/hugepages/") => MappingClass::Shared,
        path if path.starts_with("/dev/") => MappingClass::Device,
        _ => MappingClass::File,
    }
}

/// A mapping with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Page-aligned addresses.
    pub range: Range<u64>,
    /// What is there.
    pub mapping: Mapping,
}

/// All mappings of the program. The launcher's own are not in it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Mappings {
    map: RangeMap<u64, Mapping>,
    generation: u64,
    /// Identities given so far.
    identities: u32,
    epoch: Arc<AtomicU32>,
}

/// Mappings up to which each has an identity of its own. A program with more has them made side by side, like
/// a heap of many pieces, and the kernel takes such for one, too.
const TOLD_APART: usize = 8192;

impl Mappings {
    /// Counts every change, so that a reader knows whether to look again.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Replaces whatever is at `range`. A mapping that has no identity yet is given one.
    pub(crate) fn insert(&mut self, range: Range<u64>, mut mapping: Mapping) {
        if range.is_empty() {
            return;
        }
        self.generation += 1;
        if mapping.identity.id == 0 {
            mapping.identity = self.new_identity(&range, &mapping);
        }
        self.map.insert(range, mapping);
    }

    fn new_identity(&mut self, range: &Range<u64>, mapping: &Mapping) -> Identity {
        if self.map.len() >= TOLD_APART {
            let below = range.start.checked_sub(1).and_then(|at| self.map.get(&at));
            let beside = [below, self.map.get(&range.end)];
            for other in beside.into_iter().flatten() {
                let identity = other.identity;
                let same = Mapping {
                    identity,
                    ..mapping.clone()
                };
                if *other == same {
                    return identity;
                }
            }
        }
        self.identities += 1;
        Identity {
            id: self.identities,
            born: self.epoch.load(Ordering::Relaxed),
        }
    }

    /// Mappings that come from now on come in this epoch.
    pub(crate) fn set_epoch(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Removes whatever is at `range`.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.generation += 1;
            self.map.remove(range);
        }
    }

    /// The mapping at `addr`.
    pub(crate) fn at(&self, addr: u64) -> Option<(&Range<u64>, &Mapping)> {
        self.map.get_key_value(&addr)
    }

    /// The first mapping that begins above `addr`.
    pub(crate) fn above(&self, addr: u64) -> Option<(&Range<u64>, &Mapping)> {
        self.map
            .overlapping(addr..u64::MAX)
            .find(|(range, _)| range.start > addr)
    }

    /// The mappings within `range`, cut to it, in order.
    pub(crate) fn pieces(&self, range: Range<u64>) -> Vec<Piece> {
        self.map
            .overlapping(&range)
            .map(|(r, mapping)| Piece {
                range: r.start.max(range.start)..r.end.min(range.end),
                mapping: mapping.clone(),
            })
            .collect()
    }

    /// The mappings that reach into `range`, in order.
    pub(crate) fn overlapping<'a>(
        &'a self,
        range: &'a Range<u64>,
    ) -> impl Iterator<Item = (&'a Range<u64>, &'a Mapping)> + 'a {
        self.map.overlapping(range)
    }

    /// The parts of `range` that are mapped, joined where only the kind of mapping differs.
    pub(crate) fn mapped(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut joined: Vec<Range<u64>> = Vec::new();
        for (r, _) in self.map.overlapping(&range) {
            let part = r.start.max(range.start)..r.end.min(range.end);
            match joined.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => joined.push(part),
            }
        }
        joined
    }

    /// Whether all of `range` is mapped.
    pub(crate) fn covers(&self, range: Range<u64>) -> bool {
        !range.is_empty() && self.gaps(range).is_empty()
    }

    /// The parts of `range` that are not mapped.
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.map
            .gaps(&range)
            .filter(|gap| !gap.is_empty())
            .collect()
    }

    /// Every mapping, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Range<u64>, &Mapping)> {
        self.map.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;

    fn anonymous(prot: u64) -> Mapping {
        Mapping::anonymous(Prot::from_bits(prot))
    }

    #[test]
    fn neighbours_that_are_equal_are_one_mapping() {
        let mut table = Mappings::default();
        table.insert(0x1000..0x2000, anonymous(RW));
        let grown = table.at(0x1000).unwrap().1.clone();
        table.insert(0x2000..0x3000, grown);
        assert_eq!(table.at(0x2fff).unwrap().0, &(0x1000..0x3000));
    }

    #[test]
    fn a_fresh_mapping_is_never_taken_for_one_that_was_there_before() {
        let mut table = Mappings::default();
        let id_at = |table: &Mappings, addr| table.at(addr).unwrap().1.identity.id;
        table.insert(0x1000..0x4000, anonymous(RW));
        let first = id_at(&table, 0x1000);
        table.remove(0x2000..0x3000);
        table.insert(0x2000..0x3000, anonymous(RW));
        let second = id_at(&table, 0x2000);
        assert_ne!(first, second);
        assert_eq!(id_at(&table, 0x3000), first);
        let moved = table.at(0x2000).unwrap().1.moved(0x7000);
        table.insert(0x9000..0xa000, moved);
        assert_ne!(id_at(&table, 0x9000), second);
    }

    #[test]
    fn very_many_equal_neighbours_are_one_mapping() {
        let mut table = Mappings::default();
        for page in 1..=2 * TOLD_APART as u64 {
            table.insert(page * 0x1000..(page + 1) * 0x1000, anonymous(RW));
        }
        assert_eq!(table.iter().count(), TOLD_APART);
    }

    #[test]
    fn classes_follow_what_lies_behind_a_mapping() {
        let file = |path: &str| Mapping {
            backing: Backing::File {
                path: path.into(),
                bias: 0,
            },
            ..anonymous(RW)
        };
        let shared = Mapping {
            shared: true,
            ..anonymous(RW)
        };
        let stack = Mapping {
            label: Some(Label {
                thread: 7,
                name: "[stack:7]".into(),
            }),
            ..anonymous(RW)
        };
        for (mapping, class) in [
            (anonymous(RW), MappingClass::Anonymous),
            (file("/lib/x.so"), MappingClass::File),
            (file("/memfd:x (deleted)"), MappingClass::Shared),
            (file("/dev/shm/x"), MappingClass::Shared),
            (file("/dev/dri/card0"), MappingClass::Device),
            (shared, MappingClass::Shared),
            (stack, MappingClass::ThreadStack),
        ] {
            assert_eq!(mapping.class(), class, "{}", mapping.name());
        }
    }

    #[test]
    fn a_file_mapping_keeps_its_offset_when_its_middle_is_removed() {
        let file = Mapping {
            backing: Backing::File {
                path: "/f".into(),
                bias: 0u64.wrapping_sub(0x10000),
            },
            ..anonymous(RW)
        };
        let mut table = Mappings::default();
        table.insert(0x10000..0x14000, file);
        table.remove(0x11000..0x12000);
        let (range, mapping) = table.at(0x12000).unwrap();
        assert_eq!(mapping.offset_at(range.start), 0x2000);
        assert_eq!(
            mapping.moved(0x8000).offset_at(range.start + 0x8000),
            0x2000
        );
    }

    #[test]
    fn parts_of_a_range_are_cut_joined_and_complemented() {
        let mut table = Mappings::default();
        table.insert(0x1000..0x3000, anonymous(RW));
        table.insert(0x3000..0x4000, anonymous(1));
        table.insert(0x6000..0x7000, anonymous(1));
        assert_eq!(
            table.mapped(0x2000..0x8000),
            vec![0x2000..0x4000, 0x6000..0x7000]
        );
        assert_eq!(
            table.gaps(0x2000..0x8000),
            vec![0x4000..0x6000, 0x7000..0x8000]
        );
        assert_eq!(table.pieces(0x2000..0x3800).len(), 2);
        assert_eq!(table.above(0x4000).unwrap().0.start, 0x6000);
    }

    #[test]
    fn writing_implies_reading_and_no_right_at_all_is_none() {
        assert!(Prot::from_bits(libc::PROT_WRITE as u64).readable());
        assert!(!Prot::from_bits(libc::PROT_NONE as u64).readable());
    }
}
