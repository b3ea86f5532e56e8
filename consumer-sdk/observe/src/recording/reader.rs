//! Reads recordings: what there is of which process, and the rows of its tables, file by file.

use super::MANIFEST;
use super::manifest::{End, FORMAT, Manifest};
use super::rows::{Part, Rows};
use super::schema::Table;
use crate::failure::Failure;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One program of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProgramId {
    pub(crate) pid: u32,
    /// How many programs the process had executed before, while it was recorded.
    pub(crate) program: u32,
}

/// What its recorder is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// It has ended, and said so.
    Done,
    /// It is recording.
    Alive,
    /// It is gone, and did not say that it had ended.
    Gone,
}

/// A recording that can be read.
#[derive(Debug)]
pub(crate) struct Recording {
    directory: PathBuf,
    manifest: Manifest,
}

impl Recording {
    /// Opens the recording in a directory.
    ///
    /// # Errors
    /// There is none, its manifest cannot be read, or it has a format of another version.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|cause| no_manifest(directory, cause))?;
        // The format comes first: of another one nothing else may be as it is here.
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|cause| bad_manifest(&path, &cause))?;
        check_format(&path, json.get("format").and_then(|format| format.as_str()))?;
        let manifest = serde_json::from_value(json).map_err(|cause| bad_manifest(&path, &cause))?;
        let directory = directory.to_owned();
        Ok(Self {
            directory,
            manifest,
        })
    }

    /// What it is of, and how it ended.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether somebody still writes it. Known only on the machine, and in the container, where it is recorded.
    pub(crate) fn writer(&self) -> Writer {
        let Some(recorder) = self.manifest.recorder else {
            return match self.manifest.end {
                End::Unfinished => Writer::Gone,
                _ => Writer::Done,
            };
        };
        match self.manifest.end {
            End::Unfinished if start_ticks(recorder.pid) == Some(recorder.start_ticks) => {
                Writer::Alive
            }
            End::Unfinished => Writer::Gone,
            _ => Writer::Done,
        }
    }

    /// All programs of processes that any table has something of, in order.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub(crate) fn programs(&self) -> Result<Vec<ProgramId>, Failure> {
        let mut found = BTreeSet::new();
        for table in Table::ALL {
            let names = names_in(&self.directory.join(table.name()))?;
            found.extend(names.iter().filter_map(|name| program_of(name)));
        }
        Ok(found.into_iter().collect())
    }

    /// The rows of a table that are of one program. None, where there is no file of it.
    ///
    /// # Errors
    /// A directory that cannot be listed, or a file that cannot be read or is damaged.
    pub(crate) fn rows(&self, table: Table, program: ProgramId) -> Result<Rows, Failure> {
        let ProgramId { pid, program } = program;
        let directory = self
            .directory
            .join(table.name())
            .join(format!("process={pid}-{program}"));
        let mut names = names_in(&directory)?;
        // Files that are not complete yet have other names.
        names.retain(|name| name.starts_with("part-") && name.ends_with(".parquet"));
        names.sort_by_key(|name| (name.len(), name.clone()));
        let parts: Result<Vec<Part>, Failure> = names
            .iter()
            .map(|name| Part::open(directory.join(name)))
            .collect();
        Ok(Rows::of(parts?))
    }
}

/// The names in a directory; none, where there is no directory.
fn names_in(directory: &Path) -> Result<Vec<String>, Failure> {
    let failed = |cause| {
        let remedy = "Check its permissions";
        Failure::of_file("list", directory, cause, remedy)
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        // What is not UTF-8 is not ours.
        names.extend(name.into_string());
    }
    Ok(names)
}

/// What `process=PID-N` is of.
fn program_of(name: &str) -> Option<ProgramId> {
    let (pid, program) = name.strip_prefix("process=")?.split_once('-')?;
    Some(ProgramId {
        pid: pid.parse().ok()?,
        program: program.parse().ok()?,
    })
}

/// When a process that runs has started, in clock ticks since boot.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may have any characters in it.
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.split(' ').nth(19)?.parse().ok()
}

