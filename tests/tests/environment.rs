//! What a program inherits and what it gives back: arguments, variables, descriptors, limits, status.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Link, Program, machine, packages, vmmload};

fn guest(name: &str) -> Program {
    Guest::new(&format!("environment/{name}")).program()
}

#[test]
fn arguments_arrive_exactly_as_typed() {
    let odd = [
        "",
        " ",
        "two words",
        "-i",
        "--",
        "--summary",
        "*",
        "$HOME",
        "'\"\\",
        "line\nbreak",
        "ünïcödé",
        "",
    ];
    let program = guest("show_arguments")
        .args(odd)
        .arg(OsString::from_vec(vec![0xff, 0xfe, b'x', 0x80]));
    let text = program.compare_success().text();
    assert!(
        text.contains("14 arguments") && text.contains("argument [\\xff\\xfex\\x80]"),
        "{text}"
    );
}

#[test]
fn hundred_kilobytes_of_arguments_arrive() {
    let long = "x".repeat(100_000);
    guest("show_arguments")
        .arg(long)
        .args((0..2000).map(|number| number.to_string()))
        .compare_success();
}

#[test]
fn environment_is_passed_on_whole_unchanged_and_in_order() {
    let mut program = guest("show_arguments");
    let variables = [
        "ZULU=1",
        "ALPHA=2",
        "EMPTY=",
        "=odd",
        "noequals",
        "ALPHA=again",
        "SPACE= x ",
        "PATH=/bin",
    ];
    for variable in variables {
        program = program.arranged(format!("env={variable}"));
    }
    let not_text = OsString::from_vec([b"env=BYTES=".as_slice(), &[0xff, 0x01]].concat());
    let text = program.arranged(not_text).compare_success().text();
    let expected = variables
        .map(|variable| format!("variable [{variable}]\n"))
        .concat();
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn variables_of_the_dynamic_loader_reach_the_program_and_not_the_launcher() {
    let program = guest("show_arguments")
        .env("LD_LIBRARY_PATH", "/nonexistent")
        .env("LD_BIND_NOW", "1");
    program
        .env("GLIBC_TUNABLES", "glibc.malloc.check=0")
        .env("MALLOC_ARENA_MAX", "1")
        .compare_success();
}

#[test]
fn process_state_is_inherited() {
    let scratch = Scratch::new();
    let program = guest("show_state").directory(scratch.path());
    let text = program.compare_success().text();
    assert!(
        text.contains(&format!("directory {}", scratch.path().display())),
        "{text}"
    );
    let arranged = program
        .arranged("umask=027")
        .arranged("nice=5")
        .arranged("limit=4:0:0")
        .arranged("limit=7:600:700");
    let text = arranged.compare_success().text();
    for line in ["umask 027", "nice 5", "limit 4: 0 0", "limit 7: 600 700"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn limit_on_data_leaves_room_for_a_small_program() {
    // RLIMIT_DATA, 64 MiB: more than the program needs, less than a stack may grow to.
    guest("show_state")
        .arranged("limit=2:67108864:67108864")
        .compare_success();
}

#[test]
fn process_state_is_inherited_by_a_static_program() {
    let program = Guest::new("environment/show_state")
        .linked(Link::Static)
        .program();
    program
        .arranged("limit=3:16777216:33554432")
        .arranged("umask=077")
        .compare_success();
}

#[test]
fn descriptors_keep_their_numbers_and_new_ones_are_the_lowest_free() {
    let program = guest("show_descriptors");
    program.compare_success();
    let text = program
        .arranged("fd=3")
        .arranged("pipefd=7")
        .arranged("fd=9")
        .arranged("fd=200")
        .compare_success()
        .text();
    assert!(
        text.contains("7: pipe") && text.contains("9: device") && text.contains("200: device"),
        "{text}"
    );
}

#[test]
fn descriptors_just_below_the_limit_are_inherited() {
    let program = guest("show_descriptors").arranged("limit=7:256:256");
    let text = program
        .arranged("fd=255")
        .arranged("fd=254")
        .arranged("fd=253")
        .compare_success()
        .text();
    assert!(text.contains("255: device"), "{text}");
}

#[test]
fn closed_standard_descriptors_stay_closed() {
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 1, 2]] {
        let mut program = guest("show_standard");
        for number in closed {
            program = program.arranged(format!("close={number}"));
        }
        let mask: i32 = closed.iter().map(|number| 1 << number).sum();
        let lowest = closed[0] << 3;
        assert_eq!(
            program.compare().status.code(),
            Some(mask | lowest),
            "closed {closed:?}"
        );
    }
}

#[test]
fn program_that_closes_or_covers_every_descriptor_goes_on_working() {
    guest("close_everything")
        .arranged("limit=7:1024:4096")
        .compare_success();
}

#[test]
fn program_that_covers_a_large_descriptor_table_goes_on_working() {
    guest("close_everything")
        .arranged("limit=7:8000:20000")
        .compare_success();
}

#[test]
fn ignored_and_blocked_signals_are_inherited_and_nothing_else_is_set() {
    let program = guest("show_signals");
    let ignored = ignored_here();
    // What ignores signals before us shows too: a shell's background job 2 and 3, nohup 1. Signals 32
    // and 33 belong to the C library, whose posix_spawn leaves them ignored.
    let own = |line: &&str| {
        let number = line
            .strip_prefix("signal ")
            .and_then(|rest| rest.split_once(':'));
        let number = number.and_then(|(number, _)| number.parse::<u32>().ok());
        number.is_none_or(|number| !matches!(number, 32 | 33) && ignored >> (number - 1) & 1 == 0)
    };
    let text = program.compare_success().text();
    assert_eq!(
        text.lines().filter(own).collect::<Vec<_>>(),
        ["blocked 0, pending 0"]
    );
    let arranged = program
        .arranged("ignore=13")
        .arranged("ignore=2")
        .arranged("block=10")
        .arranged("block=34");
    let text = arranged.compare_success().text();
    assert!(
        text.contains("signal 2: ignored") && text.contains("signal 13: ignored"),
        "{text}"
    );
    assert!(text.contains("blocked 0x200000200"), "{text}");
}

/// The signals that this process ignores, without SIGPIPE: that is Rust's doing, and undone for children.
fn ignored_here() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = u64::from_str_radix(line.unwrap_or_default().trim(), 16);
    set.expect("the kernel writes the set in hexadecimal") & !(1 << (libc::SIGPIPE - 1))
}

