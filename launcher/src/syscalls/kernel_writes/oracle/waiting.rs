//! Clocks, timers, and waiting for descriptors.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Once;

use super::{Arena, Exact, call, case, check, made, owned};

/// A pipe from which can be read.
fn ready(a: &mut Arena) -> u64 {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(b"ready").unwrap();
    a.keep(write);
    a.keep(read).as_raw_fd() as u64
}

/// A pipe that stays empty.
fn never_ready(a: &mut Arena) -> u64 {
    let (read, write) = std::io::pipe().unwrap();
    a.keep(write);
    a.keep(read).as_raw_fd() as u64
}

/// A timer that is deleted after the call.
struct Timer(u64);

impl Drop for Timer {
    fn drop(&mut self) {
        made(libc::SYS_timer_delete, [self.0]);
    }
}

/// A timer which sends this thread SIGUSR1 every 20 ms if `soon`, or else in an hour.
fn timer(a: &mut Arena, soon: bool) -> u64 {
    static HANDLER: Once = Once::new();
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing.
    HANDLER.call_once(|| unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
    });
    // struct sigevent: value, signal and way of telling, thread.
    let (signal, to_thread) = (libc::SIGUSR1 as u64, libc::SIGEV_THREAD_ID as u64);
    let thread = made(libc::SYS_gettid, []);
    let event: [u64; 8] = [0, signal | to_thread << 32, thread, 0, 0, 0, 0, 0];
    let mut timer = 0u32;
    let event_at = (event.as_ptr() as u64, &raw mut timer as u64);
    made(libc::SYS_timer_create, [1, event_at.0, event_at.1]);
    let times: [u64; 4] = match soon {
        true => [0, 20_000_000, 0, 20_000_000],
        false => [0, 0, 3600, 0],
    };
    let timer = u64::from(timer);
    made(
        libc::SYS_timer_settime,
        [timer, 0, times.as_ptr() as u64, 0],
    );
    a.keep(Timer(timer));
    timer
}

/// A time limit of an hour, and a signal that comes earlier.
fn interrupted(a: &mut Arena, offset: usize) -> u64 {
    timer(a, true);
    a.words(offset, &[3600, 0])
}

#[test]
fn clocks_and_timers_are_read() {
    check(&[
        case("time", |a| call(libc::SYS_time, [a.at(8)])),
        case("gettimeofday", |a| {
            call(libc::SYS_gettimeofday, [a.at(8), a.at(64)])
        }),
        case("clock_gettime", |a| {
            call(libc::SYS_clock_gettime, [0, a.at(8)])
        }),
        case("clock_getres", |a| {
            call(libc::SYS_clock_getres, [0, a.at(8)])
        }),
        case("adjtimex", |a| {
            let state = a.words(0, &[0; 26]);
            call(libc::SYS_adjtimex, [state])
        }),
        case("clock_adjtime", |a| {
            let state = a.words(0, &[0; 26]);
            call(libc::SYS_clock_adjtime, [0, state])
        }),
        case("getitimer", |a| call(libc::SYS_getitimer, [1, a.at(8)])),
        case("setitimer", |a| {
            let new = a.words(0, &[0; 4]);
            call(libc::SYS_setitimer, [1, new, a.at(64)])
        }),
        case("timer_create", |a| {
            let event = a.words(64, &[0, 1 << 32, 0, 0, 0, 0, 0, 0]);
            call(libc::SYS_timer_create, [0, event, a.at(8)])
        }),
        case("timer_gettime", |a| {
            call(libc::SYS_timer_gettime, [timer(a, false), a.at(8)])
        }),
        case("timer_settime", |a| {
            let new = a.words(0, &[0; 4]);
            let args = [timer(a, false), 0, new, a.at(64)];
            call(libc::SYS_timer_settime, args)
        }),
    ]);
}

#[test]
fn timers_behind_descriptors_are_read() {
    fn timer(a: &mut Arena) -> u64 {
        let timer = owned(made(libc::SYS_timerfd_create, [1, 0]));
        a.keep(timer).as_raw_fd() as u64
    }
    check(&[
        case("timerfd_gettime", |a| {
            call(libc::SYS_timerfd_gettime, [timer(a), a.at(8)])
        }),
        case("timerfd_settime", |a| {
            let new = a.words(0, &[0; 4]);
            call(libc::SYS_timerfd_settime, [timer(a), 0, new, a.at(64)])
        }),
    ]);
}

