//! Screens as they are, letter by letter.

use super::look::{Colors, Look};
use crate::top::app::{App, Effect, Key};
use crate::top::model::footprint::Footprint;
use crate::top::sample::{
    Block, Column, History, Key as ProcessKey, ProcessSample, Sample, WorkingSet,
};
use crate::typed::SortKey;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vmmload_consumer::{
    End, Epoch, Mapping, MappingClass, Mappings, PROT_READ, PROT_WRITE, Status, Track,
};

const PLAIN: Look = Look {
    colors: Colors::None,
    is_utf8: false,
};
const RICH: Look = Look {
    colors: Colors::Many,
    is_utf8: true,
};

fn mapping(id: u32, start: u64, pages: u64, name: &str, class: MappingClass) -> Mapping {
    Mapping {
        start,
        end: start + pages * 4096,
        prot: PROT_READ | PROT_WRITE,
        name: name.into(),
        id,
        class,
        ..Mapping::default()
    }
}

fn process(pid: u32, command: &str, rate: f64) -> ProcessSample {
    let (heap, library) = (0x55d0_0000_0000, 0x7f00_0000_0000);
    let block = |start, events, mapping| Block {
        start,
        events,
        mapping,
        shift: 12,
    };
    let columns = (1..=30u32).map(|at| {
        let mut blocks = vec![block(heap + 4096, at, 1)];
        if at % 2 == 0 {
            blocks.push(block(library, 900, 2));
        }
        Rc::new(Column {
            span: Duration::from_secs(1),
            blocks,
            left_out: 0,
        })
    });
    ProcessSample {
        key: ProcessKey {
            pid,
            start: 5,
            number: u64::from(pid),
        },
        command: command.into(),
        status: Status::Running,
        track: Some(Track::Write),
        rates: Some([rate * 0.75, 0.0, rate * 0.25]),
        touched: 12_345,
        has_more_pages: false,
        lost: 0,
        age: Duration::from_secs(727),
        interval: Duration::from_millis(100),
        max_overhead: 33,
        epoch: Some(Epoch {
            number: 9,
            start_ns: 0,
            end_ns: 100_000_000,
            cost_ns: 5_000_000,
            touched: 1234,
            ..Epoch::default()
        }),
        mappings: Rc::new(Mappings {
            entries: vec![
                mapping(1, heap, 32, "[heap]", MappingClass::Heap),
                mapping(2, library, 1, "/usr/lib/libx.so", MappingClass::File),
                mapping(3, library + 0x10_0000, 8, "", MappingClass::Anonymous),
            ],
            ..Mappings::default()
        }),
        activity: Rc::new(BTreeMap::from([
            (1, [30.0, 0.0, 0.0]),
            (2, [0.0, 0.0, 900.0]),
        ])),
        working_set: Some(Rc::new(WorkingSet {
            pages: [(1, 1233), (2, 1)].into(),
            is_incomplete: false,
        })),
        history: Rc::new(columns.collect::<History>()),
    }
}

fn sample(processes: Vec<ProcessSample>) -> Sample {
    Sample {
        processes: processes.into_iter().map(Rc::new).collect(),
        ..Sample::default()
    }
}

fn app() -> App {
    App::new(Duration::from_secs(1), SortKey::Events)
}

fn terminal(app: &App, sample: &Sample, look: Look, size: (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| {
            super::draw(frame, app, sample, look);
        })
        .unwrap();
    terminal
}

/// The screen as lines, without the blanks at their ends.
fn screen(app: &App, sample: &Sample, look: Look, size: (u16, u16)) -> Vec<String> {
    let terminal = terminal(app, sample, look, size);
    let buffer = terminal.backend().buffer();
    let cell = |x, y| buffer[(x, y)].symbol();
    let line = |y| (0..size.0).map(|x| cell(x, y)).collect::<String>();
    (0..size.1).map(|y| line(y).trim_end().to_owned()).collect()
}

