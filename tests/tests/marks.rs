//! What a program tells the vmmload around it: what it begins, what its memory is called, where an epoch ends.

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::Command;
use std::time::{Duration, Instant};

use vmmload_consumer::{Consumer, Event, Kind, Mapping, Mark, Session as Family, Woken};
use vmmload_tests::dump::{Follower, Record};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Outcome, Session, machine, vmmload};

const PAGE: u64 = 4096;

/// A guest of `guests/marks`, running inside.
fn start(guest: &str, options: &[&str]) -> (Session, Consumer) {
    let program = Guest::new(&format!("marks/{guest}")).program();
    let program = options
        .iter()
        .fold(program, |program, option| program.option(*option));
    let session = Session::start(program.inside_command());
    let end = Instant::now() + machine::patience(Duration::from_secs(20));
    loop {
        match Consumer::attach(u32::try_from(session.pid()).expect("a pid")) {
            Ok(consumer) => return (session, consumer),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(mut session: Session) {
    session.send("\n");
    assert!(session.finish().success());
}

fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("a number: {text:?}"))
}

fn hexadecimal(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("an address: {text:?}"))
}

fn names(marks: &[Mark]) -> Vec<&str> {
    marks.iter().map(|mark| &*mark.name).collect()
}

fn events(consumer: &mut Consumer) -> Vec<Event> {
    let mut events = vec![Event::default(); 1 << 16];
    let batch = consumer.read(&mut events);
    assert_eq!(batch.lost, 0);
    events.truncate(batch.read);
    events
}

/// Numbers of the pages of `memory` with a write event in these epochs.
fn written(events: &[Event], memory: u64, epochs: Range<u32>) -> BTreeSet<u64> {
    let hit = |event: &&Event| {
        event.kind == Kind::Write
            && epochs.contains(&event.epoch)
            && (memory..memory + 64 * PAGE).contains(&event.addr)
    };
    let hit = events.iter().filter(hit);
    hit.map(|event| (event.addr - memory) / PAGE).collect()
}

fn phases_have_their_pages(options: &[&str]) {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, mut consumer) = start("phases", options);
    let memory = hexadecimal(&session.line());
    session.send("\n");
    assert_eq!(session.line(), "ready");
    let marks = consumer.marks();
    assert_eq!(names(&marks), ["load", "run", "write out", "done"]);
    assert!(marks.is_sorted_by_key(|mark| mark.time_ns));
    let pid = consumer.pid();
    assert!(marks.iter().all(|mark| mark.thread == pid), "{marks:?}");
    let events = events(&mut consumer);
    let phase = |number: usize| {
        // From right after the mark to the epoch that the next mark ends.
        let end = marks
            .get(number + 1)
            .map_or(u32::MAX, |mark| mark.epoch + 1);
        written(&events, memory, marks[number].epoch + 1..end)
    };
    assert_eq!(
        written(&events, memory, 0..marks[0].epoch + 1),
        BTreeSet::new()
    );
    assert_eq!(phase(0), (0..7).collect(), "{options:?}");
    assert_eq!(phase(1), (0..23).collect(), "{options:?}");
    assert_eq!(phase(2), (60..62).collect(), "{options:?}");
    assert_eq!(phase(3), BTreeSet::new(), "{options:?}");
    end(session);
}

#[test]
fn each_phase_has_exactly_the_pages_that_were_stored_to_in_it() {
    phases_have_their_pages(&[]);
}

#[test]
fn phases_are_exact_where_epochs_are_as_short_as_can_be() {
    phases_have_their_pages(&["--interval=0"]);
}

#[test]
fn phases_are_exact_where_an_epoch_would_never_end_by_itself() {
    phases_have_their_pages(&["--interval=1h", "--max-overhead=1"]);
}

#[test]
fn phases_are_exact_where_loads_are_watched_too() {
    phases_have_their_pages(&["--track=readwrite", "--interval=5ms"]);
}

#[test]
fn marks_are_there_where_nothing_is_watched() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, mut consumer) = start("phases", &["--track=none"]);
    let _ = session.line();
    session.send("\n");
    assert_eq!(session.line(), "ready");
    let marks = consumer.marks();
    assert_eq!(names(&marks), ["load", "run", "write out", "done"]);
    assert!(marks.is_sorted_by(|a, b| a.epoch < b.epoch), "{marks:?}");
    assert_eq!(events(&mut consumer), []);
    end(session);
}

