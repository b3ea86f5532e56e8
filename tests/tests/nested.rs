//! `vmmload run` inside vmmload: the command is wrapped once, by the outer one, as the inner one asks.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use vmmload_consumer::{Consumer, Info, Track};
use vmmload_tests::packages::{bash, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program, Session, machine, vmmload};

/// `vmmload run` with these words, inside vmmload.
fn nested(words: &[&str]) -> Program {
    Program::new(vmmload()).arg("run").args(words.to_vec())
}

/// Runs a command natively, and in vmmload in vmmload: all must be equal. Gives the native outcome.
#[track_caller]
fn compare(words: &[&str]) -> Outcome {
    let native = Program::new(words[0]).args(words[1..].to_vec()).native();
    if machine::can_run_inside() {
        let inside = nested(words).inside();
        assert_eq!(inside.text(), native.text(), "{words:?}");
        assert_eq!(inside.messages(), native.messages(), "{words:?}");
        assert_eq!(inside.status, native.status, "{words:?}");
    }
    native
}

/// A shell script that tells what its process is to itself.
const ITSELF: &str = "grep -E '^(Sig[PBC]|Shd|Threads|NoNewPrivs)' /proc/self/status
    tr '\\0' '|' < /proc/$$/cmdline; readlink /proc/$$/exe /proc/$$/cwd; ls /proc/$$/fd; env | sort; exit 3";

#[test]
fn command_is_to_itself_what_it_is_natively() {
    let outcome = compare(&["/bin/sh", "-c", ITSELF, "zero", "", "two words"]);
    assert_eq!(outcome.status.code(), Some(3));
    assert!(outcome.text().contains("SigCgt"), "{}", outcome.text());
}

#[test]
fn ends_and_failures_are_those_of_one_run() {
    compare(&["/bin/sh", "-c", "kill -TERM $$"]);
    compare(&["/bin/sh", "-c", "exit 77"]);
    compare(&[
        bash(),
        "-c",
        "echo out; echo err >&2; exec -a other sleep 0",
    ]);
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let path = |file: std::path::PathBuf| file.to_str().expect("text").to_owned();
    let garbage = path(scratch.file("garbage", [0x7f, b'E', b'L', b'F', 0, 0], 0o755));
    let locked = path(scratch.file("locked", "#!/bin/sh\n", 0o644));
    for words in [
        &["no-such-command"][..],
        &["/no/such/file"],
        &["/etc"],
        &[&locked],
        &[&garbage],
        &["--interval", "soon", "true"],
        &["--summary=/no/such/directory/file", "true"],
        &["--ring-mode=600", "--ring-group=0", "true"],
    ] {
        let single = Program::new(vmmload())
            .arg("run")
            .args(words.to_vec())
            .native();
        let double = nested(words).inside();
        assert!(!single.status.success() && single.messages().starts_with("vmmload: "));
        assert_eq!(double.messages(), single.messages(), "{words:?}");
        assert_eq!(double.status, single.status, "{words:?}");
    }
}

#[test]
fn scripts_are_started_by_their_interpreter_or_the_shell() {
    let scratch = Scratch::new();
    let plain = scratch.file("plain", "echo plain $0 $1 $#\n", 0o755);
    let marked = scratch.file("marked", "#!/bin/sh -e\necho marked $0 $1 $#\n", 0o755);
    for script in [plain, marked] {
        let script = script.to_str().expect("text");
        // Without #!, it is whoever starts it that knows what to do: env(1) as well as vmmload.
        let native = Program::new("/usr/bin/env").args([script, "a b"]).native();
        assert!(native.status.success(), "{native:?}");
        if machine::can_run_inside() {
            let inside = nested(&[script, "a b"]).inside();
            assert_eq!(inside.text(), native.text());
        }
    }
}

/// What the segment says of a command that these options' programs start, which waits for a line.
fn info(outer: &[&str], inner: &[&str]) -> Info {
    let words = [inner, &["/bin/sh", "-c", "echo ready; read line"]].concat();
    let program = nested(&words);
    let program = outer
        .iter()
        .fold(program, |program, option| program.option(*option));
    let mut session = Session::start(program.inside_command());
    assert_eq!(session.line(), "ready");
    let consumer = Consumer::attach(session.pid() as u32).expect("a segment");
    let info = consumer.info();
    session.send("\n");
    assert!(session.finish().success());
    info
}

#[test]
fn inner_options_count_and_the_outer_ones_stay_for_the_rest() {
    if !machine::can_run_inside() {
        return;
    }
    let outer = ["-i", "250ms", "--track=none", "--max-overhead=7"];
    let both = info(&outer, &["--interval=1s", "--track=write"]);
    assert_eq!(both.interval, Duration::from_secs(1));
    assert_eq!((both.track, both.max_overhead), (Some(Track::Write), 7));
    assert!(both.command.starts_with(b"/bin/sh\0-c\0"), "{both:?}");
    let alone = info(&outer, &[]);
    assert_eq!(alone.interval, Duration::from_millis(250));
    assert_eq!(alone.track, Some(Track::None));
    let binary = vmmload().to_str().expect("text");
    let twice = info(&["-i", "1s"], &[binary, "run", "-i", "0", binary, "run"]);
    assert_eq!(twice.interval, Duration::ZERO);
}