fn two() -> Sample {
    sample(vec![
        process(4711, "/usr/bin/solver input.dat", 1_234.0),
        process(4712, "/usr/bin/python3 app.py", 56_789.0),
    ])
}

#[test]
fn processes_in_80_by_24_without_colours_and_in_ascii() {
    let lines = screen(&app(), &two(), PLAIN, (80, 24));
    let expected = [
        " vmmload top  2 processes, 58.0k events/s                              every 1s",
        "    PID EVENTS/Sv PAGES    BYTES TOUCHED  W/R/K %  LOST   AGE COMMAND",
        "   4712    56.8k   1234  4.8 MiB   12.3k  75/-/25     0 12m07 python3 app.py",
        "   4711     1234   1234  4.8 MiB   12.3k  75/-/25     0 12m07 solver input.dat",
        "- 4712 python3 app.py ------------ last 30s  .:-=+*#%@ up to 900 events/s ------",
        "55d000001000 [heap]                                .:::---------===============-",
        "7f0000000000 libx.so                                @ @ @ @ @ @ @ @ @ @ @ @ @ @ @",
    ];
    assert_eq!(lines[..4], expected[..4]);
    assert!(
        lines[4].starts_with("- 4712 python3 app.py -"),
        "{}",
        lines[4]
    );
    assert!(lines[4].ends_with("last 30s  .:-=+*#%@ up to 900 events/s -"));
    assert!(lines[5].starts_with("55d000001000 [heap] "), "{}", lines[5]);
    assert!(
        lines[6].starts_with("7f0000000000 libx.so "),
        "{}",
        lines[6]
    );
    assert!(
        lines[6].ends_with("@ @ @ @ @ @ @ @ @ @ @ @ @ @ @"),
        "{}",
        lines[6]
    );
    assert_eq!(
        lines[23],
        " q quit  h help  Enter zoom  s S sort  / filter  space pause  + - delay"
    );
    assert!(lines.iter().all(|line| line.is_ascii()));
}

#[test]
fn the_newest_refresh_is_on_the_right_and_more_events_are_denser() {
    let lines = screen(&app(), &two(), RICH, (80, 24));
    let heap: Vec<char> = lines[5].chars().skip(80 - 30).collect();
    assert_eq!(heap.len(), 30, "{}", lines[5]);
    let rank = |c: &char| "·░▒▓█".chars().position(|shade| shade == *c);
    let ranks: Vec<_> = heap.iter().map(rank).collect();
    assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted());
    assert!(ranks[0] < ranks[29]);
}

#[test]
fn without_colours_there_are_none_and_with_them_only_safe_ones() {
    for (look, has_colors) in [(PLAIN, false), (RICH, true)] {
        let terminal = terminal(&app(), &two(), look, (80, 24));
        let cells = &terminal.backend().buffer().content;
        let is_colored = |color: Color| color != Color::Reset;
        let colored = cells.iter().any(|c| is_colored(c.fg) || is_colored(c.bg));
        assert_eq!(colored, has_colors);
        // The cursor is seen either way.
        let row = &cells[2 * 80..3 * 80];
        assert!(
            row.iter()
                .all(|cell| cell.modifier.contains(Modifier::REVERSED))
        );
    }
}

#[test]
fn small_terminals_show_what_matters_most() {
    let lines = screen(&app(), &two(), PLAIN, (40, 12));
    assert_eq!(lines[1], "    PID EVENTS/Sv PAGES COMMAND");
    assert_eq!(lines[2], "   4712    56.8k   1234 python3 app.py");
    let smaller = screen(&app(), &two(), PLAIN, (30, 5));
    assert_eq!(smaller[0], "terminal too small");
    for size in [(1, 1), (0, 0), (40, 8), (41, 9), (300, 100)] {
        for keys in [
            &[][..],
            &[Key::Enter],
            &[Key::Enter, Key::Enter],
            &[Key::Char('h')],
        ] {
            let (mut app, sample) = (app(), two());
            for &key in keys {
                app.press(key, &sample);
            }
            screen(&app, &sample, RICH, size);
        }
    }
}