#[test]
fn an_epoch_that_was_asked_for_has_been_published_when_the_call_returns() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, consumer) = start("phases", &["--interval=1h"]);
    let memory = hexadecimal(&session.line());
    session.send("\n");
    assert_eq!(session.line(), "ready");
    let marks = consumer.marks();
    // The one that runs now was begun by the last call.
    assert_eq!(consumer.info().epoch, marks[3].epoch + 1);
    let ended: Vec<u32> = consumer.epochs().iter().map(|epoch| epoch.number).collect();
    assert_eq!(ended, (1..=marks[3].epoch).collect::<Vec<_>>());
    let epochs = consumer.epochs();
    let run = epochs.iter().find(|epoch| epoch.number == marks[2].epoch);
    assert!(run.is_some_and(|epoch| (23..40).contains(&epoch.written)));
    let since = consumer.pages_written_since(marks[2].epoch).expect("exact");
    let pages: BTreeSet<u64> = since.pages.into_iter().collect();
    let expected = [60, 61].map(|page| memory + page * PAGE);
    assert!(expected.iter().all(|page| pages.contains(page)));
    assert!(!pages.contains(&memory), "stored to in an earlier phase");
    end(session);
}

#[test]
fn dump_and_summary_show_what_the_program_says() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let summary = scratch.path().join("summary");
    let option = format!("--summary={}", summary.display());
    let (mut session, consumer) = start("phases", &[&option]);
    let memory = hexadecimal(&session.line());
    let mut follower = Follower::attach(session.pid());
    session.send("\n");
    assert_eq!(session.line(), "ready");
    let has_last = |records: &[Record]| {
        let is_last =
            |record: &Record| matches!(record, Record::Mark { name, .. } if name == "done");
        records.iter().any(is_last)
    };
    let patience = machine::patience(Duration::from_secs(20));
    assert!(
        follower.read_until(patience, has_last),
        "{:?}",
        follower.last(5)
    );
    let once = Command::new(vmmload())
        .args(["dump", &consumer.pid().to_string()])
        .output()
        .expect("vmmload can be started");
    let text = String::from_utf8(once.stdout).expect("text");
    let mark = &consumer.marks()[1];
    let seconds = Duration::from_nanos(mark.time_ns - consumer.info().start_ns).as_secs_f64();
    let line = format!(
        "mark  run  epoch {}  {seconds:.3} s  thread {}\n",
        mark.epoch, mark.thread
    );
    assert!(text.contains(&line), "{line}{text}");
    let page = format!("page  {memory:#014x}  write ");
    let named = |line: &&str| line.starts_with(&page) && line.ends_with("  work area");
    assert!(text.lines().filter(named).count() >= 2, "{text}");
    end(session);
    let marks: Vec<(&str, u64)> = follower
        .read_to_end()
        .iter()
        .filter_map(|record| match record {
            Record::Mark { name, epoch } => Some((&**name, *epoch)),
            _ => None,
        })
        .collect();
    let expected = consumer.marks();
    let expected: Vec<(&str, u64)> = expected
        .iter()
        .map(|mark| (&*mark.name, mark.epoch.into()))
        .collect();
    assert_eq!(marks, expected);
    let text = std::fs::read_to_string(summary).expect("a summary");
    let (_, table) = text.split_once("  LAST  NAME\n").expect("a table of marks");
    let ends: Vec<&str> = table
        .lines()
        .map(|line| line.rsplit("s  ").next().unwrap_or(""))
        .collect();
    assert_eq!(ends, ["load", "run", "write out", "done"], "{text}");
    let row = text.lines().find(|line| line.ends_with("  work area"));
    let cells: Vec<&str> = row.expect("a row").split_whitespace().collect();
    assert_eq!(cells[..2], ["25", "32"], "pages and write events: {text}");
}

#[test]
fn arguments_are_checked_inside_and_unknown_natively() {
    let program = Guest::new("marks/arguments").program();
    program.native().assert_success("arguments");
    if !machine::can_run_inside() {
        return;
    }
    let outcome: Outcome = program.inside();
    outcome.assert_success("arguments");
    let (mut session, consumer) = start("arguments", &[]);
    assert_eq!(session.line(), "done");
    let marks = consumer.marks();
    let longest = "l".repeat(255);
    assert_eq!(names(&marks), ["eeee", &longest, "caf\\xe9 \u{1b}[2J"]);
    end(session);
}

