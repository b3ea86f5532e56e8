//! Analyses with known patterns, for the tests of pages and pictures.

use crate::analysis::model::{
    Analysis, Band, Distribution, Facts, HeatMap, HeatRow, HugePages, MappingRow, MarkPoint,
    Process, Temperature, TemperatureBin, TemperaturePoint, Tracking, WorkingSet, WorkingSetPoint,
};
use crate::recording::manifest::{End, FORMAT, MachineFacts, Manifest};

/// A name that tries to break out of wherever it is put.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=\"document.title='broken'\">'\"&amp;\u{202e}\u{7}\u{2028}<b>$x$</b>";

/// A recording of these processes.
pub(crate) fn analysis(close: Vec<Process>) -> Analysis {
    let manifest = Manifest {
        format: FORMAT.into(),
        recording: "2031-02-03T04:05:06Z-4711".into(),
        vmmload: "0.1.0".into(),
        what: "./solver input.dat".into(),
        began: "2031-02-03T04:05:06Z".into(),
        ended: Some("2031-02-03T04:05:36Z".into()),
        end: End::Complete,
        reason: None,
        status: Some(0),
        resolution: None,
        rows: 123_456,
        lost: close.iter().map(|process| process.facts.lost).sum(),
        processes: close.len() as u64,
        missed: 0,
        machine: MachineFacts {
            host: "workbench".into(),
            kernel: "6.12.0".into(),
            processor: "A Processor of 3 GHz".into(),
            processors: 8,
            memory: 32 << 30,
        },
        recorder: None,
    };
    Analysis {
        manifest,
        notes: Vec::new(),
        processes: close.iter().map(|process| process.facts.clone()).collect(),
        close,
    }
}

fn facts(pid: u32) -> Facts {
    Facts {
        pid,
        program: 0,
        parent_pid: 1,
        command: "./solver input.dat".into(),
        track: "write".into(),
        end: "exited".into(),
        status: Some(0),
        start_ns: 1_000_000_000,
        attached_ns: 1_000_100_000,
        last_ns: 31_000_000_000,
        interval_ns: 100_000_000,
        max_overhead: 33,
        epochs: 300,
        rows: 12_345,
        events: 0,
        lost: 0,
        ring_dropped: 0,
        heat_dropped: 0,
        totals: [0; 3],
        total_pages: 0,
        most_mapped_pages: 5000,
        resident_pages: Some(2000),
        calls: 1234,
        calls_without_exit: 1000,
        vm_exits: 5678,
        threads_started: 4,
        ..Facts::default()
    }
}

/// A process whose heat map is of these rows and columns, with mappings of `rows / bands` rows each. `events` says how many
/// there are of a kind in a cell; a row has 512 pages, a column 1 epoch for each 100 ms.
pub(crate) fn process(
    pid: u32,
    (rows, columns, bands): (usize, usize, usize),
    seconds: f64,
    events: impl Fn(usize, usize, usize) -> u32,
) -> Process {
    let each = rows.div_ceil(bands.max(1)).max(1);
    let row = |index: usize| {
        let start =
            0x7f00_0000_0000 + (index as u64 * (2 << 20)) + ((index / each) as u64) * (1 << 30);
        HeatRow {
            start,
            end: start + (2 << 20),
            pages: 512,
            folded: if index.is_multiple_of(each) {
                1 << 30
            } else {
                0
            },
        }
    };
    let band = |index: usize| Band {
        first_row: index * each,
        rows: each.min(rows - index * each),
        label: format!(
            "(anonymous memory) {}",
            char::from(b'A' + (index % 26) as u8)
        ),
    };
    let cells = [0, 1, 2].map(|kind| {
        let at = |cell: usize| events(kind, cell / columns, cell % columns);
        (0..rows * columns).map(at).collect::<Vec<u32>>()
    });
    let width = seconds / columns.max(1) as f64;
    let heat = HeatMap {
        start: 0.0,
        width,
        epochs: vec![((width * 10.0) as u32).max(1); columns],
        told_by: (0..columns as u32).collect(),
        rows: (0..rows).map(row).collect(),
        bands: (0..rows.div_ceil(each)).map(band).collect(),
        cells,
    };
    let sums = heat
        .cells
        .each_ref()
        .map(|cells| cells.iter().map(|&events| u64::from(events)).sum());
    let mut facts = facts(pid);
    facts.totals = sums;
    facts.events = sums.iter().sum();
    facts.total_pages = rows as u64 * 512;
    Process {
        span: (0.0, seconds),
        pages: rows as u64 * 512,
        events: sums,
        temperature: temperature(&heat),
        distribution: Distribution {
            loads_watched: sums[1] > 0,
            written: 700,
            read: 200,
            both: 100,
            untouched: 1000,
        },
        working_set: working_set(&heat),
        huge_pages: huge_pages(),
        mappings: mappings(&heat, seconds),
        marks: Vec::new(),
        marks_left_out: 0,
        findings: vec!["Half of all events are of the hottest 7.0 % of the pages.".into()],
        heat,
        facts,
        tracking: Tracking {
            epochs: 300,
            median_ns: 100_000_000,
            longest_ns: 300_000_000,
            stretched: 6,
            cost_ns: 181,
            spent_ns: 1000,
            left_alone: 0,
        },
    }
}

