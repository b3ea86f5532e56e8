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

#[cfg(test)]
mod tests {
    use super::*;

    struct Letter(char);

    impl Row for Letter {
        type Id = char;

        fn id(&self) -> char {
            self.0
        }
    }

    fn rows(text: &str) -> Vec<Letter> {
        text.chars().map(Letter).collect()
    }

    #[test]
    fn a_row_stays_chosen_wherever_it_goes() {
        let mut cursor = Cursor::TOP;
        let before = rows("abcd");
        assert!(cursor.press(Key::Down, &before, 10));
        assert!(cursor.press(Key::Char('j'), &before, 10));
        assert_eq!(cursor.find(&before), 2);
        assert_eq!(cursor.find(&rows("cdab")), 0);
        // Where it is gone, the one in its place.
        assert_eq!(cursor.find(&rows("abd")), 2);
        assert_eq!(cursor.find(&rows("a")), 0);
        assert_eq!(cursor.find(&rows("")), 0);
    }

    #[test]
    fn the_top_stays_the_top_whatever_comes_there() {
        let mut cursor = Cursor::TOP;
        assert_eq!(cursor.find(&rows("ab")), 0);
        cursor.press(Key::End, &rows("ab"), 10);
        cursor.press(Key::Home, &rows("ab"), 10);
        assert_eq!(cursor.find(&rows("ba")), 0);
    }

    #[test]
    fn pages_are_turned_and_end_at_the_ends() {
        let many = rows("abcdefghij");
        let mut cursor = Cursor::TOP;
        for (key, expected) in [
            (Key::PageDown, 4),
            (Key::PageDown, 8),
            (Key::PageDown, 9),
            (Key::PageUp, 5),
            (Key::End, 9),
            (Key::Down, 9),
            (Key::Char('g'), 0),
            (Key::Up, 0),
            (Key::Char('G'), 9),
        ] {
            assert!(cursor.press(key, &many, 4));
            assert_eq!(cursor.find(&many), expected, "{key:?}");
        }
        assert!(!cursor.press(Key::Enter, &many, 4));
        assert!(cursor.press(Key::End, &rows(""), 0));
    }

    #[test]
    fn delays_go_up_and_down_between_their_ends() {
        let mut app = App::new(Duration::from_millis(1_500), SortKey::Events);
        let nobody = Sample::default();
        assert_eq!(app.press(Key::Char('+'), &nobody), Effect::Delay);
        assert_eq!(app.delay, Duration::from_secs(2));
        app.press(Key::Char('-'), &nobody);
        assert_eq!(app.delay, Duration::from_secs(1));
        for (key, end) in [('-', 100), ('+', 60_000)] {
            for _ in 0..20 {
                app.press(Key::Char(key), &nobody);
            }
            assert_eq!(app.delay, Duration::from_millis(end));
        }
    }

    #[test]
    fn what_is_typed_into_the_filter_is_no_command() {
        let mut app = App::new(Duration::from_secs(1), SortKey::Lost);
        let nobody = Sample::default();
        app.press(Key::Char('/'), &nobody);
        for key in ['q', ' ', 's', '\x07'] {
            assert_eq!(app.press(Key::Char(key), &nobody), Effect::Nothing);
        }
        assert_eq!((app.filter(), app.is_paused), ("q s", false));
        app.press(Key::Backspace, &nobody);
        for _ in 0..200 {
            app.press(Key::Char('x'), &nobody);
        }
        assert_eq!(app.filter().chars().count(), LONGEST_FILTER);
        app.press(Key::ClearLine, &nobody);
        assert!(app.filter().is_empty() && app.is_typing);
        app.press(Key::Enter, &nobody);
        assert_eq!(app.press(Key::Char('q'), &nobody), Effect::Quit);
        // Ctrl-C ends it from everywhere.
        for key in ['/', 'h'] {
            app.press(Key::Char(key), &nobody);
            assert_eq!(app.press(Key::Interrupt, &nobody), Effect::Quit);
        }
    }

    #[test]
    fn pausing_twice_goes_on() {
        let mut app = App::new(Duration::from_secs(1), SortKey::Pid);
        let nobody = Sample::default();
        assert_eq!(app.press(Key::Char(' '), &nobody), Effect::Nothing);
        assert!(app.is_paused);
        assert_eq!(app.press(Key::Char(' '), &nobody), Effect::Resume);
        assert_eq!(app.press(Key::Enter, &nobody), Effect::Nothing);
    }
}
