//! The C library: what it exports, how it is installed and linked, and that C and C++ programs see what Rust sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};

use vmmload_consumer::{
    Change, Child, Consumer, End, Epoch, Item, Kind, MappingEntry, Method, ProcessId,
    SegmentConfig, SegmentWriter, Sighting, Status, Woken,
};
use vmmload_tests::c_library::{COMPILERS, Installed, declared, output_of, package, readme_block};
use vmmload_tests::guest_library;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Program, Session, consumer_library, machine, packages};

#[test]
fn the_header_compiles_without_a_warning_in_every_language_it_is_for() {
    let scratch = Scratch::new();
    // Twice: what includes it may be included itself.
    let text = "#include <vmmload.h>\n#include <vmmload.h>\nint main(void) { return 0; }\n";
    let source = scratch.file("header.c", text, 0o644);
    for compiler in &COMPILERS {
        let standards: &[&str] = match compiler.language {
            "c" => &["c11", "c17", "gnu11"],
            _ => &["c++11", "c++20", "gnu++17"],
        };
        for standard in standards {
            let mut command = compiler.command(standard);
            command
                .arg("-fsyntax-only")
                .arg("-I")
                .arg(package().join("include"))
                .arg(&source);
            assert_eq!(output_of(&mut command), "");
        }
    }
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let declared = declared();
    assert!(declared.len() > 35, "{declared:?}");
    let nm = packages::program("/usr/bin/nm", "binutils");
    let listing = output_of(
        Command::new(nm)
            .args(["--dynamic", "--defined-only", "--format=posix"])
            .arg(consumer_library()),
    );
    let exported: BTreeSet<String> = listing
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, declared);
    let readelf = packages::program("/usr/bin/readelf", "binutils");
    let facts = output_of(Command::new(readelf).arg("-d").arg(consumer_library()));
    assert!(
        facts.contains("Library soname: [libvmmload_consumer.so.1]"),
        "{facts}"
    );
    // Its handler of SIGBUS must outlive dlclose(3).
    assert!(facts.contains("NODELETE"), "{facts}");
}

