//! `vmmload top` as a person has it: in a terminal, by its keys and its screens. And `top --once` as scripts have it.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use vmmload_tests::packages::bash;
use vmmload_tests::terminal::Terminal;
use vmmload_tests::{Guest, Session, machine, observe};

/// Pages that the guest writes in every epoch.
const PAGES: u64 = 37;
/// How its mapping is called.
const NAME: &str = "[anon:steady]";
/// Intensities.
const SHADES: &[char] = &['·', '░', '▒', '▓', '█'];
/// The guest that always writes the same pages, running inside.
fn steady() -> Session {
    let guest = Guest::new("tracking/steady").program();
    let guest = guest.args([PAGES.to_string(), "5".into()]);
    let guest = guest.option("--max-overhead=100");
    let mut session = Session::start(guest.inside_command());
    assert!(session.line().starts_with("0x"));
    session
}

/// Starts `vmmload top` with these arguments, and words before it.
fn start_top(terminal: &Terminal, before: &str, arguments: &str) {
    let observe = observe().display();
    terminal.shell(&format!("{before} {observe} top {arguments}"));
    terminal.wait_for("top", |screen| screen.contains("vmmload top  "));
}

/// The line that has this in it, as words.
fn words<'s>(screen: &'s str, of: &str) -> Option<Vec<&'s str>> {
    let line = screen.lines().find(|line| line.contains(of))?;
    Some(line.split_whitespace().collect())
}

