//! One run of one stressor, and what came of it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::catalogue;
use crate::program::{kill_session, remove_dead_segments, segments, wait};
use crate::scratch::Scratch;
use crate::{machine, needs, packages, vmmload};

/// Exit statuses of stress-ng's for what this machine or this build has not.
const NO_RESOURCE: i32 = 3;
const NOT_IMPLEMENTED: i32 = 4;

/// Rights by which a process of root's could stop or change the machine.
const DROPPED: &str = "-sys_boot,-sys_module,-sys_time,-sys_rawio";

/// Where a stressor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine as it is.
    Natively,
    /// In `vmmload run`.
    Inside,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exit status 0, and no check of stress-ng's failed.
    Passed,
    /// stress-ng finds that it cannot run here, with its reason.
    Skipped(String),
    /// Anything else, with what is known of it.
    Failed(String),
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What came of it.
    pub verdict: Verdict,
    /// What vmmload said on standard error, each line once.
    pub messages: Vec<String>,
    /// Rounds that the stressor counted, if it came to say so.
    pub rounds: Option<u64>,
}

/// How stressors are run.
#[derive(Debug)]
pub struct Runner {
    stress_ng: &'static str,
    limit: Duration,
    prefix: Vec<&'static str>,
}

impl Runner {
    /// A runner that ends each run after `limit` at the latest.
    ///
    /// # Panics
    /// When stress-ng is missing and cannot be installed.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            stress_ng: packages::program("/usr/bin/stress-ng", "stress-ng"),
            limit: machine::patience(limit),
            prefix: prefix(),
        }
    }

    /// Every stressor that there is.
    ///
    /// # Errors
    /// When stress-ng cannot be started.
    pub fn names(&self) -> Result<Vec<String>, String> {
        catalogue::names(self.stress_ng)
    }

    /// The version that stress-ng tells.
    ///
    /// # Errors
    /// When stress-ng cannot be started.
    pub fn version(&self) -> Result<String, String> {
        let output = Command::new(self.stress_ng).arg("--version").output();
        let output = output.map_err(|cause| format!("{}: {cause}", self.stress_ng))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .split(" (")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    /// Runs one stressor for a second.
    ///
    /// # Panics
    /// When the command cannot be started.
    #[must_use]
    pub fn run(&self, name: &str, place: Place) -> Run {
        if needs::listing() {
            return Run::unlisted();
        }
        let scratch = Scratch::new();
        let log = scratch.file("log", "", 0o600);
        let mut command = self.command(name, place, scratch.path());
        let file = File::create(&log).expect("the scratch directory takes files");
        let copy = file.try_clone().expect("a descriptor can be copied");
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let before = segments();
        let mut child = command
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}"));
        let ended = wait(&mut child, self.limit);
        // Stressors leave processes behind, and those that hang leave all of them.
        kill_session(child.id());
        remove_dead_segments(&before);
        let text = std::fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match ended {
            Some(status) => Run::of(name, status.code(), &text),
            None => {
                child.wait().expect("a killed child can be waited for");
                let reason = format!("did not end in {:?}", self.limit);
                Run::with(Verdict::Failed(reason), name, &text)
            }
        }
    }

    fn command(&self, name: &str, place: Place, directory: &Path) -> Command {
        let mut command = Command::new("/usr/bin/setsid");
        command.args(&self.prefix).current_dir(directory);
        if place == Place::Inside {
            command.arg(vmmload()).args(["run", "--"]);
        }
        command.arg(self.stress_ng).arg(format!("--{name}"));
        command.args(["1", "--timeout", "1", "--verify", "--metrics", "--verbose"]);
        command.arg("--temp-path").arg(directory);
        command.args(catalogue::bounds(name));
        command
    }
}

/// As root: mounts that nobody else sees, where the kernel permits it, and fewer rights.
fn prefix() -> Vec<&'static str> {
    if !machine::is_root() {
        return Vec::new();
    }
    let mounts = ["/usr/bin/unshare", "--mount"];
    let rights = ["/usr/bin/setpriv", "--bounding-set", DROPPED];
    let works = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).arg("/bin/true").status();
        status.is_ok_and(|status| status.success())
    };
    let mut prefix = Vec::new();
    if works(&mounts) {
        prefix.extend(mounts);
    }
    assert!(works(&rights), "{rights:?} does not work here");
    prefix.extend(rights);
    prefix
}

