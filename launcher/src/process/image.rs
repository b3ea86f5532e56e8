//! Loads a program and its ELF interpreter into this address space, as fs/binfmt_elf.c would.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader};
use elf::parse::ParseAt;
use elf::segment::ProgramHeader;

use super::command::{self, CommandError, Program};
use super::executable;
use super::mappings::{Backing, Mapping, Mappings, Prot, host_prot};
use super::memory::{self, page_down, page_up};
use crate::guest::layout::{PAGE, USER_END};
use crate::host::relay;

const ELF_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// Where position-independent programs go: two thirds up the address space, as ELF_ET_DYN_BASE of
/// arch/x86/include/asm/elf.h, plus a random distance of up to 2^28 pages.
const DYNAMIC_BASE: u64 = 0x5555_5555_4000;
const DYNAMIC_RANDOM: u64 = 1 << 40;

/// Largest random distance between a program's end and its heap (arch_randomize_brk).
const HEAP_RANDOM: u64 = 0x0200_0000;

/// A loaded program: where to begin, and what the auxiliary vector says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// First instruction: the interpreter's, if there is one.
    pub start: u64,
    /// AT_ENTRY.
    pub entry: u64,
    /// AT_PHDR.
    pub program_headers: u64,
    /// AT_PHNUM.
    pub program_header_count: u64,
    /// AT_BASE: where the interpreter was loaded, 0 if there is none.
    pub interpreter_base: u64,
    /// Where brk(2) starts.
    pub heap_start: u64,
    /// PT_GNU_STACK asks for an executable stack.
    pub executable_stack: bool,
    /// Zeroed behind what came from the files: the beginnings of variables without initial values.
    pub zeroed: Vec<Range<u64>>,
}

/// One ELF file, its headers read and checked.
struct Object<'a> {
    file: &'a File,
    path: &'a Path,
    header: FileHeader<LittleEndian>,
    segments: Vec<ProgramHeader>,
}

