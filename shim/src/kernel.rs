//! The kernel, called directly: no C library, no errno, no allocator. All unsafe code of this library but its
//! constructor is here.

use core::arch::asm;
use core::ffi::CStr;
use core::ops::Deref;

const READ: usize = 0;
const CLOSE: usize = 3;
const MMAP: usize = 9;
const MUNMAP: usize = 11;
const RT_SIGPROCMASK: usize = 14;
const IOCTL: usize = 16;
const WRITEV: usize = 20;
const MREMAP: usize = 25;
const GETPID: usize = 39;
const EXECVE: usize = 59;
const RT_SIGPENDING: usize = 127;
const RT_SIGTIMEDWAIT: usize = 128;
const PRCTL: usize = 157;
const EXIT_GROUP: usize = 231;
const OPENAT: usize = 257;
const NEWFSTATAT: usize = 262;
const FACCESSAT: usize = 269;

const AT_FDCWD: usize = -100_isize as usize;
const X_OK: usize = 1;
const PROT_READ_WRITE: usize = 3;
const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
const MREMAP_MAYMOVE: usize = 1;
const KVM_GET_API_VERSION: usize = 0xae00;

const PR_GET_NAME: usize = 16;
const PR_GET_AUXV: usize = 0x4155_5856;

const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;
/// What a write can send to its thread: SIGPIPE where nobody reads, SIGXFSZ beyond a size limit.
const SENT_BY_WRITE: u64 = 1 << (13 - 1) | 1 << (25 - 1);

/// How open(2) is to open.
pub(crate) const READ_ONLY: usize = 0;
/// See [`READ_ONLY`].
pub(crate) const READ_WRITE: usize = 2;
/// See [`READ_ONLY`].
pub(crate) const CLOSE_ON_EXEC: usize = 0o2_000_000;

/// Auxiliary vector: address of the name that the program was executed by.
pub(crate) const AT_EXECFN: usize = 31;
/// Auxiliary vector: whether the program has more rights than its user.
pub(crate) const AT_SECURE: usize = 23;
/// Auxiliary vector: address of random bytes, which lie below all strings on the first stack.
const AT_RANDOM: usize = 25;

/// What a call that failed says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) usize);

/// Executes one system call.
///
/// # Safety
/// The arguments are what that call asks for.
unsafe fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    const { assert!(N <= 6) };
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let answer: isize;
    // SAFETY: as the caller promises; the kernel changes these registers only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") all[0],
            in("rsi") all[1],
            in("rdx") all[2],
            in("r10") all[3],
            in("r8") all[4],
            in("r9") all[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match answer {
        -4095..=-1 => Err(Errno(answer.unsigned_abs())),
        _ => Ok(answer as usize),
    }
}

/// getpid(2).
pub(crate) fn process_id() -> usize {
    // SAFETY: only asks.
    unsafe { call(GETPID, []) }.unwrap_or(0)
}

/// What ps(1) calls this process, NUL-terminated.
pub(crate) fn name() -> [u8; 17] {
    let mut name = [0; 17];
    // SAFETY: the call writes 16 bytes at most.
    let _ = unsafe { call(PRCTL, [PR_GET_NAME, name.as_mut_ptr() as usize]) };
    name
}

/// Ends the process.
pub(crate) fn exit(status: usize) -> ! {
    loop {
        // SAFETY: nothing runs afterwards.
        let _ = unsafe { call(EXIT_GROUP, [status]) };
    }
}

/// An open file, closed when dropped.
pub(crate) struct Descriptor(usize);

impl Descriptor {
    /// open(2).
    pub(crate) fn open(path: &CStr, flags: usize) -> Result<Self, Errno> {
        // SAFETY: `path` is a string for the call.
        unsafe { call(OPENAT, [AT_FDCWD, path.as_ptr() as usize, flags, 0]) }.map(Self)
    }

    /// Its number.
    pub(crate) fn number(&self) -> usize {
        self.0
    }

    /// Of `/dev/kvm`: the version of its interface.
    pub(crate) fn kvm_version(&self) -> Result<usize, Errno> {
        // SAFETY: reads and writes no memory, whatever device this is: the argument is no address.
        unsafe { call(IOCTL, [self.0, KVM_GET_API_VERSION, 0]) }
    }

