//! What stands behind an option: text to value, or why not and what to write instead.

use super::{CallMode, Children, SummaryTarget};
use crate::host::credentials;
use clap::builder::{PossibleValue, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::time::Duration;
use vmmload_consumer::Track;

/// Limits of KVM's dirty ring: below the lower one it would be full all the time, and 65,536 entries
/// are the most that KVM allows. With Page Modification Logging, KVM's own least is 1024.
const BUFFER_RANGE: RangeInclusive<u32> = 512..=65_536;

/// Per cent of the program's time that tracking may take.
const OVERHEAD_RANGE: RangeInclusive<u32> = 1..=100;

/// Per cent of one processor's time: of up to a thousand processors.
const BUDGET_RANGE: RangeInclusive<u32> = 0..=100_000;

/// Records in a segment's ring: 40 KiB to 640 MiB of memory, once it is full.
const RING_RANGE: RangeInclusive<u32> = 1024..=16_777_216;

/// Counter pages in a segment: each counts one kind of event in 2 MiB of the program's memory.
const HEAT_RANGE: RangeInclusive<u32> = 16..=65_536;

/// A parser of values that are among these words, which completions can offer. The function tells what is wrong
/// with others.
#[derive(Clone)]
pub(super) struct Offering<T> {
    /// With blanks between them.
    words: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

pub(super) fn offering<T>(
    words: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Offering<T> {
    Offering { words, parse }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Offering<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        option: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        self.parse.parse_ref(command, option, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.words.split(' ').map(PossibleValue::new)))
    }
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = match text {
        "0" => Duration::ZERO,
        _ => humantime::parse_duration(text).map_err(|error| {
            format!("{error}; write it like 100ms, 1s or 2m, or 0 for epochs as short as can be")
        })?,
    };
    match u64::try_from(interval.as_nanos()) {
        Ok(_) => Ok(interval),
        Err(_) => Err("longer than 584 years; use a shorter one".into()),
    }
}

pub(super) fn track(text: &str) -> Result<Track, String> {
    match text {
        "write" => Ok(Track::Write),
        "readwrite" => Ok(Track::ReadWrite),
        "none" => Ok(Track::None),
        _ => Err("not something that can be tracked; use write, readwrite or none".into()),
    }
}

pub(super) fn overhead(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(percent) if OVERHEAD_RANGE.contains(&percent) => Ok(percent),
        _ => Err("not a share of the program's time; use a whole number from 1 to 100".into()),
    }
}

pub(super) fn buffer(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(entries) if entries.is_power_of_two() && BUFFER_RANGE.contains(&entries) => Ok(entries),
        _ => Err("use a power of two from 512 to 65536".into()),
    }
}

pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let all = "use a power of two from 1024 to 16777216 (16M), such as 65536 or 64K";
    let records = count(text).ok_or_else(|| format!("not a number of records; {all}"))?;
    if !RING_RANGE.contains(&records) {
        return Err(format!(
            "{records} records are not a size of the ring; {all}"
        ));
    }
    if !records.is_power_of_two() {
        let (below, above) = (records.next_power_of_two() / 2, records.next_power_of_two());
        return Err(format!(
            "{records} is no power of two; use {below} or {above}"
        ));
    }
    Ok(records)
}

pub(super) fn heat_size(text: &str) -> Result<u32, String> {
    match count(text) {
        Some(pages) if HEAT_RANGE.contains(&pages) => Ok(pages),
        _ => Err(
            "not a number of counter pages; use 16 to 65536 (64K), one for each 2 MiB that the program \
             touches"
                .into(),
        ),
    }
}

pub(super) fn children(text: &str) -> Result<Children, String> {
    match text {
        "follow" => Ok(Children::Follow),
        "native" => Ok(Children::Native),
        _ => {
            Err("not a way to treat processes that the command starts; use follow or native".into())
        }
    }
}

pub(super) fn call_mode(text: &str) -> Result<CallMode, String> {
    match text {
        "auto" => Ok(CallMode::Auto),
        "exit" => Ok(CallMode::Exit),
        "spin" => Ok(CallMode::Spin),
        _ => Err("not a way to make system calls; use auto, exit or spin".into()),
    }
}

