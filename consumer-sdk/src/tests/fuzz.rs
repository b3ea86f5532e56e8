//! Damage of many kinds to a valid segment, from a seed: nothing that a segment says may hurt a reader.
//!
//! `VMMLOAD_FUZZ_SECONDS=600 cargo test -p vmmload-consumer --lib fuzz` goes on for longer, and
//! `VMMLOAD_FUZZ_SEED=N` begins elsewhere. A failure names the case, and `VMMLOAD_FUZZ_SEED` of that number
//! begins with it.

use super::hostile::{Fake, exercise, valid};
use super::{path_of, small, unique_name};
use crate::memory::WriterMemory;
use crate::place::Place;
use crate::sync::Ordering;
use crate::wire::{Header, PAGE_SIZE, WORD, field};
use crate::{Consumer, MappingEntry, SegmentConfig, SegmentWriter, Session, Status, segment_name};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};
use std::{env, process, thread};

/// What goes wrong by one, by a sign, by a size or by all.
const EXTREMES: [u64; 16] = [
    0,
    1,
    2,
    7,
    63,
    64,
    65,
    4095,
    4096,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn extreme(&mut self) -> u64 {
        EXTREMES[self.below(EXTREMES.len())]
    }
}

fn put(bytes: &mut [u8], word: usize, value: u64) {
    if let Some(place) = bytes.get_mut(word * WORD..(word + 1) * WORD) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// A word of the segment; every other time one of the header.
fn some_word(random: &mut Random, bytes: &[u8]) -> usize {
    let header = random.next().is_multiple_of(2);
    let words = if header {
        size_of::<Header>() / WORD
    } else {
        bytes.len().max(WORD) / WORD
    };
    random.below(words)
}

/// One piece of damage.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let word = some_word(random, bytes);
    match random.below(9) {
        0 => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        1 => put(bytes, word, random.next()),
        2 => put(bytes, word, random.extreme()),
        // One half of a word: a torn store, or one field of 32 bits.
        3 => {
            let at = (word * WORD + 4 * random.below(2)).min(bytes.len().saturating_sub(4));
            let half = random.extreme().to_le_bytes();
            let len = bytes.len().min(at + 4) - at;
            bytes[at..at + len].copy_from_slice(&half[..len]);
        }
        4 => swap_parts(random, bytes),
        5 => {
            let at = random.below(bytes.len());
            let end = (at + random.below(PAGE_SIZE)).min(bytes.len());
            bytes[at..end].fill([0, 0xff, b'v'][random.below(3)]);
        }
        // The file's own length, with and without the header's knowledge.
        6 => {
            let len = random.below(bytes.len() * 2);
            bytes.resize(len, 0);
            if random.next().is_multiple_of(2) {
                put(bytes, field!(file_len), len as u64);
            }
        }
        7 => {
            let len = bytes.len() / PAGE_SIZE * PAGE_SIZE + PAGE_SIZE * random.below(3);
            bytes.resize(len, 0xff);
            put(bytes, field!(file_len), len as u64);
        }
        // A little more or less than it was.
        _ => {
            let Some(place) = bytes.get(word * WORD..(word + 1) * WORD) else {
                return;
            };
            let value = u64::from_le_bytes(place.try_into().unwrap());
            let step = random.below(200) as u64;
            put(bytes, word, value.wrapping_add(step).wrapping_sub(100));
        }
    }
}

/// Two stretches of one length, anywhere, change places.
fn swap_parts(random: &mut Random, bytes: &mut [u8]) {
    let len = (random.below(PAGE_SIZE) + 1).min(bytes.len() / 2);
    let first = random.below(bytes.len() - 2 * len + 1);
    let second = first + len + random.below(bytes.len() - first - 2 * len + 1);
    let (front, back) = bytes.split_at_mut(second);
    front[first..first + len].swap_with_slice(&mut back[..len]);
}

/// Puts the part of the header right that says where things are, so that the damage elsewhere is reached.
fn heal(bytes: &mut [u8], original: &[u8]) {
    let fixed = (0..field!(command)).chain(field!(links_offset)..field!(ring_head));
    for word in fixed {
        let place = &original[word * WORD..(word + 1) * WORD];
        put(bytes, word, u64::from_le_bytes(place.try_into().unwrap()));
    }
    put(bytes, field!(file_len), bytes.len() as u64);
}

