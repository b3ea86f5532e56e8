//! The library by which a program talks to vmmload, in C, C++, Rust and Python: natively it does nothing, and inside its
//! marks, names and epochs reach the readers.

use std::process::Command;

use vmmload_tests::c_library::{COMPILERS, Compiler, output_of};
use vmmload_tests::guest_library::{
    calls_natively, compiled, compiler, example, in_python, package,
};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Program, packages};

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
        program.native().assert_success("natively");
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
        program.native().assert_success("natively");
        assert_eq!(calls_natively(program), 1);
    }
}

#[test]
fn threads_and_handlers_and_children_use_it() {
    let scratch = Scratch::new();
    let threads = compiled(&scratch, compiler(GCC, "gnu11"), &["threads"], &[]);
    let program = Program::new(threads);
    program.native().assert_success("natively");
    // Each thread at most, and the child not again.
    assert!((1..=8).contains(&calls_natively(program)));
}

#[test]
fn who_has_asked_may_be_forbidden_to_ask() {
    let scratch = Scratch::new();
    let sandboxed = compiled(&scratch, compiler(GCC, "gnu11"), &["sandboxed"], &[]);
    Program::new(sandboxed).compare_success();
}