pub(super) fn spin_budget(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(percent) if BUDGET_RANGE.contains(&percent) => Ok(percent),
        _ => Err(
            "not a share of processor time; use a whole number from 0 to 100000, where 100 is one processor".into(),
        ),
    }
}

/// Where a summary goes. Any path can be one.
pub(super) fn summary(target: OsString) -> SummaryTarget {
    match target.as_encoded_bytes() {
        b"" | b"-" => SummaryTarget::Stderr,
        _ => SummaryTarget::File(target.into()),
    }
}

/// A whole number, or one of 1,024 (K) or 1,048,576 (M).
fn count(text: &str) -> Option<u32> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: u32 = is_plain.then(|| digits.parse().ok())??;
    number.checked_mul(unit)
}

/// Permission bits of the segments' files.
pub(super) fn ring_mode(text: &str) -> Result<u32, String> {
    let choices = "use 600 (you and root), 640 (your group, too) or 644 (everybody)";
    let is_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    let mode = mode.ok_or_else(|| format!("not an octal mode; {choices}"))?;
    if mode & 0o022 != 0 {
        return Err(format!(
            "would let others write to the segment, and its readers count on that only vmmload does; \
             {choices}"
        ));
    }
    match mode {
        0o600 | 0o604 | 0o640 | 0o644 => Ok(mode),
        _ => Err(format!(
            "a segment is written by its owner, read by others if at all, and executed by nobody; {choices}"
        )),
    }
}

/// The number of a group, given by its name or number.
pub(super) fn ring_group(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let found = credentials::group_number(text);
    found.ok_or_else(|| "there is no such group; `id -Gn` names yours".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_or_without_a_unit() {
        for (text, size) in [
            ("1024", 1024),
            ("64K", 65_536),
            ("1M", 1 << 20),
            ("16m", 1 << 24),
            ("16777216", 1 << 24),
        ] {
            assert_eq!(ring_size(text), Ok(size), "{text}");
        }
        assert_eq!(
            (heat_size("16"), heat_size("1000"), heat_size("64k")),
            (Ok(16), Ok(1000), Ok(65_536))
        );
    }

    #[test]
    fn sizes_out_of_range_are_refused_with_one_that_would_do() {
        for (text, hint) in [
            ("1000", "from 1024"),
            ("512", "from 1024"),
            ("3000", "use 2048 or 4096"),
            ("3K", "use 2048 or 4096"),
            ("32M", "to 16777216"),
            ("8192M", "not a number"),
            ("-1024", "not a number"),
            ("+1024", "not a number"),
            ("K", "not a number"),
            ("", "not a number"),
            ("1024 ", "not a number"),
            ("1é", "not a number"),
        ] {
            let refusal = ring_size(text).unwrap_err();
            assert!(refusal.contains(hint), "{text}: {refusal}");
        }
        for text in ["0", "15", "65537", "1M", "many", ""] {
            let refusal = heat_size(text).unwrap_err();
            assert!(refusal.contains("16 to 65536"), "{text}: {refusal}");
        }
    }

    #[test]
    fn modes_let_nobody_else_write() {
        for (text, mode) in [
            ("600", 0o600),
            ("0640", 0o640),
            ("0644", 0o644),
            ("604", 0o604),
        ] {
            assert_eq!(ring_mode(text), Ok(mode), "{text}");
        }
        for text in ["660", "0666", "602", "620", "777", "622"] {
            let refusal = ring_mode(text).unwrap_err();
            assert!(refusal.contains("others write"), "{text}: {refusal}");
        }
        for text in ["0", "400", "444", "700", "2640", "100640"] {
            let refusal = ring_mode(text).unwrap_err();
            assert!(
                refusal.contains("written by its owner"),
                "{text}: {refusal}"
            );
        }
        for text in [
            "",
            "rw",
            "u=rw",
            "0o640",
            "680",
            "-640",
            "+640",
            "77777777777777",
        ] {
            let refusal = ring_mode(text).unwrap_err();
            assert!(refusal.contains("not an octal mode"), "{text}: {refusal}");
        }
    }

    #[test]
    fn groups_have_numbers_and_names() {
        assert_eq!((ring_group("root"), ring_group("4711")), (Ok(0), Ok(4711)));
        for name in ["no-such-group-here", "", "a\0b"] {
            assert!(ring_group(name).unwrap_err().contains("no such group"));
        }
    }
}