/// Ends the process, with the number of the case, when one takes far too long.
fn watch(case: &AtomicU64, done: &AtomicBool) {
    let mut last = (u64::MAX, Instant::now());
    while !done.load(Ordering::Relaxed) {
        let now = case.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() > Duration::from_secs(60) {
            eprintln!("case {now} does not end");
            process::abort();
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn from_environment(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// How long the tests here go on, each.
fn duration() -> Duration {
    let seconds = from_environment("VMMLOAD_FUZZ_SECONDS");
    seconds.map_or(Duration::from_secs(2), Duration::from_secs)
}

/// Runs `f` for seed after seed, until the time is up.
fn for_many_seeds(mut f: impl FnMut(u64)) {
    let first = from_environment("VMMLOAD_FUZZ_SEED").unwrap_or(1);
    let (case, done) = (AtomicU64::new(first), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| watch(&case, &done));
        let _stop = Stop(&done);
        let started = Instant::now();
        for seed in first.. {
            if started.elapsed() > duration() {
                break;
            }
            case.store(seed, Ordering::Relaxed);
            // What a failing test prints is kept until it fails, and then shows the last one.
            f(seed);
        }
    });
}

/// Stops the other threads at the end, and when this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Names the case when the thread panics in it.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("VMMLOAD_FUZZ_SEED={}", self.0);
        }
    }
}

#[test]
fn damage_never_panics_and_never_keeps_a_reader() {
    let original = valid();
    let fake = Fake::new(&original);
    let file = File::options().write(true).open(&fake.0).unwrap();
    let mut accepted = 0;
    for_many_seeds(|seed| {
        let _named = Named(seed);
        let mut random = Random(seed);
        let mut bytes = original.clone();
        for _ in 0..=random.below(20) {
            damage(&mut random, &mut bytes);
        }
        if bytes.len() >= PAGE_SIZE && !random.next().is_multiple_of(4) {
            heal(&mut bytes, &original);
        }
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        if let Ok(mut consumer) = fake.open() {
            accepted += 1;
            exercise(&mut consumer);
            assert_ne!(consumer.status(), Status::Truncated);
        }
    });
    assert!(accepted > 0, "the damage never comes behind the header");
}

#[test]
fn every_byte_of_the_header_may_be_anything() {
    let original = valid();
    let fake = Fake::new(&original);
    let file = File::options().write(true).open(&fake.0).unwrap();
    for (at, &byte) in original[..size_of::<Header>()].iter().enumerate() {
        for value in [0, 0xff, byte ^ 1] {
            file.write_all_at(&[value], at as u64).unwrap();
            if let Ok(mut consumer) = fake.open() {
                exercise(&mut consumer);
            }
        }
        file.write_all_at(&[byte], at as u64).unwrap();
    }
}

/// Words of the header that a writer changes all the time.
const CHANGING: [usize; 16] = [
    field!(ring_head),
    field!(ring_backed),
    field!(epochs_head),
    field!(epochs_backed),
    field!(links_head),
    field!(links_backed),
    field!(marks_head),
    field!(marks_backed),
    field!(heat_used),
    field!(heat_dropped),
    field!(maps_version),
    field!(maps_state),
    field!(strings_used),
    field!(epoch_done),
    field!(end),
    field!(news),
];

/// A segment in memory that a test can store to as fast as a hostile owner.
struct Scribbled {
    memory: WriterMemory,
    path: PathBuf,
}

