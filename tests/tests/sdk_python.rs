//! The Python package: how it is installed, and that it sees what `vmmload dump` and the Rust consumer see.
//!
//! The tests themselves are in `tests/python`, for unittest: each runs programs inside and watches them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vmmload_consumer::Kind;
use vmmload_tests::python::{Environment, examples, files, sources};
use vmmload_tests::scratch::{Scratch, cache};
use vmmload_tests::segment::Segment;
use vmmload_tests::watched::Watched;
use vmmload_tests::{consumer_library, machine};

macro_rules! python_tests {
    ($($name:ident: $module:literal;)+) => {
        $(
            #[test]
            fn $name() {
                Environment::of_debian().run_tests($module);
            }
        )+
    };
}

python_tests! {
    events_and_facts_are_those_that_dump_shows: "reading";
    following_sleeps_and_ends_with_the_process: "following";
    counters_are_arrays_that_outlive_everything: "heat";
    errors_have_types_and_hostile_files_do_no_harm: "errors";
    marks_are_read_and_followed: "marks";
    sessions_follow_children_and_executed_programs: "session";
    pandas_and_polars_take_what_is_read: "frames";
    structs_words_and_functions_are_those_of_the_header: "interface";
    examples_run: "examples";
}

#[test]
fn the_oldest_python_can_do_the_same() {
    let Some(environment) = Environment::of_the_oldest() else {
        // Most machines have none; Debian's own is tested everywhere.
        return;
    };
    // What differs between versions of Python: its types, asyncio, and how C is called.
    for module in ["reading", "following", "interface"] {
        environment.run_tests(module);
    }
}

#[test]
fn package_and_examples_are_fully_typed() {
    let cache = cache("python/mypy");
    let mypy = Environment::of_debian()
        .program("python")
        .args(["-m", "mypy", "--strict", "--cache-dir"])
        .arg(cache)
        .arg(sources().join("src"))
        .arg(examples());
    mypy.native().assert_success("mypy --strict");
}

#[test]
fn the_wheel_is_of_this_platform_and_leaves_the_sources_alone() {
    let environment = Environment::of_debian();
    let site = environment.installed();
    let library = std::fs::read(site.join("libvmmload_consumer.so")).expect("it is bundled");
    assert!(
        library == std::fs::read(consumer_library()).expect("it is built"),
        "another library than the workspace's is installed"
    );
    assert!(site.join("py.typed").exists());
    let packages = site.parent().expect("a package lies in a directory");
    let about = files(packages);
    let wheel = about
        .iter()
        .find(|path| path.ends_with("vmmload-0.1.0.dist-info/WHEEL"))
        .expect("pip has installed a wheel");
    let wheel = std::fs::read_to_string(wheel).expect("the environment is readable");
    assert!(wheel.contains("Tag: py3-none-linux_x86_64\n"), "{wheel}");
    let built = |path: &&PathBuf| {
        let text = path.to_string_lossy();
        text.contains("build/") || text.contains("egg-info")
    };
    let sources = files(&sources());
    assert_eq!(sources.iter().find(built), None);
}

/// Builds a wheel with these variables, without downloading what builds it again.
fn wheel(variables: &[(&str, &str)]) -> (bool, String, Scratch) {
    let scratch = Scratch::new();
    let options = ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir"];
    let pip = Environment::of_debian()
        .pip()
        .args(options)
        .arg(scratch.path())
        .arg(sources())
        .directory(scratch.path());
    let pip = variables
        .iter()
        .fold(pip, |pip, (name, value)| pip.env(*name, *value));
    let outcome = pip.native();
    (outcome.status.success(), outcome.messages(), scratch)
}

