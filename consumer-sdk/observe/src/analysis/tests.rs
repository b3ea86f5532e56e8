//! Recordings with patterns that are known, and what the analysis says of them.

use super::model::{Analysis, Process};
use super::{Choice, analyse};
use crate::recording::manifest::{End, RowOf};
use crate::recording::sample::{Event, Sample, start_of, written};
use crate::recording::schema::Table;
use proptest::prelude::*;

const PID: u32 = 7;

fn analysis(sample: &Sample) -> Analysis {
    let choice = Choice { pid: None, most: 4 };
    analyse(&sample.written(), choice).expect("a sample can be analysed")
}

fn process(sample: &Sample) -> Process {
    analysis(sample).close.remove(0)
}

/// Ten epochs: page 0x100 of the heap is written in each, 0x101 in one, 0x110 to 0x119 in one each; page 0x7000 of the
/// stack in the first five.
fn known() -> Sample {
    let mut sample = Sample::new();
    sample.process(
        PID,
        "./solver input.dat",
        vec![("most_mapped_pages", 100.into()), ("events", 26.into())],
    );
    sample.mapping(PID, 1, 0x100, 0x40, "[heap]");
    sample.mapping(PID, 2, 0x7000, 2, "[stack]");
    sample.epochs(PID, 10, |epoch| if epoch <= 5 { 3 } else { 2 });
    for epoch in 1..=10 {
        sample.event(PID, written(epoch, 0x100, 1));
        if epoch == 3 {
            sample.event(PID, written(epoch, 0x101, 1));
        }
        sample.event(PID, written(epoch, 0x110 + u64::from(epoch) - 1, 1));
        if epoch <= 5 {
            sample.event(PID, written(epoch, 0x7000, 2));
        }
    }
    sample.manifest.rows = 26;
    sample
}

#[test]
fn pages_and_events_are_counted() {
    let process = process(&known());
    assert_eq!((process.pages, process.events), (13, [26, 0, 0]));
    assert_eq!(process.distribution.written, 13);
    assert_eq!(process.distribution.untouched, 87);
    assert!(!process.distribution.loads_watched);
}

#[test]
fn pages_lie_in_the_bin_of_the_epochs_that_touched_them() {
    let process = process(&known());
    let bins = process.temperature.bins.iter();
    let bins: Vec<(&str, u64, u64)> = bins
        .map(|bin| (bin.label.as_str(), bin.pages, bin.events))
        .collect();
    assert_eq!(
        bins,
        [
            ("one epoch", 11, 11),
            ("10 to 25 %", 0, 0),
            ("25 to 50 %", 1, 5),
            ("50 to 75 %", 0, 0),
            ("more than 75 %", 0, 0),
            ("every epoch", 1, 10)
        ]
    );
}

