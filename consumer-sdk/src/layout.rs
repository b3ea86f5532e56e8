//! Where the parts of a segment are: computed by the writer, checked by the readers.

use crate::wire::{
    EpochSlot, EventRecord, Header, LinkSlot, MAX_EPOCH_RECORDS, MAX_HEAT_PAGES, MAX_LINK_RECORDS,
    MAX_MAP_ENTRIES, MAX_MARK_RECORDS, MAX_RING_RECORDS, MAX_STRING_BYTES, MapRecord, MarkSlot,
    PAGE_SIZE, PAGES_PER_REGION, REGION_WORDS, WORD,
};
use core::ops::Range;

/// The parts of one segment. Offsets and sizes in bytes; every offset is a multiple of [`PAGE_SIZE`].
///
/// ```text
/// 0        ring      epochs    links     regions           cells                maps          strings marks
/// | header | records | records | records | heat_pages x 16 | heat_pages x 4 KiB | 2 x entries | text | records |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) ring: usize,
    pub(crate) ring_records: usize,
    pub(crate) epochs: usize,
    pub(crate) epoch_records: usize,
    pub(crate) links: usize,
    pub(crate) link_records: usize,
    pub(crate) regions: usize,
    pub(crate) cells: usize,
    pub(crate) heat_pages: usize,
    pub(crate) maps: usize,
    pub(crate) map_entries: usize,
    pub(crate) strings: usize,
    pub(crate) string_bytes: usize,
    pub(crate) marks: usize,
    /// Zero: there are no marks, as in segments of version 1.0.
    pub(crate) mark_records: usize,
    pub(crate) len: usize,
    parts: Parts,
}

/// Begin and end of the parts that each event goes to, in words: kept, because working them out takes longer than
/// publishing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    ring: (usize, usize),
    regions: (usize, usize),
    cells: (usize, usize),
}

/// How large the parts of a segment are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) ring_records: u32,
    pub(crate) epoch_records: u32,
    pub(crate) link_records: u32,
    pub(crate) heat_pages: u32,
    pub(crate) map_entries: u32,
    pub(crate) string_bytes: u32,
    /// Zero: there are no marks.
    pub(crate) mark_records: u32,
}

impl Sizes {
    fn check(&self) -> Result<(), BadField> {
        check_records("ring_records", self.ring_records, MAX_RING_RECORDS)?;
        check_records("epoch_records", self.epoch_records, MAX_EPOCH_RECORDS)?;
        check_records("link_records", self.link_records, MAX_LINK_RECORDS)?;
        if self.mark_records != 0 {
            check_records("mark_records", self.mark_records, MAX_MARK_RECORDS)?;
        }
        check_size("heat_pages", self.heat_pages, MAX_HEAT_PAGES)?;
        check_size("map_entries", self.map_entries, MAX_MAP_ENTRIES)?;
        check_size("string_bytes", self.string_bytes, MAX_STRING_BYTES)
    }
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
    /// The first size that is zero, too large, or (for a ring) no power of two.
    pub(crate) fn new(sizes: &Sizes) -> Result<Self, BadField> {
        sizes.check()?;
        let [
            ring_records,
            epoch_records,
            link_records,
            heat_pages,
            map_entries,
            text,
            mark_records,
        ] = [
            sizes.ring_records,
            sizes.epoch_records,
            sizes.link_records,
            sizes.heat_pages,
            sizes.map_entries,
            sizes.string_bytes,
            sizes.mark_records,
        ]
        .map(|size| size as usize);
        let ring = PAGE_SIZE;
        let epochs = page_up(ring + ring_records * size_of::<EventRecord>());
        let links = page_up(epochs + epoch_records * size_of::<EpochSlot>());
        let regions = page_up(links + link_records * size_of::<LinkSlot>());
        let cells = page_up(regions + heat_pages * REGION_WORDS * WORD);
        let maps = cells + heat_pages * PAGE_SIZE;
        let strings = maps + 2 * map_table_bytes(map_entries);
        let marks = strings + page_up(text);
        let parts = Parts {
            ring: words(ring, ring_records * size_of::<EventRecord>()),
            regions: words(regions, heat_pages * REGION_WORDS * WORD),
            cells: words(cells, heat_pages * PAGE_SIZE),
        };
        Ok(Self {
            ring,
            ring_records,
            epochs,
            epoch_records,
            links,
            link_records,
            regions,
            cells,
            heat_pages,
            maps,
            map_entries,
            strings,
            string_bytes: page_up(text),
            marks,
            mark_records,
            len: marks + page_up(mark_records * size_of::<MarkSlot>()),
            parts,
        })
    }