/// The pieces of mapped memory with a name, as the segment has them now.
fn named(mappings: &[Mapping], wanted: &str) -> Vec<(u64, u64)> {
    let named = mappings.iter().filter(|mapping| mapping.name == wanted);
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for Mapping { start, end, .. } in named {
        match joined.last_mut() {
            Some(last) if last.1 == *start => last.1 = *end,
            _ => joined.push((*start, *end)),
        }
    }
    joined
}

#[test]
fn memory_of_every_kind_has_the_name_that_it_was_given_and_the_program_sees_no_difference() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, mut consumer) = start("names", &["--interval=20ms"]);
    let mut expected: Vec<(String, u64, u64)> = Vec::new();
    loop {
        let line = session.line();
        let fields: Vec<&str> = line.splitn(3, ' ').collect();
        let [start, end, name] = fields[..] else {
            break;
        };
        expected.push((name.to_owned(), hexadecimal(start), hexadecimal(end)));
    }
    assert_eq!(expected.len(), 16);
    let limit = Instant::now() + machine::patience(Duration::from_secs(20));
    let wanted: BTreeSet<&str> = expected.iter().map(|(name, ..)| &**name).collect();
    // What changed last is published with the next look.
    let mappings = loop {
        let mappings = consumer.mappings().expect("nobody changes them");
        let differs = wanted.iter().find(|&&name| {
            let expected = expected.iter().filter(|piece| piece.0 == name);
            let expected: Vec<_> = expected.map(|(_, start, end)| (*start, *end)).collect();
            named(&mappings.entries, name) != expected
        });
        let Some(name) = differs else {
            break mappings;
        };
        assert!(
            Instant::now() < limit,
            "{name}: {expected:x?} {mappings:#x?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    };
    let class = |name: &str| {
        let piece = mappings.entries.iter().find(|piece| piece.name == name);
        piece.map(|piece| piece.class.name())
    };
    for (name, expected) in [
        ("tiny", "anonymous"),
        ("pool", "heap"),
        ("table of constants", "file"),
        ("buffer", "stack"),
        ("shared \u{1f980}", "shared"),
        ("code", "file"),
    ] {
        assert_eq!(class(name), Some(expected), "{name}");
    }
    told_apart_by_time(&mut session, &mut consumer, &expected);
    end(session);
}

/// Stores before the name was given are another mapping's, and those after it are the name's.
fn told_apart_by_time(
    session: &mut Session,
    consumer: &mut Consumer,
    expected: &[(String, u64, u64)],
) {
    let limit = Instant::now() + machine::patience(Duration::from_secs(20));
    let mut events = Vec::new();
    for (name, before) in [("tiny", ""), ("pool", "[heap]"), ("table of constants", "")] {
        let (_, start, end) = expected.iter().find(|piece| piece.0 == name).expect(name);
        let of_page =
            |event: &&Event| event.kind == Kind::Write && (*start..*end).contains(&event.addr);
        let pages = (end - start) / PAGE;
        loop {
            events.extend(self::events(consumer));
            if events.iter().filter(of_page).count() as u64 >= 2 * pages {
                break;
            }
            assert!(Instant::now() < limit, "{name}");
            let _ = consumer.wait(Some(Duration::from_millis(50)));
        }
        let mappings = consumer.mappings().expect("nobody changes them");
        let hits = events.iter().filter(of_page);
        let hits: Vec<&str> = hits
            .map(|event| {
                mappings
                    .of(event)
                    .map_or("(none)", |mapping| &*mapping.name)
            })
            .collect();
        let (old, new) = hits.split_at(pages as usize);
        assert!(new.iter().all(|hit| *hit == name), "{name}: {hits:?}");
        let is_old = |hit: &&str| match before {
            // A mapping of the program's own file.
            "" if name == "table of constants" => hit.starts_with('/'),
            before => *hit == before,
        };
        assert!(old.iter().all(is_old), "{name}: {hits:?}");
    }
    assert!(session.line_within(Duration::ZERO).is_err(), "it waits");
}

#[test]
fn marks_and_epochs_of_threads_and_signal_handlers_are_all_there() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, consumer) = start("threads", &["--interval=3ms"]);
    let line = session.line();
    let (marks, ticks) = line.split_once(' ').expect("two numbers");
    let (marks, ticks) = (number(marks), number(ticks));
    let all = consumer.marks();
    assert!(all.is_sorted_by_key(|mark| mark.time_ns));
    assert!(all.is_sorted_by_key(|mark| mark.epoch));
    assert_eq!(all.len() as u64, 4 * marks + ticks);
    let mut threads = BTreeSet::new();
    for worker in 0..4 {
        let name = format!("worker {worker}");
        let own: Vec<&Mark> = all.iter().filter(|mark| mark.name == name).collect();
        assert_eq!(own.len() as u64, marks);
        let one = own.iter().all(|mark| mark.thread == own[0].thread);
        assert!(one && threads.insert(own[0].thread), "{name}");
    }
    assert_eq!(
        all.iter().filter(|mark| mark.name == "tick").count() as u64,
        ticks
    );
    // Each mark was made in the epoch that it says, by the clock.
    for epoch in consumer.epochs() {
        let own = all.iter().filter(|mark| mark.epoch == epoch.number);
        let times = epoch.start_ns..=epoch.end_ns;
        assert!(
            own.clone().all(|mark| times.contains(&mark.time_ns)),
            "{epoch:?}"
        );
    }
    end(session);
}

