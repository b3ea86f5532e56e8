//! `vmmload export`: metrics of the live processes over HTTP.
//!
//! One thread watches the processes (`watch`, which follows each with `follow` and counts in the accounts of `ledger`)
//! and leaves after each look how things stand at the `board`. Another one serves what hangs there (`server`), as `text`
//! says it. So a scrape costs the watched nothing, and a slow client costs nobody else anything.

mod accept;
mod board;
mod classes;
mod counts;
mod families;
mod follow;
mod labels;
mod ledger;
mod metric;
mod missed;
mod myself;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod watch;

use crate::failure::{Failure, Outcome, say};
use crate::fleet::Scope;
use crate::typed::ExportArgs;
use board::Board;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use watch::Watch;

/// How often the processes are looked at: as often as an epoch ends where nothing else is said.
const PAUSE: Duration = Duration::from_millis(100);

/// The dashboard for Grafana.
const DASHBOARD: &str = include_str!("../../grafana/dashboard.json");

/// Serves metrics until a signal comes, or prints the dashboard.
pub(crate) fn run(args: &ExportArgs) -> Outcome {
    if args.dashboard {
        io::stdout().lock().write_all(DASHBOARD.as_bytes())?;
        return Ok(0);
    }
    let scope = match args.all {
        true => Scope::Readable,
        false => Scope::Own,
    };
    let runtime = runtime()?;
    let listener = runtime.block_on(listen(args.listen))?;
    let mut watch = Watch::new(scope, args.processes as usize);
    let board = Arc::new(Board::new(watch.look()));
    let shared = Arc::clone(&board);
    // Ends with the process: it has nothing to put in order.
    let watcher = thread::Builder::new().name("watcher".into());
    let watching = watcher.spawn(move || {
        loop {
            thread::sleep(PAUSE);
            shared.leave(watch.look());
        }
    });
    watching.map_err(|cause| no_start("a thread", &cause))?;
    runtime.block_on(until_signal(listener, board))
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| no_start("the server", &cause))
}

fn no_start(what: &str, cause: &io::Error) -> Failure {
    Failure::Other(format!(
        "cannot start {what}: {cause}. Raise this user's limits of processes and files (ulimit -u, ulimit -n)"
    ))
}

async fn until_signal(listener: TcpListener, board: Arc<Board>) -> Outcome {
    let caught = |kind| signal(kind).map_err(|cause| no_start("catching signals", &cause));
    let (mut interrupt, mut terminate) = (
        caught(SignalKind::interrupt())?,
        caught(SignalKind::terminate())?,
    );
    // Only now: who reads this may connect, and may send a signal.
    let address = listener
        .local_addr()
        .map_err(|cause| no_start("the server", &cause))?;
    say(&format!("listening at http://{address}/metrics"));
    if !address.ip().is_loopback() {
        say(
            "whoever can reach this address can read which programs run here and how they use their memory. Behind a \
             reverse proxy, --listen 127.0.0.1:PORT is enough",
        );
    }
    tokio::select! {
        never = server::serve(listener, board) => match never {},
        _ = interrupt.recv() => Ok(0),
        _ = terminate.recv() => Ok(0),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|cause| {
        let remedy = match cause.kind() {
            io::ErrorKind::AddrInUse => {
                "Another program listens there, perhaps another vmmload export: take another port with --listen; port \
                 0 picks a free one"
            }
            io::ErrorKind::AddrNotAvailable => {
                "Name an address of this machine with --listen, as ip(8) shows them (ip addr); 127.0.0.1 is always one"
            }
            io::ErrorKind::PermissionDenied => {
                "Ports below 1024 are root's: take another one with --listen"
            }
            _ => "Name another address and port with --listen, such as 127.0.0.1:9464",
        };
        Failure::Other(format!("cannot listen at {address}: {cause}. {remedy}"))
    })
}
