//! Builds what is tested and finds out what the tests need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use vmmload_tests::{Guest, call_modes, scratch};

use crate::command::output;
use crate::rig::{Rig, Step};
use crate::{Options, RigError, doing};

/// Everything that goes into the image, apart from the machine's own.
#[derive(Debug)]
pub(crate) struct Products {
    /// The program under test.
    pub vmmload: PathBuf,
    /// Files of this workspace and of the host, to be put at the same places.
    pub files: BTreeSet<PathBuf>,
    /// Name and command line of each step.
    pub steps: Vec<(String, Vec<String>)>,
}

/// Builds the release binary and the tests, and has each chosen test list its needs.
///
/// # Errors
/// What cargo says, and when `--only` leaves nothing.
pub(crate) fn build(rig: Rig, options: &Options) -> Result<Products, RigError> {
    let wanted = |step: &&Step| {
        options
            .only
            .as_ref()
            .is_none_or(|text| step.name().contains(text))
    };
    let mut steps: Vec<&Step> = rig.steps().iter().filter(wanted).collect();
    if steps.is_empty() {
        steps = rig.further_steps().iter().filter(wanted).collect();
    }
    if steps.is_empty() {
        let all = rig.steps().iter().chain(rig.further_steps());
        let names: BTreeSet<String> = all.map(Step::name).collect();
        let names: Vec<String> = names.into_iter().collect();
        let text = options.only.as_deref().unwrap_or_default();
        let names = names.join(", ");
        return Err(RigError::Missing(format!(
            "no step is named {text}. There are: {names}"
        )));
    }
    cargo(&["build", "--release", "-p", "vmmload"])?;
    let built = cargo(&["test", "--no-run", "-p", "vmmload-tests"])?;
    let vmmload = scratch::target().join("release/vmmload");
    let mut products = Products {
        vmmload,
        files: sources(),
        steps: Vec::new(),
    };
    for step in steps {
        let mut words = match step {
            Step::Tests {
                binary, ignored, ..
            } => {
                if *ignored {
                    // Outside of a rig these come to nothing, and say of nothing that they need it.
                    products.files.insert(touching_guest());
                }
                let program = executable(&built, "test", binary)?;
                let words = test_command(rig, program, step, &options.tests);
                products.files.extend(needs(&words, &products.vmmload)?);
                words
            }
            Step::Benchmark(_, options) => {
                products.files.insert(touching_guest());
                let bench = executable(&built, "bin", "bench")?;
                let options = options.iter().map(|&word| word.to_owned());
                std::iter::once(bench).chain(options).collect()
            }
            Step::Command(_, words) => words.iter().map(|&word| word.to_owned()).collect(),
        };
        if let Some(program) = words.first().filter(|word| word.starts_with('/')) {
            products.files.insert(program.into());
        }
        let call_mode = match (&options.call_mode, step) {
            (Some(mode), _) => Some(mode.as_str()),
            (None, Step::Tests { call_mode, .. }) => *call_mode,
            (None, _) => None,
        };
        if let Some(mode) = call_mode {
            let variable = format!("{}={mode}", call_modes::VARIABLE);
            words.splice(0..0, ["env".to_owned(), variable]);
        }
        products.steps.push((step.name(), words));
    }
    Ok(products)
}

/// What cargo says of each product, one JSON object a line.
fn cargo(arguments: &[&str]) -> Result<Vec<Value>, RigError> {
    eprintln!("rig: cargo {}", arguments.join(" "));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .args(["--message-format", "json-render-diagnostics"]);
    command.arg("--target-dir").arg(scratch::target());
    let text = output(command.current_dir(scratch::workspace()))?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

/// The command line of a step of tests.
fn test_command(rig: Rig, program: String, step: &Step, arguments: &[String]) -> Vec<String> {
    let threads = format!("--test-threads={}", rig.processors());
    let mut words = vec![program, threads];
    if let Step::Tests {
        skip,
        only,
        ignored,
        ..
    } = step
    {
        if *ignored {
            words.push("--include-ignored".to_owned());
        }
        let skipped = skip.iter().flat_map(|name| ["--skip", name]);
        words.extend(skipped.map(str::to_owned));
        // Those that are asked for are chosen among all.
        if arguments.is_empty() {
            words.extend(only.iter().map(|&name| name.to_owned()));
        }
    }
    words.extend(arguments.iter().cloned());
    words
}

/// The path of one of the executables that cargo has built.
fn executable(built: &[Value], kind: &str, name: &str) -> Result<String, RigError> {
    let is_it = |product: &&Value| {
        product["target"]["name"] == name
            && product["target"]["kind"][0] == kind
            // Of a program, not the build of it that runs the unit tests in its source.
            && product["profile"]["test"] == (kind == "test")
            && product["executable"].is_string()
    };
    let found = built.iter().find(is_it);
    found
        .and_then(|product| product["executable"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| RigError::Missing(format!("the package of tests has no {kind} {name}")))
}

/// The one guest that the benchmark's counts and the tests of the hardware need.
fn touching_guest() -> PathBuf {
    Guest::new("tracking/touch").path()
}

/// The files that these tests ask for: see `VMMLOAD_LIST_NEEDS` in the harness.
fn needs(test: &[String], vmmload: &Path) -> Result<BTreeSet<PathBuf>, RigError> {
    let list = scratch::cache("needs").join(std::process::id().to_string());
    let _ = std::fs::remove_file(&list);
    // Its status means nothing: what is not run cannot succeed.
    Command::new(&test[0])
        .args(&test[1..])
        .env("VMMLOAD_LIST_NEEDS", &list)
        .env("VMMLOAD_BIN", vmmload)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(doing(format!("starting {}", test[0])))?;
    let text = std::fs::read_to_string(&list).unwrap_or_default();
    let _ = std::fs::remove_file(&list);
    Ok(text.lines().map(PathBuf::from).collect())
}

/// The harness names compiled guests after the content of their sources, so it reads them.
fn sources() -> BTreeSet<PathBuf> {
    let guests = scratch::workspace().join("tests/guests");
    let mark = scratch::target().join("CACHEDIR.TAG");
    let entries = walkdir::WalkDir::new(guests).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(walkdir::DirEntry::into_path)
        .chain([mark])
        .collect()
}