#[test]
fn a_small_program_has_a_row_for_each_page_and_a_column_for_each_epoch() {
    let heat = process(&known()).heat;
    assert_eq!((heat.rows.len(), heat.columns()), (13, 10));
    assert_eq!(heat.epochs, [1; 10]);
    let bands: Vec<(usize, usize, &str)> = heat
        .bands
        .iter()
        .map(|band| (band.first_row, band.rows, band.label.as_str()))
        .collect();
    assert_eq!(bands, [(0, 12, "[heap]"), (12, 1, "[stack]")]);
    let events =
        |index: usize| -> u64 { heat.cells.iter().map(|cells| u64::from(cells[index])).sum() };
    let row = |row: usize| {
        (0..10)
            .map(|column| events(row * heat.columns() + column))
            .collect()
    };
    let rows: [Vec<u64>; 4] = [0, 1, 2, 12].map(row);
    assert_eq!(rows[0], [1; 10]);
    assert_eq!(rows[1], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rows[2], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rows[3], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
    assert_eq!((heat.rows[1].folded, heat.rows[2].folded), (0, 0xe000));
    assert!(heat.start.abs() < 0.05 && (heat.width - 0.1).abs() < 0.001);
    assert!((heat.intensity(0, 3, &[0]) - 1.0).abs() < 1e-9);
}

#[test]
fn mappings_are_told_with_how_often_their_pages_are_touched() {
    let process = process(&known());
    let [heap, stack] = &process.mappings[..] else {
        panic!("{:?}", process.mappings);
    };
    assert_eq!(
        (heap.name.as_str(), heap.class.as_str()),
        ("[heap]", "heap")
    );
    assert_eq!((heap.bytes, heap.pages, heap.events[0]), (0x40000, 12, 21));
    assert!((heap.frequency - 21.0 / 120.0).abs() < 1e-9);
    assert_eq!((stack.pages, stack.events), (1, [5, 0, 0]));
    assert!((stack.frequency - 0.5).abs() < 1e-9);
    assert!(stack.last < 0.45 && stack.first < 0.05, "{stack:?}");
}

#[test]
fn a_gap_of_a_tebibyte_is_folded_and_a_single_page_stays_visible() {
    let mut sample = Sample::new();
    sample.process(PID, "gap", vec![]);
    sample.mapping(PID, 1, 1 << 20, 20_000, "");
    sample.mapping(PID, 2, (1 << 20) + (1 << 28), 1, "[stack]");
    sample.epochs(PID, 2, |_| 20_000);
    for page in 0..20_000 {
        sample.event(PID, written(1, (1 << 20) + page, 1));
    }
    sample.event(PID, written(2, (1 << 20) + (1 << 28), 2));
    sample.rows_in_a_file = 3000;
    let heat = process(&sample).heat;
    assert_eq!(heat.rows.len(), 250);
    let last = heat.rows[249];
    assert_eq!(last.pages, 1);
    assert_eq!(last.folded, (1 << 40) - 20_000 * 4096);
    assert_eq!(heat.bands[0].label, "(anonymous memory) 0x100000000");
    let pages = heat.rows[..249].iter().map(|row| row.pages);
    assert!(pages.clone().all(|pages| (80..=81).contains(&pages)));
    assert_eq!(pages.sum::<u64>(), 20_000);
}

#[test]
fn writes_reads_and_what_the_kernel_writes_are_told_apart() {
    let mut sample = Sample::new();
    sample.process(PID, "mixed", vec![("track", "readwrite".into())]);
    sample.epochs(PID, 4, |_| 4);
    let event = |epoch, page, kind| Event {
        kind,
        ..written(epoch, page, 0)
    };
    sample.event(PID, event(1, 10, "write"));
    sample.event(PID, event(1, 10, "kernel"));
    sample.event(PID, event(1, 11, "read"));
    sample.event(PID, event(2, 12, "read"));
    sample.event(PID, event(2, 13, "kernel"));
    sample.event(PID, event(3, 12, "write"));
    let process = process(&sample);
    let distribution = process.distribution;
    assert_eq!(
        (distribution.written, distribution.read, distribution.both),
        (2, 1, 1)
    );
    assert!(distribution.loads_watched);
    assert_eq!(process.events, [2, 2, 2]);
    // Page 10 has two events in one epoch, page 12 two in two.
    let row = &process.mappings[0];
    assert_eq!((row.name.as_str(), row.pages), ("(unknown)", 4));
    assert!((row.frequency - 5.0 / 16.0).abs() < 1e-9);
    assert_eq!(process.temperature.bins[0].pages, 3);
}

#[test]
fn a_process_that_executes_another_program_is_two() {
    let mut sample = known();
    let program = |end: &str, events: i64| {
        vec![
            ("command", "second".into()),
            ("start_ns", start_of(20).into()),
            ("end", end.into()),
            ("events", events.into()),
            ("resident_pages", 3.into()),
        ]
    };
    sample.row(Table::Processes, PID, 1, program("exited", 0));
    let analysis = analysis(&sample);
    let told: Vec<(u32, &str)> = analysis
        .processes
        .iter()
        .map(|facts| (facts.program, facts.command.as_str()))
        .collect();
    assert_eq!(told, [(0, "./solver input.dat"), (1, "second")]);
    assert_eq!(analysis.close[1].pages, 0);
    assert!(analysis.close[1].heat.rows.is_empty());
    assert_eq!(analysis.processes[0].resident_pages, None);
    assert_eq!(analysis.processes[1].resident_pages, Some(3));
}

#[test]
fn an_address_that_is_used_again_counts_for_each_of_its_mappings() {
    let mut sample = Sample::new();
    sample.process(PID, "again", vec![]);
    sample.mapping(PID, 1, 0x100, 4, "/first");
    sample.mapping(PID, 2, 0x100, 4, "/second");
    sample.epochs(PID, 3, |_| 1);
    sample.event(PID, written(1, 0x100, 1));
    sample.event(PID, written(2, 0x100, 2));
    sample.event(PID, written(3, 0x100, 2));
    let process = process(&sample);
    assert_eq!(process.pages, 1);
    let told: Vec<(&str, u64, u64)> = process
        .mappings
        .iter()
        .map(|row| (row.name.as_str(), row.pages, row.events[0]))
        .collect();
    assert_eq!(told, [("/second", 1, 2), ("/first", 1, 1)]);
    assert_eq!(process.heat.bands[0].label, "/second");
}

#[test]
fn rows_of_a_resolution_count_pages_of_blocks() {
    let mut sample = Sample::new();
    sample.manifest.resolution = Some(RowOf {
        time_ns: 500_000_000,
        bytes: 64 << 10,
    });
    sample.process(PID, "blocks", vec![]);
    sample.epochs(PID, 10, |_| 8);
    for epoch in [1, 6] {
        // Eight of sixteen pages, each in all of five epochs.
        sample.event(
            PID,
            Event {
                count: 40,
                pages: 8,
                ..written(epoch, 0x100, 0)
            },
        );
    }
    let process = process(&sample);
    assert_eq!((process.pages, process.events[0]), (8, 80));
    assert_eq!(
        process.heat.rows[0].end - process.heat.rows[0].start,
        64 << 10
    );
    assert_eq!(process.heat.columns(), 2);
    assert_eq!(process.temperature.bins.last().unwrap().pages, 8);
    assert!((process.mappings[0].frequency - 1.0).abs() < 1e-9);
    let notes = analysis(&sample).notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("--resolution 500ms,64 KiB")),
        "{notes:?}"
    );
}

