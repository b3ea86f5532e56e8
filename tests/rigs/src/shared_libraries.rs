//! Which shared libraries programs need.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{RigError, doing};

/// The libraries and the loader of all these programs, as the host's loader finds them.
///
/// # Errors
/// When ldd cannot be started.
pub(crate) fn of<'a>(
    programs: impl Iterator<Item = &'a Path>,
) -> Result<BTreeSet<PathBuf>, RigError> {
    // Its status tells that some of them are static, which is no error here.
    let output = Command::new("ldd")
        .args(programs)
        .output()
        .map_err(doing("ldd"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split_whitespace();
    // A file's own line ends with a colon; a library's is `NAME => PATH (ADDRESS)`.
    let paths = words.filter(|word| word.starts_with('/') && !word.ends_with(':'));
    Ok(paths.map(PathBuf::from).collect())
}

/// Whether the file begins as an ELF file does.
pub(crate) fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}
