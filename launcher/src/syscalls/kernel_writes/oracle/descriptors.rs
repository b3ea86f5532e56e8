//! Pipes, terminals and other descriptors: what fcntl(2) and ioctl(2) store.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use super::{Arena, call, case, check, made, memory_file, owned};

/// A new pseudo-terminal.
fn terminal(a: &mut Arena) -> u64 {
    let flags = (libc::O_RDWR | libc::O_NOCTTY) as u64;
    let path = c"/dev/ptmx".as_ptr() as u64;
    let terminal = owned(made(libc::SYS_open, [path, flags]));
    a.keep(terminal).as_raw_fd() as u64
}

fn file(a: &mut Arena) -> u64 {
    a.keep(memory_file()).as_raw_fd() as u64
}

fn socket(a: &mut Arena) -> u64 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    a.keep(socket).as_raw_fd() as u64
}

/// A socket, and a struct ifreq for the device `lo`.
fn device(a: &mut Arena) -> [u64; 2] {
    let mut request = [0; 40];
    request[..2].copy_from_slice(b"lo");
    [socket(a), a.put(8, &request)]
}

#[test]
fn new_descriptors_are_stored() {
    check(&[
        case("pipe", |a| call(libc::SYS_pipe, [a.at(8)])),
        case("pipe2", |a| call(libc::SYS_pipe2, [a.at(8), 0])),
        case("socketpair", |a| {
            call(libc::SYS_socketpair, [1, 1, 0, a.at(8)])
        }),
    ]);
}

#[test]
fn commands_of_fcntl_store_what_they_ask_for() {
    check(&[
        case("F_GETLK", |a| {
            let lock = a.words(8, &[0, 0, 0, 0]);
            let get = libc::F_GETLK as u64;
            call(libc::SYS_fcntl, [file(a), get, lock])
        }),
        case("F_OFD_GETLK", |a| {
            let lock = a.words(8, &[0, 0, 0, 0]);
            let get = libc::F_OFD_GETLK as u64;
            call(libc::SYS_fcntl, [file(a), get, lock])
        }),
        case("F_GETOWN_EX", |a| {
            call(libc::SYS_fcntl, [file(a), 16, a.at(8)])
        }),
        case("F_GETOWNER_UIDS", |a| {
            call(libc::SYS_fcntl, [file(a), 17, a.at(8)])
        })
        .anyhow(),
        case("F_GET_RW_HINT", |a| {
            call(libc::SYS_fcntl, [file(a), 1035, a.at(8)])
        })
        .anyhow(),
        case("F_GETFL", |a| call(libc::SYS_fcntl, [file(a), 3, a.at(8)])),
    ]);
}

#[test]
fn requests_of_terminals_store_what_they_ask_for() {
    macro_rules! requests {
        ($($name:literal $request:literal),*) => {
            [$(case($name, |a| {
                call(libc::SYS_ioctl, [terminal(a), $request, a.at(8)])
            })),*]
        };
    }
    let cases = requests![
        "TCGETS" 0x5401, "TCGETA" 0x5405, "TCGETS2" 0x802c_542a, "TIOCOUTQ" 0x5411,
        "TIOCGWINSZ" 0x5413, "TIOCGSOFTCAR" 0x5419, "FIONREAD" 0x541b, "TIOCGETD" 0x5424,
        "TIOCGPTN" 0x8004_5430, "TIOCGDEV" 0x8004_5432, "TIOCGPKT" 0x8004_5438,
        "TIOCGPTLCK" 0x8004_5439, "TIOCGEXCL" 0x8004_5440, "FIOQSIZE" 0x5460
    ];
    check(&cases.map(super::Case::anyhow));
}

#[test]
fn requests_of_files_and_sockets_store_what_they_ask_for() {
    check(&[
        case("FIONREAD", |a| {
            let (read, mut write) = std::io::pipe().unwrap();
            write.write_all(b"four").unwrap();
            let read = a.keep(read).as_raw_fd() as u64;
            call(libc::SYS_ioctl, [read, 0x541b, a.at(8)])
        }),
        case("FIGETBSZ", |a| {
            let root = File::open("/").unwrap();
            let root = a.keep(root).as_raw_fd() as u64;
            call(libc::SYS_ioctl, [root, 2, a.at(8)])
        }),
        case("FS_IOC_GETFLAGS", |a| {
            call(libc::SYS_ioctl, [file(a), 0x8008_6601, a.at(8)])
        })
        .anyhow(),
        case("FS_IOC_FSGETXATTR", |a| {
            call(libc::SYS_ioctl, [file(a), 0x801c_581f, a.at(8)])
        })
        .anyhow(),
        case("FIONBIO", |a| {
            let on = a.put(8, &1u32.to_ne_bytes());
            call(libc::SYS_ioctl, [socket(a), 0x5421, on])
        }),
        case("SIOCGIFCONF", |a| {
            let buffer = a.at(64);
            let list = a.words(0, &[400, buffer]);
            call(libc::SYS_ioctl, [socket(a), 0x8912, list])
        }),
        case("SIOCGIFINDEX", |a| {
            let [socket, device] = device(a);
            call(libc::SYS_ioctl, [socket, 0x8933, device])
        }),
        case("SIOCGIFFLAGS", |a| {
            let [socket, device] = device(a);
            call(libc::SYS_ioctl, [socket, 0x8913, device])
        }),
        case("SIOCGIFHWADDR", |a| {
            let [socket, device] = device(a);
            call(libc::SYS_ioctl, [socket, 0x8927, device])
        }),
        case("RNDGETENTCNT", |a| {
            let random = File::open("/dev/urandom").unwrap();
            let random = a.keep(random).as_raw_fd() as u64;
            call(libc::SYS_ioctl, [random, 0x8004_5200, a.at(8)])
        }),
    ]);
}