fn temperature(heat: &HeatMap) -> Temperature {
    let labels = [
        "once",
        "up to 1 %",
        "up to 10 %",
        "up to 50 %",
        "up to 90 %",
        "more",
        "every epoch",
    ];
    let bin = |(index, label): (usize, &&str)| TemperatureBin {
        label: (*label).into(),
        pages: [900, 120, 4000, 300, 0, 77, 512][index],
        events: 1000 * index as u64 + 900,
    };
    let point = |column: usize| TemperaturePoint {
        time: heat.start + heat.width * column as f64,
        hot: 512 + (column as u64 * 7) % 100,
        warm: 300 + (column as u64 * 13) % 200,
        cool: 100,
        cold: column as u64 * 3,
    };
    Temperature {
        bins: labels.iter().enumerate().map(bin).collect(),
        curve: (0..=100)
            .map(|step| f64::from(step) / 100.0)
            .map(|share| (share, share.powf(0.4)))
            .collect(),
        over_time: (0..heat.columns()).map(point).collect(),
    }
}

fn working_set(heat: &HeatMap) -> WorkingSet {
    let point = |column: usize| {
        let of = |kind: usize| {
            let rows = 0..heat.rows.len();
            rows.map(|row| u64::from(heat.cells[kind][row * heat.columns() + column]))
                .sum::<u64>()
        };
        WorkingSetPoint {
            time: heat.start + heat.width * column as f64,
            touched: of(0) + of(1) + of(2),
            written: of(0),
            read: of(1),
            kernel: of(2),
            lost: 0,
        }
    };
    WorkingSet {
        points: (0..heat.columns()).map(point).collect(),
        least: 5,
        median: 602,
        ninety: 4000,
        most: 5503,
        idle: 10,
    }
}

fn huge_pages() -> HugePages {
    let mut regions = [0; 16];
    (regions[0], regions[7], regions[15]) = (6, 3, 24);
    HugePages {
        regions,
        total: 33,
        median: 512,
        mean: 396.4,
    }
}

fn mappings(heat: &HeatMap, seconds: f64) -> Vec<MappingRow> {
    let count = heat.bands.len();
    let row = |(index, band): (usize, &Band)| MappingRow {
        name: band.label.clone(),
        class: "anonymous".into(),
        bytes: band.rows as u64 * (2 << 20),
        pages: band.rows as u64 * 512,
        events: [1000 * (count - index) as u64, 0, index as u64],
        frequency: (count - index) as f64 / count as f64,
        first: 0.1,
        last: seconds,
    };
    heat.bands.iter().enumerate().map(row).collect()
}

/// Two mappings of two rows: all pages of the first are written in each epoch of the first half, those of the second in
/// the second half; a gibibyte is folded away between them.
pub(crate) fn stripes() -> Process {
    let mut process = process(4711, (4, 20, 2), 2.0, |kind, row, column| {
        match kind == 0 && (row < 2) == (column < 10) {
            true => 512,
            false => 0,
        }
    });
    process.marks = vec![MarkPoint {
        time: 1.0,
        name: "half time".into(),
    }];
    process
}

/// Waves over many mappings, of all kinds, with losses and marks.
pub(crate) fn waves(pid: u32, bands: usize, seconds: f64) -> Process {
    let mut process = process(pid, (200, 240, bands), seconds, |kind, row, column| {
        let wave = ((row as f64) / 17.0 + (column as f64) / (23.0 + kind as f64)).sin();
        let strength =
            (wave * 500.0 - 100.0 * kind as f64).max(0.0) * ((row % 7) as f64 / 6.0).powi(3);
        match kind {
            2 if row % 29 != 0 => 0,
            _ => strength as u32 * ((seconds * 10.0 / 240.0) as u32).max(1),
        }
    });
    for (index, band) in process.heat.bands.iter_mut().enumerate() {
        match index % 4 {
            0 => {}
            1 => {
                band.label =
                    format!("/usr/lib/x86_64-linux-gnu/some/where/libnumber{index}.so.6.0.{index}")
            }
            2 => band.label = "[heap]".into(),
            _ => band.label = format!("[anon:arena {index}]"),
        }
    }
    for (mapping, band) in process.mappings.iter_mut().zip(&process.heat.bands) {
        mapping.name.clone_from(&band.label);
    }
    let mark = |index: u32| MarkPoint {
        time: seconds * f64::from(index * index) / 100.0,
        name: format!("phase {index} of the computation"),
    };
    process.marks = (1..10).map(mark).collect();
    process.working_set.points[100].lost = 1234;
    process.working_set.points[101].lost = 34;
    process.facts.lost = 1268;
    process.facts.track = "readwrite".into();
    process.facts.command = "/usr/bin/python3 -m test -q test_queue".into();
    process
}

/// A process that nothing is known of but that it was there.
pub(crate) fn untouched(pid: u32) -> Process {
    let mut process = process(pid, (0, 0, 1), 0.0, |_, _, _| 0);
    process.temperature = Temperature::default();
    process.working_set = WorkingSet::default();
    process.huge_pages = HugePages::default();
    process.distribution = Distribution::default();
    process.findings.clear();
    process
}

/// A process that has hostile names everywhere.
pub(crate) fn hostile(pid: u32) -> Process {
    let mut process = process(pid, (6, 8, 6), 0.005, |kind, row, column| {
        (kind + row + column) as u32
    });
    let long = format!("/{}{HOSTILE}", "very/long/".repeat(400));
    for band in &mut process.heat.bands {
        band.label.clone_from(&long);
    }
    for mapping in &mut process.mappings {
        (mapping.name, mapping.class) = (HOSTILE.into(), HOSTILE.into());
    }
    process.mappings[0].name = long;
    process.marks = vec![MarkPoint {
        time: 0.002,
        name: HOSTILE.into(),
    }];
    process.findings = vec![HOSTILE.into()];
    process.facts.command = HOSTILE.into();
    process.facts.end = HOSTILE.into();
    process.facts.track = HOSTILE.into();
    process
}
