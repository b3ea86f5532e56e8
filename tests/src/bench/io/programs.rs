//! Programs that do little but system calls: dd, sqlite3, git and tar.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vmmload_tests::scratch::Scratch;

use super::super::generated;
use super::super::row::Unit;
use super::super::runner::{Finished, Runner};
use super::place::{Place, tool};
use super::subject::{Bench, Figure, Subject, sized};

/// Bytes of the first run, which shows how many there should be.
const FEW_BYTES: u64 = 500;

/// Adds the rows.
pub(super) fn measure(bench: &mut Bench<'_>) {
    bytes(bench);
    inserts(
        bench,
        "sqlite3, autocommit",
        bench.options.size(200, 40),
        false,
    );
    let many = bench.options.size(100_000, 10_000);
    inserts(bench, "sqlite3, one transaction", many, true);
    git_status(bench);
    archive(bench);
}

fn subject(name: &'static str, note: &'static str) -> Subject {
    Subject {
        name,
        unit: Unit::Nanoseconds,
        auto_at_most: None,
        observed: false,
        note: Some(note),
    }
}

fn words(program: &str, arguments: &[&str]) -> Vec<String> {
    let all = [program].into_iter().chain(arguments.iter().copied());
    all.map(String::from).collect()
}

fn bytes(bench: &mut Bench<'_>) {
    let (runner, time) = (bench.runner, bench.options.size(500, 80));
    let subject = subject(
        "dd bs=1",
        "a read and a write of one byte, without dd's start",
    );
    bench.measure(&subject, || {
        let figure: Figure<'_> = Box::new(move |place| {
            sized(FEW_BYTES, Duration::from_millis(time), |count| {
                let arguments = ["if=/dev/zero", "of=/dev/null", "bs=1"];
                let mut line = words("/bin/dd", &arguments);
                line.push(format!("count={count}"));
                read_dd(&place.run(runner, &line)?, count)
            })
        });
        Ok(figure)
    });
}

/// `500 bytes copied, 0.000573456 s, 872 kB/s`, with more between for larger counts.
fn read_dd(finished: &Finished, count: u64) -> Result<f64, String> {
    let seconds = finished
        .stderr
        .lines()
        .find_map(|line| line.split_once(" copied, "))
        .and_then(|(_, figures)| figures.split_once(" s,")?.0.parse::<f64>().ok());
    let seconds = seconds.ok_or("no time in what dd said")?;
    Ok(seconds * 1e9 / count as f64)
}

fn inserts(bench: &mut Bench<'_>, name: &'static str, count: u64, at_once: bool) {
    let runner = bench.runner;
    let subject = subject(
        name,
        "an insert, by sqlite3's own clock; the file is on a disk",
    );
    let scratch = Scratch::new();
    bench.measure(&subject, || {
        let sqlite = tool("/usr/bin/sqlite3", "sqlite3")?;
        let script = scratch.file("script", inserting(count, at_once), 0o644);
        let database = scratch.path().join("database");
        let read = format!(".read {}", script.display());
        let line = words(&sqlite, &[&database.display().to_string(), &read]);
        let figure: Figure<'_> = Box::new(move |place| {
            // There is none in the first round.
            let _ = fs::remove_file(&database);
            read_inserts(&place.run(runner, &line)?, count)
        });
        Ok(figure)
    });
}

/// A script that prints the time before and after its inserts, in nanoseconds.
fn inserting(count: u64, at_once: bool) -> String {
    let now = "select printf('%.0f', (julianday('now') - 2440587.5) * 86400e9);\n";
    let (begin, commit) = match at_once {
        true => ("begin;\n", "commit;\n"),
        false => ("", ""),
    };
    let insert = |number| format!("insert into t values ({number}, 'number {number}');\n");
    let inserts: String = (0..count).map(insert).collect();
    format!("create table t (a, b);\n{now}{begin}{inserts}{commit}{now}select count(*) from t;\n")
}

fn read_inserts(finished: &Finished, count: u64) -> Result<f64, String> {
    let figures: Vec<f64> = finished
        .stdout
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    match figures.as_slice() {
        &[before, after, there] if there == count as f64 => Ok((after - before) / there),
        _ => Err(format!("not what was asked for: {}", finished.stdout)),
    }
}

fn git_status(bench: &mut Bench<'_>) {
    let (runner, quick) = (bench.runner, bench.options.quick);
    let files = bench.options.size(5_000, 500);
    let subject = subject(
        "git status",
        match quick {
            true => "of 500 files, as it is quick, from start to end",
            false => "of 5,000 files, from start to end",
        },
    );
    let scratch = Scratch::new();
    bench.measure(&subject, || {
        let git = tool("/usr/bin/git", "git")?;
        let repository = scratch.path().display().to_string();
        generated::tree(&scratch.path().join("tree"), files)?;
        commit_all(runner, &git, &repository)?;
        Ok(timed(
            runner,
            words(&git, &["-C", &repository, "status", "--porcelain"]),
        ))
    });
}

fn commit_all(runner: &Runner, git: &str, repository: &str) -> Result<(), String> {
    let author = ["-c", "user.name=Bench", "-c", "user.email=bench@localhost"];
    for rest in [
        &["init", "-q"][..],
        &["add", "."],
        &["commit", "-q", "-m", "All"],
    ] {
        let before = [&["-C", repository], author.as_slice()].concat();
        let line = words(git, &[before.as_slice(), rest].concat());
        Place::Native.run(runner, &line)?;
    }
    Ok(())
}

fn archive(bench: &mut Bench<'_>) {
    let runner = bench.runner;
    let files = bench.options.size(5_000, 500);
    let subject = subject("tar", "of the same files, from start to end");
    let scratch = Scratch::new();
    bench.measure(&subject, || {
        generated::tree(&scratch.path().join("tree"), files)?;
        // Not /dev/null: tar would know it and read no file.
        let [archive, root] = [scratch.path().join("archive"), scratch.path().to_path_buf()];
        let shown = |path: &Path| path.display().to_string();
        let line = words(
            "/bin/tar",
            &["-cf", &shown(&archive), "-C", &shown(&root), "tree"],
        );
        Ok(timed(runner, line))
    });
}

/// For programs that tell no time: from start to end.
fn timed(runner: &Runner, line: Vec<String>) -> Figure<'_> {
    Box::new(move |place| {
        let finished = place.run(runner, &line)?;
        Ok(finished.wall.as_nanos() as f64)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Finished, read_dd, read_inserts};

    fn printed(stdout: &str, stderr: &str) -> Finished {
        Finished {
            wall: Duration::from_secs(1),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn reads_the_time_of_dd_with_and_without_more_about_the_size() {
        let said = "4000+0 records in\n4000+0 records out\n4000 bytes (4.0 kB, 3.9 KiB) copied, 0.002 s, 2.0 MB/s\n";
        assert_eq!(read_dd(&printed("", said), 4000), Ok(500.0));
        let said = "500 bytes copied, 0.001 s, 500 kB/s\n";
        assert_eq!(read_dd(&printed("", said), 500), Ok(2000.0));
    }

    #[test]
    fn believes_inserts_only_if_all_are_there() {
        assert_eq!(read_inserts(&printed("1000\n3000\n4\n", ""), 4), Ok(500.0));
        assert!(read_inserts(&printed("1000\n3000\n3\n", ""), 4).is_err());
    }
}
