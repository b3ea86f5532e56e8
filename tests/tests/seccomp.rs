//! seccomp: filters that a wrapped program installs for itself judge its calls as the kernel would.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Program, guest_tests, machine, packages};

guest_tests! {
    filters_are_installed_and_refused_as_by_the_kernel: "seccomp/installing";
    each_action_does_what_it_does_natively: "seccomp/actions";
}

#[test]
fn random_programs_are_judged_and_answer_as_natively() {
    for seed in ["0x9e3779b97f4a7c15", "88172645463325252"] {
        let program = Guest::new("seccomp/random_filters").program().arg(seed);
        let native = program.compare_success().text();
        let lines = |what: &str| native.lines().filter(|line| line.contains(what)).count();
        assert!(lines("damaged -1 22") > 50, "{native}");
        assert!(lines("damaged 0 0") > 10, "{native}");
        assert_eq!(lines("whole 0 0"), 250, "{native}");
    }
}

/// The guest that executes itself behind filters installed in the given way, to see what is left.
fn over_exec(how: &str, checks: &Path) -> Program {
    let guest = Guest::new("seccomp/over_exec").program();
    guest.arg(how).arg(checks).arg("check")
}

fn guest() -> std::path::PathBuf {
    Guest::new("seccomp/over_exec").path()
}

#[test]
fn filters_stay_in_the_program_that_is_executed() {
    for how in ["unprivileged", "strict-arguments"] {
        let text = over_exec(how, &guest()).compare_success().text();
        assert!(
            text.contains("no_new_privs 1, mode 2, one more is taken"),
            "{text}"
        );
    }
    if machine::is_root() {
        let text = over_exec("privileged", &guest()).compare_success().text();
        assert!(
            text.contains("getsid fails Invalid cross-device link"),
            "{text}"
        );
        assert!(text.contains("no_new_privs 0, mode 2"), "{text}");
    }
}

#[test]
fn filters_stay_in_children_that_are_executed_natively() {
    let script = "x=$($0 check); echo \"$x\"";
    let shell = packages::program("/bin/bash", "bash");
    let guest = guest();
    for how in ["unprivileged", "privileged"] {
        if how == "privileged" && !machine::is_root() {
            continue;
        }
        let program = Guest::new("seccomp/over_exec").program();
        let program = program.arg(how).arg(shell).args(["-c", script]).arg(&guest);
        let text = program
            .option("--children")
            .option("native")
            .compare_success()
            .text();
        assert!(text.contains("mode 2, one more is taken, then"), "{text}");
    }
}

#[test]
fn filters_go_along_with_a_program_that_changes_the_user() {
    if !machine::is_root() {
        return;
    }
    let scratch = Scratch::new();
    let bytes = std::fs::read(guest()).expect("the guest was compiled");
    let file = scratch.file("set-user-id", bytes, 0o755);
    std::os::unix::fs::chown(&file, Some(65_534), None).expect("root may");
    let mode = std::fs::Permissions::from_mode(0o4755);
    std::fs::set_permissions(&file, mode).expect("the file is ours");
    for how in ["unprivileged", "privileged", "strict-arguments"] {
        let text = over_exec(how, &file).compare_success().text();
        assert!(text.contains("mode 2"), "{text}");
    }
}

#[test]
fn manual_pages_are_shown_by_filtered_programs() {
    let man = packages::program("/usr/bin/man", "man-db groff-base");
    let scratch = Scratch::new();
    let page = ".TH PAGE 1\n.SH NAME\npage \\- a page\n.SH DESCRIPTION\nSome \\fBbold\\fR text.\n";
    let page = scratch.file("page.1", page, 0o644);
    let text = Program::new(man)
        .arg("-l")
        .arg(page)
        .compare_success()
        .text();
    assert!(text.contains("Some bold text."), "{text}");
}

/// Python with libseccomp, which translates rules to filters.
const RULES: &str = "import os, sys, seccomp as s
f = s.SyscallFilter(s.ALLOW)
f.add_rule(s.ERRNO(18), 'mkdir')
f.add_rule(s.ERRNO(33), 'write', s.Arg(0, s.EQ, 77))
f.add_rule(s.KILL_PROCESS, 'chroot')
if len(sys.argv) > 1:
    f.export_bpf(open(sys.argv[1], 'wb'))
    sys.exit()
f.load()
for call in lambda: os.mkdir('never'), lambda: os.write(77, b'x'), lambda: os.write(78, b'x'):
    try: call()
    except OSError as e: print(e, flush=True)
os.chroot('/')
";

fn python_with_seccomp() -> Program {
    let module = "/usr/lib/python3/dist-packages/seccomp.cpython-311-x86_64-linux-gnu.so";
    let _ = packages::program(module, "python3-seccomp");
    Program::new(packages::python()).args(["-c", RULES])
}

#[test]
fn rules_of_libseccomp_are_kept() {
    let outcome = python_with_seccomp().compare();
    assert_eq!(outcome.text().lines().count(), 3, "{}", outcome.text());
    assert_eq!(outcome.signal(), Some(libc::SIGSYS));
}

#[test]
fn bubblewrap_starts_a_program_behind_a_filter() {
    let bwrap = packages::program("/usr/bin/bwrap", "bubblewrap");
    let scratch = Scratch::new();
    let rules = scratch.path().join("rules");
    let exported = python_with_seccomp().arg(&rules).native();
    exported.assert_success("exporting the rules");
    let script = "mkdir never; test ! -e never && id -u";
    let shell = packages::program("/bin/bash", "bash");
    let bwrap =
        format!("exec {bwrap} --dev-bind / / --unshare-user --seccomp 9 sh -c '{script}' 9<rules");
    let program = Program::new(shell).args(["-c", &bwrap]);
    let outcome = program.directory(scratch.path()).compare_success();
    assert!(outcome.messages().contains("Invalid cross-device link"));
}
