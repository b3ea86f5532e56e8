//! Bytes of the structures that the kernel copies out.

/// A size as the tables hold it.
const fn of<T>() -> u32 {
    size_of::<T>() as u32
}

pub(super) const STAT: u32 = of::<libc::stat>();
pub(super) const STATX: u32 = of::<libc::statx>();
pub(super) const STATFS: u32 = of::<libc::statfs>();
pub(super) const UTSNAME: u32 = of::<libc::utsname>();
pub(super) const RUSAGE: u32 = of::<libc::rusage>();
pub(super) const SYSINFO: u32 = of::<libc::sysinfo>();
pub(super) const SIGINFO: u32 = of::<libc::siginfo_t>();
pub(super) const STACK: u32 = of::<libc::stack_t>();
pub(super) const TIMESPEC: u32 = of::<libc::timespec>();
pub(super) const ITIMER: u32 = of::<libc::itimerspec>();
pub(super) const TIMEX: u32 = of::<libc::timex>();
pub(super) const IFREQ: u32 = of::<libc::ifreq>();
pub(super) const MMSGHDR: u32 = of::<libc::mmsghdr>();
/// Handler, flags, restorer, mask: the kernel's, not the C library's.
pub(super) const SIGACTION: u32 = 32;
/// 64 signals.
pub(super) const SIGSET: u32 = 8;

const _: () = assert!(STAT == 144 && STATX == 256 && STATFS == 120 && UTSNAME == 390);
const _: () = assert!(RUSAGE == 144 && SYSINFO == 112 && TIMEX == 208 && IFREQ == 40);
