//! Completions and the manual page: real shells offer what the command line takes, and man accepts the page.

use std::collections::BTreeSet;
use std::process::Command;

use vmmload_tests::c_library::output_of;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::shells::{BASH_COMPLETION, SHELLS, Shell, zsh_offers};
use vmmload_tests::{Guest, Program, Session, machine, observe, packages, vmmload};

fn printed(arguments: &[&str]) -> String {
    // It has the help of some subcommands.
    observe();
    output_of(Command::new(vmmload()).args(arguments))
}

/// What the help of vmmload lists as its subcommands.
fn subcommands() -> Vec<String> {
    let help = printed(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 7, "{help}");
    names
}

/// The long options in the help of a subcommand.
fn options(subcommand: &str) -> BTreeSet<String> {
    let help = printed(&["help", subcommand]);
    let behind = help.lines().skip_while(|line| *line != "Options:");
    let lines = behind.filter(|line| line.trim_start().starts_with('-'));
    lines
        .filter_map(|line| {
            let word = line
                .split_whitespace()
                .find(|word| word.starts_with("--"))?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            Some(word[..word.find(|c| !is_name(c)).unwrap_or(word.len())].to_owned())
        })
        .collect()
}

/// What a shell offers is exactly this.
#[track_caller]
fn assert_offers(shell: Shell, line: &str, offered: &[String], expected: &[&str]) {
    let offered: BTreeSet<&str> = offered.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    assert_eq!(offered, expected, "{shell:?}: {line:?}");
}

