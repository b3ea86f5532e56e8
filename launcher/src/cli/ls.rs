//! `vmmload ls`: this user's live segments.

use super::{Format, ReportError, complain, display_age, json_string};
use std::io::Write;
use std::thread;
use std::time::Duration;
use vmmload_consumer::{Consumer, Info, Status, consumers};

/// Shortest time between the two looks that the rate is measured over.
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Longest time that a person is made to wait for it.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Options of `ls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LsConfig {
    pub(crate) format: Format,
}

/// One line of the list.
#[derive(Debug)]
struct Row {
    info: Info,
    events_per_s: f64,
}

/// Prints the list, or a hint when it is empty.
pub(super) fn run(config: &LsConfig, output: &mut impl Write) -> Result<(), ReportError> {
    let live = consumers(|status| status == Status::Running);
    let rows = measure(&live);
    match config.format {
        Format::Text => print_text(&rows, output)?,
        Format::Json => print_json(&rows, output)?,
    }
    output.flush()?;
    if config.format == Format::Text {
        hint(&rows);
    }
    Ok(())
}

/// Looks twice, two epochs of the slowest process apart.
fn measure(live: &[Consumer]) -> Vec<Row> {
    let before: Vec<Info> = live.iter().map(Consumer::info).collect();
    if let Some(longest) = before.iter().map(|info| info.interval).max() {
        thread::sleep(longest.saturating_mul(2).clamp(MIN_PAUSE, MAX_PAUSE));
    }
    let now = live.iter().map(Consumer::info);
    let row = |(before, info)| Row {
        events_per_s: rate(&before, &info),
        info,
    };
    before.into_iter().zip(now).map(row).collect()
}

/// Events per second between two looks. They appear at the ends of epochs, so the time that counts is
/// the time between those and not between the looks.
fn rate(before: &Info, now: &Info) -> f64 {
    let events = now.events().wrapping_sub(before.events()) as f64;
    let elapsed = Duration::from_nanos(now.epoch_ns.saturating_sub(before.epoch_ns));
    if elapsed.is_zero() {
        0.0
    } else {
        events / elapsed.as_secs_f64()
    }
}

fn print_text(rows: &[Row], output: &mut impl Write) -> Result<(), ReportError> {
    /// Longer command lines end with an ellipsis.
    const COMMAND: usize = 40;
    writeln!(
        output,
        "{:>7}  {:<COMMAND$}  {:>12}  {:>10}  {:>9}",
        "PID", "COMMAND", "AGE", "EVENTS/S", "PAGES"
    )?;
    for Row { info, events_per_s } in rows {
        let command = shorten(&info.command_line(), COMMAND);
        let age = display_age(info.age);
        let (pid, pages) = (info.pid, info.pages);
        writeln!(
            output,
            "{pid:>7}  {command:<COMMAND$}  {age:>12}  {events_per_s:>10.0}  {pages:>9}"
        )?;
    }
    Ok(())
}

fn print_json(rows: &[Row], output: &mut impl Write) -> Result<(), ReportError> {
    for Row { info, events_per_s } in rows {
        let command = json_string(&info.command_line());
        let (pid, pages, events) = (info.pid, info.pages, info.events());
        let age_ms = info.age.as_millis();
        let parent = info
            .parent
            .map_or("null".into(), |parent| parent.pid.to_string());
        writeln!(
            output,
            r#"{{"pid":{pid},"parent":{parent},"command":{command},"age_ms":{age_ms},"events_per_s":{events_per_s:.1},"events":{events},"pages":{pages}}}"#
        )?;
    }
    Ok(())
}

fn shorten(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

/// Says what an empty list means, and what a killed vmmload leaves behind.
fn hint(rows: &[Row]) {
    if rows.is_empty() {
        complain("no live segments; start a command with `vmmload run COMMAND`");
    }
    let dead = consumers(|status| status == Status::Died);
    if !dead.is_empty() {
        let paths: Vec<_> = dead
            .iter()
            .map(|one| one.path().display().to_string())
            .collect();
        let paths = paths.join(" ");
        complain(&format!(
            "segments of killed processes are left; read them with `vmmload dump PID`, or remove \
             them with: rm {paths}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Process;
    use super::*;
    use vmmload_consumer::{Kind, Method, Sighting, monotonic_ns};

    #[test]
    fn lists_a_process_with_its_rate_and_pages() {
        let mut process = Process::start(b"sleep\0a \"quoted\" word\0");
        let pid = process.pid();
        let writer = &mut process.writer;
        let before = Consumer::attach(pid).unwrap().info();
        writer.begin_epoch(1, before.epoch_ns.max(monotonic_ns()) + 500_000_000);
        for page in 0..100u64 {
            let index = writer.region(page << 12, Kind::Write);
            writer.record(
                index,
                Sighting::new(page << 12, Kind::Write, Method::DirtyRing),
            );
        }
        let info = Consumer::attach(pid).unwrap().info();
        let mut from = info.clone();
        (from.totals, from.epoch_ns) = ([50, 0, 0], info.epoch_ns - 500_000_000);
        assert!((rate(&from, &info) - 100.0).abs() < 1e-9);
        assert_eq!(rate(&info, &info), 0.0);

        let rows = [Row {
            info,
            events_per_s: 100.0,
        }];
        let mut text = Vec::new();
        print_text(&rows, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.contains(&pid.to_string()) && line.ends_with("       100        100"),
            "{text}"
        );
        let mut json = Vec::new();
        print_json(&rows, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["command"], "sleep a \"quoted\" word");
        assert_eq!(
            (&json["pid"], &json["events"], &json["pages"]),
            (&pid.into(), &100.into(), &100.into())
        );
    }

    #[test]
    fn long_commands_are_cut_with_an_ellipsis() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
    }
}
