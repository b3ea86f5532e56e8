//! A running exporter of metrics, a Prometheus that collects them, and what both say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{kill_group, wait};
use crate::scratch::Scratch;
use crate::{http, machine, observe, packages};

/// How long a server may take to start or end, and a number to come.
fn limit() -> Duration {
    machine::patience(Duration::from_secs(30))
}

/// A server that says on standard error where it listens. Killed with its group when dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    messages: Receiver<String>,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        machine::have_default_signals();
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = started.unwrap_or_else(|cause| panic!("cannot start {command:?}: {cause}"));
        let messages = lines(child.stderr.take().expect("piped above"));
        Self { child, messages }
    }

    /// The address that the first message has which `find` finds one in.
    #[track_caller]
    fn address(&self, find: impl Fn(&str) -> Option<SocketAddr>) -> SocketAddr {
        let deadline = Instant::now() + limit();
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.messages.recv_timeout(left) else {
                panic!("no address in {said:#?}");
            };
            if let Some(address) = find(&line) {
                return address;
            }
            said.push(line);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_group(self.child.id());
        }
        let _ = self.child.wait();
    }
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // Read to the end in any case: a full pipe would stop who writes.
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The exporter, at a port of its own.
#[derive(Debug)]
pub struct Exporter {
    server: Server,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Exporter {
    /// Starts it with these options, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        let mut command = Command::new(observe());
        command
            .args(["export", "--listen", "127.0.0.1:0"])
            .args(options);
        let server = Server::start(&mut command);
        let address = server.address(|line| {
            let url = line.strip_prefix("vmmload: listening at http://")?;
            url.strip_suffix("/metrics")?.parse().ok()
        });
        Self { server, address }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.child.id()
    }

    /// All metrics.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    #[track_caller]
    pub fn scrape(&self) -> Scrape {
        let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
        let response = http::request(self.address, "GET", "/metrics", accept);
        assert_eq!(response.status, 200, "{response:?}");
        Scrape::parse(&response.body)
    }

    /// Scrapes until `good` is content.
    ///
    /// # Panics
    /// When it never is.
    #[track_caller]
    pub fn scrape_until(&self, what: &str, good: impl Fn(&Scrape) -> bool) -> Scrape {
        let deadline = Instant::now() + limit();
        loop {
            let scrape = self.scrape();
            if good(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < deadline, "no {what} in {scrape:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal, and gives how it ends.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn end_with(mut self, signal: &str) -> ExitStatus {
        let kill = Command::new("kill")
            .args(["-s", signal, &self.pid().to_string()])
            .status();
        assert!(kill.is_ok_and(|status| status.success()));
        wait(&mut self.server.child, limit()).expect("the exporter ends at a signal")
    }
}

/// A metric as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// `counter` or `gauge`.
    pub kind: String,
    /// The names of the labels that any of its series has.
    pub labels: BTreeSet<String>,
}

/// What one scrape says.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Metrics by name, with the `_total` of counters.
    pub families: BTreeMap<String, Family>,
    /// Numbers by name and labels: `name{a="b"}`.
    pub series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads the format of OpenMetrics, as far as it is used.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        assert!(text.ends_with("\n# EOF\n"), "no end in {text:?}");
        for line in text.lines() {
            if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, kind) = described.split_once(' ').expect("a name and a type");
                let suffix = if kind == "counter" { "_total" } else { "" };
                let family = Family {
                    kind: kind.to_owned(),
                    labels: BTreeSet::new(),
                };
                scrape.families.insert(format!("{name}{suffix}"), family);
            } else if !line.starts_with('#') {
                let (series, number) = line.rsplit_once(' ').expect("a series and a number");
                let name = series.split('{').next().unwrap_or_default();
                let family = scrape.families.get_mut(name);
                let family = family.unwrap_or_else(|| panic!("{name} is not described"));
                family.labels.extend(label_names(series));
                let number = number.parse().expect("a number");
                let before = scrape.series.insert(series.to_owned(), number);
                assert_eq!(before, None, "{series} is there twice");
            }
        }
        scrape
    }

    /// The sum of all series of a metric that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &str| {
            let texts = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{value}\""));
            series.split('{').next() == Some(name)
                && texts.into_iter().all(|text| series.contains(&text))
        };
        let found = self.series.iter().filter(|(series, _)| has(series));
        found.map(|(_, value)| value).sum()
    }
}