impl Run {
    fn of(name: &str, status: Option<i32>, text: &str) -> Self {
        let says = |part: &str| text.contains(part);
        let verdict = match status {
            Some(NO_RESOURCE | NOT_IMPLEMENTED) => Verdict::Skipped(reason(text)),
            _ if says("No stress workers invoked") => Verdict::Skipped(reason(text)),
            Some(0) if says("internal error") || says("cannot be wrapped") => {
                Verdict::Failed(reason(text))
            }
            Some(0) => Verdict::Passed,
            Some(code) => Verdict::Failed(format!("status {code}: {}", reason(text))),
            None => Verdict::Failed(format!("killed by a signal: {}", reason(text))),
        };
        Self::with(verdict, name, text)
    }

    fn with(verdict: Verdict, name: &str, text: &str) -> Self {
        let mut messages: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("vmmload: ")) {
            if !messages.iter().any(|known| known == line) {
                messages.push(line.to_owned());
            }
        }
        Self {
            verdict,
            messages,
            rounds: rounds(name, text),
        }
    }

    fn unlisted() -> Self {
        Self {
            verdict: Verdict::Passed,
            messages: Vec::new(),
            rounds: None,
        }
    }

    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

/// The line that tells most about a failure, without process ids.
fn reason(text: &str) -> String {
    let plain = |line: &str| match (line.find('['), line.find("] ")) {
        (Some(_), Some(end)) => line[end + 2..].trim().to_owned(),
        _ => line.trim().to_owned(),
    };
    let first = |wanted: &dyn Fn(&str) -> bool| text.lines().find(|line| wanted(line)).map(plain);
    first(&|line| line.starts_with("vmmload: "))
        .or_else(|| first(&|line| line.starts_with("stress-ng: fail")))
        .or_else(|| first(&|line| line.contains("skip") || line.contains("disabled '")))
        .or_else(|| {
            first(&|line| line.starts_with("stress-ng: error") && !line.contains("exit status"))
        })
        .or_else(|| first(&|line| line.starts_with("stress-ng: error")))
        .or_else(|| {
            text.lines()
                .rfind(|line| !line.trim().is_empty())
                .map(plain)
        })
        .unwrap_or_else(|| "no output".to_owned())
}

/// The count in the line of measures that stress-ng prints for a stressor.
fn rounds(name: &str, text: &str) -> Option<u64> {
    let measures = text
        .lines()
        .filter(|line| line.starts_with("stress-ng: metrc"));
    measures
        .filter_map(|line| {
            let mut words = line.split("] ").nth(1)?.split_whitespace();
            (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::{Run, Verdict};

    const PASSED: &str = "stress-ng: debug: [7] cpu: started\n\
                          stress-ng: metrc: [7] stressor  bogo ops real time\n\
                          stress-ng: metrc: [7] cpu   684   1.00  0.52\n";

    #[test]
    fn a_run_that_passed_has_its_rounds() {
        let run = Run::of("cpu", Some(0), PASSED);
        assert!(run.passed());
        assert_eq!(run.rounds, Some(684));
    }

    #[test]
    fn a_failure_of_vmmload_is_one_whatever_the_status() {
        let text = format!("vmmload: internal error: x\n{PASSED}vmmload: internal error: x\n");
        let run = Run::of("cpu", Some(0), &text);
        assert_eq!(
            run.verdict,
            Verdict::Failed("vmmload: internal error: x".to_owned())
        );
        assert_eq!(run.messages.len(), 1);
    }

    #[test]
    fn a_stressor_that_is_not_for_this_machine_is_skipped() {
        let text = "stress-ng: info:  [9] rseq stressor will be skipped, no rseq\n\
                    stress-ng: error: [9] No stress workers invoked\n";
        let why = "rseq stressor will be skipped, no rseq".to_owned();
        assert_eq!(
            Run::of("rseq", Some(1), text).verdict,
            Verdict::Skipped(why)
        );
        assert!(matches!(
            Run::of("x", Some(2), "").verdict,
            Verdict::Failed(_)
        ));
    }
}
