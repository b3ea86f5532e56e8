//! Arguments and environment of execve(2), copied within the kernel's limits (fs/exec.c).

use std::ffi::CString;

use crate::guest::layout::PAGE;
use crate::host::guest_memory;
use crate::process::stack::rlimit;

/// Longest string with its NUL (MAX_ARG_STRLEN).
const LONGEST: usize = 32 * PAGE as usize;
/// What all strings and their pointers may take at least (ARG_MAX) and at most (three quarters of
/// _STK_LIM).
const LEAST_ROOM: u64 = 32 * PAGE;
const MOST_ROOM: u64 = 6 << 20;
const POINTER: u64 = size_of::<u64>() as u64;

/// What execve(2) was given.
pub(super) struct Arguments {
    /// The arguments: never none, since the kernel puts an empty one in that place.
    pub argv: Vec<CString>,
    /// The environment.
    pub envp: Vec<CString>,
    /// Bytes that are left for the argument strings.
    room: u64,
}

impl Arguments {
    /// Copies the two vectors; `execfn` lies beside them and so counts, too.
    ///
    /// # Errors
    /// EFAULT, E2BIG.
    pub(super) fn read(argv: u64, envp: u64, execfn: &CString) -> Result<Self, i32> {
        let argv = pointers(argv)?;
        let envp = pointers(envp)?;
        let limit = (rlimit(libc::RLIMIT_STACK) / 4).clamp(LEAST_ROOM, MOST_ROOM);
        let vectors = (argv.len().max(1) + envp.len()) as u64 * POINTER;
        let mut room = limit
            .checked_sub(vectors)
            .filter(|&room| room > 0)
            .ok_or(libc::E2BIG)?;
        take(&mut room, execfn)?;
        let envp = strings(&envp, &mut room)?;
        let mut for_arguments = room;
        let mut argv = strings(&argv, &mut for_arguments)?;
        if argv.is_empty() {
            argv.push(CString::default());
        }
        Ok(Self { argv, envp, room })
    }

    /// Whether `argv`, with what `#!` lines have put in front, is within the limit.
    pub(super) fn have_room_for(&self, argv: &[CString]) -> bool {
        let mut room = self.room;
        argv.iter().all(|string| take(&mut room, string).is_ok())
    }
}

fn take(room: &mut u64, string: &CString) -> Result<(), i32> {
    let bytes = string.as_bytes_with_nul().len() as u64;
    *room = room.checked_sub(bytes).ok_or(libc::E2BIG)?;
    Ok(())
}

/// The pointers of a vector up to its null pointer; a vector at address 0 is empty.
fn pointers(addr: u64) -> Result<Vec<u64>, i32> {
    let mut pointers = Vec::new();
    if addr == 0 {
        return Ok(pointers);
    }
    let mut memory = Window::default();
    loop {
        match memory.word(addr.wrapping_add(pointers.len() as u64 * POINTER))? {
            0 => return Ok(pointers),
            pointer => pointers.push(pointer),
        }
        if pointers.len() as u64 * POINTER > MOST_ROOM {
            return Err(libc::E2BIG);
        }
    }
}

fn strings(pointers: &[u64], room: &mut u64) -> Result<Vec<CString>, i32> {
    let mut memory = Window::default();
    let mut strings = Vec::with_capacity(pointers.len());
    for &addr in pointers {
        let string = memory.string(addr)?;
        take(room, &string)?;
        strings.push(string);
    }
    Ok(strings)
}

/// The page of the program's memory that was read last: strings mostly lie one behind the other.
struct Window {
    page: Option<u64>,
    bytes: [u8; PAGE as usize],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            page: None,
            bytes: [0; PAGE as usize],
        }
    }
}

impl Window {
    /// What lies from `addr` to the end of its page.
    fn at(&mut self, addr: u64) -> Result<&[u8], i32> {
        let page = addr & !(PAGE - 1);
        if self.page != Some(page) {
            self.page = None;
            guest_memory::read_bytes(page, &mut self.bytes).map_err(|_| libc::EFAULT)?;
            self.page = Some(page);
        }
        Ok(&self.bytes[(addr - page) as usize..])
    }

    fn word(&mut self, addr: u64) -> Result<u64, i32> {
        match self.at(addr)?.first_chunk() {
            Some(bytes) => Ok(u64::from_ne_bytes(*bytes)),
            None => guest_memory::read(addr).map_err(|_| libc::EFAULT),
        }
    }

    fn string(&mut self, mut addr: u64) -> Result<CString, i32> {
        let mut string = Vec::new();
        loop {
            let part = self.at(addr)?;
            let end = part.iter().position(|&b| b == 0);
            string.extend(&part[..end.unwrap_or(part.len())]);
            if string.len() >= LONGEST {
                return Err(libc::E2BIG);
            }
            if end.is_some() {
                return CString::new(string).map_err(|_| libc::EFAULT);
            }
            addr = (addr & !(PAGE - 1)).wrapping_add(PAGE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argv: &[*const libc::c_char]) -> Result<Arguments, i32> {
        Arguments::read(argv.as_ptr() as u64, 0, &c"x".into())
    }

    #[test]
    fn strings_are_copied_and_a_missing_vector_is_empty() {
        let long = CString::new(vec![b'y'; 10_000]).unwrap();
        let read = read(&[
            c"one".as_ptr(),
            c"".as_ptr(),
            long.as_ptr(),
            std::ptr::null(),
        ]);
        let arguments = read.unwrap();
        assert_eq!(arguments.argv, [c"one".into(), c"".into(), long]);
        assert!(arguments.envp.is_empty());
        let none = Arguments::read(0, 0, &c"x".into()).unwrap();
        assert_eq!(none.argv, [CString::default()]);
    }

    #[test]
    fn bad_addresses_and_long_strings_are_told_apart() {
        let bad = read(&[8 as *const libc::c_char, std::ptr::null()]);
        assert_eq!(bad.err(), Some(libc::EFAULT));
        let just = CString::new(vec![b'y'; LONGEST - 1]).unwrap();
        assert!(read(&[just.as_ptr(), std::ptr::null()]).is_ok());
        let over = CString::new(vec![b'y'; LONGEST]).unwrap();
        let over = read(&[over.as_ptr(), std::ptr::null()]);
        assert_eq!(over.err(), Some(libc::E2BIG));
    }
}
