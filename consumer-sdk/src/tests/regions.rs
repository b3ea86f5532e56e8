//! Totals by region of 2 MiB: what huge pages would hold.

use super::{pair, small, write};
use crate::{HugePage, Kind, MappingEntry};

const BASE: u64 = 0x7f00_0000_0000;

#[test]
fn a_region_tells_its_pages_of_each_kind_and_of_any() {
    let (mut writer, consumer) = pair(&small(1024));
    assert_eq!(consumer.huge_pages(), []);
    for page in 0..100 {
        write(&mut writer, BASE + page * 4096, Kind::Write, 3);
    }
    for page in 90..130 {
        write(&mut writer, BASE + page * 4096, Kind::Read, 1);
    }
    write(&mut writer, BASE + 511 * 4096, Kind::Kernel, 1);
    write(&mut writer, BASE, Kind::Kernel, 1);
    let expected = HugePage {
        addr: BASE,
        touched: 131,
        written: 100,
        read: 40,
        kernel: 2,
    };
    assert_eq!(consumer.huge_pages(), [expected]);
    assert!((expected.utilisation() - 131.0 / 512.0).abs() < 1e-9);
}

#[test]
fn regions_are_ordered_by_address_whatever_was_touched_first() {
    let (mut writer, consumer) = pair(&small(1024));
    for region in [5, 0, 3] {
        write(&mut writer, BASE + (region << 21) + 4096, Kind::Write, 1);
    }
    let regions: Vec<_> = consumer
        .huge_pages()
        .iter()
        .map(|region| (region.addr, region.touched))
        .collect();
    let at = |region: u64| (BASE + (region << 21), 1);
    assert_eq!(regions, [at(0), at(3), at(5)]);
}

#[test]
fn a_region_names_the_mappings_that_are_there_or_else_were() {
    let (mut writer, consumer) = pair(&small(1024));
    let entry = |start, end, name, retired| MappingEntry {
        start: BASE + start,
        end: BASE + end,
        name,
        retired,
        ..MappingEntry::default()
    };
    let entries = [
        entry(0, 0x1000, "before", 0),
        entry(0x1f_f000, 0x20_1000, "across", 0),
        entry(0x30_0000, 0x30_1000, "inside", 0),
        entry(0x40_0000, 0x40_1000, "behind", 0),
        entry(0x20_0000, 0x20_1000, "gone from a used region", 7),
        entry(0x60_0000, 0x60_1000, "gone", 7),
    ];
    writer.publish_mappings(entries.into_iter());
    let mappings = consumer.mappings().unwrap();
    let names = |addr| {
        let region = HugePage {
            addr: BASE + addr,
            ..HugePage::default()
        };
        let found = region.mappings(&mappings);
        found.iter().map(|m| m.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(0x20_0000), ["across", "inside"]);
    assert_eq!(names(0x60_0000), ["gone"]);
    assert_eq!(names(0x80_0000), [""; 0]);
}
