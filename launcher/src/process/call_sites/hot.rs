//! Which call sites of a thread are hot.

/// Calls after which a site is hot.
const HOT: u8 = 16;

/// Sites that are counted at a time.
const SITES: usize = 256;

#[derive(Clone, Copy, Default)]
struct Counter {
    end: u64,
    calls: u8,
}

/// Counts calls by their sites; which of two that share a place is hotter shows in time.
pub(crate) struct HotSites {
    counters: Box<[Counter; SITES]>,
    generation: u32,
}

impl HotSites {
    /// Nothing was counted yet.
    pub(crate) fn new() -> Self {
        Self {
            counters: Box::new([Counter::default(); SITES]),
            generation: 0,
        }
    }

    /// Counts a call whose `syscall` instruction ends at `end`; whether the site has just become hot. `generation`:
    /// what is known goes when that changes.
    pub(crate) fn count(&mut self, end: u64, generation: u32) -> bool {
        if self.generation != generation {
            self.counters.fill(Counter::default());
            self.generation = generation;
        }
        let place = (end ^ (end >> 12)) as usize % SITES;
        let counter = &mut self.counters[place];
        if counter.end != end {
            *counter = Counter { end, calls: 0 };
        }
        if counter.calls > HOT {
            return false;
        }
        counter.calls += 1;
        counter.calls == HOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_becomes_hot_once() {
        let mut sites = HotSites::new();
        let times = |sites: &mut HotSites, generation| {
            (0..1000)
                .filter(|_| sites.count(0x1234, generation))
                .count()
        };
        assert_eq!(times(&mut sites, 1), 1);
        assert_eq!(times(&mut sites, 1), 0);
        assert_eq!(times(&mut sites, 2), 1);
    }
}