    /// Reads the layout from a header that may say anything, against the true length of the file.
    ///
    /// # Errors
    /// The first field that is out of its range, misaligned, or points past `file_len`.
    pub(crate) fn from_header(header: &Header, file_len: u64) -> Result<Self, BadField> {
        check_fixed(header, file_len)?;
        let string_bytes = u32::try_from(header.string_bytes).map_err(|_| BadField {
            field: "string_bytes",
            value: header.string_bytes,
        })?;
        // The sizes decide everything else: the offsets must be the ones that follow from them.
        let layout = Self::new(&Sizes {
            ring_records: header.ring_records,
            epoch_records: header.epoch_records,
            link_records: header.link_records,
            heat_pages: header.heat_pages,
            map_entries: header.map_entries,
            string_bytes,
            mark_records: header.mark_records,
        })?;
        layout.check_offsets(header)?;
        // What a later minor version adds is in the header's first page, and behind the last part.
        if header.file_len < layout.len as u64 {
            let (field, value) = ("file_len", header.file_len);
            return Err(BadField { field, value });
        }
        Ok(layout)
    }

    fn check_offsets(&self, header: &Header) -> Result<(), BadField> {
        let (marks, mark_size) = match self.mark_records {
            0 => (0, 0),
            _ => (self.marks, size_of::<MarkSlot>()),
        };
        let offsets = [
            ("ring_offset", header.ring_offset, self.ring),
            ("epochs_offset", header.epochs_offset, self.epochs),
            ("links_offset", header.links_offset, self.links),
            ("regions_offset", header.regions_offset, self.regions),
            ("cells_offset", header.cells_offset, self.cells),
            ("maps_offset", header.maps_offset, self.maps),
            ("strings_offset", header.strings_offset, self.strings),
            ("string_bytes", header.string_bytes, self.string_bytes),
            ("marks_offset", header.marks_offset, marks),
            ("mark_size", header.mark_size.into(), mark_size),
        ];
        for (field, value, expected) in offsets {
            if value != expected as u64 {
                return Err(BadField { field, value });
            }
        }
        Ok(())
    }

    /// Words of the event ring.
    pub(crate) fn ring_words(&self) -> Range<usize> {
        let (start, end) = self.parts.ring;
        start..end
    }

    /// Words of the ring of epochs.
    pub(crate) fn epoch_words(&self) -> Range<usize> {
        range(self.epochs, self.epoch_records * size_of::<EpochSlot>())
    }

    /// Words of the ring of process links.
    pub(crate) fn link_words(&self) -> Range<usize> {
        range(self.links, self.link_records * size_of::<LinkSlot>())
    }

    /// Words of the heat table's list of regions.
    pub(crate) fn region_words(&self) -> Range<usize> {
        let (start, end) = self.parts.regions;
        start..end
    }

    /// Words of the heat table's counter pages.
    pub(crate) fn cell_words(&self) -> Range<usize> {
        let (start, end) = self.parts.cells;
        start..end
    }

    /// Byte offset of mapping table `index`, 0 or 1.
    pub(crate) fn map_table(&self, index: usize) -> usize {
        self.maps + index * map_table_bytes(self.map_entries)
    }

    /// Words of mapping table `index`, 0 or 1.
    pub(crate) fn map_words(&self, index: usize) -> Range<usize> {
        range(
            self.map_table(index),
            self.map_entries * size_of::<MapRecord>(),
        )
    }

    /// Words of the ring of marks.
    pub(crate) fn mark_words(&self) -> Range<usize> {
        range(self.marks, self.mark_records * size_of::<MarkSlot>())
    }

    /// Words of the string area.
    pub(crate) fn string_words(&self) -> Range<usize> {
        range(self.strings, self.string_bytes)
    }
}

/// The fields that have one value in all segments of this major version.
fn check_fixed(header: &Header, file_len: u64) -> Result<(), BadField> {
    let fixed = [
        ("page_size", header.page_size, PAGE_SIZE),
        ("event_size", header.event_size, size_of::<EventRecord>()),
        ("epoch_size", header.epoch_size, size_of::<EpochSlot>()),
        ("link_size", header.link_size, size_of::<LinkSlot>()),
        ("map_size", header.map_size, size_of::<MapRecord>()),
        (
            "pages_per_region",
            header.pages_per_region,
            PAGES_PER_REGION,
        ),
    ];
    for (field, value, expected) in fixed {
        if value as usize != expected {
            let value = value.into();
            return Err(BadField { field, value });
        }
    }
    // A later minor version may have a longer one.
    if !(size_of::<Header>()..=PAGE_SIZE).contains(&(header.header_len as usize)) {
        let (field, value) = ("header_len", header.header_len.into());
        return Err(BadField { field, value });
    }
    if header.file_len != file_len {
        let (field, value) = ("file_len", header.file_len);
        return Err(BadField { field, value });
    }
    Ok(())
}

fn words(offset: usize, bytes: usize) -> (usize, usize) {
    (offset / WORD, (offset + bytes) / WORD)
}

fn range(offset: usize, bytes: usize) -> Range<usize> {
    let (start, end) = words(offset, bytes);
    start..end
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