#[test]
fn what_is_left_of_an_interrupted_sleep_is_stored() {
    check(&[
        case("nanosleep", |a| {
            let time = interrupted(a, 0);
            call(libc::SYS_nanosleep, [time, a.at(64)])
        })
        .fails(libc::EINTR),
        case("nanosleep to its end", |a| {
            let time = a.words(0, &[0, 1000]);
            call(libc::SYS_nanosleep, [time, a.at(64)])
        }),
        case("clock_nanosleep", |a| {
            let time = interrupted(a, 0);
            call(libc::SYS_clock_nanosleep, [1, 0, time, a.at(64)])
        })
        .fails(libc::EINTR),
        case("clock_nanosleep until", |a| {
            timer(a, true);
            let time = a.words(0, &[1 << 40, 0]);
            call(libc::SYS_clock_nanosleep, [1, 1, time, a.at(64)])
        })
        .fails(libc::EINTR),
    ]);
}

#[test]
fn what_poll_found_is_stored() {
    fn one(a: &mut Arena, fd: u64) -> u64 {
        let at = a.at(0);
        a.put(0, &(fd | 1 << 32).to_ne_bytes()[..6]);
        at
    }
    check(&[
        case("poll", |a| {
            let ready = ready(a);
            call(libc::SYS_poll, [one(a, ready), 1, 1000])
        }),
        case("poll of several", |a| {
            for n in 0..600 {
                a.put(8 * n, &[0xff, 0xff, 0xff, 0xff, 1, 0]);
            }
            call(libc::SYS_poll, [a.at(0), 600, 0])
        })
        .exact(Exact::Number),
        case("poll that is interrupted", |a| {
            let never = never_ready(a);
            timer(a, true);
            call(libc::SYS_poll, [one(a, never), 1, 3_600_000])
        })
        .fails(libc::EINTR),
        case("ppoll", |a| {
            let ready = ready(a);
            let limit = a.words(64, &[10, 0]);
            call(libc::SYS_ppoll, [one(a, ready), 1, limit, 0, 8])
        }),
        case("ppoll that is interrupted", |a| {
            let never = never_ready(a);
            let limit = interrupted(a, 64);
            call(libc::SYS_ppoll, [one(a, never), 1, limit, 0, 8])
        })
        .fails(libc::EINTR),
        case("ppoll without time", |a| {
            let never = never_ready(a);
            let limit = a.words(64, &[0, 0]);
            call(libc::SYS_ppoll, [one(a, never), 1, limit, 0, 8])
        }),
    ]);
}

#[test]
fn what_select_found_is_stored() {
    /// A set with one descriptor, which is below 64 or so: then the kernel copies a word of it.
    fn set(a: &mut Arena, fd: u64) -> u64 {
        a.words(0, &[0, 0, 0, 0]);
        a.put(fd as usize / 8, &[1 << (fd % 8)]);
        a.at(0)
    }
    check(&[
        case("select", |a| {
            let ready = ready(a);
            let limit = a.words(64, &[10, 0]);
            call(libc::SYS_select, [ready + 1, set(a, ready), 0, 0, limit])
        }),
        case("select that is interrupted", |a| {
            let never = never_ready(a);
            let limit = interrupted(a, 64);
            call(libc::SYS_select, [never + 1, set(a, never), 0, 0, limit])
        })
        .fails(libc::EINTR),
        case("pselect6", |a| {
            let ready = ready(a);
            // Nothing is special about it: that would be the last set.
            let limit = a.words(64, &[0, 1_000_000]);
            call(
                libc::SYS_pselect6,
                [ready + 1, 0, 0, set(a, ready), limit, 0],
            )
        }),
        case("select of a descriptor that is not open", |a| {
            let limit = a.words(64, &[10, 0]);
            let set = a.words(0, &[u64::MAX]);
            call(libc::SYS_select, [64, set, 0, 0, limit])
        })
        .fails(libc::EBADF),
    ]);
}

#[test]
fn events_are_stored() {
    fn epoll(a: &mut Arena) -> u64 {
        let ready = ready(a);
        let event = [1u32, 0, 0];
        let epoll = made(libc::SYS_epoll_create1, [0]);
        let at = event.as_ptr() as u64;
        made(libc::SYS_epoll_ctl, [epoll, 1, ready, at]);
        a.keep(owned(epoll)).as_raw_fd() as u64
    }
    check(&[
        case("epoll_wait", |a| {
            call(libc::SYS_epoll_wait, [epoll(a), a.at(8), 10, 1000])
        }),
        case("epoll_pwait", |a| {
            call(libc::SYS_epoll_pwait, [epoll(a), a.at(8), 10, 1000, 0, 8])
        }),
        case("epoll_pwait2", |a| {
            let limit = a.words(200, &[1, 0]);
            call(libc::SYS_epoll_pwait2, [epoll(a), a.at(8), 10, limit, 0, 8])
        }),
    ]);
}
