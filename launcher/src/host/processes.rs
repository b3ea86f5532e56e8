//! Forking the launcher itself.

use std::io;
use std::os::raw::c_void;

use super::descriptors::Parked;
use super::{descriptors, relay, threads};

/// struct clone_args of linux/sched.h, up to version 2: what clone3(2) takes.
#[derive(Debug, Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub(crate) struct CloneArgs {
    /// CLONE_*.
    pub flags: u64,
    /// Where the parent finds the child's pidfd.
    pub pidfd: u64,
    /// Address for CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID.
    pub child_tid: u64,
    /// Address for CLONE_PARENT_SETTID.
    pub parent_tid: u64,
    /// What the parent is sent at the child's end.
    pub exit_signal: u64,
    /// Lowest byte of the stack.
    pub stack: u64,
    /// Its size.
    pub stack_size: u64,
    /// FS base for CLONE_SETTLS.
    pub tls: u64,
    /// Ids that the child must get.
    pub set_tid: u64,
    /// How many.
    pub set_tid_size: u64,
    /// For CLONE_INTO_CGROUP.
    pub cgroup: u64,
}

/// Forks this process; the child has only the calling thread. Returns the child's id, 0 in the child.
///
/// libc's own fork keeps its heap and its list of threads in order, so it is taken wherever nothing
/// more is asked for. `kernel`: what only the kernel can do, such as namespaces; then other threads
/// of the program must not be in the middle of malloc, which the locks that callers hold make unlikely
/// but cannot exclude.
///
/// # Errors
/// What the kernel says.
pub(crate) fn fork(kernel: Option<&CloneArgs>) -> io::Result<i32> {
    threads::with_stacks_still(|| {
        descriptors::with_true_limit(|| match kernel {
            None => {
                // SAFETY: the child goes on with this thread alone; what other threads have locked is
                // held by this one (see callers), is libc's, or is not used in the child.
                match unsafe { libc::fork() } {
                    -1 => Err(io::Error::last_os_error()),
                    pid => Ok(pid),
                }
            }
            Some(args) => {
                let size = size_of::<CloneArgs>() as u64;
                let call = [args as *const _ as u64, size, 0, 0, 0, 0];
                // SAFETY: as above; without a stack of its own the child goes on from here.
                relay::check(unsafe { relay::raw(libc::SYS_clone3, call) })
                    .map(|pid| pid as i32)
                    .map_err(io::Error::from_raw_os_error)
            }
        })
    })
}

/// Starts a process that shares this one's memory, by clone3(2) or, where that is not to be had, clone(2):
/// `args` with CLONE_VM, the stack to run on, and CLONE_VFORK, so that this returns when the child has
/// executed another program or has ended. It goes on in `main(argument)`, with this thread's libc state.
///
/// # Safety
/// `main` may use `argument`, the stack is in nobody else's use, and both stay so until the return.
///
/// # Errors
/// What the kernel says.
pub(crate) unsafe fn clone_sharing(
    args: &CloneArgs,
    main: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> Result<i32, i32> {
    let size = size_of::<CloneArgs>() as u64;
    let call = [args as *const _ as u64, size, 0, 0, 0];
    // SAFETY: as the caller promises.
    let answer = unsafe { clone_onto_stack(libc::SYS_clone3, call, main, argument) };
    let answer = match (relay::check(answer), args.as_clone()) {
        (Err(libc::ENOSYS), Some(call)) => {
            // SAFETY: as above.
            relay::check(unsafe { clone_onto_stack(libc::SYS_clone, call, main, argument) })
        }
        (answer, _) => answer,
    };
    answer.map(|pid| pid as i32)
}

impl CloneArgs {
    /// The arguments of clone(2) that ask for the same, if it can do that.
    fn as_clone(&self) -> Option<[u64; 5]> {
        let has = |flag: i32| self.flags & flag as u32 as u64 != 0;
        let one_address = !has(libc::CLONE_PIDFD) || !has(libc::CLONE_PARENT_SETTID);
        let known = self.flags >> 32 == 0 && self.set_tid_size == 0;
        let parent_tid = match has(libc::CLONE_PIDFD) {
            true => self.pidfd,
            false => self.parent_tid,
        };
        (one_address && known).then_some([
            self.flags | self.exit_signal,
            self.stack + self.stack_size,
            parent_tid,
            self.child_tid,
            0,
        ])
    }
}

/// # Safety
/// As for [`clone_sharing`].
unsafe fn clone_onto_stack(
    nr: libc::c_long,
    call: [u64; 5],
    main: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> i64 {
    let result: i64;
    // SAFETY: the child has the registers of this moment but for rsp, which is the top of its stack
    // and a multiple of 16, and never returns; the parent goes on as after any system call.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") nr => result,
            in("rdi") call[0],
            in("rsi") call[1],
            in("rdx") call[2],
            in("r10") call[3],
            in("r8") call[4],
            in("r12") main,
            in("r13") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Whether this process has children, of whatever kind.
pub(crate) fn have_children() -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    let args = [libc::P_ALL as u64, 0, 0, options as u64, 0, 0];
    // SAFETY: without a place for it, nothing is written.
    unsafe { relay::raw(libc::SYS_waitid, args) != -i64::from(libc::ECHILD) }
}

/// Two ends of a pipe: whoever reads learns when the last holder of the other end has gone, or has
/// executed another program.
///
/// # Errors
/// What pipe2(2) says.
pub(crate) fn end_notice() -> io::Result<(Parked, Parked)> {
    let mut other = None;
    let read = Parked::open(|| {
        let (read, write) = io::pipe()?;
        other = Some(write);
        Ok(read)
    })?;
    let write = Parked::open(|| other.take().ok_or(io::ErrorKind::NotFound.into()))?;
    Ok((read, write))
}

/// Waits until nobody holds the other end. All signals are blocked meanwhile, as in vfork(2).
pub(crate) fn wait_for_end(notice: &Parked) {
    // Nothing is ever written, so this is 0 at the end; an error leaves nothing to wait for.
    let _ = io::Read::read(&mut notice.file(), &mut [0]);
}
