//! HTTP as a test speaks it: what is sent and what comes back, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::machine;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Status code; 0 where no status line came.
    pub status: u16,
    /// Names, in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: String,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(header, value)| (header == name).then_some(value.as_str()))
    }
}

/// How long one answer may take.
fn limit() -> Duration {
    machine::patience(Duration::from_secs(20))
}

/// A connection with limits of time.
///
/// # Panics
/// When none can be made.
#[must_use]
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, limit());
    let stream = stream.unwrap_or_else(|cause| panic!("cannot connect to {address}: {cause}"));
    let both = [
        stream.set_read_timeout(Some(limit())),
        stream.set_write_timeout(Some(limit())),
    ];
    assert!(both.iter().all(Result::is_ok));
    stream
}

/// Sends bytes, and gives what comes back until the other side is done.
///
/// # Panics
/// When nothing, and no end, comes in time.
#[must_use]
#[track_caller]
pub fn send(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(address);
    // Who gets garbage may be gone before all of it was sent.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    if let Err(cause) = stream.read_to_end(&mut bytes)
        && cause.kind() != std::io::ErrorKind::ConnectionReset
    {
        panic!("{address}: {cause} after {} bytes", bytes.len());
    }
    parse(&String::from_utf8_lossy(&bytes))
}

/// Asks for a path, with more lines of the header, each with its line end.
///
/// # Panics
/// Like [`send`].
#[must_use]
#[track_caller]
pub fn request(address: SocketAddr, method: &str, path: &str, more: &str) -> Response {
    let text =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    send(address, text.as_bytes())
}

/// GET, and nothing special.
///
/// # Panics
/// Like [`send`].
#[must_use]
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, "")
}

/// Text as it may stand in a query.
#[must_use]
pub fn escaped(text: &str) -> String {
    let shown = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(shown).collect()
}

fn parse(text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    Response {
        status: status.and_then(|code| code.parse().ok()).unwrap_or(0),
        headers,
        body: match chunked {
            true => without_chunks(body),
            false => body.to_owned(),
        },
    }
}

fn without_chunks(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|_| length > 0) else {
            break;
        };
        text.push_str(chunk);
        body = rest[length..].strip_prefix("\r\n").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{escaped, parse};

    #[test]
    fn an_answer_has_a_status_headers_and_a_body() {
        let plain = parse("HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\nbody\r\n");
        assert_eq!(
            (plain.status, plain.header("content-type")),
            (200, Some("x"))
        );
        assert_eq!(plain.body, "body\r\n");
        let chunked =
            "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).body, "abcd");
        assert_eq!(parse("").status, 0);
        assert_eq!(escaped("a{b=\"c\"}"), "a%7Bb%3D%22c%22%7D");
    }
}
