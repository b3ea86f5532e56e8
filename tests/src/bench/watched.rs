//! Rows about those who look: what `top`, `record` and `export` cost the program that they look at, how fast a recording takes
//! what a program does, how large it is, and how long its report takes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Session, observe, packages, ring};

use super::options::Options;
use super::row::{Comparison, EVERY_100_MS, Row, Unit};
use super::runner::Runner;
use super::worker;

const GROUP: &str = "watched";

/// Whoever only reads may slow the program down by this factor: by nothing, as far as one can tell.
const UNDISTURBED: f64 = 1.02;

/// No further round of a workload begins after this.
const LIMIT_MS: &str = "3000";

/// Who looks.
#[derive(Clone, Copy)]
enum Watcher {
    Top,
    Record,
    Export,
}

/// Runs every row that the options leave in.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    for (watcher, what) in [
        (Watcher::Top, "top"),
        (Watcher::Record, "record"),
        (Watcher::Export, "export, scraped twice a second"),
    ] {
        let name = format!("streaming writer under {what}");
        if options.wants_row(GROUP, &name) {
            add(disturbance(name, watcher, runner, options));
        }
    }
    for (events, words) in [(10_000_000, "10 million"), (100_000_000, "100 million")] {
        let is_wanted = options.wants_row(GROUP, &format!("{words} events"));
        if is_wanted && !(options.quick && events > 10_000_000) {
            recording(events, words).into_iter().for_each(&mut *add);
        }
    }
}

/// The same work inside, unwatched and watched.
fn disturbance(name: String, watcher: Watcher, runner: &Runner, options: &Options) -> Row {
    let mut row = Row {
        tracking: Some(EVERY_100_MS),
        comparison: Comparison::Slowdown,
        target_at_most: Some(UNDISTURBED),
        note: Some("native: nobody looks, inside; vmmload: somebody does".into()),
        ..Row::new(GROUP, name, Unit::Nanoseconds)
    };
    let guest = Guest::new("costs/workloads").path().display().to_string();
    let rounds = options.size(1_500, 500).to_string();
    let line = [&guest, "stream", "8192", &rounds, "none", "0", LIMIT_MS].map(String::from);
    let line = runner.inside(EVERY_100_MS, &line);
    for _ in 0..options.rounds(2) {
        let alone = worker::work(&line, Some(EVERY_100_MS));
        let watched = worker::work_under(&line, EVERY_100_MS, |pid| Looking::start(watcher, pid));
        match alone.and_then(|alone| Ok((alone, watched?))) {
            Ok((alone, watched)) => {
                row.native.push(alone.round_ns);
                row.inside.push(watched.round_ns);
            }
            Err(error) => {
                row.error = Some(error);
                break;
            }
        }
    }
    row
}

/// A watcher at work. Ended when dropped.
struct Looking {
    process: Child,
    scraper: Option<Child>,
    _scratch: Scratch,
}

