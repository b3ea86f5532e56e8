//! The second pass: what happened where and when.

use super::axis::Axis;
use super::events::{self, KERNEL, Place};
use super::layout::Layout;
use super::model::TemperaturePoint;
use super::touched::{Index, Touched};
use crate::failure::Failure;
use crate::recording::rows::Rows;

/// Epochs that it takes to tell warm from cool.
const EPOCHS_TO_TELL: u64 = 10;
/// Stretches that there are at least, if there are as many columns.
const FEWEST_STRETCHES: usize = 20;

/// Cells of the heat map, and temperatures over time.
#[derive(Debug)]
pub(super) struct Cells {
    /// See [`HeatMap::cells`](super::model::HeatMap::cells).
    pub(super) cells: [Vec<u32>; 3],
    pub(super) over_time: Vec<TemperaturePoint>,
}

/// What a unit was in the current stretch.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    /// The last stretch in which it was touched, counted from 1.
    stretch: u32,
    /// In it: write and read events, kernel events.
    own: u32,
    kernel: u32,
    /// Its row: beside the rest, as memory that is looked at in no order is what this pass waits for.
    row: u16,
}

/// What the pass keeps.
struct Pass<'a> {
    touched: &'a mut Touched,
    axis: &'a Axis,
    /// Epochs in each column.
    epochs: &'a [u32],
    cells: [Vec<u32>; 3],
    /// The column of the event before, whose epoch began then.
    recent: (i64, usize),
    columns_in_stretch: usize,
    lately: Vec<Lately>,
    /// Units that were touched in this stretch.
    current: Vec<Index>,
    /// The stretch that is being added up, counted from 1.
    stretch: usize,
    /// Distinct pages so far.
    seen: u64,
    over_time: Vec<TemperaturePoint>,
}

impl Cells {
    /// Reads the events once more.
    ///
    /// # Errors
    /// See [`events::each_place`].
    pub(super) fn read(
        rows: &Rows,
        touched: &mut Touched,
        layout: &Layout,
        axis: &Axis,
        epochs: &[u32],
    ) -> Result<Self, Failure> {
        let cells = layout.rows.len() * axis.columns();
        let mut pass = Pass {
            cells: [0; 3].map(|_| vec![0; cells]),
            recent: (i64::MIN, 0),
            columns_in_stretch: columns_in_stretch(epochs),
            lately: layout.row_of.iter().map(|&row| Lately::of(row)).collect(),
            current: Vec::new(),
            stretch: 1,
            seen: 0,
            over_time: Vec::new(),
            touched,
            axis,
            epochs,
        };
        events::each_place(rows, |place| pass.add(place))?;
        let last = axis.columns().div_ceil(pass.columns_in_stretch);
        while pass.over_time.len() < last {
            pass.end_stretch();
        }
        Ok(Self {
            cells: pass.cells,
            over_time: pass.over_time,
        })
    }
}

impl Lately {
    fn of(row: u16) -> Self {
        Self {
            row,
            ..Self::default()
        }
    }
}

/// How many columns make one stretch: as many as have epochs enough, but not so many that there are few stretches.
fn columns_in_stretch(epochs: &[u32]) -> usize {
    let all: u64 = epochs.iter().map(|&epochs| u64::from(epochs)).sum();
    let enough = (EPOCHS_TO_TELL * epochs.len() as u64).div_ceil(all.max(1)) as usize;
    enough.min(epochs.len() / FEWEST_STRETCHES).max(1)
}

impl Pass<'_> {
    fn add(&mut self, place: &Place) {
        if self.recent.0 != place.time_ns {
            self.recent = (place.time_ns, self.axis.column(place.time_ns));
        }
        let column = self.recent.1;
        let Some(index) = self.touched.index(place.address) else {
            // Only where somebody has put another file in the place of one since the first pass.
            return;
        };
        let count = u32::try_from(place.count).unwrap_or(u32::MAX);
        // What comes late is counted in the stretch that is open.
        while column / self.columns_in_stretch >= self.stretch {
            self.end_stretch();
        }
        let lately = &mut self.lately[index.0 as usize];
        let row = usize::from(lately.row);
        let cell = &mut self.cells[place.kind][row * self.axis.columns() + column];
        *cell = cell.saturating_add(count);
        if lately.stretch < self.stretch as u32 {
            if lately.stretch == 0 {
                self.seen += u64::from(self.touched.unit(index).pages);
            }
            *lately = Lately {
                stretch: self.stretch as u32,
                ..Lately::of(lately.row)
            };
            self.current.push(index);
        }
        let events = match place.kind {
            KERNEL => &mut lately.kernel,
            _ => &mut lately.own,
        };
        *events = events.saturating_add(count);
    }

    /// Adds up what was how hot in this stretch, and begins the next one.
    fn end_stretch(&mut self) {
        let first = (self.stretch - 1) * self.columns_in_stretch;
        let columns = self.epochs.iter().skip(first).take(self.columns_in_stretch);
        let epochs = columns.map(|&epochs| u64::from(epochs)).sum::<u64>().max(1) as f64;
        let begins = self.axis.start_ns() as f64 + first as f64 * self.axis.width_ns() as f64;
        let mut point = TemperaturePoint {
            time: begins / 1e9,
            ..TemperaturePoint::default()
        };
        for &index in &self.current {
            let lately = self.lately[index.0 as usize];
            let pages = u64::from(self.touched.unit(index).pages);
            let touched = f64::from(lately.own.max(lately.kernel)) / pages as f64 / epochs;
            *match touched {
                0.5.. => &mut point.hot,
                0.1.. => &mut point.warm,
                _ => &mut point.cool,
            } += pages;
        }
        point.cold = self.seen - point.hot - point.warm - point.cool;
        self.over_time.push(point);
        self.current.clear();
        self.stretch += 1;
    }
}
