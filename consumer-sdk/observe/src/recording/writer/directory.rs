//! The directory of a recording, and its manifest.

use crate::failure::Failure;
use crate::recording::MANIFEST;
use crate::recording::guide::{self, GUIDE};
use crate::recording::manifest::Manifest;
use crate::recording::schema::Table;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Bytes of a manifest at least, with blanks at its end: so many are there to be written over when the disk is full.
const RESERVED: usize = 8192;

/// What helps where a file cannot be written.
const REMEDY: &str = "Name a directory that can be written to, on a disk with room";

/// A directory that a recording is written to.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// It was made for the recording.
    is_new: bool,
    /// What `recording.json` says, once it is saved.
    pub(crate) manifest: Manifest,
}

impl Directory {
    /// Makes the directory, or takes an empty one, and writes the manifest to it.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn create(path: &Path, manifest: Manifest) -> Result<Self, Failure> {
        let is_new = match fs::create_dir(path) {
            Ok(()) => true,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
                check_empty(path)?;
                false
            }
            Err(cause) => return Err(not_made(path, cause)),
        };
        let directory = Self {
            path: path.into(),
            is_new,
            manifest,
        };
        match directory.save().and_then(|()| directory.write_guide()) {
            Ok(()) => Ok(directory),
            Err(failure) => {
                directory.remove();
                Err(failure)
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the manifest: as a new file that replaces the old one, or, where the disk has no room for it, over the old one.
    ///
    /// # Errors
    /// Neither can be done.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = self.path.join(MANIFEST);
        let unfinished = self.path.join(".recording.unfinished");
        let text = text_of(&self.manifest);
        let replaced = fs::write(&unfinished, &text).and_then(|()| fs::rename(&unfinished, &path));
        let written = replaced.or_else(|cause| {
            let _ = fs::remove_file(&unfinished);
            match File::options().write(true).open(&path) {
                Ok(mut file) => file.write_all(&text),
                // There is none yet.
                Err(_) => Err(cause),
            }
        });
        written.map_err(|cause| Failure::of_file("write", &path, cause, REMEDY))
    }

    fn write_guide(&self) -> Result<(), Failure> {
        let path = self.path.join(GUIDE);
        fs::write(&path, guide::text())
            .map_err(|cause| Failure::of_file("write", &path, cause, REMEDY))
    }

    /// Takes away what was made, as far as nothing was recorded.
    pub(crate) fn remove(self) {
        for file in [MANIFEST, GUIDE] {
            let _ = fs::remove_file(self.path.join(file));
        }
        for table in Table::ALL {
            let _ = fs::remove_dir(self.path.join(table.name()));
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn text_of(manifest: &Manifest) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    // The last one ends the line.
    text.resize(text.len().max(RESERVED - 1), b' ');
    text.push(b'\n');
    text
}

fn check_empty(path: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(path).and_then(|mut entries| entries.next().transpose());
    match entries {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Failure::Other(format!(
            "{} is not empty, and no recording is ever written over. Name another directory, or remove this one",
            path.display()
        ))),
        Err(cause) if cause.kind() == ErrorKind::NotADirectory => Err(Failure::Other(format!(
            "{} is there, and is no directory. Name another one",
            path.display()
        ))),
        Err(cause) => Err(Failure::of_file(
            "look into",
            path,
            cause,
            "Name another directory",
        )),
    }
}

fn not_made(path: &Path, cause: io::Error) -> Failure {
    let remedy = match cause.kind() {
        ErrorKind::NotFound => "Make the directory around it first (mkdir -p), or name another one",
        ErrorKind::NotADirectory => "What should be around it is a file. Name another one",
        _ => "Name a directory where you may write",
    };
    Failure::of_file("make the directory", path, cause, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::{End, FORMAT, MachineFacts};

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT.into(),
            recording: "r".into(),
            vmmload: "0".into(),
            what: "process 1".into(),
            began: "then".into(),
            ended: None,
            end: End::Unfinished,
            reason: None,
            status: None,
            resolution: None,
            rows: 0,
            lost: 0,
            processes: 0,
            missed: 0,
            machine: MachineFacts::default(),
            recorder: None,
        }
    }

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("vmmload-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        place
    }

    #[test]
    fn a_directory_is_made_and_taken_away_again() {
        let path = place("made");
        let directory = Directory::create(&path, manifest()).unwrap();
        let text = fs::read_to_string(path.join(MANIFEST)).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest());
        assert_eq!(text.len(), RESERVED);
        directory.remove();
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_directory_is_taken_and_left_there() {
        let path = place("empty");
        fs::create_dir(&path).unwrap();
        let directory = Directory::create(&path, manifest()).unwrap();
        directory.remove();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn what_is_in_the_way_is_said_with_a_way_out() {
        let path = place("full");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        let refusal = |path: &Path| Directory::create(path, manifest()).unwrap_err().to_string();
        assert!(refusal(&path).contains("is not empty"));
        assert!(refusal(&path.join("file")).contains("is no directory"));
        assert!(refusal(&path.join("file/below")).contains("is a file"));
        assert!(refusal(&path.join("missing/below")).contains("mkdir -p"));
        fs::remove_dir_all(&path).unwrap();
    }
}
