//! What the exporter knows of itself.

use std::fs;

/// Clock ticks in a second as /proc counts them, on every Linux for x86-64.
const TICKS: u64 = 100;

/// Facts about the exporter, for its own metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Myself {
    /// Processor time that it has taken, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// How often its metrics were asked for.
    pub(crate) scrapes: u64,
}

impl Myself {
    /// As it is now.
    pub(crate) fn now(scrapes: u64) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        Self {
            cpu_ns: cpu_ticks(&stat).unwrap_or(0) * (1_000_000_000 / TICKS),
            scrapes,
        }
    }
}

/// Fields 14 and 15 of proc_pid_stat(5). The name in field 2 may have blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_both_modes() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 3 0 99";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks(""), None);
    }
}