fn wrong_format(path: &Path, what: impl Into<String>) -> CommandError {
    CommandError::Format {
        path: path.into(),
        what: what.into(),
        remedy: "Name a Linux x86-64 program",
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> CommandError {
    move |e| wrong_format(path, format!("is a broken ELF file: {e}"))
}

fn unmappable(path: &Path) -> impl Fn(io::Error) -> CommandError {
    move |source| CommandError::Denied {
        path: path.into(),
        source,
        remedy: "Its addresses may be taken, or memory is short (see ulimit -v)",
    }
}

impl<'a> Object<'a> {
    fn read(file: &'a File, path: &'a Path) -> Result<Self, CommandError> {
        let bytes = command::read_at(file, 0, ELF_HEADER).map_err(unreadable(path))?;
        let ident = elf::file::parse_ident::<LittleEndian>(&bytes[..elf::abi::EI_NIDENT])
            .map_err(|e| wrong_format(path, format!("is no little-endian ELF file: {e}")))?;
        if ident.1 == Class::ELF32 {
            return Err(CommandError::Format {
                path: path.into(),
                what: "is a 32-bit program, which vmmload cannot run".into(),
                remedy: "Run it without vmmload, or use a 64-bit build",
            });
        }
        let header = FileHeader::parse_tail(ident, &bytes[elf::abi::EI_NIDENT..])
            .map_err(|e| wrong_format(path, format!("is a broken ELF file: {e}")))?;
        if header.e_machine != elf::abi::EM_X86_64 {
            let what = format!(
                "is for another processor (ELF machine {})",
                header.e_machine
            );
            return Err(wrong_format(path, what));
        }
        let runnable = matches!(header.e_type, elf::abi::ET_EXEC | elf::abi::ET_DYN);
        if !runnable || usize::from(header.e_phentsize) != PROGRAM_HEADER || header.e_phnum == 0 {
            return Err(wrong_format(path, "is an ELF file but no program"));
        }
        let table = command::read_at(
            file,
            header.e_phoff,
            PROGRAM_HEADER * usize::from(header.e_phnum),
        )
        .map_err(unreadable(path))?;
        let mut offset = 0;
        let segments = (0..header.e_phnum)
            .map(|_| ProgramHeader::parse_at(LittleEndian, Class::ELF64, &mut offset, &table))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong_format(path, format!("is a broken ELF file: {e}")))?;
        Ok(Self {
            file,
            path,
            header,
            segments,
        })
    }

    fn loadable(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.segments
            .iter()
            .filter(|s| s.p_type == elf::abi::PT_LOAD && s.p_memsz > 0)
    }

    /// Page-aligned span of all loadable segments, before relocation.
    fn span(&self) -> Result<Range<u64>, CommandError> {
        let broken = || wrong_format(self.path, "is an ELF file with impossible addresses");
        let start = self
            .loadable()
            .map(|s| page_down(s.p_vaddr))
            .min()
            .ok_or_else(broken)?;
        let mut end = start;
        for s in self.loadable() {
            let top = s
                .p_vaddr
                .checked_add(s.p_memsz)
                .and_then(page_up)
                .ok_or_else(broken)?;
            if s.p_filesz > s.p_memsz || s.p_offset.checked_add(s.p_filesz).is_none() {
                return Err(broken());
            }
            end = end.max(top);
        }
        if end > USER_END {
            Err(broken())
        } else {
            Ok(start..end)
        }
    }

    fn interpreter(&self) -> Result<Option<PathBuf>, CommandError> {
        let Some(s) = self
            .segments
            .iter()
            .find(|s| s.p_type == elf::abi::PT_INTERP)
        else {
            return Ok(None);
        };
        if !(2..=4096).contains(&s.p_filesz) {
            return Err(wrong_format(self.path, "names no proper ELF interpreter"));
        }
        let name = command::read_at(self.file, s.p_offset, s.p_filesz as usize)
            .map_err(unreadable(self.path))?;
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(name))))
    }

    /// Reserves the span: at its own address, or where `place` says for a relocatable object.
    /// Returns the distance that every address moves by.
    fn place(&self, place: impl Fn(u64) -> io::Result<u64>) -> Result<u64, CommandError> {
        let span = self.span()?;
        if self.header.e_type == elf::abi::ET_EXEC {
            memory::reserve(&span).map_err(unmappable(self.path))?;
            return Ok(0);
        }
        let align = self
            .loadable()
            .map(|s| s.p_align)
            .max()
            .unwrap_or(PAGE)
            .max(PAGE);
        let len = span.end - span.start;
        let wanted = if align > PAGE && align.is_power_of_two() {
            len + align
        } else {
            len
        };
        let base = place(wanted).map_err(unmappable(self.path))?;
        let aligned = if wanted > len {
            (base + align - 1) & !(align - 1)
        } else {
            base
        };
        for slack in [base..aligned, aligned + len..base + wanted] {
            if !slack.is_empty() {
                let args = [slack.start, slack.end - slack.start, 0, 0, 0, 0];
                // SAFETY: the slack belongs to the reservation that was made just now.
                unsafe { relay::raw(libc::SYS_munmap, args) };
            }
        }
        Ok(aligned.wrapping_sub(span.start))
    }

    /// Maps every segment into the reservation and gives the holes back.
    ///
    /// Returns what it zeroed of pages that came from the file.
    fn map(&self, bias: u64, table: &mut Mappings) -> Result<Vec<Range<u64>>, CommandError> {
        let path: Arc<str> = std::fs::canonicalize(self.path)
            .unwrap_or_else(|_| self.path.into())
            .to_string_lossy()
            .into();
        let mut holes = Mappings::default();
        let span = self.span()?;
        let moved = |addr: u64| addr.wrapping_add(bias);
        holes.insert(
            moved(span.start)..moved(span.end),
            Mapping::anonymous(Prot::from_bits(0)),
        );
        let mut zeroed = Vec::new();
        for s in self.loadable() {
            let range = self.map_segment(s, bias, &path, table, &mut zeroed)?;
            holes.remove(range);
        }
        for (hole, _) in holes.iter() {
            // SAFETY: holes are parts of the reservation that no segment covers.
            unsafe {
                relay::raw(
                    libc::SYS_munmap,
                    [hole.start, hole.end - hole.start, 0, 0, 0, 0],
                )
            };
        }
        Ok(zeroed)
    }

    fn map_segment(
        &self,
        s: &ProgramHeader,
        bias: u64,
        path: &Arc<str>,
        table: &mut Mappings,
        zeroed: &mut Vec<Range<u64>>,
    ) -> Result<Range<u64>, CommandError> {
        let prot = segment_prot(s.p_flags);
        let start = s.p_vaddr.wrapping_add(bias);
        let first = page_down(start);
        let (file_end, memory_end) = (start + s.p_filesz, start + s.p_memsz);
        let last = page_up(memory_end).unwrap_or(memory_end);
        let mut anonymous_from = first;
        if s.p_filesz > 0 {
            anonymous_from = page_up(file_end).unwrap_or(file_end);
            let offset = s.p_offset.wrapping_sub(start - first);
            let fd = self.file.as_raw_fd() as u64;
            let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED) as u64;
            let range = first..anonymous_from;
            map_fixed(&range, prot, flags, fd, offset).map_err(unmappable(self.path))?;
            let backing = Backing::File {
                path: path.clone(),
                bias: offset.wrapping_sub(first),
            };
            table.insert(
                range,
                Mapping {
                    backing,
                    ..Mapping::anonymous(prot)
                },
            );
            if s.p_memsz > s.p_filesz && prot.writable() {
                // SAFETY: the bytes up to the page's end lie in the private, writable mapping that
                // was made just now and that nothing else knows of.
                unsafe {
                    let tail = anonymous_from - file_end;
                    std::ptr::write_bytes(file_end as *mut u8, 0, tail as usize);
                }
                zeroed.push(file_end..anonymous_from);
            }
        }
        if last > anonymous_from {
            let range = anonymous_from..last;
            let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_ANONYMOUS) as u64;
            map_fixed(&range, prot, flags, u64::MAX, 0).map_err(unmappable(self.path))?;
            table.insert(range, Mapping::anonymous(prot));
        }
        Ok(first..last.max(anonymous_from))
    }

    /// Address of the program headers, from the segment that holds them.
    fn program_headers(&self, bias: u64) -> u64 {
        let at = self.header.e_phoff;
        self.loadable()
            .find(|s| (s.p_offset..s.p_offset + s.p_filesz).contains(&at))
            .map_or(0, |s| s.p_vaddr.wrapping_add(bias) + (at - s.p_offset))
    }
}

