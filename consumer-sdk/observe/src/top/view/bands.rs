//! Which addresses a picture of memory has rows for: those that were touched, with the gaps between them folded.

use crate::top::sample::{Block, Column};
use std::ops::Range;
use std::rc::Rc;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Addresses that were not touched between some that were are shown, up to so many bytes.
const WIDEST_SHOWN_GAP: u64 = 64 * PAGE;
/// Most bands that are joined with care.
const MOST_BANDS: usize = 256;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    /// Its addresses.
    pub(crate) range: Range<u64>,
    /// Id of the mapping that most of its events are in.
    pub(crate) mapping: u32,
    /// It begins a mapping.
    pub(crate) is_first: bool,
    /// Addresses are left out before it.
    pub(crate) has_gap: bool,
    /// Other mappings are in it, too: there are fewer rows than mappings.
    pub(crate) is_mixed: bool,
}

/// Touched addresses without a gap.
#[derive(Clone, Debug)]
struct Stretch {
    start: u64,
    end: u64,
    events: u64,
    mapping: u32,
    /// Events in that mapping.
    of_mapping: u64,
    is_mixed: bool,
}

impl Stretch {
    fn join(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.events += other.events;
        self.is_mixed |= other.is_mixed || other.mapping != self.mapping;
        if other.mapping == self.mapping {
            self.of_mapping += other.of_mapping;
        } else if other.of_mapping > self.of_mapping {
            (self.mapping, self.of_mapping) = (other.mapping, other.of_mapping);
        }
    }

    fn pages(&self) -> u64 {
        (self.end - self.start).div_ceil(PAGE).max(1)
    }
}

/// At most `rows` rows for what these columns have, by address. `bounds` are the addresses of a mapping, where they are
/// known.
pub(crate) fn bands(
    columns: &[Rc<Column>],
    rows: usize,
    wanted: impl Fn(&Block) -> bool,
    bounds: impl Fn(u32) -> Option<Range<u64>>,
) -> Vec<Band> {
    let blocks = columns.iter().flat_map(|column| &column.blocks);
    let mut pieces: Vec<Stretch> = blocks
        .filter(|block| wanted(block))
        .filter_map(|block| piece(*block, bounds(block.mapping)))
        .collect();
    pieces.sort_unstable_by_key(|piece| (piece.start, piece.mapping));
    let mut stretches = join_neighbours(pieces);
    join_to(&mut stretches, rows);
    split(&stretches, rows)
}

/// A block within its mapping: coarse ones reach beyond.
fn piece(block: Block, bounds: Option<Range<u64>>) -> Option<Stretch> {
    let (mut start, mut end) = (block.start, block.end());
    if let Some(bounds) = bounds {
        (start, end) = (start.max(bounds.start), end.min(bounds.end));
    }
    let events = u64::from(block.events);
    (start < end).then_some(Stretch {
        start,
        end,
        events,
        mapping: block.mapping,
        of_mapping: events,
        is_mixed: false,
    })
}

/// Joins what overlaps, and what is near in the same mapping.
fn join_neighbours(pieces: Vec<Stretch>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for piece in pieces {
        match stretches.last_mut() {
            Some(last)
                if piece.start < last.end
                    || piece.mapping == last.mapping
                        && piece.start - last.end <= WIDEST_SHOWN_GAP =>
            {
                last.join(&piece);
            }
            _ => stretches.push(piece),
        }
    }
    stretches
}

/// Joins neighbours, those with the fewest events first, until there are few enough.
fn join_to(stretches: &mut Vec<Stretch>, rows: usize) {
    if stretches.len() > MOST_BANDS.max(rows) {
        let size = stretches.len().div_ceil(MOST_BANDS.max(rows));
        let joined = stretches.chunks(size).map(|chunk| {
            let mut all = chunk[0].clone();
            chunk[1..].iter().for_each(|other| all.join(other));
            all
        });
        *stretches = joined.collect();
    }
    while stretches.len() > rows.max(1) {
        let events = |at: &usize| stretches[*at].events + stretches[*at + 1].events;
        let Some(at) = (0..stretches.len() - 1).min_by_key(events) else {
            return;
        };
        let next = stretches.remove(at + 1);
        stretches[at].join(&next);
    }
}

/// Gives every stretch a row, and more to those that are longer, up to one for each page.
fn split(stretches: &[Stretch], rows: usize) -> Vec<Band> {
    let mut parts = vec![1usize; stretches.len()];
    for _ in stretches.len()..rows {
        // By the logarithm: one large mapping does not take all of the room.
        let need = |at: &usize| (1.0 + stretches[*at].pages() as f64).log2() / parts[*at] as f64;
        let can_grow = |at: &usize| (parts[*at] as u64) < stretches[*at].pages();
        let growing = (0..stretches.len()).filter(can_grow);
        let Some(at) = growing.max_by(|a, b| need(a).total_cmp(&need(b)).then(b.cmp(a))) else {
            break;
        };
        parts[at] += 1;
    }
    let mut bands: Vec<Band> = Vec::new();
    for (stretch, &parts) in stretches.iter().zip(&parts) {
        let pages = stretch.pages();
        let at = |part: usize| {
            let offset = u128::from(pages) * part as u128 / parts as u128;
            stretch
                .start
                .saturating_add((offset as u64).saturating_mul(PAGE))
        };
        for part in 0..parts {
            let end = match part + 1 == parts {
                true => stretch.end,
                false => at(part + 1),
            };
            let before = bands.last();
            bands.push(Band {
                range: at(part)..end,
                mapping: stretch.mapping,
                is_first: before.is_none_or(|band| band.mapping != stretch.mapping),
                has_gap: before.is_some_and(|band| band.range.end != at(part)),
                is_mixed: stretch.is_mixed,
            });
        }
    }
    bands
}

