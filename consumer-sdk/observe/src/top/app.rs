//! What the keys do: from state to state, without a terminal and without processes.

use super::rows::{self, MappingRow, Row, Sort};
use super::sample::{Key as ProcessKey, ProcessSample, Sample};
use crate::typed::SortKey;
use std::rc::Rc;
use std::time::Duration;

/// Delays that can be chosen with a key, milliseconds.
const DELAYS: [u64; 11] = [
    100, 200, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 60_000,
];
/// Longest filter, characters.
const LONGEST_FILTER: usize = 60;

/// A key, as far as any means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Char(char),
    /// Ctrl-C and Ctrl-\.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L: something has written over the screen.
    Redraw,
    /// Ctrl-U.
    ClearLine,
}

/// What is to be done about a key, beyond another frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Quit,
    Suspend,
    Redraw,
    /// Another process is looked at closely, or none.
    Closer,
    /// The display goes on from now.
    Resume,
    /// The delay is another.
    Delay,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// All processes.
    Processes,
    /// One, with its mappings.
    Process(ProcessKey),
    /// One mapping of one process, by its id.
    Mapping(ProcessKey, u32),
}

/// Which row is chosen: it stays chosen while rows change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor<I> {
    /// Once the cursor was moved.
    on: Option<I>,
    row: usize,
}

impl<I: Copy + PartialEq> Cursor<I> {
    /// At the top, whatever comes there.
    const TOP: Self = Self { on: None, row: 0 };

    /// Where it is among these rows.
    pub(crate) fn find<R: Row<Id = I>>(&self, rows: &[R]) -> usize {
        let same = rows.iter().position(|row| Some(row.id()) == self.on);
        same.unwrap_or(self.row).min(rows.len().saturating_sub(1))
    }

    fn go<R: Row<Id = I>>(&mut self, rows: &[R], to: usize) {
        self.row = to.min(rows.len().saturating_sub(1));
        self.on = match self.row {
            0 => None,
            row => rows.get(row).map(Row::id),
        };
    }

    /// Moves by a key; false if it is none that moves.
    fn press<R: Row<Id = I>>(&mut self, key: Key, rows: &[R], page: usize) -> bool {
        let at = self.find(rows);
        let page = page.max(1);
        let to = match key {
            Key::Up | Key::Char('k') => at.saturating_sub(1),
            Key::Down | Key::Char('j') => at.saturating_add(1),
            Key::PageUp => at.saturating_sub(page),
            Key::PageDown => at.saturating_add(page),
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => usize::MAX,
            _ => return false,
        };
        self.go(rows, to);
        true
    }
}

/// Everything that keys change.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) screen: Screen,
    pub(crate) processes: Cursor<ProcessKey>,
    pub(crate) mappings: Cursor<u32>,
    /// Of processes, and of mappings.
    sorts: [Sort; 2],
    filters: [String; 2],
    /// The filter is being typed.
    pub(crate) is_typing: bool,
    pub(crate) is_paused: bool,
    pub(crate) shows_help: bool,
    pub(crate) delay: Duration,
    /// Rows that fit on the screen, as of the last frame.
    pub(crate) page: usize,
}

impl App {
    /// At the start.
    pub(crate) fn new(delay: Duration, sort: SortKey) -> Self {
        let first = |key| Sort {
            key,
            is_reversed: false,
        };
        // Mappings lose no records.
        let of_mappings = match sort {
            SortKey::Lost => SortKey::Events,
            other => other,
        };
        Self {
            screen: Screen::Processes,
            processes: Cursor::TOP,
            mappings: Cursor::TOP,
            sorts: [first(sort), first(of_mappings)],
            filters: Default::default(),
            is_typing: false,
            is_paused: false,
            shows_help: false,
            delay,
            page: 1,
        }
    }

    fn table(&self) -> usize {
        usize::from(self.screen != Screen::Processes)
    }

    /// How the table on the screen is ordered.
    pub(crate) fn sort(&self) -> Sort {
        self.sorts[self.table()]
    }

    /// What names in the table on the screen must contain.
    pub(crate) fn filter(&self) -> &str {
        &self.filters[self.table()]
    }

    /// The process that is looked at closely, or that would be.
    pub(crate) fn close(&self) -> Option<ProcessKey> {
        match self.screen {
            Screen::Processes => None,
            Screen::Process(key) | Screen::Mapping(key, _) => Some(key),
        }
    }

    /// The rows of the table of processes.
    pub(crate) fn process_rows(&self, sample: &Sample) -> Vec<Rc<ProcessSample>> {
        rows::processes(sample, self.sorts[0], &self.filters[0])
    }

    /// The rows of the table of a process's mappings.
    pub(crate) fn mapping_rows(&self, sample: &Sample, process: &ProcessSample) -> Vec<MappingRow> {
        let footprint = sample.footprint_of(process.key);
        rows::mappings(process, footprint, self.sorts[1], &self.filters[1])
    }

    /// All of a process's mappings, whatever the filter.
    pub(crate) fn all_mapping_rows(
        &self,
        sample: &Sample,
        process: &ProcessSample,
    ) -> Vec<MappingRow> {
        let footprint = sample.footprint_of(process.key);
        rows::mappings(process, footprint, self.sorts[1], "")
    }

