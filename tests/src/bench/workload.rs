//! What is run natively and inside: this binary again, with `--workload NAME ARGS`.
//!
//! Each workload times its own phases and prints `key nanoseconds` lines; `total_ns` comes last, and
//! the parent compares it with its own clock, so that a clock that runs wrong inside cannot flatter.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// The first argument that turns this binary into a workload.
pub(crate) const FLAG: &str = "--workload";

const PAGE: usize = 4096;
const WORDS_PER_PAGE: usize = PAGE / size_of::<u64>();
const MIB: usize = 1 << 20;

/// Pages and directions of the Zipf mix are drawn beforehand; 2^20 of them repeat.
const DRAWS: usize = 1 << 20;

/// Calls between two looks at the clock: long enough natively for the clock not to count.
const CALLS_PER_BATCH: u32 = 100;

/// Runs the workload `NAME ARGS`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let started = Instant::now();
    let Some((name, rest)) = arguments.split_first() else {
        return ExitCode::FAILURE;
    };
    let numbers: Vec<u64> = rest.iter().filter_map(|word| word.parse().ok()).collect();
    let done = match (name.as_str(), numbers.as_slice()) {
        ("float", &[steps]) => float(steps),
        ("stream", &[mib, at_least_ms]) => stream(mib, Duration::from_millis(at_least_ms)),
        ("zipf", &[mib, at_least_ms]) => zipf(mib, Duration::from_millis(at_least_ms)),
        ("touch", &[pages]) => touch(pages),
        ("rewrite", &[pages, times, pause_ms]) => rewrite(pages, times, pause_ms),
        ("hold", &[mib]) => hold(mib),
        (name, &[]) => calls(name),
        _ => Err(format!("no workload {name} with {} numbers", numbers.len())),
    };
    if let Err(message) = done {
        eprintln!("bench: {message}");
        return ExitCode::FAILURE;
    }
    tell("total_ns", started.elapsed().as_nanos() as f64);
    ExitCode::SUCCESS
}

fn tell(key: &str, value: f64) {
    println!("{key} {value}");
}

/// A chain of dependent multiplications and additions: nothing but the processor.
fn float(steps: u64) -> Result<(), String> {
    let started = Instant::now();
    let mut x = black_box(1.0_f64);
    for _ in 0..steps {
        x = x * 1.000_000_1 + 0.1;
    }
    black_box(x);
    tell("loop_ns", started.elapsed().as_nanos() as f64);
    Ok(())
}

/// Memory that the kernel has promised and not yet given: a large zeroed allocation is a fresh
/// mapping.
fn untouched(pages: usize) -> Vec<u64> {
    vec![0; pages * WORDS_PER_PAGE]
}

/// Writes one word of every page and returns the nanoseconds per page.
fn write_each_page(memory: &mut [u64], value: u64) -> f64 {
    let started = Instant::now();
    let mut pages = 0_u32;
    for word in memory.iter_mut().step_by(WORDS_PER_PAGE) {
        *word = black_box(value);
        pages += 1;
    }
    black_box(memory);
    started.elapsed().as_nanos() as f64 / f64::from(pages.max(1))
}

/// Repeats a pass, at least twice and for at least the given time, and returns nanoseconds per pass.
///
/// The time must span several epochs, or a short pass would never meet a re-armed page.
fn repeated(at_least: Duration, mut pass: impl FnMut(u64)) -> f64 {
    let started = Instant::now();
    let mut passes = 0;
    while passes < 2 || started.elapsed() < at_least {
        pass(passes);
        passes += 1;
    }
    started.elapsed().as_nanos() as f64 / passes as f64
}

/// First touch, then passes that write every word in order.
fn stream(mib: u64, at_least: Duration) -> Result<(), String> {
    let mut memory = untouched(mib as usize * MIB / PAGE);
    tell("first_touch_ns", write_each_page(&mut memory, 1));
    let pass_ns = repeated(at_least, |pass| {
        for (index, word) in memory.iter_mut().enumerate() {
            *word = index as u64 ^ pass;
        }
        black_box(&mut memory);
    });
    tell("pass_ns", pass_ns);
    Ok(())
}

/// First touch, then passes of 2^20 accesses, 70 % reads and 30 % writes, pages Zipf-distributed.
fn zipf(mib: u64, at_least: Duration) -> Result<(), String> {
    let pages = mib as usize * MIB / PAGE;
    let mut memory = untouched(pages);
    tell("first_touch_ns", write_each_page(&mut memory, 1));
    let draws = draw_zipf(pages);
    let mut sum = 0_u64;
    let pass_ns = repeated(at_least, |pass| {
        for &(word, write) in &draws {
            match write {
                true => memory[word as usize] = pass,
                false => sum = sum.wrapping_add(memory[word as usize]),
            }
        }
    });
    black_box((sum, memory));
    tell("pass_ns", pass_ns);
    Ok(())
}

