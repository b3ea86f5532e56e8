//! `vmmload ls`: the live segments, and those to be removed.

use super::{Format, ReportError, complain, display_age, json_string};
use crate::host::credentials;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use std::{fs, thread};
use vmmload_consumer::{Consumer, Info, ProcessId, Status, consumers, prune, readable_consumers};

/// Shortest time between the two looks that the rate is measured over.
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Longest time that a person is made to wait for it.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Options of `ls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LsConfig {
    /// Those of other users, too, where they share them.
    pub(crate) all: bool,
    /// Children below their parents.
    pub(crate) tree: bool,
    /// Remove what dead processes have left, and list that.
    pub(crate) prune: bool,
    pub(crate) format: Format,
}

/// One line of the list.
#[derive(Debug)]
struct Row {
    info: Info,
    /// Owner of the segment.
    user: u32,
    events_per_s: f64,
    /// How many of its ancestors stand above it.
    depth: usize,
}

/// Prints the list, or a hint when it is empty.
pub(super) fn run(config: &LsConfig, output: &mut impl Write) -> Result<(), ReportError> {
    if config.prune {
        return Ok(print_pruned(config.format, output)?);
    }
    let is_live = |status| status == Status::Running;
    let live = match config.all {
        true => readable_consumers(is_live),
        false => consumers(is_live),
    };
    let mut rows = measure(&live);
    if config.tree {
        rows = as_tree(rows);
    }
    match config.format {
        Format::Text => print_text(&rows, config.all, output)?,
        Format::Json => print_json(&rows, output)?,
    }
    output.flush()?;
    if config.format == Format::Text {
        hint(&rows);
    }
    Ok(())
}

fn print_pruned(format: Format, output: &mut impl Write) -> std::io::Result<()> {
    for path in prune() {
        let path = path.display().to_string();
        match format {
            Format::Text => writeln!(output, "{path}")?,
            Format::Json => writeln!(output, r#"{{"removed":{}}}"#, json_string(&path))?,
        }
    }
    output.flush()
}

/// Children below their parents; those whose parent is not among them stand at the left.
fn as_tree(rows: Vec<Row>) -> Vec<Row> {
    let pids: Vec<u32> = rows.iter().map(|row| row.info.pid).collect();
    let parent = |row: &Row| {
        let parent = row.info.parent.map(|ProcessId { pid, .. }| pid);
        parent.filter(|pid| pids.contains(pid) && *pid != row.info.pid)
    };
    let (mut waiting, mut placed): (Vec<Row>, Vec<Row>) = (rows, Vec::new());
    // Behind what was placed last below its parent, again and again: what remains has parents in a circle.
    let roots = waiting.extract_if(.., |row| parent(row).is_none());
    placed.extend(roots);
    loop {
        let is_placed =
            |pid: u32, placed: &[Row]| placed.iter().position(|row| row.info.pid == pid);
        let next = waiting
            .iter()
            .enumerate()
            .find_map(|(index, row)| Some((index, is_placed(parent(row)?, &placed)?)));
        let Some((index, above)) = next else {
            break;
        };
        let mut row = waiting.remove(index);
        row.depth = placed[above].depth + 1;
        let rest = placed[above + 1..].iter();
        let behind = rest.take_while(|other| other.depth >= row.depth).count();
        placed.insert(above + 1 + behind, row);
    }
    placed.extend(waiting);
    placed
}

/// Looks twice, two epochs of the slowest process apart.
fn measure(live: &[Consumer]) -> Vec<Row> {
    let before: Vec<Info> = live.iter().map(Consumer::info).collect();
    if let Some(longest) = before.iter().map(|info| info.interval).max() {
        thread::sleep(longest.saturating_mul(2).clamp(MIN_PAUSE, MAX_PAUSE));
    }
    let now = live.iter().map(Consumer::info);
    let owner = |one: &Consumer| fs::metadata(one.path()).map(|facts| facts.uid());
    let owners = live.iter().map(owner);
    let row = |((before, info), owner): ((Info, Info), std::io::Result<u32>)| Row {
        events_per_s: rate(&before, &info),
        user: owner.unwrap_or(info.uid),
        info,
        depth: 0,
    };
    before.into_iter().zip(now).zip(owners).map(row).collect()
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

fn print_text(rows: &[Row], users: bool, output: &mut impl Write) -> Result<(), ReportError> {
    /// Longer command lines and names end with an ellipsis.
    const COMMAND: usize = 40;
    const USER: usize = 12;
    let user = |name: &str| match users {
        true => format!("{:<USER$}  ", shorten(name, USER)),
        false => String::new(),
    };
    writeln!(
        output,
        "{:>7}  {}{:<COMMAND$}  {:>12}  {:>10}  {:>9}",
        "PID",
        user("USER"),
        "COMMAND",
        "AGE",
        "EVENTS/S",
        "PAGES"
    )?;
    for row in rows {
        let Row {
            info, events_per_s, ..
        } = row;
        let branch = match row.depth {
            0 => String::new(),
            depth => format!("{}\\_ ", "   ".repeat(depth - 1)),
        };
        let command = shorten(&format!("{branch}{}", info.command_line()), COMMAND);
        let user = user(&credentials::user_name(row.user));
        let age = display_age(info.age);
        let (pid, pages) = (info.pid, info.pages);
        writeln!(
            output,
            "{pid:>7}  {user}{command:<COMMAND$}  {age:>12}  {events_per_s:>10.0}  {pages:>9}"
        )?;
    }
    Ok(())
}

fn print_json(rows: &[Row], output: &mut impl Write) -> Result<(), ReportError> {
    for row in rows {
        let Row {
            info,
            events_per_s,
            user,
            ..
        } = row;
        let session = info.session.pid;
        let command = json_string(&info.command_line());
        let (pid, pages, events) = (info.pid, info.pages, info.events());
        let age_ms = info.age.as_millis();
        let parent = info
            .parent
            .map_or("null".into(), |parent| parent.pid.to_string());
        writeln!(
            output,
            r#"{{"pid":{pid},"parent":{parent},"session":{session},"uid":{user},"command":{command},"age_ms":{age_ms},"events_per_s":{events_per_s:.1},"events":{events},"pages":{pages}}}"#
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
    /// So many killed processes are named.
    const SHOWN: usize = 10;
    if rows.is_empty() {
        complain("no live segments; start a command with `vmmload run COMMAND`");
    }
    let dead = consumers(|status| status == Status::Died);
    if !dead.is_empty() {
        let (shown, more) = dead.split_at(dead.len().min(SHOWN));
        let mut pids: Vec<String> = shown.iter().map(|one| one.pid().to_string()).collect();
        if !more.is_empty() {
            pids.push(format!("{} more", more.len()));
        }
        let pids = pids.join(", ");
        complain(&format!(
            "segments of killed processes are left: {pids}; read them with `vmmload dump PID`, or \
             remove them with `vmmload ls --prune`"
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
            user: 4_000_000_000,
            events_per_s: 100.0,
            depth: 0,
        }];
        let mut text = Vec::new();
        print_text(&rows, true, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.contains(&format!("{pid}  4000000000    sleep a"))
                && line.ends_with("       100        100"),
            "{text}"
        );
        let mut json = Vec::new();
        print_json(&rows, &mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["command"], "sleep a \"quoted\" word");
        assert_eq!(
            (&json["session"], &json["uid"], &json["parent"]),
            (
                &pid.into(),
                &4_000_000_000u32.into(),
                &serde_json::Value::Null
            )
        );
        assert_eq!(
            (&json["pid"], &json["events"], &json["pages"]),
            (&pid.into(), &100.into(), &100.into())
        );
    }

    /// Rows of these processes, each with its parent.
    fn family(info: &Info, processes: &[(u32, u32)]) -> Vec<Row> {
        let row = |&(pid, parent): &(u32, u32)| {
            let mut info = info.clone();
            let start = 0;
            (info.pid, info.parent) = (pid, Some(ProcessId { pid: parent, start }));
            Row {
                info,
                user: 0,
                events_per_s: 0.0,
                depth: 0,
            }
        };
        processes.iter().map(row).collect()
    }

    #[test]
    fn children_stand_below_their_parents() {
        let process = Process::start(b"x\0");
        let info = Consumer::attach(process.pid()).unwrap().info();
        let parents = [
            (1, 0),
            (2, 9),
            (3, 1),
            (4, 8),
            (5, 3),
            (6, 1),
            (7, 2),
            (8, 3),
        ];
        let tree = as_tree(family(&info, &parents));
        let places: Vec<_> = tree.iter().map(|row| (row.info.pid, row.depth)).collect();
        let expected = [
            (1, 0),
            (3, 1),
            (5, 2),
            (8, 2),
            (4, 3),
            (6, 1),
            (2, 0),
            (7, 1),
        ];
        assert_eq!(places, expected);
        let mut text = Vec::new();
        print_text(&tree[..3], false, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in ["  1  x ", "  3  \\_ x ", "  5     \\_ x "] {
            assert!(text.contains(line), "{text}");
        }
        // Whatever segments say, each is listed once.
        let circle = as_tree(family(&info, &[(1, 2), (2, 1), (3, 3)]));
        assert_eq!(circle.len(), 3);
    }

    #[test]
    fn long_commands_are_cut_with_an_ellipsis() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
    }
}
