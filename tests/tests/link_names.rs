//! By what name vmmload was called: its own, or that of a command that it stands for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use vmmload_tests::packages::{bash, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Program, machine, preload_library, vmmload};

#[test]
fn vmmload_by_its_own_name_is_itself_wherever_it_lies() {
    let scratch = Scratch::new();
    let copy = scratch.path().join("wrapper");
    fs::copy(vmmload(), &copy).expect("vmmload can be copied");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("permissions");
    let link = scratch.path().join("vmmload");
    symlink(vmmload(), &link).expect("a link");
    for path in [&copy, &link] {
        let version = Program::new(path).arg("--version").native();
        assert!(version.text().starts_with("vmmload "), "{version:?}");
    }
    // Several versions side by side.
    let versions = Scratch::new();
    let link = versions.path().join("vmmload");
    symlink(&copy, &link).expect("a link");
    let version = Program::new(&link).arg("--version").native();
    assert!(version.text().starts_with("vmmload "), "{version:?}");
    let renamed = Program::new(bash())
        .args(["-c", "exec -a make \"$V\" --version"])
        .env("V", vmmload());
    assert!(renamed.native().text().starts_with("vmmload "));
}

#[test]
fn link_that_is_executed_by_its_descriptor_stands_for_its_name() {
    let links = Scratch::new();
    symlink(vmmload(), links.path().join("sh")).expect("a link");
    let script = "import os, sys
sh = os.open(sys.argv[1], os.O_PATH)
os.set_inheritable(sh, True)
os.execve(sh, ['sh', '-c', 'echo $0; tr \"\\\\0\" \"|\" < /proc/$$/cmdline | cut -c 1-5'], os.environ)";
    let path = format!("{}:/usr/bin:/bin", links.path().display());
    for sh in [links.path().join("sh"), "/bin/sh".into()] {
        let executed = Program::new(python())
            .args(["-c", script])
            .arg(&sh)
            .env("PATH", &path);
        if machine::can_run_inside() {
            assert_eq!(executed.native().text(), "sh\nsh|-c\n", "{}", sh.display());
        }
    }
}

#[test]
fn preload_library_finds_vmmload_by_a_link_of_any_name() {
    let links = Scratch::new();
    let launcher = links.path().join("true");
    symlink(vmmload(), &launcher).expect("a link");
    let echo = Program::new("/bin/echo")
        .arg("out")
        .env("LD_PRELOAD", preload_library())
        .env("VMMLOAD_LAUNCHER", &launcher)
        .env("VMMLOAD_REQUIRE", "1")
        .env("VMMLOAD_SUMMARY", "-");
    if machine::can_run_inside() {
        let outcome = echo.native();
        assert_eq!(outcome.text(), "out\n", "{outcome:?}");
        let summary = outcome.messages().contains("vmmload: summary of process");
        assert!(summary, "{outcome:?}");
    }
}