/// Word indexes and whether each is a write. With exponent 1, a page's rank is `pages` to a uniform
/// power; multiplying by an odd constant scatters neighbouring ranks over the memory.
fn draw_zipf(pages: usize) -> Vec<(u32, bool)> {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let draws = (0..DRAWS).map(|_| {
        let rank = (pages as f64).powf(random.uniform()) as usize - 1;
        let page = rank.wrapping_mul(0x9e37_79b1) % pages;
        let word = page * WORDS_PER_PAGE + (random.next() as usize % WORDS_PER_PAGE);
        (word as u32, random.uniform() < 0.3)
    });
    draws.collect()
}

/// Marsaglia's xorshift64: the same draws in every run, with no crate that would ask the kernel.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// In 0..1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One write to each page of fresh memory.
fn touch(pages: u64) -> Result<(), String> {
    let mut memory = untouched(pages as usize);
    tell("page_ns", write_each_page(&mut memory, 1));
    Ok(())
}

/// One write to each page, a pause in which all of them are re-armed, and again: the median of it.
fn rewrite(pages: u64, times: u64, pause_ms: u64) -> Result<(), String> {
    let mut memory = untouched(pages as usize);
    write_each_page(&mut memory, 1);
    let each = (0..times).map(|time| {
        thread::sleep(Duration::from_millis(pause_ms));
        write_each_page(&mut memory, time)
    });
    let mut sorted: Vec<f64> = each.collect();
    sorted.sort_by(f64::total_cmp);
    tell("page_ns", sorted[sorted.len() / 2]);
    Ok(())
}

/// Touches memory, says so, and keeps it until standard input ends.
fn hold(mib: u64) -> Result<(), String> {
    let mut memory = untouched(mib as usize * MIB / PAGE);
    write_each_page(&mut memory, 1);
    println!("ready");
    let read = io::stdin().read_to_end(&mut Vec::new());
    black_box(memory);
    read.map(|_| ())
        .map_err(|e| format!("cannot read standard input: {e}"))
}

/// One cheap system call again and again.
fn calls(name: &str) -> Result<(), String> {
    let call_ns = match name {
        "getppid" => per_call(|| {
            black_box(std::os::unix::process::parent_id());
        }),
        "read" => {
            let mut zeros = File::open("/dev/zero").map_err(|e| format!("/dev/zero: {e}"))?;
            let mut byte = [0];
            per_call(|| {
                // An error would be as fast as a success and must not pass for one.
                assert_eq!(zeros.read(&mut byte).ok(), Some(1), "read(/dev/zero)");
            })
        }
        "clock-vdso" => per_call(|| {
            black_box(Instant::now());
        }),
        "clock-call" => per_call(clock_by_system_call),
        "mark" => {
            tell("mark_ns", mark_ns());
            return Ok(());
        }
        _ => return Err(format!("no workload {name} without numbers")),
    };
    tell("call_ns", call_ns);
    Ok(())
}

/// Nanoseconds of a mark for vmmload: natively so few that the clock would count.
fn mark_ns() -> f64 {
    let marks = if vmmload_guest::inside() { 1 } else { 20_000 };
    per_call(|| {
        for _ in 0..marks {
            assert!(vmmload_guest::mark(c"a phase").is_ok());
        }
    }) / f64::from(marks)
}

/// Nanoseconds per call: the median of batches over 0.3 s, five batches at least.
fn per_call(mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut batches = Vec::new();
    while batches.len() < 5 || started.elapsed() < Duration::from_millis(300) {
        let batch = Instant::now();
        for _ in 0..CALLS_PER_BATCH {
            call();
        }
        batches.push(batch.elapsed().as_nanos() as f64 / f64::from(CALLS_PER_BATCH));
    }
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

/// clock_gettime past the vDSO.
fn clock_by_system_call() {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime writes one timespec through the pointer, which is to a live local of
    // that type, and keeps neither.
    let status = unsafe {
        libc::syscall(
            libc::SYS_clock_gettime,
            libc::CLOCK_MONOTONIC,
            &raw mut time,
        )
    };
    assert_eq!(status, 0, "clock_gettime");
    black_box(time);
}