#[test]
fn losses_and_missing_files_are_told_with_what_they_mean() {
    let mut sample = known();
    sample.process(
        PID,
        "lossy",
        vec![
            ("events", 26.into()),
            ("lost", 1234.into()),
            ("ring_dropped", 5.into()),
            ("unknown_calls", 1.into()),
        ],
    );
    sample.manifest.missed = 2;
    sample.manifest.rows = 30;
    let notes = analysis(&sample).notes.join("\n");
    for said in [
        "Its table of events has 30 rows, and 26 are in its files",
        "1,234 records were overwritten before the recorder came to them",
        "5 records found no memory in the ring",
        "2 processes came and went too fast",
        "Of 1 system call it is not known",
    ] {
        assert!(notes.contains(said), "no \"{said}\" in:\n{notes}");
    }
}

#[test]
fn a_recording_whose_recorder_was_killed_says_how_far_it_goes() {
    let mut sample = Sample::new();
    sample.manifest.end = End::Unfinished;
    sample.epochs(PID, 10, |_| 1);
    sample.event(PID, written(1, 0x100, 0));
    let analysis = analysis(&sample);
    let notes = analysis.notes.join("\n");
    assert!(
        notes.contains("The recorder ended without saying so"),
        "{notes}"
    );
    assert!(
        notes.contains("complete up to 0.999 s after it began"),
        "{notes}"
    );
    let facts = &analysis.processes[0];
    assert_eq!(
        (facts.end.as_str(), facts.events, facts.epochs),
        ("unknown", 1, 10)
    );
}

#[test]
fn an_empty_recording_says_so() {
    let sample = Sample::new();
    assert_eq!(analysis(&sample).notes, ["No process was recorded."]);
    let mut sample = Sample::new();
    sample.process(PID, "none", vec![("track", "none".into())]);
    let analysis = analysis(&sample);
    assert!(analysis.notes[0].contains("--track none"));
    assert!(analysis.close[0].findings.is_empty());
}

#[test]
fn a_process_that_was_not_recorded_is_named_with_those_that_were() {
    let choice = Choice {
        pid: Some(99),
        most: 4,
    };
    let failure = analyse(&known().written(), choice).unwrap_err().to_string();
    assert_eq!(
        failure,
        "the recording has nothing of process 99. Choose one of 7"
    );
}

#[test]
fn a_damaged_file_is_named() {
    let sample = known();
    let recording = sample.written();
    let part = sample.path().join("events/process=7-0/part-000000.parquet");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    let choice = Choice { pid: None, most: 4 };
    let failure = analyse(&recording, choice).unwrap_err().to_string();
    assert!(
        failure.contains("part-000000.parquet is damaged: "),
        "{failure}"
    );
    // What is not complete has no such name yet.
    std::fs::rename(&part, part.with_file_name(".part-000000.parquet.tmp")).unwrap();
    assert_eq!(analyse(&recording, choice).unwrap().close[0].pages, 0);
}

#[test]
fn working_sets_come_from_the_epochs() {
    let set = process(&known()).working_set;
    assert_eq!((set.least, set.median, set.most, set.idle), (2, 2, 3, 0));
    assert_eq!(set.points.len(), 10);
    assert!(set.points[9].time > 0.85 && set.points[9].touched == 2);
}

