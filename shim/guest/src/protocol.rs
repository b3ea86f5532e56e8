//! The system call by which a program talks to the vmmload around it.
//!
//! It is prctl(2) with an option that no kernel has: outside, the kernel answers EINVAL. So the answer to
//! "am I inside?" is the caller's own, whatever environment it has inherited from whom.

/// First argument: prctl(2)'s option.
pub const OPTION: u64 = 0x564d_4d4c;

/// What [`ASK`] answers: the version of this interface.
pub const VERSION: u64 = 1;

/// Second argument: answers [`VERSION`].
pub const ASK: u64 = 0;

/// Second argument: names what begins now. Takes the address of a NUL-terminated name.
pub const MARK: u64 = 1;

/// Second argument: names memory. Takes address, length, and the address of a NUL-terminated name.
pub const NAME: u64 = 2;

/// Second argument: ends the epoch. Answers the number of the one that begins.
pub const EPOCH: u64 = 3;

/// Second argument: settings of the program that this process executes next. Takes address and length of
/// NUL-terminated `NAME=VALUE` strings, with the names of the environment variables that vmmload reads.
pub const CONFIGURE: u64 = 4;

/// Longest name of a mark or of memory, in bytes, the final NUL not included.
pub const LONGEST_NAME: usize = 255;

/// Makes the call: the answer, or an error number of Linux, negative.
///
/// # Safety
/// `arguments` are what `function` takes.
#[cfg(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
))]
#[inline]
pub unsafe fn call(function: u64, arguments: [u64; 3]) -> i64 {
    const SYS_PRCTL: u64 = 157;
    let answer: i64;
    // SAFETY: the call reads at most what the arguments point to, and changes rax, rcx and r11 alone.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") SYS_PRCTL => answer,
            in("rdi") OPTION,
            in("rsi") function,
            in("rdx") arguments[0],
            in("r10") arguments[1],
            in("r8") arguments[2],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// There is no vmmload on this machine.
///
/// # Safety
/// It is always safe.
#[cfg(not(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_pointer_width = "64"
)))]
pub unsafe fn call(_function: u64, _arguments: [u64; 3]) -> i64 {
    // EINVAL, as of a kernel.
    -22
}

/// The version of the interface of the vmmload around this process; 0: there is none.
#[must_use]
pub fn ask() -> u64 {
    // SAFETY: the function takes no arguments.
    let answer = unsafe { call(ASK, [0; 3]) };
    answer.max(0) as u64
}

/// Tells the vmmload around this process how to wrap the program that it executes next: see [`CONFIGURE`].
///
/// # Errors
/// Linux's number of the error: EINVAL for what it does not understand, or where there is none.
pub fn configure(settings: &[u8]) -> Result<(), i32> {
    let arguments = [settings.as_ptr() as u64, settings.len() as u64, 0];
    // SAFETY: the call reads `settings`.
    match unsafe { call(CONFIGURE, arguments) } {
        0.. => Ok(()),
        error => Err(-error as i32),
    }
}
