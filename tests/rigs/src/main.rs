//! Runs the test suite in emulated machines whose processors virtualise: `cargo rig amd`, `cargo rig
//! intel`.
//!
//! A rig is a machine emulated in software, with a mainline kernel whose KVM uses the emulated
//! processor's own virtualisation. [`products`] builds what is tested, [`image`] packs it into an
//! initramfs, [`emulator`] boots that, [`watch`] shows the lines that come out and finds out how it ended.
//! [`rig`] tells the machines apart and says what each runs.

mod command;
mod emulator;
mod image;
mod kernel;
mod products;
mod rig;
mod shared_libraries;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use vmmload_tests::call_modes;

use rig::Rig;

/// Status when the limit of time is over, as timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// Status when the rig itself cannot be made, as env(1) has it.
const OWN_FAILURE: u8 = 125;

/// Which machines to run.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// AMD SVM with nested paging, in QEMU.
    Amd,
    /// Intel VMX with EPT and Page Modification Logging, in Bochs.
    Intel,
    /// The same with two processors, several times slower: a few short steps, or any of Intel's by --only.
    Intel2,
    /// AMD and then Intel with two processors, beside Intel with one; each line with its rig's name in front.
    All,
}

/// Runs the test suite in an emulated machine with another kind of KVM.
///
/// Needs Debian's emulators and kernel: as root they are installed and fetched by apt, else the
/// command to type is named. Everything is kept below the target directory, in `rigs`.
#[derive(Debug, Parser)]
#[command(
    name = "cargo rig",
    after_help = "Examples:\n  cargo rig amd\n  cargo rig intel --only doctor\n  \
                  cargo rig intel2 --only signals\n  cargo rig all\n  cargo rig amd --only memory -- munmap mprotect\n\n\
                  The exit status is the suite's: 0 if all steps passed, 1 if not, 124 if the time\n\
                  was over, 125 if the rig could not be made."
)]
struct Options {
    /// The machine.
    rig: Choice,
    /// Only the steps whose names contain this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Have vmmload serve system calls in this way in all steps: auto, exit or spin.
    #[arg(long, value_name = "MODE", value_parser = call_modes::MODES)]
    call_mode: Option<String>,
    /// Stop after so many minutes (default: 20 for amd and intel2, 45 for intel).
    #[arg(long, value_name = "MINUTES")]
    limit: Option<u64>,
    /// Passed on to each test binary: names of tests, or options such as --skip NAME.
    #[arg(last = true)]
    tests: Vec<String>,
}

/// Why a rig could not be made or watched.
#[derive(Debug, thiserror::Error)]
enum RigError {
    /// A file or a command of the host.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A command that this one started has failed.
    #[error("{command} failed:\n{messages}")]
    Command {
        /// As a person would type it.
        command: String,
        /// What it said.
        messages: String,
    },
    /// Something that Debian has is missing.
    #[error("{0}")]
    Missing(String),
}

/// Puts what was being done in front of the system's reason.
fn doing(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> RigError {
    let what = what.into();
    move |source| RigError::Io { what, source }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let rows: &[&[Rig]] = match options.rig {
        Choice::Amd => &[&[Rig::Amd]],
        Choice::Intel => &[&[Rig::Intel]],
        Choice::Intel2 => &[&[Rig::IntelTwo]],
        Choice::All => &[&[Rig::Amd, Rig::IntelTwo], &[Rig::Intel]],
    };
    match run(rows, &options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("rig: {error}");
            ExitCode::from(OWN_FAILURE)
        }
    }
}

/// Makes the rigs, and boots those of each row one after the other, the rows beside each other; the worst of
/// their statuses.
fn run(rows: &[&[Rig]], options: &Options) -> Result<u8, RigError> {
    let directory = vmmload_tests::scratch::target().join("rigs");
    let mut images: Vec<Vec<(Rig, image::Image)>> = Vec::new();
    for row in rows {
        let made = row.iter().map(|&rig| {
            emulator::install(rig)?;
            let kernel = kernel::fetch(&directory)?;
            let products = products::build(rig, options)?;
            Ok((rig, image::build(rig, &directory, &kernel, &products)?))
        });
        images.push(made.collect::<Result<_, RigError>>()?);
    }
    let shared = rows.len() > 1;
    let boot = |(rig, image): &(Rig, image::Image)| {
        let prefix = if shared {
            format!("{:<6} | ", rig.name())
        } else {
            String::new()
        };
        let minutes = options.limit.unwrap_or(rig.limit_minutes());
        let emulator = emulator::boot(*rig, image, &directory.join(rig.name()))?;
        let limit = Duration::from_secs(60 * minutes);
        Ok(watch::to_the_end(emulator, limit, &prefix))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = images
            .iter()
            .map(|row| scope.spawn(|| row.iter().map(boot).collect::<Vec<_>>()))
            .collect();
        let ended = running.into_iter().flat_map(|thread| {
            let panicked = |_| vec![Err(RigError::Missing("a rig's thread has panicked".into()))];
            thread.join().unwrap_or_else(panicked)
        });
        ended.collect::<Result<Vec<u8>, RigError>>()
    })
    .map(|statuses| statuses.into_iter().max().unwrap_or(0))
}