fn segment_prot(flags: u32) -> Prot {
    let bit = |flag: u32, prot: i32| if flags & flag != 0 { prot as u64 } else { 0 };
    Prot::from_bits(
        bit(elf::abi::PF_R, libc::PROT_READ)
            | bit(elf::abi::PF_W, libc::PROT_WRITE)
            | bit(elf::abi::PF_X, libc::PROT_EXEC),
    )
}

fn map_fixed(range: &Range<u64>, prot: Prot, flags: u64, fd: u64, offset: u64) -> io::Result<()> {
    let args = [
        range.start,
        range.end - range.start,
        host_prot(prot.bits().into()),
        flags,
        fd,
        offset,
    ];
    // SAFETY: callers map into a reservation of theirs only.
    let mapped = relay::check(unsafe { relay::raw(libc::SYS_mmap, args) });
    mapped.map(drop).map_err(io::Error::from_raw_os_error)
}

/// Where a program can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In a VM of ours.
    Wrapped,
    /// On this kernel, but not in a VM of ours.
    Natively,
}

/// What becomes of `file` when it is executed; for execve(2), which must know beforehand.
///
/// # Errors
/// Its error number.
pub(crate) fn probe(file: &File, path: &Path) -> Result<Runs, i32> {
    let header = command::read_at(file, 0, ELF_HEADER).map_err(|_| libc::ENOEXEC)?;
    if is_i386(&header) {
        // The kernel has this setting where it can run such programs.
        return match Path::new("/proc/sys/abi/vsyscall32").exists() {
            true => Ok(Runs::Natively),
            false => Err(libc::ENOEXEC),
        };
    }
    let no_program = |_| libc::ENOEXEC;
    let object = Object::read(file, path).map_err(no_program)?;
    object.span().map_err(no_program)?;
    let Some(interpreter) = object.interpreter().map_err(no_program)? else {
        return Ok(Runs::Wrapped);
    };
    let name = CString::new(interpreter.as_os_str().as_bytes()).map_err(|_| libc::ENOEXEC)?;
    let Some(file) = executable::open(libc::AT_FDCWD, &name, 0)? else {
        return Ok(Runs::Natively);
    };
    let object = Object::read(file.file(), &interpreter).map_err(|_| libc::ELIBBAD)?;
    object.span().map_err(|_| libc::ELIBBAD)?;
    Ok(Runs::Wrapped)
}