fn no_manifest(directory: &Path, cause: io::Error) -> Failure {
    let shown = directory.display();
    match cause.kind() {
        io::ErrorKind::NotFound if directory.is_dir() => Failure::Other(format!(
            "{shown} is no recording: it has no {MANIFEST}. Name a directory that `vmmload record -o` has made"
        )),
        io::ErrorKind::NotFound => Failure::Other(format!(
            "there is no directory {shown}. Name one that `vmmload record -o` has made"
        )),
        io::ErrorKind::NotADirectory => Failure::Other(format!(
            "{shown} is no directory. Name one that `vmmload record -o` has made"
        )),
        _ => Failure::of_file(
            "read",
            &directory.join(MANIFEST),
            cause,
            "Check its permissions",
        ),
    }
}

fn bad_manifest(path: &Path, cause: &serde_json::Error) -> Failure {
    let shown = path.display();
    Failure::Other(format!(
        "{shown} is damaged: {cause}. The tables beside it are Parquet files that other programs can read without it"
    ))
}

/// Whether this program reads the format: the number in front of the dot says so.
fn check_format(path: &Path, format: Option<&str>) -> Result<(), Failure> {
    let shown = path.display();
    let Some(format) = format else {
        return Err(Failure::Other(format!(
            "{shown} does not say which format it has. Name a directory that `vmmload record -o` has made"
        )));
    };
    let major = |format: &str| format.split('.').next().map(str::to_owned);
    match major(format) == major(FORMAT) {
        true => Ok(()),
        false => Err(Failure::Other(format!(
            "{shown} has the format \"{format}\", and this program reads \"{FORMAT}\". Use the vmmload that recorded it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::sample::Sample;

    fn complaint(directory: &Path) -> String {
        Recording::open(directory).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_that_is_no_recording_is_named_with_what_is_missing() {
        let sample = Sample::new();
        let elsewhere = sample.path().join("elsewhere");
        assert!(complaint(&elsewhere).starts_with("there is no directory "));
        fs::create_dir(&elsewhere).unwrap();
        assert!(complaint(&elsewhere).contains("is no recording: it has no recording.json"));
        fs::write(sample.path().join("file"), "").unwrap();
        assert!(complaint(&sample.path().join("file")).contains("is no directory"));
    }

    #[test]
    fn a_manifest_that_is_damaged_or_of_another_version_is_told_apart() {
        let sample = Sample::new();
        let path = sample.path().join(MANIFEST);
        fs::write(&path, "{\"format\": \"vmmload-rec").unwrap();
        assert!(complaint(sample.path()).contains("is damaged"));
        fs::write(&path, "{\"format\": \"vmmload-recording 2.0\"}").unwrap();
        assert!(complaint(sample.path()).contains("Use the vmmload that recorded it"));
        fs::write(&path, "{\"format\": \"vmmload-recording 1.7\"}").unwrap();
        assert!(complaint(sample.path()).contains("is damaged: missing field"));
    }

    #[test]
    fn programs_are_found_in_any_table_and_other_names_are_passed_over() {
        let sample = Sample::new();
        sample.write_manifest();
        for directory in [
            "events/process=7-1",
            "epochs/process=7-0",
            "marks/tmp",
            "events/.x",
        ] {
            fs::create_dir_all(sample.path().join(directory)).unwrap();
        }
        let recording = Recording::open(sample.path()).unwrap();
        let programs: Vec<(u32, u32)> = recording
            .programs()
            .unwrap()
            .iter()
            .map(|id| (id.pid, id.program))
            .collect();
        assert_eq!(programs, [(7, 0), (7, 1)]);
    }

    #[test]
    fn a_recorder_that_runs_is_told_from_one_that_is_gone() {
        let mut sample = Sample::new();
        let pid = std::process::id();
        let recorder = |start_ticks| super::super::manifest::Recorder { pid, start_ticks };
        sample.manifest.end = End::Unfinished;
        for (recorder, writer) in [
            (Some(recorder(start_ticks(pid).unwrap())), Writer::Alive),
            (Some(recorder(1)), Writer::Gone),
            (None, Writer::Gone),
        ] {
            sample.manifest.recorder = recorder;
            sample.write_manifest();
            let recording = Recording::open(sample.path()).unwrap();
            assert_eq!(recording.writer(), writer);
        }
    }
}
