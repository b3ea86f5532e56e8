//! The first stack: arguments, environment and auxiliary vector, laid out as fs/binfmt_elf.c does.
//!
//! ```text
//! top      8 zero bytes
//!          execfn, environment strings, argument strings
//!          platform, 16 random bytes
//!          auxiliary vector, AT_NULL last
//!          environment pointers, NULL
//!          argument pointers, NULL
//! rsp ->   argc                                  (16-byte aligned)
//! ```

use std::ffi::CString;
use std::io;
use std::ops::Range;

use super::image::{self, Image};
use super::mappings::{Backing, Mapping, Mappings, Prot};
use super::memory::page_down;
use crate::host::{guest_memory, relay};

/// Natively the kernel keeps at least this much free below a stack (MIN_GAP), so that a program
/// may raise its limit and still grow.
const ROOM: u64 = 128 << 20;
/// Most that is set aside, for limits that are huge or infinite.
const MOST: u64 = 1 << 30;
const AT_RSEQ_FEATURE_SIZE: u64 = 27;
const AT_RSEQ_ALIGN: u64 = 28;

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    /// No address range of the wanted size.
    #[error(
        "no {bytes} bytes of address space for the stack: {source}. Raise ulimit -v or lower ulimit -s"
    )]
    NoSpace {
        /// Size asked for.
        bytes: u64,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Arguments and environment are too long.
    #[error(
        "arguments and environment need {need} bytes of a {room} byte stack. Shorten them or raise ulimit -s"
    )]
    TooLong {
        /// Bytes needed.
        need: u64,
        /// Bytes there are for them.
        room: u64,
    },
}

/// Where the kernel may show the program's strings from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strings {
    /// First stack pointer.
    pub pointer: u64,
    /// Argument strings.
    pub arguments: Range<u64>,
    /// Environment strings.
    pub environment: Range<u64>,
    /// Auxiliary vector.
    pub auxv: Range<u64>,
}

/// A finished stack.
#[derive(Debug)]
pub(crate) struct Stack {
    /// First stack pointer.
    pub pointer: u64,
    /// What lies where.
    pub strings: Strings,
    /// Host memory that was set aside.
    pub reserved: Range<u64>,
    /// What was written of it, downwards.
    pub written: Vec<Range<u64>>,
}

/// Sets memory aside and writes the first stack; its mapping goes into `table`.
///
/// `auxv`: the launcher's own auxiliary vector, of which everything that is not about the program
/// itself is passed on.
///
/// # Errors
/// See [`StackError`].
pub(crate) fn build(
    argv: &[CString],
    envp: &[CString],
    execfn: &CString,
    image: &Image,
    auxv: &[(u64, u64)],
    table: &mut Mappings,
) -> Result<Stack, StackError> {
    let limit = rlimit(libc::RLIMIT_STACK);
    // Where address space or data (to the kernel, what is set aside here is data) are limited, take
    // what the program would get.
    let is_free = |resource| rlimit(resource) == u64::MAX;
    let room = if is_free(libc::RLIMIT_AS) && is_free(libc::RLIMIT_DATA) {
        ROOM
    } else {
        0
    };
    let bytes = page_down(limit.clamp(room.max(1 << 17), MOST));
    let bottom = map(bytes, image.executable_stack)
        .map_err(|source| StackError::NoSpace { bytes, source })?;
    let reserved = bottom..bottom + bytes;
    let visible = page_down(limit.min(bytes));
    let strings: u64 = argv
        .iter()
        .chain(envp)
        .chain([execfn])
        .map(|s| s.as_bytes_with_nul().len() as u64)
        .sum();
    let vectors = 8 * (argv.len() + envp.len() + 2 * auxv.len() + 64) as u64;
    let need = strings + vectors + 4096;
    // The kernel has held vmmload's own arguments to a quarter of the stack; `#!` lines add few.
    let room = visible / 2;
    if need > room {
        return Err(StackError::TooLong { need, room });
    }
    let exec = if image.executable_stack {
        libc::PROT_EXEC
    } else {
        0
    };
    let prot = Prot::from_bits((libc::PROT_READ | libc::PROT_WRITE | exec) as u64);
    table.insert(
        reserved.end - visible..reserved.end,
        Mapping {
            backing: Backing::Stack,
            grows_down: true,
            ..Mapping::anonymous(prot)
        },
    );
    let (strings, written) = write(argv, envp, execfn, image, auxv, reserved.end);
    Ok(Stack {
        pointer: strings.pointer,
        strings,
        reserved,
        written,
    })
}

