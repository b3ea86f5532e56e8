//! What a process learns of itself, of its children, and of the machine.

use std::process::Command;

use super::{Arena, Case, call, case, check};

/// A child that has ended, or soon will have.
fn child(a: &mut Arena) -> u64 {
    let child = Command::new("/bin/true").spawn().unwrap();
    a.keep(child).id().into()
}

#[test]
fn attributes_of_the_process_are_stored() {
    check(&[
        case("uname", |a| call(libc::SYS_uname, [a.at(8)])),
        case("sysinfo", |a| call(libc::SYS_sysinfo, [a.at(8)])),
        case("times", |a| call(libc::SYS_times, [a.at(8)])),
        case("getrusage", |a| call(libc::SYS_getrusage, [0, a.at(8)])),
        case("getrlimit", |a| call(libc::SYS_getrlimit, [3, a.at(8)])),
        case("prlimit64", |a| {
            call(libc::SYS_prlimit64, [0, 3, 0, a.at(8)])
        }),
        case("getresuid", |a| {
            call(libc::SYS_getresuid, [a.at(8), a.at(16), a.at(32)])
        }),
        case("getresgid", |a| {
            call(libc::SYS_getresgid, [a.at(8), a.at(16), a.at(32)])
        }),
        case("getgroups", |a| call(libc::SYS_getgroups, [1000, a.at(8)])),
        case("number of getgroups", |a| {
            call(libc::SYS_getgroups, [0, a.at(8)])
        }),
        case("getcpu", |a| call(libc::SYS_getcpu, [a.at(8), a.at(16), 0])),
        case("get_robust_list", |a| {
            call(libc::SYS_get_robust_list, [0, a.at(8), a.at(16)])
        }),
        case("get_mempolicy", |a| {
            call(libc::SYS_get_mempolicy, [a.at(8), a.at(64), 4097, 0, 0])
        })
        .anyhow(),
        case("seccomp", |a| call(libc::SYS_seccomp, [3, 0, a.at(8)])).anyhow(),
        case("lsm_list_modules", |a| {
            let size = a.put(8, &64u32.to_ne_bytes());
            call(461, [a.at(64), size, 0])
        })
        .anyhow(),
        case("lsm_list_modules without room", |a| {
            let size = a.put(8, &0u32.to_ne_bytes());
            call(461, [a.at(64), size, 0])
        })
        .anyhow(),
        case("lsm_get_self_attr", |a| {
            let size = a.put(8, &4096u32.to_ne_bytes());
            call(459, [100, a.at(64), size, 0])
        })
        .anyhow(),
        case("syslog", |a| call(libc::SYS_syslog, [3, a.at(8), 100])).anyhow(),
        case("io_uring_setup", |a| {
            let parameters = a.words(0, &[0; 15]);
            call(425, [4, parameters])
        })
        .anyhow(),
    ]);
}

#[test]
fn capabilities_are_stored_in_the_form_of_their_version() {
    fn header(a: &mut Arena, version: u64) -> u64 {
        a.words(0, &[version])
    }
    check(&[
        case("capget", |a| {
            call(libc::SYS_capget, [header(a, 0x2008_0522), a.at(8)])
        }),
        case("capget of old", |a| {
            call(libc::SYS_capget, [header(a, 0x1998_0330), a.at(8)])
        }),
        case("capget for the version", |a| {
            call(libc::SYS_capget, [header(a, 1), 0])
        }),
        case("capget of a wrong version", |a| {
            call(libc::SYS_capget, [header(a, 1), a.at(8)])
        })
        .fails(libc::EINVAL),
    ]);
}

#[test]
fn attributes_of_scheduling_are_stored() {
    check(&[
        case("sched_getparam", |a| {
            call(libc::SYS_sched_getparam, [0, a.at(8)])
        }),
        case("sched_getaffinity", |a| {
            call(libc::SYS_sched_getaffinity, [0, 128, a.at(8)])
        }),
        case("sched_rr_get_interval", |a| {
            call(libc::SYS_sched_rr_get_interval, [0, a.at(8)])
        }),
        case("sched_getattr", |a| {
            call(libc::SYS_sched_getattr, [0, a.at(8), 48, 0])
        }),
        case("sched_getattr with much room", |a| {
            call(libc::SYS_sched_getattr, [0, a.at(8), 200, 0])
        }),
        case("sched_setattr", |a| {
            let attributes = a.words(8, &[4096, 1]);
            call(libc::SYS_sched_setattr, [0, attributes, 0])
        })
        .fails(libc::E2BIG),
        case("perf_event_open", |a| {
            let attributes = a.words(8, &[8192 << 32, 1]);
            call(libc::SYS_perf_event_open, [attributes, 0, 0, u64::MAX, 0])
        })
        .anyhow(),
    ]);
}

