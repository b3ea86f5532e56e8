//! A command that can run natively or inside vmmload, with everything else equal.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::diff::difference;
use crate::doing::doing;
use crate::outcome::tail;
use crate::scratch::Scratch;
use crate::{Guest, Link, Outcome, machine, needs, vmmload};

/// A command line with its surroundings.
#[derive(Debug, Clone)]
pub struct Program {
    argv: Vec<OsString>,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    stdin: Input,
    limit: Duration,
    options: Vec<OsString>,
    arrangements: Vec<OsString>,
    surroundings: Vec<OsString>,
}

#[derive(Debug, Clone)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Program {
    /// A command without arguments and with empty standard input, that may take a minute.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            argv: vec![program.into()],
            directory: None,
            variables: Vec::new(),
            stdin: Input::Nothing,
            limit: Duration::from_secs(60),
            options: Vec::new(),
            arrangements: Vec::new(),
            surroundings: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Sets the current directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Gives these bytes on standard input, through a pipe.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Opens a file as standard input.
    #[must_use]
    pub fn input_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Input::File(path.into());
        self
    }

    /// How long one run may take before it is killed and the test fails.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Adds an option of `vmmload run`; without meaning for the native run.
    #[must_use]
    pub fn option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Starts the command through the guest `environment/arrange`, which prepares process state that
    /// Rust's `Command` cannot express: `ignore=2`, `block=10`, `fd=7`, `close=0`, `umask=027`,
    /// `env=A=1` ...
    #[must_use]
    pub fn arranged(mut self, item: impl Into<OsString>) -> Self {
        self.arrangements.push(item.into());
        self
    }

    /// Runs the command, or vmmload with the command, by these words: another program that prepares what
    /// both are to meet, such as unshare(1).
    #[must_use]
    pub fn within<A: Into<OsString>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.surroundings.extend(words.into_iter().map(Into::into));
        self
    }

    /// The command to run natively.
    #[must_use]
    pub fn native_command(&self) -> Command {
        self.command(&[])
    }

    /// The command to run inside.
    #[must_use]
    pub fn inside_command(&self) -> Command {
        let mut wrapper: Vec<OsString> = vec![vmmload().into(), "run".into()];
        wrapper.extend(self.options.iter().cloned());
        wrapper.push("--".into());
        self.command(&wrapper)
    }

    fn command(&self, wrapper: &[OsString]) -> Command {
        let mut words: Vec<OsString> = self.surroundings.clone();
        if !self.arrangements.is_empty() {
            words.push(
                Guest::new("environment/arrange")
                    .linked(Link::Static)
                    .path()
                    .into(),
            );
            words.extend(self.arrangements.iter().cloned());
            words.push("--".into());
        }
        words.extend(wrapper.iter().cloned());
        words.extend(self.argv.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // A group of its own: a command that hangs is killed with everything it started.
        command.process_group(0);
        command
    }

    /// Runs natively.
    ///
    /// # Panics
    /// When the command cannot be started or takes too long.
    #[must_use]
    #[track_caller]
    pub fn native(&self) -> Outcome {
        self.execute(self.native_command())
    }

    /// Runs inside vmmload.
    ///
    /// # Panics
    /// When the command cannot be started or takes too long.
    #[must_use]
    #[track_caller]
    pub fn inside(&self) -> Outcome {
        self.execute(self.inside_command())
    }

    /// Runs natively and inside; output, messages and status must be equal. Gives the native outcome.
    ///
    /// # Panics
    /// When they differ, and when either takes too long.
    #[track_caller]
    pub fn compare(&self) -> Outcome {
        self.compare_through(|bytes| bytes.to_vec())
    }

    /// Like [`Program::compare`], and the program must succeed.
    ///
    /// # Panics
    /// When it fails natively, and like [`Program::compare`].
    #[track_caller]
    pub fn compare_success(&self) -> Outcome {
        let outcome = self.compare();
        outcome.assert_success(&format!("{} natively", self.shown()));
        outcome
    }

    /// Like [`Program::compare`], of what `essence` leaves of each output: for output that holds times.
    ///
    /// # Panics
    /// Like [`Program::compare`].
    #[track_caller]
    pub fn compare_through(&self, essence: impl Fn(&[u8]) -> Vec<u8>) -> Outcome {
        let native = self.native();
        if !machine::can_run_inside() {
            return native;
        }
        self.assert_same(&native, &self.inside(), essence);
        native
    }

    /// Like [`Program::compare_success`], but each run has an empty directory of its own, which `prepare`
    /// may fill: for programs that leave files. The program must not say where it ran.
    ///
    /// # Panics
    /// Like [`Program::compare_success`].
    #[track_caller]
    pub fn compare_in_fresh_directories(&self, prepare: impl Fn(&Scratch)) -> Outcome {
        let run = |execute: fn(&Self) -> Outcome| {
            let scratch = Scratch::new();
            prepare(&scratch);
            execute(&self.clone().directory(scratch.path()))
        };
        let native = run(Self::native);
        native.assert_success(&format!("{} natively", self.shown()));
        if machine::can_run_inside() {
            self.assert_same(&native, &run(Self::inside), |bytes| bytes.to_vec());
        }
        native
    }

    #[track_caller]
    fn assert_same(&self, native: &Outcome, inside: &Outcome, essence: impl Fn(&[u8]) -> Vec<u8>) {
        let differences = [
            difference("stdout", &essence(&native.stdout), &essence(&inside.stdout)),
            difference("stderr", &essence(&native.stderr), &essence(&inside.stderr)),
            (native.status != inside.status).then(|| {
                format!(
                    "status differs: native {}, inside {}\n",
                    native.status, inside.status
                )
            }),
        ];
        let text: String = differences.into_iter().flatten().collect();
        assert!(
            text.is_empty(),
            "{} is not the same inside\n{text}",
            self.shown()
        );
    }

    /// The command line that runs it natively from anywhere: with env(1), which sets its variables.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        let variables = self.variables.iter();
        let variables = variables.map(|(name, value)| format!("{}={}", text(name), text(value)));
        std::iter::once("/usr/bin/env".to_owned())
            .chain(variables)
            .chain(self.argv.iter().map(text))
            .collect()
    }

    /// The command line, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let words = self.arrangements.iter().chain(&self.argv);
        words
            .map(|word| shell_word(word))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[track_caller]
    fn execute(&self, mut command: Command) -> Outcome {
        if needs::listing() {
            return needs::nothing_done();
        }
        let limit = machine::patience(self.limit);
        command
            .stdin(self.stdin_handle())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        machine::have_default_signals();
        let start = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}"));
        self.feed(&mut child);
        let stdout = collect(child.stdout.take().expect("piped above"));
        let stderr = collect(child.stderr.take().expect("piped above"));
        let ended = wait(&mut child, limit);
        let doing = ended.is_none().then(|| doing(child.id()));
        if ended.is_none() {
            kill_group(child.id());
        }
        let status =
            ended.unwrap_or_else(|| child.wait().expect("a killed child can be waited for"));
        let stdout = stdout.join().expect("reading a pipe does not panic");
        let stderr = stderr.join().expect("reading a pipe does not panic");
        if let Some(doing) = doing {
            let (out, err) = (tail(&stdout), tail(&stderr));
            panic!("{command:?} did not end in {limit:?}:\n{doing}\nstdout: {out}\nstderr: {err}");
        }
        remove_segment_of_killed(child.id(), status);
        Outcome {
            stdout,
            stderr,
            status,
            elapsed: start.elapsed(),
        }
    }

    fn stdin_handle(&self) -> Stdio {
        match &self.stdin {
            Input::Nothing => Stdio::null(),
            Input::Bytes(_) => Stdio::piped(),
            Input::File(path) => std::fs::File::open(path)
                .unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
                .into(),
        }
    }

    /// Writes the input from a thread of its own: a command may write before it has read everything.
    fn feed(&self, child: &mut Child) {
        if let Input::Bytes(bytes) = &self.stdin {
            let (bytes, mut pipe) = (bytes.clone(), child.stdin.take().expect("piped above"));
            // A command that ends without reading everything is the command's own affair.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
    }
}