fn map(bytes: u64, executable: bool) -> io::Result<u64> {
    let base = image::place_anywhere(bytes)?;
    let exec = if executable { libc::PROT_EXEC } else { 0 };
    let prot = (libc::PROT_READ | libc::PROT_WRITE | exec) as u64;
    // SAFETY: the reservation was made just now and nothing else knows of it.
    let done =
        relay::check(unsafe { relay::raw(libc::SYS_mprotect, [base, bytes, prot, 0, 0, 0]) });
    done.map(|_| base).map_err(io::Error::from_raw_os_error)
}

/// The soft limit of a resource; `u64::MAX` where there is none.
pub(crate) fn rlimit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable for the whole call.
    unsafe { libc::getrlimit(resource, &mut limit) };
    limit.rlim_cur
}

/// Writes downwards from the top; the memory is ours until the program starts.
struct Writer {
    at: u64,
    written: Vec<Range<u64>>,
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.at -= bytes.len() as u64;
        // The stack was mapped just now: writing to it cannot fail but for want of memory, which
        // the program's own first access would meet too.
        let _ = guest_memory::write_bytes(self.at, bytes);
        match self.written.last_mut() {
            Some(above) if above.start == self.at + bytes.len() as u64 => above.start = self.at,
            _ => self.written.push(self.at..self.at + bytes.len() as u64),
        }
        self.at
    }

    fn push_strings(&mut self, strings: &[CString]) -> Vec<u64> {
        let mut addrs: Vec<u64> = strings
            .iter()
            .rev()
            .map(|s| self.push(s.as_bytes_with_nul()))
            .collect();
        addrs.reverse();
        addrs
    }
}

fn write(
    argv: &[CString],
    envp: &[CString],
    execfn: &CString,
    image: &Image,
    auxv: &[(u64, u64)],
    top: u64,
) -> (Strings, Vec<Range<u64>>) {
    let mut stack = Writer {
        at: top - 8,
        written: Vec::new(),
    };
    let execfn = stack.push(execfn.as_bytes_with_nul());
    let strings_end = stack.at;
    let environment = stack.push_strings(envp);
    let environment_start = stack.at;
    let arguments = stack.push_strings(argv);
    let arguments_start = stack.at;
    stack.at &= !15;
    // The kernel leaves some random bytes between strings and vectors, against cache conflicts.
    stack.at -= (image::random_distance(8192 * 4096) / 4096) & !15;
    let platform = stack.push(b"x86_64\0");
    let mut random = [0u8; 16];
    // SAFETY: `random` is writable for its length.
    unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
    let random = stack.push(&random);
    let mut words = vec![arguments.len() as u64];
    words.extend(&arguments);
    words.push(0);
    words.extend(&environment);
    words.push(0);
    let auxv_at = words.len() as u64 * 8;
    for (key, value) in auxv
        .iter()
        .copied()
        .filter(|&(key, _)| key != libc::AT_NULL)
    {
        let value = match key {
            libc::AT_PHDR => image.program_headers,
            libc::AT_PHNUM => image.program_header_count,
            libc::AT_BASE => image.interpreter_base,
            libc::AT_ENTRY => image.entry,
            libc::AT_RANDOM => random,
            libc::AT_PLATFORM => platform,
            libc::AT_EXECFN => execfn,
            // The kernel cannot see critical sections inside the VM: as if it had no rseq.
            AT_RSEQ_FEATURE_SIZE | AT_RSEQ_ALIGN => continue,
            _ => value,
        };
        words.extend([key, value]);
    }
    words.extend([libc::AT_NULL, 0]);
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    stack.at = ((stack.at - bytes.len() as u64) & !15) + bytes.len() as u64;
    let pointer = stack.push(&bytes);
    let strings = Strings {
        pointer,
        arguments: arguments_start..environment_start,
        environment: environment_start..strings_end,
        auxv: pointer + auxv_at..pointer + bytes.len() as u64,
    };
    (strings, stack.written)
}
