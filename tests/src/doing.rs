//! What processes that do not end are doing, as the kernel tells it.

use std::fs;

/// So many threads of a process are shown, and so many processes.
const SHOWN: usize = 10;

/// What each thread of a process, and of those that descend from it, is doing.
pub(crate) fn doing(pid: u32) -> String {
    let mut processes = vec![pid];
    let mut next = 0;
    while let Some(&process) = processes.get(next).filter(|_| next < SHOWN) {
        processes.extend(children(process));
        next += 1;
    }
    let shown: Vec<String> = processes[..next].iter().map(|&pid| process(pid)).collect();
    let more = match processes.len() - next {
        0 => String::new(),
        more => format!("\nand {more} more processes"),
    };
    shown.join("\n") + &more
}

/// Of a process, by whichever of its threads.
fn children(pid: u32) -> Vec<u32> {
    let lists = tasks(pid).into_iter();
    let lists = lists.map(|task| read(&format!("{task}/children")));
    let numbers = lists.flat_map(|list| {
        let numbers = list.split_whitespace().map(str::parse);
        numbers.flatten().collect::<Vec<u32>>()
    });
    numbers.collect()
}

fn tasks(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .map(|task| task.path().display().to_string())
        .collect()
}

fn process(pid: u32) -> String {
    let tasks = tasks(pid);
    if tasks.is_empty() {
        return format!("process {pid} is gone");
    }
    let maps = read(&format!("/proc/{pid}/maps"));
    let shown = tasks.iter().take(SHOWN).map(|task| thread(task, &maps));
    shown.collect::<Vec<_>>().join("\n")
}

fn thread(task: &str, maps: &str) -> String {
    let status = read(&format!("{task}/status"));
    let field = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or("unknown").trim().to_owned()
    };
    let call = read(&format!("{task}/syscall"));
    // Its last number is the instruction pointer.
    let place = call.trim().rsplit(' ').next().and_then(|ip| {
        let ip = u64::from_str_radix(ip.strip_prefix("0x")?, 16).ok()?;
        place(maps, ip)
    });
    // Only root may see where in the kernel.
    let stack = read(&format!("{task}/stack"));
    let stack: Vec<&str> = stack
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    format!(
        "{task} {}: {}, pending {} {}, blocked {}, system call {} at {}, in {}",
        field("Name"),
        field("State"),
        field("SigPnd"),
        field("ShdPnd"),
        field("SigBlk"),
        call.trim(),
        place.unwrap_or_else(|| "an unknown place".to_owned()),
        stack.join(" < "),
    )
}

/// The file and the offset in it that an address belongs to.
fn place(maps: &str, address: u64) -> Option<String> {
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    maps.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields.first()?.split_once('-')?;
        let inside = (number(start)?..number(end)?).contains(&address);
        let offset = address.checked_sub(number(start)?)? + number(fields.get(2)?)?;
        let name = fields.get(5).unwrap_or(&"anonymous memory");
        inside.then(|| format!("{name}+{offset:#x}"))
    })
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::program::kill_group;

    #[test]
    fn a_process_and_its_children_are_shown_where_they_wait() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let fault = loop {
            let shown = doing(shell.id());
            // clock_nanosleep(2), below the shell, which waits for it.
            let waits = [" sh: S", " sleep: S", "system call 230 ", "libc.so.6+0x"];
            let missing = waits.iter().find(|wait| !shown.contains(**wait));
            if missing.is_none() || Instant::now() > deadline {
                break missing.map(|missing| format!("no {missing:?} in:\n{shown}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        kill_group(shell.id());
        shell.wait().unwrap();
        assert_eq!(fault, None);
    }
}