#[test]
fn variables_are_options_that_were_not_typed() {
    if !machine::can_run_inside() {
        return;
    }
    let wait = ["run", "-i", "2s", "/bin/sh", "-c", "echo ready; read line"];
    let outer = Program::new(vmmload())
        .args(wait)
        .env("VMMLOAD_INTERVAL", "1s")
        .env("VMMLOAD_MAX_OVERHEAD", "11")
        .env("VMMLOAD_TRACK", "");
    let mut session = Session::start(outer.native_command());
    assert_eq!(session.line(), "ready");
    let info = Consumer::attach(session.pid() as u32)
        .expect("a segment")
        .info();
    session.send("\n");
    assert!(session.finish().success());
    assert_eq!(
        (info.interval, info.max_overhead),
        (Duration::from_secs(2), 11)
    );
    assert_eq!(info.track, Some(Track::Write));
    for (name, value) in [
        ("VMMLOAD_INTERVAL", "soon"),
        ("VMMLOAD_TRACK", "all"),
        ("VMMLOAD_CHILDREN", "no"),
        ("VMMLOAD_HEAT_SIZE", "1"),
        ("VMMLOAD_RING_GROUP", "no-such-group"),
        ("VMMLOAD_REQUIRE", "yes"),
    ] {
        let words = Program::new(vmmload())
            .args(["run", "true"])
            .env(name, value);
        let outcome = words.native();
        assert_eq!(outcome.status.code(), Some(125), "{name}: {outcome:?}");
        let begin = format!("vmmload: {name}={value}: ");
        assert!(outcome.messages().starts_with(&begin), "{outcome:?}");
    }
}

#[test]
fn the_segment_may_be_read_by_those_whom_the_inner_run_names() {
    if !machine::can_run_inside() {
        return;
    }
    let mode = |outer: &[&str], inner: &[&str]| {
        let perl = program("/usr/bin/perl", "perl");
        let script = "printf '%o', (stat \"/dev/shm/vmmload-$$\")[2] & 07777";
        let words = [inner, &[perl, "-e", script]].concat();
        let program = nested(&words);
        let program = outer
            .iter()
            .fold(program, |program, option| program.option(*option));
        program.inside().text()
    };
    assert_eq!(mode(&["--ring-mode=644"], &[]), "644");
    assert_eq!(mode(&["--ring-mode=644"], &["--ring-mode=600"]), "600");
    assert_eq!(mode(&[], &["--ring-group=0"]), "640");
}

#[test]
fn there_is_one_summary_and_it_is_the_commands() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("summary");
    let to_file = format!("--summary={}", file.display());
    let outer = nested(&["/bin/echo", "hello"]).option("--summary").inside();
    let summaries = outer.messages().matches("vmmload: summary of").count();
    assert_eq!(summaries, 1, "{outer:?}");
    assert!(
        outer.messages().contains(": /bin/echo hello\n"),
        "{outer:?}"
    );
    let both = nested(&[&to_file, "/bin/echo", "hello"])
        .option("--summary")
        .inside();
    assert_eq!(
        (both.messages(), both.text()),
        (String::new(), "hello\n".to_owned())
    );
    let written = std::fs::read_to_string(&file).expect("the summary");
    assert!(written.contains(": /bin/echo hello\n"), "{written}");
    let mode = file.metadata().expect("the summary").permissions().mode();
    assert_eq!(mode & 0o111, 0);
}

#[test]
fn an_alias_in_a_wrapped_shell_wraps_once() {
    if !machine::can_run_inside() {
        return;
    }
    let script = "shopt -s expand_aliases
alias sh=\"'$V' run sh\"
sh -c 'echo $$; \"$V\" ls --format json'";
    let outcome = Program::new(bash())
        .args(["-c", script])
        .env("V", vmmload())
        .inside();
    outcome.assert_success("bash");
    let text = outcome.text();
    let (pid, list) = text.split_once('\n').expect("a pid and a list");
    let listed = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["pid"] == pid.parse::<u64>().expect("a pid")
    };
    assert_eq!(
        list.lines().filter(|line| listed(line)).count(),
        1,
        "{text}"
    );
}

#[test]
fn what_runs_natively_inside_is_wrapped_by_a_run_of_its_own() {
    if !machine::can_run_inside() {
        return;
    }
    let script = "test -e /dev/shm/vmmload-$$ && echo outer
        \"$V\" run sh -c 'test -e /dev/shm/vmmload-$$ && echo inner'; sh -c 'test -e /dev/shm/vmmload-$$ || echo none'";
    let outcome = Program::new("/bin/sh")
        .args(["-c", script])
        .env("V", vmmload())
        .option("--children=native")
        .inside();
    assert_eq!(outcome.text(), "outer\ninner\nnone\n", "{outcome:?}");
}

/// A call that no kernel knows: only the vmmload around a process answers it.
const ASK: &str = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = [(0, 0, 0, 0), (99, 0, 0, 0), (4, 1, 8, 0), (4, 0, 1 << 40, 0)]
print([(libc.prctl(0x564d4d4c, *(ctypes.c_ulong(a) for a in call)), ctypes.get_errno()) for call in calls])";

#[test]
fn whether_it_is_inside_only_the_one_around_a_process_can_say() {
    let ask = Program::new(python())
        .args(["-c", ASK])
        .env("VMMLOAD_NATIVE", "1");
    // EINVAL each time.
    assert_eq!(
        ask.native().text(),
        "[(-1, 22), (-1, 22), (-1, 22), (-1, 22)]\n"
    );
    if machine::can_run_inside() {
        // The version; no such function; EFAULT; E2BIG. errno stays what it was last.
        assert_eq!(
            ask.inside().text(),
            "[(1, 0), (-1, 22), (-1, 14), (-1, 7)]\n"
        );
    }
}
