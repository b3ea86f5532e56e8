//! The C library for readers: its compilers, and how it is installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scratch::{Scratch, workspace};
use crate::{consumer_library, packages};

/// A compiler, the language, and the standard that the examples and tests are written in.
#[derive(Debug)]
pub struct Compiler {
    program: &'static str,
    packages: &'static str,
    /// `c` or `c++`.
    pub language: &'static str,
    standard: &'static str,
}

const C_PACKAGES: &str = "gcc libc6-dev clang";
const CPP_PACKAGES: &str = "g++ clang";

/// GCC and Clang, for C, then for C++.
pub const COMPILERS: [Compiler; 4] = [
    Compiler::new("/usr/bin/gcc", C_PACKAGES, "c", "gnu11"),
    Compiler::new("/usr/bin/clang", C_PACKAGES, "c", "gnu11"),
    Compiler::new("/usr/bin/g++", CPP_PACKAGES, "c++", "gnu++11"),
    Compiler::new("/usr/bin/clang++", CPP_PACKAGES, "c++", "gnu++11"),
];

impl Compiler {
    const fn new(
        program: &'static str,
        packages: &'static str,
        language: &'static str,
        standard: &'static str,
    ) -> Self {
        Self {
            program,
            packages,
            language,
            standard,
        }
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.program.rsplit('/').next().unwrap_or(self.program)
    }

    /// The compiler, for which every warning is an error.
    ///
    /// # Panics
    /// When it cannot be installed.
    #[must_use]
    pub fn command(&self, standard: &str) -> Command {
        let mut command = Command::new(packages::program(self.program, self.packages));
        command
            .arg(format!("-std={standard}"))
            .args(["-Wall", "-Wextra", "-pedantic", "-Werror"])
            .args(["-x", self.language]);
        command
    }
}

/// The library's own directory.
#[must_use]
pub fn package() -> PathBuf {
    workspace().join("consumer-sdk/c")
}

/// Standard output of a command that must succeed without a message.
///
/// # Panics
/// When it does not.
#[must_use]
#[track_caller]
pub fn output_of(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .unwrap_or_else(|cause| panic!("{shown}: {cause}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}:\n{messages}");
    assert!(messages.is_empty(), "{shown}:\n{messages}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The first indented block behind a heading of the library's README.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn readme_block(heading: &str) -> String {
    let readme = package().join("README.md");
    let text = std::fs::read_to_string(&readme).expect("the README is there");
    let behind = text.lines().skip_while(|line| *line != heading);
    let indented = |line: &&str| line.starts_with("    ");
    let block: String = behind
        .skip_while(|line| !indented(line))
        .take_while(|line| indented(line) || line.is_empty())
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or_default()))
        .collect();
    assert!(!block.is_empty(), "{} has no {heading}", readme.display());
    block
}

/// The library as its README says to install it, below a directory of the test's own.
#[derive(Debug)]
pub struct Installed(Scratch);

impl Installed {
    /// Builds and installs it.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn new() -> Self {
        let installed = Self(Scratch::new());
        let build = "cargo build --release -p vmmload-consumer-c\n";
        let built = consumer_library().parent().expect("it lies in a directory");
        let commands = readme_block("## Build and install");
        assert!(commands.starts_with(build), "{commands}");
        let commands = commands
            .replace(build, "set -e\n")
            .replace(
                "PREFIX=/usr/local",
                &format!("PREFIX={}", installed.0.path().display()),
            )
            .replace("target/release", &built.display().to_string());
        let mut shell = Command::new(packages::bash());
        shell.args(["-c", &commands]).current_dir(workspace());
        assert_eq!(output_of(&mut shell), "");
        installed
    }

    /// What pkg-config says of the library.
    ///
    /// # Panics
    /// When it does not find it.
    #[must_use]
    pub fn pkg_config(&self, options: &[&str]) -> Vec<String> {
        let program = packages::program("/usr/bin/pkg-config", "pkg-config");
        let mut command = Command::new(program);
        command
            .env("PKG_CONFIG_PATH", self.0.path().join("lib/pkgconfig"))
            .args(options)
            .arg("vmmload-consumer");
        let output = output_of(&mut command);
        output.split_whitespace().map(str::to_owned).collect()
    }

    /// Compiles a source file, of the library's directory if it has no other, linked as pkg-config says.
    ///
    /// # Panics
    /// When the compiler has anything to say.
    #[must_use]
    pub fn compile(
        &self,
        compiler: &Compiler,
        source: impl AsRef<Path>,
        options: &[&str],
    ) -> PathBuf {
        let source = package().join(source);
        let stem = |path: &Path| {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let compiled_by = stem(Path::new(compiler.program));
        let name = format!("{}-{compiled_by}{}", stem(&source), options.join(""));
        let executable = self.0.path().join(name);
        let is_static = options.contains(&"-static");
        let flags: &[&str] = match is_static {
            true => &["--cflags", "--libs", "--static"],
            false => &["--cflags", "--libs"],
        };
        let mut command = compiler.command(compiler.standard);
        command
            .args(["-g", "-O1", "-pthread"])
            .args(options)
            .arg(source)
            .args(["-x", "none"])
            .args(self.pkg_config(flags))
            .arg("-o")
            .arg(&executable);
        if !is_static {
            let lib = self.0.path().join("lib");
            command.arg(format!("-Wl,-rpath,{}", lib.display()));
        }
        assert_eq!(output_of(&mut command), "");
        executable
    }
}

impl Default for Installed {
    fn default() -> Self {
        Self::new()
    }
}

/// The names of the functions that the header declares.
///
/// # Panics
/// When there is no header.
#[must_use]
pub fn declared() -> BTreeSet<String> {
    let header = package().join("include/vmmload.h");
    let header = std::fs::read_to_string(header).expect("the header is there");
    let code = header.lines().filter(|line| !line.starts_with("//"));
    let names = code.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit([' ', '*']).next()?;
        name.starts_with("vmmload_").then(|| name.to_owned())
    });
    names.collect()
}
