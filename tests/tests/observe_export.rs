//! Metrics of live programs, as `vmmload export` serves them and Debian's Prometheus collects them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vmmload_consumer::Kind;
use vmmload_tests::dump::{Record, lost};
use vmmload_tests::metrics::{Exporter, Family, Prometheus, Scrape};
use vmmload_tests::segment::Segment;
use vmmload_tests::watched::Watched;
use vmmload_tests::{http, machine, observe, packages, scratch};

/// Other tests' programs run at the same time, and root sees them: all of them have series.
const ALL: [&str; 2] = ["--processes", "10000"];

/// Labels that tell processes apart.
const PROCESS: [&str; 3] = ["pid", "command", "session"];

const KINDS: [&str; 3] = ["write", "read", "kernel"];

fn export(arguments: &[&str]) -> Output {
    let output = Command::new(observe())
        .arg("export")
        .args(arguments)
        .output();
    output.expect("vmmload export runs")
}

fn dashboard() -> Value {
    let output = export(&["--dashboard"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("the dashboard is JSON")
}

/// The queries of the dashboard's panels, with what Grafana puts in for its variables; and the templates of their
/// legends.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let filled = |query: String| {
        [
            ("$__rate_interval", "1m"),
            ("$__range", "30m"),
            ("$instance", ".*"),
            ("$command", ".*"),
            ("$pid", ".*"),
        ]
        .iter()
        .fold(query, |query, (variable, value)| {
            query.replace(variable, value)
        })
    };
    let queries: Vec<_> = targets
        .map(|target| (filled(text(&target["expr"])), text(&target["legendFormat"])))
        .collect();
    let left = queries.iter().find(|(query, _)| query.contains('$'));
    assert_eq!(left, None, "a variable that nothing is known of");
    queries
}

/// The metrics that a query names, and the labels by which it selects or groups.
fn names_in(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let words = |text: &str| -> Vec<String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.split(|c| !is_word(c));
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut unquoted = query.split('"').step_by(2).collect::<Vec<_>>().join("\"");
    let mut labels = BTreeSet::new();
    for (open, close) in [("{", '}'), ("by (", ')')] {
        while let Some((before, behind)) = unquoted.split_once(open) {
            let (inner, after) = behind.split_once(close).expect("both brackets");
            labels.extend(words(inner));
            unquoted = format!("{before} {after}");
        }
    }
    let metrics = words(&unquoted)
        .into_iter()
        .filter(|word| word.starts_with("vmmload_"));
    (metrics.collect(), labels)
}

/// The metrics that docs/metrics.md lists.
fn documented() -> BTreeMap<String, Family> {
    let path = scratch::workspace().join("docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("docs/metrics.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `vmmload_"));
    let mut families = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(|cell| cell.trim().replace('`', ""));
        let mut cell = || cells.next().unwrap_or_default();
        let (name, kind, labels) = (cell(), cell(), cell());
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let mut labels: BTreeSet<String> = labels.map(str::to_owned).collect();
        if labels.remove("process") {
            if kind == "counter" {
                let of_all = Family {
                    kind: kind.clone(),
                    labels: labels.clone(),
                };
                families.insert(format!("vmmload_all_{name}"), of_all);
            }
            labels.extend(PROCESS.map(str::to_owned));
        }
        families.insert(format!("vmmload_{name}"), Family { kind, labels });
    }
    families
}

#[track_caller]
fn assert_documented(scrape: &Scrape) {
    let documented = documented();
    let names = |families: &BTreeMap<String, Family>| -> BTreeSet<String> {
        families.keys().cloned().collect()
    };
    assert_eq!(names(&scrape.families), names(&documented));
    for (name, family) in &scrape.families {
        assert_eq!(family, &documented[name], "{name} in docs/metrics.md");
    }
}

/// What one process has in a metric.
fn of(scrape: &Scrape, pid: &str, name: &str, more: &[(&str, &str)]) -> f64 {
    let labels: Vec<_> = [("pid", pid)].iter().chain(more).copied().collect();
    scrape.sum(name, &labels)
}

/// Waits until the metrics say what the segment of a program that waits says, and agree among themselves.
#[track_caller]
fn assert_says(exporter: &Exporter, segment: &Segment, pid: &str) -> Scrape {
    segment.settle();
    exporter.scrape_until("numbers of the segment", |scrape| {
        let info = segment.consumer().info();
        let epochs = segment.consumer().epochs();
        let most = epochs.iter().map(|epoch| epoch.touched).max();
        let totals = Kind::ALL.map(|kind| info.total(kind) as f64);
        let of = |name, more: &[_]| of(scrape, pid, name, more);
        let by_kind = |name| KINDS.map(|kind| of(name, &[("kind", kind)]));
        by_kind("vmmload_events_total") == totals
            && by_kind("vmmload_class_events_total") == totals
            && of("vmmload_class_events_total", &[("class", "unknown")]) == 0.0
            && of("vmmload_touched_bytes", &[]) == info.pages as f64 * 4096.0
            && of("vmmload_records_lost_total", &[]) == 0.0
            && of("vmmload_working_set_peak_bytes", &[]) == f64::from(most.unwrap_or(0)) * 4096.0
    })
}

