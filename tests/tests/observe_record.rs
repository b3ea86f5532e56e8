//! `vmmload record`: statuses, messages, and what is left when something is in the way. What recordings contain is looked
//! at in Python, with the engines that read them: tests/python/test_recordings.py.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vmmload_consumer::{Consumer, Status};
use vmmload_tests::packages::program;
use vmmload_tests::python::Environment;
use vmmload_tests::scratch::{Scratch, workspace};
use vmmload_tests::{Guest, Outcome, Program, machine, observe, vmmload};

#[test]
fn recordings_are_what_was_published_for_each_engine() {
    if !machine::can_run_inside() {
        return;
    }
    let phases = Guest::new("marks/phases").path();
    let environment: [(&str, &Path); 3] = [
        ("VMMLOAD_OBSERVE_BIN", observe()),
        ("VMMLOAD_PHASES", &phases),
        ("VMMLOAD_DOCS", &workspace().join("docs/recordings.md")),
    ];
    Environment::of_debian().run_tests_with("recordings", &environment);
}

/// `vmmload record` with these words, of which the first is where to.
fn record<'a>(place: &Path, words: impl IntoIterator<Item = &'a str>) -> Program {
    let program = Program::new(observe()).args(["record", "-o"]).arg(place);
    program.args(words).env("VMMLOAD_LAUNCHER", vmmload())
}

fn manifest(place: &Path) -> Value {
    let path = place.join("recording.json");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{text}: {cause}"))
}

fn shell() -> &'static str {
    program("/bin/sh", "dash")
}

#[test]
fn output_and_status_are_the_commands() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let run = |name: &str, script: &str| -> Outcome {
        record(&scratch.path().join(name), ["--", shell(), "-c", script])
            .input("some input\n")
            .native()
    };
    let outcome = run("a", "cat; echo complaint >&2; exit 7");
    assert_eq!(outcome.status.code(), Some(7));
    assert_eq!(outcome.text(), "some input\n");
    let place = scratch.path().join("a");
    let messages = outcome.messages();
    let (complaint, rest) = messages.split_once('\n').expect("two lines");
    assert_eq!(complaint, "complaint");
    assert!(rest.starts_with("vmmload: recorded "), "{rest}");
    let end = format!("in {}: 2 processes, ", place.display());
    assert!(
        rest.contains(&end) && rest.ends_with(", 0 lost\n"),
        "{rest}"
    );
    assert_eq!(manifest(&place)["status"], 7);
    assert_eq!(manifest(&place)["end"], "complete");
    for (name, signal) in [("SEGV", libc::SIGSEGV), ("TERM", libc::SIGTERM)] {
        let outcome = run(name, &format!("kill -{name} $$"));
        assert_eq!(outcome.signal(), Some(signal), "{outcome:?}");
        let manifest = manifest(&scratch.path().join(name));
        assert_eq!(manifest["status"], 128 + signal);
    }
}

#[test]
fn what_the_launcher_cannot_start_leaves_its_message_and_status_and_no_directory() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let place = scratch.path().join("r");
    let text = scratch.file("text", "no program", 0o644);
    let text = text.to_str().expect("a name").to_owned();
    for (words, status, message) in [
        (&["--", "no-such-command"][..], 127, "not found in PATH"),
        (&["--", &text], 126, "execute"),
        (&["--track=reads", "--", "true"], 125, "use write"),
        (&["--interval=5", "--", "true"], 125, "write it like 100ms"),
    ] {
        let outcome = record(&place, words.iter().copied()).native();
        assert_eq!(outcome.status.code(), Some(status), "{outcome:?}");
        assert!(outcome.messages().contains(message), "{outcome:?}");
        assert!(!place.exists(), "{words:?}");
    }
}

