//! The preload library: every way in which a program can be started leads to the same program.

use std::ffi::OsString;
use std::process::Command;

use vmmload_tests::preload::Preload;
use vmmload_tests::{Guest, Program, machine, packages, vmmload};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn show_start() -> Program {
    Guest::new("shim/show_start").program()
}

/// Has Python start the program at `path`: `script` finds the path in `path` and the environment in `env`.
fn by_python(preload: &Preload, script: &str, path: &std::path::Path) -> Program {
    let summary = preload.summary();
    let head = "import os, sys\nlibrary, summary, path = sys.argv[1:]\n\
                env = {'LD_PRELOAD': library, 'VMMLOAD_SUMMARY': summary}\n";
    Program::new(packages::python())
        .args(["-c", &format!("{head}{script}")])
        .args([preload.library(), summary, path.into()])
}

#[test]
fn first_argument_may_be_any() {
    let preload = Preload::new();
    let script = "export LD_PRELOAD=$1 VMMLOAD_SUMMARY=$2; exec -a \"$3\" \"$4\" x";
    for first in ["another name", "", "-bash", "--preload-handover=5"] {
        let program = Program::new(packages::bash())
            .args(["-c", script, "sh"])
            .args([preload.library(), preload.summary()])
            .arg(first)
            .arg(Guest::new("shim/show_start").path());
        let text = preload.compare_started(&program).text();
        assert!(text.contains(&format!("argument [{first}]\n")), "{text}");
    }
}

#[test]
fn scripts_are_their_interpreters_with_the_names_of_scripts() {
    let preload = Preload::new();
    let bash = packages::bash();
    let script = "echo \"$0\" \"$@\"; cat /proc/$$/comm; tr '\\0' ' ' </proc/$$/cmdline\n";
    for head in [
        format!("#!{bash}\n"),
        format!("#! {bash} -u\n"),
        format!("#!/usr/bin/env {bash}\n"),
    ] {
        let file = preload.directory().file("a script", head + script, 0o755);
        let text = preload
            .compare(&Program::new(file).args(["one", ""]))
            .text();
        assert!(text.contains("a script one"), "{text}");
    }
}

#[test]
fn script_of_a_script_is_followed() {
    let preload = Preload::new();
    let inner = format!("#!{}\necho inner \"$@\"\n", packages::bash());
    let inner = preload.directory().file("inner", inner, 0o755);
    let outer = format!("#!{} option\n", inner.display());
    let outer = preload.directory().file("outer", outer, 0o755);
    let text = preload.compare(&Program::new(outer).arg("x")).text();
    assert!(text.starts_with("inner option "), "{text}");
}

#[test]
fn dynamic_loader_may_be_the_program() {
    let program = Program::new(LOADER)
        .arg("--argv0")
        .arg("other")
        .arg(Guest::new("shim/show_start").path());
    let text = Preload::new().compare(&program).text();
    assert!(text.contains("argument [other]"), "{text}");
}

#[test]
fn relative_paths_and_links_lead_to_the_program() {
    let preload = Preload::new();
    let link = preload.directory().path().join("link");
    std::os::unix::fs::symlink(Guest::new("shim/show_start").path(), link)
        .expect("the name is new");
    let program = Program::new("./link").directory(preload.directory().path());
    let text = preload.compare(&program).text();
    assert!(text.contains("execfn ./link, name link"), "{text}");
}

/// By its descriptor, which stays open.
const OPENED: &str = "file = os.open(path, os.O_RDONLY)\nos.set_inheritable(file, True)\n";

#[test]
fn kernel_that_is_asked_by_file_alone_is_enough() {
    let old = Guest::new("shim/old_kernel").path();
    let program = show_start().arg("x").within([old]);
    let text = Preload::new().compare(&program).text();
    assert!(text.contains("name shim-show_start"), "{text}");
}

#[test]
fn deleted_program_goes_on() {
    let preload = Preload::new();
    let scratch = preload.directory();
    let script = format!(
        "import shutil\ncopy = path + '-copy'\nshutil.copy(path, copy)\npath = copy\n{OPENED}os.unlink(copy)\n\
         os.execve(file, ['deleted'], env)"
    );
    let original = scratch.path().join("original");
    std::fs::copy(Guest::new("shim/show_start").path(), &original).expect("a file can be copied");
    let text = preload
        .compare_started(&by_python(&preload, &script, &original))
        .text();
    assert!(text.contains("original-copy (deleted)"), "{text}");
}

#[test]
fn program_in_memory_alone_goes_on() {
    let preload = Preload::new();
    let script = "file = os.memfd_create('in memory')\nos.set_inheritable(file, True)\n\
                  os.write(file, open(path, 'rb').read())\nos.execve(file, ['x'], env)";
    let path = Guest::new("shim/show_start").path();
    let text = preload
        .compare_started(&by_python(&preload, script, &path))
        .text();
    assert!(text.contains("memfd:in memory (deleted)"), "{text}");
}

