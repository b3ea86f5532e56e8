//! Where the parts of a segment are: computed by the writer, checked by the readers.

use crate::wire::{
    EpochSlot, EventRecord, Header, MAX_EPOCH_RECORDS, MAX_HEAT_PAGES, MAX_MAP_ENTRIES,
    MAX_RING_RECORDS, MAX_STRING_BYTES, MapRecord, PAGE_SIZE, PAGES_PER_REGION, WORD,
};
use core::ops::Range;

/// The parts of one segment. Offsets and sizes in bytes; every offset is a multiple of [`PAGE_SIZE`].
///
/// ```text
/// 0        ring      epochs    keys             counters             maps          strings  len
/// | header | records | records | heat_pages u64 | heat_pages x 4 KiB | 2 x entries | text   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) ring: usize,
    pub(crate) ring_records: usize,
    pub(crate) epochs: usize,
    pub(crate) epoch_records: usize,
    pub(crate) keys: usize,
    pub(crate) counters: usize,
    pub(crate) heat_pages: usize,
    pub(crate) maps: usize,
    pub(crate) map_entries: usize,
    pub(crate) strings: usize,
    pub(crate) string_bytes: usize,
    pub(crate) len: usize,
}

/// A header field whose value cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) field: &'static str,
    pub(crate) value: u64,
}

impl Layout {
    /// Lays the parts out one behind the other, each on a page of its own.
    ///
    /// # Errors
    /// The first size that is zero, too large, or (for the ring) no power of two.
    pub(crate) fn new(
        ring_records: u32,
        epoch_records: u32,
        heat_pages: u32,
        map_entries: u32,
        string_bytes: u32,
    ) -> Result<Self, BadField> {
        check_records("ring_records", ring_records, MAX_RING_RECORDS)?;
        check_records("epoch_records", epoch_records, MAX_EPOCH_RECORDS)?;
        check_size("heat_pages", heat_pages, MAX_HEAT_PAGES)?;
        check_size("map_entries", map_entries, MAX_MAP_ENTRIES)?;
        check_size("string_bytes", string_bytes, MAX_STRING_BYTES)?;
        let [records, pages] = [ring_records as usize, heat_pages as usize];
        let [entries, text] = [map_entries as usize, string_bytes as usize];
        let ring = PAGE_SIZE;
        let epochs = page_up(ring + records * size_of::<EventRecord>());
        let keys = page_up(epochs + epoch_records as usize * size_of::<EpochSlot>());
        let counters = page_up(keys + pages * WORD);
        let maps = counters + pages * PAGE_SIZE;
        let strings = maps + 2 * map_table_bytes(entries);
        Ok(Self {
            ring,
            ring_records: records,
            epochs,
            epoch_records: epoch_records as usize,
            keys,
            counters,
            heat_pages: pages,
            maps,
            map_entries: entries,
            strings,
            string_bytes: page_up(text),
            len: strings + page_up(text),
        })
    }

    /// Reads the layout from a header that may say anything, against the true length of the file.
    ///
    /// # Errors
    /// The first field that is out of its range, misaligned, or points past `file_len`.
    pub(crate) fn from_header(header: &Header, file_len: u64) -> Result<Self, BadField> {
        let fixed = [
            ("file_len", header.file_len, file_len),
            ("page_size", u64::from(header.page_size), PAGE_SIZE as u64),
            (
                "header_len",
                u64::from(header.header_len),
                size_of::<Header>() as u64,
            ),
            (
                "event_size",
                u64::from(header.event_size),
                size_of::<EventRecord>() as u64,
            ),
            (
                "epoch_size",
                u64::from(header.epoch_size),
                size_of::<EpochSlot>() as u64,
            ),
            (
                "pages_per_region",
                u64::from(header.pages_per_region),
                PAGES_PER_REGION as u64,
            ),
            (
                "map_size",
                u64::from(header.map_size),
                size_of::<MapRecord>() as u64,
            ),
        ];
        for (field, value, expected) in fixed {
            if value != expected {
                return Err(BadField { field, value });
            }
        }
        let text = u32::try_from(header.string_bytes).map_err(|_| BadField {
            field: "string_bytes",
            value: header.string_bytes,
        })?;
        // The sizes decide everything else: the offsets must be the ones that follow from them.
        let layout = Self::new(
            header.ring_records,
            header.epoch_records,
            header.heat_pages,
            header.map_entries,
            text,
        )?;
        let offsets = [
            ("ring_offset", header.ring_offset, layout.ring),
            ("epochs_offset", header.epochs_offset, layout.epochs),
            ("keys_offset", header.keys_offset, layout.keys),
            ("counters_offset", header.counters_offset, layout.counters),
            ("maps_offset", header.maps_offset, layout.maps),
            ("strings_offset", header.strings_offset, layout.strings),
            ("string_bytes", header.string_bytes, layout.string_bytes),
            ("file_len", header.file_len, layout.len),
        ];
        for (field, value, expected) in offsets {
            if value != expected as u64 {
                return Err(BadField { field, value });
            }
        }
        Ok(layout)
    }

    /// Words of the event ring.
    pub(crate) fn ring_words(&self) -> Range<usize> {
        words(self.ring, self.ring_records * size_of::<EventRecord>())
    }

    /// Words of the ring of epochs.
    pub(crate) fn epoch_words(&self) -> Range<usize> {
        words(self.epochs, self.epoch_records * size_of::<EpochSlot>())
    }

    /// Words of the heat table's keys.
    pub(crate) fn key_words(&self) -> Range<usize> {
        words(self.keys, self.heat_pages * WORD)
    }

    /// Words of the heat table's counter pages.
    pub(crate) fn counter_words(&self) -> Range<usize> {
        words(self.counters, self.heat_pages * PAGE_SIZE)
    }

    /// Byte offset of mapping table `index`, 0 or 1.
    pub(crate) fn map_table(&self, index: usize) -> usize {
        self.maps + index * map_table_bytes(self.map_entries)
    }

    /// Words of mapping table `index`, 0 or 1.
    pub(crate) fn map_words(&self, index: usize) -> Range<usize> {
        words(
            self.map_table(index),
            self.map_entries * size_of::<MapRecord>(),
        )
    }

    /// Words of the string area.
    pub(crate) fn string_words(&self) -> Range<usize> {
        words(self.strings, self.string_bytes)
    }
}

fn words(offset: usize, bytes: usize) -> Range<usize> {
    offset / WORD..(offset + bytes) / WORD
}

fn map_table_bytes(entries: usize) -> usize {
    page_up(entries * size_of::<MapRecord>())
}

fn page_up(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE_SIZE)
}

fn check_records(field: &'static str, records: u32, max: u32) -> Result<(), BadField> {
    if !records.is_power_of_two() {
        return Err(BadField {
            field,
            value: u64::from(records),
        });
    }
    check_size(field, records, max)
}

fn check_size(field: &'static str, value: u32, max: u32) -> Result<(), BadField> {
    if value == 0 || value > max {
        return Err(BadField {
            field,
            value: u64::from(value),
        });
    }
    Ok(())
}
