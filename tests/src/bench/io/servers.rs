//! Servers natively and inside, under load from clients that always run natively.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use vmmload_tests::Session;
use vmmload_tests::scratch::Scratch;

use super::super::row::Unit;
use super::super::runner::{Finished, Runner};
use super::place::{Place, tool};
use super::subject::{Bench, Figure, Subject, sized};

/// redis may answer half as many requests.
const REDIS: f64 = 2.0;

/// Requests of the first run, which shows how many there should be.
const FEW_REQUESTS: u64 = 100;

/// A server that takes this long to listen has failed.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A server's command line, and that of its client for so many requests.
struct Pair<'a> {
    port: u16,
    server: Vec<String>,
    client: Box<dyn Fn(u64) -> Vec<String> + 'a>,
    /// Requests in a second, by the client.
    read: fn(&Finished) -> Result<f64, String>,
}

/// Adds the rows.
pub(super) fn measure(bench: &mut Bench<'_>) {
    let (runner, time) = (bench.runner, bench.options.size(1000, 150));
    let time = Duration::from_millis(time);
    let scratch = Scratch::new();
    let redis = subject("redis", Some(REDIS), "GET from 50 clients, over loopback");
    bench.measure(&redis, || {
        Ok(throughput(runner, time, redis_pair(&scratch)?))
    });
    let nginx = subject(
        "nginx",
        None,
        "a small file to 8 clients, a connection each time",
    );
    bench.measure(&nginx, || {
        Ok(throughput(runner, time, nginx_pair(&scratch)?))
    });
}

fn subject(name: &'static str, auto_at_most: Option<f64>, note: &'static str) -> Subject {
    Subject {
        name,
        unit: Unit::RequestsPerSecond,
        auto_at_most,
        observed: false,
        note: Some(note),
    }
}

fn throughput<'a>(runner: &'a Runner, time: Duration, pair: Pair<'a>) -> Figure<'a> {
    Box::new(move |place| {
        let server = place.start(runner, &pair.server)?;
        wait_for(pair.port)?;
        let request_ns = sized(FEW_REQUESTS, time, |requests| {
            let finished = Place::Native.run(runner, &(pair.client)(requests))?;
            Ok(1e9 / (pair.read)(&finished)?)
        });
        end(&server)?;
        request_ns.map(|ns| 1e9 / ns)
    })
}

fn wait_for(port: u16) -> Result<(), String> {
    let started = Instant::now();
    while let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
        if started.elapsed() > READY_WITHIN {
            return Err(format!("the server does not listen: {error}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One that does not end is killed when it is dropped.
fn end(server: &Session) -> Result<(), String> {
    server.signal(libc::SIGTERM);
    match server.change(0) {
        Some(_) => Ok(()),
        None => Err("the server does not end".into()),
    }
}

/// A number that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|e| format!("no free port: {e}"))
}

fn redis_pair(scratch: &Scratch) -> Result<Pair<'static>, String> {
    let server = tool("/usr/bin/redis-server", "redis-server")?;
    let client = tool("/usr/bin/redis-benchmark", "redis-tools")?;
    let port = free_port()?;
    let number = port.to_string();
    let directory = scratch.path().display().to_string();
    let server = [
        &server,
        "--port",
        &number,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        &directory,
    ];
    Ok(Pair {
        port,
        server: server.map(String::from).to_vec(),
        client: Box::new(move |requests| {
            let requests = requests.to_string();
            let line = [
                &client, "-p", &number, "-t", "get", "-n", &requests, "--csv",
            ];
            line.map(String::from).to_vec()
        }),
        read: read_redis,
    })
}

/// `"GET","92592.59","0.286",...`; the second column is requests in a second.
fn read_redis(finished: &Finished) -> Result<f64, String> {
    let line = finished
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("\"GET\",\""));
    let figure = line.and_then(|rest| rest.split('"').next()?.parse().ok());
    figure.ok_or("no figure for GET".into())
}

fn nginx_pair(scratch: &Scratch) -> Result<Pair<'static>, String> {
    let server = tool("/usr/sbin/nginx", "nginx-light")?;
    let client = tool("/usr/bin/ab", "apache2-utils")?;
    let port = free_port()?;
    let configuration = scratch.file("nginx.conf", nginx_configuration(port), 0o644);
    let _ = scratch.file("short", "short\n", 0o644);
    let directory = scratch.path().display().to_string();
    let configuration = configuration.display().to_string();
    let server = [
        &server,
        "-e",
        "error.log",
        "-p",
        &directory,
        "-c",
        &configuration,
    ];
    Ok(Pair {
        port,
        server: server.map(String::from).to_vec(),
        client: Box::new(move |requests| {
            let requests = requests.to_string();
            let url = format!("http://127.0.0.1:{port}/short");
            let line = [&client, "-q", "-c", "8", "-n", &requests, &url];
            line.map(String::from).to_vec()
        }),
        read: read_ab,
    })
}

/// The worker stays the user that it is, who can read the file.
fn nginx_configuration(port: u16) -> String {
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path temp_{kind}; "))
        .concat();
    format!(
        "user root; daemon off; worker_processes 1; pid nginx.pid; error_log error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port}; root .; }} }}\n"
    )
}

/// `Requests per second:    12345.67 [#/sec] (mean)`, if none failed.
fn read_ab(finished: &Finished) -> Result<f64, String> {
    let figure = |name| {
        let line = finished
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
    };
    let (failed, other) = (figure("Failed requests:"), figure("Non-2xx responses:"));
    match (failed, other, figure("Requests per second:")) {
        (Some(0.0), None, Some(rate)) => Ok(rate),
        _ => Err("ab had failed requests".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Finished, read_ab, read_redis};

    fn printed(stdout: &str) -> Finished {
        Finished {
            wall: Duration::from_secs(1),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn reads_the_throughput_of_redis() {
        let table = "\"test\",\"rps\",\"avg_latency_ms\"\n\"GET\",\"92592.59\",\"0.286\"\n";
        assert_eq!(read_redis(&printed(table)), Ok(92592.59));
    }

    #[test]
    fn reads_the_throughput_of_nginx_unless_it_refused() {
        let good = "Failed requests:        0\nRequests per second:    8123.45 [#/sec] (mean)\n";
        assert_eq!(read_ab(&printed(good)), Ok(8123.45));
        let bad = format!("{good}Non-2xx responses:      5\n");
        assert!(read_ab(&printed(&bad)).is_err());
    }
}