/// Runs a shell line natively and inside; `{run}` stands for what comes before the program's path.
#[track_caller]
fn compare_shell(line: &str, variables: &[(&str, &str)]) -> String {
    let shell = |prefix: &str| {
        let mut program = Program::new("/bin/sh")
            .arg("-c")
            .arg(line.replace("{run}", prefix));
        for (name, value) in variables {
            program = program.env(*name, *value);
        }
        program.native()
    };
    let native = shell("");
    if machine::can_run_inside() {
        let inside = shell(&format!("{} run --", vmmload().display()));
        assert_eq!(native.text(), inside.text(), "{line}");
        assert_eq!(native.messages(), inside.messages(), "{line}");
        assert_eq!(native.status, inside.status, "{line}");
    }
    native.text()
}

/// The status that the endless writer ends with when its reader leaves, after `prepare` in its shell.
#[track_caller]
fn status_without_reader(prepare: &str) -> String {
    let writer = Guest::new("environment/write_for_ever").path();
    let line =
        format!("{prepare} exec 4>&1; ({{run}} $WRITER; echo $? >&4) | head -c 3 > /dev/null");
    compare_shell(&line, &[("WRITER", &writer.display().to_string())])
}

#[test]
fn writer_dies_of_sigpipe_when_its_reader_leaves() {
    assert_eq!(status_without_reader(""), "141\n");
}

#[test]
fn ignored_sigpipe_shows_as_a_failed_write() {
    assert_eq!(status_without_reader("trap '' PIPE;"), "3\n");
}

#[test]
fn unread_input_is_left_for_the_next_program() {
    let text = compare_shell(
        "printf 'first\\nrest\\n' | ({run} dd bs=6 count=1 2>/dev/null; cat)",
        &[],
    );
    assert_eq!(text, "first\nrest\n");
}

#[test]
fn output_keeps_its_order_between_programs_that_share_a_file() {
    let scratch = Scratch::new();
    let line = "(echo one; {run} echo two; echo three; {run} printf four) > $FILE; cat $FILE";
    let text = compare_shell(
        line,
        &[("FILE", &scratch.path().join("out").display().to_string())],
    );
    assert_eq!(text, "one\ntwo\nthree\nfour");
}

#[test]
fn terminal_is_the_programs_own() {
    let script = packages::program("/usr/bin/script", "bsdutils");
    let guest = Guest::new("environment/terminal").path();
    let line = format!(
        "{script} -qec '{{run}} {}' /dev/null < /dev/null",
        guest.display()
    );
    let text = compare_shell(&line, &[]);
    assert!(
        text.contains("descriptor 0 is a terminal") && text.contains("/dev/tty opens"),
        "{text}"
    );
}

#[test]
fn without_a_terminal_there_is_none() {
    assert!(
        guest("terminal")
            .compare_success()
            .text()
            .contains("descriptor 0 is no terminal")
    );
}

#[test]
fn every_exit_status_is_passed_on() {
    // All 256 would take a while: all single bits, the borders, and those with a meaning to shells.
    for status in [
        0, 1, 2, 3, 4, 8, 16, 32, 64, 99, 100, 124, 125, 126, 127, 128, 129, 130, 137, 143, 200,
        254, 255,
    ] {
        for how in ["exit", "_exit", "return"] {
            let outcome = guest("end").arg(how).arg(status.to_string()).compare();
            assert_eq!(outcome.status.code(), Some(status), "{how}");
        }
    }
}