    fn read(&self, room: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: `room` is writable for its length.
        unsafe { call(READ, [self.0, room.as_mut_ptr() as usize, room.len()]) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the number is this value's own.
        let _ = unsafe { call(CLOSE, [self.0]) };
    }
}

/// Bytes in pages of their own, which go when they are dropped. Behind the last there is always a zero.
pub(crate) struct Bytes {
    start: *mut u8,
    len: usize,
    capacity: usize,
}

impl Bytes {
    const FIRST: usize = 16 << 10;

    /// No bytes yet.
    pub(crate) fn new() -> Result<Self, Errno> {
        let arguments = [
            0,
            Self::FIRST,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            usize::MAX,
            0,
        ];
        // SAFETY: asks for new memory, wherever the kernel has room.
        let start = unsafe { call(MMAP, arguments) }?;
        Ok(Self {
            start: start as *mut u8,
            len: 0,
            capacity: Self::FIRST,
        })
    }

    /// A whole file.
    pub(crate) fn of_file(path: &CStr) -> Result<Self, Errno> {
        let file = Descriptor::open(path, READ_ONLY | CLOSE_ON_EXEC)?;
        let mut bytes = Self::new()?;
        loop {
            bytes.reserve(1)?;
            match file.read(bytes.room())? {
                0 => return Ok(bytes),
                more => bytes.len += more,
            }
        }
    }

    /// Puts more behind them.
    pub(crate) fn push(&mut self, more: &[u8]) -> Result<(), Errno> {
        self.reserve(more.len())?;
        self.room()[..more.len()].copy_from_slice(more);
        self.len += more.len();
        Ok(())
    }

    /// The bytes and the zero behind them.
    pub(crate) fn with_zero(&self) -> &[u8] {
        // SAFETY: as in `deref`; `capacity` is always larger than `len`, and what was not written is zero.
        unsafe { core::slice::from_raw_parts(self.start, self.len + 1) }
    }

    /// What is free behind them, but the last byte.
    fn room(&mut self) -> &mut [u8] {
        let free = self.capacity - self.len - 1;
        // SAFETY: `capacity` bytes from `start` are this value's alone, writable, and zero at first.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(self.len), free) }
    }

    fn reserve(&mut self, more: usize) -> Result<(), Errno> {
        let mut capacity = self.capacity;
        while capacity - self.len - 1 < more {
            capacity *= 2;
        }
        if capacity == self.capacity {
            return Ok(());
        }
        let arguments = [self.start as usize, self.capacity, capacity, MREMAP_MAYMOVE];
        // SAFETY: the old range is this value's own, and nothing borrows from it now.
        self.start = unsafe { call(MREMAP, arguments) }? as *mut u8;
        self.capacity = capacity;
        Ok(())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes were written, and they stay while `self` is borrowed.
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own.
        let _ = unsafe { call(MUNMAP, [self.start as usize, self.capacity]) };
    }
}

/// Strings as execve(2) takes them, by their addresses.
pub(crate) struct Vector<'a> {
    addresses: Bytes,
    strings: core::marker::PhantomData<&'a [u8]>,
}

impl<'a> Vector<'a> {
    /// No strings yet.
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            addresses: Bytes::new()?,
            strings: core::marker::PhantomData,
        })
    }

    /// Puts one more behind them.
    pub(crate) fn push(&mut self, string: &'a CStr) -> Result<(), Errno> {
        let address = string.as_ptr() as usize;
        self.addresses.push(&address.to_ne_bytes())
    }
}

/// Replaces the program of this process. Returns only if that fails.
pub(crate) fn execute(path: &CStr, mut argv: Vector, mut envp: Vector) -> Errno {
    let null = 0usize.to_ne_bytes();
    let ends = [argv.addresses.push(&null), envp.addresses.push(&null)];
    if let [Err(errno), _] | [_, Err(errno)] = ends {
        return errno;
    }
    let arguments = [
        path.as_ptr() as usize,
        argv.addresses.as_ptr() as usize,
        envp.addresses.as_ptr() as usize,
    ];
    // SAFETY: both vectors end with a null pointer and name strings that outlive them.
    unsafe { call(EXECVE, arguments) }.err().unwrap_or(Errno(0))
}

