//! The library by which a program talks to vmmload, in C, C++, Rust and Python: natively it does nothing, and inside its
//! marks, names and epochs reach the readers.

use std::process::Command;

use serde_json::Value;
use vmmload_tests::c_library::{COMPILERS, Compiler, output_of};
use vmmload_tests::guest_library::{
    calls_natively, compiled, compiler, example, in_python, package,
};
use vmmload_tests::python::Environment;
use vmmload_tests::scratch::{Scratch, cache, workspace};
use vmmload_tests::watched::{PAGE, hexadecimal};
use vmmload_tests::{Program, Session, machine, packages, vmmload};

const GCC: &Compiler = &COMPILERS[0];
const CLANG: &Compiler = &COMPILERS[1];
const GPP: &Compiler = &COMPILERS[2];
const CLANGPP: &Compiler = &COMPILERS[3];

fn standards(compiler: &Compiler) -> &'static [&'static str] {
    match compiler.language {
        "c" => &["c11", "c17", "gnu11"],
        _ => &["c++11", "c++17", "c++20", "gnu++17"],
    }
}

#[test]
fn the_header_compiles_without_a_warning_in_every_language_it_is_for() {
    let scratch = Scratch::new();
    let text = "#include <vmmload_guest.h>\n#include <vmmload_guest.h>\n\
                int f(void);\nint f(void) { return vmmload_mark(\"f\") + (int)vmmload_epoch(); }\n";
    let source = scratch.file("header.c", text, 0o644);
    for compiled_by in &COMPILERS {
        for standard in standards(compiled_by) {
            let mut command = compiler(compiled_by, standard);
            // It needs nothing that a program without a C library lacks.
            command.args(["-ffreestanding", "-Wmissing-declarations"]);
            assert_eq!(output_of(command.arg("-fsyntax-only").arg(&source)), "");
        }
    }
}

/// vmmload.h has a struct of the same name as a function.
#[test]
fn a_program_that_reads_segments_may_include_it_too() {
    let scratch = Scratch::new();
    let guest = "#include <vmmload_guest.h>\n";
    let reader = "#include <vmmload.h>\n";
    let rest =
        "vmmload_epoch last;\nint main(void) { return (int)(vmmload_epoch() + last.number); }\n";
    for (name, text) in [
        ("before.c", [guest, reader, rest].concat()),
        ("behind.c", [reader, guest, rest].concat()),
    ] {
        let source = scratch.file(name, text, 0o644);
        for compiled_by in &COMPILERS {
            let mut command = compiler(compiled_by, standards(compiled_by)[0]);
            let include = package().join("../../consumer-sdk/c/include");
            command.arg("-I").arg(include).arg("-fsyntax-only");
            assert_eq!(output_of(command.arg(&source)), "");
        }
    }
}

#[test]
fn elsewhere_the_header_compiles_and_does_nothing() {
    let scratch = Scratch::new();
    let source = package().join("../../tests/guests/guest_api/library.c");
    for (compiled_by, target) in [
        (CLANG, "--target=aarch64-linux-gnu"),
        (GCC, "-m32"),
        (GCC, "-mx32"),
    ] {
        let assembly = scratch.path().join("library.s");
        let mut command = compiler(compiled_by, "gnu11");
        command
            .args([target, "-ffreestanding", "-O1", "-S", "-o"])
            .arg(&assembly);
        assert_eq!(output_of(command.arg(&source)), "");
        let assembly = std::fs::read_to_string(&assembly).expect("the compiler has written it");
        assert!(assembly.contains("mark_in_library"), "{assembly}");
        for call in ["syscall", "svc", "int\t$"] {
            assert!(!assembly.contains(call), "{target}: {assembly}");
        }
    }
}

#[test]
fn header_and_crate_speak_of_the_same_system_call() {
    use vmmload_guest::protocol::{ASK, EPOCH, MARK, NAME, OPTION};
    let text = |name: &str| std::fs::read_to_string(package().join(name)).expect("it is there");
    let header = text("include/vmmload_guest.h");
    for (name, number) in [
        ("ASK", ASK),
        ("MARK", MARK),
        ("NAME", NAME),
        ("EPOCH", EPOCH),
    ] {
        let line = format!("#define VMMLOAD_GUEST_{name}_ {number}\n");
        assert!(header.contains(&line), "no {line}");
    }
    assert!(
        header.contains(&format!("\"D\"({OPTION:#x}L)")),
        "{OPTION:#x}"
    );
    let python = text("python/vmmload_guest.py");
    assert!(
        python.contains(&format!("_OPTION = 0x{OPTION:X}\n")),
        "{OPTION:#x}"
    );
    assert_eq!([ASK, MARK, NAME, EPOCH], [0, 1, 2, 3]);
    assert!(python.contains("_ASK, _MARK, _NAME, _EPOCH = range(4)\n"));
}

