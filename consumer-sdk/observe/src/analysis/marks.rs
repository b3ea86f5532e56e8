//! What the program has said.

use super::mappings::Clock;
use super::model::MarkPoint;
use crate::failure::Failure;
use crate::recording::rows::Rows;
use std::collections::HashMap;

/// Most marks that are shown.
const MOST: usize = 100;

/// The marks in the order of time, and how many are left out. Where there are many, those of rare names stay: what is
/// said once tells more than what is said in each round of a loop.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub(super) fn read(rows: &Rows, clock: Clock) -> Result<(Vec<MarkPoint>, u64), Failure> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut of_name: Vec<(String, Vec<f64>)> = Vec::new();
    rows.visit(&["time_ns", "name"], |batch| {
        let (times, names) = (batch.i64("time_ns")?, batch.text("name")?);
        for (row, &time_ns) in times.iter().enumerate() {
            let name = names.value(row);
            let number = match numbers.get(name) {
                Some(&number) => number,
                None => {
                    numbers.insert(name.to_owned(), of_name.len());
                    of_name.push((name.to_owned(), Vec::new()));
                    of_name.len() - 1
                }
            };
            of_name[number].1.push(clock.seconds(time_ns));
        }
        Ok(())
    })?;
    let all: usize = of_name.iter().map(|(_, times)| times.len()).sum();
    of_name.sort_by_key(|(_, times)| times.len());
    let mut kept: Vec<MarkPoint> = Vec::new();
    let names = of_name.len();
    for (number, (name, times)) in of_name.iter().enumerate() {
        let share = (MOST - kept.len()).div_ceil(names - number);
        kept.extend(evenly(times, share).map(|&time| MarkPoint {
            time,
            name: name.clone(),
        }));
    }
    kept.sort_by(|a, b| a.time.total_cmp(&b.time));
    let left_out = (all - kept.len()) as u64;
    Ok((kept, left_out))
}

/// At most so many of some things, from the first one on, evenly.
fn evenly<T>(things: &[T], most: usize) -> impl Iterator<Item = &T> {
    let step = things.len().div_ceil(most.max(1)).max(1);
    things.iter().step_by(step).take(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::reader::ProgramId;
    use crate::recording::sample::{START, Sample};
    use crate::recording::schema::Table;

    #[test]
    fn what_is_said_once_is_shown_beside_what_is_said_in_each_round() {
        let mut sample = Sample::new();
        for round in 0..5000 {
            let time = START + round * 1_000_000;
            let name = if round == 2500 { "solve" } else { "round" };
            let row = vec![("time_ns", time.into()), ("name", name.into())];
            sample.row(Table::Marks, 7, 0, row);
        }
        let id = ProgramId { pid: 7, program: 0 };
        let rows = sample.written().rows(Table::Marks, id).unwrap();
        let (marks, left_out) = read(&rows, Clock { start_ns: START }).unwrap();
        assert!((90..=MOST).contains(&marks.len()), "{}", marks.len());
        assert_eq!(marks.len() as u64 + left_out, 5000);
        assert!(marks.is_sorted_by(|a, b| a.time <= b.time));
        let solve: Vec<f64> = marks
            .iter()
            .filter(|mark| mark.name == "solve")
            .map(|mark| mark.time)
            .collect();
        assert_eq!(solve, [2.5]);
    }
}