#[test]
fn what_is_in_the_way_is_said_before_anything_is_started() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "", 0o644);
    let full = scratch.path().to_path_buf();
    let places: [(PathBuf, &str); 4] = [
        (full.clone(), "is not empty"),
        (file.clone(), "is no directory"),
        (full.join("missing/r"), "mkdir -p"),
        (file.join("r"), "is a file"),
    ];
    let touched = scratch.path().join("touched");
    for (place, message) in places {
        let command = ["--", "touch", touched.to_str().expect("a name")];
        let outcome = record(&place, command).native();
        assert_eq!(outcome.status.code(), Some(125), "{outcome:?}");
        assert!(outcome.messages().contains(message), "{outcome:?}");
        assert!(!touched.exists());
    }
    let place = scratch.path().join("r");
    for (words, message) in [
        (&["--pid", "1"][..], "vmmload run"),
        (&[], "required"),
        (&["--pid", "1", "true"], "cannot be used"),
        (&["--resolution=1s,3K", "true"], "power of two"),
    ] {
        let outcome = record(&place, words.iter().copied()).native();
        assert_eq!(outcome.status.code(), Some(125), "{outcome:?}");
        assert!(outcome.messages().contains(message), "{outcome:?}");
        assert!(!place.exists(), "{words:?}");
    }
    for (launcher, message) in [
        ("vmmload", "no absolute path"),
        ("/nonexistent", "cannot execute /nonexistent"),
    ] {
        let outcome = record(&place, ["true"])
            .env("VMMLOAD_LAUNCHER", launcher)
            .native();
        assert_eq!(outcome.status.code(), Some(125), "{outcome:?}");
        assert!(outcome.messages().contains(message), "{outcome:?}");
        assert!(!place.exists());
    }
}

#[test]
fn with_quiet_nothing_is_said_that_is_no_complaint() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let outcome = record(&scratch.path().join("r"), ["--quiet", "true"]).native();
    outcome.assert_success("vmmload record --quiet");
    assert_eq!(outcome.messages(), "");
}

/// Records in a file system of its own with room for `size`; `$R` is `vmmload record -o` with a directory there. What it
/// leaves is copied to `copy`.
fn in_a_file_system_of(size: &str, copy: &Path, command: &str) -> Outcome {
    let scratch = Scratch::new();
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs {place} || exit 99
         $OBSERVE record -o {place}/r {command}
         status=$?
         cp -r {place}/r {copy}
         exit $status",
        place = scratch.path().display(),
        copy = copy.display(),
    );
    Program::new(program("/usr/bin/unshare", "util-linux"))
        .args(["-m", "sh", "-c", &script])
        .env("OBSERVE", observe())
        .env("VMMLOAD_LAUNCHER", vmmload())
        .native()
}

#[test]
fn on_a_full_disk_the_command_goes_on_and_what_was_recorded_is_complete() {
    if !machine::can_run_inside() {
        return;
    }
    if !machine::is_root() {
        machine::skip("only root can mount");
        return;
    }
    let scratch = Scratch::new();
    // Room for less and less: at the end, at the beginning, and not even for that.
    for (size, is_recorded) in [("32k", true), ("20k", true), ("4k", false)] {
        let copy = scratch.path().join(size);
        let outcome = in_a_file_system_of(size, &copy, "-- sh -c 'sleep 0.3; echo done'");
        assert_eq!(outcome.status.code(), Some(125), "{size}: {outcome:?}");
        assert!(outcome.messages().contains("No space left"), "{outcome:?}");
        assert_eq!(outcome.text(), if is_recorded { "done\n" } else { "" });
        assert_eq!(copy.exists(), is_recorded, "{size}");
        if !is_recorded {
            continue;
        }
        assert!(
            outcome.messages().contains("goes on unrecorded"),
            "{outcome:?}"
        );
        let manifest = manifest(&copy);
        assert_eq!(manifest["end"], "failed", "{size}");
        let reason = manifest["reason"].as_str().expect("a reason");
        assert!(reason.contains("No space left"), "{reason}");
        assert_eq!(unfinished(&copy), Vec::<PathBuf>::new(), "{size}");
    }
    let copy = scratch.path().join("status");
    let outcome = in_a_file_system_of("20k", &copy, "-- sh -c 'exit 3'");
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
}

