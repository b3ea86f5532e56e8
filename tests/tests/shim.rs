//! The preload library: what a program inherits and how it was started is the same as natively.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use vmmload_tests::preload::{Preload, compile_library};
use vmmload_tests::{Guest, Link, Program, machine, packages, preload_library};

fn guest(name: &str) -> Program {
    Guest::new(&format!("environment/{name}")).program()
}

fn show_start() -> Program {
    Guest::new("shim/show_start").program()
}

/// Has Python do `prepare` and then execute what follows.
fn by_python(prepare: &str) -> [OsString; 3] {
    let script = format!("import os, signal, sys\n{prepare}\nos.execv(sys.argv[1], sys.argv[1:])");
    [packages::python(), "-c", &script].map(OsString::from)
}

#[test]
fn needs_no_library_and_comes_before_all_others() {
    let readelf = packages::program("/usr/bin/readelf", "binutils");
    let output = Command::new(readelf)
        .args(["--dynamic", "--dyn-syms", "--wide"])
        .arg(preload_library())
        .output()
        .expect("readelf can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("INITFIRST"), "{text}");
    assert!(!text.contains("NEEDED"), "{text}");
    // The empty one that each table begins with: it takes nothing from the program, and gives it nothing.
    assert!(text.contains("contains 1 entry"), "{text}");
}

#[test]
fn arguments_arrive_exactly_as_typed() {
    let odd = [
        "",
        " ",
        "two words",
        "--",
        "--preload-handover=3",
        "line\nbreak",
        "",
    ];
    let program = guest("show_arguments")
        .args(odd)
        .arg(OsString::from_vec(vec![0xff, 0xfe, b'x']));
    let text = Preload::new().compare(&program).text();
    assert!(text.contains("9 arguments"), "{text}");
}

#[test]
fn environment_is_passed_on_whole_unchanged_and_in_order() {
    let mut program = guest("show_arguments");
    let variables = [
        "ZULU=1",
        "EMPTY=",
        "",
        "=odd",
        "noequals",
        "_=underscore",
        "ZULU=again",
        "LD_LIBRARY_PATH=/nonexistent",
        "GLIBC_TUNABLES=glibc.malloc.check=0",
        "MALLOC_ARENA_MAX=1",
        "VMMLOAD_NATIVE=1",
        "VMMLOAD_REQUIRE=1",
    ];
    for variable in variables {
        program = program.arranged(format!("env={variable}"));
    }
    let not_text = OsString::from_vec([b"env=BYTES=".as_slice(), &[0xff, 0x01]].concat());
    let text = Preload::new().compare(&program.arranged(not_text)).text();
    let expected = variables
        .map(|variable| format!("variable [{variable}]\n"))
        .concat();
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn megabyte_of_environment_arrives() {
    let strings = (0..10).fold(guest("show_arguments"), |program, number| {
        program.arranged(format!("env=N{number}={}", "x".repeat(100_000)))
    });
    Preload::new().compare(&strings);
}

#[test]
fn process_state_is_inherited() {
    let program = guest("show_state")
        .arranged("umask=027")
        .arranged("nice=5")
        .arranged("limit=4:0:0")
        .arranged("limit=7:600:700");
    let text = Preload::new().compare(&program).text();
    for line in ["umask 027", "nice 5", "limit 7: 600 700"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn descriptors_keep_their_numbers_and_new_ones_are_the_lowest_free() {
    let preload = Preload::new();
    preload.compare(&guest("show_descriptors"));
    let program = guest("show_descriptors")
        .arranged("fd=3")
        .arranged("pipefd=7")
        .arranged("fd=200");
    let text = preload.compare(&program).text();
    assert!(
        text.contains("7: pipe") && text.contains("200: device"),
        "{text}"
    );
}

#[test]
fn closed_standard_descriptors_stay_closed() {
    let preload = Preload::new();
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let program = closed
            .iter()
            .fold(guest("show_standard"), |program, number| {
                program.arranged(format!("close={number}"))
            });
        let mask: i32 = closed.iter().map(|number| 1 << number).sum();
        let status = preload.compare(&program).status;
        assert_eq!(
            status.code(),
            Some(mask | closed[0] << 3),
            "closed {closed:?}"
        );
    }
}

#[test]
fn ignored_and_blocked_signals_are_inherited_and_nothing_else_is_set() {
    let preload = Preload::new();
    preload.compare(&guest("show_signals"));
    let program = guest("show_signals")
        .arranged("ignore=2")
        .arranged("ignore=13")
        .arranged("block=10")
        .arranged("block=17");
    let text = preload.compare(&program).text();
    assert!(text.contains("signal 13: "), "{text}");
}

#[test]
fn waiting_signals_and_alarms_are_kept() {
    let prepare = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); \
                   os.kill(os.getpid(), signal.SIGUSR1); signal.alarm(100)";
    let program = show_start().within(by_python(prepare));
    let text = Preload::new().compare(&program).text();
    assert!(
        text.contains("alarm set") && text.contains("pending SIGUSR1: 1"),
        "{text}"
    );
}

#[test]
fn program_starts_with_its_names_and_with_nothing_used_up() {
    let text = Preload::new().compare(&show_start().arg("x")).text();
    assert!(
        text.contains("name shim-show_start") && text.contains("descriptor 3"),
        "{text}"
    );
    assert!(text.contains("errno 0, alarm none, secure 0"), "{text}");
}

#[test]
fn status_and_deaths_by_signals_are_the_same() {
    let preload = Preload::new();
    for arguments in [["exit", "7"], ["raise", "6"], ["kill", "15"]] {
        preload.compare(&guest("end").args(arguments));
    }
    // Nobody is left to write a summary.
    let killed = preload.preloading(&guest("end").args(["kill", "9"]));
    assert_eq!(preload.preloaded(&killed).signal(), Some(9));
}

#[test]
fn what_runs_before_main_runs_once() {
    let program = Guest::new("shim/constructors").program();
    let text = Preload::new().compare(&program).text();
    assert_eq!(text, "preinit\nconstructor\nmain\ndestructor\n");
}

#[test]
fn program_at_a_fixed_address_is_handed_over() {
    let program = Guest::new("shim/show_start").linked(Link::NoPie).program();
    Preload::new().compare(&program);
}

/// Replaces malloc, counts and tells at the end.
const HOOK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
static long calls;
void *malloc(unsigned long size) {
    static void *(*next)(unsigned long);
    if (!next) next = (void *(*)(unsigned long))dlsym(RTLD_NEXT, "malloc");
    calls++;
    return next(size);
}
__attribute__((constructor)) static void begin(void) { write(2, "begin\n", 6); }
__attribute__((destructor)) static void end(void) { dprintf(2, "%ld calls of malloc\n", calls); }
"#;

#[test]
fn other_preloaded_libraries_work_before_and_behind_it() {
    let preload = Preload::new();
    let hook = preload.directory().path().join("hook.so");
    compile_library(HOOK, &["-ldl"], &hook);
    let (hook, own) = (hook.display(), preload.library());
    let own = own.display();
    for list in [format!("{hook}:{own}"), format!("{own} {hook}")] {
        let program = show_start()
            .arranged(format!("env=LD_PRELOAD={list}"))
            .arranged(format!(
                "env=VMMLOAD_SUMMARY={}",
                preload.summary().display()
            ));
        let said = preload.compare_started(&program).messages();
        assert_eq!(said.matches("begin\n").count(), 1, "{said}");
        assert!(said.contains("calls of malloc"), "{said}");
    }
}

const AUDITOR: &str = "unsigned la_version(unsigned version) { return version; }";

#[test]
fn auditors_of_the_dynamic_loader_do_not_disturb_it() {
    let preload = Preload::new();
    let auditor = preload.directory().path().join("auditor.so");
    compile_library(AUDITOR, &[], &auditor);
    let program = show_start().arranged(format!("env=LD_AUDIT={}", auditor.display()));
    preload.compare(&program);
}

#[test]
fn question_is_refused_natively_and_answered_inside() {
    let ask = "import ctypes; l = ctypes.CDLL(None, use_errno=True)\n\
               print(l.prctl(0x564d4d4c, 0, 0, 0, 0), ctypes.get_errno())";
    let program = Program::new(packages::python()).args(["-c", ask]);
    let preload = Preload::new();
    let program = preload.preloading(&program);
    assert_eq!(preload.native(&program).text(), "-1 22\n");
    if machine::can_run_inside() {
        assert_eq!(preload.preloaded(&program).text(), "1 0\n");
    }
}
