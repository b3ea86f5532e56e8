//! vmmload's own memory: what its process has resident beyond the same program run natively.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::machine::{field, number};
use super::options::Options;
use super::row::{EVERY_100_MS, Row, Unit};
use super::runner::Runner;

const GROUP: &str = "overhead";

/// The limit is this much, and a share of what the program touches.
const FIXED_MIB: f64 = 16.0;
const SHARE_OF_TOUCHED: f64 = 0.005;

/// First touches inside may be slow.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One row per size, so that the fixed part and the part that grows can be told apart.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let sizes: &[u64] = if options.quick { &[16] } else { &[16, 128] };
    for &mib in sizes {
        let name = format!("memory of a program that touches {mib} MiB");
        if options.wants_row(GROUP, &name) {
            add(measure_size(name, mib, runner, options));
        }
    }
}

fn measure_size(name: String, mib: u64, runner: &Runner, options: &Options) -> Row {
    let mut row = Row::new(GROUP, name, Unit::Mebibytes);
    row.tracking = Some(EVERY_100_MS);
    row.target_at_most = Some(FIXED_MIB + SHARE_OF_TOUCHED * mib as f64);
    row.note =
        Some("resident and shared memory; what KVM takes in the kernel cannot be seen".into());
    let command = runner.workload("hold", &[mib]);
    let wrapped = runner.inside(EVERY_100_MS, &command);
    // Memory hardly varies: two pairs show that it does not.
    for _ in 0..options.rounds(1).min(2) {
        match resident_mib(&command).and_then(|native| Ok((native, resident_mib(&wrapped)?))) {
            Ok((native, inside)) => {
                row.native.push(native);
                row.inside.push(inside);
            }
            Err(error) => {
                row.error = Some(error);
                break;
            }
        }
    }
    row
}

/// Starts the program, waits until it has touched its memory, and adds up its processes.
fn resident_mib(line: &[String]) -> Result<f64, String> {
    let (program, arguments) = line.split_first().ok_or("an empty command line")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot start {program}: {e}"))?;
    let figure = wait_ready(&mut child).map(|()| tree_kib(child.id()) as f64 / 1024.0);
    // The end of its input is the workload's sign to end; after a failure it must be made to.
    drop(child.stdin.take());
    if figure.is_err() {
        // Fails only for a child that has ended by itself.
        let _ = child.kill();
    }
    child
        .wait()
        .map_err(|e| format!("cannot wait for {program}: {e}"))?;
    figure
}

fn wait_ready(child: &mut Child) -> Result<(), String> {
    let stdout = child.stdout.take().ok_or("no pipe from the program")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        // An error leaves the line empty, which is not "ready".
        let _ = lines.read_line(&mut line);
        let _ = sender.send(line);
        // Read on to the end, or the program's last line would meet a closed pipe.
        let _ = std::io::copy(&mut lines, &mut std::io::sink());
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(line) if line.trim() == "ready" => Ok(()),
        Ok(_) => Err("it ended before it was ready".into()),
        Err(_) => Err(format!("not ready after {} s", READY_WITHIN.as_secs())),
    }
}

/// KiB of a process and all its descendants.
fn tree_kib(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let below: u64 = children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(tree_kib)
        .sum();
    process_kib(pid) + below
}

/// Private and file pages, and its shared memory in full: a page of a segment that only the file
/// system holds is vmmload's memory as well.
fn process_kib(pid: u32) -> u64 {
    let status = format!("/proc/{pid}/status");
    let kib = |name| {
        field(&status, name)
            .and_then(|line| number(&line))
            .unwrap_or(0)
    };
    kib("RssAnon") + kib("RssFile") + kib("RssShmem").max(segments_kib(pid))
}

/// Blocks of all files under /dev/shm that the process maps.
fn segments_kib(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let paths: BTreeSet<&str> = maps
        .lines()
        .filter_map(|line| line.find("/dev/shm/").map(|at| &line[at..]))
        .collect();
    // 512-byte blocks.
    paths
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|file| file.blocks() / 2)
        .sum()
}