#[test]
fn a_process_shows_its_mappings_and_its_memory() {
    let (mut app, mut sample) = (app(), two());
    assert_eq!(app.press(Key::Enter, &sample), Effect::Closer);
    let mut footprint = Footprint::default();
    [1, 2, 3]
        .iter()
        .for_each(|page| footprint.add(0x55d0_0000_0000 + page * 4096));
    let key = sample.processes[1].key;
    sample.footprint = Some((key, Rc::new(footprint)));
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    let expected = [
        " 4712  /usr/bin/python3 app.py",
        " 56.8k events/s, working set 1234 of 12,345 pages, epoch 100.0 ms, cost 5.0%",
        "     ADDRESS     SIZE EVENTS/Sv PAGES TOUCHED  W/R/K % MAPPING",
        "7f0000000000    4 KiB      900      1       0  0/-/100 /usr/lib/libx.so",
        "55d000000000  128 KiB       30   1233       3  100/-/0 [heap]",
        "7f0000100000   32 KiB        0      0       0        - [anonymous]",
    ];
    assert_eq!(lines[1..7], expected);
    assert!(lines[7].starts_with("- its memory -"), "{}", lines[7]);
}

#[test]
fn a_mapping_shows_its_rows_with_how_many_pages_were_touched() {
    let (mut app, mut sample) = (app(), two());
    app.press(Key::Enter, &sample);
    app.press(Key::Down, &sample);
    app.press(Key::Enter, &sample);
    let mut footprint = Footprint::default();
    footprint.add(0x55d0_0000_1000);
    sample.footprint = Some((sample.processes[1].key, Rc::new(footprint)));
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert_eq!(lines[1], " 4712 python3  [heap]");
    assert_eq!(
        lines[2],
        " 55d000000000-55d000020000 rw-p  128 KiB (32 pages)"
    );
    assert_eq!(
        lines[3],
        " 30 events/s (W/R/K 100/-/0 %), 1233 pages in the last epoch, 1 touched"
    );
    assert!(
        lines[5].starts_with("55d000001000 ") && lines[5].ends_with(" 1/1"),
        "{}",
        lines[5]
    );
    // Back, and back again.
    app.press(Key::Escape, &sample);
    assert!(screen(&app, &sample, PLAIN, (80, 24))[3].contains("MAPPING"));
    assert_eq!(app.press(Key::Backspace, &sample), Effect::Closer);
    assert!(screen(&app, &sample, PLAIN, (80, 24))[1].contains("COMMAND"));
}

#[test]
fn hostile_names_are_shown_and_not_obeyed() {
    let mut hostile = process(1, "/bin/x \x1b]0;owned\x07 \u{202e}dlrow\n\x1b[31m", 1.0);
    let mut mappings = (*hostile.mappings).clone();
    mappings.entries[1].name = "/tmp/\x1b[2J\u{9b}H日本".into();
    hostile.mappings = Rc::new(mappings);
    let (mut app, sample) = (app(), sample(vec![hostile]));
    for look in [PLAIN, RICH] {
        for _ in 0..3 {
            let lines = screen(&app, &sample, look, (100, 30));
            let text = lines.join("");
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(!text.contains('\u{202e}'));
            app.press(Key::Enter, &sample);
        }
        app.press(Key::Escape, &sample);
        app.press(Key::Escape, &sample);
    }
    let lines = screen(&app, &sample, RICH, (100, 30));
    assert!(
        lines[2].ends_with("x ?]0;owned? ?dlrow??[31m"),
        "{}",
        lines[2]
    );
}

#[test]
fn wide_names_end_at_the_edge() {
    let wide = process(1, &"日本語".repeat(40), 1.0);
    let (app, sample) = (app(), sample(vec![wide]));
    for width in [79, 80, 81] {
        let lines = screen(&app, &sample, RICH, (width, 24));
        assert!(
            lines[2].contains("日") && lines[2].contains('…'),
            "{}",
            lines[2]
        );
    }
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert!(lines[2].contains("????") && lines[2].ends_with('~'));
}

