//! The heat and mapping tables when memory is refused, as on a full /dev/shm.

use crate::heat::{self, Backing, HeatMemory, HeatWriter};
use crate::mappings::{self, MapMemory, MapWriter, MappingEntry};
use crate::wire::{MAP_WORDS, PAGES_PER_REGION, REGION_WORDS};
use crate::words::Kind;
use std::sync::atomic::AtomicU64;

const HEAT_PAGES: usize = 4;

fn zeroes(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn a_refused_counter_page_is_asked_for_again_in_the_next_epoch_only() {
    let used = AtomicU64::new(0);
    let (regions, cells) = (
        zeroes(HEAT_PAGES * REGION_WORDS),
        zeroes(HEAT_PAGES * PAGES_PER_REGION),
    );
    let memory = HeatMemory {
        used: &used,
        regions: &regions,
        cells: &cells,
    };
    let mut heat = HeatWriter::new(HEAT_PAGES);
    let mut asked = Vec::new();
    let mut refuse = |part| {
        asked.push(part);
        part == Backing::Regions(0)
    };
    for _ in 0..3 {
        assert_eq!(heat.region(memory, 0x1000, Kind::Write, &mut refuse), None);
    }
    assert_eq!(asked, [Backing::Regions(0), Backing::Cells(0)]);
    heat.begin_epoch();
    let index = heat.region(memory, 0x1000, Kind::Write, |part| {
        part == Backing::Cells(0)
    });
    assert!(heat.add(memory, index.unwrap(), 0x1000, 5, 1));
    assert_eq!(
        heat::cells(memory)
            .map(|cell| (cell.addr, cell.count))
            .collect::<Vec<_>>(),
        [(0x1000, 5)]
    );
}

fn entry(start: u64) -> MappingEntry<'static> {
    MappingEntry {
        start,
        end: start + 1,
        offset: 0,
        prot: 0,
        name: "/usr/bin/true",
        ..MappingEntry::default()
    }
}

#[test]
fn a_table_without_memory_is_empty_and_says_so_and_names_are_counted() {
    let [version, state_0, state_1, used, dropped] = [0; 5].map(AtomicU64::new);
    let tables = [zeroes(16 * MAP_WORDS), zeroes(16 * MAP_WORDS)];
    let strings = zeroes(64);
    let memory = MapMemory {
        version: &version,
        states: [&state_0, &state_1],
        tables: [&tables[0], &tables[1]],
        strings_used: &used,
        names_dropped: &dropped,
        strings: &strings,
    };
    let mut writer = MapWriter::new();
    writer.publish(memory, (0..3).map(entry), |_| false);
    let copy = mappings::read(memory).unwrap();
    assert_eq!((copy.entries.len(), copy.truncated), (0, true));

    let tables_only = |part| matches!(part, mappings::Backing::Table(..));
    writer.publish(memory, (0..3).map(entry), tables_only);
    let copy = mappings::read(memory).unwrap();
    assert_eq!((copy.entries.len(), copy.truncated), (3, false));
    assert!(copy.entries.iter().all(|mapping| mapping.name.is_empty()));
    assert_eq!(dropped.into_inner(), 3);
}
