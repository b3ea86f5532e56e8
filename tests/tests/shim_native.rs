//! The preload library where a program cannot be wrapped: it runs natively after one line, or not at all if the user
//! said so.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use vmmload_tests::preload::Preload;
use vmmload_tests::{Guest, Link, Program, machine, packages, vmmload};

const MISSING: &str = "vmmload: VMMLOAD_LAUNCHER=/nonexistent cannot be executed: No such file or directory; the \
                       program runs natively. Set it to the absolute path of vmmload, or unset it where vmmload lies \
                       beside the library\n";

fn guest(name: &str) -> Program {
    Guest::new(name).program()
}

fn show_start() -> Program {
    guest("shim/show_start")
}

/// A command that is preloaded and looks for its launcher where there is none.
fn without_launcher(preload: &Preload, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command
        .env_clear()
        .env("LD_PRELOAD", preload.library())
        .env("VMMLOAD_LAUNCHER", "/nonexistent");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program can be started")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with status 125 and this line, natively or not.
#[track_caller]
fn assert_refused(program: &Program, variables: &[&str], line: &str) {
    let preload = Preload::real();
    let arranged = variables.iter().fold(program.clone(), |program, variable| {
        program.arranged(format!("env={variable}"))
    });
    let outcome = preload.preloaded(&preload.preloading(&arranged));
    assert_eq!(outcome.messages(), line);
    assert_eq!(outcome.status.code(), Some(125));
    assert!(outcome.stdout.is_empty() && !preload.summary().exists());
}

#[test]
fn wrong_launchers_are_named_in_one_line() {
    let preload = Preload::new();
    let program = show_start().arranged("env=VMMLOAD_LAUNCHER=/nonexistent");
    preload.compare_native(&program, MISSING);
    let program = show_start().arranged("env=VMMLOAD_LAUNCHER=vmmload");
    let line = "vmmload: VMMLOAD_LAUNCHER=vmmload is no absolute path; the program runs natively. Set it to the \
                absolute path of vmmload, or unset it where vmmload lies beside the library\n";
    preload.compare_native(&program, line);
    std::fs::remove_file(preload.directory().path().join("vmmload")).expect("it is there");
    let line = format!(
        "vmmload: there is no vmmload in {} or near it; the program runs natively. Set VMMLOAD_LAUNCHER to the \
         absolute path of vmmload\n",
        preload.directory().path().display()
    );
    preload.compare_native(&show_start(), &line);
}

#[test]
fn descriptors_and_signals_are_as_they_were_after_the_line() {
    let preload = Preload::new();
    for name in [
        "show_descriptors",
        "show_signals",
        "show_state",
        "show_arguments",
    ] {
        let program = guest(&format!("environment/{name}"))
            .arranged("fd=5")
            .arranged("block=13")
            .arranged("env=VMMLOAD_LAUNCHER=/nonexistent");
        preload.compare_native(&program, MISSING);
    }
}

#[test]
fn closed_descriptors_stay_closed_after_the_line_that_nobody_gets() {
    let preload = Preload::new();
    let program = guest("environment/show_standard")
        .arranged("close=0")
        .arranged("close=2")
        .arranged("env=VMMLOAD_LAUNCHER=/nonexistent");
    let native = preload.compare_native(&program, "");
    assert_eq!(native.status.code(), Some(1 | 4));
}

#[test]
fn no_memory_is_left_mapped() {
    let unnamed = |preload: &Preload| {
        let output = run(without_launcher(preload, "/bin/cat").arg("/proc/self/maps"));
        assert!(output.status.success());
        let maps = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = maps.lines();
        lines.filter(|line| !line.contains(['/', '['])).count()
    };
    assert_eq!(unnamed(&Preload::real()), unnamed(&Preload::new()));
}

#[test]
fn standard_error_that_nobody_reads_ends_no_program() {
    let preload = Preload::real();
    let mut child = without_launcher(&preload, "/bin/sh")
        .args(["-c", "read line; exec /bin/echo unharmed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
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
fn line_that_cannot_be_written_leaves_no_trace() {
    let preload = Preload::real();
    let unwritable = File::open("/dev/null").expect("/dev/null can be opened");
    let output =
        run(without_launcher(&preload, Guest::new("shim/show_start").path()).stderr(unwritable));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("errno 0, alarm none"), "{text}");
}

#[test]
fn users_without_kvm_get_their_programs_natively() {
    if !machine::is_root() {
        return machine::skip("not root, so no other user can be had");
    }
    let setpriv = packages::program("/usr/bin/setpriv", "util-linux");
    let program =
        show_start().within([setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]);
    let line = "vmmload: /dev/kvm may not be opened by this user; the program runs natively. Join its group (usermod \
                -aG kvm USER, then log in again) or ask for access to the device\n";
    Preload::new().compare_native(&program, line);
    let line = line.replace(
        "; the program runs natively",
        ", and VMMLOAD_REQUIRE=1 is set",
    );
    assert_refused(&program, &["VMMLOAD_REQUIRE=1"], &line);
}

#[test]
fn device_that_is_not_kvm_is_told() {
    if !machine::is_root() {
        return machine::skip("not root, so nothing can be mounted");
    }
    let unshare = packages::program("/usr/bin/unshare", "util-linux");
    let cover = "mount --bind /dev/null /dev/kvm && exec \"$@\"";
    let program = show_start().within([unshare, "--mount", "/bin/sh", "-c", cover, "sh"]);
    let line = "vmmload: /dev/kvm does not speak KVM's API version 12; the program runs natively. vmmload doctor tells \
                more\n";
    Preload::new().compare_native(&program, line);
}

#[test]
fn without_proc_the_program_runs_natively_unless_the_user_insists() {
    if !machine::is_root() {
        return machine::skip("not root, so nothing can be mounted");
    }
    let unshare = packages::program("/usr/bin/unshare", "util-linux");
    let cover = "mount -t tmpfs none /proc && exec \"$@\"";
    let program = guest("environment/show_standard")
        .within([unshare, "--mount", "/bin/sh", "-c", cover, "sh"]);
    let line = "vmmload: /proc/self/environ cannot be read: No such file or directory; the program runs natively. \
                Mount /proc, or use: vmmload run COMMAND\n";
    Preload::new().compare_native(&program, line);
    let line = line.replace(
        "; the program runs natively",
        ", and VMMLOAD_REQUIRE=1 is set",
    );
    assert_refused(&program, &["VMMLOAD_REQUIRE=1"], &line);
}

#[test]
fn program_that_may_not_be_read_runs_natively_for_users_who_may_execute_it() {
    if !machine::is_root() {
        return machine::skip("not root, so no other user can be had");
    }
    let preload = Preload::new();
    let scratch = preload.directory();
    let echo = std::fs::read("/bin/echo").expect("/bin/echo can be read");
    let file = scratch.file("echo", echo, 0o711);
    let setpriv = packages::program("/usr/bin/setpriv", "util-linux");
    let program = Program::new(file).arg("unread").within([
        setpriv,
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]);
    let line = "vmmload: the program's file cannot be read: Permission denied; the program runs natively. vmmload must \
                read a program to load it: make it readable, or unset LD_PRELOAD for it\n";
    let text = preload.compare_native(&program, line).text();
    assert_eq!(text, "unread\n");
    let line = line.replace(
        "; the program runs natively",
        ", and VMMLOAD_REQUIRE=1 is set",
    );
    assert_refused(&program, &["VMMLOAD_REQUIRE=1"], &line);
}

#[test]
fn settings_that_are_not_understood_are_errors() {
    let line = "vmmload: VMMLOAD_REQUIRE=perhaps is neither 1 nor 0. Set it to 1 to have programs fail where they \
                cannot be wrapped, or unset it\n";
    assert_refused(&show_start(), &["VMMLOAD_REQUIRE=perhaps"], line);
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::new();
    let program = preload.preloading(&show_start().arranged("env=VMMLOAD_INTERVAL=abc"));
    let outcome = preload.preloaded(&program);
    assert!(
        outcome
            .messages()
            .starts_with("vmmload: VMMLOAD_INTERVAL=abc: "),
        "{}",
        outcome.messages()
    );
    assert_eq!(outcome.status.code(), Some(125));
}

/// Less than any segment, so the launcher gives up when it has the program already.
const SMALL_FILES: &str = "limit=1:65536:65536";

#[test]
fn program_that_the_launcher_gives_up_runs_natively_and_is_not_handed_over_again() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::new();
    for name in [
        "environment/show_descriptors",
        "environment/show_signals",
        "environment/show_state",
    ] {
        let program = guest(name)
            .arranged("fd=5")
            .arranged("ignore=13")
            .arranged("block=10");
        let program = preload.preloading(&program.arranged(SMALL_FILES));
        let native = preload.native(&program);
        let outcome = preload.preloaded(&program);
        assert_eq!(outcome.text(), native.text(), "{name}");
        assert_eq!(outcome.status, native.status, "{name}");
        let said = outcome.messages();
        assert_eq!(said.matches("vmmload: ").count(), 1, "{said}");
        assert!(
            said.starts_with("vmmload: the hard limit on file sizes")
                && said.contains(" runs natively"),
            "{said}"
        );
    }
    let shown = preload
        .preloaded(&preload.preloading(&guest("environment/show_arguments").arranged(SMALL_FILES)));
    assert!(
        shown.text().contains("variable [VMMLOAD_NATIVE="),
        "{}",
        shown.text()
    );
}

#[test]
fn program_that_the_launcher_gives_up_fails_if_the_user_insists() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::new();
    let program = show_start()
        .arranged(SMALL_FILES)
        .arranged("env=VMMLOAD_REQUIRE=1");
    let outcome = preload.preloaded(&preload.preloading(&program));
    assert_eq!(outcome.status.code(), Some(125));
    assert!(
        outcome.messages().starts_with("vmmload: the hard limit"),
        "{}",
        outcome.messages()
    );
}

#[test]
fn environment_that_leaves_no_room_runs_natively() {
    let preload = Preload::new();
    // As long as the kernel lets a string be.
    let start = "import os, sys\nenv = {'LD_PRELOAD': sys.argv[1], 'N': 'x' * (32 * 4096 - 3)}\n\
                 os.execve(sys.argv[2], ['x'], env)";
    let program = Program::new(packages::python())
        .args(["-c", start])
        .args([preload.library(), Guest::new("shim/show_start").path()]);
    let native = preload.native(&program);
    native.assert_success("a string of 128 KiB");
    let outcome = preload.preloaded(&program);
    assert_eq!(
        (outcome.text(), outcome.status),
        (native.text(), native.status)
    );
    let line = "vmmload: arguments and environment have no room for those of vmmload; the program runs natively. Shorten \
                them or raise ulimit -s\n";
    assert_eq!(outcome.messages(), line);
}

#[test]
fn children_of_a_program_that_runs_natively_are_tried_anew() {
    let preload = Preload::real();
    let output = run(without_launcher(&preload, "/bin/sh").args(["-c", "/bin/true; /bin/true"]));
    assert_eq!(said(&output), MISSING.repeat(3));
}

#[test]
fn handover_that_was_typed_is_refused() {
    for arguments in [
        &["--preload-handover=0"][..],
        &["--preload-handover=99", "a", "b", "c"],
    ] {
        let output = run(Command::new(vmmload()).args(arguments));
        assert_eq!(output.status.code(), Some(125));
        assert!(
            said(&output).contains("not an option to be given. Use vmmload run"),
            "{output:?}"
        );
    }
}

#[test]
fn launcher_that_is_a_script_does_not_go_round_in_circles() {
    let preload = Preload::new();
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", vmmload().display());
    let script = preload.directory().file("wrapper", script, 0o755);
    let program = show_start().arranged(format!("env=VMMLOAD_LAUNCHER={}", script.display()));
    preload.compare(&program);
}

/// The dynamic loader drops LD_PRELOAD for such programs where it contains a slash; this one checks
/// that the outcome is silence, whoever sees to it.
#[test]
fn set_user_id_programs_hear_nothing() {
    if !machine::is_root() {
        return machine::skip("not root, so no set-user-ID program can be made");
    }
    let preload = Preload::real();
    let id = std::fs::read("/usr/bin/id").expect("/usr/bin/id can be read");
    let file = preload.directory().file("id", id, 0o4755);
    // As another user, whom the file's owner gives more rights.
    let arrange = Guest::new("environment/arrange")
        .linked(Link::Static)
        .path();
    let output = run(Command::new("/usr/bin/setpriv")
        .args(["--reuid=65534", "--clear-groups", "--"])
        .arg(arrange)
        .arg(format!("env=LD_PRELOAD={}", preload.library().display()))
        .arg("--")
        .arg(file)
        .arg("-u"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
    assert_eq!(said(&output), "");
}

#[test]
fn program_without_shared_libraries_cannot_load_it_and_runs_natively() {
    let preload = Preload::new();
    let program = Guest::new("shim/show_start").linked(Link::Static).program();
    preload.compare_native(&program, "");
}

#[test]
fn library_that_a_program_opens_later_does_nothing() {
    let preload = Preload::real();
    let open = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('still here')";
    let output = run(Command::new(packages::python())
        .args(["-c", open])
        .arg(preload.library())
        .env_remove("LD_PRELOAD"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "still here\n");
    assert_eq!(said(&output), "");
}

/// Whether a segment is left of a process.
fn has_segment(pid: u32) -> bool {
    Path::new(&format!("/dev/shm/vmmload-{pid}")).exists()
}

/// Runs it preloaded as its own process, and tells its id.
fn run_preloaded(preload: &Preload, program: &Program) -> (Output, u32) {
    let child = program
        .clone()
        .arranged(format!("env=LD_PRELOAD={}", preload.library().display()))
        .native_command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let pid = child.id();
    (
        child.wait_with_output().expect("a child can be waited for"),
        pid,
    )
}

#[test]
fn process_that_may_have_no_threads_runs_natively_and_leaves_no_segment() {
    if !machine::can_run_inside() {
        return;
    }
    if !machine::is_root() {
        return machine::skip("not root, so no namespace can be had");
    }
    let preload = Preload::real();
    let unshare = packages::program("/usr/bin/unshare", "util-linux");
    let program = guest("environment/show_standard").within([unshare, "--pid"]);
    let (output, pid) = run_preloaded(&preload, &program);
    assert_eq!(output.status.code(), Some(3 << 3));
    let said = said(&output);
    assert!(
        said.starts_with("vmmload: this process may have no threads: "),
        "{said}"
    );
    assert!(said.contains(" runs natively. "), "{said}");
    assert!(!has_segment(pid));
}

#[test]
fn process_at_its_limit_of_processes_runs_natively_and_leaves_no_segment() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::real();
    // Root has no such limit; here another user may use KVM.
    let node = preload.directory().path().join("kvm");
    let made = Command::new("/bin/sh")
        .args([
            "-c",
            "mknod -m 666 \"$0\" c $(stat -c '0x%t 0x%T' /dev/kvm)",
        ])
        .arg(&node)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return machine::skip("no device can be made");
    }
    let unshare = packages::program("/usr/bin/unshare", "util-linux");
    let setpriv = packages::program("/usr/bin/setpriv", "util-linux");
    let script = format!(
        "mount --bind {} /dev/kvm && exec {setpriv} --reuid=4711 --regid=4711 --clear-groups \"$@\"",
        node.display()
    );
    let program = guest("environment/show_standard")
        .within([unshare, "--mount", "/bin/sh", "-c", &script, "sh"])
        .arranged("limit=6:1:1");
    let (output, pid) = run_preloaded(&preload, &program);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3 << 3), "{said}");
    assert!(
        said.starts_with(
            "vmmload: the first vCPU cannot be set up: Resource temporarily unavailable"
        ),
        "{said}"
    );
    assert!(!has_segment(pid));
}