/// The names of labels in `name{a="b",c="d"}`.
fn label_names(series: &str) -> impl Iterator<Item = String> + '_ {
    let labels = series.split_once('{').map_or("", |(_, labels)| labels);
    let parts = labels.split("=\"").filter(|part| !part.ends_with('}'));
    parts.filter_map(|part| {
        let name = part.rsplit(['"', ',']).next()?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// Debian's Prometheus, which collects from one exporter each second.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _server: Server,
    _data: Scratch,
}

impl Prometheus {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn of(exporter: SocketAddr) -> Self {
        let program = packages::program("/usr/bin/prometheus", "prometheus");
        let data = Scratch::new();
        let settings = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: vmmload\n    \
             static_configs:\n      - targets: ['{exporter}']\n"
        );
        let settings = data.file("prometheus.yml", settings, 0o600);
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut command = Command::new(program);
        command
            .arg(option("config.file", &settings))
            .arg(option("storage.tsdb.path", &data.path().join("data")))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let server = Server::start(&mut command);
        let address = server.address(|line| {
            let (_, behind) = line.split_once("msg=\"Listening on\" address=")?;
            behind.split(' ').next()?.parse().ok()
        });
        Self {
            address,
            _server: server,
            _data: data,
        }
    }

    /// What a path of its API says, once it is ready.
    ///
    /// # Panics
    /// When it says nothing in time, or complains.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, path: &str) -> Value {
        let deadline = Instant::now() + limit();
        loop {
            let response = http::get(self.address, path);
            // It opens its database first.
            if response.status != 503 {
                let value: Value = serde_json::from_str(&response.body)
                    .unwrap_or_else(|cause| panic!("{path}: {cause}: {response:?}"));
                assert_eq!(value["status"], "success", "{path}: {value}");
                return value["data"].clone();
            }
            assert!(Instant::now() < deadline, "{response:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What a query finds: each with its labels and its number.
    ///
    /// # Panics
    /// When it is no query.
    #[must_use]
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let data = self.ask(&format!("/api/v1/query?query={}", http::escaped(query)));
        let found = data["result"].as_array().cloned().unwrap_or_default();
        let number = |result: &Value| result["value"][1].as_str().and_then(|n| n.parse().ok());
        let pairs = found
            .into_iter()
            .map(|result| (result["metric"].clone(), number(&result).expect("a number")));
        pairs.collect()
    }

    /// Asks until `good` is content.
    ///
    /// # Panics
    /// When it never is.
    #[track_caller]
    pub fn query_until(
        &self,
        query: &str,
        good: impl Fn(&[(Value, f64)]) -> bool,
    ) -> Vec<(Value, f64)> {
        let deadline = Instant::now() + limit();
        loop {
            let found = self.query(query);
            if good(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "{query}: {found:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scrape, label_names};

    #[test]
    fn a_scrape_is_read_with_its_labels() {
        let text = "# TYPE a counter\na_total{x=\"1\",y=\"p=q, r\"} 2\na_total{x=\"1\",y=\"z\"} 3\n# TYPE b gauge\nb 0.5\n# EOF\n";
        let scrape = Scrape::parse(text);
        assert_eq!(scrape.sum("a_total", &[("x", "1")]), 5.0);
        assert_eq!(scrape.sum("a_total", &[("y", "z")]), 3.0);
        assert_eq!(scrape.sum("b", &[]), 0.5);
        let labels: Vec<String> = label_names("a{x=\"1\",y_z=\"2\"}").collect();
        assert_eq!(labels, ["x", "y_z"]);
    }
}
