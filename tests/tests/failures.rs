//! What cannot be run, or not yet: statuses 125, 126 and 127, and messages that name cause and remedy.

use std::path::Path;

use vmmload_tests::packages::{busybox, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Outcome, Program, machine};

/// Runs inside; the program must not start, with this status and a message of vmmload's own that
/// contains `word`.
#[track_caller]
fn refuses(program: &Program, status: i32, word: &str) -> Option<Outcome> {
    if !machine::can_run_inside() {
        return None;
    }
    let outcome = program.inside();
    let messages = outcome.messages();
    assert_eq!(
        outcome.status.code(),
        Some(status),
        "{}: {messages}",
        program.shown()
    );
    assert!(
        messages.lines().all(|line| line.starts_with("vmmload: ")),
        "{messages}"
    );
    assert!(messages.contains(word), "{word:?} is not in: {messages}");
    assert!(outcome.stdout.is_empty(), "{}", outcome.text());
    Some(outcome)
}

/// env(1) sets the statuses that vmmload promises: check that the test and env agree.
#[track_caller]
fn as_env(program: &Path, status: i32) {
    let outcome = Program::new("/usr/bin/env").arg(program).native();
    assert_eq!(
        outcome.status.code(),
        Some(status),
        "{}",
        outcome.messages()
    );
}

#[test]
fn missing_program_is_127() {
    for name in [
        "no-such-program-anywhere",
        "/no/such/program",
        "./no-such-program",
    ] {
        as_env(Path::new(name), 127);
        refuses(&Program::new(name), 127, name);
    }
}

#[test]
fn empty_program_name_is_127() {
    refuses(&Program::new(""), 127, "");
}

#[test]
fn directory_is_126() {
    as_env(Path::new("/etc"), 126);
    refuses(&Program::new("/etc"), 126, "/etc");
}

#[test]
fn file_without_execute_permission_is_126() {
    let scratch = Scratch::new();
    let file = scratch.file("plain", "#!/bin/sh\n", 0o644);
    as_env(&file, 126);
    refuses(&Program::new(&file), 126, "plain");
}

#[test]
fn program_on_the_path_without_execute_permission_is_126() {
    let scratch = Scratch::new();
    let _ = scratch.file("unexecutable", "#!/bin/sh\n", 0o644);
    let program = Program::new("unexecutable").env("PATH", scratch.path());
    refuses(&program, 126, "unexecutable");
}

/// The first bytes of an ELF file with the given class (1: 32-bit, 2: 64-bit) and machine.
fn elf(class: u8, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    bytes[16] = 2; // ET_EXEC
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[20] = 1;
    bytes
}

#[test]
fn thirty_two_bit_program_is_126() {
    let scratch = Scratch::new();
    let file = scratch.file("program32", elf(1, 3), 0o755);
    refuses(&Program::new(file), 126, "32-bit");
}

#[test]
fn program_of_another_machine_is_126() {
    let scratch = Scratch::new();
    let file = scratch.file("aarch64", elf(2, 183), 0o755);
    refuses(&Program::new(file), 126, "aarch64");
}

