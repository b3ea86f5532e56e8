//! Runs one command to its end, natively or inside vmmload, with a clock beside it.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::row::Tracking;
use super::workload;

/// No single run takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// The two programs every run starts from.
pub(crate) struct Runner {
    /// The vmmload under test.
    pub(crate) vmmload: PathBuf,
    /// This binary, which is its own workload.
    this: PathBuf,
}

/// A command that came to a good end.
pub(crate) struct Finished {
    pub(crate) wall: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Runner {
    /// Finds, or builds, the binary under test.
    pub(crate) fn new() -> Result<Self, String> {
        let this = env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let vmmload = match env::var_os("VMMLOAD_BIN") {
            Some(path) => PathBuf::from(path),
            None => build_vmmload()?,
        };
        match vmmload.is_file() {
            true => Ok(Self { vmmload, this }),
            false => Err(format!(
                "{} is no file; correct VMMLOAD_BIN",
                vmmload.display()
            )),
        }
    }

    /// The command line of one of our own workloads.
    pub(crate) fn workload(&self, name: &str, arguments: &[u64]) -> Vec<String> {
        let mut line = vec![
            self.this.display().to_string(),
            workload::FLAG.into(),
            name.into(),
        ];
        line.extend(arguments.iter().map(u64::to_string));
        line
    }

    /// The same command, wrapped.
    pub(crate) fn inside(&self, tracking: Tracking, command: &[String]) -> Vec<String> {
        let mut line = vec![self.vmmload.display().to_string(), "run".into()];
        line.extend(tracking.arguments());
        line.push("--".into());
        line.extend_from_slice(command);
        line
    }
}

/// Runs a command line to its end; anything but status 0 in time is an error with its last words.
pub(crate) fn run(line: &[String]) -> Result<Finished, String> {
    run_with(line, &[])
}

/// The same with these environment variables set.
pub(crate) fn run_with(line: &[String], variables: &[(&str, &str)]) -> Result<Finished, String> {
    let (program, arguments) = line.split_first().ok_or("an empty command line")?;
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {program}: {e}"))?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    // The end of its output is the end of the program, as no workload leaves children behind.
    let Ok(stdout) = stdout.recv_timeout(LIMIT) else {
        give_up(&mut child);
        return Err(format!("still running after {} s, killed", LIMIT.as_secs()));
    };
    let status = child
        .wait()
        .map_err(|e| format!("cannot wait for {program}: {e}"))?;
    let wall = started.elapsed();
    let stderr = stderr
        .recv_timeout(Duration::from_secs(1))
        .unwrap_or_default();
    if status.success() {
        return Ok(Finished {
            wall,
            stdout,
            stderr,
        });
    }
    Err(format!(
        "{status}: {}",
        stderr.lines().last().unwrap_or("it said nothing")
    ))
}

/// Reads a stream to its end on a thread of its own, as a full pipe would block the program.
fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What could be read before an error still says something.
            let _ = stream.read_to_end(&mut bytes);
        }
        // The receiver has gone when the program was given up.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn give_up(child: &mut Child) {
    // Both fail only for a child that has ended by itself meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

/// Builds the workspace's vmmload in release mode and returns where cargo put it.
fn build_vmmload() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "-p",
            "vmmload",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start cargo: {e}; set VMMLOAD_BIN to a built vmmload"))?;
    if !output.status.success() {
        return Err("vmmload does not build; see cargo's messages above".into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "vmmload")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo names no vmmload executable; set VMMLOAD_BIN to one".into())
}