impl Scribbled {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let place = Place::new(name, None);
        let (memory, file) = WriterMemory::create(place, bytes.len()).unwrap();
        // As a writer that lives: whoever prunes dead segments meanwhile leaves it alone.
        file.lock_shared().unwrap();
        memory.populate(0..bytes.len()).unwrap();
        for (word, value) in memory.words().iter().zip(bytes.as_chunks().0) {
            word.store(u64::from_le_bytes(*value), Ordering::Relaxed);
        }
        let path = path_of(name);
        Self { memory, path }
    }

    /// Stores anything anywhere, but for the header's fixed part, until told to stop.
    fn scribble(&self, seed: u64, stop: &AtomicBool) {
        let words = self.memory.words();
        let mut random = Random(seed);
        let mut head = 0;
        while !stop.load(Ordering::Relaxed) {
            let word = match random.below(3) {
                0 => CHANGING[random.below(CHANGING.len())],
                _ => field!(ring_head) + random.below(words.len() - field!(ring_head)),
            };
            head += random.next() >> 40;
            let value = match random.below(3) {
                0 => head,
                1 => random.extreme(),
                _ => random.next(),
            };
            words[word].store(value, Ordering::Relaxed);
        }
    }

    /// Only the heads run, as fast as they can: there is always more, and never anything to be read.
    fn run_away(&self, stop: &AtomicBool) {
        let heads = [
            field!(ring_head),
            field!(epochs_head),
            field!(links_head),
            field!(marks_head),
        ];
        for lap in (1 << 20..).step_by(1 << 20) {
            for head in heads {
                self.memory.words()[head].store(lap, Ordering::Relaxed);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

#[test]
fn a_segment_that_changes_at_random_while_it_is_read_never_keeps_a_reader() {
    let segment = Scribbled::new(&unique_name(), &valid());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| segment.scribble(1, &stop));
        let _stop = Stop(&stop);
        let mut consumer = Consumer::open(&segment.path).unwrap();
        for_many_seeds(|_| exercise(&mut consumer));
    });
}

#[test]
fn heads_that_run_away_never_keep_a_reader() {
    let segment = Scribbled::new(&unique_name(), &valid());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| segment.run_away(&stop));
        let _stop = Stop(&stop);
        let mut consumer = Consumer::open(&segment.path).unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(500) {
            exercise(&mut consumer);
            let _ = consumer.drain().count();
        }
    });
}

/// An id that no process can have: above the largest `pid_max`.
fn pid_of_nobody(number: u32) -> u32 {
    (1 << 23) + process::id() * 16 + number
}

#[test]
fn a_session_of_damaged_segments_never_panics() {
    let own = pid_of_nobody(0);
    let pids = [own, pid_of_nobody(1), pid_of_nobody(2)];
    let segments = pids.map(|pid| {
        let mut bytes = valid();
        let at = field!(pid) * WORD;
        bytes[at..at + size_of_val(&pid)].copy_from_slice(&pid.to_le_bytes());
        Scribbled::new(&segment_name(pid), &bytes)
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (segment, seed) in segments.iter().zip(1..) {
            let stop = &stop;
            scope.spawn(move || segment.scribble(seed, stop));
        }
        let _stop = Stop(&stop);
        let started = Instant::now();
        while started.elapsed() < duration() / 3 {
            let mut session = Session::of(own).unwrap();
            assert_eq!(session.members().count(), pids.len());
            for _ in 0..5 {
                let changes = session.refresh();
                assert!(changes.len() <= 100, "{changes:?}");
                session.members_mut().for_each(exercise);
                let _ = (session.missed(), session.wait(Some(Duration::ZERO)));
            }
        }
    });
}

/// One long name that all mappings share: a table of a few megabytes that would ask for many times that.
#[test]
fn names_never_take_more_memory_than_there_is() {
    const LONGEST: usize = 1 << 16;
    let name = unique_name();
    let config = SegmentConfig {
        map_entries: 1 << 11,
        string_bytes: 1 << 17,
        ..small(64)
    };
    let mut writer = SegmentWriter::create_named(&config, &name).unwrap();
    let long = "x".repeat(LONGEST);
    let entries = (0..config.map_entries.into()).map(|start| MappingEntry {
        start,
        end: start + 1,
        name: &long,
        ..MappingEntry::default()
    });
    writer.publish_mappings(entries);
    let consumer = Consumer::open(&path_of(&name)).unwrap();
    let mappings = consumer.mappings().unwrap();
    assert_eq!(mappings.entries.len(), config.map_entries as usize);
    let bytes: usize = mappings.entries.iter().map(|entry| entry.name.len()).sum();
    assert!((LONGEST..=64 << 20).contains(&bytes), "{bytes}");
}
