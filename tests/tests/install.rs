//! Installation: what `make install`, the Debian package and `cargo install` put somewhere works from there, as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use vmmload_tests::c_library::output_of;
use vmmload_tests::scratch::{Scratch, target, workspace};
use vmmload_tests::shells::Shell;
use vmmload_tests::{Guest, Session, machine, packages};

/// Said by what ran inside, with VMMLOAD_SUMMARY=-.
const WRAPPED: &str = "vmmload: summary of process";

/// Where Debian has libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

fn make(arguments: &[&str]) {
    let make = packages::program("/usr/bin/make", "make");
    let _ = packages::program("/usr/bin/strip", "binutils");
    let mut command = Command::new(make);
    command
        .args(arguments)
        .current_dir(workspace())
        .env("CARGO_TARGET_DIR", target())
        .env_remove("MAKEFLAGS")
        .env_remove("PREFIX")
        .env_remove("DESTDIR");
    let output = command.output().expect("make can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {messages}");
    let commands = String::from_utf8_lossy(&output.stdout);
    let is_install = arguments.contains(&"install");
    assert!(!is_install || !commands.contains("cargo"), "{commands}");
}

/// Builds all, once.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| make(&[]));
}

/// All files and links below a directory, by their paths in it.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(&next).expect("the directory can be listed") {
            let entry = entry.expect("the directory can be listed");
            match entry.file_type().expect("it has a type").is_dir() {
                true => directories.push(entry.path()),
                false => {
                    let path = entry.path();
                    let path = path.strip_prefix(directory).expect("below it");
                    found.insert(path.display().to_string());
                }
            }
        }
    }
    found
}

fn headers() -> impl Iterator<Item = String> {
    ["vmmload.h", "vmmload_guest.h"]
        .into_iter()
        .map(|name| format!("include/{name}"))
}

/// What is installed below a prefix.
fn expected() -> BTreeSet<String> {
    let fixed = [
        "bin/vmmload",
        "bin/vmmload-observe",
        "lib/libvmmload_shim.so",
        "lib/libvmmload_consumer.so",
        "lib/libvmmload_consumer.so.1",
        "lib/libvmmload_consumer.a",
        "lib/pkgconfig/vmmload-consumer.pc",
        "share/man/man1/vmmload.1",
        "share/bash-completion/completions/vmmload",
        "share/zsh/site-functions/_vmmload",
        "share/fish/vendor_completions.d/vmmload.fish",
        "share/doc/vmmload/LICENSE-MIT",
        "share/doc/vmmload/LICENSE-APACHE",
    ];
    fixed
        .into_iter()
        .map(str::to_owned)
        .chain(headers())
        .collect()
}

/// What a command says on standard error while its output is this.
#[track_caller]
fn messages_of(command: &mut Command, stdout: &str) -> String {
    let output = command.output().expect("the program can be started");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        stdout,
        "{command:?}: {messages}"
    );
    assert!(output.status.success(), "{command:?}: {messages}");
    messages
}

/// That `vmmload run` works from there, and the preload library finds it.
#[track_caller]
fn assert_wraps(vmmload: &Path, library: Option<&Path>) {
    if !machine::can_run_inside() {
        return;
    }
    let mut command = Command::new(vmmload);
    command.args(["run", "--summary", "echo", "hello"]);
    let messages = messages_of(&mut command, "hello\n");
    assert!(messages.contains(WRAPPED), "{messages}");
    let Some(library) = library else {
        return;
    };
    let mut command = Command::new("/bin/echo");
    command
        .arg("hello")
        .env("LD_PRELOAD", library)
        .env("VMMLOAD_SUMMARY", "-");
    let messages = messages_of(&mut command, "hello\n");
    assert!(messages.contains(WRAPPED), "{messages}");
}

/// That the program of views, recordings and reports is found from there.
#[track_caller]
fn assert_observes(vmmload: &Path) {
    let help = output_of(
        Command::new(vmmload)
            .args(["report", "--help"])
            .env("PATH", ""),
    );
    assert!(help.contains("vmmload report before"), "{help}");
}