#[test]
fn options_of_prctl_store_what_they_ask_for() {
    const fn stores(name: &'static str, prepare: fn(&mut Arena) -> super::Call) -> Case {
        case(name, prepare).anyhow()
    }
    macro_rules! options {
        ($($option:literal),*) => {
            [$(stores(stringify!($option), |a| {
                call(libc::SYS_prctl, [$option, a.at(8), 64, 0, a.at(100)])
            })),*]
        };
    }
    check(&options![
        2, 3, 5, 7, 9, 11, 16, 19, 21, 25, 27, 30, 37, 39, 40, 42, 74
    ]);
    check(&[
        case("PR_GET_AUXV", |a| {
            call(libc::SYS_prctl, [0x4155_5856, a.at(8), 40, 0, 0])
        })
        .anyhow(),
        case("PR_SET_MM_MAP_SIZE", |a| {
            call(libc::SYS_prctl, [35, 15, a.at(8), 0, 0])
        })
        .anyhow(),
        case("PR_SCHED_CORE", |a| {
            call(libc::SYS_prctl, [62, 0, 0, 0, a.at(8)])
        })
        .anyhow(),
        case("ARCH_GET_FS", |a| {
            call(libc::SYS_arch_prctl, [0x1003, a.at(8)])
        }),
        case("ARCH_GET_XCOMP_SUPP", |a| {
            call(libc::SYS_arch_prctl, [0x1021, a.at(8)])
        })
        .anyhow(),
        case("ARCH_GET_MAX_TAG_BITS", |a| {
            call(libc::SYS_arch_prctl, [0x4003, a.at(8)])
        })
        .anyhow(),
        case("ARCH_GET_UNTAG_MASK", |a| {
            call(libc::SYS_arch_prctl, [0x4001, a.at(8)])
        })
        .anyhow(),
    ]);
}

#[test]
fn children_are_told_of_when_they_are_made_and_when_they_end() {
    const NO_CHILD: u64 = 1;
    check(&[
        case("wait4", |a| {
            call(libc::SYS_wait4, [child(a), a.at(8), 0, a.at(64)])
        }),
        case("wait4 that fails", |a| {
            call(libc::SYS_wait4, [NO_CHILD, a.at(8), 0, a.at(64)])
        })
        .fails(libc::ECHILD),
        case("waitid", |a| {
            let keeps = (libc::WEXITED | libc::WNOWAIT) as u64;
            call(libc::SYS_waitid, [1, child(a), a.at(8), keeps, a.at(200)])
        }),
        case("waitid without a siginfo", |a| {
            let exited = libc::WEXITED as u64;
            call(libc::SYS_waitid, [1, child(a), 0, exited, a.at(200)])
        }),
        case("waitid too early", |a| {
            let sleeper = Command::new("/bin/sleep").arg("1").spawn().unwrap();
            let sleeper = a.keep(sleeper).id().into();
            let looks = (libc::WEXITED | libc::WNOHANG) as u64;
            call(libc::SYS_waitid, [1, sleeper, a.at(8), looks, a.at(200)])
        }),
        case("waitid that fails", |a| {
            let exited = libc::WEXITED as u64;
            call(libc::SYS_waitid, [1, NO_CHILD, a.at(8), exited, a.at(200)])
        })
        .fails(libc::ECHILD),
        case("clone", |a| {
            let flags = (libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_SETTID) as u64;
            call(libc::SYS_clone, [flags | 17, 0, a.at(8), a.at(16), 0])
        }),
        case("clone with a descriptor", |a| {
            let flags = libc::CLONE_PIDFD as u64;
            call(libc::SYS_clone, [flags | 17, 0, a.at(8), 0, 0])
        }),
        case("clone3", |a| {
            let flags = (libc::CLONE_PIDFD | libc::CLONE_PARENT_SETTID) as u64;
            let args = [flags, a.at(200), a.at(300), a.at(400), 17, 0, 0, 0];
            let args = a.words(0, &args);
            call(libc::SYS_clone3, [args, 64])
        }),
    ]);
}
