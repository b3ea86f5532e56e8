//! Files that are there as a whole or not at all.

use crate::failure::Failure;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const REMEDY: &str = "Check that its directory is there, may be written to and has room";

/// Writes a file through a temporary one beside it, so that whatever fails leaves nothing half done and an older file
/// as it was. What is no file, such as a pipe or `/dev/stdout`, is written to as it is.
///
/// # Errors
/// What could not be written, and why.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let failed = |cause| Failure::of_file("write", path, cause, REMEDY);
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(there) if !there.is_file() => fs::write(path, content).map_err(failed),
        // A link goes on leading where it leads.
        Ok(_) => replace(&fs::canonicalize(path).map_err(failed)?, content).map_err(failed),
        Err(_) => replace(path, content).map_err(failed),
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path)?;
    let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What has failed is told; that this might fail as well adds nothing.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name in the same directory, of this process only.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    // Short whatever the file is called: names have at most 255 bytes.
    let begin: String = name.to_string_lossy().chars().take(40).collect();
    let temporary = OsString::from(format!(".{begin}.{}.tmp", std::process::id()));
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("vmmload-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory can be written to");
        path
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).expect("it is there");
        entries.flatten().map(|entry| entry.file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_stays() {
        let directory = directory("replaced");
        let path = directory.join("report.html");
        for content in ["first", "second"] {
            write(&path, content.as_bytes()).expect("it can be written");
            assert_eq!(fs::read(&path).expect("it is there"), content.as_bytes());
        }
        assert_eq!(names(&directory), ["report.html"]);
        fs::remove_dir_all(directory).expect("it is ours");
    }

    #[test]
    fn a_link_is_followed_and_what_is_no_file_is_written_to() {
        let directory = directory("followed");
        let (link, target) = (directory.join("link"), directory.join("target"));
        fs::write(&target, "old").expect("it can be written");
        std::os::unix::fs::symlink(&target, &link).expect("links can be made");
        write(&link, b"new").expect("it can be written");
        assert_eq!(fs::read(&target).expect("it is there"), b"new");
        write(Path::new("/dev/null"), b"nowhere").expect("it takes everything");
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
        fs::remove_dir_all(directory).expect("it is ours");
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let directory = directory("failing");
        for path in [directory.clone(), directory.join("none/report.html")] {
            let failure = write(&path, b"content").expect_err("it cannot be written");
            let text = failure.to_string();
            assert!(text.contains(&path.display().to_string()), "{text}");
            assert!(text.contains("has room"), "{text}");
        }
        assert!(names(&directory).is_empty());
        fs::remove_dir_all(directory).expect("it is ours");
    }
}