/// The program `phases` in every language and linked in every way, with its name.
fn phases(scratch: &Scratch) -> Vec<(String, Program)> {
    const FILES: &[&str] = &["phases", "elsewhere"];
    let ways: &[(&Compiler, &str, &[&str])] = &[
        (GCC, "gnu11", &[]),
        (CLANG, "gnu17", &["-O0"]),
        (GCC, "gnu11", &["-flto"]),
        (GCC, "gnu11", &["-static"]),
        (GCC, "gnu11", &["-static-pie", "-fPIE"]),
        (GCC, "gnu11", &["-masm=intel"]),
        (CLANG, "gnu11", &["-masm=intel"]),
        (GPP, "gnu++11", &[]),
        (CLANGPP, "gnu++20", &[]),
    ];
    let mut programs: Vec<(String, Program)> = Vec::new();
    for &(compiled_by, standard, options) in ways {
        let name = format!("{} {standard} {}", compiled_by.name(), options.join(" "));
        let directory = scratch.path().join(name.replace(' ', "-"));
        let program = compiled(scratch, compiler(compiled_by, standard), FILES, options);
        std::fs::rename(program, &directory).expect("both lie in one directory");
        programs.push((name, Program::new(directory)));
    }
    let mut musl = Command::new(packages::program("/usr/bin/musl-gcc", "musl-tools"));
    musl.arg("-I").arg(package().join("include"));
    let program = compiled(scratch, musl, FILES, &["-static"]);
    programs.push(("musl".to_owned(), Program::new(program)));
    programs.push(("Rust".to_owned(), Program::new(example("phases"))));
    let python = in_python(packages::python(), "phases");
    programs.push(("Python".to_owned(), python));
    programs
}

#[test]
fn natively_a_million_marks_are_one_system_call() {
    let scratch = Scratch::new();
    for (name, program) in phases(&scratch) {
        let marks = if name == "Python" { 100_000 } else { 1_000_000 };
        let program = program.arg(marks.to_string());
        let outcome = program.native();
        outcome.assert_success(&name);
        assert_eq!(
            outcome.text(),
            "inside 0\nepochs 0 0\ntable 0x0\n",
            "{name}"
        );
        assert_eq!(outcome.messages(), "", "{name}");
        assert_eq!(calls_natively(program), 1, "{name}");
    }
}

/// Instructions that a program executes natively, the C library's own included.
fn instructions(program: Program) -> u64 {
    let valgrind = packages::program("/usr/bin/valgrind", "valgrind libc6-dbg");
    let words = [
        valgrind,
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ];
    let outcome = program.within(words).native();
    outcome.assert_success("the program in callgrind");
    let messages = outcome.messages();
    let (_, count) = messages.rsplit_once("Collected : ").expect("a count");
    let count = count.split_whitespace().next().expect("a word");
    count.parse().expect("a number")
}

#[test]
fn natively_a_mark_in_a_loop_is_a_load_and_a_branch() {
    let scratch = Scratch::new();
    let in_c = compiled(
        &scratch,
        compiler(GCC, "gnu11"),
        &["phases", "elsewhere"],
        &[],
    );
    for program in [in_c, example("phases")] {
        let with = |marks: u64| instructions(Program::new(&program).arg(marks.to_string()));
        let (few, many) = (with(100_001), with(1_100_001));
        // Load, test, branch, and the loop's own count, comparison and branch.
        let each = (many - few) as f64 / 1e6;
        assert!((3.0..=7.0).contains(&each), "{each} in {program:?}");
    }
}

#[test]
fn a_library_that_is_loaded_and_unloaded_asks_for_itself() {
    let scratch = Scratch::new();
    for compiled_by in [GCC, CLANG] {
        let build = |name, options: &[&str]| {
            compiled(&scratch, compiler(compiled_by, "gnu11"), &[name], options)
        };
        let library = build("library", &["-shared", "-fPIC"]);
        // Nothing of it can meet anything of another library.
        let nm = packages::program("/usr/bin/nm", "binutils");
        let names = output_of(
            Command::new(nm)
                .args(["-D", "--defined-only"])
                .arg(&library),
        );
        assert!(names.contains("mark_in_library"), "{names}");
        assert!(!names.contains("vmmload"), "{names}");
        let program = Program::new(build("loads_library", &["-ldl"])).arg(library);
        program.compare_success();
        // The program once, and the library each time that it is loaded.
        assert_eq!(calls_natively(program), 3);
    }
}