    /// Obeys a key, pressed while this sample was shown.
    pub(crate) fn press(&mut self, key: Key, sample: &Sample) -> Effect {
        match key {
            Key::Interrupt => return Effect::Quit,
            Key::Suspend => return Effect::Suspend,
            Key::Redraw => return Effect::Redraw,
            _ if self.shows_help => {
                // Whatever key it is: the next one is obeyed again.
                self.shows_help = false;
                return match key {
                    Key::Char('q') => Effect::Quit,
                    _ => Effect::Nothing,
                };
            }
            _ if self.is_typing => {
                self.type_filter(key);
                return Effect::Nothing;
            }
            _ => {}
        }
        if self.moves(key, sample) {
            return Effect::Nothing;
        }
        match key {
            Key::Char('q') => return Effect::Quit,
            Key::Char('h' | '?') => self.shows_help = true,
            Key::Char('/') => self.is_typing = true,
            Key::Char('s') => self.sorts[self.table()] = self.sort().next(self.table() == 1),
            Key::Char('S') => {
                let sort = &mut self.sorts[usize::from(self.screen != Screen::Processes)];
                sort.is_reversed = !sort.is_reversed;
            }
            Key::Char('+' | '=') => {
                self.delay = longer(self.delay);
                return Effect::Delay;
            }
            Key::Char('-' | '_') => {
                self.delay = shorter(self.delay);
                return Effect::Delay;
            }
            Key::Char(' ') => {
                self.is_paused = !self.is_paused;
                return match self.is_paused {
                    true => Effect::Nothing,
                    false => Effect::Resume,
                };
            }
            Key::Enter => return self.enter(sample),
            Key::Escape | Key::Backspace => return self.leave(),
            _ => {}
        }
        Effect::Nothing
    }

    /// Whether the key has moved the cursor.
    fn moves(&mut self, key: Key, sample: &Sample) -> bool {
        let page = self.page;
        match self.screen {
            Screen::Processes => {
                let rows = self.process_rows(sample);
                self.processes.press(key, &rows, page)
            }
            Screen::Process(process) => {
                let rows = sample.process(process);
                let rows = rows.map(|process| self.mapping_rows(sample, process));
                self.mappings.press(key, &rows.unwrap_or_default(), page)
            }
            Screen::Mapping(..) => false,
        }
    }

    fn type_filter(&mut self, key: Key) {
        let table = self.table();
        let filter = &mut self.filters[table];
        match key {
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                filter.clear();
                self.is_typing = false;
            }
            Key::Backspace => {
                filter.pop();
            }
            Key::ClearLine => filter.clear(),
            Key::Char(c) if !c.is_control() && filter.chars().count() < LONGEST_FILTER => {
                filter.push(c);
            }
            _ => {}
        }
    }

    /// Zooms in on what the cursor is on.
    fn enter(&mut self, sample: &Sample) -> Effect {
        match self.screen {
            Screen::Processes => {
                let rows = self.process_rows(sample);
                let at = self.processes.find(&rows);
                let Some(process) = rows.get(at) else {
                    return Effect::Nothing;
                };
                self.processes.go(&rows, at);
                self.processes.on = Some(process.key);
                self.screen = Screen::Process(process.key);
                self.mappings = Cursor::TOP;
                self.filters[1].clear();
                Effect::Closer
            }
            Screen::Process(key) => {
                let Some(process) = sample.process(key) else {
                    return Effect::Nothing;
                };
                let rows = self.mapping_rows(sample, process);
                if let Some(mapping) = rows.get(self.mappings.find(&rows)) {
                    self.mappings.on = Some(mapping.id);
                    self.screen = Screen::Mapping(process.key, mapping.id);
                }
                Effect::Nothing
            }
            Screen::Mapping(..) => Effect::Nothing,
        }
    }

    /// Zooms out; where there is nothing to zoom out of, drops the filter.
    fn leave(&mut self) -> Effect {
        match self.screen {
            Screen::Processes => {
                self.filters[0].clear();
                Effect::Nothing
            }
            Screen::Process(_) if !self.filters[1].is_empty() => {
                self.filters[1].clear();
                Effect::Nothing
            }
            Screen::Process(_) => {
                self.screen = Screen::Processes;
                Effect::Closer
            }
            Screen::Mapping(key, _) => {
                self.screen = Screen::Process(key);
                Effect::Nothing
            }
        }
    }

    /// Follows a process that has executed another program.
    pub(crate) fn follow(&mut self, sample: &Sample) {
        let Some(now) = self.close().and_then(|key| sample.process(key)) else {
            return;
        };
        if self.close() != Some(now.key) {
            // None of its mappings are there any more.
            self.screen = Screen::Process(now.key);
            self.mappings = Cursor::TOP;
            self.processes.on = Some(now.key);
        }
    }
}

fn longer(delay: Duration) -> Duration {
    let ms = |ms| Duration::from_millis(ms);
    let next = DELAYS.into_iter().map(ms).find(|&other| other > delay);
    next.unwrap_or(delay)
}

fn shorter(delay: Duration) -> Duration {
    let ms = |ms| Duration::from_millis(ms);
    let mut before = DELAYS.into_iter().rev().map(ms);
    before.find(|&other| other < delay).unwrap_or(delay)
}