#[test]
fn findings_are_what_the_numbers_say() {
    let findings = process(&known()).findings.join("\n");
    for said in [
        "[heap] has 80.8 % of the events, on 92.3 % of the touched pages.",
        "84.6 % of the touched pages (44 KiB) were touched in one epoch only.",
        "87.0 % of the memory mapped at most at once (348 KiB) was never written while it was recorded",
    ] {
        assert!(findings.contains(said), "no \"{said}\" in:\n{findings}");
    }
}

/// Random events, in the order of their epochs.
fn random_events() -> impl Strategy<Value = Vec<(u32, u64, usize, u32)>> {
    let page = prop_oneof![0u64..300, 5000u64..5010, (1u64 << 30)..(1 << 30) + 3];
    let event = (1u32..400, page, 0usize..3, 0u32..5);
    prop::collection::vec(event, 1..300).prop_map(|mut events| {
        events.sort_unstable();
        events.dedup();
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_numbers_add_up(events in random_events()) {
        let mut sample = Sample::new();
        sample.process(PID, "random", vec![]);
        for id in 1..4 {
            sample.mapping(PID, id, u64::from(id - 1) * 100, 100, "");
        }
        sample.epochs(PID, 400, |_| 1);
        for &(epoch, page, kind, mapping) in &events {
            let kind = super::events::KINDS[kind];
            sample.event(PID, Event { kind, ..written(epoch, page, mapping) });
        }
        let process = process(&sample);
        let sum = |kind: usize| process.heat.cells[kind].iter().map(|&n| u64::from(n)).sum();
        let cells: [u64; 3] = [sum(0), sum(1), sum(2)];
        prop_assert_eq!(cells, process.events);
        prop_assert_eq!(cells.iter().sum::<u64>(), events.len() as u64);
        let rows = &process.heat.rows;
        prop_assert!(rows.len() <= 250);
        prop_assert!(rows.iter().all(|row| row.start < row.end));
        prop_assert!(rows.windows(2).all(|two| two[0].end + two[1].folded == two[1].start));
        prop_assert_eq!(rows.iter().map(|row| row.pages).sum::<u64>(), process.pages);
        let bands = &process.heat.bands;
        prop_assert_eq!(bands.iter().map(|band| band.rows).sum::<usize>(), rows.len());
        let bins = &process.temperature.bins;
        prop_assert_eq!(bins.iter().map(|bin| bin.pages).sum::<u64>(), process.pages);
        prop_assert_eq!(bins.iter().map(|bin| bin.events).sum::<u64>(), events.len() as u64);
        let mappings: u64 = process.mappings.iter().flat_map(|row| row.events).sum();
        prop_assert_eq!(mappings, events.len() as u64);
        let curve = &process.temperature.curve;
        prop_assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        prop_assert_eq!(curve.last().copied(), Some((1.0, 1.0)));
        prop_assert_eq!(process.heat.epochs.iter().sum::<u32>(), 400);
        let last = process.temperature.over_time.last().unwrap();
        prop_assert_eq!(last.hot + last.warm + last.cool + last.cold, process.pages);
    }
}

#[test]
fn an_epoch_that_lasts_over_several_columns_is_told_in_all_of_them() {
    let mut sample = Sample::new();
    sample.process(PID, "./solver", vec![("events", 6.into())]);
    sample.mapping(PID, 1, 0x100, 1, "[heap]");
    // The fourth one lasts as long as five; of the tenth nothing is known.
    let epochs = [
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 9),
        (9, 10),
        (11, 12),
        (12, 13),
        (13, 14),
    ];
    for (start, end) in epochs {
        let row = vec![
            ("epoch", i64::from(start).into()),
            ("start_ns", start_of(start).into()),
            ("end_ns", start_of(end).into()),
        ];
        sample.row(Table::Epochs, PID, 0, row);
    }
    for epoch in [1, 3, 4, 9, 11, 12] {
        sample.event(PID, written(epoch, 0x100, 1));
    }
    let heat = process(&sample).heat;
    assert_eq!(heat.epochs, [1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1]);
    assert_eq!(heat.told_by, [0, 1, 2, 3, 3, 3, 3, 3, 8, 9, 10, 11, 12]);
    let hot: Vec<f64> = (0..13)
        .map(|column| heat.intensity(0, column, &[0]))
        .collect();
    let expected = [1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0].map(f64::from);
    assert_eq!(hot, expected);
    assert_eq!(heat.cells[0].iter().sum::<u32>(), 6);
}