#[test]
fn children_have_marks_of_their_own_and_inherit_names() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, consumer) = start("children", &[]);
    let line = session.line();
    let (child, vforked) = line.split_once(' ').expect("two ids");
    let vforked = u32::try_from(number(vforked)).expect("a pid");
    let child = Consumer::attach(u32::try_from(number(child)).expect("a pid")).expect("a segment");
    let own = child.marks();
    assert_eq!(names(&own), ["in child"]);
    assert_eq!(own[0].thread, child.pid());
    let mappings = child.mappings().expect("nobody changes them");
    assert_eq!(named(&mappings.entries, "inherited").len(), 1);
    let family = Family::of(child.pid()).expect("a session");
    assert_eq!(family.members().count(), 2);
    end(session);
    let marks = consumer.marks();
    // Who shares the memory, shares the segment.
    let expected = [
        ("before fork", consumer.pid()),
        ("in vfork", vforked),
        ("after fork", consumer.pid()),
    ];
    let found: Vec<_> = marks
        .iter()
        .map(|mark| (&*mark.name, mark.thread))
        .collect();
    assert_eq!(found, expected);
}

/// All that comes until the process waits again, and what was lost.
fn read_marks(consumer: &mut Consumer, session: &mut Session) -> (Vec<Mark>, String) {
    let mut marks = Vec::new();
    let limit = Instant::now() + machine::patience(Duration::from_secs(50));
    loop {
        let line = session.line_within(Duration::from_millis(1));
        while let Some(mark) = consumer.next_mark() {
            marks.push(mark);
        }
        if let Ok(line) = line {
            return (marks, line);
        }
        assert!(Instant::now() < limit, "{} marks only", marks.len());
    }
}

#[test]
fn very_many_marks_are_read_or_counted_as_lost_and_names_have_a_limit() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let summary = scratch.path().join("summary");
    let option = format!("--summary={}", summary.display());
    let (mut session, mut consumer) = start("many", &[&option]);
    assert_eq!(session.line(), "begin");
    // Comes once at the beginning, and again when much has been overwritten.
    let mut late = consumer.clone();
    session.send("\n");
    let (marks, line) = read_marks(&mut consumer, &mut session);
    let count = number(&line);
    assert_eq!(marks.len() as u64 + consumer.marks_lost(), count);
    assert!(marks.iter().all(|mark| mark.name == "frame"));
    assert_eq!(consumer.info().names_dropped, 0);
    let read = std::iter::from_fn(|| late.next_mark()).count() as u64;
    assert_eq!(read + late.marks_lost(), count);
    assert!(count < 16_385 || late.marks_lost() > 0);

    session.send("\n");
    let (marks, line) = read_marks(&mut consumer, &mut session);
    let named = marks.iter().filter(|mark| !mark.name.is_empty()).count() as u64;
    assert_eq!(number(&line) + 1, marks.len() as u64);
    let info = consumer.info();
    assert_eq!(
        (info.names_dropped, info.marks),
        (marks.len() as u64 - named, count + marks.len() as u64)
    );
    assert!((1000..2000).contains(&named), "{named}");
    assert_eq!(marks.last().map(|mark| &*mark.name), Some("frame"));
    let mappings = consumer.mappings().expect("nobody changes them");
    assert_eq!(self::named(&mappings.entries, "named late").len(), 1);
    assert!(matches!(
        consumer.wait(Some(Duration::ZERO)),
        Woken::News | Woken::TimedOut
    ));
    end(session);
    let text = std::fs::read_to_string(summary).expect("a summary");
    assert!(text.contains("  named late\n"), "{text}");
    let (_, table) = text.split_once("  LAST  NAME\n").expect("a table of marks");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 21, "{text}");
    assert_eq!(lines[20], "  and more than 1,004 names, 2,481 marks");
}