#[test]
fn what_a_program_does_is_in_its_metrics_and_in_prometheus() {
    if !machine::can_run_inside() {
        return;
    }
    let exporter = Exporter::start(&ALL);
    let prometheus = Prometheus::of(exporter.address);
    let pages = 700;
    let mut watched = Watched::start(pages, 1, &["--track", "readwrite"]);
    let segment = Segment::attach(watched.guest.pid());
    let pid = watched.guest.pid().to_string();
    let before = assert_says(&exporter, &segment, &pid);
    for command in ['w', 'k', 'r'] {
        watched.command(command);
        segment.settle();
    }
    let after = assert_says(&exporter, &segment, &pid);
    let anonymous = |scrape: &Scrape, kind| {
        let labels = [("class", "anonymous"), ("kind", kind)];
        of(scrape, &pid, "vmmload_class_events_total", &labels)
    };
    for kind in ["write", "kernel"] {
        let more = anonymous(&after, kind) - anonymous(&before, kind);
        // The C library has anonymous memory of its own.
        assert!(
            (pages as f64..pages as f64 + 20.0).contains(&more),
            "{kind}: {more}"
        );
    }
    let mapped = of(
        &after,
        &pid,
        "vmmload_mapped_bytes",
        &[("class", "anonymous")],
    );
    assert!(mapped >= pages as f64 * 4096.0, "{mapped}");
    assert_documented(&after);
    assert_prometheus_says(&prometheus, &exporter, &after, &pid);
    assert_dashboard_works(&prometheus, &after, &pid);

    // What it was at last stays, and is what a reader of its own has seen.
    let records = watched.end();
    assert_eq!(lost(&records), 0);
    let seen = KINDS.map(|wanted| {
        let counts = records.iter().map(|record| match record {
            Record::Page { kind, count, .. } if kind == wanted => *count,
            _ => 0,
        });
        counts.sum::<u64>() as f64
    });
    exporter.scrape_until("last numbers of the program", |scrape| {
        let is_over = of(scrape, &pid, "vmmload_process_info", &[]) == 0.0;
        let by_kind = |name| KINDS.map(|kind| of(scrape, &pid, name, &[("kind", kind)]));
        is_over
            && by_kind("vmmload_events_total") == seen
            && by_kind("vmmload_class_events_total") == seen
    });
}

#[track_caller]
fn assert_prometheus_says(
    prometheus: &Prometheus,
    exporter: &Exporter,
    scrape: &Scrape,
    pid: &str,
) {
    for kind in KINDS {
        let query = format!("vmmload_events_total{{pid=\"{pid}\",kind=\"{kind}\"}}");
        let expected = of(scrape, pid, "vmmload_events_total", &[("kind", kind)]);
        let found = prometheus.query_until(
            &query,
            |found| matches!(found, [(_, value)] if *value == expected),
        );
        let command = found[0].0["command"].as_str().expect("a command");
        assert!(command.starts_with("tracking-touch-"), "{command}");
        assert_eq!(found[0].0["session"], pid);
    }
    let targets = prometheus.ask("/api/v1/targets");
    let target = &targets["activeTargets"][0];
    assert_eq!(target["health"], "up", "{targets}");
    assert_eq!(target["lastError"], "", "{targets}");
    assert_eq!(
        target["scrapeUrl"],
        format!("http://{}/metrics", exporter.address)
    );
    // Only OpenMetrics has units, and names counters without their suffix.
    let metadata = prometheus.ask("/api/v1/metadata?metric=vmmload_tracking_seconds");
    let family = &metadata["vmmload_tracking_seconds"][0];
    assert_eq!(
        (&family["type"], &family["unit"]),
        (&"counter".into(), &"seconds".into())
    );
}

#[track_caller]
fn assert_dashboard_works(prometheus: &Prometheus, scrape: &Scrape, pid: &str) {
    for (query, legend) in queries(&dashboard()) {
        let (metrics, mut labels) = names_in(&query);
        assert!(!metrics.is_empty(), "{query}");
        let templates = legend.split("{{").skip(1);
        labels.extend(templates.filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())));
        // Prometheus adds it.
        labels.remove("instance");
        for metric in &metrics {
            let family = scrape.families.get(metric);
            let family = family.unwrap_or_else(|| panic!("{metric} of {query} is not exported"));
            let unknown: Vec<_> = labels.difference(&family.labels).collect();
            assert!(
                unknown.is_empty(),
                "{metric} has no {unknown:?}: {query} {legend}"
            );
        }
        // Rates need a second scrape.
        let found = prometheus.query_until(&query, |found| !found.is_empty());
        let is_group = labels.contains("pid") && query.contains("by (pid");
        let has_pid = found.iter().any(|(labels, _)| labels["pid"] == pid);
        assert!(
            !is_group || has_pid || query.contains("topk"),
            "{query}: {found:?}"
        );
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    assert!(
        dashboard["schemaVersion"].as_u64() >= Some(36),
        "Grafana 9 has 36"
    );
    assert!(dashboard["id"].is_null());
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let names: Vec<&str> = variables
        .iter()
        .filter_map(|v| v["name"].as_str())
        .collect();
    assert_eq!(names, ["datasource", "instance", "command", "pid"]);
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        for of in [&panel["datasource"], &panel["targets"][0]["datasource"]] {
            assert_eq!(of["uid"], "${datasource}", "{panel}");
        }
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24 && place("h") > 0, "{panel}");
    }
}

