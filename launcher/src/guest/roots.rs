//! The top-level tables of the vCPUs: all show the same, but for the window (see `layout`), in which each vCPU has
//! pages of its own.
//!
//! ```text
//! vCPU's root -- the window's entry -----> its own tables down to the window: stubs and request page
//!            \-- every other entry ------> the tables that all share
//! ```
//!
//! On the way down to the window a vCPU has tables of its own, in which the shared entries beside that way are
//! repeated. So an entry of an upper level may lie in several places at once: [`Roots::places`] tells.

use vm_memory::{Address, GuestAddress};

/// Levels above the leaf tables: 1 to 3.
const LEVELS: usize = 3;

/// The tables of one vCPU on the way to the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    /// That of level 1, of level 2, and the root.
    pub tables: [GuestAddress; LEVELS],
}

/// Where the processors look for an entry of the shared tables.
#[derive(Debug, Clone, Copy)]
pub(super) enum Places<'a> {
    /// In the shared table.
    Shared,
    /// Not there, but in a copy of the table that each vCPU has.
    Copies {
        /// Of the vCPUs.
        roots: &'a [Root],
        /// Which of their tables.
        table: usize,
        /// Of the entry in it, in bytes.
        offset: u64,
    },
    /// Each has an entry of its own instead.
    Own,
}

impl<'a> Places<'a> {
    /// The copies.
    pub(super) fn copies(self) -> impl Iterator<Item = GuestAddress> + use<'a> {
        let (roots, table, offset): (&'a [Root], _, _) = match self {
            Places::Copies {
                roots,
                table,
                offset,
            } => (roots, table, offset),
            Places::Shared | Places::Own => (&[][..], 0, 0),
        };
        roots
            .iter()
            .map(move |root| root.tables[table].unchecked_add(offset))
    }
}

/// Of all vCPUs.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    window: u64,
    all: Vec<Root>,
}

/// Index of the entry for `va` in a table of `level`.
pub(super) const fn index(va: u64, level: u32) -> u64 {
    (va >> (12 + 9 * level)) & 511
}

/// First address that the table which holds the entry of `level` for `va` maps; 0 for the root.
const fn table_start(va: u64, level: u32) -> u64 {
    let shift = 12 + 9 * (level + 1);
    va >> shift << shift
}

impl Roots {
    /// No vCPU has tables yet. `window`: where each will have pages of its own.
    pub(super) fn new(window: u64) -> Self {
        Self {
            window,
            all: Vec::new(),
        }
    }

    /// One vCPU more, whose tables already show what the others' show.
    pub(super) fn add(&mut self, root: Root) {
        self.all.push(root);
    }

    /// Where the processors look for the entry of `level` (1 to 3) for `va`.
    pub(super) fn places(&self, va: u64, level: u32) -> Places<'_> {
        if table_start(va, level) != table_start(self.window, level) {
            return Places::Shared;
        }
        if index(va, level) == index(self.window, level) {
            return Places::Own;
        }
        Places::Copies {
            roots: &self.all,
            table: level as usize - 1,
            offset: 8 * index(va, level),
        }
    }

    /// All entries of which each vCPU has a copy: the first address that each maps, and its level.
    pub(super) fn copied(&self) -> impl Iterator<Item = (u64, u32)> {
        (1..=3).flat_map(move |level| {
            let start = table_start(self.window, level);
            (0..512u64)
                .map(move |at| (start + (at << (12 + 9 * level)), level))
                .filter(move |&(va, _)| index(va, level) != index(self.window, level))
        })
    }

    /// The window's first address.
    pub(super) fn window(&self) -> u64 {
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 0x7f12_3460_0000;

    fn two() -> Roots {
        let mut roots = Roots::new(WINDOW);
        for base in [0x1000, 0x11000] {
            roots.add(Root {
                tables: [0, 0x1000, 0x2000].map(|at| GuestAddress(base + at)),
            });
        }
        roots
    }

    fn copies(va: u64, level: u32) -> Vec<u64> {
        two().places(va, level).copies().map(|at| at.0).collect()
    }

    #[test]
    fn every_root_has_each_top_level_entry_but_the_windows() {
        assert_eq!(copies(0, 3), [0x3000, 0x13000]);
        assert_eq!(copies(1 << 39, 3), [0x3008, 0x13008]);
        assert!(matches!(two().places(WINDOW, 3), Places::Own));
    }

    #[test]
    fn beside_the_way_to_the_window_entries_are_repeated() {
        let beside = WINDOW + (1 << 30);
        let at = 8 * index(beside, 2);
        assert_eq!(copies(beside, 2), [0x2000 + at, 0x12000 + at]);
        assert!(matches!(two().places(beside, 1), Places::Shared));
        let near = WINDOW + (1 << 21);
        let at = 8 * index(near, 1);
        assert_eq!(copies(near, 1), [0x1000 + at, 0x11000 + at]);
        assert!(matches!(two().places(near, 2), Places::Own));
    }

    #[test]
    fn what_is_copied_covers_everything_but_the_window_once() {
        let roots = two();
        let covers = |va: u64| {
            let span = |level: u32| 1u64 << (12 + 9 * level);
            let over = |&(start, level): &(u64, u32)| (start..start + span(level)).contains(&va);
            roots.copied().filter(over).count()
        };
        for va in [0, 0x40_0000, WINDOW - 1, WINDOW + (1 << 21), 1 << 46] {
            assert_eq!(covers(va), 1, "{va:#x}");
        }
        assert_eq!(covers(WINDOW), 0);
    }

    #[test]
    fn elsewhere_all_share_the_tables() {
        for level in 1..=2 {
            assert!(matches!(two().places(0x40_0000, level), Places::Shared));
        }
    }
}
