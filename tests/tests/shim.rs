//! The preload library: one line on standard error, and the program as it would be without it.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Output};

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{machine, packages, preload_library};

const LINE: &str = "vmmload: the preload library cannot hand a program over yet; the program runs \
                    natively. Use: vmmload run COMMAND\n";

fn preloaded(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LD_PRELOAD", preload_library());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program can be started")
}

#[test]
fn says_one_line_and_leaves_the_status_alone() {
    for (program, status) in [("/bin/true", 0), ("/bin/false", 1)] {
        let output = run(&mut preloaded(program));
        assert_eq!(output.status.code(), Some(status), "{program}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), LINE, "{program}");
        assert!(output.stdout.is_empty(), "{program}");
    }
}

#[test]
fn environment_stays_as_it_was_given() {
    let output = run(preloaded("/usr/bin/env").env("ONE", "1"));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    let library = preload_library().display();
    assert_eq!(lines, [format!("LD_PRELOAD={library}"), "ONE=1".to_owned()]);
}

#[test]
fn standard_error_that_nobody_reads_ends_no_program() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line; exec /bin/echo unharmed"])
        .env_clear()
        .env("LD_PRELOAD", preload_library())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("/bin/sh can be started");
    // Closed before echo is loaded, which happens only when the shell has read its line.
    drop(child.stderr.take());
    let mut input = child.stdin.take().expect("standard input is a pipe");
    input.write_all(b"go\n").expect("the shell reads its input");
    let output = child.wait_with_output().expect("the shell ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "unharmed\n");
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn errno_and_signal_mask_and_descriptors_are_untouched() {
    let scratch = Scratch::new();
    let source = scratch.file("state.c", STATE, 0o644);
    let program = scratch.path().join("state");
    let compiled = run(Command::new(packages::c_compiler())
        .arg(source)
        .arg("-o")
        .arg(&program));
    assert!(compiled.status.success(), "{compiled:?}");
    let program = program.to_str().expect("the scratch directory is text");
    let unwritable = File::open("/dev/null").expect("/dev/null can be opened");
    // Writing the line fails with EBADF, which must not show.
    let output = run(preloaded(program).stderr(unwritable));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "errno 0, blocked 0, pending 0, next descriptor 3\n"
    );
}

const STATE: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
int main(void) {
    int at_start = errno;
    sigset_t blocked, pending;
    sigprocmask(SIG_SETMASK, 0, &blocked);
    sigpending(&pending);
    printf("errno %d, blocked %d, pending %d, next descriptor %d\n", at_start,
           sigismember(&blocked, SIGPIPE), sigismember(&pending, SIGPIPE),
           open("/dev/null", O_RDONLY));
    return 0;
}
"#;

/// The dynamic loader drops LD_PRELOAD for such programs where it contains a slash; this one checks
/// that the outcome is silence, whoever sees to it.
#[test]
fn set_user_id_programs_hear_nothing() {
    if !machine::is_root() {
        return machine::skip("not root, so no set-user-ID program can be made");
    }
    let scratch = Scratch::new();
    let id = std::fs::read("/usr/bin/id").expect("/usr/bin/id can be read");
    let file = scratch.file("id", id, 0o4755);
    // As another user, whom the file's owner gives more rights.
    let mut command = preloaded("/usr/bin/setpriv");
    command
        .args(["--reuid=65534", "--clear-groups", "--"])
        .arg(file)
        .arg("-u");
    let output = run(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
    // The one line is setpriv's own.
    assert_eq!(String::from_utf8_lossy(&output.stderr), LINE);
}
