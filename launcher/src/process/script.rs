//! `#!` lines, as fs/binfmt_script.c reads them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a file that decide what it is (BINPRM_BUF_SIZE): a `#!` line ends there at the latest.
const HEAD: usize = 256;

/// How many scripts may be interpreted by one another before there must be a program.
pub(crate) const DEEPEST: usize = 5;

/// The beginning of a file, up to what decides about it.
///
/// # Errors
/// What pread(2) says.
pub(crate) fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let mut len = 0;
    while len < HEAD {
        match file.read_at(&mut head[len..], len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    head.truncate(len);
    Ok(head)
}

/// Interpreter and optional argument of a `#!` line.
pub(crate) fn line(head: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let rest = head.strip_prefix(b"#!")?;
    let is_blank = |&b: &u8| b == b' ' || b == b'\t';
    let is_end = |b: &u8| is_blank(b) || *b == 0;
    // What ends a string ends the search for the line's end, too.
    let line = match rest.iter().position(|&b| b == b'\n' || b == 0) {
        Some(end) => &rest[..end],
        None if head.len() < HEAD => rest,
        // Cut off: only what surely is a whole name counts.
        None => {
            let name = &rest[rest.iter().position(|b| !is_blank(b))?..];
            name.iter().position(is_end)?;
            &rest[..rest.len() - 1]
        }
    };
    let end = line.iter().rposition(|b| !is_blank(b))? + 1;
    let line = &line[..end];
    let line = &line[line.iter().position(|b| !is_blank(b))?..];
    let name = line.iter().position(is_end).unwrap_or(line.len());
    let (name, rest) = line.split_at(name);
    let argument = rest.iter().position(|b| !is_blank(b)).map(|at| &rest[at..]);
    Some((name, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_an_interpreter_and_at_most_one_argument() {
        assert_eq!(line(b"#!/bin/sh\nx"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(
            line(b"#! \t/usr/bin/env  python3 -u \nx"),
            Some((&b"/usr/bin/env"[..], Some(&b"python3 -u"[..])))
        );
        assert_eq!(line(b"#!/bin/sh\r\n"), Some((&b"/bin/sh\r"[..], None)));
        assert_eq!(line(b"#!/bin/sh"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(line(b"#!\n"), None);
        assert_eq!(line(b"#! \t"), None);
        assert_eq!(line(b"\x7fELF"), None);
    }

    #[test]
    fn a_line_that_is_cut_off_must_name_its_interpreter_whole() {
        let long = [b"#!/".as_slice(), &[b'x'; 300]].concat();
        assert_eq!(line(&long[..HEAD]), None);
        let long = [b"#!/x ".as_slice(), &[b'y'; 300]].concat();
        let argument = &long[5..HEAD - 1];
        assert_eq!(line(&long[..HEAD]), Some((&b"/x"[..], Some(argument))));
    }
}
