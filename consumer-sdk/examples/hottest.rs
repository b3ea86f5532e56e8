//! Follows a process's hottest pages: the most touched ones of each second, until it ends.
//!
//! `cargo run -p vmmload-consumer --example hottest -- PID [N]`

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, thread};
use vmmload_consumer::{Consumer, Item, Mappings, Status};

const PERIOD: Duration = Duration::from_secs(1);
/// How often the ring is emptied: a full one would lose records.
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| args.get(index).and_then(|arg| arg.parse().ok());
    let Some(pid) = number(0) else {
        eprintln!("usage: hottest PID [N]; `vmmload ls` shows the pids");
        return ExitCode::FAILURE;
    };
    let n = number(1).unwrap_or(10) as usize;
    match Consumer::attach(pid) {
        Ok(consumer) => {
            follow(consumer, n);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hottest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn follow(mut consumer: Consumer, n: usize) {
    // From now on; `consumer.hottest(n)` has the totals since the start.
    consumer.skip_to_now();
    let mut mappings = Mappings::default();
    loop {
        // Asked first, so that the last records are read after the process has ended.
        let status = consumer.status();
        let (events, lost) = collect(&mut consumer, status);
        mappings = consumer.mappings().unwrap_or(mappings);
        print(events, lost, &mappings, n);
        if status != Status::Running {
            println!("process {}: {status:?}", consumer.pid());
            return;
        }
    }
}

/// Events by page during one period, and how many records were lost.
fn collect(consumer: &mut Consumer, status: Status) -> (HashMap<u64, u64>, u64) {
    let end = Instant::now() + PERIOD;
    let (mut events, mut lost) = (HashMap::new(), 0);
    loop {
        match consumer.next() {
            Some(Item::Event(event)) => {
                *events.entry(event.addr).or_default() += u64::from(event.count);
            }
            Some(Item::Lost(records)) => lost += records,
            None if status != Status::Running => return (events, lost),
            None => thread::sleep(PAUSE),
        }
        if Instant::now() >= end {
            return (events, lost);
        }
    }
}

fn print(events: HashMap<u64, u64>, lost: u64, mappings: &Mappings, n: usize) {
    let pages = events.len();
    let mut hottest: Vec<(u64, u64)> = events.into_iter().collect();
    hottest.sort_unstable_by_key(|&(addr, count)| (std::cmp::Reverse(count), addr));
    println!("{pages} pages touched in the last second, {lost} records lost");
    for (addr, count) in hottest.into_iter().take(n) {
        let name = mappings
            .find(addr)
            .map_or("", |mapping| mapping.name.as_str());
        println!("  {addr:#014x}  {count:>8} events  {name}");
    }
}
