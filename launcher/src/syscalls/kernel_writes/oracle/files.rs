//! Files, their attributes, and what moves data.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use super::{Arena, Exact, call, case, check, made, memory_file};
use crate::syscalls::threads::own_call;

const TEXT: &[u8] = b"seven bytes and more";

/// A new file in memory with TEXT in it.
fn file(a: &mut Arena) -> u64 {
    let mut file = File::from(memory_file());
    file.write_all(TEXT).unwrap();
    a.keep(file).as_raw_fd() as u64
}

/// A pipe with TEXT in it: its ends for reading and writing.
fn pipe(a: &mut Arena) -> [u64; 2] {
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(TEXT).unwrap();
    let read = a.keep(read).as_raw_fd() as u64;
    [read, a.keep(write).as_raw_fd() as u64]
}

/// Three buffers, one of them empty, of 13 bytes in all; where their struct iovec are.
fn vector(a: &mut Arena) -> u64 {
    let buffers = [a.at(1000), 3, a.at(2000), 0, a.at(3000), 10];
    a.words(0, &buffers)
}

fn string(text: &'static CStr) -> u64 {
    text.as_ptr() as u64
}

const ROOT: &CStr = c"/";
const OWN_PROGRAM: &CStr = c"/proc/self/exe";

#[test]
fn reading_writes_what_was_read() {
    const OWN: &[u64; 2] = &[0; 2];
    check(&[
        case("read", |a| call(libc::SYS_read, [pipe(a)[0], a.at(8), 100])),
        case("read of nothing", |a| {
            call(libc::SYS_read, [file(a), a.at(8), 100])
        }),
        case("read that fails", |a| {
            call(libc::SYS_read, [u64::MAX, a.at(8), 100])
        })
        .fails(libc::EBADF),
        case("pread64", |a| {
            call(libc::SYS_pread64, [file(a), a.at(8), 5, 2])
        }),
        case("readv", |a| {
            call(libc::SYS_readv, [pipe(a)[0], vector(a), 3])
        }),
        case("preadv", |a| {
            call(libc::SYS_preadv, [file(a), vector(a), 3, 11, 0])
        }),
        case("preadv2", |a| {
            call(libc::SYS_preadv2, [file(a), vector(a), 3, 2, 0, 0])
        }),
        case("process_vm_readv", |a| {
            let remote = a.keep([OWN.as_ptr() as u64, 9]).as_ptr() as u64;
            let own = std::process::id().into();
            call(
                libc::SYS_process_vm_readv,
                [own, vector(a), 3, remote, 1, 0],
            )
        }),
        case("process_vm_writev", |a| {
            let local = a.keep([OWN.as_ptr() as u64, 9]).as_ptr() as u64;
            let own = std::process::id().into();
            call(
                libc::SYS_process_vm_writev,
                [own, local, 1, vector(a), 3, 0],
            )
        }),
        case("vmsplice out of a pipe", |a| {
            call(libc::SYS_vmsplice, [pipe(a)[0], vector(a), 3, 0])
        }),
        case("vmsplice into a pipe", |a| {
            call(libc::SYS_vmsplice, [pipe(a)[1], vector(a), 3, 0])
        }),
        case("getrandom", |a| call(libc::SYS_getrandom, [a.at(8), 24, 0])),
        case("write", |a| call(libc::SYS_write, [pipe(a)[1], a.at(8), 9])),
    ]);
}

#[test]
fn copying_writes_offsets() {
    check(&[
        case("sendfile", |a| {
            let offset = a.words(8, &[3]);
            call(libc::SYS_sendfile, [pipe(a)[1], file(a), offset, 4])
        }),
        case("sendfile that fails", |a| {
            let offset = a.words(8, &[3]);
            call(libc::SYS_sendfile, [u64::MAX, file(a), offset, 4])
        })
        .fails(libc::EBADF),
        case("sendfile without an offset", |a| {
            call(libc::SYS_sendfile, [pipe(a)[1], file(a), 0, 4])
        }),
        case("copy_file_range", |a| {
            let (from, to) = (a.words(8, &[3]), a.words(16, &[5]));
            let args = [file(a), from, file(a), to, 4, 0];
            call(libc::SYS_copy_file_range, args)
        }),
        case("splice", |a| {
            let from = a.words(8, &[3]);
            call(libc::SYS_splice, [file(a), from, pipe(a)[1], 0, 4, 0])
        }),
        case("io_submit", |a| {
            let place = a.words(8, &[0]);
            made(libc::SYS_io_setup, [8, place]);
            let context = a.word(8);
            let fd = pipe(a)[1];
            let request = [7, 0, 1 | fd << 32, TEXT.as_ptr() as u64, 3, 0, 0, 0];
            let request = a.words(64, &request);
            let list = a.words(0, &[request]);
            call(libc::SYS_io_submit, [context, 1, list])
        })
        .anyhow(),
        case("io_setup", |a| {
            let context = a.words(8, &[0]);
            call(libc::SYS_io_setup, [8, context])
        })
        .anyhow(),
    ]);
}

