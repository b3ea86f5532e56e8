//! The Python package, installed as a user installs it: with pip, into an environment of its own.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::scratch::{self, Scratch};
use crate::{Guest, Program, consumer_library, guest_library, machine, packages, vmmload};

/// What the tests use besides the package and what it requires itself.
const COMPANIONS: &[&str] = &[
    "numpy",
    "mypy",
    "pandas",
    "polars",
    "matplotlib",
    // Drives the browser that pages are opened in; the browser itself is Debian's.
    "playwright",
    "setuptools",
    "duckdb",
    "pyarrow",
];
/// The oldest Python that the package is for, and what its tests use there.
const OLDEST: (&str, &[&str]) = ("3.9", &["numpy"]);
/// Downloads included.
const LONGEST_INSTALLATION: Duration = Duration::from_secs(600);

/// A virtual environment that has the package.
#[derive(Debug)]
pub struct Environment {
    directory: PathBuf,
}

impl Environment {
    /// One of Debian's own Python, with everything that the tests use.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_debian() -> &'static Self {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| {
            let python = packages::python();
            let modules = "import sysconfig; print(sysconfig.get_path('stdlib'))";
            let outcome = Program::new(python).args(["-c", modules]).native();
            let library = outcome.text();
            // Debian has left it out of Python itself.
            let module = format!("{}/ensurepip/__init__.py", library.trim());
            if let Err(message) = packages::ensure(&module, "python3-venv") {
                panic!("{message}");
            }
            Self::made_with(Path::new(python), COMPANIONS)
        })
    }

    /// One of the oldest Python that the package is for, without what only some tests use; `None` where no such
    /// Python is installed.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_the_oldest() -> Option<&'static Self> {
        static ENVIRONMENT: OnceLock<Option<Environment>> = OnceLock::new();
        let (version, companions) = OLDEST;
        let made = || oldest(version).map(|python| Self::made_with(&python, companions));
        ENVIRONMENT.get_or_init(made).as_ref()
    }

    /// An environment that an earlier run has left, if it has just what is asked for.
    fn made_with(python: &Path, companions: &[&str]) -> Self {
        let name = format!("{:016x}", hash_of(&(python, companions)));
        let directory = scratch::cache("python").join(name);
        let environment = Self { directory };
        let _lock = lock(&environment.directory.with_extension("lock"));
        environment.provide(python, companions);
        environment.install();
        environment
    }

    fn provide(&self, python: &Path, companions: &[&str]) {
        let complete = self.directory.join("complete");
        if complete.exists() {
            return;
        }
        let _ = std::fs::remove_dir_all(&self.directory);
        succeed(
            &Program::new(python)
                .args(["-m", "venv"])
                .arg(&self.directory),
        );
        let companions = companions.iter().copied();
        succeed(&self.pip().args(["install", "--upgrade"]).args(companions));
        std::fs::write(complete, "").expect("the environment is the harness's own");
    }

    /// Installs the package, from elsewhere, unless that very package is there.
    fn install(&self) {
        let installed = self.directory.join("installed");
        let wanted = format!("{:016x}", content());
        if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
            return;
        }
        let elsewhere = Scratch::new();
        let pip = self.pip().directory(elsewhere.path());
        // Of the same version: pip would leave the old one as it is.
        succeed(&pip.clone().args(["uninstall", "--yes", "vmmload"]));
        succeed(&pip.arg("install").arg(sources()));
        std::fs::write(installed, wanted).expect("the environment is the harness's own");
    }

    /// The environment's Python.
    #[must_use]
    pub fn interpreter(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// A program of the environment, such as `python`.
    #[must_use]
    pub fn program(&self, name: &str) -> Program {
        Program::new(self.directory.join("bin").join(name))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("CARGO_TARGET_DIR", scratch::target())
            .limit(Duration::from_secs(120))
    }

    /// pip, which may take long.
    #[must_use]
    pub fn pip(&self) -> Program {
        self.program("python")
            .args(["-m", "pip", "--disable-pip-version-check", "--quiet"])
            .limit(LONGEST_INSTALLATION)
    }

    /// Python, with what the scripts in `tests/python` ask the environment for.
    #[must_use]
    pub fn python(&self) -> Program {
        let workspace = scratch::workspace();
        self.program("python")
            .directory(workspace.join("tests/python"))
            .env("VMMLOAD_BIN", vmmload())
            .env("VMMLOAD_TOUCH", Guest::new("tracking/touch").path())
            .env("VMMLOAD_CC", packages::c_compiler())
            .env(
                "VMMLOAD_HEADER",
                workspace.join("consumer-sdk/c/include/vmmload.h"),
            )
            .env("VMMLOAD_EXAMPLES", examples())
            // What programs that make marks import.
            .env("PYTHONPATH", guest_library::package().join("python"))
    }

    /// Runs the tests in `tests/python/test_NAME.py`, which watch programs inside.
    ///
    /// # Panics
    /// When one fails; the message has what unittest says.
    #[track_caller]
    pub fn run_tests(&self, name: &str) {
        self.run_tests_with(name, &[]);
    }

    /// The same with more in the environment.
    ///
    /// # Panics
    /// When one fails; the message has what unittest says.
    #[track_caller]
    pub fn run_tests_with(&self, name: &str, environment: &[(&str, &Path)]) {
        if !machine::can_run_inside() {
            return;
        }
        let module = format!("test_{name}");
        let python = environment
            .iter()
            .fold(self.python(), |python, (name, value)| {
                python.env(*name, *value)
            });
        let outcome = python
            .args(["-X", "faulthandler", "-m", "unittest", "--verbose", &module])
            .native();
        outcome.assert_success(&format!("python -m unittest {module}"));
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(said.contains("... ok"), "no test ran: {said}");
    }

    /// Where the package is installed.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn installed(&self) -> PathBuf {
        let place = "import vmmload, os; print(os.path.dirname(vmmload.__file__))";
        let outcome = self.program("python").args(["-c", place]).native();
        outcome.assert_success("import vmmload");
        PathBuf::from(outcome.text().trim())
    }
}

/// The package's sources.
#[must_use]
pub fn sources() -> PathBuf {
    scratch::workspace().join("consumer-sdk/python")
}

/// The package's examples.
#[must_use]
pub fn examples() -> PathBuf {
    sources().join("examples")
}

/// Everything below a directory, ordered by name.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap_or_else(|cause| panic!("{}: {cause}", directory.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the directory can be listed").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Changes when an installed package would be another one.
fn content() -> u64 {
    let mut parts = files(&sources());
    parts.push(consumer_library().to_path_buf());
    let read = |path: &PathBuf| {
        std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
    };
    let contents: Vec<Vec<u8>> = parts.iter().map(read).collect();
    hash_of(&(&parts, contents))
}

fn hash_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A Python of this version: the system's, or one of pyenv's.
fn oldest(version: &str) -> Option<PathBuf> {
    let name = format!("python{version}");
    let home = std::env::var_os("HOME").unwrap_or_default();
    let versions = Path::new(&home).join(".pyenv/versions");
    let pyenv = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let mut candidates: Vec<PathBuf> = pyenv
        .map(|version| version.path().join("bin").join(&name))
        .collect();
    candidates.push(Path::new("/usr/bin").join(&name));
    candidates.into_iter().find(|python| python.exists())
}

/// Held while the environment is made or changed: tests run in several processes.
fn lock(path: &Path) -> File {
    let file = File::create(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    file.lock()
        .unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    file
}

#[track_caller]
fn succeed(program: &Program) {
    program.native().assert_success(&program.shown());
}
