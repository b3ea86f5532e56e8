//! Shows what a rig says, as it comes, and finds out how it ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::emulator::Emulator;
use crate::{OWN_FAILURE, TIMED_OUT};

/// The line that ends a suite; init.sh prints it.
const ENDED: &str = "RIG: ended with status ";
/// The kernel's last words.
const CRASHED: &str = "Kernel panic";

/// Prints each line, with `prefix` and the seconds since the start, until the suite has ended or `limit`
/// is over; its status.
pub(crate) fn to_the_end(mut emulator: Emulator, limit: Duration, prefix: &str) -> u8 {
    let started = Instant::now();
    let serial = std::mem::replace(&mut emulator.serial, Box::new(std::io::empty()));
    let lines = forward(serial);
    let status = follow(&lines, started, limit, prefix);
    drop(emulator);
    let seconds = started.elapsed().as_secs();
    let why = match status {
        Some(0) => "passed".to_owned(),
        Some(TIMED_OUT) => format!("stopped: the limit of {} s is over", limit.as_secs()),
        Some(status) => format!("failed with status {status}"),
        None => "ended without saying how: the machine crashed or switched off".to_owned(),
    };
    println!("{prefix}rig: {why}, after {seconds} s");
    status.unwrap_or(OWN_FAILURE)
}

fn follow(lines: &Receiver<String>, started: Instant, limit: Duration, prefix: &str) -> Option<u8> {
    loop {
        let left = limit.saturating_sub(started.elapsed());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Some(TIMED_OUT),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        println!("{prefix}{:>4} s  {line}", started.elapsed().as_secs());
        let _ = std::io::stdout().flush();
        if let Some(status) = line.strip_prefix(ENDED) {
            return status.trim().parse().ok();
        }
        if line.contains(CRASHED) {
            return None;
        }
    }
}

/// Lines from a thread of their own, so that waiting for one can have a limit.
fn forward(serial: Box<dyn Read + Send>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        let mut line = Vec::new();
        while serial
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}
