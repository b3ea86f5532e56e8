//! What the views show: plain numbers as of one moment, which go on being true while the model reads on.

use super::model::footprint::Footprint;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use vmmload_consumer::{Epoch, Mappings, ProcessId, Status, Track};

/// Most refreshes that are remembered of a process.
pub(crate) const MOST_COLUMNS: usize = 256;

/// One program of one process: what executes another has the same id and another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) pid: u32,
    /// When the process started, clock ticks since boot.
    pub(crate) start: u64,
    /// Counts the programs that were met.
    pub(crate) number: u64,
}

impl Key {
    pub(crate) fn new(id: ProcessId, number: u64) -> Self {
        Self {
            pid: id.pid,
            start: id.start,
            number,
        }
    }

    /// Whether they are the same process, whatever it executes.
    pub(crate) fn is_same_process(self, other: Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }
}

/// Everything, as of one refresh.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Ordered by pid.
    pub(crate) processes: Vec<Rc<ProcessSample>>,
    /// All processes of the session that was asked for have ended; `processes` are those that were the last.
    pub(crate) is_over: bool,
    /// The process that was looked at closely, where it is not among `processes` any more.
    pub(crate) ended: Option<Rc<ProcessSample>>,
    /// The pages that the process looked at closely has touched since its start.
    pub(crate) footprint: Option<(Key, Rc<Footprint>)>,
}

impl Sample {
    /// One process; one that has executed another program since is that program.
    pub(crate) fn process(&self, key: Key) -> Option<&Rc<ProcessSample>> {
        let all = || self.processes.iter().chain(&self.ended);
        let exact = all().find(|process| process.key == key);
        let is_successor = |process: &&Rc<ProcessSample>| {
            process.key.is_same_process(key) && process.key.number > key.number
        };
        match exact {
            Some(process) if process.status == Status::Running => Some(process),
            _ => all().find(is_successor).or(exact),
        }
    }

    /// The footprint of a process, if it is the one that was looked at closely.
    pub(crate) fn footprint_of(&self, key: Key) -> Option<&Footprint> {
        let (of, footprint) = self.footprint.as_ref()?;
        (*of == key).then_some(&**footprint)
    }
}

/// Events in a second, by kind in the order of [`vmmload_consumer::Kind::ALL`].
pub(crate) type Rates = [f64; 3];

/// One process at one moment.
#[derive(Clone, Debug)]
pub(crate) struct ProcessSample {
    pub(crate) key: Key,
    /// As the program has it, control characters included: the view replaces those.
    pub(crate) command: String,
    pub(crate) status: Status,
    /// What is watched.
    pub(crate) track: Option<Track>,
    /// `None` until an epoch has ended under this viewer's eyes, and after the process has ended.
    pub(crate) rates: Option<Rates>,
    /// Distinct pages since the start.
    pub(crate) touched: u64,
    /// The heat table had no room for some pages: there are more than `touched`.
    pub(crate) has_more_pages: bool,
    /// Records that this viewer lost, and those that found no memory in the ring before it came.
    pub(crate) lost: u64,
    pub(crate) age: Duration,
    pub(crate) interval: Duration,
    /// Per cent of the program's time.
    pub(crate) max_overhead: u32,
    /// The last one that has ended.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) mappings: Rc<Mappings>,
    /// Events in a second of each mapping that has any, by its id.
    pub(crate) activity: Rc<BTreeMap<u32, Rates>>,
    /// The working set of the last epoch by mapping; `None` where it was not seen from its beginning.
    pub(crate) working_set: Option<Rc<WorkingSet>>,
    pub(crate) history: Rc<History>,
}

impl ProcessSample {
    /// Events of all kinds in a second.
    pub(crate) fn events(&self) -> Option<f64> {
        self.rates.map(|rates| rates.iter().sum())
    }

    /// Pages touched in the last epoch that has ended.
    pub(crate) fn pages(&self) -> Option<u32> {
        self.epoch.map(|epoch| epoch.touched)
    }

    /// Hot pages were not watched in that epoch: there may be more.
    pub(crate) fn leaves_alone(&self) -> bool {
        self.epoch.is_some_and(|epoch| epoch.left_alone > 0)
    }
}

/// The pages of one epoch by mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkingSet {
    /// Pages, by the mapping's id.
    pub(crate) pages: HashMap<u32, u32>,
    /// Records of that epoch are missing: there may be more.
    pub(crate) is_incomplete: bool,
}

/// The last refreshes, oldest first.
pub(crate) type History = VecDeque<Rc<Column>>;

/// One refresh: where events were in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    /// How long it was.
    pub(crate) span: Duration,
    /// Ordered by address.
    pub(crate) blocks: Vec<Block>,
    /// Events that there is no block of: in mappings beyond the most that a column has room for.
    pub(crate) left_out: u64,
}

/// Events in a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: u64,
    /// Events in it.
    pub(crate) events: u32,
    /// Id of the mapping.
    pub(crate) mapping: u32,
    /// Its length is 2 to the power of that.
    pub(crate) shift: u8,
}

impl Block {
    /// First address behind it.
    pub(crate) fn end(self) -> u64 {
        self.start.saturating_add(1 << self.shift.min(63))
    }
}
