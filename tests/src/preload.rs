//! The preload library as programs meet it: the same path once with a library that does nothing, once with ours.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::Command;

use crate::diff::difference;
use crate::scratch::{self, Scratch};
use crate::{Outcome, Program, machine, needs, packages, preload_library, vmmload};

/// A directory with a library for LD_PRELOAD, and vmmload beside it.
#[derive(Debug)]
pub struct Preload(Scratch);

impl Default for Preload {
    fn default() -> Self {
        Self::new()
    }
}

impl Preload {
    /// With a library that does nothing.
    ///
    /// # Panics
    /// When the directory cannot be filled.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new();
        std::os::unix::fs::symlink(vmmload(), scratch.path().join("vmmload"))
            .expect("the directory is new");
        let preload = Self(scratch);
        preload.put(&harmless());
        preload
    }

    /// With the real one.
    #[must_use]
    pub fn real() -> Self {
        let preload = Self::new();
        preload.put(preload_library());
        preload
    }

    fn put(&self, library: &std::path::Path) {
        let new = self.0.path().join("new");
        std::fs::copy(library, &new).expect("a library can be copied");
        std::fs::rename(new, self.library()).expect("both names lie in one directory");
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Scratch {
        &self.0
    }

    /// The path for LD_PRELOAD.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.0.path().join("libvmmload_shim.so")
    }

    /// The variable that preloads it.
    #[must_use]
    pub fn variable(&self) -> OsString {
        [OsString::from("LD_PRELOAD="), self.library().into()]
            .iter()
            .map(|part| part.as_os_str())
            .collect()
    }

    /// Where [`Preload::compare`] has the summary written, which shows that a program was wrapped.
    #[must_use]
    pub fn summary(&self) -> PathBuf {
        self.0.path().join("summary")
    }

    /// Runs the program with the harmless library and with ours; output, messages and status must be equal. Its
    /// environment is empty but for what is needed here and `env=` arrangements. Gives the native outcome.
    ///
    /// # Panics
    /// When they differ, when it was not wrapped, and when either takes too long.
    #[track_caller]
    pub fn compare(&self, program: &Program) -> Outcome {
        self.compare_started(&self.preloading(program))
    }

    /// The program, preloaded.
    #[must_use]
    pub fn preloading(&self, program: &Program) -> Program {
        let item = |text: OsString| [b"env=".to_vec(), text.into_vec()].concat();
        let mut summary = OsString::from("VMMLOAD_SUMMARY=");
        summary.push(self.summary());
        [self.variable(), summary]
            .into_iter()
            .map(item)
            .fold(program.clone(), |program, item| {
                program.arranged(OsString::from_vec(item))
            })
    }

    /// Like [`Preload::compare`], for one that starts something preloaded by itself.
    ///
    /// # Panics
    /// Like [`Preload::compare`].
    #[track_caller]
    pub fn compare_started(&self, program: &Program) -> Outcome {
        let native = self.native(program);
        if machine::can_run_inside() {
            let inside = self.preloaded(program);
            assert_same(program, &native, &inside);
            let summary = std::fs::read_to_string(self.summary());
            assert!(
                summary.is_ok_and(|summary| summary.starts_with("vmmload: summary of process")),
                "{} was not wrapped",
                program.shown()
            );
        }
        native
    }

    /// Like [`Preload::compare`], for a program that cannot be wrapped: it must run as natively after `line` on standard
    /// error.
    ///
    /// # Panics
    /// When they differ, and when it was wrapped.
    #[track_caller]
    pub fn compare_native(&self, program: &Program, line: &str) -> Outcome {
        let program = self.preloading(program);
        let native = self.native(&program);
        let mut inside = self.preloaded(&program);
        let said = inside.messages();
        let rest = said.strip_prefix(line);
        let rest = rest.unwrap_or_else(|| panic!("{} says {said:?}", program.shown()));
        inside.stderr = rest.as_bytes().to_vec();
        assert_same(&program, &native, &inside);
        assert!(!self.summary().exists(), "{} was wrapped", program.shown());
        native
    }

    /// Runs it with the library that does nothing.
    #[track_caller]
    #[must_use]
    pub fn native(&self, program: &Program) -> Outcome {
        self.put(&harmless());
        program.native()
    }

    /// Runs it with ours.
    #[track_caller]
    #[must_use]
    pub fn preloaded(&self, program: &Program) -> Outcome {
        self.put(preload_library());
        let _ = std::fs::remove_file(self.summary());
        program.native()
    }
}

#[track_caller]
fn assert_same(program: &Program, native: &Outcome, inside: &Outcome) {
    let differences = [
        difference("stdout", &native.stdout, &inside.stdout),
        difference("stderr", &native.stderr, &inside.stderr),
    ];
    let text: String = differences.into_iter().flatten().collect();
    assert!(
        text.is_empty() && native.status == inside.status,
        "{} is not the same preloaded: native {}, preloaded {}\n{text}",
        program.shown(),
        native.status,
        inside.status
    );
}

/// A library with nothing in it.
fn harmless() -> PathBuf {
    let library = scratch::cache("guests").join("libharmless.so");
    if !library.exists() {
        machine::assert_can_install(&library.display());
        compile_library("", &[], &library);
    }
    needs::note(&library);
    library
}

/// Compiles C source to a shared library.
///
/// # Panics
/// When the compiler fails; the message has its output.
pub fn compile_library(source: &str, options: &[&str], library: &std::path::Path) {
    let thread = format!("{:?}", std::thread::current().id());
    let unfinished = library.with_extension(format!("{}-{thread}", std::process::id()));
    let text = std::path::PathBuf::from(format!("{}.c", unfinished.display()));
    std::fs::write(&text, source).expect("the directory can be written to");
    let output = Command::new(packages::c_compiler())
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&unfinished)
        .arg(&text)
        .args(options)
        .output()
        .expect("the C compiler can be started");
    assert!(output.status.success(), "{output:?}");
    std::fs::rename(&unfinished, library).expect("both names lie in one directory");
    std::fs::remove_file(text).expect("it was written above");
}
