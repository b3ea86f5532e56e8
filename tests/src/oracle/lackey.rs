//! valgrind's lackey: the address of every load, store and instruction of a program.
//!
//! The trace is reduced to sets of pages while it comes; it is never kept. A rig has no valgrind and no time
//! for it: there, what was traced when the rig was equipped is read back.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Place, Regions};
use crate::program::{kill_group, wait};
use crate::watched::PAGE;
use crate::{Program, machine, needs, packages, scratch};

/// The longest trace takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// The pages that a program touched, by what its instructions did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Stored to.
    pub written: BTreeSet<Place>,
    /// Loaded from, or executed.
    pub read: BTreeSet<Place>,
}

/// The page numbers in a trace.
#[derive(Debug, Default)]
struct Pages {
    written: BTreeSet<u64>,
    read: BTreeSet<u64>,
    /// valgrind's own lines.
    messages: String,
}

impl Pages {
    /// Reads a trace to its end.
    fn of(trace: impl Read) -> Self {
        let mut pages = Self::default();
        let mut trace = BufReader::new(trace);
        let mut line = Vec::new();
        // Broken off, the trace of a program that was killed is all there is.
        while trace.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            pages.note(&line);
            line.clear();
        }
        pages
    }

    /// Notes one line: `I  ADDR,SIZE`, ` L ADDR,SIZE`, ` S ADDR,SIZE` or ` M ADDR,SIZE`.
    fn note(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let Some((kind, range)) = access(&text) else {
            self.messages += &text;
            return;
        };
        if "SM".contains(kind) {
            self.written.extend(range.clone());
        }
        if kind != 'S' {
            self.read.extend(range);
        }
    }
}

/// The kind and the pages of an access; `None` for a line that is none.
fn access(line: &str) -> Option<(char, std::ops::RangeInclusive<u64>)> {
    let (kind, operand) = line.split_at_checked(3)?;
    let kind = match kind {
        "I  " => 'I',
        " L " => 'L',
        " S " => 'S',
        " M " => 'M',
        _ => return None,
    };
    let (address, size) = operand.trim_end().split_once(',')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let size: u64 = size.parse().ok()?;
    Some((kind, address / PAGE..=(address + size - 1) / PAGE))
}

/// The pages that a program touches natively.
///
/// # Panics
/// When valgrind cannot be installed, or the program fails under it.
#[must_use]
#[track_caller]
pub fn trace(program: &Program) -> Traced {
    let file = file_of(program);
    if machine::rig().is_some() {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        return serde_json::from_str(&text)
            .unwrap_or_else(|cause| panic!("{} was not packed: {cause}", file.display()));
    }
    let traced = run(program);
    let text = serde_json::to_string(&traced).expect("names and numbers make JSON");
    // Tests that trace the same program at once write the same.
    std::fs::write(&file, text).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    needs::note(&file);
    traced
}

/// Where the trace of a program is kept for a rig: by its path, which tells its source, and arguments.
fn file_of(program: &Program) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    program.shown().hash(&mut hasher);
    scratch::cache("oracle").join(format!("{:016x}", hasher.finish()))
}

fn run(program: &Program) -> Traced {
    let valgrind = packages::program("/usr/bin/valgrind", "valgrind");
    let words = [
        valgrind,
        "--tool=lackey",
        "--trace-mem=yes",
        "--basic-counts=no",
    ];
    let mut command = program.clone().within(words).native_command();
    let (regions, pages) = finish(&mut command);
    Traced {
        written: regions.places(&pages.written),
        read: regions.places(&pages.read),
    }
}

/// Runs to the end, with the byte that the guest waits for given beforehand.
fn finish(command: &mut Command) -> (Regions, Pages) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}"));
    let mut stdin = child.stdin.take().expect("piped above");
    // A guest that fails before it reads is found by its status.
    let _ = stdin.write_all(b"g");
    let trace = child.stderr.take().expect("piped above");
    let output = child.stdout.take().expect("piped above");
    let pages = std::thread::spawn(move || Pages::of(trace));
    let output = std::thread::spawn(move || std::io::read_to_string(output).unwrap_or_default());
    let status = wait(&mut child, LIMIT);
    if status.is_none() {
        kill_group(child.id());
        let _ = child.wait();
    }
    let pages = pages.join().expect("reading a trace does not panic");
    let output = output.join().expect("reading a pipe does not panic");
    assert!(
        status.is_some_and(|status| status.success()),
        "{command:?}: {status:?}\n{output}\n{}",
        pages.messages
    );
    let mut regions = Regions::default();
    let complete = output.lines().any(|line| !regions.note(line));
    assert!(complete, "{command:?} was never ready:\n{output}");
    (regions, pages)
}

#[cfg(test)]
mod tests {
    use super::Pages;

    #[test]
    fn a_trace_becomes_pages() {
        let trace =
            "==1== Lackey\nI  00401ffe,4\n L 2000000fff,1\n S 3000000ffc,8\n M 4000000000,8\n";
        let pages = Pages::of(trace.as_bytes());
        assert_eq!(pages.written, [0x300_0000, 0x300_0001, 0x400_0000].into());
        assert_eq!(pages.read, [0x401, 0x402, 0x200_0000, 0x400_0000].into());
        assert_eq!(pages.messages, "==1== Lackey\n");
    }
}
