//! The text report of recordings whose numbers are known.

use super::report;
use crate::analysis::{Choice, analyse};
use crate::recording::sample::{START, Sample, written};
use crate::recording::schema::Table;

fn sample() -> Sample {
    let mut sample = Sample::new();
    sample.manifest.rows = 30;
    sample.process(
        7,
        "./solver \x1b]0;owned\x07 input.dat",
        vec![
            ("events", 30.into()),
            ("most_mapped_pages", 64.into()),
            ("resident_pages", 32.into()),
            ("lost", 3.into()),
        ],
    );
    sample.mapping(7, 1, 0x100, 0x20, "[heap]");
    sample.mapping(7, 2, 0x7000, 0x20, "/lib/cold\x1b[31m.so");
    sample.epochs(7, 10, |_| 3);
    for epoch in 1..=10 {
        for page in [0x100, 0x101, 0x400] {
            sample.event(7, written(epoch, page, u32::from(page < 0x400)));
        }
    }
    let mark = |name: &str| {
        vec![
            ("time_ns", (START + 500_000_000).into()),
            ("name", name.into()),
        ]
    };
    sample.row(Table::Marks, 7, 0, mark("solve\r\nbegins"));
    sample
}

fn text(sample: &Sample) -> String {
    let choice = Choice { pid: None, most: 4 };
    report(&analyse(&sample.written(), choice).unwrap())
}

#[test]
fn the_report_says_what_was_recorded_and_what_it_means() {
    let text = text(&sample());
    for said in [
        "vmmload: recording of ./solver input.dat",
        "ended        when all processes had ended; exit status 0",
        "machine      host: Processor, 2 processors, 8 GiB; kernel 6.1",
        "3 records were overwritten before the recorder came to them",
        "exit 0",
        "events       30 write, 0 kernel; loads were not watched",
        "epochs of 100ms, --track write, tracking limited to 33 %",
        "What stands out",
        "every epoch               3 pages  100.0 %  ####",
        "(unknown)",
        "Where most memory is mapped without an event",
        "0.500 s  solve??begins",
        "How to read this",
    ] {
        assert!(text.contains(said), "no \"{said}\" in:\n{text}");
    }
}

#[test]
fn the_report_fits_a_terminal_and_cannot_command_it() {
    let text = text(&sample());
    let controls = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(controls), "{text:?}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_process_without_events_has_no_empty_tables() {
    let mut sample = Sample::new();
    sample.process(7, "idle", vec![("track", "none".into())]);
    let text = text(&sample);
    assert!(text.contains("no event was recorded"), "{text}");
    assert!(!text.contains("How often") && !text.contains("How to read"));
}