#[test]
fn empty_environment_but_for_the_library_is_enough() {
    let preload = Preload::real();
    let script = "os.execve(path, ['x'], {'LD_PRELOAD': library})";
    let path = Guest::new("environment/show_arguments").path();
    let text = preload
        .preloaded(&by_python(&preload, script, &path))
        .text();
    assert!(
        text.contains(&format!(
            "variable [LD_PRELOAD={}]",
            preload.library().display()
        )),
        "{text}"
    );
}

#[test]
fn vmmload_itself_is_never_wrapped() {
    let preload = Preload::real();
    let run = |arguments: &[&str]| {
        let output = Command::new(vmmload())
            .args(arguments)
            .env("LD_PRELOAD", preload.library())
            .output()
            .expect("vmmload can be started");
        assert!(output.status.success(), "{output:?}");
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (version, said) = run(&["--version"]);
    assert!(version.starts_with("vmmload ") && said.is_empty(), "{said}");
    run(&["ls", "--all"]);
    if machine::can_run_inside() {
        let (text, said) = run(&["run", "--summary", "/bin/echo", "once"]);
        assert_eq!(text, "once\n");
        assert_eq!(said.matches("summary of process").count(), 1, "{said}");
        let variable = preload.variable().into_string().expect("the path is text");
        let (text, said) = run(&[
            "run",
            "--summary",
            "/usr/bin/env",
            &variable,
            "/bin/echo",
            "again",
        ]);
        assert_eq!(text, "again\n");
        // env(1) and what it executes are one after the other in the one process.
        assert_eq!(said.matches("summary of process").count(), 2, "{said}");
    }
}

#[test]
fn library_is_found_by_every_name_that_leads_to_it() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::real();
    let directory = preload.directory().path();
    std::os::unix::fs::symlink(preload.library(), directory.join("link.so"))
        .expect("the name is new");
    for (name, variable) in [
        ("./libvmmload_shim.so", None),
        ("./link.so", None),
        ("libvmmload_shim.so", Some(directory)),
    ] {
        let mut program = Program::new("/bin/true")
            .directory(directory)
            .arranged(format!("env=LD_PRELOAD={name}"))
            .arranged(format!(
                "env=VMMLOAD_SUMMARY={}",
                preload.summary().display()
            ));
        if let Some(directory) = variable {
            program = program.arranged(format!("env=LD_LIBRARY_PATH={}", directory.display()));
        }
        assert!(preload.preloaded(&program).status.success());
        assert!(preload.summary().exists(), "{name}");
    }
}

#[test]
fn launcher_is_found_beside_the_library_or_in_the_prefix() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::real();
    let root = preload.directory().path();
    for (library, launcher) in [
        ("one/lib", "one/bin"),
        ("two/lib/vmmload", "two/bin"),
        ("line\nbreak", "line\nbreak"),
    ] {
        for directory in [library, launcher] {
            std::fs::create_dir_all(root.join(directory)).expect("it can be created");
        }
        let library = root.join(library).join("libvmmload_shim.so");
        std::fs::copy(preload.library(), &library).expect("a file can be copied");
        std::os::unix::fs::symlink(vmmload(), root.join(launcher).join("vmmload"))
            .expect("the name is new");
        let mut variable = OsString::from("env=LD_PRELOAD=");
        variable.push(&library);
        let program = Program::new("/bin/true")
            .arranged(variable)
            .arranged(format!(
                "env=VMMLOAD_SUMMARY={}",
                preload.summary().display()
            ));
        let outcome = preload.preloaded(&program);
        assert!(
            outcome.status.success() && outcome.stderr.is_empty(),
            "{}",
            outcome.messages()
        );
        assert!(preload.summary().exists(), "{}", library.display());
    }
}

#[test]
fn program_started_again_and_again_in_one_process_is_wrapped_each_time() {
    let preload = Preload::new();
    let script = "[ $1 = 0 ] && exec /bin/echo done; exec \"$0\" $(($1 - 1))\n";
    let file =
        preload
            .directory()
            .file("again", format!("#!{}\n{script}", packages::bash()), 0o755);
    assert_eq!(
        preload.compare(&Program::new(file).arg("5")).text(),
        "done\n"
    );
}

#[test]
fn start_of_a_program_is_the_same_by_hand_and_by_the_library() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::new();
    let program = preload.preloading(&show_start().arg("x"));
    let preloaded = preload.preloaded(&program);
    // The library is loaded there, too, and finds that all is done.
    assert_eq!(program.inside().text(), preloaded.text());
}