#[test]
fn damaged_programs_are_126() {
    let scratch = Scratch::new();
    let whole = std::fs::read("/bin/true").expect("/bin/true can be read");
    let mut headers_far_away = whole.clone();
    headers_far_away[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut huge_count = whole.clone();
    huge_count[56..58].copy_from_slice(&u16::MAX.to_le_bytes());
    let damaged = [
        ("only-magic", whole[..4].to_vec()),
        ("half-a-header", whole[..40].to_vec()),
        ("no-headers", elf(2, 62)),
        ("headers-far-away", headers_far_away),
        ("huge-count", huge_count),
    ];
    for (name, bytes) in damaged {
        refuses(&Program::new(scratch.file(name, bytes, 0o755)), 126, name);
    }
}

#[test]
fn missing_script_interpreter_is_named() {
    let scratch = Scratch::new();
    let file = scratch.file("script", "#!/no/such/interpreter\n", 0o755);
    as_env(&file, 127);
    let words = format!(
        "{}: its interpreter /no/such/interpreter: not found",
        file.display()
    );
    refuses(&Program::new(file), 127, &words);
}

#[test]
fn names_in_messages_cannot_act_on_the_terminal() {
    let name = "no\x1b[31m\nsuch\r\u{202e}";
    refuses(
        &Program::new(name),
        127,
        "no\\u{1b}[31m\\nsuch\\r\\u{202e}: not found",
    );
}

#[test]
fn script_interpreter_loop_ends() {
    let scratch = Scratch::new();
    let path = scratch.path().join("loop");
    let file = scratch.file("loop", format!("#!{}\n", path.display()), 0o755);
    refuses(&Program::new(file), 126, "loop");
}

#[test]
fn text_without_an_interpreter_line_runs_in_the_shell_as_env_runs_it() {
    let scratch = Scratch::new();
    let file = scratch.file("commands", "echo \"$0: $1\" \"$#\"\nexit 7\n", 0o755);
    let natively = Program::new("/usr/bin/env")
        .arg(&file)
        .args(["one", "two words"])
        .native();
    assert_eq!(natively.status.code(), Some(7));
    if machine::can_run_inside() {
        let inside = Program::new(&file).args(["one", "two words"]).inside();
        assert_eq!(
            (natively.text(), natively.messages()),
            (inside.text(), inside.messages())
        );
        assert_eq!(inside.status.code(), Some(7));
    }
}

#[test]
fn scripts_run_by_their_interpreters_with_their_one_argument() {
    let scratch = Scratch::new();
    let scripts = [
        (
            "in-python",
            format!("#!{}\nimport sys; print(sys.argv)\n", python()),
        ),
        (
            "in-python-with-options",
            format!(
                "#! {} -S -E  \nimport sys; print(sys.argv, sys.flags.no_site)\n",
                python()
            ),
        ),
        (
            "in-perl",
            format!(
                "#!{} -w\nprint \"@ARGV $0\\n\"; exit 9;\n",
                program("/usr/bin/perl", "perl")
            ),
        ),
        (
            "in-awk",
            format!(
                "#!{} -f\nBEGIN {{ for (i = 1; i < ARGC; i++) print ARGV[i] }}\n",
                program("/usr/bin/mawk", "mawk")
            ),
        ),
        (
            "in-busybox",
            format!("#!{} sh\necho \"$0\" \"$@\"; exit 3\n", busybox()),
        ),
        (
            "in-shell",
            "#!/bin/sh\nset -- \"$@\" more; echo $#; exit 5\n".to_owned(),
        ),
    ];
    for (name, text) in scripts {
        let file = scratch.file(name, text, 0o755);
        Program::new(&file).args(["one", "", "two words"]).compare();
        Program::new(format!("./{name}"))
            .directory(scratch.path())
            .arg("x")
            .compare();
        Program::new(name)
            .env("PATH", format!("{}:/usr/bin", scratch.path().display()))
            .compare();
    }
}

#[test]
fn script_of_a_script_runs() {
    let scratch = Scratch::new();
    let inner = scratch.file(
        "inner",
        format!("#!{}\nimport sys; print(sys.argv[1:])\n", python()),
        0o755,
    );
    let outer = scratch.file("outer", format!("#!{} given\n", inner.display()), 0o755);
    let text = Program::new(outer).arg("last").compare_success().text();
    assert!(
        text.starts_with("['given', ") && text.contains("'last'"),
        "{text}"
    );
}

#[test]
fn path_is_searched_as_the_shell_does() {
    let scratch = Scratch::new();
    for directory in ["first", "second", "third"] {
        std::fs::create_dir(scratch.path().join(directory)).expect("the scratch directory is ours");
    }
    let script = |text: &str| format!("#!/bin/sh\necho {text}\n");
    let _ = scratch.file("first/tool", script("not executable"), 0o644);
    let _ = scratch.file("second/tool", script("second"), 0o755);
    let _ = scratch.file("third/tool", script("third"), 0o755);
    let path = ["first", "second", "third"]
        .map(|name| scratch.path().join(name).display().to_string())
        .join(":");
    let tool = Program::new("tool").env("PATH", format!("/nonexistent:{path}"));
    assert_eq!(tool.compare_success().text(), "second\n");
    let empty_means_here = Program::new("tool")
        .env("PATH", "")
        .directory(scratch.path().join("third"));
    assert_eq!(empty_means_here.compare_success().text(), "third\n");
}

#[test]
fn wrong_options_are_125() {
    if !machine::can_run_inside() {
        return;
    }
    for options in [
        &["--no-such-option"][..],
        &["--interval", "soon"],
        &["--buffer", "1000"],
        &["--track", "maybe"],
        &["--max-overhead", "0"],
    ] {
        let program = options
            .iter()
            .fold(Program::new("/bin/true"), |program, option| {
                program.option(*option)
            });
        let outcome = program.inside();
        assert_eq!(
            outcome.status.code(),
            Some(125),
            "{options:?}: {}",
            outcome.messages()
        );
        assert!(
            outcome.messages().starts_with("vmmload: "),
            "{options:?}: {}",
            outcome.messages()
        );
        assert!(outcome.stdout.is_empty());
    }
}

/// Starting another process either does what it does natively, or fails by name: never silently.
fn works_or_is_refused_by_name(how: &str, calls: &[&str]) {
    let program = Guest::new("environment/new_process").program().arg(how);
    let native = program.native();
    native.assert_success(how);
    if !machine::can_run_inside() {
        return;
    }
    let inside = program.inside();
    if inside.status.success() {
        assert_eq!(
            (native.text(), native.messages()),
            (inside.text(), inside.messages()),
            "{how}"
        );
        return;
    }
    assert_eq!(
        inside.status.code(),
        Some(libc::ENOSYS),
        "{how}: {}",
        inside.messages()
    );
    assert_eq!(inside.text(), format!("{how}: Function not implemented\n"));
    let named =
        |line: &str| line.starts_with("vmmload: ") && calls.iter().any(|call| line.contains(call));
    assert!(
        inside.messages().lines().any(named),
        "{how}: none of {calls:?} is named in: {}",
        inside.messages()
    );
}

#[test]
fn new_processes_start_or_are_refused_by_name() {
    // The C library chooses the call behind each of these.
    for how in ["fork", "vfork", "clone", "posix_spawn"] {
        works_or_is_refused_by_name(how, &["fork", "clone"]);
    }
}

#[test]
fn message_that_nobody_reads_does_not_end_the_program() {
    let program = Guest::new("environment/broken_standard_error").program();
    assert_eq!(program.compare_success().text(), "still here\n");
}

#[test]
fn exec_works_or_is_refused_by_name() {
    for how in ["execve", "execveat"] {
        works_or_is_refused_by_name(how, &[how]);
    }
}

#[test]
fn set_user_id_program_is_run_or_refused_but_never_with_half_its_rights() {
    let scratch = Scratch::new();
    let id = std::fs::read("/usr/bin/id").expect("/usr/bin/id can be read");
    let file = scratch.file("id", id, 0o4755);
    let native = Program::new(&file).arg("-u").native();
    native.assert_success("id");
    if !machine::can_run_inside() {
        return;
    }
    let inside = Program::new(&file).arg("-u").inside();
    if inside.status.success() {
        assert_eq!(native.text(), inside.text());
    } else {
        assert_eq!(inside.status.code(), Some(126));
        assert!(
            inside.messages().starts_with("vmmload: "),
            "{}",
            inside.messages()
        );
    }
}