/// Events in a second of each row and column; a block that reaches over several rows is shared among them.
pub(crate) fn densities(
    columns: &[Rc<Column>],
    bands: &[Band],
    wanted: impl Fn(&Block) -> bool,
) -> Vec<Vec<f64>> {
    let mut table = vec![vec![0.0; columns.len()]; bands.len()];
    for (at, column) in columns.iter().enumerate() {
        let seconds = column.span.as_secs_f64();
        if seconds <= 0.0 {
            continue;
        }
        for block in column.blocks.iter().filter(|block| wanted(block)) {
            let first = bands.partition_point(|band| band.range.end <= block.start);
            let hit = bands[first..]
                .iter()
                .take_while(|band| band.range.start < block.end());
            let overlap =
                |band: &Band| band.range.end.min(block.end()) - band.range.start.max(block.start);
            let whole: u64 = hit.clone().map(overlap).fold(0, u64::saturating_add);
            for (row, band) in hit.enumerate() {
                let share = overlap(band) as f64 / whole.max(1) as f64;
                table[first + row][at] += f64::from(block.events) * share / seconds;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn block(page: u64, events: u32, mapping: u32, shift: u8) -> Block {
        Block {
            start: page * PAGE,
            events,
            mapping,
            shift,
        }
    }

    fn column(blocks: Vec<Block>) -> Vec<Rc<Column>> {
        vec![Rc::new(Column {
            span: Duration::from_secs(2),
            blocks,
            left_out: 0,
        })]
    }

    fn all(_: &Block) -> bool {
        true
    }

    #[test]
    fn gaps_are_folded_and_rows_go_to_where_pages_are() {
        let mut blocks: Vec<Block> = (0..8).map(|page| block(page, 1, 1, 12)).collect();
        // The same mapping, far away; then another.
        blocks.push(block(1 << 20, 5, 1, 12));
        blocks.push(block((1 << 20) + 1, 5, 2, 12));
        let columns = column(blocks);
        let bands = bands(&columns, 6, all, |_| None);
        let pages: Vec<_> = bands
            .iter()
            .map(|band| (band.range.start / PAGE, band.range.end / PAGE))
            .collect();
        let far = 1 << 20;
        assert_eq!(
            pages,
            [
                (0, 2),
                (2, 4),
                (4, 6),
                (6, 8),
                (far, far + 1),
                (far + 1, far + 2)
            ]
        );
        let flags: Vec<_> = bands.iter().map(|b| (b.is_first, b.has_gap)).collect();
        assert_eq!(
            flags,
            [
                (true, false),
                (false, false),
                (false, false),
                (false, false),
                (false, true),
                (true, false)
            ]
        );
        let table = densities(&columns, &bands, all);
        let events: Vec<f64> = table.iter().map(|row| row[0]).collect();
        assert_eq!(events, [1.0, 1.0, 1.0, 1.0, 2.5, 2.5]);
    }

    #[test]
    fn there_are_never_more_rows_than_asked_for_and_no_event_is_lost() {
        let blocks: Vec<Block> = (0..3000u64)
            .map(|at| block(at * 1000, 1 + (at % 7) as u32, at as u32, 12))
            .collect();
        let sum: f64 = blocks.iter().map(|block| f64::from(block.events)).sum();
        let columns = column(blocks);
        for rows in [1, 2, 9, 300] {
            let bands = bands(&columns, rows, all, |_| None);
            assert!(bands.len() <= rows && !bands.is_empty());
            assert!(bands.iter().any(|band| band.is_mixed));
            assert!(
                bands
                    .windows(2)
                    .all(|two| two[0].range.end <= two[1].range.start)
            );
            let table = densities(&columns, &bands, all);
            let found: f64 = table.iter().flatten().sum();
            assert!((found * 2.0 - sum).abs() < 1e-6, "{found} of {sum}");
        }
    }

    #[test]
    fn coarse_blocks_end_with_their_mapping() {
        let columns = column(vec![block(0, 8, 1, 16)]);
        let bounds = |_| Some(4 * PAGE..6 * PAGE);
        let bands = bands(&columns, 10, all, bounds);
        assert_eq!(bands.len(), 2);
        assert_eq!(bands[0].range, 4 * PAGE..5 * PAGE);
        let table = densities(&columns, &bands, all);
        assert_eq!([table[0][0], table[1][0]], [2.0, 2.0]);
    }

    #[test]
    fn addresses_at_the_end_of_everything_have_a_row() {
        let last = block(u64::MAX / PAGE, 1, 1, 12);
        let columns = column(vec![last, block(0, 1, 2, 63)]);
        let bands = bands(&columns, 5, all, |_| None);
        assert!(!bands.is_empty());
    }
}
