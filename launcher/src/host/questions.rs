//! What the kernel tells about descriptors and ids of the program's, where a call alone does not say what
//! it did.

use zerocopy::{FromZeros, IntoBytes};

/// Offset of `sem_nsems` in struct semid64_ds, in words.
const SEMAPHORE_COUNT: usize = 10;

/// The protocol of a socket.
pub(crate) fn protocol(socket: u64) -> Option<i32> {
    let mut value = 0i32;
    let mut length = size_of::<i32>() as u32;
    // SAFETY: `value` and `length` are writable for the call.
    let done = unsafe {
        libc::getsockopt(
            socket as i32,
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            (&raw mut value).cast(),
            &mut length,
        )
    };
    (done == 0).then_some(value)
}

/// Whether a descriptor is open for reading only.
pub(crate) fn is_for_reading(descriptor: u64) -> bool {
    // SAFETY: asking for the flags changes nothing.
    let flags = unsafe { libc::fcntl(descriptor as i32, libc::F_GETFL) };
    flags != -1 && flags & libc::O_ACCMODE == libc::O_RDONLY
}

/// Semaphores in a set.
pub(crate) fn semaphores(set: u64) -> Option<u64> {
    let mut described = <[u64; 13]>::new_zeroed();
    let at = described.as_mut_bytes().as_mut_ptr();
    // SAFETY: `described` is a struct semid64_ds, writable for the call.
    let done = unsafe { libc::semctl(set as i32, 0, libc::IPC_STAT, at) };
    (done == 0).then_some(described[SEMAPHORE_COUNT])
}

/// Whether `id` is a thread of this process.
pub(crate) fn is_own_thread(id: u64) -> bool {
    // SAFETY: signal 0 is none: it only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id as i32, 0) == 0 }
}

/// Where the kernel stores a zero when the calling thread ends; None if nowhere, or if it does not tell.
pub(crate) fn cleared_at_end() -> Option<u64> {
    let mut at = 0u64;
    // SAFETY: `at` is writable for the call.
    let done = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut at) };
    (done == 0 && at != 0).then_some(at)
}

/// The calling thread's personality(2).
pub(crate) fn personality() -> u64 {
    // SAFETY: asking changes nothing.
    unsafe { libc::personality(0xffff_ffff) as u64 }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_pipe_has_an_end_for_reading_and_a_socket_a_protocol() {
        let (read, write) = std::io::pipe().unwrap();
        assert!(is_for_reading(read.as_raw_fd() as u64));
        assert!(!is_for_reading(write.as_raw_fd() as u64));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(protocol(socket.as_raw_fd() as u64), Some(libc::IPPROTO_TCP));
        assert_eq!(protocol(read.as_raw_fd() as u64), None);
        assert!(is_own_thread(std::process::id().into()));
        assert!(!is_own_thread(1));
    }
}