/// What a file is, whatever its name: device and inode.
pub(crate) fn identity(path: &CStr) -> Result<[u64; 2], Errno> {
    let mut status = [0u64; 18];
    let arguments = [
        AT_FDCWD,
        path.as_ptr() as usize,
        status.as_mut_ptr() as usize,
        0,
    ];
    // SAFETY: `path` is a string, and `status` has the 144 bytes of a stat, for the call.
    unsafe { call(NEWFSTATAT, arguments) }?;
    Ok([status[0], status[1]])
}

/// Whether this user may execute a file.
pub(crate) fn check_executable(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` is a string for the call.
    unsafe { call(FACCESSAT, [AT_FDCWD, path.as_ptr() as usize, X_OK]) }.map(drop)
}

/// The auxiliary vector: keys and values.
pub(crate) struct Auxv([[usize; 2]; 64]);

impl Auxv {
    /// This process's. Where the kernel is too old to be asked (before Linux 6.4), from `/proc`.
    pub(crate) fn read() -> Result<Self, Errno> {
        let mut auxv = Self([[0; 2]; 64]);
        let (start, bytes) = (auxv.0.as_mut_ptr() as usize, size_of_val(&auxv.0));
        // SAFETY: `auxv` is writable for its length, and any bytes are valid numbers.
        if unsafe { call(PRCTL, [PR_GET_AUXV, start, bytes, 0, 0]) }.is_err() {
            let file = Descriptor::open(c"/proc/self/auxv", READ_ONLY | CLOSE_ON_EXEC)?;
            // SAFETY: as above.
            unsafe { call(READ, [file.number(), start, bytes]) }?;
        }
        Ok(auxv)
    }

    /// The value of `key`; 0 if it has none.
    pub(crate) fn value(&self, key: usize) -> usize {
        let entry = self.0.iter().find(|&&[k, _]| k == key);
        entry.map_or(0, |&[_, value]| value)
    }

    /// The name that the program was executed by.
    pub(crate) fn execfn(&self) -> &'static CStr {
        match self.value(AT_EXECFN) {
            0 => c"",
            // SAFETY: the kernel has put a string there, which no code has run yet to change.
            address => unsafe { CStr::from_ptr(address as *const _) },
        }
    }

    /// What lies between the random bytes and the name that the program was executed by: all strings of
    /// arguments and environment, among others.
    pub(crate) fn strings(&self) -> &'static [u8] {
        let (start, end) = (self.value(AT_RANDOM), self.value(AT_EXECFN));
        if start == 0 || end < start {
            return &[];
        }
        // SAFETY: both lie on the first stack, where the kernel has filled everything in between.
        unsafe { core::slice::from_raw_parts(start as *const u8, end - start) }
    }
}

/// A piece of a line, as writev(2) takes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
}

/// Writes a line to standard error, in one go, as far as that goes. A standard error that nobody reads any more would
/// raise a signal and end the program, so that is held off and taken back.
pub(crate) fn say<const N: usize>(line: [&[u8]; N]) {
    let pieces = line.map(|piece| Piece {
        start: piece.as_ptr() as usize,
        len: piece.len(),
    });
    let (held, at_once) = (SENT_BY_WRITE, [0u64; 2]);
    let (mut before, mut waiting) = (0u64, 0u64);
    let held_at = &raw const held as usize;
    // SAFETY: sets, time and pieces are readable or writable for each call.
    unsafe {
        let _ = call(RT_SIGPENDING, [&raw mut waiting as usize, 8]);
        let block = [SIG_BLOCK, held_at, &raw mut before as usize, 8];
        let _ = call(RT_SIGPROCMASK, block);
        let _ = call(WRITEV, [2, pieces.as_ptr() as usize, N]);
        // One that waited before is not ours.
        let ours = SENT_BY_WRITE & !waiting;
        let take = [&raw const ours as usize, 0, at_once.as_ptr() as usize, 8];
        while call(RT_SIGTIMEDWAIT, take).is_ok() {}
        let restore = [SIG_SETMASK, &raw const before as usize, 0, 8];
        let _ = call(RT_SIGPROCMASK, restore);
    }
}