fn shell_word(word: &OsStr) -> String {
    let text = word.as_encoded_bytes().escape_ascii().to_string();
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-=+:,".contains(&byte));
    if plain { text } else { format!("'{text}'") }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still what the command wrote.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits until the child ends; `None` when it has not after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait().expect("an own child can be waited for") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Kills a child started by this harness, with everything in its group.
pub(crate) fn kill_group(pid: u32) {
    let group = libc::pid_t::try_from(pid).expect("a pid fits pid_t");
    // SAFETY: kill touches no memory; the group was created by this harness for this child alone, and
    // the child is not yet waited for, so its number cannot have been given away.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

/// Kills every process of the session whose leader this harness started, and removes the segments of those
/// that were killed.
pub(crate) fn kill_session(leader: u32) {
    let members = || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|process| {
            let pid: libc::pid_t = process.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
            let mut fields = stat.rsplit(") ").next()?.split(' ');
            let (state, session) = (fields.next()?, fields.nth(2)?);
            (state != "Z" && session.parse() == Ok(leader)).then_some(pid)
        })
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let killed: Vec<libc::pid_t> = members().collect();
        for pid in &killed {
            // SAFETY: kill touches no memory; the process was in the session of this harness's child a
            // moment ago, and numbers are not given away again that soon.
            unsafe { libc::kill(*pid, libc::SIGKILL) };
        }
        // A segment of a process that is still dying is met again in the next round.
        for pid in &killed {
            let _ = std::fs::remove_file(format!("/dev/shm/vmmload-{pid}"));
        }
        if killed.is_empty() || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The names of all segments, dead ones included.
pub(crate) fn segments() -> BTreeSet<OsString> {
    let files = std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten();
    files.map(|file| file.file_name()).collect()
}

/// Removes the segments that were not there `before` and whose process is gone: of those that a program
/// has killed itself.
pub(crate) fn remove_dead_segments(before: &BTreeSet<OsString>) {
    for name in segments().difference(before) {
        let pid = name.to_str().and_then(|name| name.strip_prefix("vmmload-"));
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_file(std::path::Path::new("/dev/shm").join(name));
        }
    }
}

/// A process that died of SIGKILL cannot remove its segment: the harness does, so that thousands of test
/// runs leave /dev/shm as it was. Segments that anything else leaves behind stay, for the tests to see.
pub(crate) fn remove_segment_of_killed(pid: u32, status: ExitStatus) {
    if status.signal() == Some(libc::SIGKILL) {
        // A native process never had one.
        let _ = std::fs::remove_file(format!("/dev/shm/vmmload-{pid}"));
    }
}
