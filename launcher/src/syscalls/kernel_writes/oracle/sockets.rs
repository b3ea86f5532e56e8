//! Addresses, messages and options of sockets.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use super::{Arena, Exact, call, case, check, made};

const TEXT: &[u8] = b"a datagram";

/// A listening socket that somebody has connected to.
fn listener(a: &mut Arena) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    a.keep(connected);
    a.keep(listener).as_raw_fd() as u64
}

/// A connection over which TEXT has come.
fn stream(a: &mut Arena) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    std::io::Write::write_all(&mut sender, TEXT).unwrap();
    a.keep(sender);
    a.keep(listener.accept().unwrap().0).as_raw_fd() as u64
}

/// A socket at which two datagrams have come.
fn datagrams(a: &mut Arena) -> u64 {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    sender.send_to(TEXT, to).unwrap();
    sender.send_to(&TEXT[1..], to).unwrap();
    a.keep(receiver).as_raw_fd() as u64
}

/// Room for an address, with what accept(2) and its kin take for its length.
fn room(a: &mut Arena, length: u32) -> [u64; 2] {
    let at = a.put(500, &length.to_ne_bytes());
    [a.at(8), at]
}

/// A struct msghdr at `offset`: an address of `name` bytes, two buffers, `control` bytes.
fn header(a: &mut Arena, offset: usize, name: u64, control: u64) -> u64 {
    let buffers = [a.at(offset + 1000), 4, a.at(offset + 1100), 60];
    let buffers = a.words(offset + 200, &buffers);
    let name_at = if name == 0 { 0 } else { a.at(offset + 300) };
    let control_at = a.at(offset + 600);
    a.words(offset, &[name_at, name, buffers, 2, control_at, control, 0])
}

#[test]
fn addresses_are_stored_as_far_as_there_is_room() {
    macro_rules! cases {
        ($($name:literal $nr:ident $socket:ident $room:literal),* $(,)?) => {
            &[$(case($name, |a| {
                let [at, length] = room(a, $room);
                call(libc::$nr, [$socket(a), at, length, 0])
            })),*]
        };
    }
    check(cases![
        "accept" SYS_accept listener 16,
        "accept with little room" SYS_accept listener 5,
        "accept4 with much room" SYS_accept4 listener 128,
        "accept without room" SYS_accept4 listener 0,
        "getsockname" SYS_getsockname datagrams 16,
        "getsockname with little room" SYS_getsockname datagrams 3,
        "getpeername" SYS_getpeername stream 64,
    ]);
    check(&[case("accept without an address", |a| {
        call(libc::SYS_accept, [listener(a), 0, 0])
    })]);
}

#[test]
fn received_data_is_stored_with_its_address() {
    const PEEK_TRUNCATED: u64 = (libc::MSG_TRUNC | libc::MSG_PEEK) as u64;
    check(&[
        case("recvfrom", |a| {
            let [at, length] = room(a, 16);
            let args = [datagrams(a), a.at(700), 64, 0, at, length];
            call(libc::SYS_recvfrom, args)
        }),
        case("recvfrom with little room", |a| {
            let [at, length] = room(a, 7);
            let args = [datagrams(a), a.at(700), 4, 0, at, length];
            call(libc::SYS_recvfrom, args)
        }),
        case("recvfrom that tells the length", |a| {
            let args = [datagrams(a), a.at(700), 4, PEEK_TRUNCATED, 0, 0];
            call(libc::SYS_recvfrom, args)
        }),
        case("recvfrom that discards", |a| {
            let args = [stream(a), a.at(700), 4, libc::MSG_TRUNC as u64, 0, 0];
            call(libc::SYS_recvfrom, args)
        }),
        case("recvfrom of a stream", |a| {
            let [at, length] = room(a, 16);
            call(
                libc::SYS_recvfrom,
                [stream(a), a.at(700), 64, 0, at, length],
            )
        }),
        case("recvfrom that fails", |a| {
            let [at, length] = room(a, 16);
            call(libc::SYS_recvfrom, [u64::MAX, a.at(700), 64, 0, at, length])
        })
        .fails(libc::EBADF),
    ]);
}

/// A socket at which a datagram has come with control messages: credentials, and a descriptor.
fn with_control(a: &mut Arena) -> u64 {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    let on = 1u32;
    let mut control = [20u64, 0, 0];
    control[1] = libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32;
    control[2] = sender.as_raw_fd() as u64;
    let text = [TEXT.as_ptr() as u64, TEXT.len() as u64];
    let header = [
        0,
        0,
        text.as_ptr() as u64,
        1,
        control.as_ptr() as u64,
        20,
        0,
    ];
    let (on, to) = (&raw const on as u64, receiver.as_raw_fd() as u64);
    let (level, option) = (libc::SOL_SOCKET as u64, libc::SO_PASSCRED as u64);
    made(libc::SYS_setsockopt, [to, level, option, on, 4]);
    let from = sender.as_raw_fd() as u64;
    made(libc::SYS_sendmsg, [from, header.as_ptr() as u64, 0]);
    a.keep(receiver).as_raw_fd() as u64
}

#[test]
fn messages_are_stored_with_their_headers() {
    check(&[
        case("recvmsg", |a| {
            let header = header(a, 0, 16, 0);
            call(libc::SYS_recvmsg, [datagrams(a), header, 0])
        }),
        case("recvmsg with little room", |a| {
            let header = header(a, 0, 6, 0);
            call(libc::SYS_recvmsg, [datagrams(a), header, 0])
        }),
        case("recvmsg without an address", |a| {
            let header = header(a, 0, 0, 100);
            call(libc::SYS_recvmsg, [stream(a), header, 0])
        }),
        case("recvmsg with control messages", |a| {
            let header = header(a, 0, 0, 200);
            call(libc::SYS_recvmsg, [with_control(a), header, 0])
        }),
        case("recvmmsg", |a| {
            let first = header(a, 0, 16, 0);
            header(a, 64, 3, 0);
            let limit = a.words(5000, &[1, 0]);
            call(libc::SYS_recvmmsg, [datagrams(a), first, 2, 0, limit])
        }),
        case("sendmmsg", |a| {
            let (sender, receiver) = UnixDatagram::pair().unwrap();
            a.keep(receiver);
            let first = header(a, 0, 0, 0);
            header(a, 64, 0, 0);
            let sender = a.keep(sender).as_raw_fd() as u64;
            call(libc::SYS_sendmmsg, [sender, first, 2, 0])
        })
        .exact(Exact::Number),
    ]);
}

#[test]
fn options_are_stored_with_their_length() {
    macro_rules! options {
        ($($name:literal $socket:ident $level:literal $option:literal $room:literal),* $(,)?) => {
            &[$(case($name, |a| {
                let [at, length] = room(a, $room);
                call(libc::SYS_getsockopt, [$socket(a), $level, $option, at, length])
            })),*]
        };
    }
    check(options![
        "SO_TYPE" datagrams 1 3 4,
        "SO_TYPE with little room" datagrams 1 3 2,
        "SO_TYPE with much room" datagrams 1 3 100,
        "SO_LINGER" stream 1 13 8,
        "SO_PEERCRED" with_control 1 17 12,
        "SO_RCVTIMEO" stream 1 20 16,
        "TCP_INFO" stream 6 11 300,
        "TCP_CONGESTION" stream 6 13 16,
        "IP_TTL" datagrams 0 2 4,
    ]);
}