/// Waits until it is no process any more.
#[track_caller]
fn assert_ends(pid: u32) {
    let limit = machine::patience(Duration::from_secs(20));
    let began = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(began.elapsed() < limit, "process {pid} goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_is_shown_with_its_working_set_its_mappings_and_its_memory() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let terminal = Terminal::open(80, 24);
    start_top(&terminal, "", &format!("--delay 200ms {}", guest.pid()));
    let pid = guest.pid().to_string();
    // PID EVENTS/S PAGES BYTES(2) TOUCHED W/R/K LOST AGE COMMAND: the buffer, and the page of the stack.
    let screen = terminal.wait_for("working set", |screen| {
        let row = words(screen, &format!("{pid} "));
        let pages = row.and_then(|row| row.get(2)?.parse::<u64>().ok());
        pages.is_some_and(|pages| (PAGES..PAGES + 5).contains(&pages))
    });
    assert!(
        screen.contains("EVENTS/S▾") && screen.contains("steady-"),
        "{screen}"
    );
    assert_eq!(
        words(&screen, &format!("{pid} ")).expect("its row")[7],
        "0",
        "lost:\n{screen}"
    );
    // Its memory, with the buffer.
    terminal.wait_for("picture", |screen| {
        screen
            .lines()
            .any(|line| line.contains(NAME) && line.contains('█'))
    });

    terminal.keys(&["Enter"]);
    // ADDRESS SIZE(2) EVENTS/S PAGES TOUCHED W/R/K MAPPING
    let pages = PAGES.to_string();
    let exact = [pages.as_str(), pages.as_str(), "100/-/0", NAME];
    let screen = terminal.wait_for("exact working set of the mapping", |screen| {
        words(screen, &format!(" {NAME}")).is_some_and(|row| row.ends_with(&exact))
    });
    assert!(
        screen.contains(&format!(" {pid}  /")) && screen.contains("its memory"),
        "{screen}"
    );

    terminal.keys(&["Enter"]);
    let there = 2 * PAGES;
    let facts = format!("({there} pages)");
    let screen = terminal.wait_for("mapping", |screen| screen.contains(&facts));
    assert!(screen.contains(&format!(", {PAGES} touched")), "{screen}");
    // The rows have all of the pages that were touched, each of them touched.
    let counts = screen
        .lines()
        .filter_map(|line| line.split_whitespace().next_back()?.split_once('/'));
    let counts: Vec<(u64, u64)> = counts
        .filter_map(|(touched, there)| Some((touched.parse().ok()?, there.parse().ok()?)))
        .collect();
    let sum: u64 = counts.iter().map(|(touched, _)| touched).sum();
    assert_eq!(sum, PAGES, "{counts:?} in\n{screen}");
    assert!(counts.iter().all(|(touched, there)| touched == there));

    terminal.keys(&["Escape"]);
    terminal.wait_for("mappings again", |screen| screen.contains("MAPPING"));
    terminal.keys(&["BSpace"]);
    terminal.wait_for("processes again", |screen| screen.contains("COMMAND"));
    terminal.keys(&["q"]);
    terminal.wait_for_prompt();
}

#[test]
fn keys_sort_filter_pause_and_help() {
    if !machine::can_run_inside() {
        return;
    }
    let steady = Guest::new("tracking/steady").path();
    let steady = steady.display();
    // Three processes of one run, known by their pages. They end with their standard input.
    let script = format!(
        "(exec -a many {steady} 31 20) & many=$!; (exec -a few {steady} 7 20) & echo started; read x; kill $! $many; wait"
    );
    let shell = vmmload_tests::Program::new(bash()).args(["--norc", "-c", &script]);
    let mut guest = Session::start(shell.inside_command());
    while guest.line() != "started" {}
    let terminal = Terminal::open(100, 24);
    start_top(
        &terminal,
        "",
        &format!("-d 100ms --sort pages {}", guest.pid()),
    );
    let at = |screen: &str, end: &str| screen.lines().position(|line| line.ends_with(end));
    let order = |screen: &str| Some((at(screen, " 31 20")?, at(screen, " 7 20")?));
    terminal.wait_for("most pages first", |screen| {
        screen.contains("PAGES▾") && order(screen).is_some_and(|(many, few)| many < few)
    });
    terminal.keys(&["S"]);
    terminal.wait_for("fewest pages first", |screen| {
        screen.contains("PAGES▴") && order(screen).is_some_and(|(many, few)| many > few)
    });
    terminal.keys(&["s"]);
    terminal.wait_for("the next column", |screen| screen.contains("W/R/K %▾"));
    terminal.keys(&["s", "s", "s"]);
    terminal.wait_for("the names", |screen| screen.contains("COMMAND▴"));

    terminal.keys(&["/"]);
    terminal.keys(&["7", " ", "2"]);
    let screen = terminal.wait_for("filter", |screen| screen.contains("filter: 7 2"));
    assert!(at(&screen, " 31 20").is_none(), "{screen}");
    terminal.keys(&["Enter"]);
    terminal.wait_for("keys again", |screen| {
        screen.contains("filter: 7 2  q quit")
    });
    terminal.keys(&["Escape"]);
    terminal.wait_for("all of them", |screen| {
        order(screen).is_some() && !screen.contains("filter:")
    });

    terminal.keys(&["Space"]);
    let paused = terminal.wait_for("pause", |screen| screen.contains(" PAUSED "));
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(terminal.screen(), paused);
    terminal.keys(&["Space"]);
    terminal.wait_for("going on", |screen| {
        !screen.contains("PAUSED") && screen != paused
    });

    terminal.keys(&["?"]);
    terminal.wait_for("help", |screen| screen.contains("any key goes back"));
    terminal.keys(&["h"]);
    terminal.wait_for("no help", |screen| !screen.contains("any key goes back"));
    terminal.keys(&["+", "+", "+"]);
    terminal.wait_for("longer delay", |screen| screen.contains("every 1s"));
    terminal.keys(&["-"]);
    terminal.wait_for("shorter delay", |screen| screen.contains("every 500ms"));
    terminal.keys(&["End", "Up", "Home", "j", "Enter"]);
    terminal.wait_for("the second process", |screen| screen.contains("MAPPING"));

    guest.send("\n");
    guest.finish();
    terminal.wait_for("the end of it", |screen| {
        screen.contains("all processes have ended")
    });
    // It stays, until it is not wanted any more.
    std::thread::sleep(Duration::from_millis(700));
    assert!(terminal.screen().contains("all processes have ended"));
    terminal.keys(&["C-c"]);
    terminal.wait_for_prompt();
}

#[test]
fn the_screen_fits_any_terminal_and_its_colours() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let terminal = Terminal::open(80, 24);
    let arguments = format!("-d 200ms {}", guest.pid());
    start_top(&terminal, "TERM=tmux-256color", &arguments);
    let colored = |terminal: &Terminal| {
        let text = terminal.tmux(&["capture-pane", "-p", "-e"]);
        let sequences = text.split("\x1b[").skip(1);
        let sequences =
            sequences.filter_map(|it| it.split_once('m').map(|(codes, _)| codes.to_owned()));
        let is_color = |codes: &String| {
            let codes: Vec<u32> = codes
                .split(';')
                .filter_map(|code| code.parse().ok())
                .collect();
            codes
                .iter()
                .any(|code| matches!(code, 30..=38 | 40..=48 | 90..=107))
        };
        sequences.filter(is_color).count()
    };
    terminal.wait_for("picture", |screen| screen.contains(SHADES));
    assert!(colored(&terminal) > 0);
    for (width, height, has, has_not) in [
        ("120", "40", "COST COMMAND", "too small"),
        ("40", "12", "PAGES COMMAND", "TOUCHED"),
        ("30", "6", "terminal too small", "PAGES"),
        ("80", "24", "AGE COMMAND", "too small"),
    ] {
        terminal.tmux(&["resize-window", "-x", width, "-y", height]);
        let screen = terminal.wait_for(has, |screen| {
            screen.contains(has) && !screen.contains(has_not)
        });
        assert!(
            screen.lines().count() <= height.parse().expect("a number"),
            "{screen}"
        );
    }
    terminal.keys(&["q"]);
    for (before, option) in [("NO_COLOR=1", ""), ("LC_ALL=C", "--no-color")] {
        let is_ascii = before.starts_with("LC_ALL");
        let shades: &[char] = if is_ascii {
            &['=', '+', '*', '#', '%', '@']
        } else {
            SHADES
        };
        terminal.shell("clear");
        start_top(
            &terminal,
            &format!("TERM=tmux-256color {before}"),
            &format!("{option} {arguments}"),
        );
        let screen = terminal.wait_for("picture", |screen| {
            let mut lines = screen.lines();
            lines.any(|line| line.contains(NAME) && line.contains(shades))
        });
        assert_eq!(colored(&terminal), 0, "{before}");
        assert_eq!(screen.is_ascii(), is_ascii, "{before}:\n{screen}");
        terminal.keys(&["q"]);
        terminal.wait_for_prompt();
    }
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let terminal = Terminal::open(100, 30);
    terminal.shell("ulimit -c 0");
    let before = terminal.modes("before");
    for (signal, number) in [
        ("TERM", libc::SIGTERM),
        ("INT", libc::SIGINT),
        ("HUP", libc::SIGHUP),
        ("QUIT", libc::SIGQUIT),
    ] {
        terminal.shell("clear; echo was here before");
        start_top(&terminal, "", &guest.pid().to_string());
        assert_eq!(terminal.knows("alternate_on"), "1");
        assert_eq!(terminal.knows("cursor_flag"), "0");
        assert!(!terminal.screen().contains("was here before"));
        let sent = Command::new("kill")
            .args(["-s", signal, &terminal.child().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
        terminal.wait_for("what was there", |screen| {
            screen.contains("was here before")
        });
        terminal.shell("echo status $?");
        let status = format!("status {}", 128 + number);
        terminal.wait_for(&status, |screen| screen.contains(&status));
        assert_eq!(terminal.knows("alternate_on"), "0", "{signal}");
        assert_eq!(terminal.knows("cursor_flag"), "1", "{signal}");
        assert_eq!(terminal.modes("after"), before, "{signal}");
    }
}

#[test]
fn it_is_stopped_and_goes_on() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let terminal = Terminal::open(100, 30);
    let before = terminal.modes("before");
    terminal.shell("clear");
    start_top(&terminal, "", &format!("-d 200ms {}", guest.pid()));
    for round in 0..2 {
        terminal.keys(&["C-z"]);
        terminal.wait_for("prompt", |screen| screen.contains("Stopped"));
        assert_eq!(terminal.knows("alternate_on"), "0");
        assert_eq!(terminal.knows("cursor_flag"), "1");
        assert_eq!(terminal.modes(&format!("stopped{round}")), before);
        terminal.shell("clear; fg");
        terminal.wait_for("top again", |screen| {
            screen.contains("vmmload top  ")
                && screen.contains("q quit")
                && !screen.contains("Stopped")
        });
        assert_eq!(terminal.knows("alternate_on"), "1");
        // Keys are obeyed at once, not by lines.
        terminal.keys(&["h"]);
        terminal.wait_for("help", |screen| screen.contains("any key goes back"));
        terminal.keys(&["x"]);
    }
    terminal.keys(&["q"]);
    terminal.wait_for_prompt();
    assert_eq!(terminal.modes("after"), before);
}

#[test]
fn it_ends_with_its_terminal() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    // In a session of its own nobody tells it that the terminal is gone.
    for before in ["", "setsid --wait"] {
        let terminal = Terminal::open(80, 24);
        start_top(&terminal, before, &guest.pid().to_string());
        let mut top = terminal.child();
        if !before.is_empty() {
            let children = std::fs::read_to_string(format!("/proc/{top}/task/{top}/children"));
            let children = children.unwrap_or_default();
            // setsid(1) forks where it must.
            if let Some(child) = children.split_whitespace().next() {
                top = child.parse().expect("a pid");
            }
        }
        let name = std::fs::read_to_string(format!("/proc/{top}/comm"));
        assert!(name.expect("it runs").starts_with("vmmload-obs"));
        drop(terminal);
        assert_ends(top);
    }
}

