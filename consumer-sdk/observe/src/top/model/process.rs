//! What is kept of one process between two refreshes.

use super::epoch_pages::EpochPages;
use super::spread::{self, Spread};
use crate::top::sample::{Column, History, Key, MOST_COLUMNS, ProcessSample, Rates, WorkingSet};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};
use vmmload_consumer::{
    Consumer, Counter, Epoch, Event, Info, Kind, Mappings, Status, monotonic_ns,
};

/// Most records of one process that are read at a time: a fast one must not keep the others waiting.
const MOST_RECORDS: u64 = 1 << 20;
/// Most mappings that are told apart; events of others count as of none that is known. A table has half as many.
const MOST_MAPPINGS: usize = 1 << 15;
/// So many epochs without an end, and nothing is known to go on.
const SILENT_EPOCHS: u32 = 3;
/// Epochs of this length at least are waited for, where they are as short as can be.
const SHORTEST_EPOCH: Duration = Duration::from_millis(50);

/// Since when events are counted, for rates. Events appear at the ends of epochs, so the time that counts is that
/// between those and not between looks.
#[derive(Clone, Copy, Debug)]
struct Window {
    at: Instant,
    epoch_ns: u64,
    totals: [u64; 3],
    /// Intervals over which epochs went on so far: a long one is no silence while these grow.
    stretched: u64,
}

impl Window {
    fn new(info: &Info, at: Instant, epoch_ns: u64) -> Self {
        Self {
            at,
            epoch_ns,
            totals: info.totals,
            stretched: info.counter(Counter::StretchedTicks),
        }
    }
}

/// One process under watch.
#[derive(Debug)]
pub(super) struct Watched {
    key: Key,
    command: String,
    window: Window,
    /// Since when nothing has told that an epoch ends or goes on.
    quiet_since: Instant,
    /// Events by mapping since the window began.
    counts: HashMap<u32, [u64; 3]>,
    rates: Option<Rates>,
    activity: Rc<BTreeMap<u32, Rates>>,
    /// Events by address since the last column.
    spreads: HashMap<u32, Spread>,
    column_began: Instant,
    pub(super) history: Rc<History>,
    pages: EpochPages,
    /// There was more to read than is read at a time.
    is_behind: bool,
    epoch: Option<Epoch>,
    mappings: Rc<Mappings>,
    lost: u64,
}

impl Watched {
    /// From now on: what is in the ring already is of the past.
    pub(super) fn begin(consumer: &mut Consumer, number: u64, now: Instant) -> Self {
        let epoch = consumer.epochs().pop();
        consumer.skip_to_now();
        let info = consumer.info();
        Self {
            key: Key::new(consumer.id(), number),
            command: info.command_line(),
            window: Window::new(&info, now, info.epoch_ns),
            quiet_since: now,
            counts: HashMap::new(),
            rates: None,
            activity: Rc::default(),
            spreads: HashMap::new(),
            column_began: now,
            history: Rc::default(),
            pages: EpochPages::from(info.epoch),
            is_behind: false,
            epoch,
            mappings: Rc::new(consumer.mappings().unwrap_or_default()),
            // Those of later are lost records to this reader, too.
            lost: info.ring_dropped,
        }
    }

    /// Which it is.
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Reads the epochs and the records that are there.
    pub(super) fn drain(&mut self, consumer: &mut Consumer, buffer: &mut [Event]) {
        // In this order: the records of an epoch that has ended are there.
        while let Some(epoch) = consumer.next_epoch() {
            self.epoch = Some(epoch);
        }
        let mut passed = 0;
        self.is_behind = true;
        while passed < MOST_RECORDS {
            let batch = consumer.read(buffer);
            if batch.read == 0 && batch.lost == 0 {
                self.is_behind = false;
                return;
            }
            passed = passed.saturating_add(batch.lost + batch.read as u64);
            self.lost = self.lost.saturating_add(batch.lost);
            for event in &buffer[..batch.read] {
                self.count(event);
                self.pages.add(event, batch.lost > 0);
            }
            if batch.lost > 0 {
                self.pages.note_loss();
            }
        }
    }