#[test]
fn what_has_ended_says_so() {
    let mut ended = process(4711, "/usr/bin/solver", 1.0);
    ended.status = Status::Ended(End::Exited(3));
    ended.rates = None;
    let mut sample = sample(vec![ended]);
    sample.is_over = true;
    let mut app = app();
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert!(lines[0].starts_with(" vmmload top  all processes have ended"));
    assert!(lines[2].contains("(ended, status 3"), "{}", lines[2]);
    app.press(Key::Enter, &sample);
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert_eq!(lines[1], " 4711  ended, status 3: /usr/bin/solver");
    // It is not even remembered any more.
    let nobody = Sample::default();
    let lines = screen(&app, &nobody, PLAIN, (80, 24));
    assert!(lines[2].contains("process 4711 is gone"), "{lines:#?}");
}

#[test]
fn nobody_there_says_how_to_begin() {
    let lines = screen(&app(), &Sample::default(), PLAIN, (80, 24));
    assert!(lines[2].contains("no live segments"), "{lines:#?}");
    assert!(lines[3].contains("vmmload run COMMAND"), "{lines:#?}");
}

#[test]
fn pause_help_and_filter_are_seen() {
    let (mut app, sample) = (app(), two());
    app.press(Key::Char(' '), &sample);
    assert!(screen(&app, &sample, PLAIN, (40, 10))[0].contains(" PAUSED "));
    app.press(Key::Char('?'), &sample);
    let help = screen(&app, &sample, PLAIN, (80, 24)).join("\n");
    for word in ["zoom", "sort", "pause", "working set", "logarithm"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    app.press(Key::Char('x'), &sample);
    app.press(Key::Char('/'), &sample);
    "SOLV".chars().for_each(|c| {
        app.press(Key::Char(c), &sample);
    });
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert_eq!(lines[23], " filter: SOLV");
    assert!(lines[2].contains("solver") && !lines[3].contains("python"));
    app.press(Key::Char('x'), &sample);
    app.press(Key::Enter, &sample);
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert!(lines[2].contains("no command has \"SOLVx\" in it"));
    assert!(
        lines[23].starts_with(" filter: SOLVx  q quit"),
        "{}",
        lines[23]
    );
}

#[test]
fn doubts_are_marked() {
    let mut doubtful = process(1, "x", 1.0);
    doubtful.epoch.as_mut().unwrap().left_alone = 5;
    doubtful.has_more_pages = true;
    doubtful.lost = 123_456;
    let sample = sample(vec![doubtful]);
    let lines = screen(&app(), &sample, PLAIN, (80, 24));
    assert!(lines[2].contains(" 1234+ ") && lines[2].contains(" 12.3k+ "));
    assert!(lines[2].contains(" 123k "), "{}", lines[2]);
}

#[test]
fn thousands_of_processes_are_sorted_and_scrolled_without_delay() {
    let many = (0..3000).map(|at| process(at + 1, &format!("program {at}"), f64::from(at)));
    let (mut app, sample) = (app(), sample(many.collect()));
    let began = Instant::now();
    let mut orders = Vec::new();
    for _ in 0..6 {
        let lines = screen(&app, &sample, PLAIN, (80, 24));
        orders.push(lines[2].clone());
        app.press(Key::Char('s'), &sample);
    }
    // Generous: nobody waits for it, and it is no build for speed.
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(orders[0].starts_with("   3000 "), "{}", orders[0]);
    assert!(orders[4].starts_with("      1 "), "{}", orders[4]);
    app.press(Key::End, &sample);
    let lines = screen(&app, &sample, PLAIN, (80, 24));
    assert!(
        lines.iter().any(|line| line.starts_with("      1 ")),
        "{lines:#?}"
    );
}