/// `vmmload top` with these arguments and no terminal.
fn without_terminal(arguments: &[&str]) -> Output {
    let mut command = Command::new(observe());
    command.arg("top").args(arguments);
    command.output().expect("it can be started")
}

#[test]
fn once_prints_a_table_that_scripts_can_read() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let pid = guest.pid().to_string();
    let limit = machine::patience(Duration::from_secs(30));
    let began = Instant::now();
    loop {
        let output = without_terminal(&["--once", "--delay", "500ms", &pid]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control()),
            "{text:?}"
        );
        let mut tables = text.split("\n\n");
        let (processes, mappings) = (
            tables.next().expect("processes"),
            tables.next().expect("mappings"),
        );
        let value = |table: &str, row: &str, column: &str| {
            let titles: Vec<&str> = table.lines().next()?.split_whitespace().collect();
            let row = words(table, row)?;
            let at = titles.iter().position(|title| *title == column)?;
            row.get(at)?.parse::<u64>().ok()
        };
        let process = |column| value(processes, &format!("{pid} "), column);
        let mapping = |column| value(mappings, NAME, column);
        let is_complete = process("PAGES").is_some_and(|pages| (PAGES..PAGES + 5).contains(&pages))
            && mapping("PAGES") == Some(PAGES);
        if !is_complete {
            // Where the program did not come to run in some epoch.
            assert!(began.elapsed() < limit, "never exact:\n{text}");
            continue;
        }
        let pages = process("PAGES").expect("a number");
        assert_eq!(process("BYTES"), Some(pages * 4096), "{text}");
        assert_eq!(process("LOST"), Some(0), "{text}");
        assert_eq!(mapping("TOUCHED"), Some(PAGES), "{text}");
        assert!(process("TOUCHED") > Some(PAGES), "{text}");
        assert!(
            process("WRITE/S") >= mapping("WRITE/S") && mapping("WRITE/S") > Some(0),
            "{text}"
        );
        assert_eq!(mapping("KERNEL/S"), Some(0), "{text}");
        break;
    }
}

#[test]
fn what_cannot_be_shown_is_said_with_the_way_out() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = steady();
    let output = without_terminal(&[]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125));
    assert!(
        message.contains("no terminal") && message.contains("--once"),
        "{message}"
    );
    let output = without_terminal(&["--once", "1"]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("/dev/shm/vmmload-1"), "{message}");

    let terminal = Terminal::open(100, 24);
    terminal.shell(&format!(
        "TERM=dumb {} top {}; echo status $?",
        observe().display(),
        guest.pid()
    ));
    let screen = terminal.wait_for("status", |screen| screen.contains("status 125"));
    assert!(screen.contains("--once"), "{screen}");
}
