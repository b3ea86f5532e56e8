//! Several vmmloads at the same time do not disturb each other.

use std::thread;
use std::time::Duration;

use vmmload_tests::packages::python;
use vmmload_tests::{Guest, Program, data, machine};

#[test]
fn ten_at_once_give_what_each_gives_alone() {
    let text = data::text_file(1);
    let hash = "import hashlib, sys\nd = hashlib.sha256()\nfor i in range(200000): d.update(b'%d %d' % (i, int(sys.argv[1])))\nprint(d.hexdigest())";
    let limit = Duration::from_secs(240);
    let programs: Vec<Program> = (0..10)
        .map(|number| match number % 5 {
            0 => Program::new(python()).args(["-c", hash, &number.to_string()]),
            1 => Guest::new("memory/random_operations").program(),
            2 => Guest::new("threads/many_at_once").program(),
            3 => Program::new("/usr/bin/sort").arg("-r").arg(&text),
            _ => Guest::new("threads/allocation").program(),
        })
        .map(|program| program.limit(limit))
        .collect();
    thread::scope(|scope| {
        for (number, program) in programs.iter().enumerate() {
            // Each with options of its own: no setting may leak from one to another.
            let program = program
                .clone()
                .option("--interval")
                .option(format!("{}ms", 10 + 20 * number));
            scope.spawn(move || program.compare_success());
        }
    });
}

#[test]
fn hundred_short_programs_one_after_the_other_leave_nothing_behind() {
    if !machine::can_run_inside() {
        return;
    }
    let before = segments();
    for _ in 0..100 {
        Program::new("/bin/true").inside().assert_success("true");
        // The next run would remove it.
        let left: Vec<String> = segments()
            .into_iter()
            .filter(|name| !before.contains(name) && is_dead(name))
            .collect();
        assert!(left.is_empty(), "left in /dev/shm: {left:?}");
    }
}

fn segments() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").expect("/dev/shm can be listed");
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Other tests run at the same time: only segments whose process is gone are left behind.
fn is_dead(name: &str) -> bool {
    let numbers = name
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|part| !part.is_empty());
    !numbers
        .into_iter()
        .any(|pid| std::path::Path::new("/proc").join(pid).exists())
}
