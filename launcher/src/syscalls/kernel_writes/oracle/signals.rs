//! Signals, and locks that the kernel hands on.

use super::{Arena, Call, call, case, check, made};

/// Blocks a signal for this thread and sends it to it.
fn raise_blocked(signal: i32) {
    let set = 1u64 << (signal - 1);
    let block = libc::SIG_BLOCK as u64;
    // The test harness gives each test a thread of its own.
    made(
        libc::SYS_rt_sigprocmask,
        [block, &raw const set as u64, 0, 8],
    );
    made(libc::SYS_tkill, [thread(), signal as u64]);
}

fn thread() -> u64 {
    made(libc::SYS_gettid, [])
}

#[test]
fn states_of_signals_are_stored() {
    check(&[
        case("rt_sigaction", |a| {
            call(libc::SYS_rt_sigaction, [10, 0, a.at(8), 8])
        }),
        case("rt_sigprocmask", |a| {
            call(libc::SYS_rt_sigprocmask, [0, 0, a.at(8), 8])
        }),
        case("rt_sigpending", |a| {
            call(libc::SYS_rt_sigpending, [a.at(8), 8])
        }),
        case("rt_sigpending of few", |a| {
            call(libc::SYS_rt_sigpending, [a.at(8), 3])
        }),
        case("sigaltstack", |a| call(libc::SYS_sigaltstack, [0, a.at(8)])),
        case("rt_sigtimedwait", |a| {
            raise_blocked(libc::SIGUSR2);
            let set = a.words(0, &[1 << (libc::SIGUSR2 - 1)]);
            call(libc::SYS_rt_sigtimedwait, [set, a.at(8), 0, 8])
        }),
    ]);
}

#[test]
fn locks_that_the_kernel_takes_are_stored() {
    fn lock(a: &mut Arena, operation: u64, word: u32) -> Call {
        let word = a.put(8, &word.to_ne_bytes());
        call(libc::SYS_futex, [word, operation, 0, 0, 0, 0])
    }
    check(&[
        case("FUTEX_LOCK_PI", |a| lock(a, 6, 0)),
        case("FUTEX_UNLOCK_PI", |a| lock(a, 7 | 128, thread() as u32)),
        case("FUTEX_TRYLOCK_PI", |a| lock(a, 8, 0)),
        case("FUTEX_LOCK_PI2", |a| lock(a, 13 | 128, 0)).anyhow(),
        case("FUTEX_WAKE", |a| lock(a, 1, 0)),
        case("FUTEX_WAIT", |a| lock(a, 0, 5)).fails(libc::EAGAIN),
        case("FUTEX_WAKE_OP", |a| {
            let (first, second) = (a.words(0, &[0]), a.put(8, &[0; 4]));
            // Sets it to 0x123, and compares what it was with 0.
            let operation = 0x123 << 12;
            call(libc::SYS_futex, [first, 5, 1, 1, second, operation])
        }),
    ]);
}