impl Looking {
    fn start(watcher: Watcher, pid: u32) -> Result<Self, String> {
        let scratch = Scratch::new();
        let observe = observe().display().to_string();
        let mut scraper = None;
        let mut command = match watcher {
            Watcher::Top => {
                // In a terminal, as it is used.
                let script = packages::program("/usr/bin/script", "bsdutils");
                let line = format!("stty rows 40 cols 120; exec {observe} top -d 500ms {pid}");
                let mut command = Command::new(script);
                command.args(["-qfc", &line, "/dev/null"]);
                command
            }
            Watcher::Record => {
                let mut command = Command::new(&observe);
                let output = scratch.path().join("recording");
                command.args(["record", "--quiet", "--pid", &pid.to_string(), "-o"]);
                command.arg(output);
                command
            }
            Watcher::Export => {
                let port = free_port()?;
                let address = format!("127.0.0.1:{port}");
                let mut command = Command::new(&observe);
                command.args(["export", "--listen", &address]);
                scraper = Some(address);
                command
            }
        };
        let started = |e| format!("cannot start {observe}: {e}");
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(started)?;
        let scraper = scraper.map(|address| scraped(&address)).transpose()?;
        // It is to be at work when the program is.
        std::thread::sleep(Duration::from_millis(700));
        Ok(Self {
            process,
            scraper,
            _scratch: scratch,
        })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        for process in self.scraper.iter_mut().chain([&mut self.process]) {
            // Both fail only for one that has ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener
        .local_addr()
        .map(|a| a.port())
        .map_err(|e| e.to_string())
}

/// Has the metrics asked for, by a process of its own.
fn scraped(address: &str) -> Result<Child, String> {
    let (host, port) = address.split_once(':').unwrap_or((address, ""));
    // The shell's own sockets: nothing to install.
    let script = format!(
        "while sleep 0.5; do exec 3<>/dev/tcp/{host}/{port} && \
         printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3 >/dev/null; done"
    );
    let bash = packages::program("/bin/bash", "bash");
    Command::new(bash)
        .args(["-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot start bash: {e}"))
}

/// A program of 4 GiB and ten minutes, recorded as fast as it can be, and its report.
fn recording(events: u64, words: &str) -> Vec<Row> {
    let row = |what: &str, unit| Row {
        comparison: Comparison::None,
        note: Some("a process of 4 GiB that is no program: only its segment is written".into()),
        ..Row::new(GROUP, format!("{words} events: {what}"), unit)
    };
    let mut rows = [
        row("recorded each second", Unit::RowsPerSecond),
        row("lost in a thousand", Unit::Number),
        row("bytes in each", Unit::Number),
        row("most memory of the recorder", Unit::Mebibytes),
        row("report, for the browser", Unit::Nanoseconds),
        row("its size", Unit::Mebibytes),
        row("report, its memory", Unit::Mebibytes),
    ];
    match recorded(events) {
        Ok(figures) => {
            for (row, figure) in rows.iter_mut().zip(figures) {
                row.mini_vm.push(figure);
            }
        }
        Err(error) => rows[0].error = Some(error),
    }
    rows.into()
}

/// More than any recorder takes, so that it is the recorder that is measured.
const EVENTS_A_SECOND: &str = "5000000";

fn recorded(events: u64) -> Result<[f64; 7], String> {
    let scratch = Scratch::new();
    let directory = scratch.path().join("recording");
    let mut command = Command::new(ring::program());
    command.args(["program", &events.to_string(), EVENTS_A_SECOND]);
    let mut program = Session::start(command);
    program.line();
    let pid = program.pid().to_string();
    let mut record = Command::new(observe());
    record
        .args(["record", "--quiet", "--pid", &pid, "-o"])
        .arg(&directory);
    let started = Instant::now();
    let mut recorder = record
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    wait_for(&directory.join("recording.json"))?;
    program.send("go\n");
    let memory = most_memory(&mut recorder)?;
    let seconds = started.elapsed().as_secs_f64();
    program.finish();
    let manifest = std::fs::read(directory.join("recording.json")).map_err(|e| e.to_string())?;
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest).map_err(|e| e.to_string())?;
    let figure = |name: &str| manifest[name].as_f64().ok_or(format!("no {name}"));
    let (rows, lost) = (figure("rows")?, figure("lost")?);
    let page = scratch.path().join("report.html");
    let started = Instant::now();
    let mut report = Command::new(observe());
    report.arg("report").arg(&directory).arg("-o").arg(&page);
    let mut report = report.spawn().map_err(|e| e.to_string())?;
    let report_memory = most_memory(&mut report)?;
    let report_ns = started.elapsed().as_nanos() as f64;
    let size = std::fs::metadata(&page).map_err(|e| e.to_string())?.len();
    Ok([
        rows / seconds,
        lost * 1000.0 / (rows + lost),
        size_of(&directory)? as f64 / rows,
        memory,
        report_ns,
        size as f64 / f64::from(1 << 20),
        report_memory,
    ])
}

fn wait_for(path: &Path) -> Result<(), String> {
    let started = Instant::now();
    while !path.exists() {
        if started.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} does not come", path.display()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits for a process, and gives the most memory that it had, in MiB.
fn most_memory(process: &mut Child) -> Result<f64, String> {
    let status = format!("/proc/{}/status", process.id());
    let mut most = 0.0;
    loop {
        if let Some(kib) = std::fs::read_to_string(&status).ok().and_then(peak_kib) {
            most = kib / 1024.0;
        }
        match process.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(most),
            Some(status) => return Err(format!("{status}")),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn peak_kib(status: String) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of all files below a directory.
fn size_of(directory: &Path) -> Result<u64, String> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).map_err(|e| e.to_string())? {
        let path: PathBuf = entry.map_err(|e| e.to_string())?.path();
        let facts = std::fs::metadata(&path).map_err(|e| e.to_string())?;
        bytes += match facts.is_dir() {
            true => size_of(&path)?,
            false => facts.len(),
        };
    }
    Ok(bytes)
}