#[test]
fn names_are_found_in_queries() {
    let (metrics, labels) = names_in(
        "sum by (pid, kind) (rate(vmmload_a_total{x=~\"vmmload_no{\",y=\"z\"}[1m])) / vmmload_b",
    );
    assert_eq!(Vec::from_iter(metrics), ["vmmload_a_total", "vmmload_b"]);
    assert_eq!(Vec::from_iter(labels), ["kind", "pid", "x", "y"]);
}

#[test]
fn promtool_has_nothing_to_say_against_the_metrics() {
    let promtool = packages::program("/usr/bin/promtool", "prometheus");
    let exporter = Exporter::start(&ALL);
    let text = http::get(exporter.address, "/metrics").body;
    assert!(
        text.contains("# TYPE vmmload_all_events_total counter\n"),
        "{text}"
    );
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = check.stdin.take().expect("piped above");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = check.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success());
}

#[test]
fn requests_get_what_http_has_for_them() {
    let exporter = Exporter::start(&[]);
    let address = exporter.address;
    let page = http::get(address, "/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("href=\"/metrics\""), "{page:?}");
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let classic = "text/plain; version=0.0.4; charset=utf-8";
    for (accept, kind) in [
        ("", classic),
        ("Accept: */*\r\n", classic),
        (
            "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n",
            openmetrics,
        ),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = http::request(address, method, "/metrics?x=y", accept);
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some(kind))
            );
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert!(length > 1000);
            assert_eq!(answer.body.len(), if method == "GET" { length } else { 0 });
        }
    }
    for path in ["/metric", "/metrics/", "/../etc/passwd", "/favicon.ico"] {
        assert_eq!(http::get(address, path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = http::request(address, method, "/metrics", "");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}

#[test]
fn garbage_is_refused_and_nobody_else_notices() {
    let exporter = Exporter::start(&[]);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        long.as_bytes(),
    ];
    for request in garbage {
        let mut request = request.to_vec();
        request.extend(b"\r\n\r\n");
        let status = http::send(exporter.address, &request).status;
        assert!(status == 0 || (400..600).contains(&status), "{status}");
        let _ = exporter.scrape();
    }
    assert!(exporter.end_with("TERM").success());
}

#[test]
fn slow_clients_hold_nobody_up() {
    let exporter = Exporter::start(&[]);
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = http::connect(exporter.address);
        let part: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-",
            _ => b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        // The oldest are sent away where there are too many.
        let _ = stream.write_all(part);
        slow.push(stream);
        if number % 50 == 49 {
            let _ = exporter.scrape();
        }
    }
    let entries = |what: &str| {
        let entries = std::fs::read_dir(format!("/proc/{}/{what}", exporter.pid()));
        entries.expect("the exporter runs").count()
    };
    assert!(entries("task") <= 4, "{} threads", entries("task"));
    assert!(entries("fd") <= 160, "{} descriptors", entries("fd"));
    // One that sends a byte now and then is not waited for for ever either.
    let mut dripping = http::connect(exporter.address);
    let deadline = Instant::now() + machine::patience(Duration::from_secs(40));
    while dripping.write_all(b"G").is_ok() {
        assert!(
            Instant::now() < deadline,
            "a slow client is served for ever"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let _ = exporter.scrape();
}

#[test]
fn a_signal_ends_the_exporter_with_status_0() {
    for signal in ["TERM", "INT"] {
        let exporter = Exporter::start(&[]);
        let _waiting = http::connect(exporter.address);
        assert_eq!(exporter.end_with(signal).code(), Some(0), "{signal}");
    }
}

#[test]
fn where_it_cannot_listen_the_exporter_says_why_and_what_to_do() {
    let exporter = Exporter::start(&[]);
    let taken = exporter.address.to_string();
    for (address, parts) in [
        (taken.as_str(), ["cannot listen at", "in use", "port 0"]),
        ("192.0.2.1:0", ["192.0.2.1", "assign", "ip addr"]),
        ("nowhere", ["nowhere", "--listen", "127.0.0.1:9464"]),
    ] {
        let output = export(&["--listen", address]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

#[test]
fn with_no_room_for_series_all_processes_are_others() {
    if !machine::can_run_inside() {
        return;
    }
    let exporter = Exporter::start(&["--processes", "0"]);
    let watched = Watched::start(300, 1, &[]);
    let scrape = exporter.scrape_until("events of others", |scrape| {
        of(scrape, "other", "vmmload_events_total", &[]) > 0.0
    });
    let of_process =
        |series: &&String| series.contains("pid=\"") && !series.contains("pid=\"other\"");
    let own: Vec<_> = scrape.series.keys().filter(of_process).collect();
    assert!(own.is_empty(), "{own:?}");
    watched.end();
}
