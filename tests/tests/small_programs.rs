//! A handful of real programs, each done in a moment: what a slow machine has time for.

use vmmload_tests::packages::{busybox, program, python_importing};
use vmmload_tests::{Program, data};

#[test]
fn busybox_applets_without_any_library_do_the_same() {
    let numbers = data::number_lines(2000);
    let numbers = numbers.to_str().expect("the cache path is text");
    let applets: &[&[&str]] = &[
        &["echo", "hello", "world"],
        &["false"],
        &["sha256sum", numbers],
        &["sort", "-rn", numbers],
        &[
            "awk",
            "{ n += $1; m[$1 % 7]++ } END { print n, NR, m[3] }",
            numbers,
        ],
        &["cat", "/nonexistent"],
        &["nosuchapplet"],
    ];
    for applet in applets {
        Program::new(busybox())
            .args(applet.iter().copied())
            .compare();
    }
}

#[test]
fn dynamic_programs_with_their_libraries_do_the_same() {
    let numbers = data::number_lines(2000);
    let sort = program("/usr/bin/sort", "coreutils");
    Program::new(sort).arg("-n").arg(&numbers).compare_success();
    let digest = program("/usr/bin/sha512sum", "coreutils");
    Program::new(digest).arg(&numbers).compare_success();
    let list = program("/usr/bin/ls", "coreutils");
    Program::new(list)
        .args(["-la", "/proc/sys/kernel"])
        .compare_success();
    let missing = Program::new(list).arg("/nonexistent").compare();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn python_computes_the_same() {
    let script = "import json, re\n\
                  values = {str(n): [n * n % 97, n ** 0.5] for n in range(300)}\n\
                  text = json.dumps(values, sort_keys=True)\n\
                  print(len(text), sum(v[0] for v in json.loads(text).values()))\n\
                  print(re.sub('[0-9]+', '#', text)[:60])";
    let python = python_importing("json, re");
    let outcome = Program::new(python)
        .args(["-S", "-c", script])
        .compare_success();
    assert!(!outcome.stdout.is_empty());
}
