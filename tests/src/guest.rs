//! Compiles the C programs under `guests/`, each of which checks one behaviour of its own machine.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Program, machine, needs, packages, scratch};

/// How a guest is linked: each kind reaches the launcher's loader on another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Position-independent, with the system's dynamic loader: what Debian's programs are.
    Dynamic,
    /// Dynamic, but at the fixed address 0x400000.
    NoPie,
    /// Without any shared library, at the fixed address 0x400000.
    Static,
    /// Without any shared library, at any address.
    StaticPie,
    /// Without the C library: the program starts at its own `_start`.
    Bare,
}

impl Link {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Dynamic => &["-pie", "-fPIE"],
            Self::NoPie => &["-no-pie", "-fno-pie"],
            Self::Static => &["-static", "-no-pie", "-fno-pie"],
            Self::StaticPie => &["-static-pie", "-fPIE"],
            Self::Bare => &[
                "-static",
                "-nostdlib",
                "-no-pie",
                "-fno-pie",
                "-fno-stack-protector",
            ],
        }
    }
}

/// One C program under `guests/`.
#[derive(Debug, Clone)]
pub struct Guest {
    name: String,
    link: Link,
}

impl Guest {
    /// The guest in `guests/NAME.c`, linked like Debian's programs.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            link: Link::Dynamic,
        }
    }

    /// The same guest linked in another way.
    #[must_use]
    pub fn linked(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Compiles the guest where needed and makes a program of it.
    #[must_use]
    pub fn program(&self) -> Program {
        Program::new(self.path())
    }

    /// Compiles the guest unless the same sources were compiled before, and gives the executable.
    ///
    /// # Panics
    /// When the compiler fails; the message has its output.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
        let source = sources.join(format!("{}.c", self.name));
        let executable =
            scratch::cache("guests").join(self.file_name(&source, &headers_for(&source, &sources)));
        if !executable.exists() {
            machine::assert_can_install(&executable.display());
            self.compile(&source, &executable);
        }
        needs::note(&executable);
        executable
    }

    /// `NAME-HASH`, so that a changed source or another way to link never meets an old executable.
    fn file_name(&self, source: &Path, headers: &[PathBuf]) -> String {
        let read = |path: &Path| {
            std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
        };
        let mut hasher = DefaultHasher::new();
        (read(source), self.link).hash(&mut hasher);
        headers
            .iter()
            .for_each(|header| read(header).hash(&mut hasher));
        format!("{}-{:016x}", self.name.replace('/', "-"), hasher.finish())
    }

    /// Compiles to a name of its own and renames: tests in parallel see a whole executable or none.
    fn compile(&self, source: &Path, executable: &Path) {
        let thread = format!("{:?}", std::thread::current().id());
        let unfinished = executable.with_extension(format!("{}-{thread}", std::process::id()));
        let output = Command::new(packages::c_compiler())
            .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-pthread"])
            .args(self.link.flags())
            .arg("-I")
            .arg(
                source
                    .parent()
                    .and_then(Path::parent)
                    .expect("guests lie in a directory by theme"),
            )
            .arg(source)
            .arg("-o")
            .arg(&unfinished)
            .arg("-lm")
            .output()
            .expect("the C compiler can be started");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "cannot compile {}:\n{messages}",
            source.display()
        );
        assert!(
            messages.is_empty(),
            "compiling {} warns:\n{messages}",
            source.display()
        );
        std::fs::rename(&unfinished, executable).expect("both names lie in one directory");
    }
}

/// The headers that a guest may include: that of all guests, and those of its own directory.
fn headers_for(source: &Path, sources: &Path) -> Vec<PathBuf> {
    let directory = source.parent().expect("guests lie in a directory by theme");
    let files = std::fs::read_dir(directory)
        .unwrap_or_else(|cause| panic!("{}: {cause}", directory.display()));
    let mut headers: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    headers.retain(|path| path.extension().is_some_and(|extension| extension == "h"));
    headers.push(sources.join("check.h"));
    headers.sort();
    headers
}
