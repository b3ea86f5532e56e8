//! What this machine can do, and what happens to a test that it cannot run.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Once;
use std::time::Duration;

/// Set to `1` to run only the native half of every test: checks the guests and the programs.
const NATIVE_ONLY: &str = "VMMLOAD_NATIVE_ONLY";
/// How many times longer than elsewhere everything may take here, as in an emulator.
const PATIENCE: &str = "VMMLOAD_PATIENCE";
/// Heavy tests do this part of their work only.
const WORK_DIVISOR: &str = "VMMLOAD_WORK_DIVISOR";
/// Names the emulated machine that the tests run in, where there is nothing but what was packed.
const RIG: &str = "VMMLOAD_RIG";

/// Whether programs can run inside vmmload here; if not, the reason is announced by [`skip`].
#[must_use]
pub fn can_run_inside() -> bool {
    if is_set(NATIVE_ONLY) {
        announce(&format!("{NATIVE_ONLY} is set: only the native half ran"));
        return false;
    }
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => true,
        Err(cause) => {
            skip(&format!(
                "cannot open /dev/kvm for reading and writing: {cause}"
            ));
            false
        }
    }
}

/// Says aloud that a test did not run.
///
/// # Panics
/// In CI (`CI` or `VMMLOAD_CI` set), where a test that cannot run is a test that failed.
pub fn skip(why: &str) {
    assert!(
        !is_set("CI") && !is_set("VMMLOAD_CI"),
        "cannot run in CI: {why}"
    );
    announce(why);
}

/// A limit of time as it is on this machine.
///
/// # Panics
/// When `VMMLOAD_PATIENCE` is set and no number.
#[must_use]
pub fn patience(limit: Duration) -> Duration {
    limit * number(PATIENCE)
}

/// An amount of work as this machine can do it in reasonable time.
///
/// # Panics
/// When `VMMLOAD_WORK_DIVISOR` is set and no number.
#[must_use]
pub fn work(amount: u64) -> u64 {
    amount / u64::from(number(WORK_DIVISOR))
}

/// The number that an environment variable holds, else 1.
fn number(name: &str) -> u32 {
    let Ok(text) = std::env::var(name) else {
        return 1;
    };
    let number = text.parse().ok().filter(|&number| number > 0);
    number.unwrap_or_else(|| panic!("{name}={text} is no number above zero"))
}

/// The emulated machine that the tests run in, `amd` or `intel`; `None` on a real one.
#[must_use]
pub fn rig() -> Option<String> {
    std::env::var(RIG).ok()
}

/// Fails where nothing can be added to the machine: `missing` should have been packed.
pub(crate) fn assert_can_install(missing: &dyn std::fmt::Display) {
    if let Some(rig) = rig() {
        panic!(
            "{missing} is not in the image of the {rig} rig, and nothing can be installed there"
        );
    }
}

/// Whether this process has the rights of root.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Gives programs that are started from here the signals that a terminal's foreground has: whoever starts the tests in
/// the background, or with nohup(1), has some of them ignored, and programs inherit that.
pub(crate) fn have_default_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: the default action runs no code of anybody's.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    });
}

/// Writes past the test runner's capture, which hides what a passing test prints.
fn announce(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name)
        .is_some_and(|value| !value.is_empty() && value != "0" && value != "false")
}