#[test]
fn a_program_without_a_c_library_uses_it() {
    let scratch = Scratch::new();
    let options = [
        "-ffreestanding",
        "-nostdlib",
        "-static",
        "-fno-stack-protector",
    ];
    for compiled_by in [GCC, CLANG] {
        let bare = compiled(&scratch, compiler(compiled_by, "c11"), &["bare"], &options);
        let program = Program::new(bare);
        program.compare_success();
        assert_eq!(calls_natively(program), 1);
    }
}

#[test]
fn threads_and_handlers_and_children_use_it() {
    let scratch = Scratch::new();
    let threads = compiled(&scratch, compiler(GCC, "gnu11"), &["threads"], &[]);
    let program = Program::new(threads);
    program.compare_success();
    // Each thread at most, and the child not again.
    assert!((1..=8).contains(&calls_natively(program)));
}

#[test]
fn who_has_asked_may_be_forbidden_to_ask() {
    let scratch = Scratch::new();
    let sandboxed = compiled(&scratch, compiler(GCC, "gnu11"), &["sandboxed"], &[]);
    Program::new(sandboxed).compare_success();
}

/// The lines of one kind that `vmmload dump` shows of a process.
fn dumped(pid: libc::pid_t, kind: &str) -> Vec<Value> {
    let words = [
        "dump".to_owned(),
        pid.to_string(),
        "--format=json".to_owned(),
    ];
    let outcome = Program::new(vmmload()).args(words).native();
    outcome.assert_success("vmmload dump");
    let text = outcome.text();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"));
    lines.filter(|line: &Value| line["type"] == kind).collect()
}

/// Starts a program inside, with epochs that do not end by themselves while it is looked at.
fn start_inside(program: Program) -> Session {
    Session::start(program.option("--interval=60s").inside_command())
}

#[track_caller]
fn end(mut session: Session) {
    let status = session.finish();
    assert!(status.success(), "{status}");
}

/// The numbers behind a word.
#[track_caller]
fn numbers_behind(line: &str, word: &str) -> Vec<u64> {
    let rest = line.strip_prefix(word).expect(word);
    let number = |text: &str| text.parse().expect("a number");
    rest.split_whitespace().map(number).collect()
}

#[track_caller]
fn check_phases(name: &str, program: Program) {
    let mut session = start_inside(program);
    assert_eq!(session.line(), "inside 1", "{name}");
    let epochs = numbers_behind(&session.line(), "epochs ");
    let table = hexadecimal(&session.line()["table ".len()..]);
    let &[first, second] = &epochs[..] else {
        panic!("{name}: {epochs:?}");
    };
    assert_eq!((first, second), (2, 3), "{name}");

    let marks = dumped(session.pid(), "mark");
    let told = marks
        .iter()
        .map(|mark| (mark["name"].as_str(), mark["epoch"].as_u64()));
    let expected = [(Some("load"), Some(1)), (Some("compute"), Some(3))];
    assert_eq!(told.collect::<Vec<_>>(), expected, "{name}");
    assert!(
        marks.iter().all(|mark| mark["thread"] == session.pid()),
        "{name}"
    );

    let is_table = |map: &&Value| map["name"] == "table of \u{e4}";
    let maps = dumped(session.pid(), "map");
    let ranges = maps.iter().filter(is_table).map(|map| {
        let address = |field: &str| hexadecimal(map[field].as_str().expect("an address"));
        (address("start"), address("end"))
    });
    // Half of the first page, half of the second.
    assert_eq!(
        ranges.collect::<Vec<_>>(),
        [(table, table + 2 * PAGE)],
        "{name}"
    );

    let pages = dumped(session.pid(), "page");
    let epochs_of = |page: u64| -> Vec<u64> {
        let is_page = |event: &&Value| event["addr"] == format!("{page:#x}");
        let events = pages.iter().filter(is_page);
        events
            .map(|event| event["epoch"].as_u64().expect("a number"))
            .collect()
    };
    assert_eq!(epochs_of(table).last(), Some(&(first - 1)), "{name}");
    assert_eq!(epochs_of(table + PAGE).last(), Some(&first), "{name}");
    end(session);
}

#[test]
fn inside_marks_names_and_epochs_of_every_language_reach_the_dump() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    for (name, program) in phases(&scratch) {
        check_phases(&name, program);
    }
}

#[test]
fn what_is_refused_inside_is_taken_natively() {
    let scratch = Scratch::new();
    let in_c = compiled(&scratch, compiler(GCC, "gnu11"), &["refusals"], &[]);
    Program::new(in_c).compare_success();
    Program::new(example("refusals")).compare_success();
}