    fn count(&mut self, event: &Event) {
        let is_known =
            self.counts.contains_key(&event.mapping) || self.counts.len() < MOST_MAPPINGS;
        let mapping = if is_known { event.mapping } else { 0 };
        let counts = self.counts.entry(mapping).or_default();
        counts[event.kind as usize] += u64::from(event.count);
        let is_known =
            self.spreads.contains_key(&event.mapping) || self.spreads.len() < MOST_MAPPINGS;
        let mapping = if is_known { event.mapping } else { 0 };
        let spread = self.spreads.entry(mapping).or_default();
        spread.add(event.addr, event.count);
    }

    /// Everything as of now, behind a [`Self::drain`].
    pub(super) fn sample(
        &mut self,
        consumer: &mut Consumer,
        status: Status,
        now: Instant,
    ) -> ProcessSample {
        let info = consumer.info();
        if self.mappings.version != consumer.mappings_version() {
            // Changing too fast to be copied: the earlier copy will do until the next time.
            self.mappings = consumer
                .mappings()
                .map_or_else(|| Rc::clone(&self.mappings), Rc::new);
        }
        self.measure(&info, now);
        self.end_column(now);
        let is_running = status == Status::Running;
        ProcessSample {
            key: self.key,
            command: self.command.clone(),
            status,
            track: info.track,
            rates: self.rates.filter(|_| is_running),
            touched: info.pages,
            has_more_pages: info.heat_dropped > 0,
            lost: self.lost,
            age: info.age,
            interval: info.interval,
            max_overhead: info.max_overhead,
            epoch: self.epoch,
            mappings: Rc::clone(&self.mappings),
            activity: Rc::clone(&self.activity),
            working_set: self.working_set(),
            history: Rc::clone(&self.history),
        }
    }

    fn working_set(&self) -> Option<Rc<WorkingSet>> {
        if self.is_behind {
            return None;
        }
        self.pages.of(self.epoch?.number).map(Rc::new)
    }

    /// Turns counts into rates, if an epoch has ended since they began, or none seems to.
    fn measure(&mut self, info: &Info, now: Instant) {
        let began = self.window;
        let advanced = Duration::from_nanos(info.epoch_ns.saturating_sub(began.epoch_ns));
        let waited = now.saturating_duration_since(began.at);
        let stretched = info.counter(Counter::StretchedTicks);
        if !advanced.is_zero() || stretched != began.stretched {
            self.quiet_since = now;
            self.window.stretched = stretched;
        }
        let (span, epoch_ns) = match advanced.is_zero() {
            true if !self.is_silent(info, now) => return,
            // What comes next did not take all the time since the last epoch.
            true => (waited, monotonic_ns()),
            false => (advanced, info.epoch_ns),
        };
        if span.is_zero() {
            return;
        }
        let rate = |events: u64| events as f64 / span.as_secs_f64();
        let events = |kind: Kind| info.total(kind).saturating_sub(began.totals[kind as usize]);
        self.rates = Some(Kind::ALL.map(|kind| rate(events(kind))));
        let counts = std::mem::take(&mut self.counts).into_iter();
        self.activity = Rc::new(counts.map(|(id, kinds)| (id, kinds.map(rate))).collect());
        self.window = Window::new(info, now, epoch_ns);
    }

    /// Whether no epoch ends any more, as in a process that was stopped.
    fn is_silent(&self, info: &Info, now: Instant) -> bool {
        let length = self.epoch.map_or(Duration::ZERO, |epoch| {
            Duration::from_nanos(epoch.end_ns.saturating_sub(epoch.start_ns))
        });
        let patience = info.interval.max(length).max(SHORTEST_EPOCH);
        let quiet = now.saturating_duration_since(self.quiet_since);
        quiet >= patience.saturating_mul(SILENT_EPOCHS)
    }

    fn end_column(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.column_began);
        self.column_began = now;
        let spreads = std::mem::take(&mut self.spreads);
        let column: Column = spread::column(spreads.into_iter().collect(), span);
        let history = Rc::make_mut(&mut self.history);
        if history.len() >= MOST_COLUMNS {
            history.pop_front();
        }
        history.push_back(Rc::new(column));
    }

    /// Blocks in the history.
    pub(super) fn blocks(&self) -> usize {
        let columns = self.history.iter();
        columns.map(|column| column.blocks.len()).sum()
    }

    /// Forgets the older half of the history.
    pub(super) fn forget(&mut self) {
        let history = Rc::make_mut(&mut self.history);
        history.drain(..history.len() / 2);
    }
}