fn is_i386(header: &[u8]) -> bool {
    header.starts_with(b"\x7fELF")
        && header[elf::abi::EI_CLASS] == elf::abi::ELFCLASS32
        && header[18..20] == elf::abi::EM_386.to_le_bytes()
}

/// A random number below `limit`, page-aligned; 0 where the personality forbids randomness.
pub(crate) fn random_distance(limit: u64) -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: asking for the personality changes nothing; `bytes` is writable for its length.
    let fixed = unsafe {
        libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0);
        libc::personality(0xffff_ffff) & libc::ADDR_NO_RANDOMIZE != 0
    };
    if fixed {
        0
    } else {
        page_down(u64::from_ne_bytes(bytes) % limit)
    }
}

/// Reserves `len` bytes where the kernel would put a position-independent program.
fn place_program(len: u64) -> io::Result<u64> {
    let mut base = DYNAMIC_BASE + random_distance(DYNAMIC_RANDOM);
    // The launcher lies in the same region: step over it.
    for _ in 0..64 {
        match memory::reserve(&(base..base + len)) {
            Ok(()) => return Ok(base),
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => base += 1 << 32,
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Reserves `len` bytes where the kernel puts mappings without an address.
pub(crate) fn place_anywhere(len: u64) -> io::Result<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let base = unsafe { relay::raw(libc::SYS_mmap, [0, len, 0, flags as u64, u64::MAX, 0]) };
    relay::check(base).map_err(io::Error::from_raw_os_error)
}

/// Looks whether `program` can be loaded, as far as that can be told without doing so.
///
/// # Errors
/// See [`CommandError`].
pub(crate) fn check(program: &Program) -> Result<(), CommandError> {
    let object = Object::read(&program.file, &program.path)?;
    object.span()?;
    object.interpreter().map(drop)
}

/// Loads `program` and its interpreter; their mappings go into `table`.
///
/// # Errors
/// See [`CommandError`].
pub(crate) fn load(program: &Program, table: &mut Mappings) -> Result<Image, CommandError> {
    let object = Object::read(&program.file, &program.path)?;
    let interpreter = object.interpreter()?;
    let bias = object.place(place_program)?;
    let zeroed = object.map(bias, table)?;
    let entry = object.header.e_entry.wrapping_add(bias);
    let end = object.span()?.end.wrapping_add(bias);
    let stack = object
        .segments
        .iter()
        .find(|s| s.p_type == elf::abi::PT_GNU_STACK);
    let mut image = Image {
        start: entry,
        entry,
        program_headers: object.program_headers(bias),
        program_header_count: object.header.e_phnum.into(),
        interpreter_base: 0,
        heap_start: end + random_distance(HEAP_RANDOM),
        executable_stack: stack.is_some_and(|s| s.p_flags & elf::abi::PF_X != 0),
        zeroed,
    };
    if let Some(path) = interpreter {
        let file = File::open(&path).map_err(|source| CommandError::Denied {
            path: program.path.clone(),
            source: io::Error::new(
                source.kind(),
                format!("its ELF interpreter {}: {source}", path.display()),
            ),
            remedy: "Install the C library that it was built for",
        })?;
        let object = Object::read(&file, &path)?;
        let bias = object.place(place_anywhere)?;
        image.zeroed.extend(object.map(bias, table)?);
        image.start = object.header.e_entry.wrapping_add(bias);
        image.interpreter_base = object.span()?.start.wrapping_add(bias);
    }
    Ok(image)
}