#[test]
fn no_store_is_lost_while_memory_gets_other_names_and_epochs_end() {
    if !machine::can_run_inside() {
        return;
    }
    for options in [&[][..], &["--interval=0"], &["--track=readwrite"]] {
        let (mut session, consumer) = start("renamed", options);
        let memory = hexadecimal(&session.line());
        // The last pages were stored to between the last two epochs that the program ended.
        let ended = consumer.epochs();
        let since = ended.iter().rev().find(|epoch| epoch.written >= 32);
        let since = since.expect("an epoch").number - 1;
        let written = consumer.pages_written_since(since).expect("exact").pages;
        let pages = (0..32).map(|page| memory + page * PAGE);
        assert!(pages.into_iter().all(|page| written.contains(&page)));
        end(session);
    }
}

#[test]
fn stores_of_a_thread_that_goes_on_are_in_the_epoch_that_ends_after_them() {
    if !machine::can_run_inside() {
        return;
    }
    let options = ["--interval=1h", "--max-overhead=100"];
    let (mut session, mut consumer) = start("spinning", &options);
    let line = session.line();
    let (memory, rounds) = line.split_once(' ').expect("an address and a number");
    let (memory, rounds) = (hexadecimal(memory), number(rounds));
    let marks = consumer.marks();
    assert_eq!(marks.len() as u64, rounds);
    let (mut stores, mut late) = (0, 0);
    for event in events(&mut consumer) {
        let page = event.addr.wrapping_sub(memory) / PAGE;
        let round = page / 8;
        // Before, all pages were stored to once.
        let is_later = event.kind == Kind::Write && event.epoch >= marks[0].epoch;
        if (1..=rounds).contains(&round) && is_later {
            let delay = event.epoch - marks[round as usize - 1].epoch;
            assert!(delay <= 1, "page {page} in {event:?}");
            stores += 1;
            late += u64::from(delay);
        }
    }
    assert_eq!(stores, 8 * rounds, "each store is one event");
    // Only where the thread got no processor meanwhile; of the others it would be one of four.
    assert!(late < stores / 8, "{late} of {stores}");
    end(session);
}

#[test]
fn rounds_are_told_apart_wherever_an_epoch_ends_by_itself() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, mut consumer) = start("rounds", &["--interval=0"]);
    let line = session.line();
    let (memory, rounds) = line.split_once(' ').expect("an address and a number");
    let memory = hexadecimal(memory);
    let marks = consumer.marks();
    assert_eq!(marks.len() as u64, number(rounds) + 1);
    let events = events(&mut consumer);
    for (round, marks) in marks.windows(2).enumerate() {
        let pages = written(&events, memory, marks[0].epoch + 1..marks[1].epoch + 1);
        assert_eq!(pages, (0..5).collect(), "round {round}: {marks:?}");
    }
    end(session);
}

#[test]
fn a_phase_has_its_pages_even_if_they_were_left_alone_before() {
    if !machine::can_run_inside() {
        return;
    }
    let (mut session, mut consumer) = start("alone", &["--interval=2ms", "--max-overhead=10"]);
    let memory = hexadecimal(&session.line());
    let limit = Instant::now() + machine::patience(Duration::from_secs(30));
    let are_left_alone = |consumer: &Consumer| {
        let epochs = consumer.epochs();
        epochs.last().is_some_and(|epoch| epoch.left_alone >= 500)
    };
    while !are_left_alone(&consumer) {
        assert!(Instant::now() < limit, "{:?}", consumer.epochs().last());
        std::thread::sleep(Duration::from_millis(5));
    }
    session.signal(libc::SIGUSR1);
    assert_eq!(session.line(), "ready");
    let marks = consumer.marks();
    assert_eq!(names(&marks), ["busy", "quiet", "end"]);
    let quiet = marks[1].epoch + 1..marks[2].epoch + 1;
    consumer.rewind();
    let mut events = vec![Event::default(); 1 << 16];
    let read = consumer.read(&mut events).read;
    assert_eq!(written(&events[..read], memory, quiet), (10..13).collect());
    end(session);
}