#[test]
fn the_test_programs_call_every_function() {
    let texts = ["tests/every_function.c", "tests/nothing_there.c"].map(|name| {
        std::fs::read_to_string(package().join(name)).expect("the test programs are there")
    });
    let calls = |name: &String| texts.iter().any(|text| text.contains(&format!("{name}(")));
    let never: Vec<String> = declared().into_iter().filter(|name| !calls(name)).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// A guest that touches so many pages on command, in vmmload, having done so once.
fn touched(pages: u64) -> Session {
    let program = Guest::new("tracking/touch")
        .program()
        .args([pages.to_string(), "1".to_owned()])
        .option("--interval=20ms");
    let mut guest = Session::start(program.inside_command());
    guest.line();
    touch(&mut guest);
    guest
}

fn touch(guest: &mut Session) {
    guest.send("w");
    assert_eq!(guest.line(), "done w");
}

#[track_caller]
fn end(guest: &mut Session) {
    guest.send("q");
    let status = guest.finish();
    assert!(status.success(), "{status}");
}

fn start(program: &Path, arguments: &[String]) -> Session {
    Session::start(Program::new(program).args(arguments).native_command())
}

/// What a program still prints until it succeeds.
#[track_caller]
fn rest_of(program: &mut Session) -> Vec<String> {
    let mut lines = Vec::new();
    let limit = machine::patience(std::time::Duration::from_secs(30));
    while let Ok(line) = program.line_within(limit) {
        lines.push(line);
    }
    let status = program.finish();
    assert!(status.success(), "{status}: {lines:#?}");
    lines
}

fn events_by_page(consumer: &mut Consumer) -> BTreeMap<u64, u64> {
    let mut pages = BTreeMap::new();
    for item in consumer.drain() {
        match item {
            Item::Event(event) => *pages.entry(event.addr).or_default() += u64::from(event.count),
            Item::Lost(records) => panic!("{records} records are lost"),
        }
    }
    pages
}

/// The pages in the lines `  0x...  N events  NAME`, with all their events.
fn printed_pages(lines: &[String]) -> BTreeMap<u64, u64> {
    let mut pages = BTreeMap::new();
    for line in lines.iter().filter(|line| line.starts_with("  0x")) {
        let mut words = line.split_whitespace();
        let address = words.next().expect("an address");
        let count: u64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .expect("a count");
        *pages
            .entry(vmmload_tests::watched::hexadecimal(address))
            .or_default() += count;
    }
    pages
}

#[test]
fn the_hottest_pages_are_those_that_rust_counts_whatever_compiles_and_links() {
    if !machine::can_run_inside() {
        return;
    }
    let installed = Installed::new();
    let mut programs: Vec<PathBuf> = COMPILERS
        .iter()
        .map(|compiler| installed.compile(compiler, "examples/hottest.c", &[]))
        .collect();
    programs.push(installed.compile(&COMPILERS[0], "examples/hottest.c", &["-static"]));

    let mut guest = touched(300);
    let pid = guest.pid().to_string();
    let mut consumer = Consumer::attach(guest.pid() as u32).expect("it runs in vmmload");
    let mut running: Vec<Session> = programs
        .iter()
        .map(|program| start(program, &[pid.clone(), "100000".to_owned()]))
        .collect();
    for program in &mut running {
        let first = program.line();
        assert!(
            first.ends_with("pages touched in the last second, 0 records lost"),
            "{first}"
        );
    }
    touch(&mut guest);
    end(&mut guest);
    let pages = events_by_page(&mut consumer);
    let total: u64 = pages.values().sum();
    assert!(total >= 600, "{total}");
    for (program, session) in programs.iter().zip(&mut running) {
        let lines = rest_of(session);
        assert_eq!(printed_pages(&lines), pages, "{}", program.display());
        let last = format!("{total} events, 0 records lost, exit status 0");
        assert_eq!(lines.last(), Some(&last), "{}", program.display());
        assert!(lines.iter().any(|line| line.ends_with("events  [stack]")));
    }
}

#[test]
fn the_program_in_the_readme_sees_each_record_once() {
    if !machine::can_run_inside() {
        return;
    }
    let installed = Installed::new();
    let scratch = Scratch::new();
    let source = scratch.file("readme.c", readme_block("## A program"), 0o644);
    let program = installed.compile(&COMPILERS[1], &source, &[]);
    let mut guest = touched(300);
    let mut consumer = Consumer::attach(guest.pid() as u32).expect("it runs in vmmload");
    // Into a pipe it would print only at its end.
    let line_by_line = Program::new(&program).within(["/usr/bin/stdbuf", "-oL"]);
    let shown = line_by_line.arg(guest.pid().to_string());
    let mut running = Session::start(shown.native_command());
    let first = running.line();
    end(&mut guest);
    let lines = std::iter::once(first).chain(rest_of(&mut running));
    let records = lines.map(|line| {
        let (number, rest) = line.split_once(' ').expect("words");
        assert!(rest.starts_with("pages, the first is 0x"), "{line}");
        number.parse::<usize>().expect("a number")
    });
    assert_eq!(records.sum::<usize>(), consumer.drain().count());
}

#[test]
fn programs_need_the_shared_library_of_this_major_version_or_none() {
    let installed = Installed::new();
    let readelf = packages::program("/usr/bin/readelf", "binutils");
    let needed = |options: &[&str]| {
        let program = installed.compile(&COMPILERS[0], "examples/hottest.c", options);
        output_of(Command::new(readelf).arg("-d").arg(program))
    };
    assert!(needed(&[]).contains("Shared library: [libvmmload_consumer.so.1]"));
    assert!(!needed(&["-static"]).contains("Shared library"));
}

#[test]
fn pkg_config_knows_the_version() {
    let version = Installed::new().pkg_config(&["--modversion"]);
    assert_eq!(version, [env!("CARGO_PKG_VERSION")]);
}

#[test]
fn wrong_arguments_of_the_examples_are_told() {
    let installed = Installed::new();
    let examples = [
        ("examples/hottest.c", &COMPILERS[0], "hottest"),
        ("examples/follow_tree.cpp", &COMPILERS[3], "follow_tree"),
    ];
    for (source, compiler, name) in examples {
        let program = installed.compile(compiler, source, &[]);
        let none = Program::new(&program).native();
        assert_eq!(none.status.code(), Some(1));
        assert!(none.messages().starts_with(&format!("usage: {name} PID")));
        let nobody = Program::new(&program).arg("4294967295").native();
        assert_eq!(nobody.status.code(), Some(1));
        let message = nobody.messages();
        assert!(
            message.starts_with(&format!("{name}: no segment /dev/shm/vmmload-4294967295; ")),
            "{message}"
        );
    }
}

/// What a command line is put behind to find every wrong access to memory, and all memory that is not given back.
fn memory_check() -> Vec<String> {
    let valgrind = packages::program("/usr/bin/valgrind", "valgrind libc6-dbg");
    let options = "--quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=all \
                   --errors-for-leak-kinds=all --track-fds=no";
    let words = std::iter::once(valgrind).chain(options.split_whitespace());
    words.map(str::to_owned).collect()
}

#[test]
fn what_every_function_says_agrees_and_no_memory_is_misused_or_kept() {
    if !machine::can_run_inside() {
        return;
    }
    let installed = Installed::new();
    let programs = [0, 2].map(|compiler: usize| {
        installed.compile(&COMPILERS[compiler], "tests/every_function.c", &[])
    });
    let mut guest = touched(300);
    let pid = guest.pid().to_string();
    let mut consumer = Consumer::attach(guest.pid() as u32).expect("it runs in vmmload");
    // What SIGBUS did before is kept for ever, once in a program: that would be memory not given back.
    let checked = Program::new(&programs[0]).args([&pid, "alone"]);
    let mut running = vec![
        start(&programs[0], std::slice::from_ref(&pid)),
        start(&programs[1], std::slice::from_ref(&pid)),
        Session::start(checked.within(memory_check()).native_command()),
    ];
    for program in &mut running {
        assert_eq!(program.line(), "attached");
    }
    touch(&mut guest);
    end(&mut guest);
    let events = consumer.drain().count();
    let expected = format!(
        "{events} events, 0 lost, {} totals",
        consumer.heat().count()
    );
    for program in &mut running {
        assert_eq!(rest_of(program), std::slice::from_ref(&expected));
    }
}

#[test]
fn threads_share_a_consumer_that_is_const_and_read_with_their_own() {
    if !machine::can_run_inside() {
        return;
    }
    let installed = Installed::new();
    let program = installed.compile(&COMPILERS[0], "tests/threads.c", &[]);
    let mut guest = touched(300);
    let mut consumer = Consumer::attach(guest.pid() as u32).expect("it runs in vmmload");
    let mut running = start(&program, &[guest.pid().to_string()]);
    assert_eq!(running.line(), "attached");
    for _ in 0..3 {
        touch(&mut guest);
    }
    end(&mut guest);
    let total: u64 = events_by_page(&mut consumer).values().sum();
    assert_eq!(rest_of(&mut running), [(); 3].map(|()| total.to_string()));
}

/// The bytes of a small segment with something of everything in it.
fn small_segment() -> Vec<u8> {
    let config = SegmentConfig {
        command: b"prog\0two words\0".to_vec(),
        ring_records: 64,
        epoch_records: 8,
        link_records: 4,
        heat_pages: 4,
        map_entries: 8,
        string_bytes: 4096,
        mark_records: 8,
        ..SegmentConfig::new(std::process::id())
    };
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("vmmload-test-sdk-c-{}-{number}", std::process::id());
    let mut writer = SegmentWriter::create_named(&config, &name).expect("/dev/shm has room");
    writer.begin_epoch(1, 5);
    for page in 0..100 {
        let kind = Kind::ALL[page as usize % 3];
        let index = writer.region(page << 12, kind);
        writer.record(index, Sighting::new(page << 12, kind, Method::DirtyRing));
    }
    let entry = MappingEntry {
        start: 0,
        end: 1 << 20,
        name: "/bin/true",
        id: 1,
        ..MappingEntry::default()
    };
    writer.publish_mappings([entry].into_iter());
    let process = ProcessId { pid: 1, start: 2 };
    let time_ns = 9;
    writer.child(Child { process, time_ns });
    for (time_ns, name) in (10..).zip(["load", "l\u{e4}uft", "load", ""]) {
        writer.mark(name, time_ns, 3);
    }
    let number = 1;
    writer.end_epoch(Epoch {
        number,
        ..Epoch::default()
    });
    std::fs::read(Path::new("/dev/shm").join(name)).expect("the segment is a file")
}

/// Numbers that look random, the same in every run.
fn scrambled(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state)
    })
}