/// Files below a directory that are not what their place says.
fn unfinished(directory: &Path) -> Vec<PathBuf> {
    let is_finished = |path: &PathBuf| {
        path.extension().is_some_and(|kind| kind == "parquet")
            || path
                .file_name()
                .is_some_and(|name| name == "recording.json" || name == "README.txt")
    };
    let files = vmmload_tests::python::files(directory);
    files
        .into_iter()
        .filter(|path| !is_finished(path))
        .collect()
}

#[test]
fn a_file_that_may_not_grow_any_more_is_no_end_of_the_command() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let place = scratch.path().join("r");
    // In blocks of 512 bytes: enough for the manifest, not for the mappings and events of a shell.
    let script = "ulimit -S -f 17; exec \"$@\"";
    let recorded =
        "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; ulimit -S -f unlimited; echo done";
    let outcome = Program::new(shell())
        .args(["-c", script, "sh"])
        .arg(observe())
        .args(["record", "-i", "0", "-o"])
        .arg(&place)
        .args(["--", shell(), "-c", recorded])
        .env("VMMLOAD_LAUNCHER", vmmload())
        .native();
    assert_eq!(outcome.text(), "done\n", "{outcome:?}");
    let end = manifest(&place)["end"].clone();
    let status = outcome.status.code();
    // How many epochs there are depends on the machine; the limit is reached or not.
    match end.as_str() {
        Some("failed") => assert_eq!(status, Some(125), "{outcome:?}"),
        _ => assert_eq!((end, status), ("complete".into(), Some(0)), "{outcome:?}"),
    }
}

/// `vmmload run --hold` of a command, with the pipe's other end.
fn held(command: &[&str]) -> (std::process::Child, OwnedFd) {
    let (end, hold) = std::io::pipe().expect("a pipe");
    // Of a shell, which leaves descriptors open in what it executes; as number 3.
    let script = "exec 3<&0 0</dev/null; exec \"$@\"";
    let child = Command::new(shell())
        .args(["-c", script, "sh"])
        .arg(vmmload())
        .args(["run", "--hold=3", "--"])
        .args(command)
        .stdin(Stdio::from(OwnedFd::from(end)))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    (child, hold.into())
}

#[test]
fn a_held_program_begins_when_nobody_holds_it_any_more_and_sees_nothing_of_that() {
    if !machine::can_run_inside() {
        return;
    }
    let (child, hold) = held(&[shell(), "-c", "echo begun; ls /proc/self/fd"]);
    let end = Instant::now() + machine::patience(Duration::from_secs(30));
    let consumer = loop {
        match Consumer::attach(child.id()) {
            Ok(consumer) if consumer.status() == Status::Running => break consumer,
            _ => assert!(Instant::now() < end, "no segment"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // However long it takes to be looked at.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(consumer.info().published, 0);
    assert_eq!(consumer.info().epoch, 0);
    // What is written does not end it.
    let mut file = File::from(hold);
    file.write_all(b"x").expect("somebody reads it");
    assert_eq!(consumer.info().epoch, 0);
    assert!(file.as_raw_fd() > 2);
    drop(file);
    let output = child.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let natively = Command::new(shell())
        .args(["-c", "exec 3<&-; echo begun; ls /proc/self/fd"])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert_eq!(text, String::from_utf8_lossy(&natively.stdout));
    assert_eq!(consumer.position(), 0);
    assert!(consumer.info().events() > 0);
}

#[test]
fn a_hold_that_is_none_is_said_and_help_does_not_offer_it() {
    let outcome = Program::new(vmmload())
        .args(["run", "--hold=77", "true"])
        .native();
    assert_eq!(outcome.status.code(), Some(125));
    assert!(
        outcome.messages().contains("--hold is for recorders"),
        "{outcome:?}"
    );
    for words in [&["run", "--help"][..], &["man"], &["completions", "bash"]] {
        let outcome = Program::new(vmmload()).args(words.iter().copied()).native();
        for word in ["hold=", "--hold", "VMMLOAD_HOLD"] {
            assert!(!outcome.text().contains(word), "{words:?}");
        }
    }
}
