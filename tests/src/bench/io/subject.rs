//! Something that is run at each place in turn: rounds, and the rows that compare the places.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::options::Options;
use super::super::row::{Comparison, Row, Unit};
use super::super::runner::Runner;
use super::load::{Hogs, Load};
use super::place::Place;

const GROUP: &str = "io";

/// With no core free, a call in shared memory may take this many times as long as by an exit.
const BUSY_AUTO_OVER_EXIT: f64 = 1.05;

/// Of a full run's time, for each load.
const SHARE: Duration = Duration::from_secs(14);

/// Rounds are the option's number times this: hogs make single runs vary by a fifth.
const FACTOR: usize = 2;

/// What the group's files need to add rows.
pub(super) struct Bench<'a> {
    pub(super) runner: &'a Runner,
    pub(super) options: &'a Options,
    add: &'a mut dyn FnMut(Row),
    /// How many times as long as by exits `auto` took with no core free, of each subject.
    busy_auto_to_exit: Vec<f64>,
}

/// What is said of a subject.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// How many times slower than natively it may be in `auto`, with a free core.
    pub(super) auto_at_most: Option<f64>,
    /// Whether strace and seccomp have rows as well.
    pub(super) observed: bool,
    pub(super) note: Option<&'static str>,
}

/// Runs a subject once and gives its figure.
pub(super) type Figure<'a> = Box<dyn Fn(Place) -> Result<f64, String> + 'a>;

/// A row, and the two places that it compares.
struct Column {
    load: Load,
    base: Place,
    other: Place,
    row: Row,
}

impl<'a> Bench<'a> {
    /// Without any subject.
    pub(super) fn new(
        runner: &'a Runner,
        options: &'a Options,
        add: &'a mut dyn FnMut(Row),
    ) -> Self {
        Self {
            runner,
            options,
            add,
            busy_auto_to_exit: Vec::new(),
        }
    }

    /// Runs a subject with a free core, then without, and adds its rows. It is made only if one of its rows is wanted.
    pub(super) fn measure<'f>(
        &mut self,
        subject: &Subject,
        make: impl FnOnce() -> Result<Figure<'f>, String>,
    ) {
        let mut columns = columns(subject);
        columns.retain(|column| self.options.wants_row(GROUP, &column.row.name));
        if columns.is_empty() {
            return;
        }
        match make() {
            Ok(figure) => {
                rounds(Load::Free, &mut columns, &figure, self.options);
                rounds(Load::Busy, &mut columns, &figure, self.options);
            }
            Err(error) => columns
                .iter_mut()
                .for_each(|column| column.row.error = Some(error.clone())),
        }
        for column in columns {
            if column.base == Place::Exit {
                let compared = column.row.outcome().compared;
                self.busy_auto_to_exit
                    .extend(compared.map(|spread| spread.median));
            }
            (self.add)(column.row);
        }
    }

    /// Adds a row for all subjects: a single one varies by more than what there is to see.
    pub(super) fn add_all(&mut self) {
        let row = Row {
            comparison: Comparison::None,
            mini_vm: std::mem::take(&mut self.busy_auto_to_exit),
            target_at_most: Some(BUSY_AUTO_OVER_EXIT),
            note: Some("the median of the rows above of that name".into()),
            ..Row::new(GROUP, "all of them, busy, auto to exit", Unit::Times)
        };
        if !row.mini_vm.is_empty() && self.options.wants_row(GROUP, &row.name) {
            (self.add)(row);
        }
    }
}

fn columns(subject: &Subject) -> Vec<Column> {
    let against_native = |load, other, target| Column {
        load,
        base: Place::Native,
        other,
        row: Row {
            target_at_most: target,
            ..row(subject, load, other, other.label().into())
        },
    };
    let mut columns = vec![
        against_native(Load::Free, Place::Exit, None),
        against_native(Load::Free, Place::Auto, subject.auto_at_most),
    ];
    if subject.observed {
        let observers = [Place::Strace, Place::Seccomp];
        columns.extend(observers.map(|place| against_native(Load::Free, place, None)));
    }
    columns.push(against_native(Load::Busy, Place::Exit, None));
    columns.push(against_native(Load::Busy, Place::Auto, None));
    columns.push(Column {
        load: Load::Busy,
        base: Place::Exit,
        other: Place::Auto,
        row: Row {
            target_at_most: Some(BUSY_AUTO_OVER_EXIT),
            ..row(subject, Load::Busy, Place::Auto, "auto to exit".into())
        },
    });
    columns
}

fn row(subject: &Subject, load: Load, place: Place, label: String) -> Row {
    let name = format!("{}, {}{label}", subject.name, load.label());
    Row {
        tracking: place.tracking(),
        comparison: Comparison::Slowdown,
        note: subject.note.map(String::from),
        ..Row::new(GROUP, name, subject.unit)
    }
}