/// Copies of a segment with words of it changed, each with another part that suffers.
fn damaged(segment: &[u8], count: u64) -> Vec<Vec<u8>> {
    /// What never changes lies in front; damage there is refused at once.
    const CHANGING: usize = 512;
    let damage = |seed: u64| {
        let mut bytes = segment.to_vec();
        let mut numbers = scrambled(seed * 7919 + 1);
        let mut number = || numbers.next().expect("there is no end");
        for _ in 0..1 + seed % 60 {
            let words = match seed % 3 {
                0 => CHANGING..1024,
                1 => 4096..bytes.len(),
                _ => 0..bytes.len(),
            };
            let at = (words.start + number() as usize % (words.end - words.start)) & !7;
            let value = match number() % 4 {
                0 => u64::MAX,
                1 => number() % 100,
                _ => number(),
            };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    };
    (1..=count).map(damage).collect()
}

/// What `tests/marks.c` must say of a segment.
fn marks_by_rust(mut consumer: Consumer) -> String {
    let mut expected = String::new();
    while let Some(mark) = consumer.next_mark() {
        let (time, epoch, thread) = (mark.time_ns, mark.epoch, mark.thread);
        expected += &format!("{time} {epoch} {thread} {}\n", mark.name);
    }
    expected + &format!("{} lost\n", consumer.marks_lost())
}

#[test]
fn marks_of_a_program_are_those_that_rust_reads() {
    if !machine::can_run_inside() {
        return;
    }
    let installed = Installed::new();
    let reader = installed.compile(&COMPILERS[1], "tests/marks.c", &[]);
    let program = Program::new(guest_library::example("phases"));
    let mut guest = Session::start(program.arg("100").inside_command());
    let told: Vec<String> = (0..3).map(|_| guest.line()).collect();
    assert_eq!(told[0], "inside 1");
    let consumer = Consumer::attach(guest.pid() as u32).expect("it runs in vmmload");
    let outcome = Program::new(reader).arg(guest.pid().to_string()).native();
    outcome.assert_success("marks.c");
    assert_eq!(outcome.text(), marks_by_rust(consumer));
    // 99 times the same, and the two phases.
    assert_eq!(outcome.text().lines().count(), 99 + 2 + 1);
    let status = guest.finish();
    assert!(status.success(), "{status}");
}

#[test]
fn marks_in_a_file_are_those_that_rust_reads() {
    let installed = Installed::new();
    let scratch = Scratch::new();
    let file = scratch.file("segment", small_segment(), 0o600);
    let expected = marks_by_rust(Consumer::open(&file).expect("it is a segment"));
    assert!(
        expected.starts_with("10 1 3 load\n11 1 3 l\u{e4}uft\n"),
        "{expected}"
    );
    for compiler in [&COMPILERS[0], &COMPILERS[3]] {
        let program = installed.compile(compiler, "tests/marks.c", &[]);
        let outcome = Program::new(program).arg(file.clone()).native();
        outcome.assert_success("marks.c");
        assert_eq!(outcome.text(), expected);
    }
}

#[test]
fn null_garbage_and_damage_end_no_program() {
    // The codes of the header.
    let (not_ready, magic, version, layout) = (5, 6, 7, 8);
    let installed = Installed::new();
    let segment = small_segment();
    let mut files = vec![
        (0, segment.clone()),
        (not_ready, segment[..100].to_vec()),
        (not_ready, vec![0; 8192]),
        (
            magic,
            scrambled(1).take(9000).flat_map(u64::to_le_bytes).collect(),
        ),
        (version, [&segment[..12], &[9], &segment[13..]].concat()),
        (layout, segment[..segment.len() - 4096].to_vec()),
        (layout, segment[..4096].to_vec()),
    ];
    files.extend(damaged(&segment, 150).into_iter().map(|bytes| (0, bytes)));
    let scratch = Scratch::new();
    let arguments: Vec<String> = files
        .iter()
        .enumerate()
        .flat_map(|(number, (code, bytes))| {
            let file = scratch.file(&format!("{number}"), bytes, 0o600);
            [code.to_string(), file.display().to_string()]
        })
        .collect();
    for compiler in [&COMPILERS[1], &COMPILERS[2]] {
        let program = installed.compile(compiler, "tests/nothing_there.c", &[]);
        let program = Program::new(&program).args(arguments.clone());
        for checked in [program.clone(), program.within(memory_check())] {
            let outcome = checked.native();
            outcome.assert_success("using what is damaged");
            let used = outcome.text();
            let used: u32 = used
                .trim_end()
                .strip_suffix(" used")
                .expect("a number")
                .parse()
                .expect("a number");
            // Damage in front is refused, but that behind it can only be lived with.
            assert!((100..151).contains(&used), "{used}");
        }
    }
}

#[test]
fn a_reader_lives_when_its_segment_is_cut_short_unless_it_left_the_signal_alone() {
    let installed = Installed::new();
    let program = installed.compile(&COMPILERS[1], "tests/cut_short.c", &[]);
    let scratch = Scratch::new();
    let segment = small_segment();
    let file = |name| scratch.file(name, &segment, 0o600);
    let lives = Program::new(&program).arg(file("one"));
    let outcome = lives.native();
    outcome.assert_success("reading a segment that is cut short");
    assert_eq!(outcome.text(), "lives\n");
    let ends = Program::new(&program).arg(file("other")).arg("alone");
    assert_eq!(ends.native().signal(), Some(libc::SIGBUS));
}

/// Events of each process of a session, whatever programs it executes, and how each of its programs ended. Tells of
/// each that comes.
fn follow(
    mut session: vmmload_consumer::Session,
    came: &Sender<u32>,
) -> (BTreeMap<u32, u64>, BTreeMap<u32, Vec<Status>>) {
    let (mut events, mut ends) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    loop {
        for change in session.refresh() {
            match change {
                Change::Came(process) => came.send(process.pid).expect("the test listens"),
                Change::Went(process, status) => {
                    ends.entry(process.pid).or_default().push(status);
                }
            }
        }
        for member in session.members_mut() {
            let more: u64 = events_by_page(member).values().sum();
            *events.entry(member.pid()).or_default() += more;
        }
        let limit = machine::patience(std::time::Duration::from_secs(30));
        match session.wait(Some(limit)) {
            Woken::News => {}
            Woken::Over => return (events, ends),
            Woken::TimedOut => panic!("nothing happens: {events:?}, {ends:?}"),
        }
    }
}

/// The pid in front of a line, and the rest.
#[track_caller]
fn pid_and_rest(line: &str) -> (u32, &str) {
    let (pid, rest) = line.split_once(' ').expect("words");
    (pid.parse().expect("a pid"), rest)
}

#[test]
fn a_tree_is_followed_from_process_to_process_and_program_to_program() {
    if !machine::can_run_inside() {
        return;
    }
    let script = "echo ready; read a; sh -c 'read b; exit 3'; read c; exec sh -c 'read d; exit 5'";
    let shell = Program::new("/bin/sh").args(["-c", script]);
    let mut tree = Session::start(shell.option("--interval=20ms").inside_command());
    assert_eq!(tree.line(), "ready");
    let pid = tree.pid() as u32;
    let installed = Installed::new();
    let mut programs = [2, 3].map(|compiler: usize| {
        let program = installed.compile(&COMPILERS[compiler], "examples/follow_tree.cpp", &[]);
        let mut program = start(&program, &[pid.to_string()]);
        assert_eq!(program.line(), "1 there");
        program
    });
    let session = vmmload_consumer::Session::of(pid).expect("it runs in vmmload");
    let (sender, followed_came) = channel();
    let followed = std::thread::spawn(move || follow(session, &sender));

    tree.send("a\n");
    let came = programs.each_mut().map(Session::line);
    let (child, rest) = pid_and_rest(&came[0]);
    assert_eq!((rest, &came[1]), ("came", &came[0]));
    assert_eq!(followed_came.recv(), Ok(child));
    tree.send("b\n");
    let child_ends = programs.each_mut().map(Session::line);
    tree.send("c\n");
    let replaced = programs
        .each_mut()
        .map(|program| [program.line(), program.line()]);
    assert_eq!(followed_came.recv(), Ok(pid));
    tree.send("d\n");
    assert_eq!(tree.finish().code(), Some(5));

    let (events, ends) = followed.join().expect("the session was followed");
    let ended = |status| Status::Ended(End::Exited(status));
    let of_shell = vec![Status::Ended(End::Replaced), ended(5)];
    assert_eq!(ends, [(child, vec![ended(3)]), (pid, of_shell)].into());
    for ((program, child_end), replaced) in programs.iter_mut().zip(child_ends).zip(replaced) {
        let mine = format!(
            "{child} went, exit status 3: {} events, 0 lost",
            events[&child]
        );
        assert_eq!(child_end, mine);
        let (first, rest) = pid_and_rest(&replaced[0]);
        assert_eq!(first, pid);
        assert!(rest.starts_with("went, another program: "), "{rest}");
        assert_eq!(replaced[1], format!("{pid} came"));
        let last = format!("{pid} went, exit status 5: {} events, 0 lost", events[&pid]);
        assert_eq!(
            rest_of(program),
            [last, "0 came and went unseen".to_owned()]
        );
    }
}