#[test]
fn every_subcommand_and_option_of_the_help_is_offered_and_in_the_page() {
    let page = printed(&["man"]).replace("\\-", "-");
    let names = subcommands();
    for name in &names {
        let heading = format!("\n.SS \"vmmload {name}\"\n");
        let (_, section) = page.split_once(&heading).expect(name);
        let section = section.split("\n.S").next().unwrap_or_default();
        for option in options(name) {
            assert!(section.contains(&option), "{name} {option}: {section}");
        }
    }
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("vmmload {name} --"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for shell in SHELLS {
        for (name, offered) in names.iter().zip(shell.offers(&lines)) {
            // zsh leaves away what stands in the line already.
            let offered: BTreeSet<String> = offered.into_iter().collect();
            let missing: Vec<String> = options(name).difference(&offered).cloned().collect();
            assert!(missing.is_empty(), "{shell:?}: {name}: {missing:?}");
        }
        let offered: BTreeSet<String> = shell.offers(&["vmmload "]).remove(0).into_iter().collect();
        assert!(
            names.iter().all(|name| offered.contains(name)),
            "{shell:?}: {offered:?}"
        );
    }
}

#[test]
fn values_of_options_are_offered() {
    for shell in SHELLS {
        let offers = shell.offers(&[
            "vmmload run --track ",
            "vmmload run --children n",
            "vmmload run -i 1s --ring-mode 6",
            "vmmload run --ring-group roo",
            "vmmload ls --format j",
            "vmmload alias --shell f",
            "vmmload completions z",
            "vmmload help dum",
        ]);
        let expected: [&[&str]; 8] = [
            &["write", "readwrite", "none"],
            &["native"],
            &["600", "640", "644"],
            &["root"],
            &["json"],
            &["fish"],
            &["zsh"],
            &["dump"],
        ];
        for (offered, expected) in offers.iter().zip(expected) {
            assert_offers(shell, "a value", offered, expected);
        }
    }
}

#[test]
fn values_behind_an_equals_sign_are_offered() {
    let scratch = Scratch::new();
    let _ = scratch.file("summary-of-mine", "", 0o644);
    let file = scratch.path().join("summary-of-mine").display().to_string();
    let line = format!("vmmload run --summary={}", &file[..file.len() - 5]);
    for (shell, track, summary) in [
        // bash replaces what is behind the sign, fish the word.
        (Shell::Bash, "write", file.clone()),
        (Shell::Fish, "--track=write", format!("--summary={file}")),
        (Shell::Zsh, "write", "summary-of-mine".into()),
    ] {
        let offers = shell.offers(&["vmmload run --track=w", &line]);
        assert_offers(shell, "--track=w", &offers[0], &[track]);
        assert_offers(shell, &line, &offers[1], &[&summary]);
    }
}

#[test]
fn run_offers_programs_and_behind_one_what_that_takes() {
    for shell in SHELLS {
        let offers = shell.offers(&[
            "vmmload run setpri",
            "vmmload run -i 1s --summary setpri",
            "vmmload run --summary=x -- setpri",
            "vmmload run make --ver",
            "vmmload run -i 1s make -",
            "vmmload run --track=none -- make -",
            "vmmload alias setpri",
            "vmmload link somewhere setpri",
        ]);
        for program in [0, 1, 2, 6, 7] {
            assert_offers(shell, "a program", &offers[program], &["setpriv"]);
        }
        // fish knows make's short options only.
        if shell != Shell::Fish {
            assert_offers(shell, "make --ver", &offers[3], &["--version"]);
        }
        for own in [4, 5] {
            let is_own = |word: &String| word == "-f" || word == "--file" || word == "--file=";
            assert!(
                offers[own].iter().any(is_own),
                "{shell:?}: {:?}",
                offers[own]
            );
            let is_ours = |word: &String| word.starts_with("--interval");
            assert!(
                !offers[own].iter().any(is_ours),
                "{shell:?}: {:?}",
                offers[own]
            );
        }
    }
}

#[test]
fn words_of_the_shell_are_no_programs_to_run() {
    for shell in SHELLS {
        let offers = shell.offers(&["vmmload run ali", "vmmload run ech"]);
        let has = |offered: &[String], word: &str| offered.iter().any(|offer| offer == word);
        assert!(!has(&offers[0], "alias"), "{shell:?}: {:?}", offers[0]);
        assert!(has(&offers[1], "echo"), "{shell:?}: {:?}", offers[1]);
    }
}

#[test]
fn bash_alone_completes_everything_but_the_command() {
    let offers = Shell::BareBash.offers(&[
        "vmmload run --chil",
        "vmmload run setpri",
        "vmmload run make --ver",
    ]);
    assert_eq!(offers[0], ["--children"]);
    assert_eq!(offers[1], ["setpriv"]);
    // Files, by bash itself.
    assert!(offers[2].is_empty(), "{offers:?}");
}

/// What bash gets when this is typed at a terminal, `\t` being the key that completes.
fn typed(before: &str, lines: &[String]) -> String {
    let scratch = Scratch::new();
    let completions = scratch.file("completions", printed(&["completions", "bash"]), 0o644);
    // The function stands in for the command, and shows its arguments.
    let shown = r#"vmmload() { printf '<%s>' "$@"; echo; }"#;
    let setting = format!("{before}. {}; {shown}\n", completions.display());
    let text = setting + &lines.join("\n") + "\nexit\n";
    let bash = format!("{} --norc --noprofile -i", packages::bash());
    let script = packages::program("/usr/bin/script", "bsdutils");
    let program = Program::new(script).args(["-qec", &bash, "/dev/null"]);
    program.input(text).native().text()
}

#[test]
fn at_a_terminal_words_are_replaced_as_they_should_be() {
    let scratch = Scratch::new();
    let _ = scratch.file("a-file-of-mine", "", 0o644);
    let directory = scratch.path().display().to_string();
    let lines = [
        format!("vmmload run -i 1s cat {directory}/a-f\t"),
        "vmmload ru\t--chil\tfo\tcat".into(),
        "vmmload run --track=re\tcat".into(),
        format!("vmmload run --summary={directory}/a-f\tcat"),
    ];
    let expected = [
        format!("<run><-i><1s><cat><{directory}/a-file-of-mine>"),
        "<run><--children><follow><cat>".into(),
        "<run><--track=readwrite><cat>".into(),
        format!("<run><--summary={directory}/a-file-of-mine><cat>"),
    ];
    let _ = packages::program(BASH_COMPLETION, "bash-completion");
    for before in [String::new(), format!(". {BASH_COMPLETION}; ")] {
        let shown = typed(&before, &lines);
        for expected in &expected {
            assert!(shown.contains(expected), "{before}{expected}: {shown}");
        }
    }
}

#[test]
fn zsh_takes_completions_that_are_evaluated_too() {
    let nothing = Scratch::new();
    let completions = printed(&["completions", "zsh"]);
    let offered = zsh_offers(nothing.path(), "vmmload run --chil", &completions);
    assert_eq!(offered, ["--children"]);
}

#[test]
fn dump_offers_processes_that_run() {
    if !machine::can_run_inside() {
        return;
    }
    let program = Guest::new("tracking/touch").program().args(["1", "1"]);
    let mut guest = Session::start(program.inside_command());
    guest.line();
    let pid = guest.pid().to_string();
    for shell in SHELLS {
        let offers = shell.offers(&["vmmload dump ", "vmmload dump --follow "]);
        for offered in &offers {
            assert!(offered.contains(&pid), "{shell:?}: {pid}: {offered:?}");
        }
    }
    guest.send("q");
    assert!(guest.finish().success());
    for shell in SHELLS {
        let offers = shell.offers(&["vmmload dump "]);
        assert!(!offers[0].contains(&pid), "{shell:?}: {offers:?}");
    }
}

#[test]
fn formatters_accept_the_page_without_a_warning() {
    let scratch = Scratch::new();
    let page = scratch.file("vmmload.1", printed(&["man"]), 0o644);
    let mandoc = packages::program("/usr/bin/mandoc", "mandoc");
    assert_eq!(output_of(Command::new(mandoc).arg("-Tlint").arg(&page)), "");
    let groff = packages::program("/usr/bin/groff", "groff-base");
    let shown = output_of(
        Command::new(groff)
            .args(["-ww", "-man", "-Tutf8"])
            .arg(&page),
    );
    assert!(shown.contains("VMMLOAD(1)"), "{shown}");
    let man = packages::program("/usr/bin/man", "man-db");
    let mut command = Command::new(man);
    command.env("MANWIDTH", "80").args(["--warnings", "-l"]);
    let shown = output_of(command.arg(&page));
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "ENVIRONMENT",
        "EXIT STATUS",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ] {
        let heading = format!("\n{section}\n");
        assert!(shown.contains(&heading), "{section}: {shown}");
    }
}

#[test]
fn every_setting_of_the_page_is_one_that_run_reads() {
    let page = printed(&["man"]);
    let names: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("\\fBVMMLOAD_")?.strip_suffix("\\fR"))
        .collect();
    let others = ["SUMMARY", "REQUIRE", "LAUNCHER"];
    assert!(others.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(names.len() >= 12, "{names:?}");
    for name in names.into_iter().filter(|name| !others.contains(name)) {
        let variable = format!("VMMLOAD_{name}");
        let output = Command::new(vmmload())
            .args(["run", "true"])
            .env(&variable, ":no such value:")
            .output()
            .expect("vmmload can be started");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{variable}: {message}");
        assert!(message.contains(&variable), "{variable}: {message}");
    }
}
