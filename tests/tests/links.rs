//! `vmmload link`: commands are wrapped by their own names, and find what they find without the links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use vmmload_tests::packages::{bash, c_compiler, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program, machine, vmmload};

/// The PATH of these tests.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A directory of links to vmmload.
struct Farm {
    scratch: Scratch,
    launcher: PathBuf,
}

impl Farm {
    fn new(names: &[&str]) -> Self {
        Self::of(vmmload(), names)
    }

    fn of(launcher: &Path, names: &[&str]) -> Self {
        let farm = Self {
            scratch: Scratch::new(),
            launcher: launcher.to_path_buf(),
        };
        if !names.is_empty() {
            farm.link(names).assert_success("vmmload link");
        }
        farm
    }

    fn directory(&self) -> String {
        let links = self.scratch.path().join("links");
        links.to_str().expect("text").to_owned()
    }

    fn path(&self) -> String {
        format!("{}:{PATH}", self.directory())
    }

    fn call(&self, words: &[&str]) -> Outcome {
        Program::new(&self.launcher)
            .arg("link")
            .args(words.to_vec())
            .env("PATH", self.path())
            .native()
    }

    fn link(&self, names: &[&str]) -> Outcome {
        self.call(&[&[&*self.directory()], names].concat())
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).expect("the links");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<String> = entries
            .map(|e| name(e).into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    /// Runs a script of bash with PATH as it is without the links, and with them in front: all must be equal.
    #[track_caller]
    fn compare(&self, script: &str) -> Outcome {
        let run = |path: &str| {
            Program::new(bash())
                .args(["-c", script])
                .env("PATH", path)
                .directory(self.scratch.path())
                .native()
        };
        let native = run(PATH);
        if machine::can_run_inside() {
            let linked = run(&self.path());
            assert_eq!(linked.text(), native.text(), "{script}");
            assert_eq!(linked.messages(), native.messages(), "{script}");
            assert_eq!(linked.status, native.status, "{script}");
        }
        native
    }
}

#[test]
fn linked_command_is_what_it_is_without_the_link() {
    let farm = Farm::new(&["sh", "env", "ls"]);
    let told = "echo \"$0\" \"$#\" \"$2\"; tr \"\\0\" \"|\" < /proc/$$/cmdline; readlink /proc/$$/exe; command -v ls sh";
    let outcome = farm.compare(&format!("sh -c '{told}' zero one 'two words'; exit 7"));
    assert_eq!(outcome.status.code(), Some(7));
    assert!(outcome.text().contains("/usr/bin/ls"), "{}", outcome.text());
    // The whole environment, PATH and the shell's `_` included.
    farm.compare("env | sort");
    farm.compare("exec -a other sh -c 'echo $0'; exec -a -sh sh -c 'echo $0'");
    farm.compare("ls /no/such/file; exec ls --no-such-option");
    farm.compare("exec sh -c 'kill -KILL $$'");
    farm.compare("env -i sh -c 'echo $0; set' | grep -v ^PPID");
}

#[test]
fn links_that_are_called_by_their_path_stand_for_the_commands_path() {
    let farm = Farm::new(&["sh", "perl"]);
    let perl = program("/usr/bin/perl", "perl");
    if !machine::can_run_inside() {
        return;
    }
    let show = "-c 'echo $0; tr \"\\0\" \"|\" < /proc/$$/cmdline' ";
    let script = format!(
        "{}/sh {show}; cd {}; ./sh {show}",
        farm.directory(),
        farm.directory()
    );
    let outcome = Program::new(bash())
        .args(["-c", &script])
        .env("PATH", PATH)
        .native();
    let once = "/usr/bin/sh\n/usr/bin/sh|-c|echo $0; tr \"\\0\" \"|\" < /proc/$$/cmdline|";
    assert_eq!(outcome.text(), format!("{once}{once}"), "{outcome:?}");
    // As the interpreter of a script.
    let text = format!("#!{}/perl -w\nprint \"$0 @ARGV $^X\\n\"", farm.directory());
    let script = farm.scratch.file("script", text, 0o755);
    let outcome = Program::new(&script).arg("a b").env("PATH", PATH).native();
    assert_eq!(
        outcome.text(),
        format!("{} a b {perl}\n", script.display()),
        "{outcome:?}"
    );
}

#[test]
fn python_finds_itself_and_makes_environments_as_ever() {
    let _ = python();
    let farm = Farm::new(&["python3"]);
    farm.compare("python3 -c 'import sys; print(sys.executable, sys.prefix, sys.path, sys.argv)'");
    farm.compare(
        "rm -rf v; python3 -m venv --without-pip v && readlink -f v/bin/python3 && . v/bin/activate &&
         python3 -c 'import sys; print(sys.prefix, sys.base_prefix)' && cat v/pyvenv.cfg",
    );
}

#[test]
fn compiler_finds_its_parts_and_builds_the_same() {
    let _ = c_compiler();
    let farm = Farm::new(&["gcc", "as", "ld"]);
    farm.compare(
        "gcc -print-search-dirs && printf '#include <stdio.h>\\nint main(void) { return puts(\"hi\") < 0; }' > p.c &&
         gcc -O2 -o p p.c && ./p && sha256sum p && gcc missing.c",
    );
}

#[test]
fn everything_started_by_a_link_is_wrapped_once() {
    if !machine::can_run_inside() {
        return;
    }
    let farm = Farm::new(&["sh", "perl"]);
    let script = "for i in 1 2; do sh -c 'ls /dev/shm | grep -cx vmmload-$$; sh -c \"ls /dev/shm | grep -cx vmmload-\\$\\$\"
        perl -e \"system q(ls /dev/shm | grep -cx vmmload-) . getppid\"'; done; ls /dev/shm | grep -cx vmmload-$$";
    let outcome = Program::new(bash())
        .args(["-c", script])
        .env("PATH", farm.path())
        .native();
    assert_eq!(outcome.text(), "1\n1\n1\n".repeat(2) + "0\n", "{outcome:?}");
}

#[test]
fn links_and_runs_in_one_another_wrap_once() {
    if !machine::can_run_inside() {
        return;
    }
    let farm = Farm::new(&["sh"]);
    let script = "\"$V\" run sh -c 'echo $0; ls /dev/shm | grep -cx vmmload-$$'
        sh -c 'PATH=$LINKS:$PATH; sh -c \"echo inner \\$0; command -v sh\"'
        sh -c '\"$V\" run -i 1s sh -c \"echo run \\$0\"'";
    let outcome = Program::new(bash())
        .args(["-c", script])
        .env("PATH", farm.path())
        .env("V", vmmload())
        .env("LINKS", farm.directory())
        .native();
    assert_eq!(
        outcome.text(),
        "sh\n1\ninner sh\n/usr/bin/sh\nrun sh\n",
        "{outcome:?}"
    );
}

#[test]
fn no_vmmload_wraps_another() {
    let first = Farm::new(&["sh"]);
    let scratch = Scratch::new();
    let copy = scratch.path().join("vmmload");
    fs::copy(vmmload(), &copy).expect("vmmload can be copied");
    let second = Farm::of(&copy, &["sh", "ls"]);
    let both = format!("{}:{}", first.directory(), second.directory());
    let run = |path: &str, words: &[&str]| {
        let shell = Program::new(bash()).arg("-c").arg(words.join(" "));
        shell.env("PATH", path).native()
    };
    // Nothing behind the links but each other.
    for path in [
        both.clone(),
        format!("{}:{}", second.directory(), first.directory()),
    ] {
        let none = run(&path, &["sh -c 'echo never'"]);
        assert_eq!(none.status.code(), Some(127), "{none:?}");
        let message = "vmmload: sh: there is no other command of this name in PATH.";
        assert!(none.messages().starts_with(message), "{none:?}");
    }
    if machine::can_run_inside() {
        let found = run(&format!("{both}:{PATH}"), &["sh -c 'echo $0 $PATH'"]);
        assert_eq!(
            found.text(),
            format!("sh {}:{PATH}\n", second.directory()),
            "{found:?}"
        );
        // What comes before the links' directory counts only where nothing is behind it.
        let before = run(
            &format!("{PATH}:{}", first.directory()),
            &[&format!("{}/sh -c 'echo $0'", first.directory())],
        );
        assert_eq!(before.text(), "/usr/bin/sh\n", "{before:?}");
    }
}

#[test]
fn links_are_made_shown_and_removed() {
    let farm = Farm::new(&["ls", "cat"]);
    let link = |name: &str| Path::new(&farm.directory()).join(name);
    let target = fs::canonicalize(vmmload()).expect("vmmload");
    assert_eq!(fs::read_link(link("ls")).expect("a link"), target);
    assert_eq!(farm.link(&["ls", "env"]).messages(), "");
    assert_eq!(farm.names(), ["cat", "env", "ls"]);
    let list = farm.call(&["--list", &farm.directory()]);
    assert_eq!(
        list.text(),
        "cat  /usr/bin/cat\nenv  /usr/bin/env\nls   /usr/bin/ls\n"
    );
    farm.call(&["--remove", &farm.directory(), "cat"])
        .assert_success("remove");
    assert_eq!(farm.names(), ["env", "ls"]);
    // Links of others are left alone.
    symlink("/usr/bin/true", link("true")).expect("a link");
    farm.call(&["--remove", &farm.directory()])
        .assert_success("remove");
    assert_eq!(farm.names(), ["true"]);
}

#[test]
fn what_cannot_be_linked_is_refused_before_anything_is_made() {
    let farm = Farm::new(&["ls"]);
    let directory = farm.directory();
    fs::write(Path::new(&directory).join("cat"), "mine").expect("a file");
    for (names, reason) in [
        (
            &["env", "no-such-command"][..],
            "no-such-command: there is no such command in PATH",
        ),
        (
            &["env", "/usr/bin/env"],
            "/usr/bin/env: not a command's name",
        ),
        (&["env", ""], ": not a command's name"),
        (&["env", ".."], "..: not a command's name"),
        (
            &["env", "cat"],
            "/cat is there already, and no link to vmmload",
        ),
        (
            &["env", "vmmload"],
            "vmmload: vmmload cannot be wrapped in itself",
        ),
    ] {
        let refused = farm.link(names);
        assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        let message = refused.messages();
        assert!(
            message.starts_with("vmmload: ") && message.contains(reason),
            "{message}"
        );
        assert_eq!(farm.names(), ["cat", "ls"]);
    }
    for words in [
        &["--remove", &directory, "cat"][..],
        &["--remove", &directory, "ls", "env"],
        &["--remove", "/no/such/directory"],
        &["--list", "/no/such/directory"],
    ] {
        assert_eq!(farm.call(words).status.code(), Some(125), "{words:?}");
    }
    assert_eq!(farm.names(), ["cat", "ls"]);
    let missing = farm.call(&["/no/such/directory", "ls"]);
    assert!(
        missing
            .messages()
            .contains("/no/such/directory: No such file"),
        "{missing:?}"
    );
}

#[test]
fn advice_is_given_where_links_would_not_be_found() {
    let farm = Farm::new(&["ls"]);
    let linked = Program::new(vmmload())
        .args(["link", &farm.directory(), "env"])
        .env("PATH", PATH)
        .native();
    linked.assert_success("vmmload link");
    assert!(
        linked
            .messages()
            .contains(&format!("export PATH={}:$PATH", farm.directory())),
        "{linked:?}"
    );
    fs::write(Path::new(&farm.directory()).join("other"), "").expect("a file");
    let mixed = farm.link(&["ls"]);
    assert!(
        mixed.messages().contains("in a directory of their own"),
        "{mixed:?}"
    );
    if machine::can_run_inside() {
        // What else is there must go on being found.
        let shell = Program::new(bash())
            .args(["-c", "env | grep ^PATH="])
            .env("PATH", farm.path());
        assert_eq!(shell.native().text(), format!("PATH={}\n", farm.path()));
    }
}

#[test]
fn links_of_a_vmmload_that_is_gone_are_replaced_or_removed() {
    let scratch = Scratch::new();
    let copy = scratch.path().join("vmmload");
    fs::copy(vmmload(), &copy).expect("vmmload can be copied");
    let mut farm = Farm::of(&copy, &["ls", "cat"]);
    fs::remove_file(&copy).expect("the copy");
    farm.launcher = vmmload().to_path_buf();
    farm.link(&["ls"]).assert_success("vmmload link");
    let link = Path::new(&farm.directory()).join("ls");
    assert_eq!(
        fs::read_link(link).expect("a link"),
        fs::canonicalize(vmmload()).expect("vmmload")
    );
    farm.call(&["--remove", &farm.directory()])
        .assert_success("remove");
    assert_eq!(farm.names(), [""; 0]);
}

#[test]
fn settings_come_from_variables() {
    let farm = Farm::new(&["sh"]);
    let shell = |name: &str, value: &str| {
        Program::new(bash())
            .args(["-c", "sh -c 'echo ran'"])
            .env("PATH", farm.path())
            .env(name, value)
            .native()
    };
    for (name, value) in [("VMMLOAD_INTERVAL", "soon"), ("VMMLOAD_REQUIRE", "yes")] {
        let refused = shell(name, value);
        assert_eq!(
            (refused.status.code(), refused.text()),
            (Some(125), String::new())
        );
        assert!(
            refused
                .messages()
                .starts_with(&format!("vmmload: {name}={value}: ")),
            "{refused:?}"
        );
    }
    if machine::can_run_inside() {
        let summary = shell("VMMLOAD_SUMMARY", "-");
        assert_eq!(summary.text(), "ran\n");
        assert!(
            summary.messages().contains("vmmload: summary of"),
            "{summary:?}"
        );
    }
}

#[test]
fn where_nothing_can_be_wrapped_commands_run_natively_or_not_at_all() {
    if !machine::is_root() {
        return machine::skip("only root can become another user");
    }
    let farm = Farm::new(&["sh"]);
    let setpriv = program("/usr/bin/setpriv", "util-linux");
    let nobody = [
        "--reuid=65534",
        "--clear-groups",
        "--",
        "bash",
        "-c",
        "sh -c 'echo $0 $PATH; exit 3'",
    ];
    let shell = Program::new(setpriv).args(nobody).env("PATH", farm.path());
    let natively = shell.clone().native();
    assert_eq!(
        (natively.status.code(), natively.text()),
        (Some(3), format!("sh {PATH}\n")),
        "{natively:?}"
    );
    let message = natively.messages();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(
        message.starts_with("vmmload: /dev/kvm ")
            && message.contains("; /usr/bin/sh runs natively. "),
        "{message}"
    );
    let refused = shell.env("VMMLOAD_REQUIRE", "1").native();
    assert_eq!(
        (refused.status.code(), refused.text()),
        (Some(125), String::new()),
        "{refused:?}"
    );
    assert!(
        refused.messages().starts_with("vmmload: /dev/kvm "),
        "{refused:?}"
    );
}

#[test]
fn set_user_id_programs_run_natively() {
    if !machine::is_root() {
        return machine::skip("not root, so no set-user-ID program can be made");
    }
    let tools = Scratch::new();
    let id = fs::read("/usr/bin/id").expect("/usr/bin/id can be read");
    let _ = tools.file("identify", id, 0o4755);
    let scratch = Scratch::new();
    let links = scratch.path().join("links");
    let path = format!("{}:{}:{PATH}", links.display(), tools.path().display());
    let link =
        Program::new(vmmload()).args(["link".into(), links.into_os_string(), "identify".into()]);
    link.env("PATH", &path)
        .native()
        .assert_success("vmmload link");
    let setpriv = program("/usr/bin/setpriv", "util-linux");
    let words = [
        "--reuid=65534",
        "--clear-groups",
        "--",
        "bash",
        "-c",
        "identify -u",
    ];
    let outcome = Program::new(setpriv)
        .args(words)
        .env("PATH", &path)
        .native();
    assert_eq!(outcome.text(), "0\n", "{outcome:?}");
    assert!(outcome.messages().contains("set-user-ID"), "{outcome:?}");
    // Who has not those rights is told at once.
    for subcommand in [&["link", "/tmp"][..], &["alias", "--shell=bash"]] {
        let nobody = ["--reuid=65534", "--clear-groups", "--"];
        let refused = Program::new(setpriv)
            .args(nobody)
            .arg(vmmload())
            .args(subcommand.to_vec());
        let refused = refused.arg("identify").env("PATH", &path).native();
        assert_eq!(
            (refused.status.code(), refused.text()),
            (Some(125), String::new())
        );
        assert!(
            refused
                .messages()
                .starts_with("vmmload: identify: a set-user-ID"),
            "{refused:?}"
        );
    }
}