/// That man finds the page below `share`, and the shells' completions there are those that work.
#[track_caller]
fn assert_documented(share: &Path, zsh: &str) {
    let man = packages::program("/usr/bin/man", "man-db");
    let mut command = Command::new(man);
    let shown = output_of(command.arg("-M").arg(share.join("man")).arg("vmmload"));
    assert!(shown.contains("VMMLOAD(1)"), "{shown}");
    for (shell, file) in [
        (Shell::Bash, "bash-completion/completions/vmmload"),
        (Shell::Zsh, zsh),
        (Shell::Fish, "fish/vendor_completions.d/vmmload.fish"),
    ] {
        let offers = shell.offers_with(&share.join(file), &["vmmload run --chil"]);
        assert_eq!(offers, [["--children"]], "{shell:?}");
    }
}

/// A program that attaches to the process that it is given, and says the name of its session's first one.
const READER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <vmmload.h>
#include <vmmload_guest.h>

int main(int argc, char **argv)
{
    vmmload_consumer *consumer;
    if (argc != 2 || vmmload_attach(atoi(argv[1]), &consumer) < 0)
        return fprintf(stderr, "%s\n", vmmload_last_error()), 1;
    vmmload_mark("attached");
    puts("attached");
    vmmload_detach(consumer);
    return 0;
}
"#;

/// That programs can be built with what pkg-config says with these variables, and run.
#[track_caller]
fn assert_builds(variables: &[(&str, PathBuf)], libraries: &Path) {
    let scratch = Scratch::new();
    let source = scratch.file("reader.c", READER, 0o644);
    let pkg_config = packages::program("/usr/bin/pkg-config", "pkg-config");
    for (name, options) in [("shared", &[][..]), ("static", &["--static"])] {
        let mut command = Command::new(pkg_config);
        command
            .args(["--cflags", "--libs"])
            .args(options)
            .arg("vmmload-consumer");
        let flags = output_of(command.envs(variables.iter().cloned()));
        let program = scratch.path().join(name);
        let mut command = Command::new(packages::c_compiler());
        command.arg(&source).arg("-o").arg(&program);
        command.args(flags.split_whitespace());
        command.args(options.iter().map(|_| "-static"));
        assert_eq!(output_of(&mut command), "");
        assert_attaches(&program, libraries);
    }
}

#[track_caller]
fn assert_attaches(program: &Path, libraries: &Path) {
    if !machine::can_run_inside() {
        return;
    }
    let watched = Guest::new("tracking/touch").program().args(["1", "1"]);
    let mut watched = Session::start(watched.inside_command());
    watched.line();
    let mut command = Command::new(program);
    command
        .arg(watched.pid().to_string())
        .env("LD_LIBRARY_PATH", libraries);
    assert_eq!(output_of(&mut command), "attached\n");
    watched.send("q");
    assert!(watched.finish().success());
}