/// All rounds of one load.
fn rounds(load: Load, columns: &mut [Column], figure: &Figure<'_>, options: &Options) {
    let mut columns: Vec<&mut Column> = columns.iter_mut().filter(|c| c.load == load).collect();
    if columns.is_empty() {
        return;
    }
    let _hogs = Hogs::of(load);
    let share = options.share(SHARE);
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..options.rounds(FACTOR) {
        if round > 0 && started.elapsed() + longest > share {
            break;
        }
        let round_started = Instant::now();
        one_round(&mut columns, figure, round % 2 == 1);
        longest = longest.max(round_started.elapsed());
    }
}

/// Each place once. Every other round is in reverse, as a machine that grows slower would always be so for the same
/// place otherwise.
fn one_round(columns: &mut [&mut Column], figure: &Figure<'_>, reverse: bool) {
    // What failed once would fail again, at the same cost.
    let open = columns.iter().filter(|column| column.row.error.is_none());
    let places: BTreeSet<Place> = open.flat_map(|c| [c.base, c.other]).collect();
    let mut order: Vec<Place> = places.into_iter().collect();
    if reverse {
        order.reverse();
    }
    let figures: BTreeMap<Place, Result<f64, String>> = order
        .into_iter()
        .map(|place| (place, figure(place)))
        .collect();
    for column in columns {
        column.record(&figures);
    }
}

impl Column {
    fn record(&mut self, figures: &BTreeMap<Place, Result<f64, String>>) {
        let figure = |place| match figures.get(&place) {
            Some(Ok(figure)) => Ok(*figure),
            Some(Err(error)) => Err(format!("{}: {error}", place.label())),
            None => Err(format!("{}: not run", place.label())),
        };
        if self.row.error.is_some() {
            return;
        }
        match figure(self.base).and_then(|base| Ok((base, figure(self.other)?))) {
            Ok((base, other)) => {
                self.row.native.push(base);
                self.row.inside.push(other);
            }
            Err(error) => self.row.error = Some(error),
        }
    }
}

/// Nanoseconds of an operation, from a run that takes at least half of this time. It begins with few operations, as what
/// is a moment natively may be minutes inside, and goes on in steps, as a client's clock may see no time pass for few.
pub(super) fn sized(
    few: u64,
    time: Duration,
    run: impl Fn(u64) -> Result<f64, String>,
) -> Result<f64, String> {
    let (mut count, enough) = (few, time.as_nanos() as f64);
    loop {
        let each = run(count)?;
        if each * count as f64 >= enough / 2.0 {
            return Ok(each);
        }
        count = ((enough / each) as u64).clamp(count * 2, count * 30);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::super::super::row::Unit;
    use super::{Figure, Load, Place, Subject, columns, one_round, sized};

    const SUBJECT: Subject = Subject {
        name: "a call",
        unit: Unit::Nanoseconds,
        auto_at_most: Some(2.0),
        observed: true,
        note: None,
    };

    #[test]
    fn a_round_runs_each_place_once_and_compares_within_it() {
        let mut columns = columns(&SUBJECT);
        let ran = RefCell::new(Vec::new());
        let figure: Figure<'_> = Box::new(|place| {
            ran.borrow_mut().push(place);
            Ok(if place == Place::Exit { 100.0 } else { 10.0 })
        });
        let mut busy: Vec<_> = columns
            .iter_mut()
            .filter(|column| column.load == Load::Busy)
            .collect();
        one_round(&mut busy, &figure, true);
        assert_eq!(*ran.borrow(), [Place::Auto, Place::Exit, Place::Native]);
        let compared: Vec<f64> = busy
            .iter()
            .map(|column| column.row.outcome().compared.expect("one pair").median)
            .collect();
        assert_eq!(compared, [10.0, 1.0, 0.1]);
    }

    #[test]
    fn what_fails_spoils_only_the_rows_that_need_it() {
        let mut columns = columns(&SUBJECT);
        let figure: Figure<'_> = Box::new(|place| match place {
            Place::Auto => Err("no".into()),
            _ => Ok(1.0),
        });
        let mut all: Vec<_> = columns.iter_mut().collect();
        one_round(&mut all, &figure, false);
        for column in &all {
            let spoilt = column.row.error.is_some();
            assert_eq!(spoilt, column.other == Place::Auto, "{}", column.row.name);
        }
    }

    #[test]
    fn a_slow_place_does_fewer_operations() {
        let done = RefCell::new(Vec::new());
        let run = |each: f64| {
            let done = &done;
            move |count| {
                done.borrow_mut().push(count);
                Ok(each)
            }
        };
        for each in [100.0, 1e6] {
            assert_eq!(sized(10, Duration::from_millis(1), run(each)), Ok(each));
        }
        assert_eq!(*done.borrow(), [10, 300, 9_000, 10]);
    }

    #[test]
    fn a_clock_that_saw_no_time_pass_is_asked_again() {
        let run = |count| Ok(if count < 100 { 0.0 } else { 10_000.0 });
        assert_eq!(sized(10, Duration::from_millis(1), run), Ok(10_000.0));
    }
}