#[test]
fn without_cargo_the_remedy_is_told_and_a_prebuilt_library_is_enough() {
    // Neither in PATH nor in the home directory.
    let without_cargo = [("CARGO", ""), ("PATH", "/nowhere"), ("HOME", "/nowhere")];
    let (built, messages, _) = wheel(&without_cargo);
    assert!(!built);
    for part in ["cargo is not here", "rustup.rs", "VMMLOAD_CONSUMER_LIBRARY"] {
        assert!(messages.contains(part), "no {part:?}: {messages}");
    }
    let scratch = Scratch::new();
    let prebuilt = scratch.file("prebuilt.so", "not much of a library", 0o644);
    let prebuilt = prebuilt.to_str().expect("our own paths are text");
    let named = ("VMMLOAD_CONSUMER_LIBRARY", prebuilt);
    let (built, messages, wheels) = wheel(&[&without_cargo[..], &[named]].concat());
    assert!(built, "{messages}");
    let file = wheels
        .path()
        .join("vmmload-0.1.0-py3-none-linux_x86_64.whl");
    let unzip = "import sys, zipfile\n\
                 print(zipfile.ZipFile(sys.argv[1]).read('vmmload/libvmmload_consumer.so').decode())";
    let python = Environment::of_debian().program("python");
    let outcome = python.args(["-c", unzip]).arg(file).native();
    outcome.assert_success("unzip");
    assert_eq!(outcome.text(), "not much of a library\n");
    let missing = ("VMMLOAD_CONSUMER_LIBRARY", "/nowhere/at/all.so");
    let (built, messages, _) = wheel(&[missing]);
    assert!(
        !built && messages.contains("/nowhere/at/all.so is no file"),
        "{messages}"
    );
}

/// What the Python package has about every page: kind, address, count, epoch.
const PAGES: &str = "import sys, vmmload\n\
    for addr, count, epoch, kind in vmmload.attach(int(sys.argv[1])).heat().pages().tolist():\n\
    \x20   print(kind, addr, count, epoch)\n";

#[test]
fn counters_are_those_of_the_rust_consumer() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(3000, 3, &["--track", "readwrite"]);
    let segment = Segment::attach(watched.guest.pid());
    for command in ['w', 'w', 'k', 'r'] {
        watched.command(command);
        segment.settle();
    }
    let python = Environment::of_debian().program("python");
    let pid = watched.guest.pid().to_string();
    let outcome = python.args(["-c", PAGES, &pid]).native();
    outcome.assert_success("the pages by Python");
    let by_python: BTreeMap<(u64, u64), (u64, u64)> = outcome
        .text()
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(|word| word.parse().expect("a number"));
            let mut next = || words.next().expect("four numbers");
            ((next(), next()), (next(), next()))
        })
        .collect();
    let heat = segment.consumer().heat();
    let by_rust: BTreeMap<(u64, u64), (u64, u64)> = heat
        .map(|heat| {
            let key = (heat.kind as u64, heat.addr);
            (key, (heat.count, u64::from(heat.epoch)))
        })
        .collect();
    assert!(by_rust.keys().any(|&(kind, _)| kind == Kind::Read as u64));
    assert!(by_rust.len() > 3000, "{} pages", by_rust.len());
    assert!(
        by_python == by_rust,
        "{} and {}",
        by_python.len(),
        by_rust.len()
    );
    watched.end();
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let project = std::fs::read_to_string(sources().join("pyproject.toml")).expect("it is there");
    let line = format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(project.contains(&line), "no {line} in pyproject.toml");
}

#[test]
fn readme_shows_what_is_there() {
    let readme = std::fs::read_to_string(sources().join("README.md")).expect("it is there");
    // Each word that it takes from the package is one of the package's.
    let scan = "import re, sys, vmmload\n\
                names = set(re.findall(r'\\bvmmload\\.(\\w+)', sys.argv[1]))\n\
                missing = sorted(name for name in names if not hasattr(vmmload, name))\n\
                assert len(names) > 5 and not missing, missing";
    let python = Environment::of_debian().program("python");
    let outcome = python.args(["-c", scan, &readme]).native();
    outcome.assert_success("names in README.md");
}