#[test]
fn attributes_of_files_are_stored() {
    check(&[
        case("stat", |a| call(libc::SYS_stat, [string(ROOT), a.at(8)])),
        case("lstat", |a| call(libc::SYS_lstat, [string(ROOT), a.at(8)])),
        case("fstat", |a| call(libc::SYS_fstat, [file(a), a.at(8)])),
        case("stat that fails", |a| call(libc::SYS_stat, [0, a.at(8)])).fails(libc::EFAULT),
        case("newfstatat", |a| {
            call(libc::SYS_newfstatat, [0, string(ROOT), a.at(8), 0])
        }),
        case("statx", |a| {
            call(libc::SYS_statx, [0, string(ROOT), 0, 0xfff, a.at(8)])
        }),
        case("statfs", |a| {
            call(libc::SYS_statfs, [string(ROOT), a.at(8)])
        }),
        case("fstatfs", |a| call(libc::SYS_fstatfs, [file(a), a.at(8)])),
        case("ustat", |a| call(libc::SYS_ustat, [1, a.at(8)])).anyhow(),
        case("cachestat", |a| {
            let range = a.words(0, &[0, 0]);
            call(451, [file(a), range, a.at(16), 0])
        })
        .anyhow(),
        case("statmount", |a| {
            let request = a.words(0, &[24, mount_id(), 0x3f]);
            call(457, [request, a.at(64), 4096, 0])
        })
        .anyhow(),
        case("listmount", |a| {
            let request = a.words(0, &[24, u64::MAX, 0]);
            call(458, [request, a.at(64), 8, 0])
        })
        .anyhow(),
        case("file_getattr", |a| {
            call(468, [-100i64 as u64, string(ROOT), a.at(8), 40, 0])
        })
        .anyhow(),
        case("name_to_handle_at without room", |a| {
            let handle = a.words(8, &[0]);
            call(
                libc::SYS_name_to_handle_at,
                [0, string(ROOT), handle, a.at(100), 0],
            )
        })
        .anyhow(),
        case("name_to_handle_at", |a| {
            let handle = a.words(8, &[128]);
            call(
                libc::SYS_name_to_handle_at,
                [0, string(ROOT), handle, a.at(200), 0],
            )
        })
        .anyhow(),
    ]);
}

/// The root's mount, as statmount(2) names it.
fn mount_id() -> u64 {
    let mut described = [0u64; 32];
    let at = described.as_mut_ptr() as u64;
    made(libc::SYS_statx, [0, string(ROOT), 0, 0x4000, at]);
    described[18]
}

#[test]
fn names_are_stored() {
    const NAME: &CStr = c"user.oracle";
    fn named(a: &mut Arena) -> u64 {
        let file = file(a);
        let value = TEXT.as_ptr() as u64;
        // Not every kernel keeps such attributes of files in memory.
        let _ = own_call(libc::SYS_fsetxattr, [file, string(NAME), value, 9, 0, 0]);
        file
    }
    check(&[
        case("getcwd", |a| call(libc::SYS_getcwd, [a.at(8), 4096])),
        case("readlink", |a| {
            call(libc::SYS_readlink, [string(OWN_PROGRAM), a.at(8), 4096])
        }),
        case("readlinkat", |a| {
            call(libc::SYS_readlinkat, [0, string(OWN_PROGRAM), a.at(8), 5])
        }),
        case("getdents64", |a| {
            let root = File::open("/").unwrap();
            let root = a.keep(root).as_raw_fd() as u64;
            call(libc::SYS_getdents64, [root, a.at(8), 4096])
        })
        .exact(Exact::WithGaps),
        case("getdents", |a| {
            let root = File::open("/").unwrap();
            let root = a.keep(root).as_raw_fd() as u64;
            call(libc::SYS_getdents, [root, a.at(8), 4096])
        })
        .exact(Exact::WithGaps),
        case("fgetxattr", |a| {
            call(libc::SYS_fgetxattr, [named(a), string(NAME), a.at(8), 100])
        })
        .anyhow(),
        case("length of fgetxattr", |a| {
            call(libc::SYS_fgetxattr, [named(a), string(NAME), a.at(8), 0])
        })
        .anyhow(),
        case("flistxattr", |a| {
            call(libc::SYS_flistxattr, [named(a), a.at(8), 100])
        })
        .anyhow(),
        case("getxattrat", |a| {
            let value = [a.at(64), 100];
            let value = a.words(0, &value);
            call(
                464,
                [named(a), string(c""), 0x1000, string(NAME), value, 16],
            )
        })
        .anyhow(),
        case("sysfs", |a| call(libc::SYS_sysfs, [2, 0, a.at(8)])).anyhow(),
    ]);
}