/// Everything that the Python module does, by this Python.
fn check_python(python: Program) {
    let outcome = python.native();
    outcome.assert_success("uses.py natively");
    assert_eq!(outcome.text(), "15 0\n");
    if !machine::can_run_inside() {
        return;
    }
    let mut session = start_inside(python.env("PYTHONIOENCODING", "utf-8"));
    let counts = numbers_behind(&session.line(), "");
    let mut lines = |count: u64| -> Vec<String> { (0..count).map(|_| session.line()).collect() };
    let (marked, named) = (lines(counts[0]), lines(counts[1]));
    let marks = dumped(session.pid(), "mark");
    let marks: Vec<_> = marks.iter().map(|mark| mark["name"].as_str()).collect();
    let expected: Vec<_> = marked.iter().map(|name| Some(name.as_str())).collect();
    assert_eq!(marks, expected);
    let mut maps = dumped(session.pid(), "map");
    maps.retain(|map| map["retired"] == 0);
    assert!(named.len() >= 5);
    for line in named {
        let (address, name) = line.split_once(' ').expect("an address and a name");
        let address = hexadecimal(&format!("0x{address}"));
        let holds = |map: &&Value| {
            let at = |field: &str| hexadecimal(map[field].as_str().expect("an address"));
            (at("start")..at("end")).contains(&address)
        };
        let map = maps.iter().find(holds).expect("it is mapped");
        assert_eq!(map["name"], name);
    }
    end(session);
}

#[test]
fn the_python_module_takes_every_buffer_and_tells_what_is_refused() {
    // It has numpy.
    check_python(in_python(Environment::of_debian().interpreter(), "uses"));
}

#[test]
fn the_oldest_python_can_use_the_module() {
    let Some(environment) = Environment::of_the_oldest() else {
        // Most machines have none; Debian's own is tested everywhere.
        return;
    };
    check_python(in_python(environment.interpreter(), "uses"));
}

#[test]
fn the_python_module_is_fully_typed() {
    let mypy = Environment::of_debian()
        .program("python")
        .args(["-m", "mypy", "--strict", "--cache-dir"])
        .arg(cache("python/mypy-guest"))
        .arg(package().join("python/vmmload_guest.py"))
        .arg(workspace().join("tests/guests/guest_api/uses.py"))
        .env("MYPYPATH", package().join("python"));
    mypy.native().assert_success("mypy --strict");
}

/// As the README says, but without a download, and from a copy: setuptools builds beside the sources.
#[test]
fn pip_installs_the_python_module() {
    let scratch = Scratch::new();
    for name in ["pyproject.toml", "vmmload_guest.py", "README.md"] {
        let file = std::fs::read(package().join("python").join(name)).expect("it is there");
        let _ = scratch.file(name, file, 0o644);
    }
    let site = scratch.path().join("site");
    let options = ["install", "--no-build-isolation", "--no-deps", "--target"];
    let pip = Environment::of_debian().pip().args(options);
    pip.arg(&site)
        .arg(scratch.path())
        .native()
        .assert_success("pip install");
    let shown = "from importlib import metadata; import vmmload_guest\n\
                 print(vmmload_guest.mark('load'), metadata.version('vmmload-guest'), vmmload_guest.__file__)";
    let outcome = Environment::of_debian()
        .program("python")
        .args(["-c", shown])
        .env("PYTHONPATH", &site)
        .native();
    outcome.assert_success("import");
    let file = site.join("vmmload_guest.py");
    let expected = format!("None {} {}\n", env!("CARGO_PKG_VERSION"), file.display());
    assert_eq!(outcome.text(), expected);
}

/// The first block in a language of the library's README.
fn readme_block(language: &str) -> String {
    let text = std::fs::read_to_string(package().join("README.md")).expect("it is there");
    let (_, behind) = text
        .split_once(&format!("```{language}\n"))
        .expect(language);
    behind
        .split("```")
        .next()
        .expect("the block ends")
        .to_owned()
}

#[test]
fn programs_in_the_readme_run() {
    let scratch = Scratch::new();
    let source = scratch.file("program.c", readme_block("c"), 0o644);
    let in_c = scratch.path().join("program");
    let mut command = Command::new(packages::c_compiler());
    command
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(package().join("include"));
    assert_eq!(output_of(command.arg(source).arg("-o").arg(&in_c)), "");
    let in_python = Program::new(packages::python())
        .args(["-c", &readme_block("python")])
        .env("PYTHONPATH", package().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for program in [Program::new(in_c), in_python] {
        program.compare_success();
        if machine::can_run_inside() {
            let summary = program.option("--summary").inside().messages();
            let line = |end: &str| summary.lines().any(|line| line.ends_with(end));
            assert!(
                line("  table") && line("  fill") && line("  search"),
                "{summary}"
            );
        }
    }
}