#[test]
fn what_is_installed_below_a_prefix_works_there_and_can_be_removed() {
    build();
    let scratch = Scratch::new();
    let prefix = scratch.path().join("prefix");
    let setting = format!("PREFIX={}", prefix.display());
    make(&["install", &setting]);
    assert_eq!(files(&prefix), expected());
    let vmmload = prefix.join("bin/vmmload");
    assert_wraps(&vmmload, Some(&prefix.join("lib/libvmmload_shim.so")));
    assert_observes(&vmmload);
    assert_documented(&prefix.join("share"), "zsh/site-functions/_vmmload");
    let found = [("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))];
    assert_builds(&found, &prefix.join("lib"));
    // What else is there stays.
    let other = prefix.join("share/man/man1/other.1");
    std::fs::write(&other, "").expect("a scratch file can be written");
    make(&["uninstall", &setting]);
    assert_eq!(
        files(&prefix),
        BTreeSet::from(["share/man/man1/other.1".into()])
    );
    assert!(!prefix.join("share/doc/vmmload").exists());
}

#[test]
fn what_is_staged_knows_only_where_it_will_be() {
    build();
    let scratch = Scratch::new();
    let stage = scratch.path().join("stage");
    let destination = format!("DESTDIR={}", stage.display());
    let libraries = format!("LIBDIR=/{LIBRARIES}");
    make(&["install", &destination, "PREFIX=/usr", &libraries]);
    let expected: BTreeSet<String> = expected()
        .into_iter()
        .map(|path| match path.strip_prefix("lib/") {
            Some(library) => format!("{LIBRARIES}/{library}"),
            None => format!("usr/{path}"),
        })
        .collect();
    assert_eq!(files(&stage), expected);
    let configuration = stage.join(LIBRARIES).join("pkgconfig/vmmload-consumer.pc");
    let text = std::fs::read_to_string(&configuration).expect("it is installed");
    assert!(
        text.contains("\nlibdir=${prefix}/lib/x86_64-linux-gnu\n"),
        "{text}"
    );
    let shown = stage.display().to_string();
    assert!(!text.contains(&shown), "{text}");
    let library = stage.join(LIBRARIES).join("libvmmload_shim.so");
    assert_wraps(&stage.join("usr/bin/vmmload"), Some(&library));
    let found = [
        ("PKG_CONFIG_LIBDIR", stage.join(LIBRARIES).join("pkgconfig")),
        ("PKG_CONFIG_SYSROOT_DIR", stage.clone()),
    ];
    assert_builds(&found, &stage.join(LIBRARIES));
    make(&["uninstall", &destination, "PREFIX=/usr", &libraries]);
    assert_eq!(files(&stage), BTreeSet::new());
}

fn ask(option: &str, package: &Path) -> String {
    output_of(Command::new("dpkg-deb").arg(option).arg(package))
}

/// That everything belongs to root and may be used by all.
#[track_caller]
fn assert_modes(contents: &str) {
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "{contents}");
        let expected = match &line[..1] {
            "d" => "drwxr-xr-x",
            "l" => "lrwxrwxrwx",
            _ if line.contains(" ./usr/bin/") => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(&line[..10], expected, "{line}");
    }
}

/// That the sums are right, and there for every file.
#[track_caller]
fn assert_sums(root: &Path) {
    let check = ["--quiet", "--check", "DEBIAN/md5sums"];
    let _ = output_of(Command::new("md5sum").args(check).current_dir(root));
    let sums = std::fs::read_to_string(root.join("DEBIAN/md5sums")).expect("it has sums");
    let links = 1;
    assert_eq!(
        sums.lines().count() + links,
        files(&root.join("usr")).len(),
        "{sums}"
    );
}

#[test]
fn a_debian_package_has_it_all_and_works_unpacked() {
    build();
    let _ = packages::program("/usr/bin/dpkg-shlibdeps", "dpkg-dev");
    make(&["deb"]);
    let name = format!("debian/vmmload_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let package = target().join(name);
    let control = ask("--info", &package);
    for line in [
        "Package: vmmload\n",
        "Architecture: amd64\n",
        "Depends: libc6 (>= 2.",
    ] {
        assert!(control.contains(line), "{control}");
    }
    assert_modes(&ask("--contents", &package));
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    let _ = output_of(Command::new("dpkg-deb").arg("-R").arg(&package).arg(&root));
    assert_sums(&root);
    let library = root.join(LIBRARIES).join("libvmmload_shim.so");
    assert_wraps(&root.join("usr/bin/vmmload"), Some(&library));
    assert_observes(&root.join("usr/bin/vmmload"));
    assert_documented(&root.join("usr/share"), "zsh/vendor-completions/_vmmload");
    let lintian = packages::program("/usr/bin/lintian", "lintian");
    let mut command = Command::new(lintian);
    command
        .args(["--fail-on", "error", "--allow-root"])
        .arg(&package);
    let output = command.output().expect("lintian can be started");
    let remarks = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{remarks}");
}

#[test]
fn cargo_install_makes_a_tool_that_needs_nothing_else() {
    build();
    let scratch = Scratch::new();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "install", "--quiet", "--locked", "--path", "launcher", "--root",
        ])
        .arg(scratch.path())
        .arg("--target-dir")
        .arg(target())
        .current_dir(workspace())
        .output()
        .expect("cargo can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let vmmload = scratch.path().join("bin/vmmload");
    assert_wraps(&vmmload, None);
    let page = output_of(Command::new(&vmmload).arg("man"));
    assert!(page.contains(".TH VMMLOAD 1"), "{page}");
    let completions = output_of(Command::new(&vmmload).args(["completions", "zsh"]));
    assert!(
        completions.starts_with("#compdef vmmload\n"),
        "{completions}"
    );
}
